"""What is known of each gateway, and the proof that the store can be written to."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from mailbridge.queue.contract import GatewayState
from mailbridge.queue.rows import from_us_or_none, to_us_or_none
from mailbridge.queue.tables import gateway_states as table
from mailbridge.queue.tables import meta

_PING = "ping"


def gateway_states(conn: Connection) -> dict[str, GatewayState]:
    """Return what is known of each gateway."""
    return {
        row.name: GatewayState(
            name=row.name,
            suspended=bool(row.suspended),
            by_hand=bool(row.by_hand),
            code=row.code,
            reason=row.reason,
            since=from_us_or_none(row.since),
            probe_at=from_us_or_none(row.probe_at),
            probes=row.probes,
        )
        for row in conn.execute(select(table))
    }


def save_gateway_state(conn: Connection, state: GatewayState) -> None:
    """Keep a gateway's state."""
    values = {
        "suspended": int(state.suspended),
        "by_hand": int(state.by_hand),
        "code": state.code,
        "reason": state.reason,
        "since": to_us_or_none(state.since),
        "probe_at": to_us_or_none(state.probe_at),
        "probes": state.probes,
    }
    if not conn.execute(update(table).where(table.c.name == state.name), values).rowcount:
        conn.execute(insert(table), {"name": state.name, **values})


def ping(conn: Connection) -> None:
    """Write something that is not there yet."""
    count = int(conn.execute(select(meta.c.value).where(meta.c.name == _PING)).scalar_one())
    conn.execute(update(meta).where(meta.c.name == _PING), {"value": str(count + 1)})
