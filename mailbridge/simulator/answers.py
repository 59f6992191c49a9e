"""Answers in the gateway's four formats: one value, one formatter (smsc-api.md sections 1.6, 2.4 and 4.2).

Methods build an ``Answer``; only this module knows what ``fmt`` means. It must not decide what is answered.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape

#: send.php's words, smsc-api.md section 2.7
ERROR_TEXTS: dict[int, str] = {
    1: "parameters error",
    2: "authorise error",
    3: "no money",
    4: "IP is blocked",
    5: "invalid date format",
    6: "message is denied",
    7: "invalid number",
    8: "can't to deliver",
    9: "duplicate request, wait a minute",
}
TOO_MANY = "too many concurrent requests"
TOO_OFTEN = "too many requests, wait a minute"
NOTHING_FOUND = "no data found"

#: codes whose answer to a send carries the message's id
CODES_WITH_ID = frozenset({3, 6, 7, 8})

CHARSETS: dict[str, str] = {"windows-1251": "cp1251", "cp1251": "cp1251", "utf-8": "utf-8", "koi8-r": "koi8-r"}
DEFAULT_CHARSET = "windows-1251"

_CONTENT_TYPES = ("text/plain", "text/plain", "text/xml", "application/json")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_JSON_ERRORS = "mailbridge.simulator.json"

Data = Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer, said in every format.

    Shape: *text* is fmt 0, *rows* are the lines of fmt 1, *data* is fmt 3 and, under *root*, fmt 2.
    """

    text: str
    rows: Sequence[Sequence[object]]
    data: Data
    root: str = "result"
    #: the gateway's error code; 0 is success
    code: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What goes over the wire."""

    content: bytes
    content_type: str
    charset: str


def _escape_for_json(error: UnicodeError) -> tuple[str, int]:
    """Write what a charset cannot say as JSON escapes, so that nothing is lost."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(_JSON_ERRORS, _escape_for_json)


def failure(code: int, text: str | None = None, message_id: str | None = None) -> Answer:
    """Return error *code*; those of ``CODES_WITH_ID`` carry *message_id* where there is one."""
    words = text or ERROR_TEXTS.get(code, "unknown error")
    data: dict[str, Any] = {"error": words, "error_code": code}
    line = f"ERROR = {code} ({words})"
    first: object = 0
    if message_id is not None and code in CODES_WITH_ID:
        data["id"] = first = id_value(message_id)
        line += f", ID - {message_id}"
    return Answer(text=line, rows=[(first, -code)], data=data, code=code)


def ok() -> Answer:
    """Return the answer to a command that has nothing to tell."""
    return Answer(text="OK", rows=[("OK",)], data={"result": "OK"})


def created(number: object) -> Answer:
    """Return the answer to a command that made a record."""
    return Answer(text=f"OK, ID - {number}", rows=[(number,)], data={"id": number})


def listing(items: Sequence[Mapping[str, Any]], rows: Sequence[Sequence[object]] | None = None) -> Answer:
    """Return a list in every format; an empty one is error 3, as everything that is not found."""
    if not items:
        return failure(3, NOTHING_FOUND)
    text = "\n".join(", ".join(f"{name} = {value}" for name, value in item.items()) for item in items)
    return Answer(text=text, rows=rows or [list(item.values()) for item in items], data=list(items), root="item")


def id_value(message_id: str) -> int | str:
    """Return *message_id* as JSON has it: a number where it is one."""
    if message_id.isascii() and message_id.isdigit() and message_id[0] != "0" and len(message_id) <= 10:
        number = int(message_id)
        return number if number <= 2_147_483_647 else message_id
    return message_id


def money(amount: Decimal) -> str:
    """Return *amount* with two decimals, as fmt 0 and 1 have it."""
    return f"{amount:.2f}"


def short_money(amount: Decimal) -> str:
    """Return *amount* without trailing zeros, as JSON has it."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") or "0" if "." in text else text


def render(answer: Answer, fmt: int, charset: str) -> Body:
    """Return *answer* in format *fmt*, encoded in *charset* (a key of ``CHARSETS``)."""
    codec = CHARSETS[charset]
    if fmt == 3:
        content = json.dumps(answer.data, ensure_ascii=False, separators=(",", ":")).encode(codec, _JSON_ERRORS)
    elif fmt == 2:
        content = _xml(answer).encode(codec, "xmlcharrefreplace")
        if not content.isascii() and codec != "utf-8":
            content = f'<?xml version="1.0" encoding="{charset}"?>'.encode() + content
    elif fmt == 1:
        lines = (",".join(map(str, row)) for row in answer.rows)
        content = "\n".join(lines).encode(codec, "xmlcharrefreplace")
    else:
        content = answer.text.encode(codec, "xmlcharrefreplace")
    return Body(content=content, content_type=_CONTENT_TYPES[fmt], charset=charset)


def _xml(answer: Answer) -> str:
    """Return the data as elements: a list's items are called as the root, inside ``list``."""
    if isinstance(answer.data, Mapping):
        if list(answer.data) == [answer.root]:
            return _element(answer.root, answer.data[answer.root])
        return _element(answer.root, answer.data)
    return f"<list>{''.join(_element(answer.root, item) for item in answer.data)}</list>"


def _element(name: str, value: object) -> str:
    """Return one element; a list under ``phones`` holds ``phone`` elements and so on."""
    if isinstance(value, Mapping):
        inside = "".join(_element(str(key), item) for key, item in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        inside = "".join(_element(name.removesuffix("s"), item) for item in value)
    else:
        inside = escape(_NOT_XML.sub("\ufffd", str(value)))
    return f"<{name}>{inside}</{name}>"
