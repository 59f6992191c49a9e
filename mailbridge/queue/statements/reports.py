"""What senders are to be told, and our own mails on their way to the smarthost."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, exists, func, insert, or_, select, update

from mailbridge.queue.contract import DueReport, OutgoingMail, Report, ReportItem
from mailbridge.queue.rows import from_us, read_mail, to_us
from mailbridge.queue.rules import REPORT_WAIT, UNSETTLED
from mailbridge.queue.statements.chunks import chunked
from mailbridge.queue.tables import UNREPORTED, mails, messages, outgoing, report_items

_i = report_items.c
_waiting = (
    select(_i.mail_id, func.min(_i.at).label("first_at")).where(UNREPORTED).group_by(_i.mail_id).subquery("waiting")
)
_unsettled = exists().where(
    messages.c.mail_id == mails.c.id, messages.c.state.in_(sorted(state.value for state in UNSETTLED))
)
due_mails = (
    select(mails)
    .join(_waiting, _waiting.c.mail_id == mails.c.id)
    .where(
        or_(mails.c.hold_reports_until.is_(None), mails.c.hold_reports_until <= bindparam("now")),
        or_(_waiting.c.first_at <= bindparam("waited_since"), ~_unsettled),
    )
    .order_by(_waiting.c.first_at, mails.c.id)
    .limit(bindparam("count"))
)
_items_of = (
    select(report_items, messages.c.recipient, messages.c.orcpt, messages.c.expires_at)
    .join(messages, messages.c.id == _i.message_id)
    .where(_i.mail_id.in_(bindparam("ids", expanding=True)), UNREPORTED)
    .order_by(_i.id)
)
_mark = update(report_items).where(_i.id.in_(bindparam("ids", expanding=True)), UNREPORTED)


def due_reports(conn: Connection, *, now: datetime, limit: int) -> list[DueReport]:
    """Return what senders are to be told, one entry a mail, the longest waiting first."""
    asked = {"now": to_us(now), "waited_since": to_us(now - REPORT_WAIT), "count": limit}
    due = {row.id: row for row in conn.execute(due_mails, asked)}
    items: dict[str, list[ReportItem]] = {id_: [] for id_ in due}
    for some in chunked(list(due)):
        for row in conn.execute(_items_of, {"ids": some}):
            items[row.mail_id].append(
                ReportItem(
                    item_id=row.id,
                    message_id=row.message_id,
                    recipient=row.recipient,
                    orcpt=row.orcpt,
                    action=Report(row.action),
                    status=row.status,
                    diagnostic=row.diagnostic,
                    at=from_us(row.at),
                    expires_at=from_us(row.expires_at),
                )
            )
    return [DueReport(mail=read_mail(row), items=tuple(items[id_])) for id_, row in due.items()]


def release_reports(conn: Connection, mail_id: str, *, told: Collection[str]) -> None:
    """Drop the failures of the messages the client was *told* of; the rest may go out now."""
    conn.execute(
        update(mails)
        .where(mails.c.id == mail_id, mails.c.hold_reports_until.is_not(None))
        .values(hold_reports_until=None)
    )
    for some in chunked(sorted(told)):
        conn.execute(
            delete(report_items).where(
                _i.message_id.in_(some), _i.mail_id == mail_id, _i.action == Report.FAILED.value, UNREPORTED
            )
        )


# ------------------------------------------------------------------------------------------- our own mails
def put_outgoing(conn: Connection, mail: OutgoingMail | None, *, items: Sequence[int], now: datetime) -> None:
    """Mark *items* as reported and keep the report for the mailer, unless all of them were reported before."""
    fresh = sum(conn.execute(_mark.values(done_at=to_us(now)), {"ids": some}).rowcount for some in chunked(items))
    if mail is None or (items and not fresh):
        return
    conn.execute(
        insert(outgoing),
        {
            "mail_id": mail.mail_id,
            "sender": mail.sender,
            "recipient": mail.recipient,
            "content": mail.content,
            "attempts": mail.attempts,
            "created_at": to_us(mail.created_at),
            "next_attempt_at": to_us(mail.next_attempt_at),
            "last_error": mail.last_error,
        },
    )


def due_outgoing(conn: Connection, *, now: datetime, limit: int) -> list[OutgoingMail]:
    """Return the mails whose next attempt is due, oldest first."""
    rows = conn.execute(
        select(outgoing)
        .where(outgoing.c.next_attempt_at <= to_us(now))
        .order_by(outgoing.c.next_attempt_at, outgoing.c.id)
        .limit(limit)
    )
    return [
        OutgoingMail(
            id=row.id,
            mail_id=row.mail_id,
            sender=row.sender,
            recipient=row.recipient,
            content=bytes(row.content),
            attempts=row.attempts,
            created_at=from_us(row.created_at),
            next_attempt_at=from_us(row.next_attempt_at),
            last_error=row.last_error,
        )
        for row in rows
    ]


def settle_outgoing(conn: Connection, id_: int, *, done: bool, next_attempt_at: datetime | None, error: str) -> None:
    """Forget a mail that is done with, or note a failed attempt."""
    if done:
        conn.execute(delete(outgoing).where(outgoing.c.id == id_))
        return
    noted = update(outgoing).where(outgoing.c.id == id_).values(attempts=outgoing.c.attempts + 1, last_error=error)
    if next_attempt_at is not None:
        noted = noted.values(next_attempt_at=to_us(next_attempt_at))
    conn.execute(noted)
