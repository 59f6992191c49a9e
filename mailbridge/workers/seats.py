"""How many sessions each worker has, in memory that all of them see: ``smtp.max_connections`` counts them together.

Each worker writes its own number alone, so nobody waits for anybody; two that let somebody in at the same moment may
be one over the limit. The system gives a new connection to whoever asks first, and the busy ask often; so who has more
sessions than is fair steps aside for a moment.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import tempfile
from collections.abc import Awaitable, Callable

from mailbridge.smtp.site import Member, Roll

#: one unsigned int
_SEAT_BYTES = 4
#: instead of a number: that worker does not run
_ABSENT = 2**32 - 1
#: more than a quarter and so many above the worker with the fewest is not fair
_FEW = 4
#: how long a worker steps aside at most, how often it looks, and how long it stays when nobody else came forward
_ASIDE_S, _LOOK_S, _STAY_S = 0.05, 0.005, 1.0


class Seats:
    """The numbers of *count* workers. *fd* is the shared memory's, where another process has made it."""

    def __init__(self, count: int, fd: int | None = None) -> None:
        self.fd = _shared_memory(count * _SEAT_BYTES) if fd is None else fd
        self._map = mmap.mmap(self.fd, count * _SEAT_BYTES)
        self._numbers = memoryview(self._map).cast("I")
        if fd is None:
            for worker in range(count):
                self.leave(worker)

    def note(self, worker: int, sessions: int) -> None:
        """Write down how many sessions *worker* has."""
        self._numbers[worker] = sessions

    def leave(self, worker: int) -> None:
        """Write down that *worker* does not run."""
        self._numbers[worker] = _ABSENT

    def total(self) -> int:
        """Return how many sessions there are."""
        return sum(number for number in self._numbers if number != _ABSENT)

    def fewest(self) -> int:
        """Return how many sessions the worker with the fewest has."""
        return min(self._numbers)

    def close(self) -> None:
        """Let go of the memory."""
        self._numbers.release()
        self._map.close()
        os.close(self.fd)


def _shared_memory(size_bytes: int) -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("mailbridge-seats")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size_bytes)
    return fd


class SharedRoll(Roll):
    """The roll of one worker's door: full when the sessions of all workers are as many as there may be."""

    def __init__(self, *, max_sessions: int, seats: Seats, worker: int) -> None:
        super().__init__(max_sessions=max_sessions)
        self._seats = seats
        self._worker = worker
        #: called when somebody came in and this worker has more than is fair
        self.on_crowded: Callable[[], None] = lambda: None
        seats.note(worker, 0)

    @property
    def is_full(self) -> bool:
        """True when one more is too many."""
        return self._seats.total() >= self._max_sessions

    def enter(self, member: Member, *, is_guest: bool) -> None:
        """Note a new session."""
        super().enter(member, is_guest=is_guest)
        self._seats.note(self._worker, len(self._guests))
        if self.is_crowded:
            self.on_crowded()

    @property
    def is_crowded(self) -> bool:
        """True when another worker has clearly fewer sessions."""
        count, fewest = len(self._guests), self._seats.fewest()
        return count > fewest + fewest // 4 + _FEW

    @property
    def elsewhere(self) -> int:
        """How many sessions the other workers have."""
        return self._seats.total() - len(self._guests)

    def give_up_place(self, member: Member) -> None:
        """Let *member*, who is about to go, count no more."""
        super().give_up_place(member)
        self._seats.note(self._worker, len(self._guests))

    def leave(self, member: Member) -> None:
        """Note that a session's connection is gone."""
        super().leave(member)
        self._seats.note(self._worker, len(self._guests))


class Courtesy:
    """Lets the other workers have the next connections while this one has more than is fair.

    Where they do not take them within ``_ASIDE_S`` they are busier than their numbers say, or stuck: then this one
    takes whoever comes for ``_STAY_S``.
    """

    def __init__(self, roll: SharedRoll, *, pause: Callable[[], None], resume: Callable[[], Awaitable[None]]) -> None:
        self._roll = roll
        self._pause = pause
        self._resume = resume
        self._aside: asyncio.Task[None] | None = None
        self._stay_until_s = 0.0
        roll.on_crowded = self._step_aside

    def _step_aside(self) -> None:
        if self._aside is None and asyncio.get_running_loop().time() >= self._stay_until_s:
            self._pause()
            self._aside = asyncio.create_task(self._come_back(), name="courtesy")

    async def _come_back(self) -> None:
        loop, roll = asyncio.get_running_loop(), self._roll
        elsewhere, ends_s = roll.elsewhere, loop.time() + _ASIDE_S
        while roll.is_crowded and loop.time() < ends_s:  # noqa: ASYNC110  other processes' numbers ring no bell
            await asyncio.sleep(_LOOK_S)
        if roll.is_crowded and roll.elsewhere <= elsewhere:
            self._stay_until_s = loop.time() + _STAY_S
        self._aside = None
        if not roll.is_closing:
            await self._resume()
