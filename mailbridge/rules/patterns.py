"""Globs and RE2 patterns of rules as tests on a text, the common globs without any pattern machine.

Used by ``engine``; pure. Names, subjects and texts are compared in any case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from mailbridge.config.patterns import PREFIX, compile_pattern, glob_pattern


class Value:
    """One text of a mail in the forms tests want; each is made once, when somebody asks."""

    __slots__ = ("_encoded", "_lower", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._lower: str | None = None
        self._encoded: bytes | None = None

    @property
    def lower(self) -> str:
        """Return the text in lower case."""
        if self._lower is None:
            self._lower = self.text.lower()
        return self._lower

    @property
    def encoded(self) -> bytes:
        """Return the text in UTF-8, as RE2 reads it."""
        if self._encoded is None:
            self._encoded = self.text.encode("utf-8", "replace")
        return self._encoded


Test = Callable[[Value], bool]

_WILD = re.compile(r"[*?]")


def compile_tests(patterns: Sequence[str]) -> tuple[Test, ...]:
    """Return a test for each pattern. Raises: ValueError for a bad one; the configuration's check has seen them."""
    return tuple(_compile(pattern) for pattern in patterns)


def fits_any(tests: Sequence[Test], value: Value) -> bool:
    """Tell whether any of *tests* holds for *value*."""
    return tests[0](value) if len(tests) == 1 else any(test(value) for test in tests)


def _compile(pattern: str) -> Test:
    if pattern.startswith(PREFIX):
        return _search(compile_pattern(pattern.removeprefix(PREFIX), captures=False).search)
    glob = pattern.lower()
    core = glob.strip("*")
    if not _WILD.search(core):
        if glob == core:
            return lambda value: value.lower == glob
        if not core:
            return lambda _value: True
        if glob.startswith("*") and glob.endswith("*"):
            return lambda value: core in value.lower
        if glob.startswith("*"):
            return lambda value: value.lower.endswith(core)
        return lambda value: value.lower.startswith(core)
    whole = _search(compile_pattern(glob_pattern(pattern), captures=False).search)
    # a value without one of the glob's own words cannot fit, and is told so without a search
    word = max(_WILD.split(glob), key=len)
    return lambda value: word in value.lower and whole(value)


def _search(search: Callable[[bytes], object]) -> Test:
    return lambda value: search(value.encoded) is not None
