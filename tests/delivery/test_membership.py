"""A node among several: what it may still do when it was silent for too long."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from mailbridge.config.model import Queue
from mailbridge.delivery.dispatcher import Dispatcher
from mailbridge.delivery.keeper import Keeper
from mailbridge.delivery.membership import BEATS, MARGIN, ForTheFirst, Membership
from mailbridge.delivery.pace import Pace
from mailbridge.delivery.rush import Rush
from mailbridge.delivery.watch import Watch
from mailbridge.errors import StoreError
from mailbridge.model.outcome import Unknown
from mailbridge.model.state import State
from mailbridge.queue.cluster import Pulse
from mailbridge.queue.contract import GatewayState
from mailbridge.queue.memory import MemoryStore
from tests.support.clock import FakeClock
from tests.support.post import Post
from tests.support.programs import until
from tests.support.queue import ERROR

LEASE_S = 20.0
BEAT_S = LEASE_S / BEATS
MARGIN_S = LEASE_S * MARGIN


class Others:
    """A cluster as one node sees it: a test writes what the others do."""

    def __init__(self):
        self.pulse = Pulse()
        self.is_down = False
        self.asked_to_take_over = []

    async def beat(self, *, node, now, lease_s, take_over):
        """Answer as scripted."""
        if self.is_down:
            raise StoreError
        self.asked_to_take_over.append(take_over)
        return self.pulse

    async def silence(self, *, gateway, seconds):
        """Have it told to whoever gives a sign of life."""
        if self.is_down:
            raise StoreError
        self.pulse = Pulse(nodes=2, place=1, silences={gateway: seconds})

    async def leave(self, *, node, now):
        """Go."""

    def on_news(self, ring):
        """Say nothing."""


class Claims(MemoryStore):
    """A store in which something happens between a claim and its request."""

    def __init__(self):
        super().__init__()
        self.after_claim = None

    async def claim(self, **asked):
        """Claim, then let it happen."""
        claimed = await super().claim(**asked)
        if claimed and self.after_claim is not None:
            await self.after_claim()
        return claimed


@pytest.fixture
def clock():
    """Return a clock."""
    return FakeClock()


@pytest.fixture
def others():
    """Return the others."""
    return Others()


@pytest.fixture
def node(clock, others):
    """Return this node."""
    return Membership(store=others, clock=clock, node="n1", lease_s=LEASE_S)


async def test_the_lease_ends_for_the_node_before_it_ends_for_the_others(node, clock):
    """By the clock that cannot be set."""
    assert not node.holds
    await node.step()
    assert node.holds
    clock.advance(LEASE_S - MARGIN_S - 0.1)
    assert node.holds
    clock.advance(0.2)
    assert not node.holds
    assert not node.is_first


async def test_a_machine_that_slept_notices_it_by_the_wall_clock(node, clock):
    """The monotonic clock stood still meanwhile."""
    await node.step()
    clock.jump_wall(300)
    assert not node.holds


async def test_a_lease_that_was_lost_and_won_again_is_another_one(node, clock):
    """What was claimed before is not sent with it."""
    await node.step()
    term = node.term
    assert node.permits(term)
    clock.advance(300)
    await node.step()
    assert node.holds
    assert not node.permits(term)


async def test_a_place_that_the_others_took_ends_the_term_too(node, others):
    """The database's clock decides who is dead, whatever this node thinks."""
    await node.step()
    term = node.term
    others.pulse = Pulse(nodes=2, place=1, is_new=True)
    await node.step()
    assert not node.permits(term)


async def test_nobody_is_called_dead_right_after_an_outage(node, clock, others):
    """The others get a whole lease to be heard again."""
    await node.step()
    others.is_down = True
    for _ in range(9):
        clock.advance(BEAT_S)
        with pytest.raises(StoreError):
            await node.step()
    others.is_down, others.asked_to_take_over = False, []
    for _ in range(8):
        clock.advance(BEAT_S)
        await node.step()
    assert others.asked_to_take_over == [False] * 5 + [True] * 3


