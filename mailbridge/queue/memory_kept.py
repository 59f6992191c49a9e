"""The in-memory twin of what the SQL stores keep for people; part of ``memory.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from mailbridge.model.alert import Alert
from mailbridge.model.state import State
from mailbridge.queue.contract import NewMail, NewMessage, StoredMessage
from mailbridge.queue.gathering import FORGOTTEN_AFTER, Book, arrive, foresee, is_due, still_holds
from mailbridge.queue.kept import Closing, DueGathering, Foreseen, Gather, Gathering, KeptCalendar, Seen, Waiting

if TYPE_CHECKING:
    from mailbridge.queue.memory_tables import Tables


@dataclass(slots=True)
class Kept:
    """The rows."""

    calendars: dict[str, KeptCalendar] = field(default_factory=dict)
    gatherings: dict[str, Gathering] = field(default_factory=dict)
    seen: dict[tuple[str, str], Seen] = field(default_factory=dict)
    #: message id -> key, alert, repeat
    waits: dict[str, tuple[str, Alert, bool]] = field(default_factory=dict)

    #: the last line of a message that somebody has to answer; else empty
    ending_of: Callable[[StoredMessage], str] = lambda _row: ""

    def arrive(self, mail: NewMail, messages: Sequence[NewMessage]) -> list[NewMessage]:
        """Return *messages* as they are to be stored, those that wait noted."""
        book, out = Book(self.gatherings, self.seen), []
        for new in messages:
            if new.gather is None or new.state is not State.QUEUED:
                out.append(new)
                continue
            arrived = arrive(new, new.gather, book, mail.received_at)
            if arrived.waits:
                self.waits[new.id] = (new.gather.key, new.gather.alert, arrived.is_repeat)
            out.append(arrived.message)
        return out

    def waiting(self, rows: Mapping[str, StoredMessage], key: str) -> list[Waiting]:
        """Return who waits under *key*, oldest first."""
        found = [
            Waiting(message=rows[id_], alert=alert, is_repeat=is_repeat, ending=self.ending_of(rows[id_]))
            for id_, (own, alert, is_repeat) in self.waits.items()
            if own == key and id_ in rows and rows[id_].state is State.QUEUED and rows[id_].next_attempt_at is None
        ]
        return sorted(found, key=lambda one: (one.message.created_at, one.message.id))

    def foresee(self, rows: Mapping[str, StoredMessage], gather: Gather, now: datetime) -> Foreseen:
        """Say what would become of a message that came in now."""
        book = Book(dict(self.gatherings), dict(self.seen))
        return foresee(gather, book, now, beside=len(self.waiting(rows, gather.key)))

    def due(self, rows: Mapping[str, StoredMessage], *, now: datetime, limit: int, most: int) -> Sequence[DueGathering]:
        """Return the gatherings that are due."""
        due = sorted((g for g in self.gatherings.values() if is_due(g, now)), key=lambda g: (g.due_at, g.key))
        return [DueGathering(gathering=g, waiting=tuple(self.waiting(rows, g.key)[:most])) for g in due[:limit]]

    def holds(self, rows: Mapping[str, StoredMessage], closing: Closing) -> bool:
        """Tell whether what *closing* was decided on still is so."""
        gathering = self.gatherings.get(closing.key)
        waiting = frozenset(one.message.id for one in self.waiting(rows, closing.key))
        return gathering is not None and still_holds(closing, opened_at=gathering.opened_at, waiting=waiting)

    def close(self, closing: Closing) -> None:
        """Carry *closing* out, but for its mail and its changes."""
        for change in closing.changes:
            self.waits.pop(change.message_id, None)
        if closing.then is None:
            del self.gatherings[closing.key]
        else:
            self.gatherings[closing.key] = closing.then
        before = closing.at - FORGOTTEN_AFTER
        self.seen = {place: seen for place, seen in self.seen.items() if seen.at >= before}


class MemoryKeeps:
    """Answers for the tables of ``MemoryStore``."""

    _t: Tables

    async def calendars(self) -> Sequence[KeptCalendar]:
        """Return what was last read of each calendar."""
        return tuple(self._t.kept.calendars.values())

    async def keep_calendar(self, calendar: KeptCalendar) -> None:
        """Keep what was read of a calendar."""
        self._t.kept.calendars[calendar.rota] = calendar

    async def due_gatherings(self, *, now: datetime, limit: int, most: int) -> Sequence[DueGathering]:
        """Return gatherings that are due."""
        return self._t.kept.due(self._t.messages, now=now, limit=limit, most=most)

    async def next_gathering_at(self) -> datetime | None:
        """Return when the next gathering is due."""
        return min((gathering.due_at for gathering in self._t.kept.gatherings.values()), default=None)

    async def foresee(self, gather: Gather, *, now: datetime) -> Foreseen:
        """Say what would become of a message that came in now."""
        return self._t.kept.foresee(self._t.messages, gather, now)
