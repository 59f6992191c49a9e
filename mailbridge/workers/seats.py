"""How many sessions each worker has, in memory that all of them see: ``smtp.max_connections`` counts them together.

Each worker writes its own number alone, so nobody waits for anybody; two that let somebody in at the same moment may
be one over the limit.
"""

from __future__ import annotations

import mmap
import os
import tempfile

from mailbridge.smtp.site import Member, Roll

#: one unsigned int
_SEAT_BYTES = 4


class Seats:
    """The numbers of *count* workers. *fd* is the shared memory's, where another process has made it."""

    def __init__(self, count: int, fd: int | None = None) -> None:
        self.fd = _shared_memory(count * _SEAT_BYTES) if fd is None else fd
        self._map = mmap.mmap(self.fd, count * _SEAT_BYTES)
        self._numbers = memoryview(self._map).cast("I")

    def note(self, worker: int, sessions: int) -> None:
        """Write down how many sessions *worker* has."""
        self._numbers[worker] = sessions

    def total(self) -> int:
        """Return how many sessions there are."""
        return sum(self._numbers)

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
        seats.note(worker, 0)

    @property
    def is_full(self) -> bool:
        """True when one more is too many."""
        return self._seats.total() >= self._max_sessions

    def enter(self, member: Member, *, is_guest: bool) -> None:
        """Note a new session."""
        super().enter(member, is_guest=is_guest)
        self._seats.note(self._worker, len(self._guests))

    def leave(self, member: Member) -> None:
        """Note that a session's connection is gone."""
        super().leave(member)
        self._seats.note(self._worker, len(self._guests))
