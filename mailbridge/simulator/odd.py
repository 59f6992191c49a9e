"""Answers that are right but not as documented: what ``magic.ODD`` names, done to an answer or to its bytes. Pure."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

from mailbridge.simulator.answers import Answer, Body, render

_MONEY = frozenset({"cost", "balance"})


def _strings(value: Any) -> Any:
    """Return *value* with every number as a string."""
    match value:
        case dict():
            return {name: _strings(item) for name, item in value.items()}
        case list():
            return [_strings(item) for item in value]
        case _:
            return str(value)


def _numbers(data: dict[str, Any]) -> dict[str, Any]:
    """Return *data* with money as JSON numbers."""
    return {name: float(Decimal(value)) if name in _MONEY else value for name, value in data.items()}


def render_odd(answer: Answer, odd: str, fmt: int, charset: str) -> Body:
    """Return *answer* in the way *odd* names."""
    data = dict(answer.data) if isinstance(answer.data, dict) else {}
    rows = [list(row) for row in answer.rows]
    match odd:
        case "strings":
            data = _strings(data)
        case "numbers":
            data = _numbers(data)
        case "wrong-id":
            data["id"] = rows[0][0] = 999_999_999
        case "no-parts":
            data["cnt"] = rows[0][1] = 0
        case "no-id":
            data.pop("id", None)
            rows[0][0] = ""
        case "no-phones":
            data.pop("phones", None)
        case "plain":
            fmt = 0
        case "extra":
            data |= {"новое поле": {"внутри": [1, None, True]}, "error": None, "warning": "brownout"}
        case "bare-ok":
            return Body(content=b"OK", content_type="text/plain", charset=charset)
    body = render(dataclasses.replace(answer, data=data, rows=rows), fmt, charset)
    if odd == "extra":
        mark = "\ufeff".encode() if charset == "utf-8" else b""
        body = dataclasses.replace(body, content=mark + b"\r\n" + body.content + b"\r\n\r\n")
    return body
