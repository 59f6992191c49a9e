"""Server-sent events (WHATWG HTML 9.2): what a feed tells, written to one client until it goes, is slow, or we stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import web

from mailbridge.queue.browsing import Event
from mailbridge.web.feed import Feed

CONTENT_TYPE = "text/event-stream"
#: a listener hears something at least so often, so that it knows the bridge lives
_BEAT_S = 15.0
#: a client that takes nothing for so long is let go
_WRITE_S = 20.0

#: an event as it is written; empty where it is not told
Form = Callable[[Event], bytes]


async def stream(
    request: web.Request, feed: Feed, form: Form, *, after: int = 0, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Stream what happens; *after*: the last event the client has, 0 for none. Raises TooMany, StoreError."""
    async with feed.listen() as listener:
        response = web.StreamResponse(
            headers={"Cache-Control": "no-store", **(headers or {}), "Content-Type": CONTENT_TYPE}
        )
        await response.prepare(request)
        await _write(response, b": mailbridge\n\n")
        if after:
            for event in await feed.since(after):
                after = event.n
                await _write(response, form(event))
        while True:
            try:
                async with asyncio.timeout(_BEAT_S):
                    heard = await listener.get()
            except TimeoutError:
                await _write(response, b": still here\n\n")
                continue
            if heard is None:
                return response
            if heard.n > after:
                await _write(response, form(heard))


async def _write(response: web.StreamResponse, data: bytes) -> None:
    if data:
        async with asyncio.timeout(_WRITE_S):
            await response.write(data)
