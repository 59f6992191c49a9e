"""Patterns a user writes: RE2 with ``re:``, words and globs. RE2 cannot hang, whatever is written (google-re2).

Compiled here and nowhere else. Raises ValueError with what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

#: begins a pattern where words and globs are written too
PREFIX = "re:"
MAX_PATTERN_CHARS = 2000
#: memory that one pattern's automata may take; a greater one is refused as too large
_MAX_MEM_BYTES = 2 << 20
_GLOB = re.compile(r"\*+|\?")


@lru_cache(maxsize=4096)
def compile_pattern(pattern: str, *, captures: bool = True) -> Any:
    """Compile an RE2 pattern; search it in UTF-8 bytes, which the library need not encode each time.

    Without *captures* its groups are not kept: whether it fits is all that is asked, and found out faster.
    Raises: ValueError "what is wrong; what to write instead".
    """
    if len(pattern) > MAX_PATTERN_CHARS:
        raise ValueError(f"a pattern of more than {MAX_PATTERN_CHARS} characters; shorten it")
    return _compile(pattern, captures=captures, max_mem_bytes=_MAX_MEM_BYTES)


def _compile(pattern: str, *, captures: bool, max_mem_bytes: int) -> Any:
    import re2  # noqa: PLC0415 - loaded where a pattern is needed

    options = re2.Options()
    options.log_errors = False
    options.max_mem = max_mem_bytes
    options.never_capture = not captures
    compile_: Any = re2.compile
    try:
        return compile_(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        words = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"not an RE2 pattern: {words}; see github.com/google/re2/wiki/Syntax") from error


def words_pattern(words: Iterable[str]) -> Any:
    """Return a compiled pattern that finds any of *words*."""
    return _compile("|".join(re.escape(word) for word in words), captures=False, max_mem_bytes=4 * _MAX_MEM_BYTES)


def glob_pattern(glob: str) -> str:
    """Return the RE2 pattern of a glob that must fit a whole value, in any case: ``*`` anything, ``?`` one sign."""
    pieces: list[str] = []
    end = 0
    for match in _GLOB.finditer(glob):
        pieces += [re.escape(glob[end : match.start()]), ".*" if match[0][0] == "*" else "."]
        end = match.end()
    pieces.append(re.escape(glob[end:]))
    return "(?is)^" + "".join(pieces) + "$"
