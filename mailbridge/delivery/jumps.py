"""When the wall clock is set: what was counted on it must not be believed.

The quarantine after a lost answer is what keeps an SMS from going out twice, so a clock set forward must not end it
early; and what waits for a time must not wait for hours because the clock was set back.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from mailbridge.clock import Clock

log = structlog.get_logger()

#: NTP slews by less; a step this large is one
_JUMP_S = 5.0


class JumpWatch:
    """Notices steps of the wall clock by the monotonic one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall, self._ticks_s = clock.now(), clock.monotonic()

    def look(self) -> float:
        """Return by how many seconds the wall clock was set since the last look: 0 where it was not."""
        wall, ticks_s = self._clock.now(), self._clock.monotonic()
        jump_s = (wall - self._wall).total_seconds() - (ticks_s - self._ticks_s)
        self._wall, self._ticks_s = wall, ticks_s
        if abs(jump_s) < _JUMP_S:
            return 0.0
        return jump_s


class Doubt:
    """Whether quarantines that the wall clock calls over are: not until they passed again on the clock nobody sets.

    That is so after the clock was set forward, and after a start: nobody saw how it was set meanwhile.
    """

    def __init__(self, clock: Clock, *, longest_s: Callable[[], float]) -> None:
        self._clock = clock
        self._longest_s = longest_s
        self._jumps = JumpWatch(clock)
        self._until_s = clock.monotonic() + longest_s()

    def is_on(self, *, after_s: float = 0.0) -> bool:
        """Tell whether quarantines are in doubt now, or were less than *after_s* ago."""
        if self._jumps.look() > 0:
            self._until_s = self._clock.monotonic() + self._longest_s()
            log.warning("clock set forward", because="no quarantine is believed to be over before it passed again")
        return self._clock.monotonic() < self._until_s + after_s
