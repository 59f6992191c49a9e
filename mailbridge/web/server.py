"""The HTTP listener: small bodies, no request without an end, nothing said about what broke."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

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
#: a request's first line: twenty recipients of `/api/v1/preview`, percent-encoded, fit in
_MAX_LINE_BYTES = 32 * 1024
_BACKLOG = 128  # what the library asks for

#: paths of streams, which end when they end
UNLIMITED: web.AppKey[set[str]] = web.AppKey("unlimited", set[str])

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
            async with asyncio.timeout(None if request.path in request.app[UNLIMITED] else request_s) as limit:
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
    app = web.Application(middlewares=[_fixed_words, _in_time(request_s)], client_max_size=_MAX_BODY_BYTES)
    app[UNLIMITED] = set()
    return app


class _Connection(web.RequestHandler):
    """One client's connection, which repeats nothing of what it could not read.

    The library answers octets that are no HTTP with the line they came in; a callback's path is a secret, and the
    answer may be kept by a proxy in between.
    """

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Log as the library does, and answer in fixed words."""
        super().handle_error(request, status, exc, message)
        response = web.Response(status=status, text="bad request" if status < 500 else "internal error")
        response.force_close()
        return response


class WebServer:
    """Listens while the bridge runs."""

    def __init__(self, app: web.Application, host: str, port: int, *, idle_s: float = _IDLE_S) -> None:
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=_STOP_S)
        self._host = host
        self._port = port
        self._idle_s = idle_s
        self._listener: asyncio.Server | None = None
        #: the port bound, known after ``start``
        self.port = port

    async def start(self) -> None:
        """Bind and listen. Raises OSError when the address cannot be had."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._connection, self._host, self._port, backlog=_BACKLOG)
        self.port = self._listener.sockets[0].getsockname()[1]

    def _connection(self) -> _Connection:
        server = self._runner.server
        assert server is not None
        # no access log is None to the library, which its types forget
        quiet: dict[str, Any] = {"access_log": None, "max_line_size": _MAX_LINE_BYTES}
        loop = asyncio.get_running_loop()
        return _Connection(server, loop=loop, keepalive_timeout=self._idle_s, lingering_time=_LINGER_S, **quiet)

    async def stop(self) -> None:
        """Stop listening and close what is open."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self._runner.cleanup()
