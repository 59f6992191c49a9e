"""The JSON Schema (draft 2020-12) of the file's format, for editors; made from the outline, checks nothing itself.

A file's values are what an editor's YAML 1.2 sees: a number may stand as a number or as text (``${PORT}``).
"""

from __future__ import annotations

from typing import Any

from mailbridge.config.model import Config
from mailbridge.config.outline import Entry, Items, Keys, Kind, Mapping, Scalar, entries, write
from mailbridge.config.sections import Section

_SCHEMA = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = r"\$\{"
_DURATION = r"^\s*(([0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d|w)\s*)+|0)$"
_SIZE = r"^\s*[0-9]+(\.[0-9]+)?\s*([KkMmGg]?[Ii]?[Bb])?\s*$"

Schema = dict[str, Any]


def json_schema() -> Schema:
    """Return the schema as JSON-able dicts."""
    return {"$schema": _SCHEMA, "title": "mailbridge configuration", **_section(Config)}


def _section(model: type[Section]) -> Schema:
    properties: Schema = {}
    required: list[Schema] = []
    for entry in entries(model):
        properties[entry.key] = _property(entry)
        if entry.secret:
            properties[f"{entry.key}_file"] = {
                "type": "string",
                "description": f"File that holds `{entry.key}`, instead of writing it here.",
            }
        if entry.required:
            names = [entry.key, f"{entry.key}_file"] if entry.secret else [entry.key]
            required.append({"anyOf": [{"required": [name]} for name in names]})
    schema: Schema = {"type": ["object", "null"], "additionalProperties": False, "properties": properties}
    return {**schema, "allOf": required} if required else schema


def _property(entry: Entry) -> Schema:
    schema = {"description": entry.description, **_schema(entry.kind)}
    if isinstance(entry.kind, Scalar) and not entry.required and entry.default is not None:
        kind = entry.kind.kind
        schema["default"] = entry.default if kind in ("switch", "number") else write(entry.default, entry.kind)
    return schema


def _schema(kind: Kind) -> Schema:
    match kind:
        case Keys(model=model, shorthand=Items() as items):
            return {"anyOf": [_section(model), *_schema(items)["anyOf"]]}
        case Keys(model=model):
            return _section(model)
        case Items(item=item, words=True):
            return {"anyOf": [{"type": ["array", "null"], "items": _schema(item)}, _schema(item)]}
        case Items(item=item):
            return {"type": ["array", "null"], "items": _schema(item)}
        case Mapping(value=value):
            return {"type": ["object", "null"], "additionalProperties": _schema(value)}
        case Scalar():
            return _scalar(kind)


def _scalar(kind: Scalar) -> Schema:
    reference = {"type": "string", "pattern": _REFERENCE}
    match kind.kind:
        case "json":
            return {}
        case "choice":
            numbers = [int(choice) for choice in kind.choices if choice.isdigit()]
            # an editor with YAML 1.1 takes a plain off for false
            switched = [False] if "off" in kind.choices else []
            return {"anyOf": [{"enum": [*kind.choices, *numbers, *switched]}, reference]}
        case "switch":
            words = {"enum": ["true", "false", "yes", "no", "on", "off"]}
            return {"anyOf": [{"type": "boolean"}, words, reference]}
        case "number":
            bounds = {"minimum": kind.minimum, "maximum": kind.maximum}
            return {"anyOf": [{"type": "integer", **bounds}, {"type": "string", "pattern": rf"^[0-9]+$|{_REFERENCE}"}]}
        case "duration":
            return {"anyOf": [{"type": "string", "pattern": f"{_DURATION}|{_REFERENCE}"}, {"const": 0}]}
        case "size":
            return {
                "anyOf": [{"type": "string", "pattern": f"{_SIZE}|{_REFERENCE}"}, {"type": "integer", "minimum": 0}]
            }
    return {"type": ["string", "number", "boolean", "null"]}
