"""Device profiles as written: YAML files to ``Spec`` values, or every problem with file and line.

The built-in ones (``mailbridge/profiles/data``) and the user's folder are read alike.
It must not look at a mail; what a profile takes out of one is ``mailbridge/profiles``' business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from mailbridge.config.patterns import PREFIX, compile_pattern
from mailbridge.config.problems import Problem
from mailbridge.config.tree import Node, dotted, walk
from mailbridge.config.yaml import MAX_BYTES, parse_yaml

#: what a profile fills (docs/howto/profiles.md)
FIELDS = ("host", "service", "state", "severity", "info", "event", "time", "about")
#: where a pattern looks; any other name is a header field's
PLACES = ("subject", "body", "from", "from_name")
#: in ``recognise``, any of them alike
ANYWHERE = "has"
LINE = "{{ state }} {{ host }}/{{ service }}: {{ info }} {{ time }}"
MAX_FILES = 500

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_KEYS = ("title", "recognise", "needs", "fields", "line", "priority", "until")
_WAYS = ("re", "cell", "json", "value", "field")
_EXTRAS = ("in", "map", "all", "as")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One place of a mail and what must stand there: any of *wanted*, words or ``re:`` patterns."""

    #: a name of ``PLACES``, or a header field's in lower case
    place: str
    wanted: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to find a field's value."""

    #: ``re``, ``cell``, ``json``, ``value`` or ``field``
    kind: str
    #: patterns, labels, paths or texts; the first that gives something counts
    texts: tuple[str, ...]
    place: str = "body"
    #: found word in lower case -> value; a word that is not here gives nothing
    words: Mapping[str, str] | None = None
    #: every hit, joined by this; None: the first alone
    joint: str | None = None
    #: stands for whatever was found; ``\\1`` in it is the pattern's first group
    meaning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One profile as written."""

    name: str
    file: str
    title: str = ""
    #: any of these groups; every clause of one must hold
    recognise: tuple[tuple[Clause, ...], ...]
    #: each must be found, or the mail is not understood; ``("host", "service")`` is either of them
    needs: tuple[tuple[str, ...], ...]
    fields: Mapping[str, tuple[Way, ...]]
    line: str = LINE
    #: the higher is asked first
    priority: int = 0
    #: pattern whose first group begins what is read no more; empty: all is read
    until: str = ""


class _Wrong(Exception):
    """A problem at a node."""

    def __init__(self, node: Node, path: str, problem: str, instead: str = "") -> None:
        super().__init__(problem)
        self.found = Problem(file=node.file, line=node.line, path=path, problem=problem, instead=instead)


def read_profiles(folder: Path, *, trusted: bool = False) -> tuple[list[Spec], list[Problem]]:
    """Return the profiles of *folder*'s ``*.yaml`` files in name order, and what is wrong with the others.

    *trusted*: files of our own, whose patterns a test has compiled; they are read in a fifth of the time.
    """
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix == ".yaml" and not file.name.startswith("."))
    except OSError as error:
        words = f"cannot be read: {error.strerror or 'unknown reason'}"
        problem = Problem(file=str(folder), line=0, path="", problem=words, instead="name a folder of *.yaml files")
        return [], [problem]
    specs: list[Spec] = []
    problems: list[Problem] = []
    for file in files[:MAX_FILES]:
        try:
            with file.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
        except OSError as error:
            words = f"cannot be read: {error.strerror or 'unknown reason'}"
            problems.append(Problem(file=str(file), line=0, path="", problem=words))
            continue
        spec, found = parse_profile(data, file=str(file), name=file.stem, trusted=trusted)
        problems += found
        if spec is not None:
            specs.append(spec)
    return specs, problems


def parse_profile(data: bytes, *, file: str, name: str, trusted: bool = False) -> tuple[Spec | None, list[Problem]]:
    """Read one profile; its name is that of its file. Return None where anything is wrong, and the problems."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if trusted else yaml.SafeLoader
    root, problems = parse_yaml(data, file=file, loader=loader)
    if root is None:
        return None, problems
    try:
        if not _NAME.fullmatch(name):
            raise _Wrong(root, "", f'"{name[:40]}" is no name for a profile', "use a-z 0-9 - _ in the file's name")
        spec = _spec(root, name)
        if not trusted:
            _check_line(root, spec)
            _check_patterns(root)
        return spec, problems
    except _Wrong as wrong:
        return None, [*problems, wrong.found]


def _spec(root: Node, name: str) -> Spec:
    keys = _mapping(root, "")
    for key, node in keys.items():
        if key not in _KEYS:
            raise _Wrong(node, key, f'unknown key "{key[:40]}"', f"known keys here: {', '.join(_KEYS)}")
    recognise = tuple(
        tuple(_clauses(item, f"recognise[{index}]")) for index, item in enumerate(_items(keys, "recognise", root))
    )
    if not recognise:
        raise _Wrong(root, "recognise", "is missing", "say how such a mail is recognised")
    fields = {}
    for key, node in _mapping(keys["fields"], "fields").items() if "fields" in keys else ():
        if key not in FIELDS:
            raise _Wrong(node, f"fields.{key}", f'no such field as "{key[:40]}"', f"there are {', '.join(FIELDS)}")
        fields[key] = tuple(_ways(node, f"fields.{key}"))
    needs = tuple(_needed(item, fields, index) for index, item in enumerate(_items(keys, "needs", root)))
    line = _text(keys["line"], "line") if "line" in keys else LINE
    priority = _text(keys["priority"], "priority") if "priority" in keys else "0"
    if not re.fullmatch(r"-?[0-9]{1,3}", priority):
        raise _Wrong(keys["priority"], "priority", "is not a whole number", "write a number such as 10")
    return Spec(
        name=name, file=root.file, title=_text(keys["title"], "title") if "title" in keys else name,
        recognise=recognise, needs=needs, fields=fields, line=line, priority=int(priority),
        until=_text(keys["until"], "until") if "until" in keys else "",
    )  # fmt: skip


