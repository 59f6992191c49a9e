"""Callbacks to an account's URL: status changes and inbound messages, signed, in order, repeated until taken.

smsc-api.md section 5. A change is due at a moment written in the message's steps; one task waits for the next due one.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import logging
import zlib
from collections import deque
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import aiohttp
from aiohttp import web

from mailbridge.clock import Clock
from mailbridge.simulator.accounts import Accounts
from mailbridge.simulator.answers import money
from mailbridge.simulator.inbox import Inbound
from mailbridge.simulator.messages import QUEUED, TYPES, Step, Stored
from mailbridge.simulator.phones import operator_of
from mailbridge.simulator.settings import SimulatorSettings
from mailbridge.simulator.statuses import local_date, moment_of

_log = logging.getLogger(__name__)
_MAX_WAITING = 100_000
_MAX_CONNECTIONS = 20


def sign(fields: Mapping[str, str], secret: str) -> dict[str, str]:
    """Return md5, sha1 and crc32 of an event (smsc-api.md section 5.6); the event's kind is read off its fields."""
    parts: tuple[str, ...]
    if "waitcall" in fields:
        parts = (fields["phone"], fields["ts"])
    elif "mes" in fields:
        parts = (fields["phone"], fields["mes"], fields["to"])
    else:
        parts = (fields["id"], fields["phone"], fields["status"])
    raw = ":".join((*parts, secret)).encode("utf-8", "surrogatepass")
    return {
        "md5": hashlib.md5(raw).hexdigest(),  # noqa: S324 - the gateway's interface, not a defence
        "sha1": hashlib.sha1(raw).hexdigest(),  # noqa: S324 - the gateway's interface, not a defence
        "crc32": str(zlib.crc32(raw)),
    }


def status_event(message: Stored, step: Step) -> dict[str, str]:
    """Return the fields that tell of one change, unsigned."""
    moment = moment_of(message, step)
    return {
        "id": message.message_id,
        "phone": message.phone,
        "status": str(step.status),
        "time": local_date(moment),
        "ts": str(moment),
        "err": str(step.err),
        "cnt": str(message.parts),
        "type": str(TYPES[message.kind]),
        "flag": str(TYPES[message.kind]),
        "cost": money(message.cost),
        "sender": message.sender,
        "mccmnc": operator_of(message.phone).mccmnc,
    }


def inbound_event(inbound: Inbound) -> dict[str, str]:
    """Return the fields that tell of an inbound message, unsigned."""
    moment = int(inbound.received_at)
    return {
        "id": str(inbound.serial),
        "phone": inbound.phone,
        "mes": inbound.mes,
        "to": inbound.to,
        "time": local_date(moment),
        "ts": str(moment),
        "sent": str(moment),
    }


@dataclass(frozen=True, slots=True, order=True)
class _Due:
    """An event and when it happens; events of one *thread* keep their order."""

    at: float
    serial: int
    thread: int = field(compare=False)
    url: str = field(compare=False)
    secret: str = field(compare=False, repr=False)
    fields: dict[str, str] = field(compare=False, repr=False)