def dispatcher_of(post, lease):
    """Let *post* send under *lease*."""
    post.dispatcher = Dispatcher(
        store=post.store, board=post.board, watch=Watch(), clock=post.clock, random=lambda: 0.5, node="n1",
        rush=Rush(post.clock), lease=lease,
    )  # fmt: skip


async def test_what_was_claimed_before_the_sleep_is_not_sent_after_it(others):
    """It goes back as if nothing had been: the request was never made."""
    store = Claims()
    post = Post(store=store)
    node = Membership(store=others, clock=post.clock, node="n1", lease_s=LEASE_S)
    await node.step()
    dispatcher_of(post, node)

    async def sleep():
        # it wakes, and its sign of life comes before the request
        post.clock.advance(300)
        await node.step()
        others.is_down = True
        store.after_claim = None
        post.clock.advance(300)

    store.after_claim = sleep
    id_ = await post.put()
    async with post.running():
        await post.settled()
    row = await post.row(id_)
    assert (row.state, row.attempts) == (State.QUEUED, 0)
    assert post.gateway.batches == []


async def test_what_the_others_took_over_meanwhile_stays_theirs(others):
    """It is unknown by then, and the one who slept does not put it back."""
    store = Claims()
    post = Post(store=store)
    node = Membership(store=others, clock=post.clock, node="n1", lease_s=LEASE_S)
    await node.step()
    dispatcher_of(post, node)

    async def sleep():
        post.clock.advance(300)
        await store.recover(node="n1", now=post.clock.now())
        await node.step()

    store.after_claim = sleep
    id_ = await post.put()
    async with post.running():
        await post.settled()
    assert await post.state(id_) is State.UNKNOWN
    assert post.gateway.batches == []
    assert post.board.carriers["main"].pace.in_flight == 0


async def test_a_node_without_a_lease_claims_nothing(others):
    """It waits for the database like everybody."""
    post = Post()
    dispatcher_of(post, Membership(store=others, clock=post.clock, node="n1", lease_s=LEASE_S))
    id_ = await post.put()
    async with post.running():
        await post.settled()
    assert await post.state(id_) is State.QUEUED


class LostAnswer(MemoryStore):
    """A store whose first claim is written, and says that it was not."""

    lost = 1

    async def claim(self, **asked):
        """Claim, and lose the answer once."""
        claimed = await super().claim(**asked)
        if claimed and self.lost:
            self.lost -= 1
            raise StoreError
        return claimed


async def test_a_claim_whose_answer_was_lost_is_asked_about():
    """Nobody would ever send what it wrote, nor look after it."""
    post = Post(store=LostAnswer())
    first = await post.put(1)
    async with post.running():
        await post.clock.sleeping()
        second = await post.put(2)
        post.dispatcher.wake()
        await until(lambda: post.gateway.batches)
        await post.settled()
    assert [await post.state(id_) for id_ in (first, second)] == [State.UNKNOWN, State.SENT]


def test_what_the_gateway_allows_is_divided_among_the_nodes():
    """All of it and no more, the rest to the first ones; a lone node has it all."""
    post = Post()
    pace = post.board.carriers["main"].pace
    shares = []
    for place in range(4):
        post.board.share(Pulse(nodes=4, place=place))
        shares.append(pace.free)
    assert shares == [3, 3, 2, 2]
    post.board.share(Pulse())
    assert pace.free == 10


def test_a_gateway_that_complained_is_not_pushed_by_a_new_share():
    """What was halved grows back slowly; a share of nothing stays nothing."""
    pace = Pace(10)
    pace.start()
    pace.finish(too_many=True)
    pace.allow(8)
    assert pace.limit == 5
    pace.allow(0)
    pace.start()
    pace.finish(too_many=True)
    assert pace.free == 0


async def test_while_a_gateway_is_on_trial_one_node_tries():
    """Not each of them: one message in all may be spoilt."""
    post = Post()
    await post.store.save_gateway_state(GatewayState(name="main", code="transport", probes=1))
    await post.board.follow()
    carrier = post.board.carriers["main"]
    post.board.share(Pulse(nodes=2, place=0))
    assert post.board.room(carrier) == 1
    post.board.share(Pulse(nodes=2, place=1))
    assert post.board.room(carrier) == 0


