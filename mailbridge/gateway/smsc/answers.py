"""Answers as values: whatever bytes come back become one of ``Failure | Garbage | JSON``; nothing here raises.

Between the wire and the verdicts, the incoming half of the codec. Pure.
Must not decide what an answer means for a message, and must not read a shape that is not documented as a success.
Source: smsc-api.md 1.6 and 2.4 to 2.7.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from mailbridge.model.words import without_secrets

Json = str | int | Decimal | bool | None | Sequence["Json"] | Mapping[str, "Json"]


@dataclass(frozen=True, slots=True)
class Failure:
    """The gateway refused the whole request: code and its own words."""

    code: int
    text: str
    #: the message's id where the refusal names one; it tells nothing about what the refusal means
    id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Garbage:
    """Nothing that can be believed: a word about why, for the log."""

    why: str


_FAILURE_LINE = re.compile(r"ERROR\s*=\s*(\d{1,9})\s*(?:\((.*)\))?(?:,\s*ID\s*-\s*(\S+))?", re.IGNORECASE)
#: the success of fmt=0, in case fmt was ignored
_SUCCESS_LINE = re.compile(r"OK\s*-\s*(\d{1,9})\s+SMS,\s*ID\s*-\s*([A-Za-z0-9._-]{1,40})(?:,.*)?")
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{1,15})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}")
_NO_ERROR = (None, 0, "0", "")
#: no sum, id or time of the gateway's is near it
_LIMIT = 10**18
_MAX_TEXT = 200


def parse_answer(body: bytes, secrets: Sequence[str] = ()) -> Json | Failure | Garbage:
    """Read *body*. A JSON string, number or null is no answer of this gateway's, except the number a balance may be.

    Of *secrets* nothing is left in the words of a ``Failure``: a gateway that repeats them must not spread them.
    """
    text = _decode(body).strip("\ufeff\x00 \t\r\n")
    if not text:
        return Garbage("empty answer")
    if text[0] not in '{["-0123456789':
        return _parse_plain(text, secrets)
    value = decode_json(text)
    return value if isinstance(value, Garbage) else _find_failure(value, secrets)


def decode_json(text: str) -> Json | Garbage:
    """Read *text* as JSON, numbers exactly; what is broken, bottomless or says two things is Garbage."""
    try:
        return _DECODER.decode(text)  # type: ignore[no-any-return]
    except (ValueError, RecursionError, InvalidOperation):
        return Garbage("broken JSON")


def as_int(value: object) -> int | None:
    """Return *value* as an int where it is one, in a string or with a zero fraction too; None otherwise."""
    match value:
        case bool():
            return None
        case int():
            return value if abs(value) < _LIMIT else None
        case Decimal():
            return int(value) if value == value.to_integral_value() else None
        case str() if _INTEGER.fullmatch(value.strip()):
            return int(value)
    return None


def as_money(value: object) -> Decimal | None:
    """Return *value* as a sum where it is one; None otherwise."""
    match value:
        case bool():
            return None
        case Decimal():
            return value
        case int():
            return Decimal(value) if abs(value) < _LIMIT else None
        case str() if _NUMBER.fullmatch(value.strip()):
            return Decimal(value.strip())
    return None


def as_currency(value: object) -> str:
    """Return the three letters of a currency; empty where it is none (smsc-api.md 6.1)."""
    word = value.strip().upper() if isinstance(value, str) else ""
    return word if _CURRENCY.fullmatch(word) else ""


def as_id(value: object) -> str:
    """Return an id as text, whether it came as a number or a string; empty where it is neither."""
    number = as_int(value)
    if isinstance(value, str):
        return value.strip()
    return "" if number is None else str(number)


def same_id(value: object, ours: str) -> bool:
    """Tell whether *value* is our id *ours*; numeric ids may come back as numbers, without leading zeros."""
    theirs = as_id(value)
    if theirs == ours:
        return True
    return all(map(_INTEGER.fullmatch, (theirs, ours))) and int(theirs) == int(ours)


def clean_text(value: object, secrets: Sequence[str] = ()) -> str:
    """Return the gateway's own words in one printable line of bounded length; empty where there are none."""
    if not isinstance(value, str):
        return ""
    value = without_secrets(value, secrets)
    return " ".join("".join(c if c.isprintable() else " " for c in value[: 4 * _MAX_TEXT]).split())[:_MAX_TEXT]


def _decode(body: bytes) -> str:
    """Decode as asked for (UTF-8), else as the gateway does when it forgets (windows-1251)."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("cp1251", "replace")


def _parse_plain(text: str, secrets: Sequence[str]) -> Json | Failure | Garbage:
    """Read the plain-text shapes that come although JSON was asked for."""
    first_line = text.splitlines()[0].strip()
    if failure := _FAILURE_LINE.match(first_line):
        return _failure(int(failure[1]), failure[2], secrets, failure[3])
    if success := _SUCCESS_LINE.fullmatch(first_line):
        return {"id": success[2], "cnt": int(success[1])}
    return Garbage("HTML answer" if text.startswith("<") else "not a known answer")


def _find_failure(value: Json, secrets: Sequence[str]) -> Json | Failure | Garbage:
    """Tell an error object from others; ``"error": null`` and ``"error_code": 0`` say that there is none."""
    if not isinstance(value, Mapping) or not (value.get("error") or value.get("error_code") not in _NO_ERROR):
        return value
    code = as_int(value.get("error_code"))
    return (
        Garbage("error without a code")
        if code is None
        else _failure(code, value.get("error"), secrets, value.get("id"))
    )


def _failure(code: int, text: object, secrets: Sequence[str], message_id: object) -> Failure | Garbage:
    if code <= 0:
        return Garbage("error without a code")
    return Failure(code, clean_text(text, secrets), clean_text(as_id(message_id)))


def _bounded_int(digits: str) -> int:
    if len(digits) > 30:
        raise ValueError("a number of that size")
    return int(digits)


def _bounded_decimal(digits: str) -> Decimal | None:
    """Read a number with a fraction; one with a monstrous exponent, costly to compute with, is as good as none."""
    number = Decimal(digits)
    return number if number.adjusted() < 18 and -18 <= int(number.as_tuple().exponent) <= 0 else None


def _refuse(constant: str) -> Json:
    """NaN and Infinity are not JSON."""
    raise ValueError(constant)


def _unique(pairs: list[tuple[str, Json]]) -> Mapping[str, Json]:
    """Build an object; one that has a key twice says two things, and neither can be believed."""
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key twice")
    return out


#: built once: making a scanner costs more than reading a short answer
_DECODER = json.JSONDecoder(
    parse_float=_bounded_decimal, parse_int=_bounded_int, parse_constant=_refuse, object_pairs_hook=_unique
)
