"""The line between two processes: questions and answers, whole frames out of any pieces, and its end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.workers.channel import Channel, ChannelClosed


async def echo(_kind: str, value: Any) -> Any:
    """Answer with the question."""
    return value


def deaf(_kind: str, _value: Any) -> None:
    """Hear nothing."""


@asynccontextmanager
async def line(*, answer: Any = echo, hear: Any = deaf) -> AsyncIterator[tuple[Channel, Channel]]:
    """Open both ends in this process; *answer* and *hear* are the second one's."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    _, first = await loop.create_unix_connection(lambda: Channel(answer=echo, hear=deaf), sock=ours)
    _, second = await loop.create_unix_connection(lambda: Channel(answer=answer, hear=hear), sock=theirs)
    try:
        yield first, second
    finally:
        first.close()
        second.close()
        await asyncio.gather(first.closed.wait(), second.closed.wait())


async def test_each_question_gets_its_own_answer():
    """Many at once, answered in another order than they were asked."""
    gates = [asyncio.Event() for _ in range(50)]

    async def answer(_kind: str, value: Any) -> Any:
        await gates[value].wait()
        return value, b"x" * 10_000

    async with line(answer=answer) as (first, _):
        asked = [asyncio.create_task(first.ask("keep", number)) for number in range(50)]
        for gate in reversed(gates):
            await asyncio.sleep(0)
            gate.set()
        answers = await asyncio.gather(*asked)

    assert [number for number, _ in answers] == list(range(50))


async def test_what_is_said_arrives_in_its_order():
    """A mail's log line stands before what its being kept writes."""
    heard: list[Any] = []

    async def answer(_kind: str, value: Any) -> Any:
        heard.append(value)
        return None

    async with line(answer=answer, hear=lambda _kind, value: heard.append(value)) as (first, _):
        for number in range(0, 20, 2):
            first.tell("log", number)
            await first.ask("keep", number + 1)

    assert heard == list(range(20))


async def test_what_is_said_in_one_turn_travels_together():
    """A hundred lines are one write."""
    sizes: list[int] = []

    async with line() as (first, second):
        taken = second.data_received
        second.data_received = lambda data: (sizes.append(len(data)), taken(data))  # type: ignore[method-assign]
        for _ in range(100):
            first.tell("log", "x" * 100)
        await first.ask("keep", 1)

    assert len(sizes) == 1


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_a_frame_may_come_in_any_pieces(data: st.DataObject) -> None:
    """Cut anywhere, even within its length."""
    values = data.draw(st.lists(st.text() | st.binary() | st.integers(), min_size=1, max_size=5))
    heard: list[Any] = []

    async def scenario() -> None:
        wire = bytearray()

        class Wire(asyncio.Transport):
            def write(self, octets: Any) -> None:
                wire.extend(octets)

        sender, taker = (
            Channel(answer=echo, hear=deaf),
            Channel(answer=echo, hear=lambda _kind, value: heard.append(value)),
        )
        sender.connection_made(Wire())
        for value in values:
            sender.tell("log", value)
            await asyncio.sleep(0)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=10)))
        for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
            taker.data_received(bytes(wire[start:end]))

    asyncio.run(scenario())
    assert heard == values


async def test_who_waits_when_the_other_end_goes_hears_of_it():
    """And who asks afterwards, too: nobody waits for ever."""
    never = asyncio.Event()

    async def answer(_kind: str, _value: Any) -> None:
        await never.wait()

    async with line(answer=answer) as (first, second):
        asked = asyncio.create_task(first.ask("keep", 1))
        await asyncio.sleep(0.01)
        second.close()
        with pytest.raises(ChannelClosed):
            await asked
        with pytest.raises(ChannelClosed):
            await first.ask("keep", 2)
        first.tell("log", "nobody hears it")
        never.set()


async def test_what_was_asked_is_finished_although_the_asker_is_gone():
    """A mail on its way to the disk gets there."""
    gate, done = asyncio.Event(), asyncio.Event()

    async def answer(_kind: str, _value: Any) -> None:
        await gate.wait()
        done.set()

    async with line(answer=answer) as (first, second):
        asked = asyncio.create_task(first.ask("keep", 1))
        await asyncio.sleep(0.01)
        first.close()
        await second.closed.wait()
        gate.set()
        await second.settle(5)
        await asyncio.gather(asked, return_exceptions=True)

    assert done.is_set()
