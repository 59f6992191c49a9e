"""A clock that moves only when a test says so; satisfies ``mailbridge.clock.Clock``."""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class FakeClock:
    """Time stands still until ``advance``; sleepers wake in the order of their deadlines.

    ``advance`` is synchronous: it sets the time and wakes sleepers, which run when the test next awaits.
    ``await clock.sleeping(n)`` waits (without any real delay) until *n* tasks are asleep, so that a test knows that
    the code under test has gone as far as it can.
    """

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._elapsed_s = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        #: every delay ever asked for, in order
        self.slept_s: list[float] = []

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        """Return seconds since the clock was made."""
        return self._elapsed_s

    async def sleep(self, delay_s: float) -> None:
        """Wait until ``advance`` has moved time by *delay_s*; zero only yields to the loop."""
        self.slept_s.append(delay_s)
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_s + delay_s, next(self._order), future))
        await future

    def advance(self, delta_s: float) -> None:
        """Move time forward and wake whoever's deadline was reached."""
        if delta_s < 0:
            raise ValueError("time does not run backwards here; use jump_wall")
        self._elapsed_s += delta_s
        while self._sleepers and self._sleepers[0][0] <= self._elapsed_s:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)

    def jump_wall(self, delta_s: float) -> None:
        """Move the wall time alone, either way, as an operator or NTP would; no sleeper notices."""
        self._start += timedelta(seconds=delta_s)

    @property
    def asleep(self) -> int:
        """How many tasks are asleep."""
        return sum(not future.done() for _, _, future in self._sleepers)

    @property
    def next_wake_s(self) -> float | None:
        """Seconds until the earliest sleeper wakes; None when nobody sleeps."""
        waiting = [deadline for deadline, _, future in self._sleepers if not future.done()]
        return min(waiting) - self._elapsed_s if waiting else None

    async def sleeping(self, tasks: int = 1) -> None:
        """Wait until at least *tasks* tasks are asleep; real threads and sockets get their time, too."""
        while self.asleep < tasks:
            await asyncio.sleep(0.001)
