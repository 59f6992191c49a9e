"""The configuration as written: a tree of nodes that know their file and line.

Between the YAML parser and the model: stages take a tree and return a new one. It must not know the model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from mailbridge.config.problems import Problem

#: keys and list indexes from the top
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One value as written. *line* is that of its key (of the item in a list), 1-based; None: nothing was written."""

    value: str | Mapping[str, Node] | tuple[Node, ...] | None
    file: str
    line: int
    #: False where the text came from the environment or a secret file, so it must not be repeated in a problem
    echo: bool = True


class Findings:
    """The problems found so far, and the paths that are known to be wrong.

    A check names what it *needs*; where any of that is already wrong, its complaint would only be an echo.
    """

    def __init__(self, root: Node) -> None:
        self.root = root
        self.problems: list[Problem] = []
        self.broken: set[Path] = set()

    def report(self, path: Path, problem: str, instead: str = "", *, needs: tuple[Path, ...] = ()) -> None:
        """Note a problem at *path*, once."""
        if any(self.is_broken(needed) for needed in (path, *needs)):
            return
        node = nearest(self.root, path)
        found = Problem(file=node.file, line=node.line, path=dotted(path), problem=problem, instead=instead)
        self.problems.append(found)
        self.broken.add(path)

    def report_error(self, path: Path, error: ValueError) -> None:
        """Note an error of ours of the form "what is wrong; what to write instead"."""
        problem, _, instead = str(error).partition("; ")
        self.report(path, problem, instead)

    def item_path(self, path: Path, number: int) -> Path:
        """Return the path of the *number*-th word of a list, or of the list where it is written as one text."""
        node = get(self.root, path)
        return (*path, number) if node is not None and isinstance(node.value, tuple) else path

    def is_list(self, path: Path) -> bool:
        """Tell whether a list, or one text with commas, is written at *path*."""
        node = get(self.root, path)
        return node is not None and isinstance(node.value, str | tuple)

    def has_twin(self, path: Path) -> bool:
        """Tell whether an earlier key of the same mapping is that of *path* in other letters."""
        parent = get(self.root, path[:-1])
        keys = list(parent.value) if parent is not None and isinstance(parent.value, Mapping) else []
        same = [key for key in keys if key.lower() == str(path[-1]).lower()]
        return len(same) > 1 and same[0] != path[-1]

    def is_broken(self, path: Path) -> bool:
        """Tell whether *path*, something in it or something around it is wrong."""
        return any(path[: len(bad)] == bad or bad[: len(path)] == path for bad in self.broken)

    def shown(self, path: Path) -> str:
        """Return the text at *path* to quote in a problem: shortened, empty where it must not be repeated."""
        node = nearest(self.root, path)
        if not isinstance(node.value, str) or not node.echo or get(self.root, path) is None:
            return ""
        text = "".join(c if c.isprintable() else "�" for c in node.value)
        longest = 60
        return f'"{text[:longest]}…"' if len(text) > longest else f'"{text}"'


def dotted(path: Path) -> str:
    """Write *path* as people do: ``smtp.listen[0].address``; the top is empty."""
    out = ""
    for step in path:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else step
    return out


def undotted(text: str) -> Path:
    """Return the path that ``dotted`` wrote as *text*; its keys have no dots and brackets."""
    return tuple(int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", text))


def get(root: Node, path: Path) -> Node | None:
    """Return the node at *path*, or None."""
    node: Node | None = root
    for step in path:
        if node is None:
            return None
        node = _child(node, step)
    return node


def nearest(root: Node, path: Path) -> Node:
    """Return the node at *path*, or the deepest one above it."""
    node = root
    for step in path:
        child = _child(node, step)
        if child is None:
            break
        node = child
    return node


def _child(node: Node, step: str | int) -> Node | None:
    if isinstance(node.value, Mapping) and isinstance(step, str):
        if step in node.value:
            return node.value[step]
        # the model writes domains in lower case
        return next((child for key, child in node.value.items() if key.lower() == step), None)
    if isinstance(node.value, tuple) and isinstance(step, int) and 0 <= step < len(node.value):
        return node.value[step]
    return None


def walk(node: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Yield every node below and including *node*, parents first."""
    yield path, node
    if isinstance(node.value, Mapping):
        for key, child in node.value.items():
            yield from walk(child, (*path, key))
    elif isinstance(node.value, tuple):
        for index, child in enumerate(node.value):
            yield from walk(child, (*path, index))


def change_texts(node: Node, change: Callable[[Path, str, Node], Node], path: Path = ()) -> Node:
    """Return a tree in which every text's node is what *change* makes of (path, text, node)."""
    if isinstance(node.value, str):
        return change(path, node.value, node)
    if isinstance(node.value, Mapping):
        children = {key: change_texts(child, change, (*path, key)) for key, child in node.value.items()}
        return replace(node, value=children)
    if isinstance(node.value, tuple):
        items = enumerate(node.value)
        return replace(node, value=tuple(change_texts(child, change, (*path, index)) for index, child in items))
    return node


def put(node: Node, path: Path, new: Node) -> Node:
    """Return a tree with *new* at *path*; missing mappings are made, an index may be the next free one."""
    if not path:
        return new
    step, rest = path[0], path[1:]
    child = _child(node, step) or replace(new, value=None)
    if isinstance(step, int):
        items = list(node.value) if isinstance(node.value, tuple) else []
        items[step : step + 1] = [put(child, rest, new)]
        return replace(node, value=tuple(items))
    old = node.value if isinstance(node.value, Mapping) else {}
    return replace(node, value={**old, step: put(child, rest, new)})


def drop(node: Node, path: Path) -> Node:
    """Return a tree without the mapping key at *path*."""
    parent = get(node, path[:-1])
    if parent is None or not isinstance(parent.value, Mapping):
        return node
    kept = {key: child for key, child in parent.value.items() if key != path[-1]}
    return put(node, path[:-1], replace(parent, value=kept))


def merge(first: Node, second: Node) -> Node:
    """Return both in one: mappings merge deep, lists and scalars of *second* win; nothing written changes nothing."""
    if second.value is None:
        return first
    if isinstance(first.value, Mapping) and isinstance(second.value, Mapping):
        merged = dict(first.value)
        for key, child in second.value.items():
            merged[key] = merge(merged[key], child) if key in merged else child
        return replace(first, value=merged)
    return second


def plain(node: Node) -> object:
    """Return the tree as dicts, lists and texts; a key with nothing written after it is left out."""
    if isinstance(node.value, Mapping):
        return {key: plain(child) for key, child in node.value.items() if child.value is not None}
    if isinstance(node.value, tuple):
        return [plain(child) for child in node.value]
    return node.value
