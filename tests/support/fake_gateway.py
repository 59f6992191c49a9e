"""A raw HTTP server that misbehaves on request: it answers each connection's requests with the next script given to it.

A real listening socket on loopback, no HTTP library: it can say and do what no library would let it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl


@dataclass
class Request:
    """One request as it came in."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


class Done(Exception):
    """The connection is finished with."""


Script = Callable[["FakeGateway", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class FakeGateway:
    """Requests read so far and the scripts still to play; the last script is played again and again."""

    scripts: list[Script]
    url: str = ""
    connections: int = 0
    requests: list[Request] = field(default_factory=list)
    #: set when a script has come to the point it is named for
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def next_script(self) -> Script:
        return self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await self.next_script()(self, reader, writer)
        except (Done, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def read_request(gateway: FakeGateway, reader: asyncio.StreamReader) -> Request:
    """Read one whole request and remember it."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    request = Request(head[0], headers, body)
    gateway.requests.append(request)
    return request


def answer(body: bytes | str, *, status: str = "200 OK", headers: str = "", cut: int = 0) -> Script:
    """Answer whole; with *cut*, leave the last bytes out and hang up."""
    raw = body.encode() if isinstance(body, str) else body

    async def play(gateway: FakeGateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(gateway, reader)
        writer.write(f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(raw)}\r\n\r\n".encode())
        writer.write(raw[: len(raw) - cut])
        await writer.drain()
        if cut:
            raise Done

    return play


def verbatim(data: bytes) -> Script:
    """Answer with *data*, whatever it is, and hang up."""

    async def play(gateway: FakeGateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(gateway, reader)
        writer.write(data)
        await writer.drain()
        raise Done

    return play


def hang(*, after_reading: bool) -> Script:
    """Never answer, with or without reading the request first."""

    async def play(gateway: FakeGateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if after_reading:
            await read_request(gateway, reader)
        gateway.reached.set()
        await asyncio.Event().wait()

    return play


def hang_up(*, reset: bool = False) -> Script:
    """Read the request, then close without a word (or reset the connection)."""

    async def play(gateway: FakeGateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(gateway, reader)
        if reset:
            writer.transport.abort()
        raise Done

    return play


def endless(piece: bytes = b"x" * 4096, *, every_s: float = 0.0) -> Script:
    """Answer without an end; with *every_s*, in drips."""

    async def play(gateway: FakeGateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(gateway, reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every_s)

    return play


@asynccontextmanager
async def fake_gateway(*scripts: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeGateway]:
    """Serve *scripts* on a free port of loopback."""
    gateway = FakeGateway(list(scripts))
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await gateway.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    scheme = "https" if tls else "http"
    gateway.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield gateway
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def ok_answer(gateway_id: str = "5001", *, cnt: int = 1) -> Script:
    """Take the message, as smsc-api.md 2.9 shows it."""
    return answer(f'{{"id":{gateway_id},"cnt":{cnt},"cost":"1.4","balance":"100.5"}}')
