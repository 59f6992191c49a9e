"""Reading: one message, one mail, lists, counts, and what is due. Nothing here writes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from heapq import merge
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Text, Tuple, bindparam, func, literal, select, tuple_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from mailbridge.model.phone import digits_of
from mailbridge.model.state import State
from mailbridge.queue.contract import Attempt, Filter, HistoryEntry, Spend, StoredMail, StoredMessage
from mailbridge.queue.prices import Priced, sum_prices
from mailbridge.queue.rows import MESSAGE, from_us, from_us_or_none, load_detail, read_mail, read_message, to_us
from mailbridge.queue.rules import like_pattern
from mailbridge.queue.statements.chunks import chunked
from mailbridge.queue.tables import OPEN_STATES, WARNABLE, attempts, history, mails, messages

_m = messages.c


class fold(GenericFunction[str]):  # noqa: N801 - the name of the SQL function
    """*text* without its case. SQLite's own lower() knows ASCII only, so its connections bring ``casefold``."""

    type = Text()
    inherit_cache = True


@compiles(fold)
def _fold(element: fold, compiler: SQLCompiler, **kw: Any) -> str:
    return f"lower({compiler.process(element.clauses, **kw)})"


@compiles(fold, "sqlite")
def _fold_sqlite(element: fold, compiler: SQLCompiler, **kw: Any) -> str:
    return f"casefold({compiler.process(element.clauses, **kw)})"


# ------------------------------------------------------------------------------------------- one by its id
def get_mail(conn: Connection, mail_id: str) -> StoredMail | None:
    """Return a mail."""
    row = conn.execute(select(mails).where(mails.c.id == mail_id)).one_or_none()
    return None if row is None else read_mail(row)


def get_messages(conn: Connection, id_: str) -> list[StoredMessage]:
    """Return a message, or all messages of a mail in order."""
    rows = conn.execute(select(*MESSAGE).where(_m.id == id_)).all()
    if not rows:
        rows = conn.execute(select(*MESSAGE).where(_m.mail_id == id_).order_by(_m.number)).all()
    return [read_message(row) for row in rows]


def read_history(conn: Connection, message_id: str) -> list[HistoryEntry]:
    """Return a message's history, oldest first."""
    rows = conn.execute(select(history).where(history.c.message_id == message_id).order_by(history.c.n))
    return [
        HistoryEntry(
            message_id=row.message_id,
            at=from_us(row.at),
            event=row.event,
            state=State(row.state),
            detail=load_detail(row.detail),
        )
        for row in rows
    ]


def attempts_of(conn: Connection, message_id: str) -> list[Attempt]:
    """Return a message's attempts, oldest first."""
    rows = conn.execute(select(attempts).where(attempts.c.message_id == message_id).order_by(attempts.c.n))
    return [
        Attempt(
            message_id=row.message_id,
            number=row.number,
            gateway=row.gateway,
            gateway_id=row.gateway_id,
            intent_at=from_us(row.intent_at),
        )
        for row in rows
    ]


_attempted = (
    select(
        attempts.c.gateway.label("a_gateway"),
        attempts.c.gateway_id.label("a_id"),
        attempts.c.phone.label("a_phone"),
        *MESSAGE,
    )
    .join(attempts, attempts.c.message_id == _m.id)
    .where(
        attempts.c.gateway == bindparam("gateway"),
        attempts.c.gateway_id.in_(bindparam("ids", expanding=True)),
    )
)


def find_attempts(conn: Connection, keys: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], StoredMessage]:
    """Find messages by (gateway, gateway id, phone); the phone with or without its plus."""
    found: dict[tuple[str, str, str], Sequence[Any]] = {}
    phones = {(gateway, id_, digits_of(phone)) for gateway, id_, phone in keys}
    for gateway in {gateway for gateway, _, _ in keys}:
        for some in chunked(list({id_ for name, id_, _ in keys if name == gateway})):
            for row in conn.execute(_attempted, {"gateway": gateway, "ids": some}):
                if (key := (row[0], row[1], row[2])) in phones:
                    found[key] = row[3:]
    rows = {key: found.get((key[0], key[1], digits_of(key[2]))) for key in keys}
    return {key: read_message(row) for key, row in rows.items() if row is not None}


# ------------------------------------------------------------------------------------------------ what is due
due_in_state = (
    select(*MESSAGE)
    .where(_m.state == bindparam("of_state"), _m.next_attempt_at <= bindparam("now"))
    .order_by(_m.next_attempt_at, _m.id)
    .limit(bindparam("count"))
)
expired_rows = (
    select(*MESSAGE)
    .where(OPEN_STATES, _m.state != State.SENDING.value, _m.expires_at <= bindparam("now"))
    .order_by(_m.expires_at, _m.id)
    .limit(bindparam("count"))
)
warnable_rows = (
    select(*MESSAGE)
    .where(
        WARNABLE,
        _m.state != State.SENDING.value,
        # one that waits with others is not late
        _m.next_attempt_at.is_not(None),
        _m.created_at < bindparam("before"),
    )
    .order_by(_m.created_at, _m.id)
    .limit(bindparam("count"))
)
#: not min(): a look at the first entry of the index, whatever the engine thinks of aggregates
next_due = (
    select(_m.next_attempt_at)
    .where(_m.state == State.QUEUED.value, _m.next_attempt_at.is_not(None))
    .order_by(_m.next_attempt_at)
    .limit(1)
)


