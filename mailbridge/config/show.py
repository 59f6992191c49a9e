"""The effective configuration as a file would have it: every key, defaults included, every secret as ``***``.

What it writes loads again, apart from the secrets. It must never touch a secret's value except to replace it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mailbridge.config.model import Config
from mailbridge.config.outline import Entry, Items, Keys, Kind, Scalar, entries, write
from mailbridge.config.outline import Mapping as Named
from mailbridge.config.sections import Section

HIDDEN = "***"

_USERINFO = re.compile(r"^([a-z0-9+.-]+://)([^/@]*):(.*)@", re.IGNORECASE | re.DOTALL)
_PASSWORD_OPTION = re.compile(r"([?&](?:password|token|key|secret)=)[^&#]*", re.IGNORECASE)
#: what YAML 1.1 or 1.2 would not read back as this very text
_PLAIN = re.compile(r"[A-Za-z0-9/_+.][A-Za-z0-9/_+.@-]*")
_NOT_TEXT = re.compile(r"(?i:true|false|yes|no|on|off|null|y|n)|[+.0-9_:eEx-]+|0[xob].*")

Effective = dict[str, Any]


def effective(config: Config) -> Effective:
    """Return the configuration as dicts, lists, texts, numbers and booleans; what is not set is left out."""
    return _section(config)


def hide_password(url: str) -> str:
    """Return *url* with its password as ``***``."""
    return _PASSWORD_OPTION.sub(rf"\1{HIDDEN}", _USERINFO.sub(rf"\1\2:{HIDDEN}@", url))


def _section(section: Section) -> Effective:
    out: Effective = {}
    for entry in entries(type(section)):
        value = getattr(section, entry.attribute)
        if value is not None:
            out[entry.key] = _hidden(entry, str(value)) if entry.secret else _value(value, entry.kind)
        elif entry.default is not None:
            # only ``off`` is read as nothing where there is a default
            out[entry.key] = "off"
    return out


def _hidden(entry: Entry, value: str) -> str:
    return hide_password(value) if entry.secret_url else HIDDEN


def _value(value: Any, kind: Kind) -> Any:
    match kind:
        case Keys():
            return _section(value)
        case Items(item=item):
            return [_value(child, item) for child in value]
        case Named(value=inner):
            return {key: _value(child, inner) for key, child in value.items()}
        case Scalar(kind="secret" | "json"):
            return HIDDEN
        case Scalar(kind="duration" | "size"):
            return write(value, kind)
    return value


def effective_yaml(config: Config) -> str:
    """Return the effective configuration as YAML."""
    return "\n".join(_lines(effective(config), "")) + "\n"


def _lines(data: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in data.items():
        name = f"{indent}{scalar_text(key)}:"
        if isinstance(value, dict) and value:
            yield name
            yield from _lines(value, f"{indent}  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield name
            for item in value:
                first, *rest = _lines(item, f"{indent}    ")
                yield f"{indent}  - {first.strip()}"
                yield from rest
        else:
            yield f"{name} {inline(value)}"


def inline(value: object) -> str:
    """Write a scalar, a list of scalars, or something empty in one line of YAML."""
    if isinstance(value, list):
        return f"[{', '.join(inline(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar_text(str(key))}: {inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return scalar_text(str(value))


def scalar_text(text: str) -> str:
    """Write *text* as a YAML scalar that any YAML reader takes for that text; plain where that is safe."""
    text = text.replace("${", "$${")
    if _PLAIN.fullmatch(text) and not _NOT_TEXT.fullmatch(text):
        return text
    if text == "off":
        return text
    escaped = "".join(_ESCAPES.get(c) or (c if c.isprintable() else f"\\U{ord(c):08X}") for c in text)
    return f'"{escaped}"'


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}
