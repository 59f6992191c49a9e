"""What keeps a process that runs for months small; called by the daemon's start and by its loops, by nobody else."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable

#: a mail leaves no cycles worth a walk through the young objects for every 700 of them
_YOUNG_OBJECTS = 5_000
#: mallopt(3)
_M_ARENA_MAX = -8


def import_structlog_alone() -> None:
    """Import structlog without rich, which it loads for its tracebacks wherever it is installed: 9 MB of memory."""
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # the import system's own sign for "not there"
    try:
        import structlog  # noqa: F401, PLC0415
    finally:
        del sys.modules["rich"]


def settle() -> None:
    """Take what the start has built out of the garbage collector's rounds, and give back what only the start needed."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 10, 10)
    _trim()


class GiveBack:
    """A duty that gives memory back to the system when a burst of mails is over."""

    idle_s = 5.0

    def __init__(self, count_mails: Callable[[], int]) -> None:
        self._count_mails = count_mails
        #: mails at the last look, and when memory was given back last
        self._seen = self._given = 0

    async def step(self) -> int:
        """Collect and trim once, when mails came in since the last time and none did since the last look."""
        count, before = self._count_mails(), self._seen
        self._seen = count
        if count == before and count != self._given:
            self._given = count
            gc.collect()
            _trim()
        return 0


def _trim() -> None:
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc; others have one heap and return it by themselves
        libc.malloc_trim(0)


def share_one_heap() -> None:
    """Let all threads allocate from one heap, before there are any: with the GIL they seldom meet in it."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)
