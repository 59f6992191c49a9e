"""What a gateway may do, for the model test: its ledger holds what really went out, whatever it says or hides.

A request arrives at once, late or never, and apart from that it is answered, refused, cut off or left hanging. Answers
are read by SMSC's own tables (``gateway.smsc.verdict``), so a code means here what it means on the wire.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mailbridge.gateway.contract import Batch, Price, StatusAnswer, StatusMiss, StatusQuery
from mailbridge.gateway.smsc import verdict
from mailbridge.gateway.smsc.answers import Failure, Garbage
from mailbridge.model.message import Message
from mailbridge.model.outcome import Balance, Deferred, ErrorClass, Outcome, SmsError, Suspended
from mailbridge.model.phone import digits_of
from tests.support.clock import FakeClock
from tests.support.delivery import error

#: a request arrives at the latest so long after it was given up, and is hidden from status.php so long
LATEST_ARRIVAL_S, STATUS_LAG_S = 60, 30
#: longer than both together
QUARANTINE_S = 95
#: how long an answer is waited for
TIMEOUT_S = 20
PASSED_ON, DELIVERED, UNDELIVERABLE, NO_MONEY, NO_ROUTE = 0, 1, 20, 24, 25
#: statuses that say that the SMS will not arrive
FAILURES = frozenset({3, UNDELIVERABLE, 22, 23, NO_MONEY, NO_ROUTE})
PRICE = Decimal("1.50")

NEVER, NOW, LATE = "never", "now", "late"
#: how a request is answered -> when it may arrive
ANSWERS: dict[str, tuple[str, ...]] = {
    "taken": (NOW,),
    "partly": (NOW,),
    "no money left": (NOW,),
    **{f"code {code}": (NEVER,) for code in (1, 2, 3, 4, 5, 6, 7, 8, 9, 77)},
    "not sent": (NEVER,),
    "timeout": (NEVER, NOW, LATE),
    "429": (NEVER, NOW),
    "garbage": (NEVER, NOW, LATE),
    "wrong id": (NEVER, NOW),
    "bug": (NEVER, NOW, LATE),
    "death": (NEVER, NOW, LATE),
    "hang": (NEVER, NOW, LATE),
}
#: (answer, arrival)
WAYS = tuple((answer, arrival) for answer, arrivals in ANSWERS.items() for arrival in arrivals)
#: what a request that hung may come to
ENDS = tuple(answer for answer in ANSWERS if answer not in {"not sent", "hang"})
WELL = ("taken", NOW)

Key = tuple[str, str, str]


@dataclass
class Copy:
    """One SMS in the gateway's list."""

    message: Message
    key: Key
    at_s: float
    #: all it ever was, oldest first
    statuses: list[int]
    #: False: refused at once, and listed all the same
    is_out: bool


@dataclass
class Ledger:
    """What all gateways took, in truth."""

    clock: FakeClock
    copies: dict[Key, Copy] = field(default_factory=dict)
    of_text: dict[str, list[Copy]] = field(default_factory=lambda: defaultdict(list))
    #: how often each text went out
    out: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    under_way: list[tuple[float, ModelGateway, Batch, str]] = field(default_factory=list)
    #: told of the text of each SMS that goes out
    on_out: Callable[[str], None] = lambda _text: None
    #: when a clock was set or a process started: right after that somebody may ask more often
    disturbed_s: float = 0.0

    def disturbed(self) -> None:
        """Note that a clock was set, or a process started."""
        self.disturbed_s = self.clock.monotonic()

    def arrive(self) -> None:
        """Take what has arrived by now."""
        now_s = self.clock.monotonic()
        for one in sorted((one for one in self.under_way if one[0] <= now_s), key=lambda one: one[0]):
            self.under_way.remove(one)
            self.take(one[1].name, one[2], one[3], at_s=one[0])

    def take(self, gateway: str, batch: Batch, answer: str, *, at_s: float) -> None:
        """Take a request: its messages go out, but for the first one or two where *answer* says that it takes a part."""
        for number, sms in enumerate(batch.messages):
            key = (gateway, batch.gateway_id, sms.phone)
            status = _status_of(answer, number)
            copy = Copy(sms, key, at_s, [status], is_out=status not in FAILURES)
            self.copies[key] = copy
            self.of_text[sms.text].append(copy)
            if copy.is_out:
                self.out[sms.text] += 1
                self.on_out(sms.text)

    def may_arrive(self, text: str) -> bool:
        """Tell whether the gateway has it and has not failed with it."""
        return any(copy.is_out and copy.statuses[-1] not in FAILURES for copy in self.of_text.get(text, ()))

    def was(self, text: str, statuses: Collection[int]) -> bool:
        """Tell whether a copy of it ever had one of *statuses*."""
        return any(not statuses.isdisjoint(copy.statuses) for copy in self.of_text.get(text, ()))


