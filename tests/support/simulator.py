"""A simulator on a free port with a clock that tests move, and a client that speaks as bridges do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import Limits, SimulatorSettings
from tests.support.clock import FakeClock

#: no limit at all, for tests of something else
UNLIMITED = Limits(
    concurrent=None,
    duplicate_s=None,
    identical_prices_per_minute=None,
    status_per_minute=None,
    balance_per_minute=None,
    identical_operators_per_minute=None,
    operators_per_minute=None,
    senders_per_minute=None,
    user_changes_per_minute=None,
    bad_logins=None,
)


@dataclass(slots=True)
class Client:
    """Asks one simulator."""

    simulator: Simulator
    clock: FakeClock
    http: aiohttp.ClientSession = field(repr=False)

    async def raw(
        self, method: str, *, path: str | None = None, **params: Any
    ) -> tuple[int, bytes, aiohttp.ClientResponse]:
        """POST a form as the account ``demo``; a parameter that is None is left out."""
        form = {"login": "demo", "psw": "demo", "charset": "utf-8", "fmt": "3"} | params
        form = {name: str(value) for name, value in form.items() if value is not None}
        url = f"{self.simulator.url}{path or f'/sys/{method}.php'}"
        async with self.http.post(url, data=form, allow_redirects=False) as response:
            return response.status, await response.read(), response

    async def text(self, method: str, **params: Any) -> str:
        """Return the body as text."""
        status, body, _ = await self.raw(method, **params)
        assert status == 200
        return body.decode("utf-8")

    async def json(self, method: str, **params: Any) -> Any:
        """Return the body as JSON."""
        return json.loads(await self.text(method, **params))

    async def send(self, phones: str, mes: str = "Hello", **params: Any) -> Any:
        """Send one text."""
        return await self.json("send", phones=phones, mes=mes, **params)

    async def get(self, path: str) -> Any:
        """Return a JSON page."""
        async with self.http.get(self.simulator.url + path) as response:
            assert response.status == 200
            return await response.json()

    async def fault(self, **rule: Any) -> None:
        """Set a fault of the account."""
        async with self.http.post(f"{self.simulator.url}/control/faults", json=rule) as response:
            assert response.status == 201, await response.text()


@asynccontextmanager
async def running(settings: SimulatorSettings | None = None) -> AsyncIterator[Client]:
    """Run a simulator with a fake clock."""
    clock = FakeClock()
    simulator = Simulator(settings or SimulatorSettings(limits=UNLIMITED), clock=clock)
    async with simulator, aiohttp.ClientSession() as http:
        yield Client(simulator, clock, http)
