"""The simulator as a server: embedded by the demo and by tests, or alone as the verb ``simulator``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from random import Random
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from mailbridge.clock import Clock, SystemClock
from mailbridge.simulator.app import create_app
from mailbridge.simulator.carrier import Carrier
from mailbridge.simulator.ledger import Entry
from mailbridge.simulator.page import message_as_json
from mailbridge.simulator.settings import SimulatorSettings
from mailbridge.simulator.state import CARRIER, LEDGER

_SHUTDOWN_S = 1.0


class Simulator:
    """One simulated gateway on one address; port 0 takes a free one. Also an async context manager."""

    def __init__(
        self,
        settings: SimulatorSettings | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._host = host
        self._port = port
        self.app = create_app(settings, clock=self._clock, random=random)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen. Raises: OSError when the address is taken."""
        # no access log: clients may carry credentials in the query
        # handler cancellation: a client that leaves frees its place at once
        runner = web.AppRunner(self.app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S)
        try:
            await runner.setup()
            await web.TCPSite(runner, self._host, self._port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner

    async def stop(self) -> None:
        """Close everything; nothing is remembered on disk."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """The port listened on."""
        if self._runner is None or not self._runner.addresses:
            return self._port
        return int(self._runner.addresses[0][1])

    @property
    def url(self) -> str:
        """Where it is, without a final slash."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    @property
    def carrier(self) -> Carrier:
        """Accounts, messages, limits and faults."""
        return self.app[CARRIER]

    @property
    def inbox(self) -> list[dict[str, Any]]:
        """What handsets got, newest first, as ``/messages.json`` has it."""
        now = self._clock.now().timestamp()
        return [message_as_json(message, now) for message in self.carrier.store.newest()]

    @property
    def ledger(self) -> Iterator[Entry]:
        """What was asked and answered, oldest first."""
        return iter(tuple(self.app[LEDGER].entries))


async def run(
    host: str,
    port: int,
    settings: SimulatorSettings | None = None,
    *,
    on_ready: Callable[[Simulator], None] | None = None,
) -> None:
    """Serve until cancelled; *on_ready* is called when it listens.

    Raises: OSError when the address is taken.
    """
    async with Simulator(settings, host=host, port=port) as simulator:
        if on_ready is not None:
            on_ready(simulator)
        await asyncio.Event().wait()
