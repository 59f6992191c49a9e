"""Texts with places for a message's values: ``to={{ digits }}``; ``{{ text|json }}`` writes it for where it stands.

Checked when the configuration is read and filled in by the carrier that sends. Pure. No code, no loops, no names that
are not in ``NAMES``: whoever writes a definition can neither loop nor reach anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from urllib.parse import quote
from xml.sax.saxutils import escape

#: name -> what it stands for
NAMES: dict[str, str] = {
    "phone": "the number in E.164, with its plus",
    "digits": "the number without its plus",
    "text": "the text",
    "sender": "the sender name; empty for the account's own",
    "id": "the id this attempt has here: never used twice",
    "gateway_id": "the id the carrier gave the message; only in `status`",
    "parts": "how many parts the text has",
    "coding": "`0` for a text in GSM's own alphabet, `2` for one in UCS-2 (3GPP TS 23.038)",
    "kind": "`text` or `unicode`, for the same",
    "login": "the gateway's `login`",
    "password": "the gateway's `password`",
    "apikey": "the gateway's `apikey`",
}


def _hex(text: str) -> str:
    return text.encode("utf-16-be", "replace").hex().upper()


#: filter -> what it does
FILTERS: dict[str, Callable[[str], str]] = {
    "json": lambda text: json.dumps(text, ensure_ascii=False),
    "xml": lambda text: escape(text, {'"': "&quot;"}),
    "url": lambda text: quote(text, safe=""),
    "hex": _hex,
    "line": lambda text: " ".join(text.split()),
}

_PLACE = re.compile(r"\{\{\s*(\w+)\s*(?:\|\s*(\w+)\s*)?\}\}")


@lru_cache(maxsize=1024)
def parse(text: str) -> tuple[str | tuple[str, str], ...]:
    """Return the pieces of *text*: plain ones, and (name, filter) for each place.

    Raises: ValueError "what is wrong; what to write instead".
    """
    pieces: list[str | tuple[str, str]] = []
    end = 0
    for match in _PLACE.finditer(text):
        pieces.append(_plain(text[end : match.start()]))
        name, filter_ = match[1], match[2] or ""
        if name not in NAMES:
            raise ValueError(f"{{{{ {name} }}}}, which nothing is called; there are {', '.join(NAMES)}")
        if filter_ and filter_ not in FILTERS:
            raise ValueError(f"a filter {filter_} that is not there; there are {', '.join(FILTERS)}")
        pieces.append((name, filter_))
        end = match.end()
    pieces.append(_plain(text[end:]))
    return tuple(piece for piece in pieces if piece)


def _plain(text: str) -> str:
    if "{{" in text or "}}" in text or "{%" in text:
        raise ValueError("a place that is not closed, or holds more than a name; write {{ name }} or {{ name|filter }}")
    return text


def names_of(text: str) -> set[str]:
    """Return the names of the places in *text*. Raises: ValueError as ``parse``."""
    return {piece[0] for piece in parse(text) if isinstance(piece, tuple)}


def bare_names_of(text: str) -> set[str]:
    """Return the names of the places in *text* that have no filter. Raises: ValueError as ``parse``."""
    return {piece[0] for piece in parse(text) if isinstance(piece, tuple) and not piece[1]}


def fill(text: str, values: Mapping[str, str], default: Callable[[str], str] = str) -> str:
    """Return *text* with every place filled; *default* writes values that have no filter of their own."""
    return "".join(
        piece if isinstance(piece, str) else FILTERS.get(piece[1], default)(values.get(piece[0], ""))
        for piece in parse(text)
    )
