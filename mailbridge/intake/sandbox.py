"""Jinja2 as the administrator's templates may use it: sandboxed, with our filters, bounded in what it can build.

Imported by ``template.py`` when a template needs it; one that is made of plain names never does, and saves its memory.
"""

from __future__ import annotations

import re
from typing import Any

from jinja2 import ChainableUndefined, TemplateError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mailbridge.intake.fold import fold, transliterate
from mailbridge.intake.segments import fit

#: longest text that one operation of a template may build, in characters
_MAX_CHARS = 4000

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


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with multiplication and powers bounded: they are how a short template fills the memory."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        sizes = [len(side) for side in (left, right) if isinstance(side, str | bytes | list | tuple)]
        counts = [abs(side) for side in (left, right) if isinstance(side, int)]
        if operator == "*" and sizes and counts and sizes[0] * counts[0] > _MAX_CHARS:
            raise SecurityError("a text is repeated too often")
        if operator == "**" and any(count > 1000 for count in counts):
            raise SecurityError("a power is too high")
        if operator == "%" and isinstance(left, str) and re.search(r"\d{4}|\*", left):
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
)


def compile_source(source: str) -> Any:
    """Return the compiled template. Raises: ValueError with line and reason where *source* is none."""
    try:
        return ENVIRONMENT.from_string(source)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        where = f"line {line}: " if line else ""
        raise ValueError(f"not a template: {where}{error.message}") from error
