"""A loop with a timer and a bell: the shape all background duties of the bridge share."""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from mailbridge.clock import Clock
from mailbridge.errors import StoreError

log = structlog.get_logger()


class Duty(Protocol):
    """Something to be done now and then."""

    #: seconds between two turns when there is nothing to do
    idle_s: float

    async def step(self) -> int:
        """Do what is due now; return how much was done. StoreError: nothing is lost, the next turn tries again."""
        ...


class Loop:
    """Runs one duty until it is stopped: again at once while there is work, else after its idle time or a ring."""

    def __init__(self, name: str, duty: Duty, *, clock: Clock) -> None:
        self.name = name
        self._duty = duty
        self._clock = clock
        self._bell = asyncio.Event()
        self._stopping = False

    def ring(self) -> None:
        """Take the next turn now."""
        self._bell.set()

    def stop(self) -> None:
        """End after the present turn."""
        self._stopping = True
        self._bell.set()

    async def run(self) -> None:
        """Run until stopped; an error nobody foresaw is logged and costs one turn."""
        while not self._stopping:
            self._bell.clear()
            done = 0
            try:
                done = await self._duty.step()
            except StoreError as error:
                log.warning("store trouble", doing=self.name, because=str(error))
            except Exception:
                log.exception("duty broke", duty=self.name)
            if not done and not self._stopping:
                await wait_for_ring(self._bell, self._duty.idle_s, self._clock)


async def wait_for_ring(bell: asyncio.Event, limit_s: float, clock: Clock) -> None:
    """Wait until *bell* is set, at most *limit_s* of *clock*'s seconds."""
    timer = asyncio.ensure_future(clock.sleep(limit_s))
    ring = asyncio.ensure_future(bell.wait())
    try:
        await asyncio.wait({timer, ring}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
        ring.cancel()