def _clauses(node: Node, path: str) -> Iterator[Clause]:
    for key, value in _mapping(node, path).items():
        if key == "header":
            for name, wanted in _mapping(value, f"{path}.header").items():
                yield Clause(place=name.lower(), wanted=_texts(wanted, f"{path}.header.{name}"))
        elif key in PLACES or key == ANYWHERE:
            yield Clause(place=key, wanted=_texts(value, f"{path}.{key}"))
        else:
            raise _Wrong(
                value, f"{path}.{key}", "no such place", f"use {', '.join(PLACES)}, {ANYWHERE} or header: {{Name: …}}"
            )


def _ways(node: Node, path: str) -> Iterator[Way]:
    items = node.value if isinstance(node.value, tuple) else (node,)
    for index, item in enumerate(items):
        yield _way(item, f"{path}[{index}]" if isinstance(node.value, tuple) else path)


def _way(node: Node, path: str) -> Way:
    keys = {"re": node} if isinstance(node.value, str) else _mapping(node, path)
    for key in keys:
        if key not in (*_WAYS, *_EXTRAS):
            raise _Wrong(keys[key], f"{path}.{key}", "unknown key", f"use {', '.join((*_WAYS, *_EXTRAS))}")
    kinds = [key for key in keys if key in _WAYS]
    if len(kinds) != 1:
        raise _Wrong(node, path, "says not in one way how the value is found", f"use one of {', '.join(_WAYS)}")
    kind = kinds[0]
    texts = _texts(keys[kind], f"{path}.{kind}")
    words = None
    if "map" in keys:
        pairs = _mapping(keys["map"], f"{path}.map").items()
        words = {word.lower(): _text(value, f"{path}.map.{word}") for word, value in pairs}
    place = _text(keys["in"], f"{path}.in") if "in" in keys else "body"
    joint = _text(keys["all"], f"{path}.all") if "all" in keys else None
    meaning = _text(keys["as"], f"{path}.as") if "as" in keys else ""
    return Way(kind=kind, texts=texts, place=place.lower(), words=words, joint=joint, meaning=meaning)


def _check_patterns(root: Node) -> None:
    """Compile every pattern of a profile whose shape is right."""
    for path, node in walk(root):
        if not isinstance(node.value, str):
            continue
        keys = [step for step in path if isinstance(step, str)]
        is_bare = keys[0] == "fields" and len(keys) == 2
        if is_bare or (keys[0] == "fields" and keys[-1] == "re") or keys == ["until"]:
            pattern = node.value
        elif keys[0] == "recognise" and node.value.startswith(PREFIX):
            pattern = node.value.removeprefix(PREFIX)
        else:
            continue
        try:
            compile_pattern(pattern)
        except ValueError as error:
            problem, _, instead = str(error).partition("; ")
            raise _Wrong(node, dotted(path), problem, instead) from error


def _needed(node: Node, fields: Mapping[str, object], index: int) -> tuple[str, ...]:
    names = tuple(_text(node, f"needs[{index}]").replace(" ", "").split("|"))
    for name in names:
        if name not in fields:
            raise _Wrong(node, f"needs[{index}]", f'nothing fills "{name[:40]}"', "name fields that are given above")
    return names


def _check_line(root: Node, spec: Spec) -> None:
    from mailbridge.config.template import template_error  # noqa: PLC0415 - Jinja2 is loaded where it is needed

    if trouble := template_error(spec.line):
        problem, _, instead = trouble.partition("; ")
        assert isinstance(root.value, Mapping)
        raise _Wrong(root.value.get("line", root), "line", problem, instead)


def _mapping(node: Node, path: str) -> Mapping[str, Node]:
    if not isinstance(node.value, Mapping):
        raise _Wrong(node, path, "is not a mapping", 'write "key: value" lines below it')
    return node.value


def _items(keys: Mapping[str, Node], key: str, root: Node) -> tuple[Node, ...]:
    node = keys.get(key)
    if node is None or node.value is None:
        return ()
    if not isinstance(node.value, tuple):
        raise _Wrong(node or root, key, "is not a list", 'write items that begin with "- "')
    return node.value


def _text(node: Node, path: str) -> str:
    if not isinstance(node.value, str):
        raise _Wrong(node, path, "is not a text", "write one value")
    return node.value


def _texts(node: Node, path: str) -> tuple[str, ...]:
    if isinstance(node.value, tuple):
        return tuple(_text(item, f"{path}[{index}]") for index, item in enumerate(node.value))
    return (_text(node, path),)
