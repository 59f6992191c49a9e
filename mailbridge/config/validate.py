"""The tree to the model; pydantic's findings in plain words with file and line.

Runs after the environment had its say and before ``check.py``. No word of pydantic's own reaches a reader, and no value
either except a short one from the file itself.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from mailbridge.config import future
from mailbridge.config.model import Config
from mailbridge.config.outline import Items, Keys, Kind, Mapping, Scalar, describe, kind_at, known_keys, write
from mailbridge.config.tree import Findings, Path, get, plain, walk

#: as many rounds as a model can hide errors behind errors
_ROUNDS = 6
_PLACEHOLDER = "missing"


def validate(findings: Findings) -> Config:
    """Build the model from ``findings.root``.

    Where something is wrong it is reported, and its default takes its place, so that later checks find the rest.
    """
    _report_empty(findings)
    data = plain(findings.root)
    for path in findings.broken:
        data = _without(data, path)
    for _ in range(_ROUNDS):
        try:
            return Config.model_validate(data)
        except ValidationError as error:
            for item in error.errors(include_url=False, include_context=True, include_input=False):
                path = _as_written(findings, tuple(item["loc"]))
                _report(findings, path, item["type"], item.get("ctx", {}), item["msg"])
                data = _with_placeholder(data, path) if item["type"] == "missing" else _without(data, path)
    return Config()


def _as_written(findings: Findings, path: Path) -> Path:
    """Return where the file has what the model names *path*: a section's one list may stand in its place."""
    for depth in range(1, len(path)):
        kind, node = kind_at(path[:depth]), get(findings.root, path[:depth])
        is_short = node is not None and isinstance(node.value, str | tuple)
        if is_short and isinstance(kind, Keys) and path[depth] == kind.model.shorthand:
            return (*path[:depth], *path[depth + 1 :])
    return path


def _report_empty(findings: Findings) -> None:
    """Report items and the user's own names with nothing after them; a known key without value is merely not given."""
    for path, node in walk(findings.root):
        if node.value is not None or not path:
            continue
        if isinstance(path[-1], int):
            findings.report(path, "an empty list item", "remove it, or write a value after the dash")
        elif isinstance(kind_at(path[:-1]), Mapping):
            findings.report(path, "nothing is written after it", "remove it, or write what belongs to it")


def _report(findings: Findings, path: Path, error_type: str, context: dict[str, Any], message: str) -> None:
    if error_type == "extra_forbidden":
        problem, instead = _unknown_key(path)
    elif error_type == "missing":
        problem, instead = "is missing", f"add {path[-1]}: to it"
    else:
        problem, instead = _wrong_value(findings, path, error_type, context, message)
    findings.report(path, problem, instead)


def _unknown_key(path: Path) -> tuple[str, str]:
    key = str(path[-1])
    if ".".join(map(str, path)) in future.KEYS:
        return future.NOT_AVAILABLE, "remove it"
    parent = kind_at(path[:-1])
    known = known_keys(parent.model) if isinstance(parent, Keys) else ()
    guess = suggest(key, known)
    return f'unknown key "{_short(key)}"', guess or f"known keys here: {', '.join(known)}"


def suggest(word: str, known: Iterable[str]) -> str:
    """Return a question naming the nearest of *known*, or nothing."""
    close = difflib.get_close_matches(word.lower().replace("-", "_"), list(known), n=1, cutoff=0.6)
    return f'did you mean "{close[0]}"?' if close else ""


def _short(word: str) -> str:
    return "".join(c if c.isprintable() else "�" for c in word[:60])


def _wrong_value(
    findings: Findings, path: Path, error_type: str, context: dict[str, Any], message: str
) -> tuple[str, str]:
    kind = kind_at(path)
    shown = "" if kind == Scalar(kind="secret") else findings.shown(path)
    match error_type:
        case "literal_error":
            return _bad_choice(path, kind, shown)
        case "bool_parsing" | "bool_type":
            return f"{shown or 'this'} is neither yes nor no", "write true or false"
        case "int_parsing" | "int_type" | "int_from_float" | "int_parsing_size":
            return f"{shown or 'this'} is not a whole number", _wanted(kind)
        case "greater_than_equal" | "less_than_equal" | "finite_number":
            return f"{shown or 'the value'} is out of range", _wanted(kind)
        case "string_too_short":
            return "is empty", "write a value"
        case "string_too_long":
            return "is too long", f"write at most {context.get('max_length')} characters"
        case "value_error":
            problem, _, instead = message.removeprefix("Value error, ").partition("; ")
            return f"{shown} is {problem}" if shown else problem, instead
        case "string_type":
            return "is a list or a mapping where one value is wanted", _wanted(kind)
        case "list_type":
            return "is not a list", 'write items that begin with "- "'
        case "dict_type" | "model_type" | "model_attributes_type":
            return "is not a mapping", 'write "key: value" lines below it'
    return "is not valid here", _wanted(kind)


def _bad_choice(path: Path, kind: Kind | None, shown: str) -> tuple[str, str]:
    word = shown.strip('"')
    if path[:1] == ("gateways",) and path[-1] == "type" and word in future.GATEWAY_TYPES:
        return f"{shown} is {future.NOT_AVAILABLE}", "write smsc or http"
    return f"{shown or 'this'} is not one of the choices", _wanted(kind)


def _wanted(kind: Kind | None) -> str:
    match kind:
        case Scalar(kind="choice", choices=choices):
            return f"write {', '.join(choices[:-1])} or {choices[-1]}" if len(choices) > 1 else f"write {choices[0]}"
        case Scalar(minimum=float() | int() as minimum, maximum=float() | int() as maximum):
            name = {"number": "whole number"}.get(kind.kind, kind.kind)
            return f"write a {name} from {write(minimum, kind)} to {write(maximum, kind)}"
        case Items(words=True):
            return "write a list of words"
        case Scalar() | Items():
            return f"write {describe(kind)}"
    return ""


def _without(data: Any, path: Path) -> Any:
    """Return *data* without what stands at *path*.

    An item of a list of sections becomes an empty section, which keeps the others at their index; a list of words
    goes as a whole.
    """
    data = copy.copy(data)
    here = data
    for depth, step in enumerate(path[:-1]):
        child = _child_of(here, step)
        if not isinstance(child, dict | list):
            return data
        here[_own(here, step)] = copy.copy(child)
        here = here[_own(here, step)]
        if isinstance(here, list) and not isinstance(kind_at((*path[: depth + 1], 0)), Keys):
            return _without(data, path[: depth + 1])
    if not path:
        return {}
    if isinstance(here, dict):
        here.pop(_own(here, path[-1]), None)
    elif isinstance(here, list) and isinstance(path[-1], int) and path[-1] < len(here):
        here[path[-1]] = {}
    return data


def _with_placeholder(data: Any, path: Path) -> Any:
    here = data
    for step in path[:-1]:
        here = _child_of(here, step)
    if isinstance(here, dict):
        here[path[-1]] = _PLACEHOLDER
    return data


def _own(here: Any, step: Any) -> Any:
    """Return the key as written: the model writes domains in lower case."""
    if isinstance(here, dict) and step not in here:
        return next((key for key in here if str(key).lower() == step), step)
    return step


def _child_of(here: Any, step: Any) -> Any:
    try:
        return here[_own(here, step)]
    except (KeyError, IndexError, TypeError):
        return None
