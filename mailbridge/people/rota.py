"""Whose turn it is: a rotation by the calendar on the wall, and shifts read from a calendar. Pure: told the time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from mailbridge.people.zones import Zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Somebody is on duty from *begins_at* until just before *ends_at* (aware, UTC)."""

    begins_at: datetime
    ends_at: datetime
    #: people, numbers or aliases, as written
    who: tuple[str, ...]


class Rota(Protocol):
    """Who is on duty when."""

    def on_duty(self, at: datetime) -> tuple[str, ...]:
        """Return who is meant at *at*; empty: nobody is known."""
        ...

    def shifts(self, since: datetime, until: datetime) -> Sequence[Shift]:
        """Return the shifts that touch that time, oldest first."""
        ...


class Rotation:
    """Members in turn, each for *every*, by the clock on the wall: a turn that begins at 9:00 does so all the year.

    Before the first turn the first member is meant: an alert has to reach somebody.
    """

    def __init__(self, *, start: datetime, every: timedelta, members: Sequence[str], zone: Zone) -> None:
        """*start* is local and without a zone."""
        self._start = start
        self._every = every
        self._members = tuple(members)
        self._zone = zone

    def on_duty(self, at: datetime) -> tuple[str, ...]:
        """Return the member whose turn it is."""
        return (self._members[max(0, self._turn(at)) % len(self._members)],)

    def shifts(self, since: datetime, until: datetime) -> Sequence[Shift]:
        """Return the turns that touch that time, oldest first."""
        found = []
        turn = max(0, self._turn(since))
        while (begins_at := self._begin(turn)) < until:
            who = (self._members[turn % len(self._members)],)
            found.append(Shift(begins_at=begins_at, ends_at=self._begin(turn + 1), who=who))
            turn += 1
        return tuple(found)

    def _begin(self, turn: int) -> datetime:
        return self._zone.instant(self._start + turn * self._every)

    def _turn(self, at: datetime) -> int:
        """Return the number of the turn at *at*, from 0; negative before the first."""
        turn = (self._zone.local(at) - self._start) // self._every
        # around a change of the clocks the wall alone does not tell
        if self._begin(turn) > at:
            return turn - 1
        return turn + 1 if self._begin(turn + 1) <= at else turn


class Calendar:
    """Shifts as last read from a calendar; the reader puts newer ones in their place."""

    def __init__(self, *, otherwise: Sequence[str] = ()) -> None:
        self.known: tuple[Shift, ...] = ()
        self._otherwise = tuple(otherwise)

    def on_duty(self, at: datetime) -> tuple[str, ...]:
        """Return all whose shift it is; in a gap who is named for it, else whoever was on duty last."""
        now = [name for shift in self.known if shift.begins_at <= at < shift.ends_at for name in shift.who]
        if now:
            return tuple(dict.fromkeys(now))
        if self._otherwise:
            return self._otherwise
        return max(
            (shift for shift in self.known if shift.ends_at <= at), key=lambda shift: shift.ends_at, default=_NOBODY
        ).who

    def shifts(self, since: datetime, until: datetime) -> Sequence[Shift]:
        """Return the known shifts that touch that time, oldest first."""
        return tuple(shift for shift in self.known if shift.begins_at < until and since < shift.ends_at)


_NOBODY = Shift(begins_at=datetime.min.replace(tzinfo=UTC), ends_at=datetime.min.replace(tzinfo=UTC), who=())


def sorted_shifts(shifts: Iterable[Shift]) -> tuple[Shift, ...]:
    """Return *shifts* oldest first, each once."""
    return tuple(sorted(set(shifts), key=lambda shift: (shift.begins_at, shift.ends_at, shift.who)))
