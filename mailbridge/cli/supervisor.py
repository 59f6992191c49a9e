"""What a supervisor is told while the bridge runs: the datagrams of sd_notify(3), and its watchdog's beat.

Without ``NOTIFY_SOCKET`` nothing is told to anybody. A supervisor that is gone, or does not listen, stops nothing.
The beat comes from the event loop: where that stands still, nothing works any more, and only a new start helps. A queue
that cannot be reached is no reason for one; /readyz tells of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager


class Supervisor:
    """The one who started us, as the environment names him."""

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        self._path = environ.get("NOTIFY_SOCKET", "")
        usec, whose = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        is_watched = usec.isascii() and usec.isdigit() and int(usec) > 0 and whose in {"", str(pid)}
        #: seconds without a beat after which we are killed; None where nobody watches
        self.watchdog_s = int(usec) / 1e6 if is_watched and self._path else None

    def tell(self, *fields: str) -> None:
        """Send *fields*, ``NAME=value`` each, as one datagram."""
        if not self._path.startswith(("/", "@")):
            return
        address = f"\0{self._path[1:]}" if self._path.startswith("@") else self._path
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            line.sendto("\n".join(fields).encode(), address)

    def ready(self, status: str = "") -> None:
        """Say that the start, or a reload, is over."""
        self.tell("READY=1", *([f"STATUS={status}"] if status else []))

    def reloading(self) -> None:
        """Say that a reload begins; ``ready`` ends it."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that we drain and stop."""
        self.tell("STOPPING=1", "STATUS=sessions finish, what is in flight is settled")

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Beat while the block runs, twice in each of the watchdog's times."""
        if self.watchdog_s is None:
            yield
            return
        beating = asyncio.create_task(self._beat(self.watchdog_s / 2), name="watchdog")
        try:
            yield
        finally:
            beating.cancel()

    async def _beat(self, every_s: float) -> None:
        while True:
            self.tell("WATCHDOG=1")
            await asyncio.sleep(every_s)
