"""The administrator's template for a message's text.

Used by ``compose.py``, once a mail and set of names. Only the configuration holds templates: a mail's text is data and
is never compiled, so ``{{ 7*7 }}`` in a subject stays as it is. Pure; must not wait, read files or know a setting.

Joints: a separator between two names (``": "`` in ``{{ subject }}: {{ body }}``) stands only where both sides have
something, and a body that begins with the subject is not preceded by it again (see ``Template.render``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

#: names a template may use; those a mail does not fill are empty
NAMES = (
    "subject", "body", "from", "from_name", "to", "headers", "short", "host", "service", "state", "severity", "info",
    "event", "time", "sms",
)  # fmt: skip
#: longest text a template may produce, in characters; a message has 1000 at most, the rest is room for cutting well
MAX_OUTPUT_CHARS = 4000
#: longest value a template is given, in characters
MAX_VALUE_CHARS = 20_000

_JOINT = " \t\n:;,|/·–—-"
_PLAIN_NAME = re.compile(r"\{\{-?\s*(sms\.phone|sms\.alias|[a-z_]+)\s*-?\}\}")
_ANY_MARK = re.compile(r"\{[{%#]|[%#}]\}|^\s*#", re.MULTILINE)
#: a subject of at least this length and two words counts as said when the body's first line begins with it
_MIN_REPEATED_CHARS = 10


def fold_blanks(text: str) -> str:
    """Fold each run of blanks to one blank and each run of line ends to one; strip both ends.

    Single line ends stay: an SMS shows them, and ``Host: a`` under ``State: b`` reads better than one long line.
    """
    if "\n" not in text and "\r" not in text:
        return " ".join(text.split())
    lines = text.replace("\r", "\n").split("\n")
    return "\n".join(folded for line in lines if (folded := " ".join(line.split())))


class Template:
    """One compiled template; make it with ``compile_template``."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._pieces = _plain_pieces(source)
        self._jinja: Any = None
        self._breaks: tuple[type[BaseException], ...] = ()
        self._begin: Callable[[], None] = lambda: None
        if self._pieces is None:
            from mailbridge.intake import sandbox  # noqa: PLC0415 - loaded only where it is needed

            self._jinja, self._breaks = sandbox.compile_source(source), sandbox.BREAKS
            self._begin = sandbox.allow_steps

    def render(self, values: Mapping[str, Any]) -> str | None:
        """Fill the template, blanks folded and joints tidied; None where the template breaks on these values.

        *values* are text, but ``headers`` (a mapping) and ``sms`` (``phone``, ``alias``).

        Between ``{{ subject }}`` and ``{{ body }}`` nothing is said twice: the subject is left out where it is the
        body's first line, or where it has two words or more and ten characters and the body goes on from it.
        """
        if self._pieces is not None:
            return self._join(values)
        assert self._jinja is not None
        try:
            return self._bounded(values)
        except self._breaks:
            return None

    def _bounded(self, values: Mapping[str, Any]) -> str:
        assert self._jinja is not None
        self._begin()
        chunks: list[str] = []
        size = 0
        for chunk in self._jinja.generate(values):
            chunks.append(chunk)
            size += len(chunk)
            if size >= MAX_OUTPUT_CHARS:
                break
        text = fold_blanks("".join(chunks)[:MAX_OUTPUT_CHARS])
        return text if values.get("subject") and values.get("body") else text.strip(_JOINT)

    def _join(self, values: Mapping[str, Any]) -> str:
        """Join a template of plain names: no Jinja, a few microseconds."""
        out: list[str] = []
        joint: str | None = None
        last = last_name = ""
        assert self._pieces is not None
        for literal, name in self._pieces:
            value = fold_blanks(_value_of(values, name)[:MAX_OUTPUT_CHARS]) if name else ""
            tidy = literal.strip(_JOINT) == ""
            if not tidy:
                out.append(literal)
                joint, last, last_name = None, "", ""
            elif literal and last:
                joint = literal
            if not value:
                continue
            if last_name == "subject" and name == "body" and tidy and _says_again(last, value):
                out.pop()
                joint = None
            if joint is not None:
                # a subject that ends in the separator's own sign has said it
                sign = joint.strip()
                out.append(joint[len(joint.rstrip()) :] if sign and last.endswith(sign) else joint)
            out.append(value)
            joint, last, last_name = None, value, name
        return "".join(out).strip()[:MAX_OUTPUT_CHARS]


@lru_cache(maxsize=256)
def compile_template(source: str) -> Template:
    """Compile a template of the configuration. Raises: ValueError with line and reason where it is none."""
    return Template(source)


def _plain_pieces(source: str) -> tuple[tuple[str, str], ...] | None:
    """Return (text before, name) pairs of a template made of plain names only, else None."""
    pieces: list[tuple[str, str]] = []
    end = 0
    for match in _PLAIN_NAME.finditer(source):
        if match[1].partition(".")[0] not in NAMES or match[1] in {"headers", "sms"} or "-" in match[0][2:-2]:
            return None
        pieces.append((source[end : match.start()], match[1]))
        end = match.end()
    pieces.append((source[end:], ""))
    if not any(name for _, name in pieces) or any(_ANY_MARK.search(literal) for literal, _ in pieces):
        return None
    return tuple(pieces)


def _value_of(values: Mapping[str, Any], name: str) -> str:
    first, _, second = name.partition(".")
    value = values.get(first, "")
    return str(value.get(second, "") if second else value)


def _says_again(subject: str, body: str) -> bool:
    """Tell whether *body* begins by saying *subject*."""
    first_line = body.partition("\n")[0]
    if first_line[: len(subject)].casefold() != subject.casefold():
        return False
    if len(first_line) == len(subject):
        return True
    return len(subject) >= _MIN_REPEATED_CHARS and " " in subject and not first_line[len(subject)].isalnum()
