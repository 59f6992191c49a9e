"""Claiming: due rows are chosen, grouped by the plan, and their intents written, in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, bindparam, exists, insert, or_, select, update

from mailbridge.model.limits import Throttle, Whose
from mailbridge.model.phone import digits_of
from mailbridge.model.state import State
from mailbridge.queue.contract import Assignment, Claimed, Claims, Plan, StoredMessage
from mailbridge.queue.rows import MESSAGE, Values, dump_detail, read_message, to_us
from mailbridge.queue.rules import IdSource, IsTaken, assign, describe_attempt, intend
from mailbridge.queue.statements import charging
from mailbridge.queue.statements.bulk import Bulk
from mailbridge.queue.statements.chunks import chunked
from mailbridge.queue.tables import attempts, history, mails, messages, sequences

_due = (
    select(*MESSAGE)
    .where(
        messages.c.state == State.QUEUED.value,
        messages.c.next_attempt_at <= bindparam("now"),
        messages.c.expires_at > bindparam("now"),
    )
    .order_by(messages.c.next_attempt_at, messages.c.id)
    .limit(bindparam("count"))
    .with_for_update(skip_locked=True)
)
_taken = select(attempts.c.gateway_id, attempts.c.phone).where(
    attempts.c.gateway == bindparam("gateway"), attempts.c.gateway_id.in_(bindparam("ids", expanding=True))
)
_sending = select(messages.c.id).where(messages.c.state == State.SENDING.value).with_for_update()
_sending_of = _sending.where(messages.c.claimed_by == bindparam("node"))
#: several nodes: who took a mail in and keeps its client waiting for the verdict has so long to send it first
HEAD_START_S = 2.0
_due_here = (
    select(*MESSAGE)
    .where(
        messages.c.state == State.QUEUED.value,
        messages.c.next_attempt_at <= bindparam("now"),
        messages.c.expires_at > bindparam("now"),
        or_(
            messages.c.claimed_by.is_(None),
            messages.c.claimed_by == bindparam("node"),
            messages.c.attempts > 0,
            messages.c.next_attempt_at <= bindparam("before"),
        ),
    )
    .order_by(messages.c.next_attempt_at, messages.c.id)
    .limit(bindparam("count"))
    .with_for_update(skip_locked=True)
)
_is_theirs = exists().where(mails.c.id == messages.c.mail_id, mails.c.user.in_(bindparam("users", expanding=True)))
#: (whether several nodes share the queue, ``Whose.alone`` or None) -> what is due
_DUE: dict[tuple[bool, bool | None], Select[Any]] = {
    (is_shared, alone): due if alone is None else due.where(_is_theirs if alone else ~_is_theirs)
    for is_shared, due in ((False, _due), (True, _due_here))
    for alone in (None, True, False)
}
_write_row = Bulk(update(messages).where(messages.c.id == bindparam("row_id")))
_add_attempts = Bulk(insert(attempts))
_add_history = Bulk(insert(history))

_SEQUENCE = "gateway_id"
_next_id = select(sequences.c.next).where(sequences.c.name == _SEQUENCE).with_for_update()


#: looks past rows that a limit holds, in one claim: what many of them wait for must not keep the others from leaving
_LOOKS = 5


def claim(
    conn: Connection, *, now: datetime, limit: int, node: str, plan: Plan, is_shared: bool = False,
    throttle: Throttle | None = None, whose: Whose | None = None,
) -> Claims:  # fmt: skip
    """Write the intents of what *plan* wants sent now and return the requests."""
    asked: Values = {"now": to_us(now), "count": limit}
    if is_shared:
        asked |= {"node": node, "before": to_us(now - timedelta(seconds=HEAD_START_S))}
    if whose is not None:
        asked |= {"users": sorted(whose.users)}
    due = _DUE[is_shared, None if whose is None else whose.alone]
    rows: list[StoredMessage] = []
    gate = charging.Gate(conn, throttle, now) if throttle else None
    for _ in range(_LOOKS):
        found = [read_message(row) for row in conn.execute(due, asked).all()]
        rows = found if gate is None else gate.sift(found)
        if rows or not found:
            break
    held = () if gate is None else gate.held
    if not rows:
        return Claims.of((), held)
    stored = conn.execute(_next_id).scalar_one_or_none()
    ids = IdSource(stored, now)
    wanted = plan(rows, ids)
    requests = assign(wanted, rows, _known_ids(conn, wanted), ids)
    claimed = [
        Claimed(
            gateway=request.gateway,
            gateway_id=request.gateway_id,
            messages=tuple(intend(row, request, now) for row in members),
        )
        for request, members in requests
    ]
    if ids.used:
        # the row may be lost
        write = insert(sequences) if stored is None else update(sequences).where(sequences.c.name == _SEQUENCE)
        conn.execute(write.values(name=_SEQUENCE, next=ids.next))
    if members := [row for request in claimed for row in request.messages]:
        _write_intents(conn, members, node, now)
        if gate is not None:
            gate.charge(members)
    return Claims.of(claimed, held)


def _known_ids(conn: Connection, wanted: Sequence[Assignment]) -> IsTaken:
    """Read which of the wanted ids were used before: one statement a gateway; ids drawn later ask for themselves."""
    asked = {(one.gateway, one.gateway_id) for one in wanted}
    known: set[tuple[str, str, str]] = set()

    def read(gateway: str, ids: Sequence[str]) -> None:
        for gateway_id, phone in conn.execute(_taken, {"gateway": gateway, "ids": ids}).all():
            known.add((gateway, gateway_id, phone))

    for gateway in {gateway for gateway, _ in asked}:
        for some in chunked([id_ for name, id_ in asked if name == gateway]):
            read(gateway, some)

    def is_taken(gateway: str, gateway_id: str, phones: frozenset[str]) -> bool:
        if (gateway, gateway_id) not in asked:
            asked.add((gateway, gateway_id))
            read(gateway, [gateway_id])
        return any((gateway, gateway_id, phone) in known for phone in phones)

    return is_taken


def _write_intents(conn: Connection, rows: Sequence[StoredMessage], node: str, now: datetime) -> None:
    now_us = to_us(now)
    _write_row.run(conn, [_claimed_values(row, node, now_us) for row in rows])
    _add_attempts.run(
        conn,
        [
            {
                "message_id": row.id,
                "number": row.attempts,
                "gateway": row.gateway,
                "gateway_id": row.gateway_id,
                "phone": digits_of(row.message.phone),
                "intent_at": now_us,
            }
            for row in rows
        ],
    )
    _add_history.run(
        conn,
        [
            {
                "message_id": row.id,
                "at": now_us,
                "event": "attempt",
                "state": row.state.value,
                "detail": dump_detail(describe_attempt(row)),
            }
            for row in rows
        ],
    )


def _claimed_values(row: StoredMessage, node: str, now_us: int) -> Values:
    return {
        "row_id": row.id,
        "state": row.state.value,
        "attempts": row.attempts,
        "claimed_by": node,
        "gateway": row.gateway,
        "gateway_id": row.gateway_id,
        "attempted_at": now_us,
        "unknown_since": None,
        "asked": row.asked,
        "updated_at": now_us,
    }


def recover(conn: Connection, *, node: str | None, now: datetime, keep: Collection[str] = ()) -> int:
    """Turn what *node*, or anybody where it is None, had in ``sending`` into ``unknown``, but for *keep*."""
    # a claim whose answer was lost may still be at it: each that found something holds this row until it ends
    conn.execute(_next_id)
    found = conn.execute(_sending) if node is None else conn.execute(_sending_of, {"node": node})
    return give_up(conn, [id_ for id_ in found.scalars() if id_ not in keep], now=now, reason="restart")


def give_up(conn: Connection, ids: Sequence[str], *, now: datetime, reason: str) -> int:
    """Turn *ids*, which are locked and ``sending``, into ``unknown``, due for their question now; return how many."""
    if not ids:
        return 0
    now_us, unknown = to_us(now), State.UNKNOWN.value
    moved = {"state": unknown, "unknown_since": now_us, "next_attempt_at": now_us, "updated_at": now_us}
    _write_row.run(conn, [{"row_id": id_, **moved} for id_ in ids])
    line = {"at": now_us, "event": "unknown", "state": unknown, "detail": dump_detail({"reason": reason})}
    _add_history.run(conn, [{"message_id": id_, **line} for id_ in ids])
    return len(ids)
