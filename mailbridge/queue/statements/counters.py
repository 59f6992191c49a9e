"""The counters of limits: read and locked in one order, decided about in ``model.limits``, written back.

At most three statements for any number of mails or messages, and none where nothing is limited.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select, text, update

from mailbridge.model.limits import counter_until, dump_spent, load_spent
from mailbridge.queue.rows import to_us
from mailbridge.queue.statements.bulk import Bulk
from mailbridge.queue.statements.chunks import chunked
from mailbridge.queue.tables import counters

_c = counters.c
_known = select(_c.name, _c.state).where(_c.name.in_(bindparam("names", expanding=True)))
#: all nodes lock rows in the same order
_locked = _known.order_by(_c.name).with_for_update()
#: two nodes may count for the first time at once: the second waits here for the first. SQLite and PostgreSQL alike
_begin = text("INSERT INTO counters (name, state, until) VALUES (:name, '', 0) ON CONFLICT (name) DO NOTHING")
_write = Bulk(update(counters).where(_c.name == bindparam("row_name")))


def lock(conn: Connection, names: Collection[str]) -> dict[str, str]:
    """Return the texts of the counters *names*, which nobody else changes until this transaction ends."""
    wanted = sorted(names)
    found = _select_locked(conn, wanted)
    if missing := [name for name in wanted if name not in found]:
        conn.execute(_begin, [{"name": name} for name in missing])
        found |= _select_locked(conn, missing)
    return found


def _select_locked(conn: Connection, names: list[str]) -> dict[str, str]:
    return {row.name: row.state for some in chunked(names) for row in conn.execute(_locked, {"names": some})}


def write(conn: Connection, changed: Mapping[str, str], now: datetime) -> None:
    """Write *changed*, which were locked before."""
    if changed:
        rows = [
            {"row_name": name, "state": state, "until": to_us(counter_until(name, state, now))}
            for name, state in sorted(changed.items())
        ]
        _write.run(conn, rows)


def read(conn: Connection, *, names: Collection[str]) -> dict[str, str]:
    """Return the texts of those of *names* that were ever charged."""
    rows = [row for some in chunked(sorted(names)) for row in conn.execute(_known, {"names": some})]
    return {row.name: row.state for row in rows if row.state}


def read_named(conn: Connection, *, prefix: str) -> dict[str, str]:
    """Return all counters whose names begin with *prefix*."""
    rows = conn.execute(select(_c.name, _c.state).where(_c.name >= prefix, _c.name < f"{prefix}\U0010ffff"))
    return {row.name: row.state for row in rows if row.state and row.name.startswith(prefix)}


def keep(conn: Connection, *, name: str, state: str, until: datetime) -> None:
    """Keep a text that no limit reads."""
    conn.execute(_begin, {"name": name})
    conn.execute(update(counters).where(_c.name == name).values(state=state, until=to_us(until)))


def note_told(conn: Connection, *, key: str, percent: int) -> bool:
    """Note that the operator is told of it; False when that was noted before."""
    state = _select_locked(conn, [key]).get(key, "")
    spent = load_spent(state)
    if not state or spent.told >= percent:
        return False
    conn.execute(update(counters).where(_c.name == key).values(state=dump_spent(spent.tell(percent))))
    return True


def forget(conn: Connection, *, before: datetime) -> None:
    """Delete what is worth nothing since *before*."""
    conn.execute(delete(counters).where(_c.until < to_us(before)))
