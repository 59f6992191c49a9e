"""Gatherings whose time has come, and what is decided about them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, delete, func, insert, or_, select

from mailbridge.model.state import State
from mailbridge.queue.contract import Change
from mailbridge.queue.gathering import FORGOTTEN_AFTER, Book, foresee, load_alert, still_holds
from mailbridge.queue.kept import Closing, DueGathering, Foreseen, Gather, Seen, Waiting
from mailbridge.queue.rows import MESSAGE, from_us, from_us_or_none, read_message, to_us
from mailbridge.queue.statements.changes import apply
from mailbridge.queue.statements.chunks import chunked
from mailbridge.queue.statements.escalations import ESCALATING, inherit
from mailbridge.queue.statements.gathered import gathering_values, read_gathering
from mailbridge.queue.statements.mails import put_mails
from mailbridge.queue.tables import escalated, escalations, gatherings, messages, seen, waits

_m = messages.c
due_rows = (
    select(gatherings)
    .where(or_(gatherings.c.due_at <= bindparam("now"), gatherings.c.opened_at > bindparam("now")))
    .order_by(gatherings.c.due_at, gatherings.c.key)
    .limit(bindparam("count"))
)
_next_due = select(func.min(gatherings.c.due_at))
_is_waiting = (waits.c.key == bindparam("of_key"), _m.state == State.QUEUED.value, _m.next_attempt_at.is_(None))
waiting_rows = (
    select(*MESSAGE, waits.c.alert, waits.c.is_repeat, escalations.c.number)
    .join(waits, waits.c.message_id == _m.id)
    .outerjoin(escalated, escalated.c.message_id == _m.id)
    .outerjoin(escalations, and_(escalations.c.id == escalated.c.escalation_id, ESCALATING))
    .where(*_is_waiting)
    .order_by(_m.created_at, _m.id)
    .limit(bindparam("count"))
)
_waiting_ids = select(_m.id).join(waits, waits.c.message_id == _m.id).where(*_is_waiting)
_of_key = select(gatherings).where(gatherings.c.key == bindparam("of_key"))
_last_seen = select(seen).where(seen.c.key == bindparam("of_key"), seen.c.subject == bindparam("of_subject"))
_count_waiting = select(func.count()).select_from(_waiting_ids.subquery())
_locked = select(gatherings).where(gatherings.c.key == bindparam("of_key")).with_for_update()
_forget = delete(gatherings).where(gatherings.c.key == bindparam("old_key"))
_forget_waits = delete(waits).where(waits.c.message_id.in_(bindparam("ids", expanding=True)))
_forget_seen = delete(seen).where(seen.c.at < bindparam("before"))


def due_gatherings(conn: Connection, *, now: datetime, limit: int, most: int) -> Sequence[DueGathering]:
    """Return gatherings that are due, each with the *most* oldest that wait in it."""
    found = conn.execute(due_rows, {"now": to_us(now), "count": limit}).all()
    return [
        DueGathering(
            gathering=read_gathering(row),
            waiting=tuple(map(_read_waiting, conn.execute(waiting_rows, {"of_key": row.key, "count": most}))),
        )
        for row in found
    ]


def _read_waiting(row: Row[Any]) -> Waiting:
    *message, alert, is_repeat, number = row
    read = read_message(message)
    ending = "" if number is None else read.message.text.rpartition("\n")[2]
    return Waiting(message=read, alert=load_alert(alert), is_repeat=bool(is_repeat), ending=ending)


def next_gathering_at(conn: Connection) -> datetime | None:
    """Return when the next gathering is due."""
    return from_us_or_none(conn.execute(_next_due).scalar_one_or_none())


def foresee_one(conn: Connection, *, gather: Gather, now: datetime) -> Foreseen:
    """Say what would become of a message that came in now."""
    place = {"of_key": gather.key, "of_subject": gather.alert.subject}
    row, last = conn.execute(_of_key, place).one_or_none(), conn.execute(_last_seen, place).one_or_none()
    book = Book(
        {} if row is None else {gather.key: read_gathering(row)},
        {} if last is None else {(last.key, last.subject): Seen(state=last.state, at=from_us(last.at))},
    )
    return foresee(gather, book, now, beside=conn.execute(_count_waiting, place).scalar_one())


def close_gathering(conn: Connection, *, closing: Closing) -> bool:
    """Carry out a decision about a gathering; False where it no longer is as it was decided on."""
    row = conn.execute(_locked, {"of_key": closing.key}).one_or_none()
    if row is None:
        return False
    waiting = frozenset(conn.execute(_waiting_ids, {"of_key": closing.key}).scalars())
    if not still_holds(closing, opened_at=from_us(row.opened_at), waiting=waiting):
        return False
    if closing.mail is not None:
        put_mails(conn, [closing.mail])
        if closing.heir:
            inherit(conn, closing.heir, [new.id for new in closing.mail.messages])
    _take(conn, closing.changes)
    conn.execute(_forget, {"old_key": closing.key})
    if closing.then is not None:
        conn.execute(insert(gatherings), gathering_values(closing.then))
    conn.execute(_forget_seen, {"before": to_us(closing.at - FORGOTTEN_AFTER)})
    return True


def _take(conn: Connection, changes: Sequence[Change]) -> None:
    if not changes:
        return
    apply(conn, changes)
    for some in chunked([change.message_id for change in changes]):
        conn.execute(_forget_waits, {"ids": some})
