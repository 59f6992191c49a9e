"""get.php: history, inbound messages, statistics, prices, sender names (smsc-api.md sections 6.2 to 6.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from mailbridge.simulator.answers import NOTHING_FOUND, TOO_OFTEN, Answer, failure, id_value, listing, money
from mailbridge.simulator.calls import Call, Reply, sender_names
from mailbridge.simulator.messages import Stored
from mailbridge.simulator.params import BadParameters
from mailbridge.simulator.phones import parse_numbers
from mailbridge.simulator.statuses import MOSCOW, csv_row, local_date, status_fields

_MAIL_FORMAT = 8
_HOUR_S = 3600.0


def answer(call: Call) -> Reply:
    """Answer one request of get.php."""
    for flag, method in _ACTIONS.items():
        if call.params.flag(flag):
            try:
                return Reply(answer=method(call))
            except BadParameters:
                break
    return Reply(answer=failure(1))


def _answers(call: Call) -> Answer:
    """Return inbound messages, oldest first, after a cursor."""
    after = call.params.number("after_id", 0, 999_999_999)
    hours = call.params.number("hour", 1, 168, 168)
    limit = call.params.number("cnt", 1, 10_000, 10_000)
    to = call.params.text("to_phone").lstrip("+")
    found = [
        item
        for item in call.inbox.of(call.account.login, after=after, since=call.now - hours * _HOUR_S)
        if not to or item.to == to
    ][:limit]
    items: list[dict[str, Any]] = [
        {
            "id": item.serial,
            "received": local_date(item.received_at),
            "phone": item.phone,
            "message": item.mes,
            "to_phone": item.to,
            "sent": local_date(item.received_at),
        }
        for item in found
    ]
    return listing(items) if items else Answer(text="", rows=[], data=[], root="item")


def _day(text: str, *, end: bool) -> float | None:
    """Return a ``dd.mm.yyyy`` as Unix time, the day's end for *end*; None where there is none."""
    if not text.strip():
        return None
    try:
        day = datetime.strptime(text.strip(), "%d.%m.%Y").replace(tzinfo=MOSCOW)
        return (day + timedelta(days=1) if end else day).timestamp()
    except (ValueError, OverflowError) as problem:
        raise BadParameters from problem


def _between(call: Call) -> Iterator[Stored]:
    """Yield the account's messages between ``start`` and ``end``, newest first."""
    start, end = _day(call.params.text("start"), end=False), _day(call.params.text("end"), end=True)
    for message in call.store.newest():
        if message.login != call.account.login:
            continue
        if (start is None or message.received_at >= start) and (end is None or message.received_at < end):
            yield message


def _messages(call: Call) -> Answer:
    """Return the history, newest first."""
    limit = call.params.number("cnt", 1, 1000, 1000)
    before = call.params.number("prev_id", 0, 999_999_999)
    wanted = call.params.number("format", 0, 12)
    phones = {number.digits for number in parse_numbers(call.params.text("phone"))}
    items: list[dict[str, Any]] = []
    rows: list[list[object]] = []
    for message in _between(call):
        if (before and message.serial >= before) or (phones and message.phone not in phones):
            continue
        if (message.kind == "mail") != (wanted == _MAIL_FORMAT):
            continue
        fields = status_fields(message, call.now, level=2)
        fields |= {"id": message.message_id, "int_id": str(message.serial), "format": wanted}
        items.append(fields)
        rows.append([*csv_row(fields, level=2), id_value(message.message_id), message.serial])
        if len(items) == limit:
            break
    return listing(items, rows)


def _stat(call: Call) -> Answer:
    """Return what was sent and spent between two days."""
    found = list(_between(call))
    if not found:
        return failure(3, NOTHING_FOUND)
    item = {
        "login": call.account.login,
        "cnt": sum(message.parts for message in found if message.cost),
        "credit": money(sum((message.cost for message in found), start=found[0].cost * 0)),
        "debit": "0.00",
        "currency": call.account.settings.currency,
    }
    return listing([item])


def _price(call: Call) -> Answer:
    """Return the one price there is."""
    item = {
        "country": "Россия",
        "operator": "МТС",
        "price": money(call.settings.price),
        "currency": call.account.settings.currency,
    }
    return listing([item])


def _senders(call: Call) -> Answer:
    """Return the sender names that may be used."""
    if not call.rates.senders.take(call.account.login, call.tick):
        return failure(9, TOO_OFTEN)
    return listing([{"sender": name} for name in sender_names(call)])


def _mega_accounts(_call: Call) -> Answer:
    """Return the statistics of a Megafon account: there is none here."""
    return failure(3, NOTHING_FOUND)


_ACTIONS: dict[str, Callable[[Call], Answer]] = {
    "get_answers": _answers,
    "get_messages": _messages,
    "get_stat": _stat,
    "get_price": _price,
    "get_senders": _senders,
    "get_mega_accounts": _mega_accounts,
}
