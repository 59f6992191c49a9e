"""Being one of several nodes on one queue: signs of life, a lease, and a place among them.

A node that gives no sign of life for its lease is dead to the others: what it had ``sending`` becomes ``unknown``,
and another does what one of all is to do. So it must not send, nor do that, once its own lease is over, however it
came about: a machine that slept, a process that was stopped, a database that was away. Its lease ends for itself
earlier than for the others.
It must not decide what becomes of messages.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

import structlog

from mailbridge.clock import Clock
from mailbridge.errors import StoreError
from mailbridge.loops import Duty
from mailbridge.queue.cluster import Cluster, Pulse

log = structlog.get_logger()

#: signs of life in a lease
BEATS = 5
#: the part of a lease by which it ends earlier for the node itself: a request of the last moment has left by then
MARGIN = 0.25
#: a node whose clock differs more from that of the first sends nothing: how long ago an outcome became unknown is told
#: by the clock of the node that wrote it, and the first believes in the end of its quarantine
CLOCKS_DIFFER_S = 30.0


class Alone:
    """The only node there can be: what it has claimed nobody takes over."""

    term = 0
    is_first = True
    is_in_time = True

    def permits(self, _term: int) -> bool:
        """Say yes."""
        return True


class Membership:
    """One node's place among several; a duty that gives signs of life."""

    def __init__(
        self,
        *,
        store: Cluster,
        clock: Clock,
        node: str,
        lease_s: float,
        share: Callable[[Pulse], None] = lambda _pulse: None,
        heed: Callable[[Mapping[str, float]], None] = lambda _silences: None,
    ) -> None:
        self.idle_s = lease_s / BEATS
        self._lease_s = lease_s
        self._store = store
        self._clock = clock
        self._node = node
        self._share = share
        self._heed = heed
        self._pulse: Pulse | None = None
        #: when the newest sign of life that was heard began, in monotonic and in wall time
        self._seen: tuple[float, datetime] | None = None
        #: since when none came late, in monotonic seconds
        self._steady_since_s = clock.monotonic()
        self._was_in_time = True
        #: grows each time the lease was lost: what was claimed before that is no longer ours to send
        self.term = 0

    @property
    def holds(self) -> bool:
        """Tell whether the others still take this node for living."""
        if self._seen is None:
            return False
        seen_s, seen_at = self._seen
        # the monotonic clock stands still while a machine sleeps, the wall clock is set
        silent_s = max(self._clock.monotonic() - seen_s, (self._clock.now() - seen_at).total_seconds())
        return silent_s < self._lease_s * (1 - MARGIN) and self.is_in_time

    @property
    def is_in_time(self) -> bool:
        """Tell whether this node's clock, set or not since the last sign of life, is about that of the first."""
        return abs(self._ahead_s()) <= CLOCKS_DIFFER_S

    def _ahead_s(self) -> float:
        if self._pulse is None or self._seen is None:
            return 0.0
        seen_s, seen_at = self._seen
        set_s = (self._clock.now() - seen_at).total_seconds() - (self._clock.monotonic() - seen_s)
        return self._pulse.ahead_s + set_s

    @property
    def is_first(self) -> bool:
        """Tell whether it is for this node to do what one of all does."""
        return self.holds and self._pulse is not None and self._pulse.place == 0

    def permits(self, term: int) -> bool:
        """Tell whether what was claimed in *term* may still be sent."""
        return self.holds and term == self.term

    async def step(self) -> int:
        """Give a sign of life. Raises StoreError."""
        held = self.holds
        began_s, began_at = self._clock.monotonic(), self._clock.now()
        if not held:
            self._steady_since_s = began_s
            self.term += 1
        # after an outage of the database the others are given time to come back before they are called dead
        is_steady = held and began_s - self._steady_since_s >= self._lease_s
        pulse = await self._store.beat(node=self._node, now=began_at, lease_s=self._lease_s, take_over=is_steady)
        if held and pulse.is_new:
            self.term += 1
        self._note(pulse, held=held)
        self._seen = (began_s, began_at)
        self._note_time()
        self._heed(pulse.silences)
        return 0

    async def leave(self) -> None:
        """Say goodbye, so that the others need not wait for the end of the lease."""
        try:
            await self._store.leave(node=self._node, now=self._clock.now())
        except StoreError as error:
            log.warning("store trouble", doing="leave", because=str(error))

    def _note(self, pulse: Pulse, *, held: bool) -> None:
        before, self._pulse = self._pulse, pulse
        if before is not None and not held:
            log.warning("lease lost", node=self._node, because="no sign of life reached the database for too long")
        if before is None or (before.nodes, before.place) != (pulse.nodes, pulse.place):
            log.info("nodes", node=self._node, count=pulse.nodes, first=pulse.place == 0)
            self._share(pulse)
        if pulse.taken_over:
            log.warning("taken over", messages=pulse.taken_over, now="unknown: their node is gone")

    def _note_time(self) -> None:
        was, self._was_in_time = self._was_in_time, self.is_in_time
        if was and not self.is_in_time:
            log.error(
                "clock differs", node=self._node, ahead_s=round(self._ahead_s(), 1),
                because="this node sends nothing until its clock is about that of the first node",
            )  # fmt: skip


class ForTheFirst:
    """A duty that one of all nodes does; *otherwise*: what the others do instead."""

    def __init__(
        self, duty: Duty, is_first: Callable[[], bool], *, otherwise: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.idle_s = duty.idle_s
        self._duty = duty
        self._is_first = is_first
        self._otherwise = otherwise

    async def step(self) -> int:
        """Do it where it is for this node to do."""
        if self._is_first():
            return await self._duty.step()
        if self._otherwise is not None:
            await self._otherwise()
        return 0
