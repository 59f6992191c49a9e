"""A request's parameters: query, form, multipart or JSON, in the charset the request itself names.

Body wins over query (smsc-api.md section 1.3). Anything unreadable is ``BadParameters``, which is error 1.
Nothing here knows what a parameter means.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import BodyPartReader, web

from mailbridge.errors import MailbridgeError
from mailbridge.simulator.answers import CHARSETS, DEFAULT_CHARSET

CREDENTIALS = frozenset({"login", "psw", "apikey"})
_MAX_FIELDS = 1000
#: maps every byte to one character and back, so that a value is kept whole until its charset is known
_BYTES = "latin-1"


class BadParameters(MailbridgeError):
    """The request's parameters cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Decoded parameters and how the answer is to be written."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    fmt: int = 0
    charset: str = DEFAULT_CHARSET
    #: where credentials stood: none, query or body
    credentials_in: str = "none"
    #: why the values are missing; then the answer is error 1
    bad: bool = False
    #: names of the files of a multipart body
    files: tuple[str, ...] = ()

    def text(self, name: str, default: str = "") -> str:
        """Return a parameter as it came."""
        return self.values.get(name, default)

    def flag(self, name: str) -> bool:
        """Tell whether a parameter is there and neither empty nor 0."""
        return self.values.get(name, "0").strip() not in {"", "0"}

    def number(self, name: str, low: int, high: int, default: int = 0) -> int:
        """Return a whole number; raise BadParameters outside *low* to *high*."""
        text = self.values.get(name, "").strip()
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and low <= int(text) <= high):
            raise BadParameters
        return int(text)

    def public(self) -> dict[str, str]:
        """Return everything but the credentials, for the ledger."""
        return {name: value for name, value in self.values.items() if name not in CREDENTIALS}


async def read_params(request: web.Request, *, rest: bool, max_bytes: int) -> Params:
    """Return what *request* asks; *rest* is the JSON variant, where JSON and UTF-8 are the defaults.

    Raises: web.HTTPRequestEntityTooLarge.
    """
    query = request.raw_path.partition("?")[2].encode("utf-8", "surrogateescape").decode(_BYTES)
    raw: dict[str, str] = {}
    files: list[str] = []
    bad = False
    try:
        raw.update(_pairs(query))
        where = "query" if CREDENTIALS & raw.keys() else "none"
        in_json = False
        if request.method == "POST":
            kind = request.content_type
            if kind.startswith("multipart/"):
                body = await _multipart(request, max_bytes, files)
            else:
                content = await request.read()
                in_json = kind == "application/json" or (rest and content.lstrip()[:1] == b"{")
                body = _json(content) if in_json else dict(_pairs(content.decode(_BYTES)))
            if CREDENTIALS & body.keys():
                where = "body"
            raw.update(body)
    except (ValueError, RecursionError, BadParameters):
        bad, where, in_json = True, "none", False
    params = _decoded(raw, "utf-8" if rest or in_json else DEFAULT_CHARSET, 3 if rest else 0, where, bad=bad)
    return replace(params, files=tuple(files)) if files else params


def _decoded(raw: Mapping[str, str], charset: str, fmt: int, where: str, *, bad: bool) -> Params:
    """Return *raw* decoded in the charset it names itself."""
    asked = raw.get("charset", "").strip().lower()
    if asked and asked not in CHARSETS:
        bad = True
    elif asked:
        charset = asked
    wanted = raw.get("fmt", "").strip()
    if wanted in {"0", "1", "2", "3"}:
        fmt = int(wanted)
    values: dict[str, str] = {}
    if not bad:
        codec = CHARSETS[charset]
        try:
            for name, value in raw.items():
                decoded = value if value.isascii() else value.encode(_BYTES).decode(codec)
                # PHP's official library puts a NUL before a text that begins with "@"
                values[name] = decoded.removeprefix("\0")
        except UnicodeError:
            bad, values = True, {}
    return Params(values=values, fmt=fmt, charset=charset, credentials_in=where, bad=bad)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Yield the fields of a query or form, each byte one character."""
    yield from parse_qsl(text, keep_blank_values=True, encoding=_BYTES, max_num_fields=_MAX_FIELDS)


def _json(content: bytes) -> dict[str, str]:
    """Return the members of a JSON object as though they had come in a UTF-8 form."""
    data: Any = json.loads(content.decode("utf-8"))
    if not isinstance(data, dict):
        raise BadParameters
    values: dict[str, str] = {}
    for name, value in data.items():
        match value:
            case bool():
                text = str(int(value))
            case str() | int() | float():
                text = str(value)
            case None:
                continue
            case _:
                raise BadParameters
        values[name] = text.encode("utf-8").decode(_BYTES)
    return values


async def _multipart(request: web.Request, max_bytes: int, files: list[str]) -> dict[str, str]:
    """Return the text fields of a multipart form; of files only the names are kept, in *files*."""
    values: dict[str, str] = {}
    total = 0
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader) or len(values) >= _MAX_FIELDS:
            raise BadParameters
        content = bytearray()
        while chunk := await part.read_chunk():
            total += len(chunk)
            if total > max_bytes:
                raise web.HTTPRequestEntityTooLarge(max_bytes, total)
            if part.filename is None:
                content += chunk
        if part.filename is not None:
            files.append(part.filename)
        elif part.name:
            values[part.name] = bytes(content).decode(_BYTES)
    return values
