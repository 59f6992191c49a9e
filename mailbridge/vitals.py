"""Saying that all is well, or keeping silent: a self-test SMS by the calendar, and a heartbeat to a service outside.

Whoever waits for them learns what no alert can tell: that the bridge itself, its gateway or its account is dead.
Decisions are pure and told the time; nothing else waits for either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from decimal import ROUND_DOWN, Decimal

import aiohttp
import structlog

from mailbridge.clock import Clock
from mailbridge.config.check_people import parse_days, parse_time_of_day
from mailbridge.config.model_alarms import Heartbeat as HeartbeatSettings
from mailbridge.config.model_alarms import SelfTest as SelfTestSettings
from mailbridge.delivery.board import Board
from mailbridge.errors import IntakeError, StoreError
from mailbridge.model.outcome import Balance, SmsError, Suspended
from mailbridge.people.zones import Zone
from mailbridge.queue.contract import DedupeKey, GatewayState, NewMail, Store

log = structlog.get_logger()

#: a self-test whose time was missed goes out so much later at most
_LATE = timedelta(hours=1)
_WEEK = timedelta(days=7)
#: the account's word for roubles is that of before 1998
_CURRENCIES = {"RUR": "RUB"}
#: what should have left so long ago, and has not at two looks in a row, does not leave
_STUCK = timedelta(minutes=5)
#: the sending loop turns at least once a second
_BEAT_LATE = timedelta(seconds=30)


# ------------------------------------------------------------------------------------------------ self-test
def last_due_at(settings: SelfTestSettings, now: datetime) -> datetime | None:
    """Return the newest time a self-test was due, *now* included; None where none was within a week."""
    zone, days, at = Zone(settings.timezone), parse_days(settings.days), parse_time_of_day(settings.time)
    today = zone.local(now).date()
    moments = (
        zone.instant(datetime.combine(day, time()) + at)
        for day in (today - timedelta(days=back) for back in range(9))
        if day.weekday() in days
    )
    return next((moment for moment in moments if moment <= now), None)


def self_test_text(
    states: Mapping[str, GatewayState], balances: Mapping[str, Balance | Suspended | SmsError], sent: int
) -> str:
    """Return what a self-test says: ``gateway OK, 812 RUB, 14 sent this week``."""
    names = {name: name if len(states) > 1 else "gateway" for name in states}
    said = "; ".join(f"{names[name]} {_condition(state, balances.get(name))}" for name, state in states.items())
    return f"{said}{';' if len(states) > 1 else ','} {sent} sent this week"


def _condition(state: GatewayState, answer: Balance | Suspended | SmsError | None) -> str:
    if state.suspended:
        return f"SUSPENDED: {state.code} {state.reason}"[:60]
    if isinstance(answer, Balance):
        amount = answer.balance.quantize(Decimal(1), rounding=ROUND_DOWN)
        return f"OK, {amount} {_CURRENCIES.get(answer.currency, answer.currency)}".rstrip()
    return "OK, balance unknown"


class SelfTest:
    """The duty of the self-test; of several nodes one has it, and the queue knows what was sent."""

    idle_s = 10.0

    def __init__(
        self,
        *,
        store: Store,
        board: Board,
        clock: Clock,
        prepare: Callable[[str, Sequence[str], datetime], NewMail],
        wake: Callable[[], None],
    ) -> None:
        """*prepare* makes messages of a text for words of the configuration; raises IntakeError."""
        self._store = store
        self._board = board
        self._clock = clock
        self._prepare = prepare
        self._wake = wake
        #: exchanged by a reload
        self.settings = SelfTestSettings()
        self._done_at: datetime | None = None

    async def step(self) -> int:
        """Send what is due."""
        settings, now = self.settings, self._clock.now()
        due_at = last_due_at(settings, now) if settings.to else None
        if due_at is None or due_at == self._done_at or now - due_at > _LATE:
            return 0
        carriers = self._board.carriers
        answers = await asyncio.gather(*(carrier.gateway.balance() for carrier in carriers.values()))
        sent = sum(spend.messages for spend in await self._store.spend(since=now - _WEEK))
        text = self_test_text(self._board.states, dict(zip(carriers, answers, strict=True)), sent)
        try:
            new = self._prepare(text, settings.to, now)
        except IntakeError as error:
            log.error("self-test not sent", because=str(error))  # noqa: TRY400 - the words are all there is
            self._done_at = due_at
            return 0
        result = await self._store.put(once(new, due_at))
        self._done_at = due_at
        if len(result.duplicates) < len(new.messages):
            log.info("self-test", id=new.id, messages=len(new.messages))
            self._wake()
        return 0


def once(new: NewMail, due_at: datetime) -> NewMail:
    """Return *new* so that the queue keeps one for each number and *due_at*, whoever sends it and how often."""
    moment = due_at.isoformat(timespec="seconds")
    return replace(
        new,
        messages=tuple(
            replace(one, dedupe=(DedupeKey(key=f"self-test {moment} {one.message.phone}", until=due_at + _WEEK),))
            for one in new.messages
        ),
    )


# ------------------------------------------------------------------------------------------------ heartbeat
@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What is seen of the bridge at one moment."""

    #: the queue can be written
    is_open: bool
    #: when the sending loop turned last
    beat_at: datetime
    #: a gateway takes messages
    takes_messages: bool
    #: when the message that is to leave next was due; None: none waits
    next_due_at: datetime | None


