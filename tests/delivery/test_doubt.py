"""When nobody can know whether a quarantine is over, nothing is decided: a clock set forward, a start, a long sleep."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from mailbridge.config.model import Queue
from mailbridge.delivery.audit import Audit
from mailbridge.delivery.board import Board
from mailbridge.delivery.keeper import Keeper
from mailbridge.delivery.questions import Questions
from mailbridge.delivery.rush import Rush
from mailbridge.errors import StoreError
from mailbridge.gateway.contract import StatusMiss, StatusQuery
from mailbridge.model.outcome import Receipt, Unknown
from mailbridge.model.state import State
from mailbridge.queue.contract import GatewayState
from mailbridge.queue.memory import MemoryStore
from tests.support.delivery import error
from tests.support.post import Post

DAY_S = 86400
PASSED_ON = 0
NO_ANSWER = Unknown(error=error("timeout"))
#: what becomes of a message nothing was ever heard of
ENDS = {"hold": State.HELD, "fail": State.EXPIRED, "retry": State.QUEUED}


class House:
    """A post with its keeper, and a message whose request got no answer."""

    def __init__(
        self, *, on_unknown: str = "hold", outcome: Unknown = NO_ANSWER, store: MemoryStore | None = None
    ) -> None:
        self.post = Post(on_unknown=on_unknown, store=store)
        self.outcome = outcome
        self.id = ""
        self.start()

    def start(self) -> None:
        """Start the process: what it remembered is gone."""
        post = self.post
        post.board = Board(
            list(post.board.carriers.values()),
            store=post.store,
            clock=post.clock,
            announce=lambda _before, _after: None,
        )
        post.questions = Questions(
            store=post.store, board=post.board, clock=post.clock, wake=lambda: None, rush=Rush(post.clock),
            audit=Audit(store=post.store, board=post.board),
        )  # fmt: skip
        self.keeper = Keeper(
            store=post.store, board=post.board, clock=post.clock, settings=Queue(), wake=lambda: None,
            alarm=lambda _row: None,
        )  # fmt: skip

    async def lose_an_answer(self, *, lifetime_s: float = 3600) -> None:
        """A message leaves, and no answer comes; the process runs long enough to know its clock."""
        self.post.clock.advance(200)
        self.id = await self.post.put(expires_at=self.post.clock.now() + timedelta(seconds=lifetime_s))
        self.post.gateway.answer = lambda batch: [self.outcome] * len(batch.messages)
        await self.post.send_all()
        assert await self.state() is State.UNKNOWN

    async def live(self, seconds: int, *, step_s: int = 5) -> None:
        """Let time pass, with both duties."""
        for _ in range(0, seconds, step_s):
            self.post.clock.advance(step_s)
            await self.post.questions.step()
            await self.keeper.step()

    async def state(self) -> State:
        """Return the message's state."""
        return await self.post.state(self.id)

    def found(self) -> None:
        """From now on the gateway knows the message."""
        (batch,) = self.post.gateway.batches
        sms = batch.messages[0]
        known = Receipt(gateway="main", gateway_id=batch.gateway_id, phone=sms.phone, status=PASSED_ON, err=0)
        self.post.gateway.statuses[sms.phone, batch.gateway_id] = known


@pytest.mark.parametrize("on_unknown", list(ENDS))
async def test_a_clock_set_forward_past_the_lifetime_decides_nothing_before_the_gateway_was_asked(on_unknown):
    """The request is on its way still: to give the message up now would tell a lie, or send it twice."""
    house = House(on_unknown=on_unknown)
    await house.lose_an_answer()
    house.post.clock.jump_wall(2 * DAY_S)
    await house.keeper.step()
    await house.live(140)
    assert await house.state() is State.UNKNOWN

    house.found()
    await house.live(60)
    assert await house.state() is State.SENT


@pytest.mark.parametrize(("on_unknown", "end"), ENDS.items())
async def test_after_a_clock_set_forward_a_gateway_that_never_answers_holds_nothing_up_for_ever(on_unknown, end):
    """A quarantine and the longest interval between two questions later the configuration decides."""
    house = House(on_unknown=on_unknown)
    await house.lose_an_answer()
    house.post.gateway.status = _silence
    house.post.clock.jump_wall(2 * DAY_S)
    await house.live(150 + 120 + 10)
    assert await house.state() is end


