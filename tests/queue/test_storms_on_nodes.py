"""One storm at two nodes on one PostgreSQL: one first alert, each alert told once, every digest's number right."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from itertools import count

import pytest

from mailbridge.app import build_gather_settings
from mailbridge.config.model import Config
from mailbridge.delivery.gatherer import Gatherer
from mailbridge.model.alert import Alert, Digest, Event
from mailbridge.model.state import State
from mailbridge.queue.connect import open_store
from mailbridge.queue.contract import Filter
from mailbridge.queue.kept import Gather
from tests.support.clock import FakeClock
from tests.support.queue import DAY, new_mail, new_message

pytest.importorskip("psycopg", reason="psycopg is not installed (pip install 'mailbridge[postgres]')")
pytestmark = pytest.mark.slow

DIGEST = Digest(window_s=300)
ALERTS = 60


class Died(BaseException):
    """As ``kill -9``."""


class Node:
    """A store of its own on the shared queue, and the duty that closes gatherings."""

    def __init__(self, name, store, clock, *, dies_at=""):
        self.store, self.name, self.dies_at = store, name, dies_at
        ids = count(1)
        self.gatherer = Gatherer(
            store=store, clock=clock, settings=build_gather_settings(Config.model_validate({})),
            new_id=lambda _at: f"D{name}{next(ids)}", wake=lambda: None, failpoint=self.pass_point,
        )  # fmt: skip

    def pass_point(self, name):
        """Die where it was said."""
        if name == self.dies_at:
            raise Died

    async def put(self, number, now):
        """Take an alert; tell whether it waits."""
        alert = Alert(
            subject=f"web{number:02}", host=f"web{number:02}", severity="warning", event=Event.PROBLEM, short="down"
        )
        gather = Gather(key="+79990000001\nsms\ndigest\n", digest=DIGEST, alert=alert)
        message = new_message(
            f"M{number}.1", text=f"M{number}", gather=gather, next_attempt_at=now, expires_at=now + DAY
        )
        return bool((await self.store.put(new_mail(f"M{number}", message, received_at=now))).waiting)

    async def step(self):
        """Look once; a node that dies is silent from then on."""
        try:
            return await self.gatherer.step()
        except Died:
            return 0


@pytest.fixture
async def stores(queue_url):
    """Return two open stores on one queue."""
    found = [open_store(queue_url) for _ in range(2)]
    for one in found:
        await one.open()
    yield found
    for one in found:
        await one.close()


@pytest.mark.parametrize("dies_at", ["", "before a gathering closes", "after a gathering closed"])
async def test_a_storm_at_two_nodes_is_one_first_alert_and_digests_that_count_it(stores, dies_at):
    """They take alerts and close the window at the same moment; one of them may die while it does."""
    clock = FakeClock()
    nodes = [Node("a", stores[0], clock, dies_at=dies_at), Node("b", stores[1], clock)]
    now = clock.now()
    waits = await asyncio.gather(*(nodes[number % 2].put(number, now) for number in range(ALERTS)))
    assert waits.count(False) == 1
    clock.advance(DIGEST.window_s)
    for node in nodes:
        node.gatherer.something_waits()
    await asyncio.gather(*(node.step() for node in nodes))
    # the other looks again by itself
    nodes[1].gatherer.something_waits()
    await nodes[1].step()

    rows = await stores[0].find(Filter(limit=1000))
    counted: dict[str, int] = {}
    alone = 0
    for row in rows:
        if row.state is State.SUPPRESSED:
            by = str((await stores[1].history(row.id))[-1].detail["digest"])
            counted[by] = counted.get(by, 0) + 1
        elif row.id.startswith("M"):
            assert row.next_attempt_at is not None
            alone += 1
    digests = {row.id: int(re.match(r"\+(\d+) ", row.message.text)[1]) for row in rows if row.id.startswith("D")}
    assert alone == 1
    assert counted == digests
    assert sum(digests.values()) == ALERTS - 1
    assert len(digests) == 1
    due_at = await stores[0].next_gathering_at()
    assert due_at == now + timedelta(seconds=3 * DIGEST.window_s)
