"""Whatever comes and whenever: no alert is both unsent and unmentioned, and a digest's number is what it took."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.app import build_gather_settings
from mailbridge.config.model import Config
from mailbridge.delivery import gatherer
from mailbridge.delivery.gatherer import Gatherer
from mailbridge.model.alert import Alert, Decision, Digest, Event
from mailbridge.model.mail import Recipient
from mailbridge.model.state import State
from mailbridge.people.handling import Handling
from mailbridge.queue.contract import Change, Filter
from mailbridge.queue.memory import MemoryStore
from tests.support.clock import FakeClock
from tests.support.queue import DAY, new_mail, new_message

PHONES = ("+79990000001", "+79990000002")
CONFIG = Config.model_validate(
    {
        "people": {"anna": {"phone": PHONES[0], "quiet": "night"}},
        "quiet_hours": {"night": {"from": "11:00", "to": "13:00", "timezone": "UTC", "pass": ["critical"]}},
        "message": {"max_parts": 2},
    }
)
DIGEST = Digest(window_s=300, longest_s=1200, repeat_s=3600, hold_recovery_s=60, passes=frozenset({"critical"}))

alerts = st.tuples(
    st.just("alert"),
    st.sampled_from(PHONES),
    st.sampled_from(["web01", "web02", "db"]),
    st.sampled_from(["critical", "warning"]),
    st.sampled_from([Event.PROBLEM, Event.RECOVERY]),
)
events = st.lists(
    st.one_of(
        alerts,
        alerts,
        st.tuples(st.just("time"), st.sampled_from([1, 30, 200, 900, 4000])),
        # the wall clock alone is set, either way
        st.tuples(st.just("clock"), st.sampled_from([-90_000, -4000, -60, 60, 4000, 90_000])),
        # the bridge dies while it closes a gathering, before or after the commit
        st.tuples(st.just("kill"), st.sampled_from(["before a gathering closes", "after a gathering closed"])),
        st.tuples(st.just("cancel")),
    ),
    max_size=60,
)


class Died(BaseException):
    """As ``kill -9``."""


class World:
    """A store, a clock, and the duty that closes gatherings; the rest of the bridge is not needed."""

    def __init__(self) -> None:
        self.store, self.clock, self._ids = MemoryStore(), FakeClock(), count(1)
        self.handling = Handling(CONFIG)
        self.dies_at = ""
        self.cancelled: set[str] = set()
        self.gatherer = self.new_gatherer()

    def new_gatherer(self) -> Gatherer:
        """Return the duty of a bridge that has just started."""
        return Gatherer(
            store=self.store, clock=self.clock, settings=build_gather_settings(CONFIG),
            new_id=lambda _at: f"D{next(self._ids)}", wake=lambda: None, failpoint=self.pass_point,
        )  # fmt: skip

    def pass_point(self, name: str) -> None:
        """Die at the point that was chosen, once."""
        if name == self.dies_at:
            self.dies_at = ""
            raise Died

    async def turn(self) -> None:
        """Let the duty look once; where it dies a new one takes its place."""
        try:
            await self.gatherer.step()
        except Died:
            self.gatherer = self.new_gatherer()

    async def happen(self, event: tuple) -> None:
        """Let one thing happen, and the duty look after it."""
        now = self.clock.now()
        match event:
            case ("alert", phone, subject, severity, kind):
                id_ = f"M{next(self._ids)}"
                alert = Alert(subject=subject, event=kind, severity=severity, host=subject, short=f"{subject} {kind}")
                message = new_message(f"{id_}.1", phone=phone, text=id_, next_attempt_at=now, expires_at=now + 3 * DAY)
                gather = self.handling.gather(
                    Decision(rule="all", digest=DIGEST, alert=alert),
                    Recipient(address="", channel="sms", phone=phone), message.message, now,
                )  # fmt: skip
                await self.store.put(
                    new_mail(id_, new_message(f"{id_}.1", phone=phone, text=id_, next_attempt_at=now,
                                              expires_at=message.expires_at, gather=gather), received_at=now)
                )  # fmt: skip
                self.gatherer.something_waits()
            case ("time", seconds):
                self.clock.advance(seconds)
            case ("clock", seconds):
                self.clock.jump_wall(seconds)
                if seconds < 0:
                    await self.store.clock_set_back(now=self.clock.now())
            case ("kill", point):
                self.dies_at = point
            case ("cancel",):
                rows = [row for row in await self.store.find(Filter(limit=1000)) if row.state is State.QUEUED]
                waiting = [row for row in rows if row.next_attempt_at is None]
                if waiting:
                    self.cancelled.add(waiting[0].id)
                    await self.store.apply([
                        Change(message_id=waiting[0].id, expect=frozenset({State.QUEUED}), to=State.CANCELLED, at=now,
                               event="cancelled")
                    ])  # fmt: skip
        await self.turn()


@settings(max_examples=150, deadline=None)
@given(story=events)
async def test_no_alert_is_both_unsent_and_unmentioned(story):
    """In the end nothing waits; each alert goes out, is counted by one digest that goes out, or is over by itself."""
    world = World()
    for event in story:
        await world.happen(event)
    for _ in range(400):
        if await world.store.next_gathering_at() is None:
            break
        world.clock.advance(900)
        await world.turn()
    assert await world.store.next_gathering_at() is None
    counted: Counter[str] = Counter()
    rows = await world.store.find(Filter(limit=10_000))
    for row in rows:
        last = (await world.store.history(row.id))[-1].detail
        if row.state is State.QUEUED:
            assert row.next_attempt_at is not None
        elif row.state is State.SUPPRESSED and "digest" in last:
            counted[str(last["digest"])] += 1
        elif row.state is State.SUPPRESSED:
            assert last["because"] == "problem and recovery cancel each other"
        else:
            assert row.id in world.cancelled
    for row in rows:
        if row.id.startswith("D"):
            match = re.match(r"\+(\d+) ", row.message.text)
            assert match is not None
            assert counted.pop(row.id) == int(match[1])
    assert not counted


@pytest.mark.parametrize("jump_s", [-90_000, -4000, 4000])
async def test_a_clock_that_is_set_leaves_nobody_waiting_longer_than_was_promised(jump_s):
    """After a jump what waits in a storm is told within its window of real time, either way."""
    world = World()
    for subject in ("web01", "web02", "db"):
        await world.happen(("alert", PHONES[1], subject, "warning", Event.PROBLEM))
    await world.happen(("clock", jump_s))
    for _ in range(301):
        world.clock.advance(1)
        await world.turn()
    (digest,) = await world.store.find(Filter(text="+2"))
    assert digest.state is State.QUEUED
    assert digest.expires_at - digest.created_at == timedelta(days=1)


async def test_what_a_dead_node_gathered_is_found_by_another():
    """A node that saw nothing wait looks again by itself: nobody rings it for what another took."""
    world = World()
    other = world.new_gatherer()
    assert await other.step() == 0
    for host in ("web01", "web02"):
        await world.happen(("alert", PHONES[1], host, "warning", Event.PROBLEM))
    world.clock.advance(DIGEST.window_s)
    assert await other.step() == 1
    [row] = await world.store.get_messages("M2.1")
    assert row.next_attempt_at == world.clock.now()


async def test_more_than_one_digest_takes_are_told_at_once_and_none_twice(monkeypatch):
    """A storm greater than one digest becomes several without a wait between, which count all of it together."""
    monkeypatch.setattr(gatherer, "MOST", 20)
    world = World()
    for number in range(51):
        await world.happen(("alert", PHONES[1], f"web{number:02}", "warning", Event.PROBLEM))
    world.clock.advance(DIGEST.window_s)
    for _ in range(4):
        await world.turn()
    digests = [row for row in await world.store.find(Filter(limit=100)) if row.id.startswith("D")]
    assert sum(int(re.match(r"\+(\d+) ", row.message.text)[1]) for row in digests) == 50
    assert len(digests) == 3
