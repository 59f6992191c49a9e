"""The queue in a PostgreSQL database: what is its own beside the statements.

Connections and tables are the part of ``postgres_server.py``.
"""

from __future__ import annotations

from collections.abc import Callable

from mailbridge.queue.postgres_listener import Listener
from mailbridge.queue.postgres_server import PostgresServer
from mailbridge.queue.sql_store import SqlStore


class PostgresStore(SqlStore):
    """A ``Store`` in the database of *url*; *listens*: hear what other processes do, as the daemon must."""

    def __init__(self, url: str, *, listens: bool = False) -> None:
        server = PostgresServer(url)
        super().__init__(server)
        self._listener = Listener(url, server.token)
        self._listens = listens

    async def close(self) -> None:
        """Finish what is under way, then close. Idempotent."""
        await self._listener.stop()
        await super().close()

    async def _opened(self) -> None:
        if self._listens:
            await self._listener.start()

    def on_news(self, ring: Callable[[], None]) -> None:
        """Have *ring* called when another process has made something due."""
        self._listener.on_news(ring)

    async def changed_outside(self) -> bool:
        """Tell whether another process may have done something since the last time this was asked."""
        return self._listener.take()
