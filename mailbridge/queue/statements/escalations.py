"""Alerts that somebody has to answer: written with their mails, found, and moved on under the lock of their row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, exists, insert, or_, select, update

from mailbridge.model.state import UNSUCCESSFUL
from mailbridge.queue.contract import NewMail, NewMessage
from mailbridge.queue.escalations import (
    KEPT_FOR,
    Advance,
    Escalated,
    Escalation,
    FoundEscalation,
    Note,
    Status,
    Wanted,
    candidates,
    open_escalations,
)
from mailbridge.queue.rows import (
    MESSAGE,
    Values,
    dump_detail,
    from_us,
    from_us_or_none,
    read_mail,
    read_message,
    to_us,
    to_us_or_none,
)
from mailbridge.queue.statements.bulk import Bulk
from mailbridge.queue.statements.changes import apply
from mailbridge.queue.statements.chunks import chunked
from mailbridge.queue.statements.reports import put_outgoing
from mailbridge.queue.tables import LOOKED_AT, escalated, escalations, history, mails, messages, sequences

_e, _m = escalations.c, messages.c
#: somebody still has to answer it
ESCALATING = _e.status.in_([Status.WAITING.value, Status.OPEN.value])
#: of several nodes one chooses numbers, or takes in what may come by two ways, at a time
lock = select(sequences.c.next).where(sequences.c.name == "escalation").with_for_update()
taken_numbers = select(_e.number).where(
    _e.number.in_(bindparam("numbers", expanding=True)), or_(_e.ended_at.is_(None), _e.ended_at > bindparam("since"))
)
_still_on_its_way = exists().where(
    escalated.c.escalation_id == _e.id,
    escalated.c.step == _e.steps,
    _m.id == escalated.c.message_id,
    _m.state.not_in(sorted(state.value for state in UNSUCCESSFUL)),
)
due_rows = (
    select(escalations)
    .where(
        LOOKED_AT,
        or_(_e.due_at <= bindparam("now"), _e.touched_at > bindparam("now"), ~_still_on_its_way),
    )
    .order_by(_e.due_at, _e.id)
    .limit(bindparam("count"))
)
_any_open = select(_e.id).where(LOOKED_AT).limit(1)
_locked = select(_e.turn).where(_e.id == bindparam("row_id")).with_for_update()
messages_of = (
    select(*MESSAGE, escalated.c.step)
    .join(escalated, escalated.c.message_id == _m.id)
    .where(escalated.c.escalation_id == bindparam("of_id"))
    .order_by(escalated.c.step, escalated.c.message_id)
)
_mail_of = select(mails).where(mails.c.id == bindparam("of_id"))
_states_of = select(_m.id, _m.state).where(_m.id.in_(bindparam("ids", expanding=True)))
_add = Bulk(insert(escalations))
_add_messages = Bulk(insert(escalated))
_add_history = Bulk(insert(history))
_write = update(escalations).where(_e.id == bindparam("row_id"))


class Opening:
    """The escalations that some new mails begin. ``write`` comes last, when the messages stand."""

    def __init__(self, conn: Connection, new_mails: Sequence[NewMail]) -> None:
        self._conn = conn
        conn.execute(lock)
        numbers = sorted({one for mail in new_mails for one in candidates(mail.messages)})
        since = to_us(min(mail.received_at for mail in new_mails) - KEPT_FOR)
        asked = ({"numbers": some, "since": since} for some in chunked(numbers))
        self._taken = {number for one in asked for number in conn.execute(taken_numbers, one).scalars()}
        self._rows: list[Values] = []
        self._belongs: list[Values] = []

    def begin(self, mail: NewMail, kept: Sequence[NewMessage]) -> tuple[NewMessage, ...]:
        """Return the messages of *mail* as they are to be stored."""
        opened = open_escalations(mail, kept, self._taken)
        self._taken |= {one.number for one in opened.escalations}
        self._rows += map(escalation_values, opened.escalations)
        self._belongs += [{"message_id": id_, "escalation_id": of, "step": 0} for id_, of in opened.belongs.items()]
        return opened.messages

    def write(self) -> None:
        """Write what began."""
        if self._rows:
            _add.run(self._conn, self._rows)
            _add_messages.run(self._conn, self._belongs)


def inherit(conn: Connection, message_id: str, heirs: Sequence[str]) -> None:
    """Have the messages *heirs* belong to the escalation that *message_id* belongs to, if it belongs to any."""
    of = conn.execute(
        select(escalated.c.escalation_id).where(escalated.c.message_id == message_id)
    ).scalar_one_or_none()
    if of is not None:
        _add_messages.run(conn, [{"message_id": id_, "escalation_id": of, "step": 0} for id_ in heirs])


def due_escalations(conn: Connection, *, now: datetime, limit: int) -> Sequence[FoundEscalation]:
    """Return escalations that are due, failed in their present step, or lie in the future."""
    return _with_messages(conn, conn.execute(due_rows, {"now": to_us(now), "count": limit}).all())


def is_anything_escalating(conn: Connection) -> bool:
    """Tell whether anything is to be looked at."""
    return conn.execute(_any_open).first() is not None


def find_escalations(conn: Connection, *, wanted: Wanted) -> Sequence[FoundEscalation]:
    """Return what *wanted* asks for, newest first."""
    return _with_messages(conn, conn.execute(find_page(wanted)).all())


def find_page(wanted: Wanted) -> Any:
    """Return the statement for *wanted*."""
    found = select(escalations).order_by(_e.opened_at.desc(), _e.id.desc()).limit(wanted.limit)
    if wanted.number is not None:
        found = found.where(_e.number == wanted.number)
    if wanted.id is not None:
        of_message = select(escalated.c.escalation_id).where(escalated.c.message_id == wanted.id)
        of_mail = (
            select(escalated.c.escalation_id)
            .join(messages, _m.id == escalated.c.message_id)
            .where(_m.mail_id == wanted.id)
        )
        found = found.where(or_(_e.mail_id == wanted.id, _e.id.in_(of_message), _e.id.in_(of_mail)))
    if wanted.phone is not None:
        to_phone = exists().where(
            escalated.c.escalation_id == _e.id, _m.id == escalated.c.message_id, _m.phone == wanted.phone
        )
        found = found.where(to_phone)
    if wanted.ended_after is not None:
        found = found.where(or_(_e.ended_at.is_(None), _e.ended_at > to_us(wanted.ended_after)))
    if wanted.statuses:
        found = found.where(_e.status.in_(sorted(status.value for status in wanted.statuses)))
    return found


def advance(
    conn: Connection, *, advance: Advance, put_mails: Callable[[Connection, Sequence[NewMail]], object]
) -> bool:
    """Carry out a decision about an escalation; False where it is not as it was decided on."""
    then = advance.then
    turn = conn.execute(_locked, {"row_id": then.id}).scalar_one_or_none()
    if turn != advance.turn:
        return False
    if advance.mail is not None:
        put_mails(conn, [advance.mail])
        _add_messages.run(
            conn,
            [{"message_id": new.id, "escalation_id": then.id, "step": then.steps} for new in advance.mail.messages],
        )
    if advance.changes:
        apply(conn, advance.changes)
    if advance.notes:
        _note(conn, advance.notes, then.touched_at)
    if advance.outgoing is not None:
        put_outgoing(conn, advance.outgoing, items={}, now=then.touched_at)
    values = escalation_values(then)
    conn.execute(_write.values({name: value for name, value in values.items() if name != "id"}), {"row_id": then.id})
    return True


def _note(conn: Connection, notes: Sequence[Note], at: datetime) -> None:
    ids = sorted({note.message_id for note in notes})
    states = {row.id: row.state for some in chunked(ids) for row in conn.execute(_states_of, {"ids": some})}
    rows = [
        {
            "message_id": note.message_id,
            "at": to_us(at),
            "event": note.event,
            "state": states[note.message_id],
            "detail": dump_detail(note.detail),
        }
        for note in notes
        if note.message_id in states
    ]
    if rows:
        _add_history.run(conn, rows)


def forget(conn: Connection, *, before: datetime) -> None:
    """Delete what ended before *before*."""
    limit = to_us(before)
    old = select(_e.id).where(_e.opened_at < limit, _e.due_at.is_(None))
    conn.execute(escalated.delete().where(escalated.c.escalation_id.in_(old)))
    conn.execute(escalations.delete().where(_e.opened_at < limit, _e.due_at.is_(None)))


# ------------------------------------------------------------------------------------------------------ rows
def _with_messages(conn: Connection, rows: Sequence[Row[Any]]) -> Sequence[FoundEscalation]:
    out = []
    for row in rows:
        own = conn.execute(messages_of, {"of_id": row.id}).all()
        mail = conn.execute(_mail_of, {"of_id": row.mail_id}).one_or_none()
        out.append(
            FoundEscalation(
                escalation=read_escalation(row),
                messages=tuple(Escalated(message=read_message(one[:-1]), step=one[-1]) for one in own),
                mail=None if mail is None else read_mail(mail),
            )
        )
    return out


def read_escalation(row: Row[Any]) -> Escalation:
    """Return a row of ``escalations`` as a value."""
    return Escalation(
        id=row.id, mail_id=row.mail_id, chain=row.chain, number=row.number, opened_at=from_us(row.opened_at),
        touched_at=from_us(row.touched_at), due_at=from_us_or_none(row.due_at), steps=row.steps,
        status=Status(row.status), by=row.by_whom, ended_at=from_us_or_none(row.ended_at), turn=row.turn,
    )  # fmt: skip


def escalation_values(one: Escalation) -> Values:
    """Return the row of an escalation."""
    return {
        "id": one.id,
        "mail_id": one.mail_id,
        "chain": one.chain,
        "number": one.number,
        "opened_at": to_us(one.opened_at),
        "touched_at": to_us(one.touched_at),
        "due_at": to_us_or_none(one.due_at),
        "steps": one.steps,
        "status": one.status.value,
        "by_whom": one.by,
        "ended_at": to_us_or_none(one.ended_at),
        "turn": one.turn,
    }
