"""What people ask: pages, sums by the hour, the newest lines of the history; and what is kept for who asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, bindparam, case, delete, func, insert, literal, null, select, text, update

from mailbridge.model.state import State
from mailbridge.queue.browsing import HOUR, LATENCIES_S, Asked, Event, Page, Tally, is_straight
from mailbridge.queue.contract import Filter, HistoryEntry, StoredMessage
from mailbridge.queue.rows import MESSAGE, from_us, load_detail, read_message, to_us
from mailbridge.queue.statements.questions import find, find_page
from mailbridge.queue.tables import IS_RARE, history, messages, meta, requests

_m = messages.c
_HOUR_US = HOUR // timedelta(microseconds=1)
_BOOKMARK = "bookmark:"


# ---------------------------------------------------------------------------------------------------- pages
def page(conn: Connection, *, wanted: Filter, reach: int) -> Page:
    """List messages, newest first, reading at most *reach* of them."""
    if is_straight(wanted):
        straight = find_page(wanted) if wanted.phone is not None else find_page(wanted).where(IS_RARE)
        return _page([read_message(row) for row in conn.execute(straight)], wanted, None)
    edge = conn.execute(_edge(wanted, reach)).scalar_one_or_none()
    rows = find(conn, replace(wanted, from_id=edge))
    return _page(rows, wanted, edge)


def _page(rows: Sequence[StoredMessage], wanted: Filter, edge: str | None) -> Page:
    return Page(messages=tuple(rows), after_id=rows[-1].id if len(rows) == wanted.limit else edge)


def _edge(wanted: Filter, reach: int) -> Any:
    """Build the question for the oldest message within reach; nothing, where the end is nearer."""
    where = replace(wanted, states=None, sender=None, text=None, limit=1)
    return find_page(where).with_only_columns(_m.id).offset(reach - 1)


# ----------------------------------------------------------------------------------------------------- sums
def _class_of(took_us: Any) -> Any:
    edges = [(took_us <= round(edge_s * 1_000_000), number) for number, edge_s in enumerate(LATENCIES_S)]
    return case(*edges, else_=len(LATENCIES_S))


_tally = (
    select(
        (_m.created_at // literal(_HOUR_US)).label("hour"),
        _m.state,
        _m.gateway,
        _m.currency,
        _m.price,
        case((_m.attempted_at.is_(None), null()), else_=_class_of(_m.attempted_at - _m.created_at)).label("handed"),
        case((_m.state != State.DELIVERED.value, null()), else_=_class_of(_m.updated_at - _m.created_at)).label(
            "arrived"
        ),
        func.count().label("messages"),
        func.sum(_m.parts).label("parts"),
    )
    .where(_m.created_at >= bindparam("since"), _m.created_at < bindparam("until"))
    .group_by("hour", _m.state, _m.gateway, _m.currency, _m.price, "handed", "arrived")
    .order_by("hour", _m.state)
)


def tally(conn: Connection, *, since: datetime, until: datetime) -> list[Tally]:
    """Count the messages that came in from *since* to before *until*, hour by hour."""
    return [
        Tally(
            hour=from_us(row.hour * _HOUR_US),
            state=State(row.state),
            gateway=row.gateway,
            currency=row.currency,
            price=None if row.price is None else Decimal(row.price),
            handed_over=row.handed,
            arrived=row.arrived,
            messages=row.messages,
            parts=int(row.parts),
        )
        for row in conn.execute(_tally, {"since": to_us(since), "until": to_us(until)})
    ]


# --------------------------------------------------------------------------------------------------- events
newer_lines = (
    select(history.c.n, history.c.at, history.c.event.label("verb"), history.c.state.label("then"),
           history.c.detail, *MESSAGE)
    .join(messages, messages.c.id == history.c.message_id)
    .where(history.c.n > bindparam("after"))
    .order_by(history.c.n)
    .limit(bindparam("count"))
)  # fmt: skip
_last_line = select(history.c.n).order_by(history.c.n.desc()).limit(1)


def events(conn: Connection, *, after: int, limit: int) -> list[Event]:
    """Return the lines of the history numbered above *after*, in their order."""
    out = []
    for row in conn.execute(newer_lines, {"after": after, "count": limit}):
        message = read_message(row[5:])
        entry = HistoryEntry(
            message_id=message.id, at=from_us(row.at), event=row.verb, state=State(row.then),
            detail=load_detail(row.detail),
        )  # fmt: skip
        out.append(Event(n=row.n, entry=entry, message=message))
    return out


def last_event(conn: Connection) -> int:
    """Return the number of the newest line of the history."""
    return conn.execute(_last_line).scalar_one_or_none() or 0


# ----------------------------------------------------------------------------------------------------- kept
#: two nodes may be asked the same at once: the second waits here for the first. SQLite and PostgreSQL alike
_begin = text(
    "INSERT INTO requests (key, fingerprint, mail_id, until) VALUES (:key, :fingerprint, :mail_id, :until)"
    " ON CONFLICT (key) DO NOTHING"
)


def ask_once(conn: Connection, *, asked: Asked, now: datetime) -> Asked:
    """Keep *asked*, unless its key is kept already and still holds; return what is kept."""
    conn.execute(delete(requests).where(requests.c.until <= to_us(now)))
    conn.execute(
        _begin,
        {"key": asked.key, "fingerprint": asked.fingerprint, "mail_id": asked.mail_id, "until": to_us(asked.until)},
    )
    row = conn.execute(select(requests).where(requests.c.key == asked.key)).one()
    return Asked(key=row.key, fingerprint=row.fingerprint, mail_id=row.mail_id, until=from_us(row.until))


def read_bookmark(conn: Connection, *, name: str) -> int | None:
    """Return what was kept under *name*."""
    found = conn.execute(select(meta.c.value).where(meta.c.name == f"{_BOOKMARK}{name}")).scalar_one_or_none()
    return None if found is None else int(found)


def keep_bookmark(conn: Connection, *, name: str, n: int) -> None:
    """Keep how far somebody has read the history."""
    key, values = f"{_BOOKMARK}{name}", {"value": str(n)}
    if not conn.execute(update(meta).where(meta.c.name == key), values).rowcount:
        conn.execute(insert(meta), {"name": key, **values})
