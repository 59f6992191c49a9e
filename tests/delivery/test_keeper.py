"""The duties of time over a real queue file: a history that grows old or long goes, in small steps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from mailbridge.config.model import Queue
from mailbridge.delivery.board import Board
from mailbridge.delivery.keeper import Keeper
from mailbridge.model.state import State
from mailbridge.queue.connect import open_store
from mailbridge.queue.contract import Store
from tests.support.clock import FakeClock
from tests.support.queue import DAY, NOW, SECOND, change, new_mail, new_message


@pytest.fixture
async def store(tmp_path) -> AsyncIterator[Store]:
    """An open queue file."""
    store = open_store(f"sqlite:///{tmp_path}/queue.db", exclusive=True)
    await store.open()
    yield store
    await store.close()


def keeper(store: Store, clock: FakeClock, **settings) -> Keeper:
    """Return a keeper without gateways."""
    board = Board([], store=store, clock=clock, announce=lambda _before, _after: None)
    return Keeper(
        store=store, board=board, clock=clock, settings=Queue(**settings), wake=lambda: None, alarm=lambda _row: None
    )


async def put_finished(store: Store, count: int, *, prefix: str = "M") -> None:
    """Put so many mails a second apart whose messages were delivered by hand of the test."""
    for n in range(count):
        await store.put(new_mail(f"{prefix}{n}", received_at=NOW + n * SECOND))
    await store.apply([change(f"{prefix}{n}.1", State.QUEUED, State.CANCELLED) for n in range(count)])


async def left(store: Store) -> int:
    """Count the messages."""
    return sum((await store.count_states()).values())


async def test_what_is_older_than_keep_history_goes(store):
    """And nothing younger; the first look comes ten minutes after the start."""
    clock = FakeClock()
    await put_finished(store, 3)
    worker = keeper(store, clock, keep_history="90d")
    clock.advance(90 * 86400 + 2)
    assert await worker.step() == 2
    assert await left(store) == 1


async def test_a_history_longer_than_max_history_loses_its_oldest(store):
    """Finished mails only: what waits stays, however long the history."""
    clock = FakeClock()
    await store.put(new_mail("OPEN", received_at=NOW - SECOND))
    await put_finished(store, 10)
    worker = keeper(store, clock, max_history=4, lifetime="30d")
    clock.advance(601)
    assert await worker.step() == 6
    assert await left(store) == 5
    assert await store.get_mail("OPEN") is not None
    clock.advance(601)
    assert await worker.step() == 0


async def test_a_long_history_goes_in_steps_between_which_mails_are_taken(store):
    """A mail that comes in meanwhile is on disk before the last step."""
    clock = FakeClock()
    await put_finished(store, 900)
    worker = keeper(store, clock, keep_history="1d")
    clock.advance(2 * 86400)
    seen = []

    async def take_mails() -> None:
        for n in range(3):
            message = new_message(f"NEW{n}.1", expires_at=NOW + 9 * DAY)
            await store.put(new_mail(f"NEW{n}", message, received_at=NOW + 2 * DAY))
            seen.append(await left(store))

    taking = asyncio.create_task(take_mails())
    steps = []
    while done := await worker.step():
        steps.append(done)
    await taking
    assert steps == [200, 200, 200, 200, 100]
    assert seen[0] > 3
    assert await left(store) == 3


async def test_the_loop_turns_while_history_goes(store):
    """Deleting happens in the queue's own thread: nobody waits for a step longer than a moment."""
    clock = FakeClock()
    await put_finished(store, 400)
    worker = keeper(store, clock, keep_history="1d")
    clock.advance(timedelta(days=2).total_seconds())
    step, turns = asyncio.create_task(worker.step()), 0
    while not step.done():
        await asyncio.sleep(0)
        turns += 1
    assert await step == 200
    assert turns > 20
