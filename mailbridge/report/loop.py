"""The life of a worker that does what is due, then waits until somebody wakes it or a while has passed.

Place in the flow: ``reporter`` and ``mailer`` are such workers; ``app.py`` runs ``run()`` as a task and cancels it.
It must not decide what is due.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

import structlog

from mailbridge.clock import Clock
from mailbridge.errors import StoreError

#: after the store failed: long enough not to fill the log, short enough to be back soon
_AFTER_STORE_ERROR_S = 5.0


class Worker(ABC):
    """Calls ``step`` again and again. A store that fails is logged and asked again later; all else ends it."""

    def __init__(self, *, name: str, clock: Clock, poll_s: float) -> None:
        self._name = name
        self._clock = clock
        self._poll_s = poll_s
        self._wake = asyncio.Event()
        self._log = structlog.get_logger()

    @abstractmethod
    async def step(self) -> int:
        """Do what is due now; return how much was done, 0 when nothing was due."""

    async def aclose(self) -> None:  # noqa: B027 - most workers hold nothing
        """Let go of what is held between steps. Idempotent."""

    def wake(self) -> None:
        """Say that something may be due."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                self._wake.clear()
                delay_s = self._poll_s
                try:
                    done = await self.step()
                except StoreError as error:
                    self._log.error("store_failed", worker=self._name, error=type(error).__name__)
                    done, delay_s = 0, _AFTER_STORE_ERROR_S
                if not done:
                    await self._pause(delay_s)
        finally:
            await self.aclose()

    async def _pause(self, delay_s: float) -> None:
        """Wait until woken, at most *delay_s*."""
        waiting = {
            asyncio.create_task(self._wake.wait(), name=f"{self._name}-wake"),
            asyncio.create_task(self._clock.sleep(delay_s), name=f"{self._name}-sleep"),
        }
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
