"""How mails of several workers come together, how much may be on its way, and who takes the next connection."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from mailbridge.clock import SystemClock
from mailbridge.config.model import Config
from mailbridge.limiter import News
from mailbridge.workers.parcels import packing_of
from mailbridge.workers.seats import Seats, SharedRoll
from mailbridge.workers.team import Team, Together
from mailbridge.workers.worker import Allowance


class Member:
    """A session on the roll."""

    def __init__(self, idle_since: float | None = None) -> None:
        self.idle_since = idle_since

    def dismiss(self) -> None:
        """Stay."""

    def hang_up(self, last_words: object) -> None:
        """Stay."""

    def abort(self) -> None:
        """Stay."""


async def test_a_lone_mail_waits_for_nobody_and_those_close_behind_go_on_together():
    """The first passes without a turn of the loop; the next ones pass in one turn, soon after."""
    together, turns = Together(), []

    async def one(number: int) -> None:
        await together.wait()
        turns.append(number)

    loop = asyncio.get_running_loop()
    began_s = loop.time()
    lone = one(0)
    with pytest.raises(StopIteration):
        lone.send(None)
    tasks = [asyncio.create_task(one(number)) for number in range(1, 20)]
    await asyncio.sleep(0)
    passed_at_once = list(turns)
    await asyncio.gather(*tasks)

    assert passed_at_once == [0]
    assert turns == list(range(20))
    assert loop.time() - began_s < 1


async def test_what_is_on_its_way_is_bounded_and_who_waits_is_served_in_order():
    """Beyond the allowance a mail waits until others were answered; one larger than all of it goes alone."""
    allowance, order = Allowance(100), []

    async def one(name: str, size_bytes: int) -> None:
        await allowance.take(size_bytes)
        order.append(name)

    await one("first", 60)
    await one("second", 40)
    waiting = [asyncio.create_task(one(name, size)) for name, size in (("large", 500), ("small", 1))]
    await asyncio.sleep(0.01)
    while_full = list(order)
    allowance.give(60)
    await asyncio.sleep(0.01)
    half = list(order)
    allowance.give(40)
    await waiting[0]
    await asyncio.sleep(0.01)
    large_alone = list(order)
    allowance.give(500)
    await waiting[1]

    assert while_full == half == ["first", "second"]
    assert large_alone == ["first", "second", "large"]
    assert order[-1] == "small"


async def test_who_waited_and_was_cut_off_takes_no_room():
    """A waiter that was cancelled is passed over."""
    allowance = Allowance(10)
    await allowance.take(10)
    cut_off, next_one = (asyncio.create_task(allowance.take(10)) for _ in range(2))
    await asyncio.sleep(0)
    cut_off.cancel()
    await asyncio.gather(cut_off, return_exceptions=True)
    allowance.give(10)

    await asyncio.wait_for(next_one, 5)


def test_what_is_known_of_limits_arrives_whole():
    """Until when counters are full, and whose budgets are used up."""
    news = News(full={"client 192.0.2.7": datetime(2026, 1, 5, 9, 0, 0, 123456, UTC)}, out=frozenset({("all", "")}))
    packing = packing_of(News)

    assert packing.load(packing.dump(news)) == news


def test_a_place_that_is_given_away_counts_no_more_for_any_worker():
    """At once, and not a second time when the connection is gone; who is at work, or idle for less, keeps theirs."""
    seats = Seats(2)
    try:
        roll = SharedRoll(max_sessions=3, seats=seats, worker=0)
        at_work, longer, shorter = Member(), Member(10.0), Member(20.0)
        for one in (at_work, longer, shorter):
            roll.enter(one, is_guest=True)
        assert roll.make_room(now=100.0, idle_before=15.0)
        assert (seats.total(), len(roll)) == (2, 3)
        roll.leave(longer)
        assert (seats.total(), len(roll)) == (2, 2)
        assert not roll.make_room(now=100.0, idle_before=15.0)
        # who floods the door is not looked for anew each time
        assert not roll.make_room(now=100.1, idle_before=90.0)
        assert roll.make_room(now=101.0, idle_before=90.0)
    finally:
        seats.close()


def test_sessions_of_all_workers_are_counted_and_the_absent_are_not():
    """Full is full for everybody; a worker that ended leaves its seats to the others, and is nobody's measure."""
    ours = Seats(2)
    theirs = Seats(2, os.dup(ours.fd))
    try:
        first = SharedRoll(max_sessions=8, seats=ours, worker=0)
        crowded_alone = []
        first.on_crowded = lambda: crowded_alone.append(first.is_full)
        for _ in range(6):
            first.enter(Member(), is_guest=True)
        second = SharedRoll(max_sessions=8, seats=theirs, worker=1)
        alone, beside = list(crowded_alone), first.is_crowded
        for _ in range(2):
            second.enter(Member(), is_guest=True)
        full = first.is_full, second.is_full
        fair = first.is_crowded
        ours.leave(1)

        # with nobody beside it, it is the one with the fewest
        assert alone == []
        assert beside
        assert not fair
        assert full == (True, True)
        assert (first.is_full, first.is_crowded) == (False, False)
    finally:
        ours.close()
        theirs.close()


async def test_workers_that_cannot_start_are_an_error_and_leave_nothing_open(monkeypatch):
    """The bridge does not stand there with a port and nobody behind it."""

    async def keep(*_args: Any, **_kwargs: Any) -> Any:
        raise AssertionError

    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = Config.model_validate({"smtp": {"workers": 2, "listen": [{"address": address}]}})
    team = Team(
        config,
        keep=keep,
        all_news=lambda: News(full={}, out=frozenset()),
        worked=lambda _worker, _cpu_s: None,
        count_refused=lambda _reply: None,
        clock=SystemClock(),
    )
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(OSError, match="a worker did not start: it ended"):
        await team.start()

    assert team.addresses == ()
    host, _, port = address.rpartition(":")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))
