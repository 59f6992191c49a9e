"""Where in an answer something stands: ``json:messages.0.id``, ``header:Location``, ``body:ID: (\\S+)``.

Written in the configuration, checked when it is read, followed by the carrier. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from mailbridge.config.patterns import compile_pattern

#: any one member of an object or a list
ANY = "*"
_MAX_STEPS = 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look."""

    kind: Literal["json", "header", "body"]
    what: str


def parse_place(text: str) -> Place:
    """Read where something stands. Raises: ValueError "what is wrong; what to write instead"."""
    kind, colon, what = text.partition(":")
    if not colon or not what.strip():
        raise ValueError("not a place in an answer; write json:path.to.it, header:Name or body:pattern with a (group)")
    match kind.strip():
        case "json":
            parse_path(what)
            return Place("json", what.strip())
        case "header":
            return Place("header", what.strip())
        case "body":
            if compile_pattern(what.strip()).groups < 1:
                raise ValueError("a pattern without a (group); write what is wanted between ( and )")
            return Place("body", what.strip())
    raise ValueError("not a place in an answer; write json:path.to.it, header:Name or body:pattern with a (group)")


def parse_path(text: str) -> tuple[str, ...]:
    """Read a path through JSON. Raises: ValueError."""
    steps = tuple(step.strip() for step in text.split("."))
    if not all(steps) or len(steps) > _MAX_STEPS:
        raise ValueError("not a path through JSON; write names and list places with dots between: messages.0.id")
    return steps


def follow(value: object, path: str) -> object:
    """Return what stands at *path* in parsed JSON, None where nothing does; ``*`` is the first member."""
    for step in parse_path(path):
        if isinstance(value, Mapping):
            value = next(iter(value.values()), None) if step == ANY else value.get(step)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            number = 0 if step == ANY else int(step) if step.isascii() and step.isdigit() and len(step) < 6 else -1
            value = value[number] if 0 <= number < len(value) else None
        else:
            return None
    return value


def as_word(value: object) -> str | None:
    """Return a scalar of JSON as a configuration writes it: ``true``, ``200``, text; None for anything else."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int():
            return str(value)
        case Decimal():
            return f"{value.normalize():f}" if value == value.to_integral_value() else str(value)
    return None
