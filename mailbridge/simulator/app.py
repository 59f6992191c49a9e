"""The web side: requests in, replies performed. Knows HTTP and nothing of SMS; what is answered the carrier decides."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random

from aiohttp import web

from mailbridge.clock import Clock, SystemClock
from mailbridge.simulator.accounts import Account
from mailbridge.simulator.answers import Body, failure, render
from mailbridge.simulator.callbacks import Callbacks
from mailbridge.simulator.calls import Reply
from mailbridge.simulator.carrier import METHODS, Carrier
from mailbridge.simulator.control import add_control_routes
from mailbridge.simulator.ledger import Entry, Ledger
from mailbridge.simulator.odd import render_odd
from mailbridge.simulator.page import add_page_routes
from mailbridge.simulator.params import Params, read_params
from mailbridge.simulator.settings import SimulatorSettings
from mailbridge.simulator.state import CALLBACKS, CARRIER, LEDGER
from mailbridge.simulator.wire import ELSEWHERE, perform, plain_response

_log = logging.getLogger(__name__)
#: faults that let some of the true answer through
_WIRES_THAT_TELL = frozenset({"cut", "trickle"})


class Front:
    """Answers the gateway's scripts."""

    def __init__(self, carrier: Carrier, ledger: Ledger) -> None:
        self._carrier = carrier
        self._ledger = ledger
        self._stop = asyncio.Event()
        self._later: set[asyncio.Task[None]] = set()

    def routes(self, app: web.Application) -> None:
        """Put the scripts and the JSON variant of send.php into *app*."""
        for method in METHODS:
            handler = self._handler(method, rest=False)
            app.router.add_get(f"/sys/{method}.php", handler, allow_head=False)
            app.router.add_post(f"/sys/{method}.php", handler)
        rest = self._handler("send", rest=True)
        for path in ("/rest/send/", "/rest/send"):
            app.router.add_get(path, rest, allow_head=False)
            app.router.add_post(path, rest)
        app.router.add_route("*", ELSEWHERE, self._elsewhere)

    async def close(self, _app: web.Application) -> None:
        """Let go of whoever hangs, and forget what was to be accepted later."""
        self._stop.set()
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)

    def _handler(self, method: str, *, rest: bool) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return the handler of one script."""

        async def handle(request: web.Request) -> web.StreamResponse:
            limit = self._carrier.settings.max_body_bytes
            params = await read_params(request, rest=rest, max_bytes=limit)
            return await self._handle(request, method, params)

        return handle

    async def _handle(self, request: web.Request, method: str, params: Params) -> web.StreamResponse:
        """Answer one request, counted among those of its login."""
        if params.bad:
            return await self._perform(request, params, "", Reply(answer=failure(1)))
        account = self._carrier.sign_in(params, request.remote or "")
        if isinstance(account, Reply):
            return await self._perform(request, params, "", account)
        within = self._carrier.concurrency.enter(account.login)
        try:
            if latency_s := self._carrier.settings.latency_s:
                await self._carrier.clock.sleep(latency_s)
            reply = self._answer(method, params, account, within_limit=within)
            return await self._perform(request, params, account.login, reply)
        finally:
            self._carrier.concurrency.leave(account.login)

    def _answer(self, method: str, params: Params, account: Account, *, within_limit: bool) -> Reply:
        """Ask the carrier; a mistake of ours is an answer too."""
        try:
            return self._carrier.answer(method, params, account, within_limit=within_limit)
        except Exception:  # noqa: BLE001 - a web request is one of the three places
            _log.exception("simulator failed on %s.php", method)
            return Reply(answer=failure(1), wire="http-500")

    async def _perform(self, request: web.Request, params: Params, login: str, reply: Reply) -> web.StreamResponse:
        """Write the reply down, wait as it asks, and send it as well or as badly as it says."""
        body = self._render(params, reply)
        told = reply.wire is None or reply.wire in _WIRES_THAT_TELL
        self._ledger.add(
            Entry(
                at=self._carrier.clock.now().timestamp(),
                http_method=request.method,
                path=request.path,
                login=login,
                credentials_in=params.credentials_in,
                params=params.public(),
                answer=body.content if told else None,
                code=reply.answer.code if told else 0,
                fault=reply.wire or reply.odd,
            )
        )
        if reply.later is not None:
            self._do_later(reply.later, reply.later_s)
        if reply.delay_s:
            await self._carrier.clock.sleep(reply.delay_s)
        if reply.wire is None:
            return plain_response(body)
        return await perform(reply.wire, request, body, clock=self._carrier.clock, stop=self._stop)

    @staticmethod
    def _render(params: Params, reply: Reply) -> Body:
        """Return the bytes of the reply's answer."""
        fmt = 0 if reply.plain else params.fmt
        if reply.odd is not None:
            return render_odd(reply.answer, reply.odd, fmt, params.charset)
        return render(reply.answer, fmt, params.charset)

    def _do_later(self, action: Callable[[float], None], delay_s: float) -> None:
        """Do *action* after *delay_s*, whatever becomes of the request."""

        async def wait() -> None:
            await self._carrier.clock.sleep(delay_s)
            action(self._carrier.clock.now().timestamp())

        task = asyncio.create_task(wait(), name="simulator-late-acceptance")
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _elsewhere(self, request: web.Request) -> web.Response:
        """Write down that somebody followed a redirect."""
        params = replace(await read_params(request, rest=False, max_bytes=self._carrier.settings.max_body_bytes), fmt=0)
        self._ledger.add(
            Entry(
                at=self._carrier.clock.now().timestamp(),
                http_method=request.method,
                path=request.path,
                login=params.text("login"),
                credentials_in=params.credentials_in,
                params=params.public(),
                answer=b"",
                code=0,
                fault="redirect-followed",
            )
        )
        return web.Response(text="somebody followed a redirect\n")


def create_app(
    settings: SimulatorSettings | None = None, *, clock: Clock | None = None, random: Random | None = None
) -> web.Application:
    """Return the simulator as an application; its state is found under the keys of ``state``."""
    settings = settings or SimulatorSettings()
    carrier = Carrier(settings, clock=clock or SystemClock(), random=random)
    ledger = Ledger(settings.keep)
    app = web.Application(client_max_size=settings.max_body_bytes)
    callbacks = Callbacks(settings, carrier.accounts, clock=carrier.clock)
    carrier.on_accepted, carrier.on_stopped = callbacks.message_accepted, callbacks.message_stopped
    app[CARRIER], app[LEDGER], app[CALLBACKS] = carrier, ledger, callbacks
    app.on_startup.append(callbacks.run)
    app.on_cleanup.append(callbacks.close)
    front = Front(carrier, ledger)
    front.routes(app)
    add_control_routes(app)
    add_page_routes(app)
    app.on_shutdown.append(front.close)
    return app
