"""The stream of events: what happens, as it happens; nobody slow is waited for."""

import asyncio
import json
import socket

from mailbridge.model.state import State
from mailbridge.queue.memory import MemoryStore
from mailbridge.tail import Tail
from mailbridge.web.feed import Feed
from tests.support.clock import FakeClock
from tests.support.programs import until
from tests.support.queue import NOW, change, claim, new_mail

PHONE = "+79991234567"


async def read_events(answer, count):
    """Return the next *count* events of a stream."""
    found, event = [], {}
    async with asyncio.timeout(20):
        while len(found) < count:
            line = (await answer.content.readline()).decode().rstrip("\n")
            name, _, value = line.partition(": ")
            if not line and event:
                found.append(event)
                event = {}
            elif name:
                event[name] = json.loads(value) if name == "data" else value
    return found


def stream(ask, query="", **headers):
    """Open the stream."""
    return ask.http.get(f"{ask.url}/api/v1/events{query}", headers={**ask.headers, **headers})


async def test_each_change_of_a_message_is_told(house, ask):
    """In order, with its number, and the message as it is."""
    async with stream(ask) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        await house.mail(PHONE, text="disk full")
        events = await read_events(answer, 3)
    assert [event["event"] for event in events] == ["queued", "attempt", "sent"]
    assert events[0]["data"]["message"]["text"] == "disk full"
    assert events[2]["data"]["state"] == "sent"
    assert [int(event["id"]) for event in events] == sorted(int(event["id"]) for event in events)


async def test_only_what_was_asked_for(house, ask):
    """A listener may name the events it wants."""
    async with stream(ask, "?event=sent,refused") as answer:
        await house.mail(PHONE, text="disk full")
        (event,) = await read_events(answer, 1)
    assert event["event"] == "sent"


async def test_who_comes_again_goes_on_where_he_was(house, ask):
    """Nothing is missed and nothing is told twice."""
    async with stream(ask) as answer:
        await house.mail(PHONE, text="one")
        first = await read_events(answer, 3)
    await house.mail(PHONE, text="two")
    async with stream(ask, **{"Last-Event-ID": first[-1]["id"]}) as answer:
        await house.mail(PHONE, text="three")
        rest = await read_events(answer, 6)
    assert [event["data"]["message"]["text"] for event in rest] == ["two"] * 3 + ["three"] * 3


async def test_a_hostile_text_cannot_write_events_of_its_own(house, ask):
    """Line ends in a text stay within the data."""
    async with stream(ask) as answer:
        await ask("POST", "/messages", json={"to": [PHONE], "text": "x\n\nevent: forged\ndata: {}\n\n\u2028"})
        events = await read_events(answer, 2)
    assert [event["event"] for event in events] == ["queued", "attempt"]


async def test_a_slow_reader_is_let_go_and_slows_nobody():
    """One takes nothing: its stream ends; the other hears everything."""
    store = MemoryStore()
    feed = Feed(store, FakeClock(), most_waiting=5)
    async with feed.listen() as slow, feed.listen() as quick:
        heard = []

        async def hear():
            while (event := await quick.get()) is not None:
                heard.append(event.message.id)

        hearing = asyncio.create_task(hear())
        for n in range(12):
            await store.put(new_mail(f"M{n}"))
            if n % 4 == 3:
                await until(lambda n=n: len(heard) == n + 1)
        assert slow.is_let_go
        assert await slow.get() is None
        assert not quick.is_let_go
        feed.close()
        await hearing
    assert heard == [f"M{n}.1" for n in range(12)]


async def test_the_history_is_read_only_while_somebody_listens():
    """Nobody listens: nothing is asked of the store."""
    store = MemoryStore()
    feed = Feed(store, FakeClock())
    async with feed.listen():
        task = feed._task
    await until(task.done)


async def test_a_stop_ends_the_streams_at_once(house, ask):
    """They are not waited for."""
    async with stream(ask) as answer:
        await answer.content.readline()
        await house.bridge.web.stop()
        async with asyncio.timeout(5):
            await answer.content.read()


async def test_a_reader_that_never_reads_does_not_hold_up_the_bridge(house, ask):
    """A socket whose client takes no bytes; mails go on as ever."""
    with socket.create_connection(("127.0.0.1", house.bridge.web.port)) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        raw.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer reader-token\r\n\r\n")
        for n in range(20):
            code, _ = await house.mail(PHONE, text=f"{n} " + "x" * 200)
            assert code == 250
        assert (await ask("GET", "/messages?limit=1")).status == 200


class Gaps:
    """A store whose lines become visible out of order, as those of several nodes may."""

    def __init__(self, store):
        self._store = store
        self.hidden = set()

    async def events(self, *, after, limit):
        found = await self._store.events(after=after, limit=1000)
        return [event for event in found if event.n not in self.hidden][:limit]

    async def last_event(self):
        return await self._store.last_event()


async def test_a_line_that_is_written_late_is_read_all_the_same():
    """Each line once, whatever the order; a number that never comes is not waited for beyond its time."""
    store = MemoryStore()
    clock = FakeClock()
    for n in range(1, 5):
        await store.put(new_mail(f"M{n}", received_at=clock.now()))
    gaps = Gaps(store)
    gaps.hidden = {2}
    tail = Tail(gaps, clock, 0)
    first = [event.n for event in await tail.read()]
    gaps.hidden = set()
    second = [event.n for event in await tail.read()]
    third = [event.n for event in await tail.read()]
    assert (first, second, third, tail.after) == ([1, 3, 4], [2], [], 4)

    await store.put(new_mail("M5", received_at=clock.now()))
    await store.put(new_mail("M6", received_at=clock.now()))
    gaps.hidden = {5}
    assert [event.n for event in await tail.read()] == [6]
    assert tail.after == 4
    clock.advance(20)
    assert [event.n for event in await tail.read()] == []
    assert tail.after == 6


async def test_when_all_was_pruned_the_tail_begins_anew():
    """Numbers that begin anew are read from their beginning."""
    store = MemoryStore()
    tail = Tail(store, FakeClock(), 100)
    assert await tail.read() == []
    await store.put(new_mail("M1"))
    await claim(store)
    await store.apply([change("M1.1", State.SENDING, State.SENT, at=NOW)])
    assert [event.entry.event for event in await tail.read()] == ["queued", "attempt", "sent"]
