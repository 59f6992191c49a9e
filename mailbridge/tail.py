"""Reads the queue's history onwards: each line once, also one that was written late. Shared by stream and webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from mailbridge.clock import Clock
from mailbridge.queue.browsing import Event
from mailbridge.queue.contract import Store

#: several nodes number lines at once: a lower number may be committed this much later than a higher one
_LATE = timedelta(seconds=10)


class Tail:
    """One reader's place in the history."""

    def __init__(self, store: Store, clock: Clock, after: int) -> None:
        self._store = store
        self._clock = clock
        #: all lines up to this one were read
        self.after = after
        self._ahead: set[int] = set()

    async def read(self, *, limit: int = 500) -> Sequence[Event]:
        """Return what is new, oldest first, at most *limit* lines. Raises StoreError."""
        events = await self._store.events(after=self.after, limit=limit + len(self._ahead))
        if not events and await self._store.last_event() < self.after:
            # all was pruned, and the numbers begin anew
            self.after = await self._store.last_event()
            self._ahead.clear()
        new = [event for event in events if event.n not in self._ahead][:limit]
        self._ahead |= {event.n for event in new}
        settled_before = self._clock.now() - _LATE
        for event in events:
            if event.n not in self._ahead or (event.n > self.after + 1 and event.entry.at >= settled_before):
                break
            self.after = event.n
            self._ahead.discard(event.n)
        return new
