"""An HTTP proxy on loopback that spoils what passes between the bridge and its gateway, as networks and middle boxes do.

Where the simulator's faults are the gateway's own, these happen on the way: the gateway may have taken what the bridge
hears nothing of, or hear of it long after the bridge gave it up. One connection carries one request, so that a fault is
chosen before a byte of it is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, urlsplit

#: pieces of a dripping answer: one byte each so many seconds
DRIP_S = 0.2
_HTML = b"<html><body><h1>Under maintenance</h1></body></html>"
_GARBAGE = b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n{]"


class WireFault(StrEnum):
    """What happens to one request on its way; whether the gateway gets it is said beside each."""

    #: not a byte of it is read; no
    UNREAD = "unread"
    #: read whole, then nothing; no
    SWALLOWED = "swallowed"
    #: the connection is cut when the head was read; no
    HALF = "half"
    #: a page of somebody's instead of the gateway's; no
    HTML = "html"
    #: no HTTP at all; no
    GARBAGE = "garbage"
    #: 502, as proxies say it; no
    BAD_GATEWAY = "bad gateway"
    #: the connection is cut at once and the gateway gets the request ``late_s`` later; yes
    LATE_REQUEST = "late request"
    #: its answer is never given; yes
    HUNG = "hung"
    #: half of its answer, then the end; yes
    CUT = "cut"
    #: a reset instead of its answer; yes
    RESET = "reset"
    #: its answer byte by byte; yes
    DRIP = "drip"
    #: 500 instead of its answer; yes
    ERROR = "error"
    #: its answer ``late_s`` late; yes
    LATE_ANSWER = "late answer"
    #: its answer twice; yes
    TWICE = "twice"


#: the gateway never hears of these
LOST = frozenset({
    WireFault.UNREAD, WireFault.SWALLOWED, WireFault.HALF, WireFault.HTML, WireFault.GARBAGE, WireFault.BAD_GATEWAY,
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as the proxy read it."""

    path: str
    raw: bytes

    @property
    def form(self) -> dict[str, str]:
        """Return the parameters of its body."""
        return dict(parse_qsl(self.raw.partition(b"\r\n\r\n")[2].decode(), keep_blank_values=True))


#: chooses a fault before anything is read (None: look at the request), or from the request
ChooseBlind = Callable[[], WireFault | None]
Choose = Callable[[Request], WireFault | None]


@dataclass(slots=True)
class FaultProxy:
    """Where it listens, what it does, and how often it did."""

    target: str
    choose: Choose = lambda _request: None
    choose_blind: ChooseBlind = lambda: None
    late_s: float = 2.0
    url: str = ""
    played: list[WireFault] = field(default_factory=list)
    _later: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection: one request and what becomes of it."""
        if (fault := self.choose_blind()) is not None:
            self.played.append(fault)
            await self._play_unread(reader, writer)
            return
        head = await reader.readuntil(b"\r\n\r\n")
        request = await self._read(head, reader)
        fault = self.choose(request)
        if fault is not None:
            self.played.append(fault)
        await self._until_gone(asyncio.create_task(self._play(fault, request, writer), name="playing"), reader)

    @staticmethod
    async def _until_gone(playing: asyncio.Task[None], reader: asyncio.StreamReader) -> None:
        """Let *playing* end with its client: what hangs on here would hold a place at the gateway for ever."""
        gone = asyncio.create_task(reader.read(), name="client gone")
        try:
            await asyncio.wait({playing, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            playing.cancel()
            await asyncio.gather(playing, gone, return_exceptions=True)

    @staticmethod
    async def _read(head: bytes, reader: asyncio.StreamReader) -> Request:
        lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        body = await reader.readexactly(int(fields.get("content-length", "0")))
        kept = [line for line in lines[:-2] if not line.lower().startswith("connection:")]
        raw = "\r\n".join([*kept, "Connection: close", "", ""]).encode("latin-1") + body
        return Request(path=lines[0].split(" ")[1], raw=raw)

    @staticmethod
    async def _play_unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Leave the client with full buffers until it goes."""
        assert isinstance(writer.transport, asyncio.Transport)
        writer.transport.pause_reading()
        with suppress(TimeoutError):
            async with asyncio.timeout(60):
                await writer.wait_closed()

    async def _play(self, fault: WireFault | None, request: Request, writer: asyncio.StreamWriter) -> None:
        match fault:
            case WireFault.SWALLOWED | WireFault.UNREAD:
                await asyncio.sleep(3600)
            case WireFault.HALF:
                writer.transport.abort()
            case WireFault.HTML:
                writer.write(_http("200 OK", _HTML, "text/html"))
            case WireFault.GARBAGE:
                writer.write(_GARBAGE)
            case WireFault.BAD_GATEWAY:
                writer.write(_http("502 Bad Gateway", _HTML, "text/html"))
            case WireFault.LATE_REQUEST:
                task = asyncio.create_task(self._forward_late(request), name="late request")
                self._later.add(task)
                task.add_done_callback(self._later.discard)
                writer.transport.abort()
            case _:
                await self._answer(fault, await self._forward(request), writer)

    async def _answer(self, fault: WireFault | None, answer: bytes, writer: asyncio.StreamWriter) -> None:
        """Give the gateway's *answer* on, spoilt as *fault* has it."""
        match fault:
            case WireFault.HUNG:
                await asyncio.sleep(3600)
            case WireFault.CUT:
                writer.write(answer[: -len(answer.partition(b"\r\n\r\n")[2]) // 2])
            case WireFault.RESET:
                writer.transport.abort()
            case WireFault.DRIP:
                for byte in answer:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(DRIP_S)
            case WireFault.ERROR:
                writer.write(_http("500 Internal Server Error", b"", "text/plain"))
            case WireFault.LATE_ANSWER:
                await asyncio.sleep(self.late_s)
                writer.write(answer)
            case WireFault.TWICE:
                writer.write(answer + answer)
            case _:
                writer.write(answer)

    async def _forward_late(self, request: Request) -> None:
        await asyncio.sleep(self.late_s)
        await self._forward(request)

    async def _forward(self, request: Request) -> bytes:
        where = urlsplit(self.target)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        try:
            writer.write(request.raw)
            return await reader.read()
        finally:
            writer.close()


def _http(status: str, body: bytes, kind: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def fault_proxy(target: str, **fields: object) -> AsyncIterator[FaultProxy]:
    """Run one before *target*, the base address of a gateway, until the block ends."""
    proxy = FaultProxy(target, **fields)  # type: ignore[arg-type]
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await proxy.serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        waiting = [*tasks, *proxy._later]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
