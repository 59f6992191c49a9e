"""Lists of keys in pieces that every engine takes as parameters of one statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

#: well under the least limit (SQLite 32766, PostgreSQL 32767 parameters) and few enough sizes for statement caches
CHUNK = 500


def chunked(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield *items* in pieces of at most ``CHUNK``."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
