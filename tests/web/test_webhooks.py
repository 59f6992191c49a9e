"""Webhooks: signed, in order, retried until they are taken or too old; a receiver that is gone holds up nothing."""

import base64
import hashlib
import hmac
import json

import pytest
from aiohttp import web

from mailbridge.config.model_api import Webhook as Settings
from mailbridge.model.state import State
from mailbridge.queue.memory import MemoryStore
from mailbridge.webhooks import Webhook, signature, wait_s
from tests.support.clock import FakeClock
from tests.support.house import running_house
from tests.support.queue import claim, failed, new_mail

PHONE = "+79991234567"
SECRET = "a secret of some length"


class Receiver:
    """A real HTTP server that takes webhooks, and answers with *answers* in turn, then with 204."""

    def __init__(self):
        self.got = []
        self.answers = []

    async def take(self, request):
        body = await request.read()
        self.got.append((dict(request.headers), body))
        status = self.answers.pop(0) if self.answers else 204
        headers = {"Location": "http://127.0.0.1:1/"} if status == 302 else {}
        return web.Response(status=status, headers=headers)

    @property
    def events(self):
        return [(one["id"], one["event"]) for one in (json.loads(body) for _, body in self.got)]


@pytest.fixture
async def receiver():
    """Return a running receiver; ``url`` is its address."""
    one = Receiver()
    app = web.Application()
    app.router.add_post("/hook", one.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield one
    await runner.cleanup()


@pytest.fixture
async def make(receiver):
    """Return what builds webhooks to the receiver, on one store and clock."""
    made = []

    def build(store, clock, **more):
        settings = Settings(url=receiver.url, secret=SECRET, **more)
        made.append(Webhook(settings, store=store, clock=clock))
        return made[-1]

    yield build
    for one in made:
        await one.aclose()


async def store_with(*ids):
    """Return a store in which each of the mails *ids* has failed."""
    store = MemoryStore()
    await add(store, *ids)
    return store


async def add(store, *ids):
    """Let the mails *ids* come in and fail."""
    for id_ in ids:
        await store.put(new_mail(id_))
        await claim(store)
        assert await store.apply([failed(f"{id_}.1")]) == [True]


async def test_a_failure_is_told_with_a_signature_that_can_be_checked(receiver):
    """Through the whole bridge: only the events that were asked for, with the message, signed over what was received."""
    api = {"webhooks": [{"url": receiver.url, "secret": SECRET, "events": ["refused", "delivered"]}]}
    async with running_house(api=api) as house:
        await house.pass_s(2)
        (row,) = await house.rows(await house.mail(PHONE, text="disk full"))
        await house.state(row.id, State.DELIVERED)
        for _ in range(100):
            if receiver.got:
                break
            await house.pass_s(1)
    ((headers, body),) = receiver.got
    told = json.loads(body)
    assert (told["id"], told["event"], told["message"]["text"]) == (row.id, "delivered", "disk full")
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert headers["webhook-id"] == f"{row.id}:{told['n']}"


def test_a_secret_may_be_written_as_octets():
    """The example of the specification's own libraries."""
    secret = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
    key = hmac.new(b"0123456789abcdef01234567", b"msg_1.1614265330.{}", hashlib.sha256).digest()
    assert signature(secret, "msg_1", 1614265330, b"{}") == "v1," + base64.b64encode(key).decode()


async def test_what_happened_before_is_not_told(receiver, make):
    """The first time; later it goes on where it was."""
    store, clock = await store_with("M1"), FakeClock()
    webhook = make(store, clock)
    assert await webhook.step() == 0
    await add(store, "M2")
    await webhook.step()
    assert receiver.events == [("M2.1", "queued"), ("M2.1", "attempt"), ("M2.1", "failed")]


async def test_what_is_not_taken_is_told_again_later_and_in_order(receiver, make):
    """Five seconds, ten, twenty …; a redirect is not followed; what comes meanwhile waits its turn."""
    store, clock = MemoryStore(), FakeClock()
    webhook = make(store, clock, events=["failed"])
    await webhook.step()
    await add(store, "M1", "M2")
    receiver.answers = [500, 302, 404]
    for waited_s in (5, 10, 20):
        assert await webhook.step() == 0
        clock.advance(waited_s - 1)
        assert await webhook.step() == 0
        clock.advance(1)
    assert await webhook.step() == 2
    assert receiver.events == [("M1.1", "failed")] * 4 + [("M2.1", "failed")]
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 2


async def test_after_a_restart_it_goes_on_where_it_was(receiver, make):
    """Nothing is missed; what was told is not told again."""
    store, clock = MemoryStore(), FakeClock()
    first = make(store, clock, events=["failed"])
    await first.step()
    await add(store, "M1", "M2")
    receiver.answers = [204, 503]
    assert await first.step() == 1
    await add(store, "M3")
    second = make(store, clock, events=["failed"])
    while await second.step():
        pass
    assert receiver.events == [("M1.1", "failed"), ("M2.1", "failed"), ("M2.1", "failed"), ("M3.1", "failed")]


async def test_what_is_too_old_is_given_up_and_the_next_ones_turn_comes(receiver, make):
    """Each event has its lifetime, from when it happened."""
    store, clock = MemoryStore(), FakeClock()
    webhook = make(store, clock, events=["failed"], lifetime="1m")
    await webhook.step()
    await add(store, "M1")
    receiver.answers = [500] * 2
    await webhook.step()
    clock.advance(3600)
    await webhook.step()
    await add(store, "M2")
    clock.advance(10)
    await webhook.step()
    assert receiver.events == [("M1.1", "failed"), ("M1.1", "failed"), ("M2.1", "failed")]


async def test_a_receiver_that_is_gone_holds_up_no_mail(receiver):
    """Nobody listens there: mails are taken and sent as ever, and the bridge stops at once."""
    api = {"webhooks": [{"url": "http://127.0.0.1:1/hook", "secret": SECRET}]}
    async with running_house(api=api) as house:
        (row,) = await house.rows(await house.mail(PHONE, text="disk full"))
        await house.state(row.id, State.DELIVERED)
    assert receiver.got == []


def test_the_waits_grow_to_ten_minutes():
    """However many failures there were."""
    assert [wait_s(n) for n in (1, 2, 3, 8, 9, 10_000)] == [5, 10, 20, 600, 600, 600]
