"""Globs and RE2 patterns of rules as tests on a text, the common globs without any pattern machine.

Used by ``engine``; pure. Names, subjects and texts are compared in any case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from mailbridge.config.patterns import PREFIX, compile_pattern, glob_pattern

#: a text as written, and in lower case
Test = Callable[[str, str], bool]

_WILD = re.compile(r"[*?]")


def compile_tests(patterns: Sequence[str]) -> tuple[Test, ...]:
    """Return a test for each pattern. Raises: ValueError for a bad one; the configuration's check has seen them."""
    return tuple(_compile(pattern) for pattern in patterns)


def fits_any(tests: Sequence[Test], text: str, lower: str) -> bool:
    """Tell whether any of *tests* holds for *text*."""
    return any(test(text, lower) for test in tests)


def _compile(pattern: str) -> Test:
    if pattern.startswith(PREFIX):
        return _search(compile_pattern(pattern.removeprefix(PREFIX)).search)
    glob = pattern.lower()
    core = glob.strip("*")
    if not _WILD.search(core):
        if glob == core:
            return lambda _text, lower: lower == glob
        if not core:
            return lambda _text, _lower: True
        if glob.startswith("*") and glob.endswith("*"):
            return lambda _text, lower: core in lower
        if glob.startswith("*"):
            return lambda _text, lower: lower.endswith(core)
        return lambda _text, lower: lower.startswith(core)
    return _search(compile_pattern(glob_pattern(pattern)).search)


def _search(search: Callable[[str], object]) -> Test:
    return lambda text, _lower: search(text) is not None
