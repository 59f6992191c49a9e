"""Callbacks: signed as smsc-api.md section 5.6 says, in order, repeated until taken."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from mailbridge.simulator.callbacks import sign
from mailbridge.simulator.settings import AccountSettings, SimulatorSettings
from mailbridge.simulator.state import CALLBACKS
from tests.support.simulator import UNLIMITED, running


@pytest.mark.parametrize(
    ("fields", "secret", "md5", "sha1"),
    [
        (
            {"id": "1234", "phone": "79990000001", "status": "1"},
            "s3cret",
            "877c6cd91ac0822d13128190ad524304",
            "52d1bc1eadd99f4fd02a052cd48b8aafe18c3242",
        ),
        (
            {"phone": "123", "mes": "text", "to": "234"},
            "zxc",
            "7fb04576256c41afe248c391d925ff1f",
            "b6f768ce7614d7858cc4a6116f8ffd0dc236a3cd",
        ),
        (
            {"waitcall": "1", "phone": "79990000001", "ts": "1700000000"},
            "s3cret",
            "a5d16be0436c9ce5b504da57b2a8733f",
            "218d3fa1e2b663fac2c445df7a289678feea110c",
        ),
    ],
)
def test_vectors(fields, secret, md5, sha1):
    """The test vectors of section 5.6."""
    signed = sign(fields, secret)
    assert (signed["md5"], signed["sha1"]) == (md5, sha1)


def test_crc32():
    """CRC-32 in decimal."""
    assert sign({"id": "1234", "phone": "79990000001", "status": "1"}, "s3cret")["crc32"] == "1144613607"


class Receiver:
    """A bridge's callback page, answering what it is told to."""

    def __init__(self):
        self.events = asyncio.Queue()
        self.answers = []

    async def handle(self, request):
        assert request.content_type == "application/x-www-form-urlencoded"
        await self.events.put(dict(await request.post()))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)


@asynccontextmanager
async def bridge(**settings):
    """A receiver and a simulator that calls it."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    account = AccountSettings(callback_url=url, callback_secret="s3cret")
    try:
        async with running(SimulatorSettings(accounts=(account,), limits=UNLIMITED, **settings)) as client:
            yield client, receiver
    finally:
        await runner.cleanup()


async def test_statuses_are_told_in_order():
    """0, then the final status, each signed, with the documented fields."""
    async with bridge() as (client, receiver):
        await client.send("+79990000001", id=1234)
        await client.clock.sleeping()
        client.clock.advance(10)
        handed, final = [await receiver.events.get() for _ in range(2)]
        assert (handed["status"], final["status"]) == ("0", "1")
        assert final["md5"] == "877c6cd91ac0822d13128190ad524304"
        assert (final["id"], final["phone"], final["err"], final["cnt"]) == ("1234", "79990000001", "0", "1")
        assert final["time"] == "02.03.2026 12:00:03"
        assert int(final["ts"]) - int(handed["ts"]) == 2


async def test_a_refusal_is_told_with_its_err():
    """One event with status and err."""
    async with bridge() as (client, receiver):
        await client.send("+79990000225", id="a")
        await client.clock.sleeping()
        client.clock.advance(1)
        event = await receiver.events.get()
        assert (event["status"], event["err"]) == ("25", "248")


async def test_a_call_to_a_number_of_wait_call_is_told():
    """Section 5.5: who called, signed."""
    async with bridge() as (client, receiver):
        async with client.http.post(f"{client.simulator.url}/control/calls", json={"phone": "+79990000001"}) as done:
            assert done.status == 201
        event = await receiver.events.get()
        assert set(event) == {"waitcall", "phone", "ts", "md5", "sha1", "crc32"}
        assert event["md5"] == sign({"waitcall": "1", "phone": "79990000001", "ts": event["ts"]}, "s3cret")["md5"]


async def test_a_followed_link_is_told_as_status_4():
    """Section 5.3: the same event as any status."""
    async with bridge() as (client, receiver):
        await client.send("+79990000001", "see http://example.org", id=1, tinyurl=1)
        await client.clock.sleeping()
        client.clock.advance(10)
        async with client.http.post(
            f"{client.simulator.url}/control/clicks", json={"link": "https://smsc.ru/-1"}
        ) as done:
            assert done.status == 201
        assert [(await receiver.events.get())["status"] for _ in range(3)] == ["0", "1", "4"]


async def test_of_a_mailing_that_was_stopped_nothing_is_told():
    """The events planned for it are forgotten; those of others are not."""
    async with bridge() as (client, receiver):
        await client.json("jobs", add=1, name="n", phones="79990000001", mes="Hello", id=1, time="+1")
        await client.send("+79990000002", id=2)
        await client.json("jobs", cancel=1, id=1)
        await client.clock.sleeping()
        client.clock.advance(1000)
        assert [(await receiver.events.get())["id"] for _ in range(2)] == ["2", "2"]
        assert client.simulator.app[CALLBACKS].delivered <= 2
        assert receiver.events.empty()


async def test_repeated_until_taken():
    """Not 2xx is repeated after the waits set; later changes of that message wait their turn."""
    async with bridge(callback_retry_s=(60.0, 300.0)) as (client, receiver):
        receiver.answers = [500, 404, 302]
        await client.send("+79990000001", id=1)
        await client.clock.sleeping()
        client.clock.advance(10)
        seen = [(await receiver.events.get())["status"]]
        for wait_s in (60, 300, 300):
            await client.clock.sleeping()
            client.clock.advance(wait_s)
            seen.append((await receiver.events.get())["status"])
        seen.append((await receiver.events.get())["status"])
        assert seen == ["0", "0", "0", "0", "1"]


async def test_given_up():
    """After its lifetime a callback is dropped and counted."""
    async with bridge(callback_lifetime_s=30.0) as (client, receiver):
        receiver.answers = [500, 500]
        await client.send("+79990000220", id=1)
        await client.clock.sleeping()
        client.clock.advance(10)
        callbacks = client.simulator.app[CALLBACKS]
        while callbacks.failed < 2:
            await asyncio.sleep(0.001)
        assert callbacks.delivered == 0


async def test_inbound():
    """An SMS from a handset is told with mes, to and the signature over them."""
    async with bridge() as (client, receiver):
        body = {"phone": "+79991234567", "mes": "СТОП", "to": "1234"}
        async with client.http.post(client.simulator.url + "/control/answers", json=body) as response:
            assert response.status == 201
        event = await receiver.events.get()
        assert (event["phone"], event["mes"], event["to"]) == ("79991234567", "СТОП", "1234")
        assert event["md5"] == sign(event, "s3cret")["md5"]


async def test_without_url_nothing_is_planned(client):
    """An account without a callback URL causes no work."""
    await client.send("+79990000001")
    assert client.clock.asleep == 0
