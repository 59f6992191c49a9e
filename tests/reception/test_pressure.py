"""A queue that grows past its limit: the door slows, then refuses, and takes mail again by itself."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from mailbridge.errors import StoreError, TryLater
from mailbridge.model.state import State
from mailbridge.pressure import LONGEST_DELAY_S, SLOW_FROM, Pressure, check_room, decide
from mailbridge.queue.memory import MemoryStore
from tests.support.clock import FakeClock
from tests.support.house import House, running_house
from tests.support.programs import until
from tests.support.queue import change, new_mail, new_message

counts = st.integers(0, 10**9)
limits = st.integers(1, 10**8)
LIMIT = 10


# ------------------------------------------------------------------------------------------- the decision
class TestDecision:
    @given(counts, counts)
    def test_without_a_limit_nobody_waits(self, waiting, coming):
        """0 is no limit."""
        assert decide(waiting, coming, 0) == 0.0

    @given(counts, counts, limits)
    def test_refused_is_what_comes_at_the_limit(self, waiting, coming, limit):
        """And nothing else, however many recipients a mail has."""
        assert (decide(waiting, coming, limit) is None) == (waiting >= limit)

    @given(counts, limits)
    def test_below_the_share_nobody_waits(self, waiting, limit):
        """Four fifths of the limit, the mail itself counted."""
        delay_s = decide(waiting, 1, limit)
        assert delay_s is None or (delay_s > 0) == ((waiting + 1) / limit > SLOW_FROM)

    @given(counts, counts, st.integers(1, 10_000), limits)
    def test_the_fuller_the_slower(self, waiting, more, coming, limit):
        """The delay grows with what waits, up to its longest."""
        slow_s, slower_s = decide(waiting, coming, limit), decide(waiting + more, coming, limit)
        assert slow_s is None or 0 <= slow_s <= LONGEST_DELAY_S
        assert slower_s is None or (slow_s is not None and slow_s <= slower_s)

    def test_the_figures(self):
        """Nothing at 80 %, half of it at 90 %, a second for the last that fits."""
        delays = [decide(waiting, 1, LIMIT) for waiting in (0, 7, 8, 9, 10, 11)]
        assert delays == [0.0, 0.0, pytest.approx(0.5), LONGEST_DELAY_S, None, None]


# -------------------------------------------------------------------------------------------- what is known
class Counted(MemoryStore):
    """A store that tells how often it was counted, lets a test look on, and may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = 0
        self.trouble: StoreError | None = None
        #: moves while it is counted
        self.clock: FakeClock | None = None
        self.took_s = 0.0

    async def count_waiting(self, *, up_to: int) -> int:
        self.counts += 1
        if self.clock is not None:
            self.clock.advance(self.took_s)
        if self.trouble is not None:
            raise self.trouble
        return await super().count_waiting(up_to=up_to)


async def take(pressure: Pressure, store: MemoryStore, number: int, **fields) -> float:
    """Let one mail of one message in and keep it, as the reception does."""
    delay_s = await pressure.admit(1)
    await store.put(new_mail(f"M{number}", new_message(f"M{number}.1", **fields)))
    pressure.settle(admitted=1, stored=1)
    return delay_s


async def fill(pressure: Pressure, store: MemoryStore) -> None:
    """Take mails up to the limit."""
    for n in range(LIMIT):
        await take(pressure, store, n)


