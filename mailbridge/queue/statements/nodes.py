"""Signs of life of the nodes that share a queue, and what becomes of the messages of one that gives none.

All times here are the database's own: nodes need not agree about the time. Signs of life come one after the other, so
the nodes have one order, and only the first of them may believe that it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, or_, select, text, update

from mailbridge.model.state import State
from mailbridge.queue.cluster import Pulse
from mailbridge.queue.rows import to_us
from mailbridge.queue.statements.claims import give_up, recover
from mailbridge.queue.tables import messages, nodes, silences

#: "MBRn"
_LOCK = 0x4D42526E
_one_by_one = select(func.pg_advisory_xact_lock(bindparam("lock")))
#: the time, and the server's process that hears us
_here = text(
    "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint), "
    "pid || ' ' || extract(epoch FROM backend_start) FROM pg_stat_activity WHERE pid = pg_backend_pid()"
)
#: of another account's process only the number is told
_hearing = text("SELECT pid, pid || ' ' || extract(epoch FROM backend_start) FROM pg_stat_activity")
_silence = text(
    "INSERT INTO silences (gateway, until_at) VALUES (:gateway, :until_at) "
    "ON CONFLICT (gateway) DO UPDATE SET until_at = greatest(silences.until_at, excluded.until_at)"
)
_known = select(nodes).order_by(nodes.c.joined_at, nodes.c.name)
_forget = delete(nodes).where(nodes.c.name.in_(bindparam("names", expanding=True)))
#: what somebody settles at this moment is left to him
_orphans = (
    select(messages.c.id)
    .where(
        messages.c.state == State.SENDING.value,
        or_(
            messages.c.claimed_by.is_(None),
            messages.c.claimed_by.not_in(bindparam("names", expanding=True)),
        ),
    )
    .order_by(messages.c.id)
    .with_for_update(skip_locked=True)
)


def beat(conn: Connection, *, node: str, now: datetime, lease_us: int, take_over: bool) -> Pulse:
    """Note that *node* lives and tell its place; the first one takes over what the dead have left."""
    conn.execute(_one_by_one, {"lock": _LOCK})
    now_us, heard_by = conn.execute(_here).one()
    known = {row.name: row for row in conn.execute(_known)}
    own = known.get(node)
    ended = [] if own else _ended_here(conn, node, list(known.values()))
    taken_over = sum(_bury(conn, name, now=now) for name in ended)
    others = [row for row in known.values() if row.name not in {node, *ended}]
    # whoever was silent for too long has lost its place
    is_new = own is None or own.lease_until < now_us
    # behind all that came before, also where the database's clock was set back since
    last_us = max([now_us, *(row.joined_at + 1 for row in known.values())])
    ahead_us = to_us(now) - now_us
    seen = {"lease_until": now_us + lease_us, "heard_by": heard_by, "ahead_us": ahead_us}
    if own is None:
        conn.execute(insert(nodes), {"name": node, "joined_at": last_us, **seen})
    else:
        conn.execute(update(nodes).where(nodes.c.name == node), seen | ({"joined_at": last_us} if is_new else {}))
    alive = [row for row in others if row.lease_until >= now_us]
    place = len(alive) if is_new or own is None else sum(_rank(row) < _rank(own) for row in alive)
    # after a jump of the database's clock all were silent for too long: they are given time to be heard
    if take_over and place == 0 and not is_new:
        names = [node, *(row.name for row in alive)]
        orphans = conn.execute(_orphans, {"names": names}).scalars().all()
        taken_over += give_up(conn, orphans, now=now, reason="its node is gone")
        if dead := [row.name for row in others if row not in alive]:
            conn.execute(_forget, {"names": dead})
    first_us = min(alive, key=_rank).ahead_us if place else ahead_us
    return Pulse(
        nodes=len(alive) + 1, place=place, is_new=is_new, taken_over=taken_over,
        ahead_s=(ahead_us - first_us) / 1_000_000,
        silences={
            row.gateway: (row.until_at - now_us) / 1_000_000
            for row in conn.execute(select(silences).where(silences.c.until_at > now_us))
        },
    )  # fmt: skip


def _ended_here(conn: Connection, node: str, known: Sequence[Row[Any]]) -> list[str]:
    """Return the nodes that have run on the machine of *node* and ended without a word: their leases tell nothing.

    The kernel closes the connections of a process that ends, and those of one that is frozen stay. A connection cut by
    something else looks alike; then a request may still leave, which the quarantine covers as it does after a lease.
    """
    machine = _machine_of(node)
    here = [row for row in known if _machine_of(row.name) == machine and row.name != node]
    if not here:
        return []
    hearing = {str(pid): whole for pid, whole in conn.execute(_hearing)}
    return [row.name for row in here if not _is_heard(row.heard_by, hearing)]


def _is_heard(heard_by: str, hearing: Mapping[str, str | None]) -> bool:
    pid = heard_by.partition(" ")[0]
    return pid in hearing and hearing[pid] in {None, heard_by}


def _machine_of(node: str) -> str:
    return node.partition(":")[0]


def silence(conn: Connection, *, gateway: str, for_us: int) -> None:
    """Have all nodes leave *gateway* alone for so long."""
    now_us, _ = conn.execute(_here).one()
    conn.execute(_silence, {"gateway": gateway, "until_at": now_us + for_us})


def leave(conn: Connection, *, node: str, now: datetime) -> int:
    """Forget *node*, which has ended; what it left in ``sending`` becomes ``unknown``."""
    conn.execute(_one_by_one, {"lock": _LOCK})
    return _bury(conn, node, now=now)


def _bury(conn: Connection, node: str, *, now: datetime) -> int:
    count = recover(conn, node=node, now=now)
    conn.execute(_forget, {"names": [node]})
    return count


def _rank(row: Row[Any]) -> tuple[int, str]:
    return row.joined_at, row.name
