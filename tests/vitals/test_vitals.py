"""Saying that all is well: the self-test's SMS, and the heartbeat that stays away when it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.config.model_alarms import SelfTest
from mailbridge.model.outcome import Balance, ErrorClass, SmsError
from mailbridge.model.state import State
from mailbridge.queue.connect import open_store
from mailbridge.queue.contract import GatewayState
from mailbridge.vitals import Vitals, beat, last_due_at, self_test_text, why_not_well
from tests.support.clock import START
from tests.support.house import House, running_house

ANNA = "+79990000001"
SECOND = timedelta(seconds=1)
WELL = Vitals(is_open=True, beat_at=START, takes_messages=True, next_due_at=None)


# ------------------------------------------------------------------------------------------------ pure
@pytest.mark.parametrize(
    ("days", "time", "zone", "now", "due"),
    [
        ("mon", "09:00", "UTC", "2026-03-02T09:00", "2026-03-02T09:00"),
        ("mon", "09:00", "UTC", "2026-03-02T08:59", "2026-02-23T09:00"),
        ("mon-fri", "09:00", "UTC", "2026-03-01T12:00", "2026-02-27T09:00"),
        ("mon", "09:00", "Europe/Moscow", "2026-03-02T06:00", "2026-03-02T06:00"),
        # the clocks go forward in between
        ("sun", "12:00", "Europe/Berlin", "2026-03-29T10:00", "2026-03-29T10:00"),
    ],
)
def test_a_self_test_is_due_by_the_calendar(days, time, zone, now, due):
    """In its zone, on its days."""
    settings = SelfTest(to=["anna"], days=days, time=time, timezone=zone)
    found = last_due_at(settings, datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(due).replace(tzinfo=UTC)


@given(
    st.datetimes(datetime.fromisoformat("2020-01-01"), datetime.fromisoformat("2040-01-01")),
    st.sampled_from(["mon", "sat, sun", "mon-sun", "fri-mon"]),
    st.sampled_from(["00:00", "02:30", "23:59"]),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "America/Sao_Paulo"]),
)
def test_the_newest_time_is_found_whenever_it_is_asked(naive, days, time, zone):
    """It is over, and a moment later it still is the newest one."""
    settings, now = SelfTest(days=days, time=time, timezone=zone), naive.replace(tzinfo=UTC)
    due_at = last_due_at(settings, now)
    assert due_at is not None
    assert due_at <= now < due_at + timedelta(days=8)
    assert last_due_at(settings, due_at) == due_at
    assert last_due_at(settings, due_at - SECOND) != due_at


def test_a_self_test_says_how_the_account_stands():
    """In the words of the README; roubles are called as everybody calls them."""
    states = {"main": GatewayState(name="main")}
    balance = Balance(gateway="main", balance=Decimal("812.94"), currency="RUR")
    assert self_test_text(states, {"main": balance}, 14) == "gateway OK, 812 RUB, 14 sent this week"
    lost = SmsError(code="timeout", text="timed out", error_class=ErrorClass.UNKNOWN)
    assert self_test_text(states, {"main": lost}, 0) == "gateway OK, balance unknown, 0 sent this week"
    states["second"] = GatewayState(name="second", suspended=True, code="3", reason="no money")
    assert self_test_text(states, {"main": balance, "second": lost}, 1) == (
        "main OK, 812 RUB; second SUSPENDED: 3 no money; 1 sent this week"
    )


def test_what_does_not_move_is_not_well():
    """A queue that is long but moves is; one head in the way for two looks is not."""
    now, late = START + SECOND, START - timedelta(minutes=6)
    seen = Vitals(is_open=True, beat_at=START, takes_messages=True, next_due_at=late)
    assert why_not_well(WELL, None, now) is None
    assert why_not_well(seen, None, now) is None
    assert why_not_well(seen, seen, now) == "the queue does not move"
    moved = Vitals(is_open=True, beat_at=START, takes_messages=True, next_due_at=late - SECOND)
    assert why_not_well(seen, moved, now) is None
    assert why_not_well(WELL, WELL, now + timedelta(minutes=1)) == "the sending loop is late"
    shut = Vitals(is_open=True, beat_at=START, takes_messages=False, next_due_at=None)
    assert why_not_well(shut, None, now) == "no gateway takes messages"
    full = Vitals(is_open=False, beat_at=START, takes_messages=True, next_due_at=None)
    assert why_not_well(full, None, now) == "the queue cannot be written"


# ------------------------------------------------------------------------------------------------ stories
class Watcher:
    """A service outside that counts signs of life."""

    def __init__(self) -> None:
        self.heard = 0
        self.status = 200
        self.hangs = False
        self.url = ""

    async def hear(self, _request: web.Request) -> web.Response:
        self.heard += 1
        if self.hangs:
            await asyncio.sleep(60)
        raise web.HTTPFound("/elsewhere") if self.status == 302 else web.HTTPOk if self.status == 200 else web.HTTPGone


@asynccontextmanager
async def running_watcher() -> AsyncIterator[Watcher]:
    """Run one until the block ends."""
    watcher = Watcher()
    app = web.Application()
    app.router.add_get("/check/s3cret", watcher.hear)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    watcher.url = f"http://127.0.0.1:{runner.addresses[0][1]}/check/s3cret"
    try:
        yield watcher
    finally:
        await runner.cleanup()


async def heard(house: House, watcher: Watcher, seconds: float) -> int:
    """Let *seconds* pass, and return how many signs of life came meanwhile."""
    before = watcher.heard
    await house.pass_s(seconds, 1)
    return watcher.heard - before


async def test_the_heartbeat_stays_away_while_messages_cannot_leave():
    """The account has no money: nobody outside hears that all is well, until it is again."""
    async with running_watcher() as watcher, running_house(heartbeat={"url": watcher.url, "every": "10s"}) as house:
        assert await heard(house, watcher, 60) in {6, 7}
        house.fault(methods=["send"], code=3)
        house.fault(methods=["balance"], code=2)
        await house.mail(ANNA)
        await house.pass_s(3)
        assert await heard(house, watcher, 60) == 0
        counts = await house.metrics()
        assert counts['mailbridge_heartbeats_total{result="withheld"}'] >= 5
        house.simulator.carrier.faults.clear()
        await house.pass_s(400)
        assert await heard(house, watcher, 60) in {6, 7}


@pytest.mark.parametrize("trouble", ["gone", "redirect", "hangs", "refused"])
async def test_an_address_that_does_not_answer_delays_nothing(trouble):
    """Mail goes out as ever; that it failed is counted and logged without the address."""
    async with running_watcher() as watcher:
        watcher.status = {"gone": 410, "redirect": 302}.get(trouble, 200)
        watcher.hangs = trouble == "hangs"
        url = "http://127.0.0.1:9/check/s3cret" if trouble == "refused" else watcher.url
        async with running_house(heartbeat={"url": url, "every": "2s", "timeout": "300ms"}) as house:
            reply = await house.mail(ANNA)
            (row,) = await house.rows(reply)
            await house.pass_s(2)
            await house.state(row.id, State.SENT, State.DELIVERED)
            for _ in range(100):
                counts = await house.metrics()
                if counts.get('mailbridge_heartbeats_total{result="failed"}', 0) >= 2:
                    break
                await house.pass_s(1)
                await asyncio.sleep(0.05)
            assert counts.get('mailbridge_heartbeats_total{result="failed"}', 0) >= 2
            assert 'mailbridge_heartbeats_total{result="sent"}' not in counts


async def test_what_went_wrong_is_said_without_the_address():
    """It holds a token."""
    for url in ("http://127.0.0.1:9/s3cret", "http://no.such.host.invalid/s3cret", "nonsense s3cret"):
        assert "s3cret" not in (await beat(url, 2) or "s3cret")


@pytest.mark.slow
async def test_the_self_test_goes_out_once_a_week(tmp_path):
    """Whoever restarts in between: the queue knows what was sent."""
    sections = {
        "people": {"anna": {"phone": ANNA}},
        "self_test": {"to": ["anna"], "days": "mon", "time": "09:30", "timezone": "UTC"},
    }
    async with running_house(store=open_store(f"sqlite:///{tmp_path}/queue.db"), **sections) as house:
        await house.mail("+79990000002", text="an alert")
        await house.pass_s(29 * 60)
        assert len(house.simulator.inbox) == 1
        await house.pass_s(120)
        texts = [entry["text"] for entry in house.simulator.inbox]
        assert len(texts) == 2
        assert texts[0].startswith("gateway OK, ")
        assert texts[0].endswith(", 1 sent this week")
        await house.restart()
        await house.pass_s(60)
        assert len(house.simulator.inbox) == 2
        await house.pass_s(7 * 86400, 3600)
        await house.pass_s(120)
        assert len(house.simulator.inbox) == 3
