"""Patterns a user writes: RE2 with ``re:``, words and globs. RE2 cannot hang, whatever is written (google-re2).

Compiled here and nowhere else. Raises ValueError with what to write instead.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

#: begins a pattern where words and globs are written too
PREFIX = "re:"
MAX_PATTERN_CHARS = 2000
#: memory that one pattern's automata may take; a greater one is refused as too large
_MAX_MEM_BYTES = 2 << 20
_GLOB = re.compile(r"\*+|\?")


@lru_cache(maxsize=4096)
def compile_pattern(pattern: str) -> Any:
    """Compile an RE2 pattern. Raises: ValueError "what is wrong; what to write instead"."""
    import re2  # noqa: PLC0415 - loaded where a pattern is needed

    if len(pattern) > MAX_PATTERN_CHARS:
        raise ValueError(f"a pattern of more than {MAX_PATTERN_CHARS} characters; shorten it")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEM_BYTES
    compile_: Any = re2.compile
    try:
        return compile_(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        words = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"not an RE2 pattern: {words}; see github.com/google/re2/wiki/Syntax") from error


def glob_pattern(glob: str) -> str:
    """Return the RE2 pattern of a glob that must fit a whole value, in any case: ``*`` anything, ``?`` one sign."""
    pieces: list[str] = []
    end = 0
    for match in _GLOB.finditer(glob):
        pieces += [re.escape(glob[end : match.start()]), ".*" if match[0][0] == "*" else "."]
        end = match.end()
    pieces.append(re.escape(glob[end:]))
    return "(?is)^" + "".join(pieces) + "$"
