"""The part of the store's contract that serves people: what was read of calendars.

``contract.Store`` includes it; what is said there of transactions, times and errors holds here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCalendar:
    """What was last read of a rota's calendar, for the time when it cannot be read."""

    rota: str
    #: tells which address it was read from, without saying it
    source: str
    #: as ``people.calendar.dump_shifts`` writes them
    shifts: str
    read_at: datetime


class Keeps(Protocol):
    """What is kept for people."""

    async def calendars(self) -> Sequence[KeptCalendar]:
        """Return what was last read of each calendar."""
        ...

    async def keep_calendar(self, calendar: KeptCalendar) -> None:
        """Keep what was read of a calendar in place of what was read before."""
        ...
