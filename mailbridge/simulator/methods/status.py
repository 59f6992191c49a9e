"""status.php: one message, lists of them, deletion (smsc-api.md section 4)."""

from __future__ import annotations

from typing import Any

from mailbridge.simulator.answers import TOO_OFTEN, Answer, failure, ok
from mailbridge.simulator.calls import Call, Reply
from mailbridge.simulator.messages import Stored
from mailbridge.simulator.params import BadParameters
from mailbridge.simulator.phones import parse_number
from mailbridge.simulator.statuses import address_fields, csv_row, status_fields, unknown_fields

_DELETION_FAILED = "deletion failed"


def answer(call: Call) -> Reply:
    """Answer one request of status.php."""
    try:
        pairs, many = _pairs(call)
        level = call.params.number("all", 0, 2)
    except BadParameters:
        return Reply(answer=failure(1))
    if call.params.flag("del"):
        return Reply(answer=_delete(call, pairs))
    counted = [(call.account.login, *pair) for pair in dict.fromkeys(pairs)]
    if any(call.rates.statuses.full(key, call.tick) for key in counted):
        return Reply(answer=failure(9, TOO_OFTEN))
    for key in counted:
        call.rates.statuses.add(key, call.tick)
    found = [_fields(call, phone, message_id, level=level, many=many) for phone, message_id in pairs]
    return Reply(answer=_many(found, level=level) if many else _one(found[0], level=level))


def _pairs(call: Call) -> tuple[list[tuple[str, str]], bool]:
    """Return the (phone, id) pairs asked for, and whether they were written as a list."""
    phones, ids = call.params.text("phone"), call.params.text("id")
    many = "," in phones or "," in ids
    numbers = [_digits(piece) for piece in _pieces(phones)]
    names = _pieces(ids)
    if not numbers or len(numbers) != len(names) or not all(numbers) or not all(names):
        raise BadParameters
    return list(zip(numbers, names, strict=True)), many


def _pieces(text: str) -> list[str]:
    """Return the items of a comma list; a trailing comma adds none."""
    text = text.strip()
    return [piece.strip() for piece in text.removesuffix(",").split(",")] if text else []


def _digits(text: str) -> str:
    """Return a number as the store has it; an e-mail address stays."""
    return text if "@" in text else parse_number(text).digits


def _visible(call: Call, phone: str, message_id: str) -> Stored | None:
    """Return the message status.php knows under that address."""
    message = call.store.find(call.account.login, phone, message_id)
    return None if message is None or message.unseen_until > call.now else message


def _fields(call: Call, phone: str, message_id: str, *, level: int, many: bool) -> dict[str, Any]:
    """Return the fields of one message, known or not."""
    message = _visible(call, phone, message_id)
    fields = unknown_fields() if message is None else status_fields(message, call.now, level=level)
    return fields | address_fields(phone, message_id) if many else fields


def _line(fields: dict[str, Any]) -> str:
    """Return one message in the words of fmt 0."""
    return f"Status = {fields['status']}, check_time = {fields['last_date']}"


def _one(fields: dict[str, Any], *, level: int) -> Answer:
    """Return the answer for a single message."""
    root = "sms" if level else "status"
    return Answer(text=_line(fields), rows=[_row(fields, level=level)], data=fields, root=root)


def _many(found: list[dict[str, Any]], *, level: int) -> Answer:
    """Return the answer for a list: rows end with id and phone."""
    rows = [[*_row(fields, level=level), fields["id"], *(() if level else (fields["phone"],))] for fields in found]
    text = "\n".join(f"{_line(fields)}, id = {fields['id']}, phone = {fields['phone']}" for fields in found)
    return Answer(text=text, rows=rows, data=found, root="sms")


def _row(fields: dict[str, Any], *, level: int) -> list[object]:
    """Return the fields of fmt 1; of an unknown message only those it has."""
    return csv_row(fields, level=level if "message" in fields else 0)


def _delete(call: Call, pairs: list[tuple[str, str]]) -> Answer:
    """Delete messages, or none of them if one is not there."""
    messages = [_visible(call, phone, message_id) for phone, message_id in pairs]
    if None in messages:
        return failure(5, _DELETION_FAILED)
    for message in messages:
        if message is not None:
            call.store.remove(message)
    return ok()
