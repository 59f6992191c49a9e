"""The whole bridge in this process: real sockets, the simulator as gateway, an SMTP server as smarthost, one fake clock.

Time moves only when a test says so, for the bridge and for the simulated gateway alike; sockets run in real time.
"""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from argon2 import PasswordHasher

from mailbridge.app import Bridge
from mailbridge.config.model import Config
from mailbridge.model.state import State
from mailbridge.queue.contract import Store, StoredMessage
from mailbridge.queue.memory import MemoryStore
from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import AccountSettings, Limits, SimulatorSettings
from tests.support.clock import FakeClock
from tests.support.programs import until
from tests.support.smarthost import FakeSmarthost, Taken, running_smarthost

SENDER = "nagios@example.org"
#: everybody's, and its hash, which costs next to nothing to check
PASSWORD = "secret of a test"
HASHED = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
#: the simulator's limits per minute would hit tests that move time by hand
EASY = Limits(status_per_minute=None, balance_per_minute=None)


@dataclass
class House:
    """A running bridge and its surroundings."""

    bridge: Bridge
    store: Store
    simulator: Simulator
    smarthost: FakeSmarthost
    clock: FakeClock

    async def mail(
        self, *to: str | tuple[str, ...], text: str = "Hello", subject: str = "", **kwargs: Any
    ) -> tuple[int, str]:
        """Send one mail by smtplib and return the reply to DATA, or the first refusal of a recipient.

        A recipient is a phone or an address, or a tuple of it and its own RCPT parameters.
        """
        return await asyncio.to_thread(self._mail, to, text, subject, **kwargs)

    def _mail(
        self, to: tuple[str | tuple[str, ...], ...], text: str, subject: str, *, sender: str = SENDER, headers: str = "",
        mail_options: tuple[str, ...] = (), rcpt_options: tuple[str, ...] = (), user: str | None = None,
    ) -> tuple[int, str]:  # fmt: skip
        host, _, port = self.bridge.door.addresses[0].rpartition(":")
        with smtplib.SMTP(host, int(port), timeout=30) as client:
            client.ehlo("client.example.org")
            if user is not None:
                client.login(user, PASSWORD)
            code, words = client.mail(sender, mail_options)
            if code >= 400:
                return code, words.decode()
            for entry in to:
                recipient, *own = (entry,) if isinstance(entry, str) else entry
                address = recipient if "@" in recipient else f"{recipient}@sms.local"
                code, words = client.rcpt(address, own or rcpt_options)
                if code >= 400:
                    return code, words.decode()
            head = f"From: {sender}\r\n" + (f"Subject: {subject}\r\n" if subject else "") + headers
            content = f"{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
            code, words = client.data(content.encode())
            return code, words.decode()

    async def restart(self) -> None:
        """Stop the bridge and start another one on the same store and configuration."""
        config = self.bridge._config
        await self.bridge.stop(1)
        self.bridge = Bridge(config, store=self.store, clock=self.clock, node="n1")
        await self.bridge.start()

    async def metrics(self) -> dict[str, float]:
        """Return what ``/metrics`` says, by sample: ``{'mailbridge_messages{state="sent"}': 1.0}``."""
        assert self.bridge.web is not None
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{self.bridge.web.port}/metrics") as response,
        ):
            lines = (await response.text()).splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    async def rows(self, reply: tuple[int, str]) -> list[StoredMessage]:
        """Return the messages of the mail that *reply* names."""
        return list(await self.store.get_messages(id_of(reply)))

    async def newest(self) -> StoredMessage:
        """Return the message received last."""
        from mailbridge.queue.contract import Filter

        return (await self.store.find(Filter(limit=1)))[0]

    async def state(self, message_id: str, *wanted: State) -> StoredMessage:
        """Wait until the message is in one of the states *wanted*, moving time by a second at each look."""

        async def look() -> StoredMessage:
            return (await self.store.get_messages(message_id))[0]

        async with asyncio.timeout(30):
            while (row := await look()).state not in wanted:
                await self.pass_s(1)
        return row

    async def reports(self, count: int = 1) -> list[Taken]:
        """Let time pass until the smarthost has *count* mails, and return them; sockets get the real time they need."""
        for _ in range(400):
            if len(self.smarthost.mails) >= count:
                break
            await self.pass_s(1)
        assert len(self.smarthost.mails) == count
        return self.smarthost.mails

    async def pass_s(self, seconds: float, step_s: float | None = None) -> None:
        """Let *seconds* pass in steps (by default 40 at most); between them everybody finishes what is under way."""
        step_s = step_s or max(1.0, seconds / 40)
        while seconds > 0:
            await self.quiet()
            self.clock.advance(min(step_s, seconds))
            seconds -= step_s
        await self.quiet()

    async def quiet(self) -> None:
        """Wait until no request is in flight and every loop sleeps or waits."""
        for _ in range(5):
            await asyncio.sleep(0.002)
            await until(lambda: self.bridge.dispatcher.in_flight == 0, limit_s=20)

    def requests(self, method: str = "send") -> list[Mapping[str, str]]:
        """Return the parameters of the requests the gateway got, oldest first."""
        return [entry.params for entry in self.simulator.ledger if entry.path == f"/sys/{method}.php"]

    def fault(self, **fault: Any) -> None:
        """Make the simulated account misbehave, as ``POST /control/faults`` does."""
        from mailbridge.simulator.faults import parse_fault

        self.simulator.carrier.faults.add(parse_fault(fault))


def id_of(reply: tuple[int, str]) -> str:
    """Return the mail id in ``250 … queued as <id>``."""
    return reply[1].split("queued as ")[1][:10]


def config_for(simulator: Simulator, smarthost: FakeSmarthost, **sections: Any) -> Config:
    """Return a configuration with those two; *sections* are merged over it; *limited* is the section ``limits``."""
    base: dict[str, Any] = {
        "smtp": {"hostname": "sms.example.org", "listen": [{"address": "127.0.0.1:0"}], "reply": "queued"},
        "gateways": {
            "main": {"url": [simulator.url], "login": "demo", "password": "demo", "timeout": "2s"},
        },
        "queue": {"url": "memory:"},
        "bounce": {"mode": "mail", "from": "mailer-daemon@sms.example.org",
                   "smarthost": f"smtp://127.0.0.1:{smarthost.port}"},
        "web": {"listen": "127.0.0.1:0"},
    }  # fmt: skip
    for name, section in sections.items():
        if name == "limited":
            base["limits"] = section
        elif name == "gateway":
            base["gateways"]["main"] |= section
        else:
            base[name] = base.get(name, {}) | section if isinstance(section, Mapping) else section
    return Config.model_validate(base)


@asynccontextmanager
async def running_house(
    *, store: Store | None = None, limits: Limits = EASY, account: Mapping[str, Any] | None = None, **sections: Any
) -> AsyncIterator[House]:
    """Run it all until the block ends. *account*: settings of the simulated account."""
    clock = FakeClock()
    settings = AccountSettings(login="demo", password="demo", **(account or {}))
    simulator = Simulator(SimulatorSettings(accounts=(settings,), limits=limits), clock=clock)
    store = store or MemoryStore()
    async with simulator, running_smarthost() as smarthost:
        await store.open()
        bridge = Bridge(config_for(simulator, smarthost, **sections), store=store, clock=clock, node="n1")
        await bridge.start()
        house = House(bridge, store, simulator, smarthost, clock)
        try:
            yield house
        finally:
            # the loops sleep in a time that stands still: the ring of `stop` wakes them
            await house.bridge.stop(1)
            await store.close()
