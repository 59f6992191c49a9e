"""Builds the web listener: which pages there are. API and desk are loaded where the configuration asks for them.

``app`` hands in the parts; nothing here decides anything but what is served.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from mailbridge.carriers import build_entrances
from mailbridge.clerk import Clerk
from mailbridge.clock import Clock
from mailbridge.config.addresses import TcpAddress, parse_listen
from mailbridge.config.model import Config
from mailbridge.delivery.board import Board
from mailbridge.delivery.dispatcher import Dispatcher
from mailbridge.delivery.questions import Receipts
from mailbridge.meter import Meter
from mailbridge.model.inbound import InboundSms
from mailbridge.queue.contract import Store
from mailbridge.refusals import Refusal
from mailbridge.web import callback, health, metrics
from mailbridge.web.health import Check
from mailbridge.web.metrics import Gauge
from mailbridge.web.server import WebServer, create_app

if TYPE_CHECKING:
    from mailbridge.web.api.routes import Api
    from mailbridge.web.desk.routes import Desk
    from mailbridge.web.office import Office


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of the bridge that pages show."""

    store: Store
    board: Board
    dispatcher: Dispatcher
    clock: Clock
    meter: Meter
    receipts: Receipts
    fill: Callable[[], float]
    budgets: Callable[[], Sequence[Gauge]]
    #: keeps an SMS that came in and says whether it is new
    inbound: Callable[[InboundSms], Awaitable[bool]]
    ask_door: Callable[[], Awaitable[None]]
    ask_worker: Callable[[], Awaitable[None]]
    #: a person's act changed the queue or a gateway
    changed: Callable[[], None]
    #: what the door refused lately
    refusals: Callable[[], Sequence[Refusal]]


def has_desk(config: Config) -> bool:
    """Tell whether anybody may sign in to a desk."""
    return any(user.role != "send" for user in config.users)


class Site:
    """The web listener while the bridge runs."""

    def __init__(self, config: Config, parts: Parts, clerk: Clerk) -> None:
        self._app = create_app()
        self._entrances = build_entrances(config)
        self._office: Office | None = None
        self._api: Api | None = None
        self._desk: Desk | None = None
        self._add_plain_pages(parts)
        if config.api.tokens:
            self._add_api(parts, clerk)
        if has_desk(config):
            self._add_desk(parts, clerk)
        assert config.web.listen is not None  # the caller asked
        address = parse_listen(config.web.listen)
        assert isinstance(address, TcpAddress)  # the configuration's check takes no other
        self._server = WebServer(self._app, address.host, address.port)

    def _add_plain_pages(self, parts: Parts) -> None:
        board, meter = parts.board, parts.meter
        health.add_routes(
            self._app,
            (
                Check("queue", parts.store.ping), Check("listeners", parts.ask_door),
                Check("worker", parts.ask_worker),
            ),
            lambda: {"gateways": {name: "suspended" if s.suspended else "up" for name, s in board.states.items()}},
        )  # fmt: skip
        metrics.add_routes(
            self._app, store=parts.store, board=board, dispatcher=parts.dispatcher, clock=parts.clock,
            registry=meter.registry, budgets=parts.budgets, fill=parts.fill,
        )  # fmt: skip
        callback.add_routes(
            self._app, self._entrances, parts.receipts,
            count=lambda gateway, result: meter.callbacks.labels(gateway, result).inc(),
            inbound=parts.inbound,
        )  # fmt: skip

    def _add_api(self, parts: Parts, clerk: Clerk) -> None:
        # a bridge without it does not pay for it
        from mailbridge.web.api.routes import Api  # noqa: PLC0415

        self._api = Api(self._open_office(parts, clerk))
        self._api.add_routes(self._app)

    def _add_desk(self, parts: Parts, clerk: Clerk) -> None:
        from mailbridge.web.desk.routes import Desk  # noqa: PLC0415 - as above

        self._desk = Desk(self._open_office(parts, clerk))
        self._desk.add_routes(self._app)

    def _open_office(self, parts: Parts, clerk: Clerk) -> Office:
        from mailbridge.web.office import Office  # noqa: PLC0415 - as above

        if self._office is None:
            self._office = office = Office(
                store=parts.store,
                clock=parts.clock,
                clerk=clerk,
                board=parts.board,
                changed=parts.changed,
                refusals=parts.refusals,
            )

            async def close(_app: web.Application) -> None:
                office.feed.close()

            # before the requests that are open are waited for
            self._app.on_shutdown.append(close)
        return self._office

    @property
    def port(self) -> int:
        """The port bound."""
        return self._server.port

    def reload(self, config: Config, clerk: Clerk) -> None:
        """Follow *config*, whose *clerk* this is; what is served stays."""
        # the pages look into this very mapping
        self._entrances.clear()
        self._entrances.update(build_entrances(config))
        if self._office is not None:
            self._office.clerk = clerk
        if self._api is not None:
            self._api.reload(config)
        if self._desk is not None:
            self._desk.reload(config)

    def is_served(self, config: Config) -> bool:
        """Tell whether there are the pages that *config* asks for."""
        has_api, has_a_desk = self._api is not None, self._desk is not None
        return bool(config.api.tokens) == has_api and has_desk(config) == has_a_desk

    async def start(self) -> None:
        """Bind and listen. Raises OSError when the address cannot be had."""
        await self._server.start()

    async def stop(self) -> None:
        """Stop listening and close what is open."""
        await self._server.stop()
        if self._api is not None:
            self._api.close()
        if self._desk is not None:
            self._desk.close()