async def test_a_node_whose_clock_is_not_that_of_the_first_sends_nothing(node, others):
    """How long an outcome was unknown would be told in two times."""
    others.pulse = Pulse(nodes=2, place=1, ahead_s=-31.0)
    await node.step()
    assert not node.holds
    assert not node.is_in_time
    others.pulse = Pulse(nodes=2, place=1, ahead_s=-29.0)
    await node.step()
    assert node.holds


async def test_a_clock_that_is_set_is_wrong_at_once_and_the_firsts_is_right_with_its_next_sign_of_life(node, clock):
    """Nothing is written by it before, and the first one's is the time of all."""
    await node.step()
    clock.jump_wall(-3600)
    assert not node.is_in_time
    assert not node.holds
    await node.step()
    assert node.is_in_time
    assert node.holds


async def test_a_clock_set_back_is_gone_by_once_it_is_known_to_be_right():
    """What the others wrote must not be moved into a wrong time; it is not forgotten either."""
    post = Post()
    is_right = False
    keeper = Keeper(
        store=post.store, board=post.board, clock=post.clock, settings=Queue(), wake=lambda: None,
        alarm=lambda _row: None, is_in_time=lambda: is_right,
    )  # fmt: skip
    later = post.clock.now() + timedelta(seconds=3000)
    id_ = await post.put(next_attempt_at=later)
    post.clock.jump_wall(-3600)
    await keeper.step()
    assert (await post.row(id_)).next_attempt_at == later
    is_right = True
    await keeper.step()
    assert (await post.row(id_)).next_attempt_at == post.clock.now()


@pytest.mark.parametrize("is_down", [False, True])
async def test_a_gateway_that_asked_one_node_for_silence_is_left_alone_by_all(others, clock, is_down):
    """A database that is away then costs nothing but the others' own asking."""
    first, second = Post(store=MemoryStore()), Post()
    first.store.cluster = others
    others.is_down = is_down
    first.gateway.answer = lambda batch: [Unknown(error=ERROR, retry_after_s=40)] * len(batch.messages)
    await first.put()
    await first.send_all()
    assert first.board.open_carriers() == []
    others.is_down = False
    await Membership(store=others, clock=clock, node="n2", lease_s=LEASE_S, heed=second.board.heed).step()
    assert (second.board.open_carriers() == []) is not is_down
    second.clock.advance(41)
    assert len(second.board.open_carriers()) == 1


@pytest.mark.parametrize(("place", "is_asked"), [(0, True), (1, False)])
async def test_a_node_that_starts_beside_others_has_no_gateway_probed_for_it(place, is_asked):
    """Each probe of a wrong password is one more; so it is when a clock was set back."""
    post = Post()
    later = post.clock.now() + timedelta(seconds=500)
    await post.store.save_gateway_state(
        GatewayState(name="main", suspended=True, code="2", since=post.clock.now(), probe_at=later, probes=4)
    )
    post.board.share(Pulse(nodes=2, place=place))
    await post.board.load(asks=place == 0)
    assert (post.board.states["main"].probe_at == post.clock.now()) is is_asked
    await post.store.save_gateway_state(replace(post.board.states["main"], probe_at=later))
    await post.board.follow()
    await post.board.clock_set_back()
    assert (post.board.states["main"].probe_at == post.clock.now()) is is_asked


async def test_one_of_all_nodes_does_what_one_is_to_do(node, clock):
    """Until its lease is over; the others do what is theirs."""

    class Count:
        idle_s = 7.0
        turns = 0

        async def step(self):
            self.turns += 1
            return self.turns

    duty, otherwise = Count(), Count()
    shared = ForTheFirst(duty, lambda: node.is_first, otherwise=otherwise.step)
    assert shared.idle_s == 7.0
    assert await shared.step() == 0
    await node.step()
    assert await shared.step() == 1
    clock.advance(LEASE_S)
    assert await asyncio.wait_for(shared.step(), 1) == 0
    assert (duty.turns, otherwise.turns) == (1, 2)
