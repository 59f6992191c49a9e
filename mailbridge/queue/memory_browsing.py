"""What people ask, of the in-memory twin; beside ``memory.py``."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mailbridge.model.state import State
from mailbridge.queue.browsing import LATENCIES_S, Asked, Event, Page, Tally, is_straight
from mailbridge.queue.rules import find_owner

if TYPE_CHECKING:
    from mailbridge.queue.contract import Filter, HistoryEntry, StoredMessage
    from mailbridge.queue.memory_tables import Tables


@dataclass(slots=True)
class Lines:
    """The history, in the order of writing."""

    entries: dict[int, HistoryEntry] = field(default_factory=dict)
    last: int = 0

    def add(self, entry: HistoryEntry) -> None:
        """Write a line."""
        self.last += 1
        self.entries[self.last] = entry

    def forget(self, message_ids: Collection[str]) -> None:
        """Delete the lines of these messages."""
        self.entries = {n: entry for n, entry in self.entries.items() if entry.message_id not in message_ids}


class MemoryBrowsing:
    """Reads the tables of ``MemoryStore``."""

    _t: Tables

    def __init__(self) -> None:
        super().__init__()
        self._asked: dict[str, Asked] = {}
        self._bookmarks: dict[str, int] = {}

    async def find(self, wanted: Filter) -> Sequence[StoredMessage]:
        """List messages, newest first."""
        raise NotImplementedError

    async def page(self, wanted: Filter, *, reach: int) -> Page:
        """List messages, newest first, reading at most *reach* of them."""
        near = await self.find(replace(wanted, states=None, sender=None, text=None, limit=reach))
        edge = near[-1].id if len(near) == reach and not is_straight(wanted) else None
        found = tuple(await self.find(replace(wanted, from_id=edge)))
        return Page(messages=found, after_id=found[-1].id if len(found) == wanted.limit else edge)

    async def tally(self, *, since: datetime, until: datetime) -> Sequence[Tally]:
        """Count the messages that came in from *since* to before *until*, hour by hour."""
        alike: Counter[Tally] = Counter()
        for row in self._t.messages.values():
            if since <= row.created_at < until:
                alike[_alike(row)] += 1
        found = [replace(one, messages=count, parts=one.parts * count) for one, count in alike.items()]
        return sorted(_summed(found), key=lambda one: (one.hour, one.state.value))

    async def events(self, *, after: int, limit: int) -> Sequence[Event]:
        """Return the lines of the history numbered above *after*, in their order."""
        found = [
            Event(n=n, entry=entry, message=self._t.messages[entry.message_id])
            for n, entry in self._t.history.entries.items()
            if n > after
        ]
        return found[:limit]

    async def last_event(self) -> int:
        """Return the number of the newest line of the history."""
        return max(self._t.history.entries, default=0)

    async def ask_once(self, asked: Asked, *, now: datetime) -> Asked:
        """Keep *asked*, unless its key is kept already and still holds; return what is kept."""
        self._asked = {key: one for key, one in self._asked.items() if one.until > now}
        return self._asked.setdefault(asked.key, asked)

    async def owner_of(self, keys: Sequence[str], *, now: datetime) -> str | None:
        """Return the id of the message that a mail with one of *keys* would repeat."""
        return find_owner(keys, self._t.keys, now)

    async def bookmark(self, name: str) -> int | None:
        """Return what was kept under *name*."""
        return self._bookmarks.get(name)

    async def keep_bookmark(self, name: str, n: int) -> None:
        """Keep how far somebody has read the history."""
        self._bookmarks[name] = n


def _alike(row: StoredMessage) -> Tally:
    has_arrived = row.state is State.DELIVERED
    return Tally(
        hour=row.created_at.replace(minute=0, second=0, microsecond=0),
        state=row.state,
        gateway=row.gateway,
        currency=row.currency,
        price=row.price,
        handed_over=None if row.attempted_at is None else _class_of(row.attempted_at - row.created_at),
        arrived=_class_of(row.updated_at - row.created_at) if has_arrived else None,
        messages=1,
        parts=row.parts,
    )


def _class_of(took: timedelta) -> int:
    return bisect_left(LATENCIES_S, took.total_seconds())


def _summed(some: Sequence[Tally]) -> list[Tally]:
    """Add up what differs in its parts alone."""
    sums: dict[Tally, tuple[int, int]] = {}
    for one in some:
        key = replace(one, messages=0, parts=0)
        messages, parts = sums.get(key, (0, 0))
        sums[key] = messages + one.messages, parts + one.parts
    return [replace(key, messages=messages, parts=parts) for key, (messages, parts) in sums.items()]
