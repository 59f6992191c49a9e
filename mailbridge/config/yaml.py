"""YAML text to a tree of nodes with lines; plain words stay words (ADR 30).

Built on PyYAML's events, not on its constructors: no type is guessed, no tag is obeyed, no alias is followed,
and depth and size are bounded before anything is built. It must not know which keys exist.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from mailbridge.config.problems import Problem
from mailbridge.config.tree import Node, Path, dotted

MAX_BYTES = 512_000
MAX_DEPTH = 20
MAX_NODES = 20_000

#: ``${NAME:-default}``, whose braces would open a mapping where it stands between braces without quotes
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(?::-[^{}\n]*)?\}")
#: what YAML does not look at while it reads, one for each sign it would: private use, so in no configuration
_STAND_INS = dict(zip("{}[],", "\uf8f1\uf8f2\uf8f3\uf8f4\uf8f5", strict=True))
_HIDE = str.maketrans(_STAND_INS)
_SHOW = str.maketrans({stand_in: sign for sign, stand_in in _STAND_INS.items()})

#: PyYAML's words -> what is wrong, what to write instead
_PLAIN_WORDS = (
    (
        "mapping values are not allowed",
        'a ": " where no key can stand',
        "put the value into quotes, or end the line above with a colon",
    ),
    ("'\\t'", "a tab where YAML allows only spaces", "indent with spaces"),
    ("could not find expected ':'", "a line that is neither a key nor a value", 'write "key: value"'),
    (
        "expected <block end>",
        "the indentation does not fit the lines above",
        "align keys of one mapping with each other",
    ),
    ("expected ',' or ']'", "a list opened with [ is not closed", "add the missing ] or comma"),
    ("expected ',' or '}'", "a mapping opened with { is not closed", "add the missing } or comma"),
    ("found unexpected end of stream", "a quoted text is not closed", "add the missing quote"),
    ("cannot start any token", "a character that cannot begin a value", "put the value into quotes"),
    ("found unknown escape character", "an unknown \\ escape in double quotes", "use single quotes"),
    ("sequence entries are not allowed", "a list item where none can stand", 'begin it on its own line with "- "'),
)


class _Stop(Exception):
    """The rest of the file is not worth reading."""


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet."""

    node: Node
    path: Path
    is_mapping: bool
    children: dict[str, Node] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)
    #: the key that waits for its value
    key: str | None = None
    key_line: int = 0


def parse_yaml(data: bytes, *, file: str, loader: Any = yaml.SafeLoader) -> tuple[Node | None, list[Problem]]:
    """Read one YAML document; *loader* gives the events (``CSafeLoader`` is fast, and its problems are terse).

    Returns the tree, or None where the text is not YAML at all or not a mapping, and the problems. A file
    with nothing but comments is a node without value.
    """
    return _Parser(file, loader).parse(data)


