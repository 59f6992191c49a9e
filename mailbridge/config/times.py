"""Times of day and days of the week as a user writes them: ``22:00-08:00``, ``mon-fri``. Pure."""

from __future__ import annotations

import re

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)", re.ASCII)
_DAY_MINUTES = 24 * 60


def parse_span(text: str) -> tuple[int, int]:
    """Read ``22:00-08:00`` as minutes of the day, first and last excluded; the second may be the smaller one.

    Raises: ValueError "what is wrong; what to write instead".
    """
    match = _SPAN.fullmatch(text.strip())
    if match is not None:
        begin, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
        if begin != end and begin < _DAY_MINUTES and end <= _DAY_MINUTES and int(match[2]) < 60 and int(match[4]) < 60:
            return begin, end
    raise ValueError(f'"{text[:40]}" is not a span of the day; write 22:00-08:00')


def parse_days(text: str) -> frozenset[int]:
    """Read ``mon-fri`` or ``sat`` as days, Monday being 0; ``fri-mon`` goes round.

    Raises: ValueError "what is wrong; what to write instead".
    """
    first, dash, last = (piece.strip().lower()[:3] for piece in text.partition("-"))
    if first in DAYS and (last in DAYS if dash else not last):
        begin = DAYS.index(first)
        end = DAYS.index(last) if dash else begin
        return frozenset((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    raise ValueError(f'"{text[:40]}" is no day of the week; write mon-fri or sat')


def is_within(minute: int, span: tuple[int, int]) -> bool:
    """Tell whether *minute* of the day lies in *span*, which may go over midnight."""
    begin, end = span
    return begin <= minute < end if begin < end else minute >= begin or minute < end
