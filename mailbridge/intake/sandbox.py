"""Jinja2 as the administrator's templates may use it: sandboxed, with our filters, bounded in what it can build.

Imported by ``template.py`` when a template needs it; one that is made of plain names never does, and saves its memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import Any

from jinja2 import ChainableUndefined, TemplateError, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from mailbridge.intake.fold import fold, transliterate
from mailbridge.intake.segments import fit

#: longest text that one operation of a template may build, in characters
_MAX_CHARS = 4000
#: longest text that putting together or replacing may build: a body's 20,000, many times over
_MAX_BUILT_CHARS = 1_000_000
_MAX_BITS = 10_000
#: turns of loops, calls and filters in one rendering; the longest useful ones look at each line of a body
MAX_STEPS = 10_000
_WIDE = re.compile(r"\d{4}|\*|\{[^}]*\{")

#: what an administrator's expression can raise at run time
BREAKS = (
    TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError, MemoryError,
)  # fmt: skip


def _fit_filter(value: object, parts: int = 1) -> str:
    return fit(str(value), max(1, int(parts)))


def _first_line(value: object) -> str:
    return next((line.strip() for line in str(value).splitlines() if line.strip()), "")


def _lines(value: object, count: int) -> str:
    filled = [line.strip() for line in str(value).splitlines() if line.strip()]
    return "\n".join(filled[: max(0, int(count))])


class _Steps:
    """How much work one rendering may still do; a rendering never waits, so one at a time is enough."""

    left = 0

    def take(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise SecurityError("too many steps")


_STEPS = _Steps()


def allow_steps() -> None:
    """Begin a rendering: loops and calls of a template share ``MAX_STEPS``."""
    _STEPS.left = MAX_STEPS


def _counted(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        _STEPS.take()
        yield item


def _concat(pieces: list[object]) -> str:
    texts = [str(piece) for piece in pieces]
    _check_size(sum(map(len, texts)))
    return "".join(texts)


def _check_size(chars: int) -> None:
    if chars > _MAX_BUILT_CHARS:
        raise SecurityError("a text becomes too long")


def _size(value: object) -> int:
    return len(value) if isinstance(value, str | bytes | list | tuple | dict) else 1


def _check_work(name: str, values: Sequence[object]) -> None:
    """Refuse what builds a text far longer than what it is given: *values* are those of a filter or a method."""
    if name in {"join", "replace"}:
        _check_size(_size(values[0]) * _size(values[-1]))
    if name in {"format", "format_map"} and _WIDE.search(str(values[0])):
        raise SecurityError("a field is too wide")
    if any(isinstance(value, int) and abs(value) > _MAX_CHARS for value in values[1:]):
        raise SecurityError("a number is too large")


def _bounded_filter(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    # Jinja hands some filters its context or environment first
    skipped = int(hasattr(work, "jinja_pass_arg"))

    @wraps(work)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        _STEPS.take()
        _check_work(name, [*args[skipped:], *kwargs.values()])
        return work(*args, **kwargs)

    return bounded


class _Counting(NodeTransformer):
    """Puts the counting of steps and characters into a template as it was parsed."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - the visitor finds it by the node's name
        if node.recursive:
            raise TemplateSyntaxError("recursive loops are not taken", node.lineno)
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "_counted")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - as above
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "_concat")


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    assert isinstance(node, nodes.Expr)
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with what fills the memory or never ends bounded."""

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed = _Counting().visit(super()._parse(source, name, filename))
        assert isinstance(parsed, nodes.Template)
        return parsed.set_environment(self)  # type: ignore[return-value]  # itself

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Count a call, and look at what a text's own method is asked for."""
        _STEPS.take()
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str):
            _check_work(obj.__name__, [owner, *args, *kwargs.values()])
        return super().call(context, obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Look at the fields of a text before its ``format`` is called."""
        if isinstance(owner := getattr(value, "__self__", None), str):
            _check_work(value.__name__, [owner])
        return super().wrap_str_format(value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        sizes = [len(side) for side in (left, right) if isinstance(side, str | bytes | list | tuple)]
        counts = [abs(side) for side in (left, right) if isinstance(side, int)]
        if operator == "+" and len(sizes) == 2:
            _check_size(sum(sizes))
        if operator == "*" and sizes and counts and sizes[0] * counts[0] > _MAX_CHARS:
            raise SecurityError("a text is repeated too often")
        if operator == "*" and len(counts) == 2 and max(counts).bit_length() > _MAX_BITS:
            raise SecurityError("a number is too large")
        if operator == "**" and any(count > 1000 for count in counts):
            raise SecurityError("a power is too high")
        if operator == "%" and isinstance(left, str) and _WIDE.search(left):
            raise SecurityError("a field is too wide")
        return super().call_binop(context, operator, left, right)


def _shown(value: object) -> object:
    return "" if value is None else value


ENVIRONMENT = _Environment(undefined=ChainableUndefined, autoescape=False, finalize=_shown)
ENVIRONMENT.filters.update(
    fold=lambda value: fold(str(value)),
    translit=lambda value: transliterate(str(value)),
    fit=_fit_filter,
    first_line=_first_line,
    lines=_lines,
    _counted=_counted,
    _concat=_concat,
)
for _name in set(ENVIRONMENT.filters) - {"_counted", "_concat"}:
    ENVIRONMENT.filters[_name] = _bounded_filter(_name, ENVIRONMENT.filters[_name])


def compile_source(source: str) -> Any:
    """Return the compiled template. Raises: ValueError with line and reason where *source* is none."""
    try:
        return ENVIRONMENT.from_string(source)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        where = f"line {line}: " if line else ""
        raise ValueError(f"not a template: {where}{error.message}") from error
