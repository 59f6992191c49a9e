"""SMS that come in: each kept once, whichever way told of it, and how far each gateway's inbox was read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from mailbridge.model.inbound import InboundSms
from mailbridge.model.phone import Phone
from mailbridge.queue.escalations import StoredInbound, inbound_key, is_untold
from mailbridge.queue.rows import Values, from_us, from_us_or_none, to_us, to_us_or_none
from mailbridge.queue.statements.escalations import lock
from mailbridge.queue.tables import UNHANDLED, inbound, inbox_cursors

_i = inbound.c
#: what the other way may have told of lies no further back: a callback is repeated for a day, an inbox keeps a week
_LOOK_BACK = timedelta(days=8)


def take_inbound(
    conn: Connection, *, items: Sequence[InboundSms], via: str, now: datetime, cursor: tuple[str, int] | None
) -> int:
    """Keep those of *items* that are new, and the cursor; return how many were new."""
    # of several nodes one reads inboxes, but callbacks come to any
    conn.execute(lock)
    taken = sum(_take(conn, sms, via, now) for sms in items)
    if cursor is not None:
        gateway, after_id = cursor
        values: Values = {"after_id": after_id}
        if not conn.execute(update(inbox_cursors).where(inbox_cursors.c.gateway == gateway), values).rowcount:
            conn.execute(insert(inbox_cursors), {"gateway": gateway, **values})
    return taken


def _take(conn: Connection, sms: InboundSms, via: str, now: datetime) -> bool:
    key = inbound_key(sms, via)
    known = select(_i.n).where(_i.gateway == sms.gateway, _i.key == key)
    if conn.execute(known).first() is not None:
        return False
    near = (
        select(inbound)
        .where(_i.gateway == sms.gateway, _i.phone == sms.phone, _i.stored_at > to_us(now - _LOOK_BACK))
        .order_by(_i.stored_at, _i.n)
        .with_for_update()
    )
    for row in conn.execute(near):
        if row.twin == key:
            return False
        if is_untold(read_inbound(row), sms, via, now):
            conn.execute(update(inbound).where(_i.n == row.n).values(twin=key))
            return False
    conn.execute(
        insert(inbound),
        {
            "gateway": sms.gateway,
            "key": key,
            "via": via,
            "gateway_id": sms.id,
            "phone": sms.phone,
            "to_number": sms.to,
            "text": sms.text,
            "received_at": to_us_or_none(sms.received_at),
            "stored_at": to_us(now),
            "result": "",
        },
    )
    return True


def inbox_cursor(conn: Connection, *, gateway: str) -> int | None:
    """Return how far a gateway's inbox was read."""
    after_id: int | None = conn.execute(
        select(inbox_cursors.c.after_id).where(inbox_cursors.c.gateway == gateway)
    ).scalar_one_or_none()
    return after_id


def unhandled_inbound(conn: Connection, *, limit: int) -> Sequence[StoredInbound]:
    """Return inbound SMS of which nothing was made yet, oldest first."""
    return [read_inbound(row) for row in conn.execute(select(inbound).where(UNHANDLED).order_by(_i.n).limit(limit))]


def settle_inbound(conn: Connection, *, n: int, result: str) -> bool:
    """Note what was made of an inbound SMS."""
    return bool(conn.execute(update(inbound).where(_i.n == n, _i.result == "").values(result=result)).rowcount)


def forget(conn: Connection, *, before: datetime) -> None:
    """Delete what was stored before *before*."""
    conn.execute(delete(inbound).where(_i.stored_at < to_us(before), _i.result != ""))


def read_inbound(row: Row[Any]) -> StoredInbound:
    """Return a row of ``inbound`` as a value."""
    sms = InboundSms(
        gateway=row.gateway, phone=Phone(row.phone), text=row.text, to=row.to_number, id=row.gateway_id,
        received_at=from_us_or_none(row.received_at),
    )  # fmt: skip
    return StoredInbound(
        n=row.n, sms=sms, via=row.via, stored_at=from_us(row.stored_at), result=row.result, twin=row.twin
    )
