"""The queue in a PostgreSQL database: what is its own beside the statements.

Connections and tables are the part of ``postgres_server.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from mailbridge.queue.cluster import Cluster, Pulse
from mailbridge.queue.lanes import Lane
from mailbridge.queue.postgres_listener import Listener
from mailbridge.queue.postgres_server import PostgresServer
from mailbridge.queue.sql_store import SqlStore
from mailbridge.queue.statements import nodes


class PostgresStore(SqlStore):
    """A ``Store`` in the database of *url*; *listens*: hear what other processes do, as the daemon must."""

    _clocks_differ = timedelta(seconds=30)

    def __init__(self, url: str, *, listens: bool = False) -> None:
        server = PostgresServer(url)
        super().__init__(server)
        #: signs of life wait for no mail
        self._pulse = Lane(server.writing_engine(), "pulse", patience_s=server.patience_s, hang_up=server.hang_up)
        self._listener = Listener(url, server.token)
        self._listens = listens

    async def close(self) -> None:
        """Finish what is under way, then close. Idempotent."""
        if not self._closed:
            await self._listener.stop()
            await self._pulse.close()
        await super().close()

    async def _opened(self) -> None:
        if self._listens:
            await self._listener.start()

    @property
    def cluster(self) -> Cluster:
        """What it does beside: several daemons may work on it."""
        return self

    async def beat(self, *, node: str, now: datetime, lease_s: float, take_over: bool) -> Pulse:
        """Give a sign of life of *node*, and hear of the others."""
        lease_us = round(lease_s * 1_000_000)
        return await self._pulse.run(partial(nodes.beat, node=node, now=now, lease_us=lease_us, take_over=take_over))

    async def silence(self, *, gateway: str, seconds: float) -> None:
        """Have all nodes leave *gateway* alone for so long."""
        await self._pulse.run(partial(nodes.silence, gateway=gateway, for_us=round(seconds * 1_000_000)))

    async def leave(self, *, node: str, now: datetime) -> None:
        """Forget *node*: it has ended. What it still had in ``sending`` becomes ``unknown``."""
        await self._write(partial(nodes.leave, node=node, now=now))

    def on_news(self, ring: Callable[[], None]) -> None:
        """Have *ring* called when another process has made something due."""
        self._listener.on_news(ring)

    async def changed_outside(self) -> bool:
        """Tell whether another process may have done something since the last time this was asked."""
        return self._listener.take()
