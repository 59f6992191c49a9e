"""The line between two processes of ours: questions and answers by number, and news that want no answer.

A frame is four bytes of length and a marshalled list of everything that was said in one turn of the loop; so what
comes together travels together, and in the order it was said. Values are plain: ``parcels`` makes them of ours.
"""

from __future__ import annotations

import asyncio
import itertools
import marshal
from collections.abc import Awaitable, Callable
from typing import Any, cast

from mailbridge.errors import MailbridgeError

_LENGTH_BYTES = 4


class ChannelClosed(MailbridgeError):
    """The process at the other end is gone."""


#: answers a question: its kind and its value
Answerer = Callable[[str, Any], Awaitable[Any]]
#: takes news: their kind and their value
Hearer = Callable[[str, Any], None]


class Channel(asyncio.Protocol):
    """One end of the line.

    *answer* must not raise: what goes wrong is part of its answers. Questions are answered side by side.
    """

    def __init__(self, *, answer: Answerer, hear: Hearer) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer = answer
        self._hear = hear
        self._transport: asyncio.Transport | None = None
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._outbox: list[tuple[int, str, Any]] = []
        #: the beginning of a frame
        self._begun = b""
        #: set when the other end is gone, or this one was closed
        self.closed = asyncio.Event()

    # -- speaking
    async def ask(self, kind: str, value: Any) -> Any:
        """Return the other end's answer. Raises: ChannelClosed."""
        if self.closed.is_set():
            raise ChannelClosed
        number = next(self._numbers)
        future = self._asked[number] = self._loop.create_future()
        self._say(number, kind, value)
        try:
            return await future
        finally:
            self._asked.pop(number, None)

    def tell(self, kind: str, value: Any) -> None:
        """Say something that wants no answer; without effect when the other end is gone."""
        self._say(0, kind, value)

    def _say(self, number: int, kind: str, value: Any) -> None:
        if not self._outbox:
            self._loop.call_soon(self._send)
        self._outbox.append((number, kind, value))

    def _send(self) -> None:
        said, self._outbox = self._outbox, []
        if self._transport is None or self.closed.is_set():
            return
        frame = marshal.dumps(said)
        self._transport.write(len(frame).to_bytes(_LENGTH_BYTES, "big") + frame)

    def close(self) -> None:
        """Say what is still to be said and hang up."""
        self._send()
        if self._transport is not None:
            self._transport.close()

    # -- listening
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take in whole frames, and keep the beginning of the next."""
        if self._begun:
            data = self._begun + data
        start = 0
        while len(data) - start >= _LENGTH_BYTES:
            begin = start + _LENGTH_BYTES
            end = begin + int.from_bytes(data[start:begin], "big")
            if len(data) < end:
                break
            start = end
            for number, kind, value in marshal.loads(memoryview(data)[begin:end]):  # noqa: S302  plain values alone
                self._take(number, kind, value)
        self._begun = data[start:]

    def _take(self, number: int, kind: str, value: Any) -> None:
        if number == 0:
            self._hear(kind, value)
        elif number < 0:
            future = self._asked.get(-number)
            if future is not None and not future.done():
                future.set_result(value)
        else:
            task = self._loop.create_task(self._reply(number, kind, value))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reply(self, number: int, kind: str, value: Any) -> None:
        self._say(-number, kind, await self._answer(kind, value))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """Let nobody wait any more; what was asked of this end is finished all the same."""
        self.closed.set()
        for future in self._asked.values():
            if not future.done():
                future.set_exception(ChannelClosed())

    async def settle(self, limit_s: float) -> None:
        """Wait until what was asked of this end is answered, at most *limit_s*."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=limit_s)