def why_not_well(vitals: Vitals, before: Vitals | None, now: datetime) -> str | None:
    """Say why messages do not leave; None where all is well. *before*: what was seen at the last look."""
    if not vitals.is_open:
        return "the queue cannot be written"
    if now - vitals.beat_at > _BEAT_LATE:
        return "the sending loop is late"
    if not vitals.takes_messages:
        return "no gateway takes messages"
    head = vitals.next_due_at
    if head is not None and before is not None and now - head > _STUCK and before.next_due_at == head:
        return "the queue does not move"
    return None


#: asks an address, within so many seconds; returns fixed words about what went wrong, None where nothing did
Beat = Callable[[str, float], Awaitable[str | None]]


async def beat(url: str, timeout_s: float) -> str | None:
    """Ask *url* by GET; say in fixed words what went wrong, for an error's own may hold the address."""
    try:
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=timeout_s), trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
            ) as http,
            http.get(url, allow_redirects=False) as response,
        ):
            return None if 200 <= response.status < 300 else f"answered {response.status}"
    except TimeoutError:
        return "timed out"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return f"not reached ({type(error).__name__})"


class Heartbeat:
    """The duty of the heartbeat, in a loop of its own: an address that does not answer delays nothing else."""

    idle_s = 1.0

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        look: Callable[[], Awaitable[Vitals]],
        count: Callable[[str], None] = lambda _result: None,
        send: Beat = beat,
    ) -> None:
        self._store = store
        self._clock = clock
        self._look = look
        self._count = count
        self._send = send
        #: exchanged by a reload
        self.settings = HeartbeatSettings()
        self._due_s = clock.monotonic()
        self._before: Vitals | None = None
        #: why the last one did not get through; None: it did
        self._trouble: str | None = None

    async def step(self) -> int:
        """Send a sign of life where one is due and all is well."""
        url, now_s = self.settings.url, self._clock.monotonic()
        if url is None or now_s < self._due_s:
            return 0
        self._due_s = now_s + self.settings.every
        vitals = await self._look()
        because = why_not_well(vitals, self._before, self._clock.now())
        self._before = vitals
        if because is not None:
            self._note("withheld", because)
            return 0
        trouble = await self._send(url.get_secret_value(), self.settings.timeout)
        self._note("sent" if trouble is None else "failed", trouble)
        return 0

    def _note(self, result: str, because: str | None) -> None:
        """Count each; log a trouble when it begins and when it is over."""
        self._count(result)
        if because is not None and because != self._trouble:
            log.warning("heartbeat missed", result=result, because=because)
        elif because is None and self._trouble is not None:
            log.info("heartbeat again", was=self._trouble)
        self._trouble = because


async def can_write(store: Store) -> bool:
    """Tell whether the queue can be written now."""
    try:
        await store.ping()
    except StoreError:
        return False
    return True
