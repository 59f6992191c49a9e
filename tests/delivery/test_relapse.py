"""A gateway on trial: who is told, what goes first, and what a message too dear for the money left does to the others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import pytest

from mailbridge.delivery.board import Board
from mailbridge.delivery.breaker import RESTLESS_S, is_probe_due, trouble_of
from mailbridge.delivery.questions import Prober
from mailbridge.gateway.contract import Batch
from mailbridge.model.outcome import Balance, ErrorClass, Outcome, Suspended
from mailbridge.model.state import State
from mailbridge.queue.contract import GatewayState
from tests.support.delivery import error
from tests.support.post import Post
from tests.support.sms import message

PROBES = {"2": (60, 600), "3": (30, 600), "4": (300, 3600)}
DEAR = "text 1"


class Till:
    """A post whose gateway has a trouble, its prober, and what the operator was told."""

    def __init__(self, code: str = "3") -> None:
        self.post = Post()
        self.prober = Prober(board=self.post.board, clock=self.post.clock, wake=lambda: None)
        self.told: list[str] = []
        self.code = code
        self.post.board._announce = lambda _before, after: self.told.append("begins" if after.suspended else "ends")

    @property
    def state(self) -> GatewayState:
        """The gateway's state."""
        return self.post.board.states["main"]

    def refuse(self, batch: Batch) -> Sequence[Outcome]:
        """Refuse the request for the trouble."""
        after_s, most_s = PROBES[self.code]
        trouble = error(self.code, ErrorClass.SUSPENDED)
        return [Suspended(error=trouble, probe_after_s=after_s, probe_max_s=most_s)] * len(batch.messages)

    def refuse_dear(self, batch: Batch) -> Sequence[Outcome]:
        """Refuse what holds the dear message."""
        is_dear = any(sms.text == DEAR for sms in batch.messages)
        return self.refuse(batch) if is_dear else self.post.gateway.accept(batch)

    async def live(self, seconds: int, *, step_s: int = 10) -> None:
        """Let time pass, with probes and sending."""
        for _ in range(0, seconds, step_s):
            self.post.clock.advance(step_s)
            await self.prober.step()
            await self.post.restart().send_all()


@pytest.mark.slow
@pytest.mark.parametrize("code", ["2", "3", "4"])
async def test_a_relapse_is_no_news_and_keeps_the_interval_growing(code):
    """Each probe finds it well, each message meets the trouble again: one notice, few requests, nothing spent."""
    till = Till(code)
    id_ = await till.post.put()
    till.post.gateway.answer = till.refuse
    await till.live(7200)

    after_s, most_s = PROBES[code]
    requests, at_s, wait_s = 1, 0, after_s
    while (at_s := at_s + wait_s) <= 7200:
        requests, wait_s = requests + 1, min(wait_s * 2, most_s)
    assert abs(len(till.post.gateway.batches) - requests) <= 1
    assert till.told == ["begins"]
    assert (await till.post.row(id_)).attempts == 0

    till.post.gateway.answer = till.post.gateway.accept
    await till.live(most_s + 20)
    assert till.told == ["begins", "ends"]
    assert await till.post.state(id_) is State.SENT


@pytest.mark.parametrize("count", [2, 30])
async def test_a_message_too_dear_does_not_hold_up_the_others(count):
    """Money for small ones is left: batches are halved until the dear one is alone, and it goes behind."""
    till = Till()
    ids = [await till.post.put(number) for number in range(1, count + 1)]
    till.post.gateway.answer = till.refuse_dear
    await till.live(3600)
    states = [await till.post.state(id_) for id_ in ids]

    assert states == [State.QUEUED] + [State.SENT] * (count - 1)


@pytest.mark.slow
async def test_new_messages_pass_a_dear_one_and_the_operator_is_not_told_each_time():
    """A cheap mail a minute beside a dear one for two hours: they go out, and nobody gets a hundred notices."""
    till = Till()
    ids = [await till.post.put(1)]
    till.post.gateway.answer = till.refuse_dear
    for number in range(2, 122):
        await till.live(60)
        ids.append(await till.post.put(number))
    await till.live(600)
    states = [await till.post.state(id_) for id_ in ids]

    assert states == [State.QUEUED] + [State.SENT] * 120
    assert len(till.told) <= 3


async def test_one_request_at_a_time_until_something_is_accepted():
    """The trial costs one request, whatever waits."""
    till = Till()
    for number in range(1, 31):
        await till.post.put(number)
    till.post.gateway.max_batch = 3
    till.post.gateway.answer = till.refuse
    await till.post.send_all()
    before = len(till.post.gateway.batches)
    await till.live(30, step_s=30)

    assert len(till.post.gateway.batches) == before + 1


async def test_a_gateway_without_a_balance_page_is_tried_with_a_message():
    """404 for each probe: after the third, the next message tells."""
    till = Till("2")
    id_ = await till.post.put()
    till.post.gateway.answer = till.refuse
    till.post.gateway.balance_answer = error("http 404", ErrorClass.UNKNOWN)
    await till.live(20)
    till.post.gateway.answer = till.post.gateway.accept
    await till.live(60 + 120)
    early = await till.post.state(id_)
    await till.live(260)

    assert early is State.QUEUED
    assert await till.post.state(id_) is State.SENT
    assert till.told == ["begins", "ends"]


async def test_silence_is_no_reason_to_try_a_message():
    """A gateway that says nothing keeps its messages safe."""
    till = Till()
    await till.post.put()
    till.post.gateway.answer = till.refuse
    till.post.gateway.balance_answer = error("timeout", ErrorClass.UNKNOWN)
    await till.live(7200, step_s=30)

    assert len(till.post.gateway.batches) == 1


async def test_with_nothing_waiting_a_probe_is_proof_enough():
    """Nobody would ever tell the operator otherwise."""
    till = Till()
    (outcome,) = till.refuse(Batch(gateway_id="1", messages=(message("x"),)))
    await till.post.board.suspend("main", trouble_of(outcome))
    await till.live(40)

    assert till.told == ["begins", "ends"]
    assert not till.state.on_trial
    assert till.post.gateway.batches == []


async def test_a_clock_set_back_keeps_no_gateway_waiting():
    """The next probe's time was on the old clock: it is due now, and a trial ends no later than it would have."""
    till = Till("4")
    await till.post.put()
    till.post.gateway.answer = till.refuse
    till.post.gateway.balance_answer = till.refuse(Batch(gateway_id="1", messages=(message("x"),)))[0]
    await till.live(7200, step_s=60)
    till.post.clock.jump_wall(-3000)
    await till.post.board.clock_set_back()
    before = till.post.gateway.balances
    await till.prober.step()
    assert till.post.gateway.balances == before + 1

    till.post.gateway.balance_answer = Balance(gateway="main", balance=Decimal(10), currency="RUR")
    till.post.clock.advance(3600)
    await till.prober.step()
    assert till.state.on_trial
    till.post.clock.jump_wall(-3000)
    await till.post.board.clock_set_back()
    assert till.state.probe_at <= till.post.clock.now() + timedelta(seconds=RESTLESS_S)


async def test_a_start_has_a_suspended_gateway_asked_whatever_others_do_then():
    """Its first probe is due at once, also where a person's verb has the states read anew before it."""
    till = Till("4")
    await till.post.put()
    till.post.gateway.answer = till.refuse
    await till.live(10)
    board = till.post.board
    after_start = Board(
        list(board.carriers.values()), store=till.post.store, clock=till.post.clock, announce=lambda _a, _b: None
    )
    await after_start.load()
    await after_start.follow()
    assert is_probe_due(after_start.states["main"], now=till.post.clock.now())
