"""Hearing what other processes announce: a connection of its own that waits, and a flag they leave behind.

Nothing depends on it: whoever waits looks again after a while by himself.
While it is deaf, everything may have happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import psycopg
from psycopg import sql

from mailbridge.queue.postgres_server import CHANNEL, CONNECTION

_AGAIN_S = 1.0
#: so often it is asked whether there still is a server, and so long it may take to answer
_LOOK_S = 15.0
_SILENT_S = 10.0


class Listener:
    """Listens on *url*'s database for announcements of others than *token*."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._ring: Callable[[], None] = lambda: None
        self._is_hearing = False
        self._heard = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen; return when it hears, or could not for now."""
        tried = asyncio.Event()
        self._task = asyncio.create_task(self._run(tried), name="queue-listener")
        await tried.wait()

    async def stop(self) -> None:
        """Listen no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def on_news(self, ring: Callable[[], None]) -> None:
        """Have *ring* called with each announcement."""
        self._ring = ring

    def take(self) -> bool:
        """Tell whether something may have happened since the last time this was asked."""
        heard, self._heard = self._heard, False
        return heard or not self._is_hearing

    async def _run(self, tried: asyncio.Event) -> None:
        while True:
            try:
                await self._listen(tried)
            except (psycopg.Error, OSError):  # a time-out is an OSError
                tried.set()
            finally:
                self._is_hearing = False
            await asyncio.sleep(_AGAIN_S)

    async def _listen(self, tried: asyncio.Event) -> None:
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True, **CONNECTION) as conn:
            await conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
            self._is_hearing = True
            if tried.is_set():
                self._note()  # what was said meanwhile was missed
            tried.set()
            while True:
                async for said in conn.notifies(timeout=_LOOK_S):
                    if said.payload != self._token:
                        self._note()
                # a server that stands still, or whose place another one took, would never be missed
                async with asyncio.timeout(_SILENT_S):
                    await conn.execute("SELECT 1")

    def _note(self) -> None:
        self._heard = True
        self._ring()
