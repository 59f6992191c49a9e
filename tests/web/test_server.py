"""The HTTP listener and clients that are slow on purpose."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from mailbridge.clock import SystemClock
from mailbridge.web.server import WebServer, create_app

pytestmark = pytest.mark.slow

HALF_A_REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"


async def read_all(request: web.Request) -> web.Response:
    """Answer when the whole body is there."""
    return web.Response(body=await request.read())


async def serve(*, idle_s: float = 30.0, **limits: float) -> WebServer:
    """Start a listener with one page that reads the body."""
    app = create_app(**limits)
    app.router.add_route("POST", "/", read_all)
    server = WebServer(app, "127.0.0.1", 0, idle_s=idle_s)
    await server.start()
    return server


async def test_a_body_that_does_not_end_is_given_up():
    """408 and the connection is closed: whoever drips a body holds nothing for long."""
    server = await serve(request_s=0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(HALF_A_REQUEST)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    await server.stop()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Connection: close" in answer


async def test_nobody_slow_holds_up_the_stop():
    """What is half asked when the bridge stops is cut off; there is no time to wait for it."""
    server = await serve()
    connections = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
    for (_, writer), data in zip(connections, (HALF_A_REQUEST, HALF_A_REQUEST[:20], b""), strict=True):
        writer.write(data)
    await asyncio.sleep(0.1)
    clock = SystemClock()
    began_s = clock.monotonic()
    await server.stop()
    took_s = clock.monotonic() - began_s
    for _, writer in connections:
        writer.close()

    assert took_s < 5


@pytest.mark.parametrize("said", [b"", b"P", HALF_A_REQUEST[:20], HALF_A_REQUEST.replace(b"100", b"4") + b"GET"])
async def test_a_head_that_does_not_end_is_waited_for_no_longer_than_an_idle_connection(said: bytes):
    """Nothing, one letter, half a head, or half of the next one after a whole request: closed all the same."""
    server = await serve(idle_s=0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(said)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    await server.stop()

    assert answer == b"" or answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "octets",
    [b"\0/secret-path\r\n\r\n", b"GET /secret-path HTTP/9.9\r\n\r\n",
     b"POST /secret-path HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"G@T /secret-path HTTP/1.1\r\n\r\n",
     b"GET /secret-path HTTP/1.1\r\nsecret-path\r\n\r\n"],
)  # fmt: skip
async def test_what_is_not_http_is_answered_in_fixed_words(octets: bytes):
    """400 and closed; a path, which can be a secret, is not said again."""
    server = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(octets)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    await server.stop()

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert body == b"bad request"
    assert b"secret-path" not in answer
