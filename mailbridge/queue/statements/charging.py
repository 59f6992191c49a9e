"""Limits within a transaction: who may leave, what that is charged to, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from mailbridge.model.limits import Over, Settlement, Throttle, Wanted, settle_all
from mailbridge.model.state import State
from mailbridge.queue.contract import StoredMessage
from mailbridge.queue.rows import dump_detail, to_us
from mailbridge.queue.rules import Standing, describe_held, settlement, wanted
from mailbridge.queue.statements import counters
from mailbridge.queue.statements.bulk import Bulk
from mailbridge.queue.statements.chunks import chunked
from mailbridge.queue.tables import charges, history, mails, messages

_charged = select(charges.c.message_id).where(charges.c.message_id.in_(bindparam("ids", expanding=True)))
_users = select(mails.c.id, mails.c.user).where(mails.c.id.in_(bindparam("ids", expanding=True)))
_add_charges = Bulk(insert(charges))
_forget_charge = Bulk(delete(charges).where(charges.c.message_id == bindparam("owner")))
_put_off = Bulk(update(messages).where(messages.c.id == bindparam("row_id")))
_add_history = Bulk(insert(history))


class Gate:
    """What a claim asks about limits: once for the rows it looks at, once for those that leave."""

    def __init__(self, conn: Connection, throttle: Throttle, now: datetime) -> None:
        self._conn = conn
        self._throttle = throttle
        self._now = now
        self._wanted: dict[str, Wanted] = {}
        self._counters: dict[str, str] = {}
        #: what was put off so far
        self.held: list[tuple[StoredMessage, Over]] = []

    def sift(self, rows: Sequence[StoredMessage]) -> list[StoredMessage]:
        """Return those of *rows* that may leave now; the others are put off, and their history says by which limit."""
        if not rows:
            return []
        known = {id_ for some in chunked([row.id for row in rows]) for id_ in self._scalars(some)}
        users = self._users_of({row.mail_id for row in rows}) if self._throttle.asks_user else {}
        self._wanted = {row.id: wanted(row, users.get(row.mail_id)) for row in rows if row.id not in known}
        asked = list(self._wanted.values())
        self._counters = counters.lock(self._conn, self._throttle.keys(asked, self._now))
        held = self._throttle.hold(asked, self._counters, self._now)
        if held:
            now_us = to_us(self._now)
            _put_off.run(
                self._conn,
                [
                    {"row_id": id_, "next_attempt_at": to_us(over.until), "updated_at": now_us}
                    for id_, over in held.items()
                ],
            )
            line = {"at": now_us, "event": "deferred", "state": State.QUEUED.value}
            _add_history.run(
                self._conn,
                [{"message_id": id_, **line, "detail": dump_detail(describe_held(over))} for id_, over in held.items()],
            )
            self.held += [(row, held[row.id]) for row in rows if row.id in held]
        return [row for row in rows if row.id not in held]

    def _scalars(self, ids: Sequence[str]) -> Sequence[str]:
        return self._conn.execute(_charged, {"ids": ids}).scalars().all()

    def _users_of(self, mail_ids: Collection[str]) -> dict[str, str | None]:
        rows = [row for some in chunked(sorted(mail_ids)) for row in self._conn.execute(_users, {"ids": some})]
        return {row.id: row.user for row in rows}

    def charge(self, leaving: Sequence[StoredMessage]) -> None:
        """Count those of *leaving* that leave for the first time."""
        fresh = [self._wanted[row.id] for row in leaving if row.id in self._wanted]
        if not fresh:
            return
        counters.write(self._conn, self._throttle.charge(fresh, self._counters, self._now), self._now)
        drawn = {one.id: [key for _, key in self._throttle.charged_to(one, self._now)] for one in fresh}
        _add_charges.run(self._conn, [{"message_id": id_, "counters": json.dumps(keys)} for id_, keys in drawn.items()])


def settle(
    conn: Connection, steps: Sequence[tuple[str, Standing, Standing]], charged: Mapping[str, str], *, now: datetime
) -> None:
    """Book what *steps* (message id, before, after) tell of parts and prices on the counters that were charged.

    *charged* holds what ``charges`` says of each of these messages.
    """
    names: dict[str, list[str]] = {id_: json.loads(text) for id_, text in charged.items()}
    booked: list[tuple[str, Settlement]] = []
    freed: set[str] = set()
    for id_, before, after in steps:
        drawn = [] if id_ in freed else names[id_]
        if (one := settlement(before, after)) is not None:
            booked += [(name, one) for name in drawn]
        if after.state is State.FAILED:
            freed.add(id_)
    if freed:
        _forget_charge.run(conn, [{"owner": id_} for id_ in freed])
    if booked:
        counters.write(conn, settle_all(counters.lock(conn, {name for name, _ in booked}), booked), now)
