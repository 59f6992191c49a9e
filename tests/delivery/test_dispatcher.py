"""What the sending loop leaves on disk when it stops, breaks, or meets a message that spoils every request."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from mailbridge.delivery.dispatcher import divide, own_ways
from mailbridge.errors import StoreError
from mailbridge.model.outcome import Receipt, Unknown
from mailbridge.model.state import State
from mailbridge.queue.memory import MemoryStore
from tests.support.delivery import error
from tests.support.post import Post
from tests.support.programs import until

SILENCE = Unknown(error=error("timeout"))


class SlowStore(MemoryStore):
    """A store whose claims end when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.claiming, self.go_on = asyncio.Event(), asyncio.Event()

    async def claim(self, **asked):
        """Claim, then wait."""
        claimed = await super().claim(**asked)
        if claimed:
            self.claiming.set()
            await self.go_on.wait()
        return claimed


class SickStore(MemoryStore):
    """A store that keeps nothing for a while."""

    failures = 0

    async def apply(self, changes):
        """Fail as often as it is to."""
        if self.failures:
            self.failures -= 1
            raise StoreError
        return await super().apply(changes)


async def test_what_is_in_flight_at_the_stop_is_unknown_on_disk():
    """A gateway that hangs does not hold up the stop, and nobody has to wait for the next start to see the truth."""
    post = Post()
    id_ = await post.put()
    post.gateway.gate = asyncio.Event()
    async with post.running():
        await until(lambda: post.gateway.batches)

    row = await post.row(id_)
    assert row.state is State.UNKNOWN
    assert row.unknown_since == post.clock.now()
    assert row.error is not None
    assert row.error.code == "stopped"


async def test_what_is_claimed_while_stopping_goes_back():
    """Claimed, but its request never begun: queued again as if nothing had been, not asked about for minutes."""
    store = SlowStore()
    post = Post(store=store)
    id_ = await post.put()
    running = asyncio.create_task(post.dispatcher.run())
    await store.claiming.wait()
    stopping = asyncio.create_task(post.dispatcher.stop(5))
    await asyncio.sleep(0)
    store.go_on.set()
    await stopping
    await running

    row = await post.row(id_)
    assert (row.state, row.attempts) == (State.QUEUED, 0)
    assert post.gateway.batches == []


async def test_stop_waits_for_a_disk_that_comes_back():
    """An answer that could not be written at once is written before the stop ends."""
    store = SickStore()
    post = Post(store=store)
    id_ = await post.put()
    store.failures = 2
    running = asyncio.create_task(post.dispatcher.run())
    await until(lambda: store.failures < 2)
    stopping = asyncio.create_task(post.dispatcher.stop(5))
    while not stopping.done():
        post.clock.advance(1)
        await asyncio.sleep(0.001)
    await running

    assert await post.state(id_) is State.SENT


async def test_an_attempt_that_breaks_leaves_its_messages_unknown():
    """A mistake of ours after the request must not leave rows ``sending``, where nobody looks after them."""

    def broken() -> float:
        raise ArithmeticError

    post = Post(random=broken)
    id_ = await post.put()
    await post.send_all()

    assert await post.state(id_) is State.UNKNOWN
    assert (await post.row(id_)).error.code == "internal"


async def test_a_gateway_that_asks_for_silence_hears_nothing_of_any_message():
    """HTTP 429 with Retry-After is about whoever asks, not about the message that met it."""
    post = Post()
    lost = await post.put(1)
    post.gateway.answer = lambda batch: [Unknown(error=error("http 429"), retry_after_s=40)] * len(batch.messages)
    await post.send_all()
    sent = await post.restart().put(2)
    post.gateway.answer = post.gateway.accept
    row = await post.row(lost)
    post.gateway.statuses[row.message.phone, row.gateway_id] = Receipt(
        gateway="main", gateway_id=row.gateway_id, phone=row.message.phone, status=1, err=0
    )
    for _ in range(39):
        post.clock.advance(1)
        await post.questions.step()
    async with post.running():
        await post.settled()
    early = (len(post.gateway.batches), len(post.gateway.asked))
    post.clock.advance(2)
    await post.questions.step()
    await post.restart().send_all()

    assert early == (1, 0)
    assert (await post.state(lost), await post.state(sent)) == (State.DELIVERED, State.SENT)