@dataclass(eq=False)
class Flight:
    """A request that hangs."""

    batch: Batch
    arrival: str
    began_s: float
    answer: asyncio.Future[str]


class ModelGateway:
    """One gateway in front of the ledger. *draw* says how the next request goes; *die* ends the process."""

    max_batch = 100

    def __init__(
        self, name: str, ledger: Ledger, *, draw: Callable[[], tuple[str, str]], die: Callable[[], Any]
    ) -> None:
        self.name = name
        self.ledger = ledger
        self.draw = draw
        self.die = die
        self.delay_s = 1
        self.status_page = "well"
        self.balance_page = "well"
        self.flights: list[Flight] = []
        self.slow_answers: list[tuple[float, asyncio.Future[None]]] = []
        self.ids: set[tuple[str, str]] = set()
        #: (phone, id) -> when it was asked about
        self.questions: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.wrong: list[str] = []

    @property
    def _now_s(self) -> float:
        return self.ledger.clock.monotonic()

    def batch_key(self, message: Message) -> Hashable | None:
        """Messages of one sender share a request."""
        return message.sender

    # -- send.php
    async def send(self, batch: Batch) -> Sequence[Outcome]:
        """Treat one request in the way that is drawn."""
        for sms in batch.messages:
            if (sms.phone, batch.gateway_id) in self.ids:
                self.wrong.append(f"the id {batch.gateway_id} is used again")
            self.ids.add((sms.phone, batch.gateway_id))
        answer, arrival = self.draw()
        if answer == "hang":
            answer = await self._hang(batch, arrival)
        elif arrival != NEVER:
            self._arrive(batch, answer, arrival)
        return self._answer(batch, answer)

    async def _hang(self, batch: Batch, arrival: str) -> str:
        flight = Flight(batch, arrival, self._now_s, asyncio.get_running_loop().create_future())
        self.flights.append(flight)
        if arrival == NOW:
            self._arrive(batch, "taken", NOW)
        answer = "given up"
        try:
            answer = await flight.answer
            return answer
        finally:
            self.flights.remove(flight)
            if arrival != NOW and answer in {"taken", "partly", "no money left"}:
                self._arrive(batch, answer, NOW)
            elif arrival == LATE and not answer.startswith("code"):
                self._arrive(batch, "taken", LATE)

    def end(self, flight: Flight, answer: str) -> None:
        """Answer a request that hangs; what was taken whole cannot be refused any more."""
        if flight.arrival == NOW and (answer.startswith("code") or answer in {"partly", "no money left"}):
            answer = "taken"
        if not flight.answer.done():
            flight.answer.set_result(answer)

    def time_out(self, limit_s: float = TIMEOUT_S) -> None:
        """End what has been waited for long enough."""
        for flight in self.flights:
            if self._now_s - flight.began_s >= limit_s:
                self.end(flight, "timeout")
        for began_s, future in self.slow_answers:
            if self._now_s - began_s >= limit_s and not future.done():
                future.set_result(None)

    def _arrive(self, batch: Batch, answer: str, arrival: str) -> None:
        if arrival == LATE:
            self.ledger.under_way.append((self._now_s + self.delay_s, self, batch, answer))
        else:
            self.ledger.take(self.name, batch, answer, at_s=self._now_s)

    def _answer(self, batch: Batch, answer: str) -> Sequence[Outcome]:
        count = len(batch.messages)
        match answer.split():
            case ["death"]:
                self.die()
            case ["bug"]:
                raise ZeroDivisionError
            case ["not", "sent"]:
                return [Deferred(error=error("connect", ErrorClass.DEFERRED), left=False)] * count
            case ["429"]:
                return [verdict.unknown("http 429", "too many requests", 30.0 + 20 * (self.delay_s % 4))] * count
            case ["code", code]:
                return verdict.judge_send(Failure(int(code), ""), batch)
            case ["garbage"]:
                return verdict.judge_send(Garbage("HTML answer"), batch)
            case ["timeout"]:
                return [verdict.unknown("timeout", "timed out")] * count
        return verdict.judge_send(_taken(batch, answer), batch)

    # -- status.php
    async def status(self, queries: Sequence[StatusQuery]) -> Sequence[StatusAnswer]:
        """Tell what is known and no longer hidden, where the page works."""
        self.ledger.arrive()
        for query in queries:
            self._count_question(query)
        if self.status_page == "bug":
            raise ZeroDivisionError
        if self.status_page == "silent":
            return [StatusMiss.NO_ANSWER] * len(queries)
        answers = verdict.judge_status(list(self._entries(queries)), queries, self.name)
        if self.status_page == "slow":
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.slow_answers.append((self._now_s, future))
            try:
                await future
            finally:
                self.slow_answers = [one for one in self.slow_answers if one[1] is not future]
        return answers

    def _count_question(self, query: StatusQuery) -> None:
        """More than five questions a minute about one message are too many (smsc-api.md 1.7)."""
        now_s = self._now_s
        asked = [at_s for at_s in self.questions[query.phone, query.gateway_id] if at_s > now_s - 60] + [now_s]
        self.questions[query.phone, query.gateway_id] = asked
        if len(asked) > 5 and now_s - self.ledger.disturbed_s > 60:
            self.wrong.append(f"asked {len(asked)} times in a minute about {query}")

    def _entries(self, queries: Sequence[StatusQuery]) -> Iterator[dict[str, Any]]:
        for query in queries:
            copy = self.ledger.copies.get((self.name, query.gateway_id, query.phone))
            is_known = copy is not None and self._now_s >= copy.at_s + STATUS_LAG_S
            status = copy.statuses[-1] if copy is not None and is_known else -3
            yield {"id": query.gateway_id, "phone": digits_of(query.phone), "status": status, "err": 0}

    # -- the rest
    async def balance(self) -> Balance | Suspended | SmsError:
        """Answer a probe as the balance page stands."""
        match self.balance_page:
            case "well" | "empty":
                money = Decimal(10 if self.balance_page == "well" else 0)
                return Balance(gateway=self.name, balance=money, currency="RUR")
            case "silent":
                return SmsError(code="timeout", text="timed out", error_class=ErrorClass.UNKNOWN)
            case "odd":
                return SmsError(code="answer", text="HTML answer", error_class=ErrorClass.UNKNOWN)
        return verdict.judge_balance(Failure(int(self.balance_page), ""), self.name)

    async def price(self, _sms: Message) -> Price | SmsError:
        """Answer a fixed price."""
        return Price(cost=PRICE, parts=1)

    async def aclose(self) -> None:
        """Nothing is open."""


def _status_of(answer: str, number: int) -> int:
    if answer == "partly" and number % 2 == 0:
        return NO_ROUTE
    if answer == "no money left" and number > 0:
        return NO_MONEY
    return PASSED_ON


def _taken(batch: Batch, answer: str) -> dict[str, Any]:
    rows = [
        {"phone": digits_of(sms.phone), "cost": str(PRICE), "status": str(status), "error": ""}
        for number, sms in enumerate(batch.messages)
        for status in (_status_of(answer, number),)
    ]
    id_ = "999999999" if answer == "wrong id" else batch.gateway_id
    return {"id": id_, "cnt": sum(row["status"] == "0" for row in rows) or 1, "phones": rows}
