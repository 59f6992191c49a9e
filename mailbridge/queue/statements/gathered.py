"""New messages that may have to wait with others: read what they join, decide by ``gathering.py``, write it back.

Part of the transaction that keeps their mails; made only where one of them asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, tuple_

from mailbridge.model.state import State
from mailbridge.queue.contract import NewMail, NewMessage
from mailbridge.queue.gathering import Book, arrive, dump_alert, dump_digest, load_digest
from mailbridge.queue.kept import Gathering, Seen
from mailbridge.queue.rows import Values, from_us, to_us
from mailbridge.queue.statements.bulk import Bulk
from mailbridge.queue.statements.chunks import chunked
from mailbridge.queue.tables import gatherings, seen, waits

#: between the names of quiet hours: no name has it
_JOINT = "\n"

_gatherings_of = (
    select(gatherings)
    .where(gatherings.c.key.in_(bindparam("keys", expanding=True)))
    .order_by(gatherings.c.key)  # all nodes lock rows in the same order
    .with_for_update()
)
_seen_of = select(seen).where(tuple_(seen.c.key, seen.c.subject).in_(bindparam("places", expanding=True)))
_forget_gathering = Bulk(delete(gatherings).where(gatherings.c.key == bindparam("old_key")))
_add_gathering = Bulk(insert(gatherings))
_forget_seen = Bulk(delete(seen).where(seen.c.key == bindparam("old_key"), seen.c.subject == bindparam("old_subject")))
_add_seen = Bulk(insert(seen))
_add_waits = Bulk(insert(waits))


class Gathered:
    """What the gatherings of some new mails become. ``write`` comes last, when the messages stand."""

    def __init__(self, conn: Connection, mails: Sequence[NewMail]) -> None:
        self._conn = conn
        gathers = [new.gather for mail in mails for new in mail.messages if new.gather is not None]
        keys = sorted({one.key for one in gathers})
        places = sorted({(one.key, one.alert.subject) for one in gathers})
        rows = [row for some in chunked(keys) for row in conn.execute(_gatherings_of, {"keys": some})]
        self._gatherings = {row.key: read_gathering(row) for row in rows}
        known = [row for some in chunked(places) for row in conn.execute(_seen_of, {"places": some})]
        self._seen = {(row.key, row.subject): Seen(state=row.state, at=from_us(row.at)) for row in known}
        self._book = Book(dict(self._gatherings), dict(self._seen))
        self._waits: list[Values] = []

    def arrive(self, mail: NewMail, messages: Sequence[NewMessage]) -> tuple[NewMessage, ...]:
        """Return *messages* as they are to be stored."""
        return tuple(self._arrive(mail, new) for new in messages)

    def _arrive(self, mail: NewMail, new: NewMessage) -> NewMessage:
        if new.gather is None or new.state is not State.QUEUED:
            return new
        arrived = arrive(new, new.gather, self._book, mail.received_at)
        if arrived.waits:
            self._waits.append(
                {
                    "message_id": new.id,
                    "key": new.gather.key,
                    "alert": dump_alert(new.gather.alert),
                    "is_repeat": int(arrived.is_repeat),
                }
            )
        return arrived.message

    def write(self) -> None:
        """Write what changed."""
        opened = [one for key, one in self._book.gatherings.items() if key not in self._gatherings]
        if opened:
            _add_gathering.run(self._conn, [gathering_values(one) for one in opened])
        if old := [{"old_key": key, "old_subject": subject} for key, subject in self._seen]:
            _forget_seen.run(self._conn, old)
        rows = [
            {"key": key, "subject": subject, "state": one.state, "at": to_us(one.at)}
            for (key, subject), one in self._book.seen.items()
        ]
        if rows:
            _add_seen.run(self._conn, rows)
        if self._waits:
            _add_waits.run(self._conn, self._waits)


def read_gathering(row: Row[Any]) -> Gathering:
    """Return a row of ``gatherings`` as a value."""
    return Gathering(
        key=row.key, rule=row.rule, opened_at=from_us(row.opened_at), due_at=from_us(row.due_at),
        window_s=row.window_ms / 1000, digest=load_digest(row.digest),
        quiet=tuple(row.quiet.split(_JOINT)) if row.quiet else (),
    )  # fmt: skip


def gathering_values(one: Gathering) -> Values:
    """Return the row of a gathering."""
    return {
        "key": one.key,
        "rule": one.rule,
        "opened_at": to_us(one.opened_at),
        "due_at": to_us(one.due_at),
        "window_ms": round(one.window_s * 1000),
        "digest": dump_digest(one.digest),
        "quiet": _JOINT.join(one.quiet),
    }