class Callbacks:
    """Sends the events of all accounts that have a callback URL."""

    def __init__(self, settings: SimulatorSettings, accounts: Accounts, *, clock: Clock) -> None:
        self._settings = settings
        self._accounts = accounts
        self._clock = clock
        self._due: list[_Due] = []
        self._serial = 0
        self._news = asyncio.Event()
        self._threads: dict[int, deque[_Due]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self.delivered = 0
        self.failed = 0

    async def run(self, _app: web.Application) -> None:
        """Begin to send."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._settings.callback_timeout_s),
            connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS),
        )
        self._start(self._watch(), "simulator-callbacks")

    async def close(self, _app: web.Application) -> None:
        """Stop; what was not delivered is lost, as nobody was promised anything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def _start(self, work: Coroutine[None, None, None], name: str) -> None:
        """Run *work* as a task that is remembered."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def message_accepted(self, message: Stored) -> None:
        """Plan the events of *message*: every change but the first to "queued"."""
        account = self._accounts.get(message.login)
        if account is None or account.settings.callback_url is None:
            return
        for step in message.steps:
            if step.status != QUEUED:
                self._plan(step.at, message.serial, account.settings.callback_url, account.settings.callback_secret,
                           status_event(message, step))  # fmt: skip

    def message_stopped(self, message: Stored) -> None:
        """Forget the events of *message*: they will not happen."""
        self._due = [due for due in self._due if due.thread != message.serial]
        heapq.heapify(self._due)

    def link_clicked(self, message: Stored) -> None:
        """Plan the event of a link of *message* that was followed: its newest step."""
        account = self._accounts.get(message.login)
        if account is not None and account.settings.callback_url is not None:
            self._plan(message.steps[-1].at, message.serial, account.settings.callback_url,
                       account.settings.callback_secret, status_event(message, message.steps[-1]))  # fmt: skip

    def wait_call_made(self, login: str, phone: str, now: float) -> None:
        """Plan the event of a call to a number ``wait_call.php`` gave (smsc-api.md section 5.5)."""
        account = self._accounts.get(login)
        if account is not None and account.settings.callback_url is not None:
            self._plan(now, 0, account.settings.callback_url, account.settings.callback_secret,
                       {"waitcall": "1", "phone": phone, "ts": str(int(now))})  # fmt: skip

    def inbound_received(self, inbound: Inbound) -> None:
        """Plan the event of an inbound message."""
        account = self._accounts.get(inbound.login)
        if account is not None and account.settings.callback_url is not None:
            self._plan(inbound.received_at, -inbound.serial, account.settings.callback_url,
                       account.settings.callback_secret, inbound_event(inbound))  # fmt: skip

    def _plan(self, at: float, thread: int, url: str, secret: str, fields: dict[str, str]) -> None:
        """Put one event into the queue; a queue that is too long takes no more."""
        if len(self._due) >= _MAX_WAITING:
            self.failed += 1
            return
        self._serial += 1
        heapq.heappush(self._due, _Due(at, self._serial, thread, url, secret, fields))
        self._news.set()

    async def _watch(self) -> None:
        """Hand over each event when it is due."""
        while True:
            now = self._clock.now().timestamp()
            while self._due and self._due[0].at <= now:
                self._hand_over(heapq.heappop(self._due))
            self._news.clear()
            news = asyncio.create_task(self._news.wait(), name="simulator-callback-news")
            waits = {news}
            if self._due:
                waits.add(asyncio.create_task(self._sleep(self._due[0].at - now), name="simulator-callback-timer"))
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waits:
                    task.cancel()
                await asyncio.gather(*waits, return_exceptions=True)

    async def _sleep(self, delay_s: float) -> Literal[True]:
        """Wait, as a coroutine of ``Event.wait``'s type."""
        await self._clock.sleep(delay_s)
        return True

    def _hand_over(self, due: _Due) -> None:
        """Give an event to its thread."""
        waiting = self._threads.get(due.thread)
        if waiting is not None:
            waiting.append(due)
            return
        self._threads[due.thread] = deque([due])
        self._start(self._deliver_thread(due.thread), "simulator-callback")

    async def _deliver_thread(self, thread: int) -> None:
        """Deliver the events of one message, one after the other."""
        waiting = self._threads[thread]
        while waiting:
            await self._deliver(waiting.popleft())
        del self._threads[thread]

    async def _deliver(self, due: _Due) -> None:
        """Deliver one event, again and again until it is taken or too old."""
        schedule = self._settings.callback_retry_s
        attempt = 0
        while not await self._post(due):
            wait_s = schedule[min(attempt, len(schedule) - 1)] if schedule else None
            attempt += 1
            now = self._clock.now().timestamp()
            if wait_s is None or now + wait_s > due.at + self._settings.callback_lifetime_s:
                self.failed += 1
                _log.warning("simulator gave a callback up after %d tries", attempt)
                return
            await self._clock.sleep(wait_s)
        self.delivered += 1

    async def _post(self, due: _Due) -> bool:
        """Send one event; tell whether it was taken."""
        if self._session is None:
            return False
        form = due.fields | sign(due.fields, due.secret)
        with suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError):
            async with self._session.post(due.url, data=form, allow_redirects=False) as response:
                return 200 <= response.status < 300
        return False