async def _silence(queries: list[StatusQuery]) -> list[StatusMiss]:
    return [StatusMiss.NO_ANSWER] * len(queries)


async def test_what_was_asked_in_doubt_proves_nothing_when_it_is_answered_later():
    """Asked a second before the quarantine passed again, answered a second after it: not believed."""
    house = House()
    await house.lose_an_answer()
    house.post.clock.jump_wall(3600)
    await house.live(140)
    real = house.post.gateway.status

    async def slow(queries: list[StatusQuery]) -> object:
        answers = await real(queries)
        house.post.clock.advance(30)
        return answers

    house.post.gateway.status = slow
    for _ in range(8):
        house.post.clock.advance(1)
        await house.post.questions.step()
        if house.post.clock.monotonic() > 350:
            break
    assert await house.state() is State.UNKNOWN


@pytest.mark.parametrize("on_unknown", list(ENDS))
async def test_a_clock_set_while_nobody_watched_ends_no_quarantine(on_unknown):
    """Killed, the clock set forward, started again: within one quarantine of the start nothing is believed over."""
    house = House(on_unknown=on_unknown)
    await house.lose_an_answer()
    house.post.clock.advance(5)
    house.post.clock.jump_wall(2 * DAY_S)
    house.start()
    await house.keeper.step()
    await house.live(140)
    assert await house.state() is State.UNKNOWN

    house.found()
    await house.live(60)
    assert await house.state() is State.SENT


@pytest.mark.parametrize("on_unknown", list(ENDS))
async def test_a_machine_that_slept_asks_before_it_gives_a_message_up(on_unknown):
    """Both clocks went on, and the keeper is the first to look: the question that is due is put first."""
    house = House(on_unknown=on_unknown)
    await house.lose_an_answer(lifetime_s=60)
    house.post.clock.advance(DAY_S)
    await house.keeper.step()
    assert await house.state() is State.UNKNOWN

    house.found()
    await house.post.questions.step()
    assert await house.state() is State.SENT


async def test_a_gateway_that_wanted_silence_is_asked_before_a_message_is_given_up():
    """Retry-After is longer than quarantine and lifetime together: the one question is put all the same."""
    house = House(on_unknown="fail", outcome=replace(NO_ANSWER, retry_after_s=1800))
    await house.lose_an_answer(lifetime_s=60)
    house.found()
    await house.live(1790, step_s=10)
    assert await house.state() is State.UNKNOWN
    await house.live(30)
    assert await house.state() is State.SENT


class Stubborn(MemoryStore):
    """A store that refuses some calls once."""

    def __init__(self, *refuses: str) -> None:
        super().__init__()
        self.refuses = list(refuses)
        self.is_changed = False

    def _may_fail(self, name: str) -> None:
        if name in self.refuses:
            self.refuses.remove(name)
            raise StoreError("the disk does not work")

    async def clock_set_back(self, **named):
        """Refuse, then do it."""
        self._may_fail("clock_set_back")
        return await super().clock_set_back(**named)

    async def gateway_states(self):
        """Refuse, then do it."""
        self._may_fail("gateway_states")
        return await super().gateway_states()

    async def changed_outside(self):
        """Tell once."""
        was, self.is_changed = self.is_changed, False
        return was


async def test_a_clock_set_back_while_the_disk_fails_is_seen_to_when_it_works_again():
    """Nothing waits for ten years because one write failed."""
    house = House(store=Stubborn("clock_set_back"))
    await house.lose_an_answer()
    house.post.clock.jump_wall(-3650 * DAY_S)
    with pytest.raises(StoreError):
        await house.keeper.step()
    house.found()
    await house.live(10)
    assert await house.state() is State.SENT


async def test_a_persons_word_about_a_gateway_is_followed_though_the_disk_fails_first():
    """The verb was written; the turn that should have read it met a disk error, so the next one reads it."""
    store = Stubborn("gateway_states")
    house = House(store=store)
    await store.save_gateway_state(GatewayState(name="main", suspended=True, by_hand=True, code="by hand"))
    store.is_changed = True
    with pytest.raises(StoreError):
        await house.keeper.step()
    await house.keeper.step()
    assert house.post.board.states["main"].suspended
