"""The real delivery on the store in memory against a model gateway, in every order hypothesis can think of.

The model gateway takes requests late, loses answers, hides what it took for a while, doubts nothing: its ledger holds
what really went out. Crashes, stops, jumps of the clock and receipts in any order are steps like the others.
``MAILBRIDGE_MODEL_STEPS=200000`` (or more) makes a long run of it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mailbridge.config.model import Queue
from mailbridge.delivery.keeper import Keeper
from mailbridge.delivery.questions import Prober
from mailbridge.gateway.contract import Batch, StatusAnswer, StatusMiss, StatusQuery
from mailbridge.model.outcome import Accepted, Deferred, Outcome, Receipt, Refused, Unknown
from mailbridge.model.reply import Reply
from mailbridge.model.state import FINAL, State
from tests.support.delivery import error
from tests.support.post import Post

T = TypeVar("T")

#: a request arrives at the latest so long after it was given up, and is hidden from status.php so long
LATEST_ARRIVAL_S, STATUS_LAG_S, QUARANTINE_S = 60, 30, 100
PASSED_ON, DELIVERED, UNDELIVERABLE = 0, 1, 20
_STEPS = int(os.environ.get("MAILBRIDGE_MODEL_STEPS", "2000"))
_STEPS_AT_ONCE = 50

WAYS = (
    "taken", "refused", "busy", "not sent", "lost before", "lost after", "late", "crash before", "crash after",
)  # fmt: skip


class Died(BaseException):
    """The process ends here."""


class ModelGateway:
    """What a gateway may do; everything it truly took stands in *ledger*."""

    def __init__(self, post: Post) -> None:
        self.post = post
        self.way = "taken"
        self.delay_s = 0
        #: (phone, gateway id) -> monotonic time of arrival
        self.ledger: dict[tuple[str, str], float] = {}
        self.texts: Counter[str] = Counter()
        self.final: dict[tuple[str, str], int] = {}
        self.on_its_way: list[tuple[float, Batch]] = []

    def arrive(self) -> None:
        """Take what has arrived by now."""
        now_s = self.post.clock.monotonic()
        for at_s, batch in [one for one in self.on_its_way if one[0] <= now_s]:
            self.on_its_way.remove((at_s, batch))
            self.take(batch, at_s)

    def take(self, batch: Batch, at_s: float) -> None:
        """Take a request: its messages go out."""
        for sms in batch.messages:
            self.ledger[sms.phone, batch.gateway_id] = at_s
            self.texts[sms.text] += 1

    def answer(self, batch: Batch) -> Sequence[Outcome]:
        """Treat one request in the way that is set."""
        now_s, count = self.post.clock.monotonic(), len(batch.messages)
        if self.way in {"taken", "lost after", "crash after"}:
            self.take(batch, now_s)
        if self.way == "late":
            self.on_its_way.append((now_s + self.delay_s, batch))
        if self.way.startswith("crash"):
            raise Died
        match self.way:
            case "taken":
                return [Accepted(gateway_id=batch.gateway_id, parts=1)] * count
            case "refused":
                return [Refused(error=error("8"), reply=Reply(550, "5.1.1", "no"))] * count
            case "busy":
                return [Deferred(error=error("9"), retry_after_s=61)] * count
            case "not sent":
                return [Deferred(error=error("connect"), left=False)] * count
        return [Unknown(error=error("timeout"))] * count

    async def status(self, queries: Sequence[StatusQuery]) -> Sequence[StatusAnswer]:
        """Tell what is known and no longer hidden."""
        self.arrive()
        return [self.know(query.phone, query.gateway_id) for query in queries]

    def know(self, phone: str, gateway_id: str) -> StatusAnswer:
        """Return what status.php says of one request to one phone."""
        at_s = self.ledger.get((phone, gateway_id))
        if at_s is None or self.post.clock.monotonic() < at_s + STATUS_LAG_S:
            return StatusMiss.NOT_FOUND
        return self.receipt(phone, gateway_id)

    def receipt(self, phone: str, gateway_id: str) -> Receipt:
        """Return the receipt as it stands."""
        status = self.final.get((phone, gateway_id), PASSED_ON)
        return Receipt(gateway="main", gateway_id=gateway_id, phone=phone, status=status, err=0)


class DeliveryMachine(RuleBasedStateMachine):
    """Steps in any order; after each the invariants of the delivery hold."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        # what it would say in a long run fills memory
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        self.runner = asyncio.Runner()
        self.run(self._build())

    async def _build(self) -> None:
        self.post = Post(quarantine_s=QUARANTINE_S)
        self.gateway = ModelGateway(self.post)
        self.post.gateway.answer = self.gateway.answer
        self.post.gateway.status = self.gateway.status
        self.keeper = Keeper(
            store=self.post.store, board=self.post.board, clock=self.post.clock, settings=Queue(),
            wake=lambda: None, alarm=lambda _row: None,
        )  # fmt: skip
        self.prober = Prober(board=self.post.board, clock=self.post.clock, wake=lambda: None)
        self.ids: list[str] = []
        self.seen: dict[str, State] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* in the machine's own loop."""
        return self.runner.run(work)

    def teardown(self) -> None:
        """Let everything settle, and look at the end."""
        try:
            self.run(self._settle())
        finally:
            self.runner.close()
            structlog.reset_defaults()

    # -- steps
    @rule()
    def mail(self) -> None:
        """A mail is acknowledged."""
        self.ids.append(self.run(self.post.put(len(self.ids) + 1)))

    @rule(way=st.sampled_from(WAYS), delay_s=st.integers(1, LATEST_ARRIVAL_S))
    def send(self, way: str, delay_s: int) -> None:
        """What is due is sent, and the gateway or the process treats it so."""
        self.gateway.way, self.gateway.delay_s = way, delay_s
        self.run(self._send())

    async def _send(self) -> None:
        post = self.post.restart()
        claimed = await post.dispatcher._claim()
        try:
            for carrier, request in claimed:
                await post.dispatcher._attempt(carrier, request)
        except Died:
            await post.store.recover(node="n1", now=post.clock.now())
            for carrier in post.board.carriers.values():
                carrier.pace.in_flight = 0
        else:
            for carrier, _ in claimed:
                carrier.pace.in_flight = 0
        self.gateway.arrive()

    @rule(seconds=st.sampled_from([1, 5, 20, 61, 100, 400, 4000]))
    def wait(self, seconds: int) -> None:
        """Time passes, and every duty has its turn as it does."""
        steps = min(seconds, 12)
        for _ in range(steps):
            self.post.clock.advance(seconds / steps)
            self.gateway.arrive()
            self.run(self._duties())

    async def _duties(self) -> None:
        await self.post.questions.step()
        await self.keeper.step()
        await self.prober.step()

    @rule(seconds=st.sampled_from([3600, -3600, 60, -60, 150, -10 * 365 * 86400]))
    def set_clock(self, seconds: int) -> None:
        """Somebody sets the clock."""
        self.post.clock.jump_wall(seconds)
        self.run(self._duties())

    @precondition(lambda self: self.gateway.ledger)
    @rule(data=st.data(), status=st.sampled_from([PASSED_ON, DELIVERED, UNDELIVERABLE]), repeat=st.integers(1, 3))
    def receipt(self, data: st.DataObject, status: int, repeat: int) -> None:
        """The gateway calls back about something it took: late, early, repeated, out of order."""
        key = data.draw(st.sampled_from(sorted(self.gateway.ledger)))
        if status != PASSED_ON:
            status = self.gateway.final.setdefault(key, status)
        known = Receipt(gateway="main", gateway_id=key[1], phone=key[0], status=status, err=0)
        for _ in range(repeat):
            self.run(self.post.receipts.take(known))

    # -- what must hold
    @invariant()
    def nothing_goes_out_twice(self) -> None:
        """The ledger holds each text once at most."""
        type(self).steps += 1
        assert all(count == 1 for count in self.gateway.texts.values()), self.gateway.texts

    @invariant()
    def rank_never_falls(self) -> None:
        """Nothing leads away from delivered, nor from an end but to delivered."""
        for id_ in self.ids:
            now, before = self.run(self.post.state(id_)), self.seen.get(id_)
            if before in FINAL and now is not before:
                assert now is State.DELIVERED, (before, now)
            self.seen[id_] = now

    @invariant()
    def no_failure_is_told_of_what_was_taken(self) -> None:
        """Failed or expired by our own word means that the gateway does not have it."""
        taken = {text for text, count in self.gateway.texts.items() if count}
        for id_ in self.ids:
            row = self.run(self.post.row(id_))
            if row.state in {State.FAILED, State.EXPIRED}:
                assert row.message.text not in taken, row

    async def _settle(self) -> None:
        """With a gateway that is well, everything comes to an end, without a step from outside."""
        self.gateway.way = "taken"
        for _ in range(80):
            self.post.clock.advance(15)
            self.gateway.arrive()
            await self._duties()
            await self._send()
        for id_ in self.ids:
            row = await self.post.row(id_)
            assert row.state in FINAL | {State.SENT, State.HELD}, row
            if row.state in {State.SENT, State.DELIVERED}:
                assert self.gateway.texts[row.message.text] == 1, row
        assert all(count == 1 for count in self.gateway.texts.values())


TestDelivery = DeliveryMachine.TestCase
TestDelivery.settings = settings(
    max_examples=max(1, _STEPS // _STEPS_AT_ONCE),
    stateful_step_count=_STEPS_AT_ONCE,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