class TestKnown:
    async def test_arrivals_are_counted_on_and_the_store_is_left_alone(self):
        """A queue far from its limit costs no question for a mail."""
        store = Counted()
        pressure = Pressure(limit=LIMIT, store=store, clock=FakeClock())
        for n in range(8):
            assert await take(pressure, store, n) == 0.0
        assert store.counts == 0
        assert pressure.fill == 0.8

    async def test_nobody_waits_on_old_news(self):
        """What has left since the last count makes room at once."""
        store = Counted()
        pressure = Pressure(limit=LIMIT, store=store, clock=FakeClock())
        await fill(pressure, store)
        await store.apply([change(f"M{n}.1", State.QUEUED, State.CANCELLED) for n in range(LIMIT)])
        assert await take(pressure, store, LIMIT) == 0.0
        assert pressure.fill == 0.1

    async def test_a_dear_count_is_not_repeated_for_each_mail(self):
        """Counting takes a twentieth of the time at most: after 50 ms the answer is good for a second."""
        store, clock = Counted(), FakeClock()
        store.clock, store.took_s = clock, 0.05
        pressure = Pressure(limit=1, store=store, clock=clock)
        await take(pressure, store, 0)
        counted = store.counts
        for _ in range(9):
            with pytest.raises(TryLater):
                await pressure.admit(1)
            clock.advance(0.1)
        assert store.counts == counted
        clock.advance(0.2)
        with pytest.raises(TryLater):
            await pressure.admit(1)
        assert store.counts == counted + 1

    async def test_those_on_their_way_count(self):
        """Of many that come at once no more are let in than fit, whatever the store knows of them yet."""
        store = Counted()
        pressure = Pressure(limit=LIMIT, store=store, clock=FakeClock())
        results = await asyncio.gather(*(pressure.admit(1) for _ in range(3 * LIMIT)), return_exceptions=True)
        assert [isinstance(result, TryLater) for result in results] == [False] * LIMIT + [True] * 2 * LIMIT
        pressure.settle(admitted=LIMIT, stored=0)
        assert pressure.fill == 0.0

    async def test_when_the_store_cannot_be_asked_the_last_count_stands(self):
        """Mails are let in or refused by it; in trouble the store is not asked again for each of them."""
        store, clock = Counted(), FakeClock()
        pressure = Pressure(limit=LIMIT, store=store, clock=clock)
        for n in range(9):
            await take(pressure, store, n)
        clock.advance(60)
        store.trouble = StoreError("the database does not answer")
        with capture_logs() as logs:
            counted = store.counts
            assert await take(pressure, store, 9) == LONGEST_DELAY_S
            with pytest.raises(TryLater):
                await pressure.admit(1)
            assert store.counts == counted + 1
            clock.advance(60)
            with pytest.raises(StoreError):  # the loop of duties says it
                await pressure.step()
            with pytest.raises(TryLater):
                await pressure.admit(1)
        assert [line["because"] for line in logs if line["event"] == "store trouble"] == [
            "the database does not answer"
        ]

    async def test_an_episode_is_told_once(self):
        """At its first refusal, and when a fifth has left; not at each message that leaves and lets another in."""
        store, clock = Counted(), FakeClock()
        pressure = Pressure(limit=LIMIT, store=store, clock=clock)
        with capture_logs() as logs:
            await fill(pressure, store)
            for n in range(3):
                with pytest.raises(TryLater):
                    await pressure.admit(1)
                await store.apply([change(f"M{n}.1", State.QUEUED, State.CANCELLED)])
                await take(pressure, store, LIMIT + n)
            clock.advance(90)
            await store.apply([change(f"M{n}.1", State.QUEUED, State.CANCELLED) for n in range(3, 6)])
            await pressure.step()
            await pressure.step()
        told = [line for line in logs if line["event"].startswith("queue")]
        assert told == [
            {"event": "queue full", "log_level": "warning", "waiting": 10, "limit": 10},
            {
                "event": "queue takes mail again", "log_level": "warning", "waiting": 7, "limit": 10, "refused": 3,
                "for_s": 90,
            },
        ]  # fmt: skip

    async def test_without_a_limit_nothing_is_asked(self):
        """And nothing is full."""
        store = Counted()
        pressure = Pressure(limit=0, store=store, clock=FakeClock())
        for n in range(3):
            assert await take(pressure, store, n) == 0.0
        await pressure.step()
        await check_room(store, coming=1, limit=0)
        assert (store.counts, pressure.fill) == (0, 0.0)


# ------------------------------------------------------------------------------------------------ the door
async def refused_of(house: House) -> float:
    """Return how many mails were refused for want of room, as the metrics say."""
    return (await house.metrics()).get('mailbridge_rejected_total{reply="452 4.3.1"}', 0)


class TestDoor:
    async def test_what_is_not_kept_takes_no_room(self):
        """A mail repeated by its client, and one the store refused."""
        async with running_house(queue={"url": "memory:", "max_waiting": 10}) as house:
            house.fault(code=3)
            for _ in range(8):
                assert (await house.mail("+79990000001", headers="Message-ID: <same@example.org>\r\n"))[0] == 250
            assert (await house.metrics())["mailbridge_queue_fill_ratio"] == 0.1

    async def test_a_refused_mail_leaves_nothing(self):
        """No row, no history; it counts as refused; after a start the same holds at once."""
        async with running_house(queue={"url": "memory:", "max_waiting": 2}) as house:
            house.fault(code=3)
            to = "+79990000001", "+79990000002", "+79990000003"
            first = asyncio.create_task(house.mail(*to, text="one mail may pass the limit"))
            await until(lambda: LONGEST_DELAY_S in house.clock.slept_s)
            house.clock.advance(LONGEST_DELAY_S)
            assert (await first)[0] == 250
            for _ in range(2):
                assert await house.mail("+79990000004") == (452, "4.3.1 Insufficient storage, try later")
                assert sum((await house.store.count_states()).values()) == 3
                await house.restart()
            assert (await house.metrics())["mailbridge_queue_fill_ratio"] == 1.0
            assert await house.mail("+79990000004") == (452, "4.3.1 Insufficient storage, try later")
            assert await refused_of(house) == 1

    async def test_the_answer_waits_and_the_message_does_not(self):
        """A client is put off by a second at the limit, while its SMS leaves."""
        async with running_house(queue={"url": "memory:", "max_waiting": 1}) as house:
            mail = asyncio.create_task(house.mail("+79990000001"))
            await until(lambda: LONGEST_DELAY_S in house.clock.slept_s and house.simulator.inbox)
            assert not mail.done()
            house.clock.advance(LONGEST_DELAY_S)
            assert (await mail)[0] == 250
