"""Header fields as people read them: unfolding, encoded words (RFC 2047), parameters (RFC 2231), addresses.

Used by ``mime`` and ``parse``; pure.
It must not raise for any bytes, and what it returns is one line without control characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from mailbridge.intake import charset
from mailbridge.intake.clean import clean_line
from mailbridge.intake.transfer import base64_bytes

#: a header value is read up to here; the longest honest ones are To lists
MAX_VALUE_CHARS = 20_000
_MAX_PARAMETERS = 60
#: structured values up to here are remembered
_SHORT_BYTES = 200
_FIELD = re.compile(rb"([!-9;-~]{1,100})[ \t]*:[ \t]*")
_WORD = re.compile(r"=\?([^?\s*]{1,60}) ?(?:\*[A-Za-z0-9-]{0,20})?\?([bBqQ])\?([^?]*(?:\?(?!=)[^?]*)*)\?=")
_UNENDED_WORD = re.compile(r"=\?([^?\s*]{1,60}) ?(?:\*[A-Za-z0-9-]{0,20})?\?([bBqQ])\?([^?\s]*)(?:=|\?)?$")
#: the other two signs of base64 (RFC 4648 section 5)
_URL_SAFE = str.maketrans("-_", "+/")
_Q_ESCAPE = re.compile(rb"=([0-9A-Fa-f]{2})")
_PARAMETER = re.compile(r';\s*([^\s=;"]{1,80})\s*=\s*("(?:[^"\\]|\\.)*+"?|[^;]*)')
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
#: printable ASCII but the signs that end an address; what stands outside it is in no address a device has
_ADDRESS = re.compile(r"[!#-'*+\-.-9=?A-~]{1,128}@[!#-'*+\-.-9=?A-~]{1,255}")
#: an address of the same machine: ``root (Cron Daemon)``, ``Cron <root>``
_LOCAL_NAME = re.compile(r"[!#-'*+\-.-9=?A-~]{1,64}(?=[ ]*(?:[>(]|$))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One header field: its name as written and its raw value, unfolded."""

    name: str
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """A structured value such as Content-Type: the value in lower case and its parameters."""

    value: str = ""
    parameters: dict[str, str]


def parse_fields(block: bytes) -> list[Field]:
    """Split a header block into its fields; a line that is none belongs to the one before it."""
    fields: list[Field] = []
    for line in block.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        if line[:1] not in {b" ", b"\t"} and (match := _FIELD.match(line)) is not None:
            fields.append(Field(name=match[1].decode("ascii"), raw=line[match.end() :].rstrip()))
        elif fields and line and len(fields[-1].raw) < MAX_VALUE_CHARS:
            last = fields[-1]
            fields[-1] = Field(name=last.name, raw=last.raw + b" " + line.strip())
    return fields


def decode_value(raw: bytes, hint: str = "", notes: list[str] | None = None) -> str:
    """Return a header value as text: encoded words decoded, raw 8-bit read as *hint* or as what it most likely is."""
    raw = raw[:MAX_VALUE_CHARS]
    if raw.isascii():
        text = raw.decode("ascii")
    else:
        decoded = charset.decode(raw, hint)
        text = decoded.text
        if notes is not None and decoded.note:
            notes.append(f"header: {decoded.note}")
    if "=?" in text:
        text = _decode_words(text, notes)
    return clean_line(text)


def _decode_words(text: str, notes: list[str] | None) -> str:
    out: list[str] = []
    run: list[tuple[str, str, str]] = []
    position = 0
    for match in _WORD.finditer(text):
        between = text[position : match.start()]
        word = (match[1].lower(), match[2].lower(), match[3])
        # white space between encoded words is not part of the text (RFC 2047 section 6.2)
        if not run or between.strip():
            out += [_decode_run(run, notes), between]
            run = []
        elif run[0][0] != word[0]:
            out.append(_decode_run(run, notes))
            run = []
        run.append(word)
        position = match.end()
    out.append(_decode_run(run, notes))
    rest = text[position:]
    unended = _UNENDED_WORD.search(rest)
    if unended is not None:
        rest = rest[: unended.start()] + _decode_run([(unended[1], unended[2].lower(), unended[3])], notes)
    return "".join([*out, rest])


