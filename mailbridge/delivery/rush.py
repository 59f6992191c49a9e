"""Whether mails are pouring in: then the door goes first, and sending takes short turns until it is over.

Who hands in a mail waits for its answer; a message on disk waits without harm. Sending never stops: in a rush it takes
one full request every ``TURN_S``, and what has gathered leaves as fast as it can when the rush is over.
A lone mail, or a steady flow below the threshold, notices nothing.
"""

from __future__ import annotations

from mailbridge.clock import Clock

#: mails within ``WINDOW_S`` that make a rush: above it a mail more costs its client less than a request would
RUSH_MAILS = 25
WINDOW_S = 0.25
#: the wait between two turns of sending in a rush: 100 messages a second leave all the same, in one request
TURN_S = 1.0
#: questions about receipts are put off no longer than this
QUESTIONS_LATE_S = 30.0


class Rush:
    """Counts arrivals in windows of a quarter of a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._window_began_s = clock.monotonic()
        self._count = 0
        self._last_count = 0
        #: mails taken since the start
        self.total = 0

    def arrived(self) -> None:
        """A mail was taken."""
        self._roll()
        self.total += 1
        self._count += 1

    @property
    def is_on(self) -> bool:
        """True while mails pour in, as the last whole window showed."""
        self._roll()
        return self._last_count >= RUSH_MAILS

    def _roll(self) -> None:
        now_s = self._clock.monotonic()
        elapsed_s = now_s - self._window_began_s
        if elapsed_s < WINDOW_S:
            return
        self._last_count = self._count if elapsed_s < 2 * WINDOW_S else 0
        self._count = 0
        self._window_began_s = now_s
