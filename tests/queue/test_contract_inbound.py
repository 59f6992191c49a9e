"""Contract of every store: SMS that come in are kept once, whichever way told of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from mailbridge.model.inbound import InboundSms
from mailbridge.queue.connect import open_store
from tests.support.queue import DAY, NOW, SECOND


def sms(text="OK 1111", **fields):
    """Return an SMS of Anna's."""
    known = {"gateway": "main", "phone": "+79990000001", "to": "79037672215", "id": "7001", "received_at": NOW}
    return InboundSms(text=text, **(known | fields))


async def take(store, *items, via="callback", now=NOW, cursor=None):
    """Hand *items* to the store; return how many it did not know."""
    return await store.take_inbound(items, via=via, now=now, cursor=cursor)


async def texts(store):
    """Return the texts of which nothing was made yet."""
    return [one.sms.text for one in await store.unhandled_inbound(limit=99)]


async def test_it_is_kept_as_it_came_until_something_was_made_of_it(store):
    """What was made of it is noted once."""
    assert await take(store, sms("ok\0 \N{THUMBS UP SIGN}"), sms("later", id="7002", received_at=None)) == 2
    first, second = await store.unhandled_inbound(limit=99)
    assert (first.sms, first.via, first.stored_at) == (sms("ok\0 \N{THUMBS UP SIGN}"), "callback", NOW)
    assert second.sms.received_at is None
    assert await store.settle_inbound(first.n, result="acknowledged")
    assert not await store.settle_inbound(first.n, result="other")
    assert await texts(store) == ["later"]


async def test_the_same_again_is_known(store):
    """By its id, or where it has none by all that is known of it; with another id it is another SMS."""
    assert await take(store, sms(), sms(), sms(id="7002")) == 2
    assert await take(store, sms()) == 0
    assert await take(store, sms("x", id=""), sms("x", id=""), sms("x", id="", received_at=NOW + SECOND)) == 2
    assert await take(store, sms(gateway="second")) == 1


@pytest.mark.parametrize("poll_id", ["7001", "99"])
@pytest.mark.parametrize("callback_id", ["7001", ""])
async def test_what_both_ways_tell_of_is_one(store, callback_id, poll_id):
    """Whatever ids they give it; and each further one that reads the same is another."""
    near = NOW + timedelta(minutes=3)
    assert await take(store, sms(id=callback_id)) == 1
    assert await take(store, sms(id=poll_id, received_at=near), via="poll") == 0
    assert await take(store, sms(id=poll_id, received_at=near), via="poll") == 0
    assert await take(store, sms(id="123", received_at=near), via="poll") == 1
    assert await take(store, sms(id="456", received_at=near)) == 0


async def test_what_reads_the_same_much_later_is_another(store):
    """A subscriber may answer with the same word each day."""
    assert await take(store, sms(id="1")) == 1
    assert await take(store, sms(id="2", received_at=NOW + timedelta(hours=1)), via="poll") == 1


async def test_the_cursor_is_kept_with_what_was_read(store):
    """For each gateway its own."""
    assert await store.inbox_cursor("main") is None
    await take(store, sms(), via="poll", cursor=("main", 7001))
    await take(store, via="poll", cursor=("second", 3))
    await take(store, via="poll", cursor=("main", 7002))
    assert (await store.inbox_cursor("main"), await store.inbox_cursor("second")) == (7002, 3)


async def test_pruning_forgets_what_was_handled(store):
    """What nothing was made of stays."""
    await take(store, sms(), sms("later", id="7002"))
    await store.settle_inbound((await store.unhandled_inbound(limit=1))[0].n, result="ignored")
    await store.prune(before=NOW + SECOND, sent_before=NOW, limit=9)
    assert await texts(store) == ["later"]
    assert await take(store, sms(), now=NOW + DAY) == 1


@pytest.mark.slow
async def test_two_nodes_keep_it_once(queue_url):
    """A callback comes to one while the other reads the inbox."""
    stores = [open_store(queue_url, exclusive=True) for _ in range(2)]
    for store in stores:
        await store.open()
    try:
        for number in range(10):
            one = sms(f"text {number}", id=str(number))
            ways = zip(stores, ("callback", "poll"), strict=True)
            took = await asyncio.gather(*(take(store, one, via=via) for store, via in ways))
            assert sorted(took) == [0, 1]
    finally:
        for store in stores:
            await store.close()
