"""The model as an outline of keys, kinds and defaults.

The example, the schema, the reference page, the environment and the words of problems are made
from it. It must not read or check a configuration.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import JsonValue, SecretStr
from pydantic.fields import FieldInfo

from mailbridge.config.model import Config
from mailbridge.config.sections import Section
from mailbridge.config.tree import Path
from mailbridge.config.units import format_duration, format_size, parse_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """One value. *kind* is text, duration, size, number, switch (yes or no), choice, secret, or json (anything)."""

    kind: Literal["text", "duration", "size", "number", "switch", "choice", "secret", "json"]
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A list. *words*: may be written as one text with commas."""

    item: Kind
    words: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """A mapping whose keys are names of the user's own."""

    value: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A mapping with known keys."""

    model: type[Section]

    @property
    def shorthand(self) -> Items | None:
        """What may be written instead of the mapping, None where nothing may."""
        if not self.model.shorthand:
            return None
        kind = next(entry.kind for entry in entries(self.model) if entry.key == self.model.shorthand)
        assert isinstance(kind, Items)
        return kind


Kind = Scalar | Items | Mapping | Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One key of a section."""

    key: str
    kind: Kind
    description: str
    required: bool
    #: as the model holds it; None where it is optional
    default: object
    #: may be given as ``<key>_file``, is shown as ``***``
    secret: bool
    #: a secret that is a URL: only its password is hidden
    secret_url: bool
    #: the model's attribute: ``from_`` for ``from``
    attribute: str


@cache
def entries(model: type[Section]) -> tuple[Entry, ...]:
    """Return the keys of *model* in the order they are declared."""
    return tuple(_entry(name, info) for name, info in model.model_fields.items())


def _entry(name: str, info: FieldInfo) -> Entry:
    kind = _kind(info.annotation, info.metadata)
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    secret_url = bool(extra.get("secret_url"))
    return Entry(
        key=info.alias or name,
        kind=kind,
        description=info.description or "",
        required=info.is_required(),
        default=None if info.is_required() else info.get_default(call_default_factory=True, validated_data={}),
        secret=secret_url or kind == Scalar(kind="secret"),
        secret_url=secret_url,
        attribute=name,
    )


def _kind(annotation: Any, metadata: list[Any]) -> Kind:
    if hasattr(annotation, "__metadata__"):
        return _kind(annotation.__origin__, [*metadata, *annotation.__metadata__])
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _kind(next(arg for arg in args if arg is not type(None)), metadata)
    if origin is Literal:
        return Scalar(kind="choice", choices=args)
    if origin is list:
        return Items(item=_kind(args[0], []), words=args[0] is str)
    if origin is dict:
        return Mapping(value=_kind(args[1], []))
    if annotation is JsonValue:
        return Scalar(kind="json")
    if annotation is SecretStr:
        return Scalar(kind="secret")
    if annotation is bool:
        return Scalar(kind="switch")
    if annotation in (int, float):
        bounds = {name: getattr(item, name) for item in metadata for name in ("ge", "le") if hasattr(item, name)}
        is_size = any(getattr(item, "func", None) is parse_size for item in metadata)
        kind: Literal["duration", "size", "number"] = (
            "duration" if annotation is float else "size" if is_size else "number"
        )
        return Scalar(kind=kind, minimum=bounds.get("ge"), maximum=bounds.get("le"))
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return Keys(model=annotation)
    return Scalar(kind="text")


def entry_at(path: Path) -> Entry | None:
    """Return the entry of the section key at *path*, or None where *path* is no key of a section."""
    parent = kind_at(path[:-1]) if path else None
    if not isinstance(parent, Keys):
        return None
    return next((entry for entry in entries(parent.model) if entry.key == path[-1]), None)


def kind_at(path: Path) -> Kind | None:
    """Return what stands at *path*, or None where the model knows no such path."""
    kind: Kind | None = Keys(model=Config)
    for step in path:
        match kind:
            case Keys(model=model) if isinstance(step, str):
                kind = next((entry.kind for entry in entries(model) if entry.key == step), None)
            case Mapping(value=value) if isinstance(step, str):
                kind = value
            case Items(item=item) if isinstance(step, int):
                kind = item
            case Keys(shorthand=Items(item=item)) if isinstance(step, int):
                kind = item
            case _:
                return None
    return kind


def known_keys(model: type[Section]) -> tuple[str, ...]:
    """Return every key that may be written in *model*, ``<secret>_file`` included."""
    found = entries(model)
    return (*(entry.key for entry in found), *(f"{entry.key}_file" for entry in found if entry.secret))


def all_entries(model: type[Section] = Config, path: str = "") -> Iterator[tuple[str, Entry]]:
    """Yield (dotted path, entry) of every key; ``[]`` stands for list items, ``<name>`` for the user's own keys."""
    for entry in entries(model):
        here = f"{path}.{entry.key}" if path else entry.key
        yield here, entry
        match entry.kind:
            case Keys(model=inner):
                yield from all_entries(inner, here)
            case Items(item=Keys(model=inner)):
                yield from all_entries(inner, f"{here}[]")
            case Mapping(value=Keys(model=inner)):
                yield from all_entries(inner, f"{here}.<name>")


def describe(kind: Kind) -> str:
    """Say in words what is to be written."""
    match kind:
        case Scalar(kind="choice", choices=choices):
            return " | ".join(choices)
        case Scalar(kind=name, minimum=minimum, maximum=maximum):
            words = {
                "switch": "true or false",
                "number": "whole number",
                "secret": "text (secret)",
                "json": "anything",
            }.get(name, name)
            if minimum is None or maximum is None:
                return words
            return f"{words}, {write(minimum, kind)} to {write(maximum, kind)}"
        case Items(item=item):
            return "list of words" if item == Scalar(kind="text") else "list"
        case Mapping() | Keys():
            return "mapping"


def write(value: object, kind: Kind) -> str:
    """Write a scalar *value* of the model as the file has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    match kind:
        case Scalar(kind="duration"):
            return format_duration(float(str(value)))
        case Scalar(kind="size"):
            return format_size(int(str(value)))
    return str(value)
