"""The HTTP listener: small bodies, no request without an end, nothing said about what broke."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

log = structlog.get_logger()

_MAX_BODY_BYTES = 64 * 1024

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _fixed_words(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        response = await handler(request)
    except web.HTTPException:
        raise
    except Exception:
        log.exception("web request broke", path=request.path, method=request.method)
        response = web.Response(status=500, text="internal error")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    return response


def create_app() -> web.Application:
    """Return an application with our limits, to which the pages add their routes."""
    return web.Application(middlewares=[_fixed_words], client_max_size=_MAX_BODY_BYTES)


class WebServer:
    """Listens while the bridge runs."""

    def __init__(self, app: web.Application, host: str, port: int) -> None:
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
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