def _decode_run(run: list[tuple[str, str, str]], notes: list[str] | None) -> str:
    """Decode neighbours of one charset together: a character may be split between two words."""
    if not run:
        return ""
    name = run[0][0]
    all_base64 = all(word[1] == "b" for word in run)
    if all_base64 and any(len(word[2].strip().rstrip("=")) % 4 == 1 for word in run[:-1]):
        # one base64 stream cut anywhere: a word in the middle is not a whole number of quartets
        raw = _b_bytes("".join(word[2] for word in run))
    else:
        raw = b"".join(_q_bytes(word[2]) if word[1] == "q" else _b_bytes(word[2]) for word in run)
    decoded = charset.decode(raw, name)
    if notes is not None and decoded.note:
        notes.append(f"header: {decoded.note}")
    return decoded.text


def _b_bytes(text: str) -> bytes:
    return base64_bytes(text.translate(_URL_SAFE).encode("ascii", "ignore"))


def _q_bytes(text: str) -> bytes:
    raw = text.replace("_", " ").encode("utf-8", "surrogateescape")
    return _Q_ESCAPE.sub(lambda m: bytes([int(m[1], 16)]), raw)


def parse_parameters(raw: bytes) -> Parameters:
    """Read a Content-Type or Content-Disposition value; RFC 2231 continuations and charsets are put together."""
    # a device writes the same one in all its mails
    return _known_parameters(raw) if len(raw) <= _SHORT_BYTES else _parse_parameters(raw[:MAX_VALUE_CHARS])


def _parse_parameters(raw: bytes) -> Parameters:
    text = raw.decode("utf-8", "surrogateescape")
    value, _, _ = text.partition(";")
    found: dict[str, str] = {}
    for number, match in enumerate(_PARAMETER.finditer(text, len(value))):
        if number >= _MAX_PARAMETERS:
            break
        found.setdefault(match[1].lower(), _unquote(match[2].strip()))
    names = dict.fromkeys(name.partition("*")[0] for name in found)
    return Parameters(value=value.strip().lower(), parameters={name: _parameter(found, name) for name in names})


_known_parameters = lru_cache(maxsize=64)(_parse_parameters)


def _unquote(value: str) -> str:
    if not value.startswith('"'):
        # a comment after the value, as in: charset=us-ascii (Plain text)
        return value.split(" (", 1)[0].strip()
    inner = value[1:-1] if value.endswith('"') and len(value) > 1 else value[1:]
    return re.sub(r"\\(.)", r"\1", inner)


def _parameter(found: dict[str, str], name: str) -> str:
    plain = found.get(name)
    if (
        plain is not None
        and plain.isascii()
        and "=?" not in plain
        and f"{name}*" not in found
        and f"{name}*0*" not in found
    ):
        return clean_line(plain)
    pieces: list[bytes] = []
    for number in range(_MAX_PARAMETERS):
        for key, encoded in ((f"{name}*{number}*", True), (f"{name}*{number}", False)):
            if key in found:
                pieces.append(_percent(found[key]) if encoded else _raw(found[key]))
    if not pieces and f"{name}*" in found:
        pieces.append(_percent(found[f"{name}*"]))
    if not pieces:
        return decode_value(_raw(found.get(name, "")))
    joined = b"".join(pieces)
    declared = ""
    if (f"{name}*" in found or f"{name}*0*" in found) and joined.count(b"'") >= 2:
        tag, _, joined = joined.split(b"'", 2)
        declared = tag.decode("ascii", "ignore")
    return clean_line(charset.decode(joined, declared).text)


def _raw(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def _percent(value: str) -> bytes:
    return _PERCENT.sub(lambda m: bytes([int(m[1], 16)]), _raw(value))


def parse_from(raw: bytes, hint: str = "") -> tuple[str, str]:
    """Return the name and the address of a From value: ``("Nagios", "nagios@example.org")``; either may be empty."""
    text = decode_value(raw[:2000], hint)
    # the address is looked for in the raw value: a display name may pretend to be one
    plain = raw[:2000].decode("ascii", "replace")
    start = plain.rfind("<")
    match = _ADDRESS.search(plain, start + 1) if start >= 0 else _ADDRESS.search(plain)
    if match is None:
        match = _ADDRESS.search(plain)
    if match is None:
        match = _LOCAL_NAME.match(plain, start + 1)
    address = match[0] if match is not None else ""
    name = text.rpartition("<")[0] if "<" in text else text.replace(address, "", 1) if address else text
    name = name.strip().strip(",;").strip()
    if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":
        name = re.sub(r"\\(.)", r"\1", name[1:-1]).strip()
    elif name.startswith("(") and name.endswith(")"):
        name = name[1:-1].strip()
    return name, address
