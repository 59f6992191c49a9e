"""What happens to messages, told to whoever listens as it happens. A listener that is slow is let go, and slows nobody.

One task reads the history for all, and only while somebody listens. Who was let go comes again with the number of the
last event it has, and reads from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from mailbridge.clock import Clock
from mailbridge.errors import MailbridgeError, StoreError
from mailbridge.queue.browsing import Event
from mailbridge.queue.contract import Store
from mailbridge.tail import Tail

log = structlog.get_logger()

#: between two looks at the history, in seconds
_LOOK_S = 0.3
#: events that may wait for one listener
_MOST_WAITING = 1_000
MOST_LISTENERS = 100


class TooMany(MailbridgeError):
    """Too many listen already."""


class Listener:
    """One who listens. ``get`` returns None when it was let go or the bridge stops."""

    def __init__(self, most: int) -> None:
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(most + 1)
        self._most = most
        self.is_let_go = False

    def offer(self, event: Event) -> None:
        """Hand it an event; let it go where too many wait for it."""
        if self.is_let_go:
            return
        if self._events.qsize() >= self._most:
            self.let_go()
        else:
            self._events.put_nowait(event)

    def let_go(self) -> None:
        """End its stream: what waits is dropped."""
        if self.is_let_go:
            return
        self.is_let_go = True
        while not self._events.empty():
            self._events.get_nowait()
        self._events.put_nowait(None)

    async def get(self) -> Event | None:
        """Return the next event."""
        return await self._events.get()


class Feed:
    """Tells listeners what happens."""

    def __init__(self, store: Store, clock: Clock, *, most_waiting: int = _MOST_WAITING) -> None:
        self._store = store
        self._clock = clock
        self._most_waiting = most_waiting
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._after = 0
        self._is_closed = False

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[Listener]:
        """Listen while the block lasts: all that is written from now on. Raises TooMany, StoreError."""
        if self._is_closed or len(self._listeners) >= MOST_LISTENERS:
            raise TooMany
        listener = Listener(self._most_waiting)
        self._listeners.add(listener)
        try:
            if self._task is None or self._task.done():
                self._after = await self._store.last_event()
                self._task = asyncio.create_task(self._run(), name="feed")
            yield listener
        finally:
            self._listeners.discard(listener)

    async def since(self, after: int, *, most: int = 10_000) -> Sequence[Event]:
        """Return what was written after event *after*, for one that comes again. Raises StoreError."""
        return await self._store.events(after=after, limit=most)

    async def _run(self) -> None:
        tail = Tail(self._store, self._clock, self._after)
        while self._listeners:
            try:
                for event in await tail.read():
                    for listener in tuple(self._listeners):
                        listener.offer(event)
            except StoreError as error:
                log.warning("store trouble", doing="feed", because=str(error))
            await asyncio.sleep(_LOOK_S)

    def close(self) -> None:
        """Let all listeners go; nobody is taken any more."""
        self._is_closed = True
        for listener in tuple(self._listeners):
            listener.let_go()
        if self._task is not None:
            self._task.cancel()
