"""The bridge: the only file that knows all parts. It builds them from the configuration and holds their lifetimes.

    SMTP session -> parse -> route -> compose -> queue -> delivery -> gateway -> report

Start: store, states left by the last run, loops, door. Stop is the reverse: close the door, let sessions finish,
stop claiming, settle what is in flight, close the store.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from mailbridge import lean
from mailbridge.alarms import Alarms
from mailbridge.carriers import build_carriers, build_routes
from mailbridge.clerk import Clerk, no_places
from mailbridge.clock import Clock, SystemClock
from mailbridge.config.model import Config
from mailbridge.config.smarthost import parse_smarthost
from mailbridge.delivery.audit import Audit
from mailbridge.delivery.board import Board, Carrier
from mailbridge.delivery.dispatcher import Dispatcher
from mailbridge.delivery.gatherer import Gatherer, GatherSettings, Portion
from mailbridge.delivery.keeper import Keeper
from mailbridge.delivery.membership import Alone, ForTheFirst, Membership
from mailbridge.delivery.questions import Prober, Questions, Receipts
from mailbridge.delivery.rush import Rush
from mailbridge.delivery.watch import Watch
from mailbridge.explain import Places
from mailbridge.front import build_doorman, build_intake_settings, build_reader, read_preferences, users_apart
from mailbridge.in_force import InForce
from mailbridge.intake.digest import Told, compose_digests
from mailbridge.limiter import Accountant, Known, News, read_limits
from mailbridge.loops import Duty, Loop
from mailbridge.meter import Meter, metered_store
from mailbridge.model.ids import new_mail_id
from mailbridge.operator import OperatorNotices
from mailbridge.pages import Parts, Site, has_desk
from mailbridge.people.calendars import Calendars
from mailbridge.people.directory import Directory
from mailbridge.people.handling import Handling
from mailbridge.pressure import Pressure
from mailbridge.prices import Prices
from mailbridge.queue.contract import GatewayState, Store
from mailbridge.queue.kept import Waiting
from mailbridge.reception import Reader, Reception
from mailbridge.refusals import Overheard, Refusals
from mailbridge.report.dsn import ReportSettings
from mailbridge.report.mailer import Mailer
from mailbridge.report.relay import Relay
from mailbridge.report.reporter import DailyLimit, Reporter
from mailbridge.smtp.activation import inherited_sockets
from mailbridge.smtp.listener import places_of
from mailbridge.smtp.server import Door
from mailbridge.web import health
from mailbridge.workers.team import Team

if TYPE_CHECKING:
    from mailbridge.webhooks import Webhook

log = structlog.get_logger()

#: sessions and requests get this long to finish when the bridge stops
DRAIN_S = 10.0
#: the sending loop turns at least once a second; silence this long is a fault
_BEAT_LATE_S = 30.0

Failpoint = Callable[[str], None]


def no_failpoint(_name: str) -> None:
    """Do nothing: only crash tests stop the program at named points."""


def build_gather_settings(config: Config) -> GatherSettings:
    """Return what the gatherer needs of *config*."""

    def write(waiting: Sequence[Waiting], began_at: datetime, now: datetime) -> Sequence[Portion]:
        told = [Told(alert=one.alert, at=one.message.created_at, is_repeat=one.is_repeat) for one in waiting]
        composed = compose_digests(
            told, waiting[-1].message.message, began_at=began_at, now=now, hold_recovery_s=config.digest.hold_recovery,
            max_parts=config.message.max_parts, translit="auto" if config.message.translit == "auto" else None,
            fit=config.message.fit, ending=next((one.ending for one in waiting if one.ending), ""),
        )  # fmt: skip
        return [(one.message, one.places) for one in composed]

    return GatherSettings(
        write=write,
        still_quiet=Handling(config).still_quiet,
        lifetime_s=config.queue.lifetime,
        apart=users_apart(config),
    )


def node_name(*, is_shared: bool) -> str:
    """Return what this node is called: its machine, and where several share a queue, something no other process has."""
    host = socket.gethostname()
    return f"{host}:{os.getpid()}:{secrets.token_hex(4)}" if is_shared else host


class Bridge:
    """One running bridge on an open store."""

    def __init__(
        self,
        config: Config,
        *,
        store: Store,
        clock: Clock | None = None,
        node: str | None = None,
        failpoint: Failpoint = no_failpoint,
        places: Places = no_places,
    ) -> None:
        """*places* knows where the keys of *config* stand in its files."""
        self._config = config
        self._places = places
        self._meter = Meter()
        self._store = store = metered_store(store, self._meter)
        self._clock = clock = clock or SystemClock()
        self._node = node or node_name(is_shared=store.cluster is not None)
        self._failpoint = failpoint
        self._watch = Watch()
        self._refusals = Refusals(clock.now)
        self._loops: dict[str, Loop] = {}
        self._retired: list[Carrier] = []
        report_settings = ReportSettings(
            hostname=config.smtp.hostname or socket.gethostname(), from_address=config.bounce.from_
        )
        self._notices = OperatorNotices(
            store=store, clock=clock, settings=report_settings,
            to=config.bounce.operator if config.bounce.smarthost else "", wake_mailer=self._ring("mailer"),
        )  # fmt: skip
        self._prices = Prices(store=store, clock=clock)
        self.board = Board(
            build_carriers(config, clock, self._meter, self._prices), store=store, clock=clock,
            announce=self._gateway_changed, routes=build_routes(config),
        )  # fmt: skip
        self._membership = (
            Membership(
                store=store.cluster,
                clock=clock,
                node=self._node,
                lease_s=config.queue.lease,
                share=self.board.share,
                heed=self.board.heed,
            )
            if store.cluster is not None
            else None
        )
        self._lease = self._membership or Alone()
        self._audit = Audit(store=store, board=self.board)
        self._rush = Rush(clock)
        self._pressure = Pressure(limit=config.queue.max_waiting, store=store, clock=clock)
        self.dispatcher = Dispatcher(
            store=store, board=self.board, watch=self._watch, clock=clock, random=random.random, node=self._node,
            rush=self._rush, lease=self._lease, failpoint=failpoint,
        )  # fmt: skip
        self.dispatcher.throttle = read_limits(config).throttle
        self.dispatcher.preferences = read_preferences(config)
        self.accountant = Accountant(
            store=store, clock=clock, known=lambda: self._front.known,
            tell=lambda use, percent, until: self._notices.budget_used(
                percent, use.budget.config, use.name, spent=f"{use.spent.parts} parts, {use.spent.money}", until=until
            ),
        )  # fmt: skip
        self._calendars = Calendars(store=store, clock=clock)
        self._told_today = DailyLimit()
        self._alarms = Alarms(
            config, store=store, clock=clock, board=self.board, meter=self._meter, notices=self._notices,
            report_settings=report_settings, limit=self._told_today, is_first=self._is_first,
            dispatcher=self.dispatcher, wake=self._wake_senders,
            failpoint=failpoint,
        )  # fmt: skip
        self._gatherer = Gatherer(
            store=store, clock=clock, settings=build_gather_settings(config), new_id=new_mail_id,
            wake=self.dispatcher.wake, failpoint=failpoint,
        )  # fmt: skip
        self._webhooks: list[Webhook] = []
        self._add_duties(report_settings)
        self._front = self._build_front(config)
        self._alarms.inbox.ring = self._ring("inbox")
        self._alarms.configure(config, self._calendars.by_rota)
        self._inherited = inherited_sockets(os.environ, os.getpid())
        self.door = self._build_door(config)
        self._calendars.changed = self._spread_calendars
        self.web = self._build_web()
        self._tasks: list[asyncio.Task[None]] = []
        #: doors whose settings are no more, until their last session has ended
        self._retired_doors: dict[asyncio.Task[None], Door | Team] = {}

    # -- building
    def _add_duties(self, report_settings: ReportSettings) -> None:
        store, clock, config, wake = self._store, self._clock, self._config, self.dispatcher.wake
        questions = Questions(store=store, board=self.board, clock=clock, wake=wake, audit=self._audit, rush=self._rush)
        reporter = Reporter(
            store=store, clock=clock, settings=report_settings, by_mail=config.bounce.mode == "mail",
            wake_mailer=self._ring("mailer"), limit=self._told_today,
            count=lambda action, by: self._meter.reports.labels(action, by).inc(),
        )  # fmt: skip
        duties: dict[str, Duty] = {
            # callbacks come to any node, which asks about their older attempts by itself
            "questions": ForTheFirst(questions, self._is_first, otherwise=self._audit.step),
            "prober": ForTheFirst(Prober(board=self.board, clock=clock, wake=wake), self._is_first),
            "keeper": Keeper(
                store=store, board=self.board, clock=clock, settings=config.queue, wake=self._wake_all,
                alarm=self._notices.message_held, is_first=self._is_first, is_in_time=lambda: self._lease.is_in_time,
            ),
            "accountant": self.accountant,
            "calendars": self._calendars,
            "gatherer": self._gatherer,
            "prices": self._prices,
            **self._alarms.duties(),
            "memory": lean.GiveBack(lambda: self._rush.total),
            "pressure": self._pressure,
            "reporter": ForTheFirst(reporter, self._is_first),
        }  # fmt: skip
        if config.api.webhooks:
            # a bridge without any does not pay for it
            from mailbridge.webhooks import Webhook  # noqa: PLC0415

            self._webhooks = [Webhook(one, store=store, clock=clock) for one in config.api.webhooks]
            for number, webhook in enumerate(self._webhooks):
                duties[f"webhook {number}"] = ForTheFirst(webhook, self._is_first)
        if self._membership is not None:
            duties["membership"] = self._membership
        if config.bounce.smarthost:
            smarthost = parse_smarthost(config.bounce.smarthost)
            mailer = Mailer(
                store=store, clock=clock, jitter=random.random, lifetime_s=config.bounce.lifetime,
                open_relay=lambda: Relay(smarthost, hostname=report_settings.hostname), failpoint=self._failpoint,
            )  # fmt: skip
            duties["mailer"] = ForTheFirst(mailer, self._is_first)
        self._loops.update({name: Loop(name, duty, clock=clock) for name, duty in duties.items()})

    def _is_first(self) -> bool:
        """Tell whether this node is to do what one of all does."""
        return self._lease.is_first

    def _wake_all(self) -> None:
        """A person's verb changed the queue or a gateway: whoever may have to act looks at once."""
        self.dispatcher.wake()
        self._ring("prober")()
        self._gatherer.something_waits()
        self._alarms.escalator.something_escalates()

    def _wake_senders(self) -> None:
        self.dispatcher.wake()
        self._ring("mailer")()

    def _ring(self, name: str) -> Callable[[], None]:
        def ring() -> None:
            if (loop := self._loops.get(name)) is not None:
                loop.ring()

        return ring

    def _gateway_changed(self, before: GatewayState, after: GatewayState) -> None:
        if after.suspended:
            self._meter.suspensions.labels(after.name, after.code).inc()
        # the others hear of it through the store, the first among them tells
        if self._is_first():
            self._notices.gateway_changed(before, after)

    def _build_front(self, config: Config) -> InForce:
        known = Known(read_limits(config), self._clock, self._spread)
        calendars = self._calendars.configure(config.rotas)
        self._calendars.knows = Directory(config, calendars).knows
        self._clerk = Clerk(
            config=config, clock=self._clock, calendars=calendars, places=self._places, wake=self.dispatcher.wake
        )
        doorman = build_doorman(config, calendars=calendars, clock=self._clock)
        reception = self._build_reception(config, known, build_reader(config, doorman))
        return InForce(reception, doorman, known, meter=self._meter, clock=self._clock)

    def _spread(self, news: News) -> None:
        if isinstance(self.door, Team):
            self.door.spread(news)

    def _spread_calendars(self) -> None:
        if isinstance(self.door, Team):
            self.door.spread_calendars()

    def _all_news(self) -> News:
        return self._front.known.all_news()

    def _build_reception(self, config: Config, known: Known, reader: Reader) -> Reception:
        return Reception(
            settings=build_intake_settings(config, self._node if self._membership is not None else None),
            reader=reader,
            store=self._store,
            watch=self._watch,
            pressure=self._pressure,
            clock=self._clock,
            wake=self.dispatcher.mail_arrived,
            takes_messages=self.dispatcher.takes_messages,
            learn=known.learn,
            failpoint=self._failpoint,
            something_waits=self._gatherer.something_waits,
            something_escalates=self._alarms.escalator.something_escalates,
            price_of=lambda phone: self._prices.of(tuple(self.board.carriers), phone),
        )

    def _build_door(self, config: Config) -> Door | Team:
        if config.smtp.workers:
            return Team(
                config,
                keep=self._front.keep,
                all_news=self._all_news,
                calendars=self._calendars.texts,
                worked=self._rush.worked,
                count_refused=self._meter.count_rejected,
                clock=self._clock,
                inherited=self._inherited,
            )
        return Door(
            config.smtp,
            reception=self._front,
            doorman=self._front,
            users=config.users,
            clock=self._clock,
            inherited=self._inherited,
            log=Overheard(log, self._refusals.note) if has_desk(config) else None,
        )

    def _build_web(self) -> Site | None:
        if self._config.web.listen is None:
            return None
        receipts = Receipts(
            store=self._store, board=self.board, clock=self._clock, audit=self._audit, failpoint=self._failpoint
        )
        parts = Parts(
            store=self._store, board=self.board, dispatcher=self.dispatcher, clock=self._clock, meter=self._meter,
            receipts=receipts, fill=lambda: self._pressure.fill, budgets=self.accountant.gauges,
            inbound=self._alarms.inbox.take, ask_door=self._ask_door, ask_worker=self._ask_worker,
            changed=self._wake_all, refusals=self._refusals.newest,
        )  # fmt: skip
        return Site(self._config, parts, self._clerk)

    async def _ask_door(self) -> None:
        if not self.door.addresses:
            raise health.NotReady("no listener is open")

    async def _ask_worker(self) -> None:
        if self._clock.now() - self.dispatcher.beat_at > timedelta(seconds=_BEAT_LATE_S):
            raise health.NotReady("the sending loop is late")

    # -- lifetimes
    async def start(self) -> None:
        """Take over what the last run left, then open for business. Raises OSError (address in use), StoreError."""
        if self._membership is not None and self._store.cluster is not None:
            await self._membership.step()
            self._store.cluster.on_news(self.dispatcher.wake)
        recovered = await self._store.recover(node=self._node, now=self._clock.now())
        self._failpoint("after recovery")
        if recovered:
            log.warning("recovered", messages=recovered, now="unknown: their gateway is asked what became of them")
        if self._lease.is_in_time:
            await self._store.clock_set_back(now=self._clock.now())
        # of several nodes that start one has them asked: each probe of a wrong password is one more
        await self.board.load(asks=self._lease.is_first)
        await self._calendars.load()
        await self._pressure.step()
        await self._prices.load()
        if self.web is not None:
            await self.web.start()
        await self.door.start()
        self._tasks.append(asyncio.create_task(self.dispatcher.run(), name="dispatcher"))
        self._tasks += [asyncio.create_task(loop.run(), name=name) for name, loop in self._loops.items()]
        log.info("ready", smtp=list(self.door.addresses), web=self.web.port if self.web else None)

    async def stop(self, drain_s: float = DRAIN_S) -> None:
        """Stop as designed, within about *drain_s* twice; what is still in flight then stays ``sending`` on disk."""
        log.info("stopping", in_flight=self.dispatcher.in_flight)
        self._failpoint("draining")
        # a client cut off while it waits for a verdict would send a mail again that is safe on disk
        hurry = asyncio.get_running_loop().call_later(drain_s / 2, self._watch.close)
        await asyncio.gather(*(door.stop(drain_s) for door in (self.door, *self._retired_doors.values())))
        for retiring in tuple(self._retired_doors):
            retiring.cancel()
        hurry.cancel()
        await self.dispatcher.stop(drain_s)
        for loop in self._loops.values():
            loop.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=drain_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._notices.aclose()
        if self._membership is not None:
            await self._membership.leave()
        if self.web is not None:
            await self.web.stop()
        for carrier in (*self.board.carriers.values(), *self._retired):
            await carrier.gateway.aclose()
        for webhook in self._webhooks:
            await webhook.aclose()
        log.info("stopped")

    async def reload(self, config: Config, places: Places = no_places) -> None:
        """Put *config* in force; what cannot change while running is named in the log and stays as it was.

        Raises: OSError when a new listener cannot be opened; then everything is as before.
        """
        self._places = places
        front = self._build_front(config)
        if config.smtp != self._config.smtp:
            await self._change_door(config)
        elif isinstance(self.door, Team):
            await self.door.reload(config)
        else:
            self.door.reload_certificates()
            self.door.replace_users(config.users)
        self._front.reception, self._front.doorman, self._front.known = front.reception, front.doorman, front.known
        self.dispatcher.throttle = front.known.limits.throttle
        self.dispatcher.preferences = read_preferences(config)
        self._gatherer.settings = build_gather_settings(config)
        self._alarms.configure(config, self._calendars.by_rota)
        self._ring("accountant")()
        self.board.routes = build_routes(config)
        if config.gateways != self._config.gateways:
            carriers = build_carriers(config, self._clock, self._meter, self._prices)
            self._retired += self.board.replace(carriers, build_routes(config))
        await self.board.load()
        await self._calendars.load()
        self._ring("calendars")()
        fixed = [name for name in ("queue", "bounce", "web") if getattr(config, name) != getattr(self._config, name)]
        fixed += ["api"] if config.api.webhooks != self._config.api.webhooks else []
        if self.web is not None:
            self.web.reload(config, self._clerk)
            fixed += [] if self.web.is_served(config) else ["api", "users"]
        self._config = config
        log.info("reloaded", needs_restart=fixed)
        self.dispatcher.wake()
        self._ring("prober")()

    async def _change_door(self, config: Config) -> None:
        """Open a door with the new settings beside the one there is, whose sessions come to their own end.

        The new one accepts on the same sockets, so nobody is turned away in between. Raises: OSError, ValueError.
        """
        before, door = self.door, self._build_door(config)
        handed = before.hand_over()
        try:
            await door.start(handed=handed)
        finally:
            for one in handed.values():
                replace(one, path=None).close()
        self.door = door
        kept = handed.keys() & places_of([listener.address for listener in config.smtp.listen])
        # whoever comes once it is said that this is done meets the new door
        await before.leave(kept)
        # no mail takes longer, and whoever has nothing to say is gone before
        limit_s = max(self._config.smtp.data_timeout, self._config.smtp.timeout)
        retiring = asyncio.create_task(before.retire(limit_s, drain_s=DRAIN_S), name="door of before")
        self._retired_doors[retiring] = before
        retiring.add_done_callback(self._forget_door)

    def _forget_door(self, retiring: asyncio.Task[None]) -> None:
        self._retired_doors.pop(retiring, None)
        if not retiring.cancelled() and (error := retiring.exception()) is not None:
            log.error("duty broke", duty="door of before", exc_info=error)
