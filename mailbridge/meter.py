"""What happened since the start, as counters and times; and the thin shells that count where everything passes.

Counted is what is on disk: the store's shell counts a change after its commit, so that metrics, history and log agree.
Nothing is labelled by phone, sender or text. One increment costs about a microsecond.
It must not decide or alter anything: what goes through a shell comes out as it went in.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from typing import Any, cast

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from mailbridge.clock import Clock
from mailbridge.gateway.contract import Batch, Gateway, StatusQuery
from mailbridge.model.outcome import Outcome
from mailbridge.model.reply import Reply
from mailbridge.queue.contract import Change, Claims, NewMail, PutResult, Report, Store
from mailbridge.queue.escalations import Advance
from mailbridge.queue.kept import Closing

# a second sample beside each counter that says when it was made: the process's start, which nobody asked for
disable_created_metrics()  # type: ignore[no-untyped-call] # the library left it untyped

#: log verbs of a message's life (docs/reference/log.md) that the store sees; others are counted when they occur
_EVENTS = ("queued", "attempt", "sent", "deferred", "refused", "unknown", "delivered", "undelivered", "expired", "held",
           "suppressed")  # fmt: skip
_ACCEPT_STEPS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_REQUEST_STEPS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60)


class Meter:
    """The counters of one running bridge; a restart begins at zero, as Prometheus expects."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=False)
        self.mails = Counter("mailbridge_mails", "Mails taken, or known already", ["result"], registry=registry)
        #: looked up once: each mail counts one of them
        self.mails_taken, self.mails_known = self.mails.labels("taken"), self.mails.labels("duplicate")
        self.rejected = Counter(
            "mailbridge_rejected", "Recipients and mails refused at the door, by the reply given", ["reply"],
            registry=registry,
        )  # fmt: skip
        self.events = Counter("mailbridge_events", "Events in the lives of messages", ["event"], registry=registry)
        #: looked up once, as above
        self._known_events = {event: self.events.labels(event) for event in _EVENTS}
        self.outcomes = Counter(
            "mailbridge_outcomes", "What became of handing messages to a gateway", ["gateway", "outcome"],
            registry=registry,
        )  # fmt: skip
        self.requests = Histogram(
            "mailbridge_gateway_request_seconds", "Time of one request to a gateway", ["gateway", "method"],
            buckets=_REQUEST_STEPS_S, registry=registry,
        )  # fmt: skip
        self.accepted = Histogram(
            "mailbridge_accept_seconds", "From the end of a mail to its reply, the wait for a verdict included",
            buckets=_ACCEPT_STEPS_S, registry=registry,
        )  # fmt: skip
        self.reports = Counter(
            "mailbridge_reports", "What senders were to be told, by mail or in the log alone", ["action", "by"],
            registry=registry,
        )  # fmt: skip
        self.suspensions = Counter(
            "mailbridge_gateway_suspensions", "Times a gateway was suspended", ["gateway", "code"], registry=registry
        )
        self.callbacks = Counter(
            "mailbridge_callbacks", "Callbacks by what was made of them", ["gateway", "result"], registry=registry
        )
        self.inbound = Counter(
            "mailbridge_inbound", "SMS that came in, by what was made of them", ["gateway", "result"], registry=registry
        )
        self.escalations = Counter(
            "mailbridge_escalations", "What became of alerts that somebody has to answer", ["event"], registry=registry
        )
        self.heartbeats = Counter(
            "mailbridge_heartbeats", "Signs of life to the outside, by what became of them", ["result"],
            registry=registry,
        )  # fmt: skip
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Show the known series before anything happened, so that their first increase is seen."""
        for action in Report:
            for by in ("mail", "log"):
                self.reports.labels(action.value, by)
        for event in ("escalated", "acknowledged", "escalation ended"):
            self.escalations.labels(event)

    def count_rejected(self, reply: Reply) -> None:
        """Count a refusal by its code and enhanced code: ``550 5.1.1``."""
        self.rejected.labels(f"{reply.code} {reply.enhanced}".strip()).inc()

    def count_events(self, tally: Mapping[str, int]) -> None:
        """Count events by name."""
        for event, count in tally.items():
            (self._known_events.get(event) or self.events.labels(event)).inc(count)


class _MeteredStore:
    def __init__(self, store: Store, meter: Meter) -> None:
        self._store = store
        self._meter = meter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def put(self, mail: NewMail) -> PutResult:
        result = await self._store.put(mail)
        if result.over is not None:
            return result
        known = len(result.duplicates)
        if known == len(mail.messages):  # a mail that is known as a whole was not stored
            self._meter.mails_known.inc()
            return result
        self._meter.mails_taken.inc()
        events: dict[str, int] = {"suppressed": known} if known else {}
        for message in mail.messages:
            if message.id not in result.duplicates:
                event = message.state.value
                events[event] = events.get(event, 0) + 1
        self._meter.count_events(events)
        return result

    async def claim(self, **asked: Any) -> Claims:
        claimed = await self._store.claim(**asked)
        if claimed.held:
            self._meter.count_events({"deferred": len(claimed.held)})
        if claimed:
            self._meter.count_events({"attempt": sum(len(request.messages) for request in claimed)})
        return claimed

    async def apply(self, changes: Sequence[Change]) -> Sequence[bool]:
        applied = await self._store.apply(changes)
        events = (change.event for change, took in zip(changes, applied, strict=True) if took and change.event)
        self._meter.count_events(Tally(events))
        return applied

    async def advance(self, advance: Advance) -> bool:
        done = await self._store.advance(advance)
        if done:
            queued = () if advance.mail is None else advance.mail.messages
            self._meter.count_events(
                Tally([*(change.event for change in advance.changes if change.event), *("queued" for _ in queued)])
            )
        return done

    async def close_gathering(self, closing: Closing) -> bool:
        closed = await self._store.close_gathering(closing)
        if closed:
            queued = [] if closing.mail is None else ["queued"]
            self._meter.count_events(Tally([*(change.event for change in closing.changes if change.event), *queued]))
        return closed


class _MeteredGateway:
    def __init__(self, gateway: Gateway, meter: Meter, clock: Clock) -> None:
        self._gateway = gateway
        self._meter = meter
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gateway, name)

    async def send(self, batch: Batch) -> Sequence[Outcome]:
        outcomes: Sequence[Outcome] = await self._timed("send", batch)
        name = self._gateway.name
        for outcome, count in Tally(type(outcome).__name__.lower() for outcome in outcomes).items():
            self._meter.outcomes.labels(name, outcome).inc(count)
        return outcomes

    async def status(self, queries: Sequence[StatusQuery]) -> Any:
        return await self._timed("status", queries)

    async def balance(self) -> Any:
        return await self._timed("balance")

    async def inbox(self, **asked: Any) -> Any:
        return await self._timed("inbox", **asked)

    async def _timed(self, method: str, *arguments: Any, **named: Any) -> Any:
        began = self._clock.monotonic()
        try:
            return await getattr(self._gateway, method)(*arguments, **named)
        finally:
            self._meter.requests.labels(self._gateway.name, method).observe(self._clock.monotonic() - began)


def metered_store(store: Store, meter: Meter) -> Store:
    """Return *store*, counting what is committed through it."""
    return cast("Store", _MeteredStore(store, meter))


def metered_gateway(gateway: Gateway, meter: Meter, clock: Clock) -> Gateway:
    """Return *gateway*, timing its requests and counting its outcomes."""
    return cast("Gateway", _MeteredGateway(gateway, meter, clock))
