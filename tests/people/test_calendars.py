"""Reading calendars: from a real HTTP server and from files, and keeping the last good one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from mailbridge.config.model_people import Rota
from mailbridge.people import calendars as module
from mailbridge.people.calendars import Calendars, CalendarTrouble, expand, fetch_ics
from tests.support.clock import START, FakeClock

#: each reads calendars in a process of its own
pytestmark = pytest.mark.slow

ICS = (
    b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART:20260301T000000Z\r\n"
    b"DTEND:20260308T000000Z\r\nRRULE:FREQ=WEEKLY\r\nSUMMARY:anna\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)
ENDLESS = ICS.replace(b"FREQ=WEEKLY", b"FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30")


@dataclass
class Server:
    """A web server with one calendar."""

    url: str = ""
    body: bytes = ICS
    status: int = 200
    hangs: bool = False
    asked: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, _request: web.Request) -> web.Response:
        self.asked += 1
        if self.hangs:
            await self.release.wait()
        return web.Response(body=self.body, status=self.status)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A running one."""
    server = Server()
    app = web.Application()
    app.router.add_get("/ops.ics", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/ops.ics"
    yield server
    server.release.set()
    await runner.cleanup()


def reader(store, clock, place: str, **fields) -> Calendars:
    """Return a duty for one rota with a calendar at *place*."""
    calendars = Calendars(store=store, clock=clock)
    calendars.configure({"ops": Rota(ics=place, **fields)})
    return calendars


async def test_a_calendar_is_read_and_read_again_when_it_is_due(store, server):
    """Read at once, then every ``refresh``."""
    clock = FakeClock()
    calendars = reader(store, clock, server.url, refresh=600)
    await calendars.step()
    assert calendars.by_rota["ops"].on_duty(START) == ("anna",)
    await calendars.step()
    assert server.asked == 1
    server.body = ICS.replace(b"anna", b"boris")
    clock.advance(600)
    await calendars.step()
    assert calendars.by_rota["ops"].on_duty(START) == ("boris",)


@pytest.mark.parametrize(
    "trouble", [{"status": 500}, {"body": b"<html>Sign in</html>"}, {"body": b""}, {"body": b"x" * 5_000_000}]
)
async def test_the_last_good_one_is_kept(store, server, trouble):
    """An error, a login page, nothing and far too much leave what was read before, and it is soon tried again."""
    clock = FakeClock()
    calendars = reader(store, clock, server.url)
    await calendars.step()
    for name, value in trouble.items():
        setattr(server, name, value)
    clock.advance(600)
    await calendars.step()
    assert calendars.by_rota["ops"].on_duty(START) == ("anna",)
    clock.advance(60)
    await calendars.step()
    assert server.asked == 3


async def test_what_was_read_outlives_a_restart_and_a_change_of_address_ends_it(store, server):
    """A bridge that starts while the calendar cannot be read knows who is on duty; of another calendar it does not."""
    await reader(store, FakeClock(), server.url).step()
    server.status = 500
    again, elsewhere = reader(store, FakeClock(), server.url), reader(store, FakeClock(), server.url + "?other")
    for calendars in (again, elsewhere):
        await calendars.load()
        await calendars.step()
    assert again.by_rota["ops"].on_duty(START) == ("anna",)
    assert elsewhere.by_rota["ops"].on_duty(START) == ()


async def test_a_reload_keeps_what_was_read(store, server):
    """The same calendar stays known, with the words of the new configuration for gaps."""
    calendars = reader(store, FakeClock(), server.url)
    await calendars.step()
    after = calendars.configure({"ops": Rota(ics=server.url, otherwise=["boss"]), "plain": Rota(members=["anna"])})
    assert set(after) == {"ops"}
    assert after["ops"].on_duty(START) == ("anna",)
    assert after["ops"].on_duty(START.replace(year=2030)) == ("boss",)


async def test_a_calendar_that_does_not_answer_delays_nobody(store, server):
    """While one read hangs, who is on duty is answered from what was read before, and another calendar is read."""
    calendars = reader(store, FakeClock(), server.url)
    await calendars.step()
    server.hangs = True
    calendars.configure({"ops": Rota(ics=server.url)})
    reading = asyncio.create_task(calendars.step())
    async with asyncio.timeout(10):
        while server.asked < 2:
            await asyncio.sleep(0.01)
    assert calendars.by_rota["ops"].on_duty(START) == ("anna",)
    assert not reading.done()
    server.release.set()
    await reading


async def test_endless_repetitions_are_given_up(monkeypatch):
    """A calendar that would keep a processor for hours is ended and refused."""
    monkeypatch.setattr(module, "_EXPAND_S", 2.0)
    with pytest.raises(CalendarTrouble, match="endless"):
        await expand(ENDLESS, now=START, timezone="")


async def test_a_file_is_read(tmp_path):
    """A path is a file; one that is not there is told by its reason."""
    (tmp_path / "ops.ics").write_bytes(ICS)
    assert await fetch_ics(str(tmp_path / "ops.ics")) == ICS
    with pytest.raises(CalendarTrouble, match="No such file"):
        await fetch_ics(str(tmp_path / "other.ics"))


async def test_trouble_repeats_no_address():
    """A private address is a secret: the log says only what went wrong."""
    with pytest.raises(CalendarTrouble) as caught:
        await fetch_ics("http://127.0.0.1:1/secret.ics")
    assert "secret" not in str(caught.value)