class _Parser:
    def __init__(self, file: str, loader: Any) -> None:
        self.file = file
        self.loader = loader
        self.problems: list[Problem] = []
        self.root: Node | None = None
        self.stack: list[_Open] = []
        self.documents = 0
        self.nodes = 0

    def parse(self, data: bytes) -> tuple[Node | None, list[Problem]]:
        try:
            text = self._decode(data)
            hidden = _VARIABLE.sub(lambda variable: variable[0].translate(_HIDE), text)
            for event in yaml.parse(hidden, Loader=self.loader):
                self._take(event)
        except _Stop:
            return None, self.problems
        except yaml.MarkedYAMLError as error:
            self._syntax(error)
            return None, self.problems
        except (yaml.YAMLError, ValueError, RecursionError, IndexError, AttributeError):
            # PyYAML meets some nonsense (a huge \U escape, a bad %YAML line) with bare Python errors.
            self._report(1, (), "not readable as YAML")
            return None, self.problems
        root = self.root or Node(value=None, file=self.file, line=1)
        if isinstance(root.value, str | tuple):
            self._report(
                root.line, (), "the top of the file is not a mapping", 'write keys such as "smtp:" and "gateways:"'
            )
            return None, self.problems
        return root, self.problems

    def _decode(self, data: bytes) -> str:
        if len(data) > MAX_BYTES:
            self._fail(
                1, (), f"the file is larger than {MAX_BYTES // 1000} KB", "split it into a folder of *.yaml files"
            )
        if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
            self._fail(1, (), "the file begins with a byte order mark", "save it as UTF-8 without BOM")
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            self._fail(data.count(b"\n", 0, error.start) + 1, (), "not UTF-8 text", "save the file as UTF-8")
        for index, char in enumerate(text):
            if not char.isprintable() and yaml.reader.Reader.NON_PRINTABLE.match(char):
                line = text.count("\n", 0, index) + 1
                self._fail(line, (), f"a control character (U+{ord(char):04X})", "remove it")
        return text

    def _syntax(self, error: yaml.MarkedYAMLError) -> None:
        words = str(error.problem)
        problem, instead = next(
            ((what, fix) for theirs, what, fix in _PLAIN_WORDS if theirs in words), (f"not YAML: {words}", "")
        )
        marks = [error.problem_mark, error.context_mark]
        if "is not closed" in problem:
            marks.reverse()
        line = next((mark.line + 1 for mark in marks if mark is not None), 1)
        self._report(line, (), problem, instead)

    def _take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark is not None else 1
        match event:
            case yaml.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    self._fail(
                        line,
                        (),
                        "a second YAML document in one file",
                        'remove the "---" and what follows, or use a folder',
                    )
            case yaml.AliasEvent():
                self._fail(line, self._here(), "YAML aliases (*name) are not taken", "write the value out")
            case yaml.ScalarEvent():
                self._marks(event, line)
                self._scalar(event, line)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._marks(event, line)
                self._begin(line, is_mapping=isinstance(event, yaml.MappingStartEvent))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end()

    def _marks(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, line: int) -> None:
        if event.anchor is not None:
            self._fail(line, self._here(), "YAML anchors (&name) are not taken", "remove it")
        if event.tag is not None:
            self._fail(line, self._here(), "YAML tags (!name) are not taken", "remove it, or put the text into quotes")
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self._fail(line, (), f"more than {MAX_NODES} values in one file")

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        value = event.value.translate(_SHOW)
        nothing = value == "" and event.style is None
        top = self.stack[-1] if self.stack else None
        if top is not None and top.is_mapping and top.key is None:
            if nothing:
                self._fail(line, top.path, "a value without a key", 'write "key: value"')
            self._key(top, value, line)
            return
        self._place(Node(value=None if nothing else value, file=self.file, line=line))

    def _key(self, top: _Open, key: str, line: int) -> None:
        if key in top.children:
            first = top.children[key].line
            self._report(line, (*top.path, key), f"given twice, first in line {first}", "keep one of them")
        top.key, top.key_line = key, line

    def _begin(self, line: int, *, is_mapping: bool) -> None:
        top = self.stack[-1] if self.stack else None
        if top is not None and top.is_mapping and top.key is None:
            self._fail(line, top.path, "a key that is not a word", "put a text that begins with { or [ into quotes")
        if len(self.stack) >= MAX_DEPTH:
            self._fail(line, (), f"nested deeper than {MAX_DEPTH} levels")
        node = Node(value=None, file=self.file, line=line)
        self.stack.append(_Open(node=node, path=self._here(), is_mapping=is_mapping))

    def _end(self) -> None:
        done = self.stack.pop()
        value = done.children if done.is_mapping else tuple(done.items)
        self._place(replace(done.node, value=value))

    def _place(self, node: Node) -> None:
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        if not top.is_mapping:
            top.items.append(node)
        elif top.key is not None:
            top.children[top.key] = replace(node, line=top.key_line)
            top.key = None

    def _here(self) -> Path:
        if not self.stack:
            return ()
        top = self.stack[-1]
        if not top.is_mapping:
            return (*top.path, len(top.items))
        return top.path if top.key is None else (*top.path, top.key)

    def _report(self, line: int, path: Path, problem: str, instead: str = "") -> None:
        self.problems.append(Problem(file=self.file, line=line, path=dotted(path), problem=problem, instead=instead))

    def _fail(self, line: int, path: Path, problem: str, instead: str = "") -> None:
        self._report(line, path, problem, instead)
        raise _Stop
