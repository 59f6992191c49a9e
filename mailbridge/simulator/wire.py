"""The faults of ``magic.WIRE``, performed: what a broken network, proxy or server does to an answer."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from functools import cache

from aiohttp import web

from mailbridge.clock import Clock
from mailbridge.simulator.answers import Body

_BOMB_BYTES = 64_000_000
_CHUNK = b" " * 65_536
_HTML = (
    b"<html>\r\n<head><title>%s</title></head>\r\n<body>\r\n<center><h1>%s</h1></center>\r\n"
    b"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
_GARBAGE = bytes((number * 167 + 13) % 256 for number in range(512))
_STATUS_WORDS: dict[int, bytes] = {
    200: b"Welcome",
    404: b"404 Not Found",
    429: b"429 Too Many Requests",
    500: b"500 Internal Server Error",
    502: b"502 Bad Gateway",
    503: b"503 Service Temporarily Unavailable",
}
#: a page of this server that writes down who followed a redirect to it
ELSEWHERE = "/elsewhere/"


def plain_response(body: Body) -> web.Response:
    """Return *body* as an ordinary answer."""
    return web.Response(body=body.content, headers={"Content-Type": f"{body.content_type}; charset={body.charset}"})


async def perform(
    fault: str, request: web.Request, body: Body, *, clock: Clock, stop: asyncio.Event
) -> web.StreamResponse:
    """Return the response to *request* spoilt by *fault*; *body* is what it would have been."""
    if fault.startswith("http-"):
        return _http_status(int(fault.removeprefix("http-")))
    match fault:
        case "hang":
            await stop.wait()
            return _dropped(request)
        case "close":
            return _dropped(request)
        case "reset":
            return _reset(request)
        case "cut":
            return await _cut(request, body)
        case "empty":
            return web.Response()
        case "html":
            return _html(200)
        case "garbage":
            return web.Response(body=_GARBAGE, content_type="application/json")
        case "broken-json":
            return web.Response(body=b'{"id":1,"cnt":', content_type="application/json")
        case "endless":
            return await _endless(request, stop)
        case "gzip-bomb":
            return web.Response(body=_bomb(), headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})
        case "trickle":
            return await _trickle(request, body, clock)
    return plain_response(body)


def _html(status: int) -> web.Response:
    """Return a front proxy's page."""
    words = _STATUS_WORDS[status]
    return web.Response(status=status, body=_HTML % (words, words), content_type="text/html")


def _http_status(status: int) -> web.Response:
    """Return an HTTP status the gateway itself never gives."""
    if status in {302, 307}:
        return web.Response(status=status, headers={"Location": ELSEWHERE})
    response = _html(status)
    if status == 429:
        response.headers["Retry-After"] = "30"
    return response


def _dropped(request: web.Request) -> web.Response:
    """Close the connection; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()


def _reset(request: web.Request) -> web.Response:
    """Reset the connection."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


async def _cut(request: web.Request, body: Body) -> web.StreamResponse:
    """Send half of the answer that was promised."""
    response = web.StreamResponse(headers={"Content-Type": f"{body.content_type}; charset={body.charset}"})
    response.content_length = len(body.content)
    await response.prepare(request)
    await response.write(body.content[: max(1, len(body.content) // 2)])
    if request.transport is not None:
        request.transport.close()
    return response


async def _endless(request: web.Request, stop: asyncio.Event) -> web.StreamResponse:
    """Send spaces until the client has had enough."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    try:
        while not stop.is_set():
            await response.write(_CHUNK)
            await asyncio.sleep(0)
    except ConnectionError:
        pass
    if request.transport is not None:
        request.transport.abort()
    return response


async def _trickle(request: web.Request, body: Body, clock: Clock) -> web.StreamResponse:
    """Send the answer one byte a second."""
    response = web.StreamResponse(headers={"Content-Type": f"{body.content_type}; charset={body.charset}"})
    response.content_length = len(body.content)
    await response.prepare(request)
    for position in range(len(body.content)):
        await response.write(body.content[position : position + 1])
        await clock.sleep(1.0)
    return response


@cache
def _bomb() -> bytes:
    """Return a small body that becomes a big one."""
    return gzip.compress(b'{"id":1,"cnt":1,"x":"' + b" " * _BOMB_BYTES + b'"}', mtime=0)