async def test_a_question_answered_with_a_wish_for_silence_is_the_last_one_until_then():
    """HTTP 429 with Retry-After to ``status`` counts as one to ``send``: nothing is asked, nothing sent."""
    post = Post()
    for number in (1, 2):
        await post.put(number)
    await post.send_all()
    answer, post.gateway.status = post.gateway.status, post.gateway.silent(40)
    while not post.gateway.asked:
        post.clock.advance(1)
        await post.questions.step()
    post.gateway.status = answer
    await post.restart().put(3)
    for _ in range(38):
        post.clock.advance(1)
        await post.questions.step()
    async with post.running():
        await post.settled()
    early = (len(post.gateway.batches), len(post.gateway.asked))
    for _ in range(60):
        post.clock.advance(10)
        await post.questions.step()
    await post.restart().send_all()

    assert early == (1, 1)
    assert (len(post.gateway.batches), len(post.gateway.asked) > 1) == (2, True)


class OddStore(MemoryStore):
    """A store in which something nobody foresaw goes wrong for a while."""

    failures = 3

    async def claim(self, **asked):
        """Fail as often as it is to."""
        if self.failures:
            self.failures -= 1
            raise TypeError("a damaged row")
        return await super().claim(**asked)


async def test_an_error_nobody_foresaw_costs_a_turn_of_the_loop():
    """Sending goes on as soon as the trouble is over, and the log tells of it: mail would go on being taken."""
    post = Post(store=OddStore())
    id_ = await post.put()
    with capture_logs() as logs:
        async with post.running():
            for _ in range(200):
                post.clock.advance(1)
                await asyncio.sleep(0.001)
                if post.gateway.batches:
                    break

    assert await post.state(id_) is State.SENT
    assert [line["event"] for line in logs].count("duty broke") == 3


async def test_a_gateway_that_leaves_the_board_still_gets_what_was_claimed_for_it():
    """A reload between claim and request neither loses the message nor breaks the loop."""
    store = SlowStore()
    post = Post(store=store)
    id_ = await post.put()
    async with post.running():
        await store.claiming.wait()
        post.board.replace([])
        store.go_on.set()
        await until(lambda: post.gateway.batches)

    assert await post.state(id_) is State.SENT


@pytest.mark.parametrize("count", [2, 8, 100])
async def test_a_message_that_spoils_every_request_ends_alone(count):
    """It makes the gateway fail: the messages that happen to share its request go out without it."""
    post = Post(quarantine_s=150)
    ids = [await post.put(number) for number in range(1, count + 1)]
    poison = "text 1"

    def answer(batch):
        if any(sms.text == poison for sms in batch.messages):
            return [SILENCE] * len(batch.messages)
        return post.gateway.accept(batch)

    post.gateway.answer = answer
    for _ in range(12):
        await post.send_all_again()

    states = [await post.state(id_) for id_ in ids]
    assert states.count(State.SENT) == count - 1
    assert states[0] in {State.QUEUED, State.UNKNOWN}


class TestDivide:
    """Whose messages are claimed together, and by which gateways they leave."""

    def test_without_preferences_all_are_claimed_together(self):
        assert divide({}) == [(None, None)]

    @given(st.dictionaries(st.text(max_size=2), st.lists(st.sampled_from("abcd"), unique=True)))
    def test_each_user_is_claimed_once_with_the_gateways_of_their_own(self, preferences):
        for user in [*preferences, "somebody else"]:
            found = [own for whose, own in divide(preferences) if whose is None or (user in whose.users) is whose.alone]
            assert found == [tuple(preferences[user]) if user in preferences else None]

    @given(*[st.lists(st.sampled_from("abcd"), unique=True)] * 2)
    def test_a_users_gateways_are_kept_in_their_order_and_the_route_narrows_them(self, ways, own):
        found = own_ways(ways, own)
        assert own_ways(ways, None) == ways
        assert set(found) <= set(own)
        assert [name for name in own if name in found] == list(found)
        if set(own) & set(ways):
            assert set(found) == set(own) & set(ways)
