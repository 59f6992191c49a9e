"""Whether mails pour in faster than they can be taken and sent: then the door goes first, sending takes short turns.

Who hands in a mail waits for its answer; a message on disk waits without harm. Sending never stops: in a rush it takes
one full request every ``TURN_S``, and what has gathered leaves as fast as it can when the rush is over.
A flow that leaves the processor room for both, however steady, notices nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from mailbridge.clock import Clock

#: fewer mails within ``WINDOW_S`` are no rush, whatever else keeps the processor busy
RUSH_MAILS = 25
WINDOW_S = 0.25
#: the part of one processor from which a mail more and a request more are in each other's way
BUSY_SHARE = 2 / 3
#: the wait between two turns of sending in a rush: 400 messages a second leave all the same, in four requests
TURN_S = 0.25
#: questions about receipts are put off no longer than this
QUESTIONS_LATE_S = 30.0


class Rush:
    """Counts arrivals in windows of a quarter of a second; *cpu_s* tells how much processor time was used so far.

    With workers all *processors* may be busy before this process is.
    """

    def __init__(
        self, clock: Clock, *, cpu_s: Callable[[], float] = time.process_time, processors: int | None = None
    ) -> None:
        self._clock = clock
        self._cpu_s = cpu_s
        self._processors = processors or os.cpu_count() or 1
        #: worker -> the processor time it has used so far
        self._workers_s: dict[int, float] = {}
        self._window_began_s = clock.monotonic()
        self._cpu_began_s = self._all_began_s = cpu_s()
        self._count = 0
        self._is_on = False
        #: mails taken since the start
        self.total = 0

    def arrived(self) -> None:
        """A mail was taken."""
        self._roll()
        self.total += 1
        self._count += 1

    def worked(self, worker: int, cpu_s: float) -> None:
        """A worker has used so much processor time since its start."""
        self._workers_s[worker] = cpu_s

    @property
    def is_on(self) -> bool:
        """True while mails pour in and keep the processor busy, as the last whole window showed."""
        self._roll()
        return self._is_on

    def _roll(self) -> None:
        now_s = self._clock.monotonic()
        elapsed_s = now_s - self._window_began_s
        if elapsed_s < WINDOW_S:
            return
        cpu_s = self._cpu_s()
        all_s = cpu_s + sum(self._workers_s.values())
        is_busy = (
            cpu_s - self._cpu_began_s >= BUSY_SHARE * elapsed_s
            or all_s - self._all_began_s >= BUSY_SHARE * elapsed_s * self._processors
        )
        self._is_on = is_busy and self._count >= RUSH_MAILS and elapsed_s < 2 * WINDOW_S
        self._count = 0
        self._window_began_s, self._cpu_began_s, self._all_began_s = now_s, cpu_s, all_s
