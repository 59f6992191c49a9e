"""Tells configured addresses what happens to messages: each event in its order, signed, until it is taken or too old.

A duty for each address, so that one that is slow or gone holds up no other. How far it has come is kept in the store:
after a crash an event may come twice, under the same id, and none is missed.
Signatures as Standard Webhooks has them (https://www.standardwebhooks.com, read 2026-11-25).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
from collections import deque
from datetime import timedelta

import aiohttp
import structlog

from mailbridge.admin import event_json
from mailbridge.clock import Clock
from mailbridge.config.model_api import Webhook as WebhookSettings
from mailbridge.queue.browsing import Event
from mailbridge.queue.contract import Store
from mailbridge.tail import Tail

log = structlog.get_logger()

#: after a failure 5 s, 10 s, 20 s … 10 min
_FIRST_S, _LONGEST_S = 5.0, 600.0
#: told within one turn, and repeated at most after a crash
_BATCH = 20
_FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValueError)
_PREFIX = "whsec_"


def signature(secret: str, id_: str, timestamp_s: int, body: bytes) -> str:
    """Return the header ``webhook-signature`` of *body*: HMAC-SHA256 over id, time and body. Pure.

    A secret written ``whsec_<base64>`` stands for the octets it encodes, any other for its own.
    """
    key = secret.encode()
    if secret.startswith(_PREFIX):
        with contextlib.suppress(binascii.Error):
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    signed = f"{id_}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def wait_s(failures: int) -> float:
    """Return how long to wait after so many failures in a row. Pure."""
    return min(_LONGEST_S, _FIRST_S * 2.0 ** min(failures - 1, 20))


class Webhook:
    """The duty for one address."""

    idle_s = 1.0

    def __init__(self, settings: WebhookSettings, *, store: Store, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        # the address may hold a password
        self._name = f"webhook:{hashlib.sha256(settings.url.encode()).hexdigest()[:16]}"
        self._host = settings.url.partition("://")[2].rpartition("@")[2].partition("/")[0]
        self._tail: Tail | None = None
        self._kept = -1
        self._pending: deque[Event] = deque()
        self._failures = 0
        self._again_s = 0.0
        self._session: aiohttp.ClientSession | None = None

    async def step(self) -> int:
        """Tell what is due; return how many events were taken. Raises StoreError."""
        if self._failures and self._clock.monotonic() < self._again_s:
            return 0
        tail = await self._begin()
        if not self._pending:
            self._pending.extend(event for event in await tail.read(limit=_BATCH) if self._wants(event))
        told = 0
        while self._pending and await self._tell(self._pending[0]):
            self._pending.popleft()
            told += 1
        await self._keep(tail)
        return told

    async def _begin(self) -> Tail:
        if self._tail is None:
            kept = await self._store.bookmark(self._name)
            # what happened before anybody was to be told is not told
            after = await self._store.last_event() if kept is None else kept
            self._tail = Tail(self._store, self._clock, after)
            self._kept = -1 if kept is None else kept
        return self._tail

    def _wants(self, event: Event) -> bool:
        return not self._settings.events or event.entry.event in self._settings.events

    async def _keep(self, tail: Tail) -> None:
        # the tail may be past what was read and not told yet
        come = min(tail.after, self._pending[0].n - 1) if self._pending else tail.after
        if come != self._kept:
            await self._store.keep_bookmark(self._name, come)
            self._kept = come

    async def _tell(self, event: Event) -> bool:
        """Hand *event* over; True when it is done with."""
        said = await self._post(event)
        if said is None:
            if self._failures:
                log.info("webhook taken again", host=self._host, failures=self._failures)
            self._failures = 0
            return True
        self._failures += 1
        self._again_s = self._clock.monotonic() + wait_s(self._failures)
        age = self._clock.now() - event.entry.at
        if age >= timedelta(seconds=self._settings.lifetime):
            log.warning("webhook given up", host=self._host, id=event.entry.message_id, because=said)
            return True
        log.warning(
            "webhook not taken", host=self._host, id=event.entry.message_id, because=said,
            next_in_s=wait_s(self._failures),
        )  # fmt: skip
        return False

    async def _post(self, event: Event) -> str | None:
        """Send *event*; None where it was taken, else why not, in words without the address."""
        body = json.dumps(event_json(event), ensure_ascii=False).encode("utf-8", "replace")
        id_, now_s = f"{event.entry.message_id}:{event.n}", int(self._clock.now().timestamp())
        headers = {
            "Content-Type": "application/json", "webhook-id": id_, "webhook-timestamp": str(now_s),
            "webhook-signature": signature(self._settings.secret.get_secret_value(), id_, now_s, body),
        }  # fmt: skip
        try:
            async with self._open().post(
                self._settings.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                return None if 200 <= answer.status < 300 else f"HTTP {answer.status}"
        except _FAILURES as error:
            return type(error).__name__

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout), cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "mailbridge"}, trust_env=False,
            )  # fmt: skip
        return self._session

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