def due_questions(conn: Connection, *, now: datetime, limit: int, states: frozenset[State]) -> list[StoredMessage]:
    """Return ``unknown`` and/or ``sent`` rows whose next question is due, oldest first.

    One look for each state: asked together, the engine would sort all that is due to find the first few.
    """
    found = [
        conn.execute(due_in_state, {"of_state": state.value, "now": to_us(now), "count": limit}).all()
        for state in (State.UNKNOWN, State.SENT)
        if state in states
    ]
    rows = merge(*found, key=lambda row: (row.next_attempt_at, row.id))
    return [read_message(row) for row in islice(rows, limit)]


def expired(conn: Connection, *, now: datetime, limit: int) -> list[StoredMessage]:
    """Return queued and unknown messages whose lifetime is over."""
    return [read_message(row) for row in conn.execute(expired_rows, {"now": to_us(now), "count": limit}).all()]


def due_warnings(conn: Connection, *, created_before: datetime, limit: int) -> list[StoredMessage]:
    """Return queued and unknown messages older than that whose sender may be told and was not yet."""
    asked = {"before": to_us(created_before), "count": limit}
    return [read_message(row) for row in conn.execute(warnable_rows, asked).all()]


def next_due_at(conn: Connection) -> datetime | None:
    """Return when the next queued message is due."""
    return from_us_or_none(conn.execute(next_due).scalar_one_or_none())


# ---------------------------------------------------------------------------------------------------- lists
def count_states(conn: Connection) -> dict[State, int]:
    """Count messages by state, from the index alone."""
    rows = conn.execute(select(_m.state, func.count().label("count")).group_by(_m.state))
    return {State(state): count for state, count in rows}


#: over the index of what is open alone: with the bare column the engine would walk the whole history
oldest_waiting = select(func.min(_m.created_at + 0)).where(OPEN_STATES, _m.expires_at > 0)
#: each state is a stretch of the index of what is due; a million entries take about 50 ms
waiting = select(func.count()).select_from(
    select(literal(1).label("one"))
    .select_from(messages)
    .where(_m.state.in_([State.QUEUED.value, State.SENDING.value, State.UNKNOWN.value]))
    .limit(bindparam("up_to"))
    .subquery("waiting")
)
#: money is text: rows of one price are counted here and multiplied exactly outside
prices_since = (
    select(_m.gateway, _m.currency, _m.price, func.count().label("messages"), func.sum(_m.parts).label("parts"))
    .where(_m.attempted_at >= bindparam("since"), _m.price.is_not(None))
    .group_by(_m.gateway, _m.currency, _m.price)
)


def oldest_waiting_at(conn: Connection) -> datetime | None:
    """Return when the oldest message that is queued, sending or unknown came in."""
    return from_us_or_none(conn.execute(oldest_waiting).scalar_one_or_none())


def count_waiting(conn: Connection, *, up_to: int) -> int:
    """Count messages that are queued, sending or unknown, no further than *up_to*, from the index."""
    count: int = conn.execute(waiting, {"up_to": up_to}).scalar_one()
    return count


def spend(conn: Connection, *, since: datetime) -> list[Spend]:
    """Sum the prices of what was handed over since then."""
    rows = conn.execute(prices_since, {"since": to_us(since)})
    return sum_prices(
        Priced(
            gateway=row.gateway, currency=row.currency, price=Decimal(row.price), messages=row.messages, parts=row.parts
        )
        for row in rows
    )


def find(conn: Connection, wanted: Filter) -> list[StoredMessage]:
    """List messages, newest first."""
    return [read_message(row) for row in conn.execute(find_page(wanted)).all()]


def find_page(wanted: Filter) -> Select[Any]:
    """Build the statement of one page. Only *sender* and *text* are looked for row by row."""
    page = select(*MESSAGE).order_by(_m.created_at.desc(), _m.id.desc()).limit(wanted.limit)
    if wanted.sender is not None or wanted.text is not None:
        page = page.join(mails, mails.c.id == _m.mail_id)
    return page.where(*_conditions(wanted))


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    out: list[ColumnElement[bool]] = []
    if wanted.states is not None:
        # not as the bare column: by its index the engine would find, and then sort, all that was ever delivered
        out.append(_m.state.concat("").in_(sorted(state.value for state in wanted.states)))
    if wanted.phone is not None:
        out.append(_m.phone == wanted.phone)
    if wanted.since is not None:
        out.append(_m.created_at >= to_us(wanted.since))
    if wanted.until is not None:
        out.append(_m.created_at < to_us(wanted.until))
    if wanted.sender is not None:
        pattern = like_pattern(wanted.sender.casefold())
        out.append(fold(mails.c.sender).like(pattern, escape="\\") | fold(_m.sender).like(pattern, escape="\\"))
    if wanted.text is not None:
        part = wanted.text.casefold()
        out.append(
            fold(_m.text).contains(part, autoescape=True) | fold(mails.c.subject).contains(part, autoescape=True)
        )
    if wanted.after_id is not None:
        out.append(tuple_(_m.created_at, _m.id) < _place_of(wanted.after_id))
    if wanted.from_id is not None:
        out.append(tuple_(_m.created_at, _m.id) >= _place_of(wanted.from_id))
    return out


def _place_of(message_id: str) -> Tuple:
    other = messages.alias()
    return tuple_(select(other.c.created_at).where(other.c.id == message_id).scalar_subquery(), literal(message_id))
