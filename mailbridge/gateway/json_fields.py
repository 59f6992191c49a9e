"""A JSON callback as fields under dotted paths, so that it is read as a form is. Pure; nothing here raises."""

from __future__ import annotations

from collections.abc import Mapping

from mailbridge.config.answers import as_word
from mailbridge.gateway.smsc.answers import Garbage, decode_json

_MAX_DEPTH = 8
_MAX_ITEMS = 20


def flat(body: bytes) -> dict[str, str]:
    """Return the scalars of a JSON callback under the dotted paths to them; none where it is no object."""
    data = decode_json(body.decode(errors="replace").strip())
    out: dict[str, str] = {}
    if not isinstance(data, Garbage):
        _flatten(data, "", out, depth=_MAX_DEPTH)
    return out


def _flatten(value: object, path: str, out: dict[str, str], *, depth: int) -> None:
    if depth and isinstance(value, Mapping):
        for name, item in value.items():
            _flatten(item, f"{path}.{name}" if path else str(name), out, depth=depth - 1)
    elif depth and isinstance(value, list):
        for number, item in enumerate(value[:_MAX_ITEMS]):
            _flatten(item, f"{path}.{number}" if path else str(number), out, depth=depth - 1)
    elif path and (word := as_word(value)) is not None:
        out[path] = word
