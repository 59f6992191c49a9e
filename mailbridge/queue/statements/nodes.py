"""Signs of life of the nodes that share a queue, and what becomes of the messages of one that gives none.

All times here are the database's own: nodes need not agree about the time. Signs of life come one after the other, so
the nodes have one order, and only the first of them may believe that it is.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Connection, bindparam, cast, delete, extract, func, insert, or_, select, update

from mailbridge.model.state import State
from mailbridge.queue.cluster import Pulse
from mailbridge.queue.statements.claims import give_up, recover
from mailbridge.queue.tables import messages, nodes

#: "MBRn"
_LOCK = 0x4D42526E
_one_by_one = select(func.pg_advisory_xact_lock(bindparam("lock")))
_clock = select(cast(extract("epoch", func.clock_timestamp()) * 1_000_000, BigInteger))
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
    now_us = conn.execute(_clock).scalar_one()
    known = {row.name: row for row in conn.execute(_known)}
    own = known.get(node)
    # whoever was silent for too long has lost its place
    is_new = own is None or own.seen_at < now_us - lease_us
    # behind all that came before, also where the database's clock was set back since
    last_us = max([now_us, *(row.joined_at + 1 for row in known.values())])
    if own is None:
        conn.execute(insert(nodes), {"name": node, "joined_at": last_us, "seen_at": now_us})
    else:
        seen = {"seen_at": now_us, **({"joined_at": last_us} if is_new else {})}
        conn.execute(update(nodes).where(nodes.c.name == node), seen)
    others = [row for row in known.values() if row.name != node]
    alive = [row for row in others if row.seen_at >= now_us - lease_us]
    place = len(alive) if is_new or own is None else sum(_rank(row) < _rank(own) for row in alive)
    taken_over = 0
    if take_over and place == 0:
        names = [node, *(row.name for row in alive)]
        orphans = conn.execute(_orphans, {"names": names}).scalars().all()
        taken_over = give_up(conn, orphans, now=now, reason="its node is gone")
        if dead := [row.name for row in others if row not in alive]:
            conn.execute(_forget, {"names": dead})
    return Pulse(nodes=len(alive) + 1, place=place, is_new=is_new, taken_over=taken_over)


def leave(conn: Connection, *, node: str, now: datetime) -> int:
    """Forget *node*, which has ended; what it left in ``sending`` becomes ``unknown``."""
    conn.execute(_one_by_one, {"lock": _LOCK})
    count = recover(conn, node=node, now=now)
    conn.execute(_forget, {"names": [node]})
    return count


def _rank(row: object) -> tuple[int, str]:
    return row.joined_at, row.name  # type: ignore[attr-defined] # a row of ``nodes``
