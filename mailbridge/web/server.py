"""The HTTP listener: small bodies, no request without an end, nothing said about what broke."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

log = structlog.get_logger()

_MAX_BODY_BYTES = 64 * 1024

#: a request that is not whole or not answered by then is given up; the pages themselves take milliseconds
_REQUEST_S = 15.0
#: a connection that asks nothing, or less than a whole head, is closed then
_IDLE_S = 30.0
#: what is open when the bridge stops is waited for no longer: a callback that is cut off comes again
_STOP_S = 1.0
#: how long the rest of a body nobody reads is swallowed, so that its sender reads the answer
_LINGER_S = 2.0

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _fixed_words(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        response = await handler(request)
    except web.HTTPException:
        raise
    except Exception:
        # the page's name, not the address: a callback's path is a secret
        page = request.match_info.route.resource
        log.exception("web request broke", page=page.canonical if page else "", method=request.method)
        response = web.Response(status=500, text="internal error")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    return response


def _in_time(request_s: float) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            async with asyncio.timeout(request_s) as limit:
                return await handler(request)
        except TimeoutError:
            if not limit.expired():
                raise
            response = web.Response(status=408, text="too slow")
            response.force_close()
            return response

    return middleware


def create_app(*, request_s: float = _REQUEST_S) -> web.Application:
    """Return an application with our limits, to which the pages add their routes."""
    return web.Application(middlewares=[_fixed_words, _in_time(request_s)], client_max_size=_MAX_BODY_BYTES)


class WebServer:
    """Listens while the bridge runs."""

    def __init__(self, app: web.Application, host: str, port: int, *, idle_s: float = _IDLE_S) -> None:
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=_STOP_S, lingering_time=_LINGER_S,
            keepalive_timeout=idle_s,
        )  # fmt: skip
        self._host = host
        self._port = port
        #: the port bound, known after ``start``
        self.port = port

    async def start(self) -> None:
        """Bind and listen. Raises OSError when the address cannot be had."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and close what is open."""
        await self._runner.cleanup()
