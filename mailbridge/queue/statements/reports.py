"""What senders are to be told, and our own mails on their way to the smarthost."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, delete, exists, func, insert, or_, select, update

from mailbridge.queue.contract import Detail, DueReport, OutgoingMail, Report, ReportItem
from mailbridge.queue.rows import dump_detail, from_us, read_mail, read_notify, to_us
from mailbridge.queue.rules import REPORT_WAITS, describe_report
from mailbridge.queue.statements.chunks import chunked
from mailbridge.queue.tables import UNREPORTED, history, mails, messages, outgoing, report_items

_i = report_items.c
_waiting = (
    select(_i.mail_id, func.min(_i.at).label("first_at")).where(UNREPORTED).group_by(_i.mail_id).subquery("waiting")
)
#: a message of the mail may bring more news, and the wait for such as it is not over (news from the future, written
#: before the clock was set back, waits for nothing)
_worth_waiting = exists().where(
    messages.c.mail_id == mails.c.id,
    or_(
        *(
            and_(
                messages.c.state == state.value,
                _waiting.c.first_at > bindparam(f"waited_since_{state.value}"),
                _waiting.c.first_at <= bindparam("now"),
            )
            for state in REPORT_WAITS
        )
    ),
)
due_mails = (
    select(mails)
    .join(_waiting, _waiting.c.mail_id == mails.c.id)
    .where(
        or_(mails.c.hold_reports_until.is_(None), mails.c.hold_reports_until <= bindparam("now")),
        ~_worth_waiting,
    )
    .order_by(_waiting.c.first_at, mails.c.id)
    .limit(bindparam("count"))
)
_items_of = (
    select(report_items, messages.c.recipient, messages.c.orcpt, messages.c.expires_at, messages.c.notify)
    .join(messages, messages.c.id == _i.message_id)
    .where(_i.mail_id.in_(bindparam("ids", expanding=True)), UNREPORTED)
    .order_by(_i.id)
)
_unmarked = (
    select(_i.id, _i.message_id, _i.action, _i.status, messages.c.state)
    .join(messages, messages.c.id == _i.message_id)
    .where(_i.id.in_(bindparam("ids", expanding=True)), UNREPORTED)
    .order_by(_i.id)
    .with_for_update(of=report_items)
)
_mark = update(report_items).where(_i.id.in_(bindparam("ids", expanding=True)))


def due_reports(conn: Connection, *, now: datetime, limit: int) -> list[DueReport]:
    """Return what senders are to be told, one entry a mail, the longest waiting first."""
    waited = {f"waited_since_{state.value}": to_us(now - wait) for state, wait in REPORT_WAITS.items()}
    asked = {"now": to_us(now), "count": limit, **waited}
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
                    notify=read_notify(row.notify),
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
def put_outgoing(conn: Connection, mail: OutgoingMail | None, *, items: Mapping[int, Detail], now: datetime) -> None:
    """Mark *items* as reported and keep the report for the mailer, unless all of them were reported before."""
    fresh = [row for some in chunked(list(items)) for row in conn.execute(_unmarked, {"ids": some})]
    for some in chunked([row.id for row in fresh]):
        conn.execute(_mark.values(done_at=to_us(now)), {"ids": some})
    if fresh:
        conn.execute(
            insert(history),
            [
                {
                    "message_id": row.message_id,
                    "at": to_us(now),
                    "event": "bounced",
                    "state": row.state,
                    "detail": dump_detail(describe_report(row.action, row.status, items[row.id])),
                }
                for row in fresh
            ],
        )
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
