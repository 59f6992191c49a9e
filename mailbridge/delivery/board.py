"""Which gateways take messages now: the breaker's states, kept in the store, and each gateway's pace.

The one place that knows both; dispatcher, questions, prober, health and metrics read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import structlog

from mailbridge.clock import Clock
from mailbridge.delivery import breaker
from mailbridge.delivery.breaker import Trouble
from mailbridge.delivery.decide import Policy
from mailbridge.delivery.jumps import Doubt
from mailbridge.delivery.pace import Pace
from mailbridge.delivery.receipts import Read
from mailbridge.delivery.routes import Route, next_ways, ways_of
from mailbridge.errors import StoreError
from mailbridge.gateway.contract import Gateway
from mailbridge.model.outcome import Balance, ErrorClass, SmsError, Suspended
from mailbridge.queue.cluster import Pulse
from mailbridge.queue.contract import GatewayState, Store, StoredMessage

log = structlog.get_logger()


class Carrier:
    """One gateway with what delivery keeps beside it."""

    def __init__(self, gateway: Gateway, *, policy: Policy, read: Read, max_in_flight: int) -> None:
        self.gateway = gateway
        self.policy = policy
        self.read = read
        self._max_in_flight = max_in_flight
        self.pace = Pace(max_in_flight, most_size=gateway.max_batch)
        #: transport failures in a row
        self.failures = 0
        #: until then, in monotonic seconds, it asked for silence
        self.silent_until_s = 0.0
        #: money left, as last heard
        self.balance: Decimal | None = None

    @property
    def name(self) -> str:
        """The gateway's name in the configuration."""
        return self.gateway.name

    def share(self, pulse: Pulse) -> None:
        """Take this node's part of the requests that all nodes together may have in flight."""
        part, rest = divmod(self._max_in_flight, pulse.nodes)
        self.pace.allow(part + (pulse.place < rest))


#: called with the state before and after, when a trouble begins (suspended) or is over (not on trial any more)
Announce = Callable[[GatewayState, GatewayState], None]


class Board:
    """The gateways in the order of the configuration and whether each takes messages now."""

    def __init__(
        self,
        carriers: Sequence[Carrier],
        *,
        store: Store,
        clock: Clock,
        announce: Announce,
        routes: Sequence[Route] = (),
    ) -> None:
        self.carriers = {carrier.name: carrier for carrier in carriers}
        #: which numbers go which way; none: all of them through the first gateway that takes messages
        self.routes = routes
        #: how many nodes there are, and which of them this is
        self.pulse = Pulse()
        self._store = store
        self._clock = clock
        self._announce = announce
        #: whether a quarantine can be known to be over now
        self.doubt = Doubt(clock, longest_s=self._longest_quarantine_s)
        self._states = {name: GatewayState(name=name) for name in self.carriers}
        self._troubles: dict[str, Trouble] = {}
        #: odd answers to probes, in a row
        self._odd: dict[str, int] = {}
        #: code and end of each gateway's last trouble
        self._ended: dict[str, tuple[str, datetime]] = {}

    def _longest_quarantine_s(self) -> float:
        return max((carrier.policy.quarantine_s for carrier in self.carriers.values()), default=0.0)

    def share(self, pulse: Pulse) -> None:
        """Divide what the gateways allow among the nodes."""
        self.pulse = pulse
        for carrier in self.carriers.values():
            carrier.share(pulse)

    @property
    def states(self) -> Mapping[str, GatewayState]:
        """State of each gateway."""
        return self._states

    def replace(self, carriers: Sequence[Carrier], routes: Sequence[Route] = ()) -> list[Carrier]:
        """Exchange the gateways after a reload; return the old ones, whose requests in flight still end."""
        old, self.routes = list(self.carriers.values()), routes
        self.carriers = {carrier.name: carrier for carrier in carriers}
        self._states = {name: self._states.get(name, GatewayState(name=name)) for name in self.carriers}
        self.share(self.pulse)
        return old

    def open_carriers(self) -> list[Carrier]:
        """Return the gateways that take messages now, best first."""
        return [
            carrier
            for name, carrier in self.carriers.items()
            if not self._states[name].suspended and not self.silence_s(carrier)
        ]

    def ways_of(self, row: StoredMessage) -> tuple[str, ...]:
        """Return the gateways that may carry *row*, best first."""
        return ways_of(row, self.routes, tuple(self.carriers))

    def next_way(self, row: StoredMessage) -> str | None:
        """Return the gateway after the one *row* was given to last, None where that was the last."""
        return next(iter(next_ways(row, self.routes, tuple(self.carriers))), None)

    def silence_s(self, carrier: Carrier) -> float:
        """Return how much longer *carrier* wants to hear nothing."""
        return max(0.0, carrier.silent_until_s - self._clock.monotonic())

    async def silence(self, carrier: Carrier, seconds: float) -> None:
        """Leave *carrier* alone for so long, as it asked (HTTP 429 with Retry-After); nothing is wrong with it."""
        log.warning("gateway silent", gateway=carrier.name, for_s=round(seconds, 1))
        self.heed({carrier.name: seconds})
        if self._store.cluster is not None:
            try:
                await self._store.cluster.silence(gateway=carrier.name, seconds=seconds)
            except StoreError as error:
                # the others hear it from the gateway
                log.warning("store trouble", doing="silence", because=str(error))

    def heed(self, silences: Mapping[str, float]) -> None:
        """Leave gateways alone for so many seconds, whichever node they told."""
        for name, seconds in silences.items():
            if (carrier := self.carriers.get(name)) is not None:
                carrier.silent_until_s = max(carrier.silent_until_s, self._clock.monotonic() + seconds)

    def room(self, carrier: Carrier) -> int:
        """Return how many more requests may start at *carrier* now: one in all nodes while it is on trial."""
        state = self._states.get(carrier.name)
        if state is not None and breaker.is_unproved(state):
            if self.pulse.place:
                return 0
            return min(carrier.pace.free, max(0, 1 - carrier.pace.in_flight))
        return carrier.pace.free

    def size(self, carrier: Carrier) -> int:
        """Return how many messages the next request to *carrier* may hold.

        One while it is on trial because requests got no answer: should this one get none either, a single message is
        in doubt, and no other can have spoilt it.
        """
        state = self._states.get(carrier.name)
        if state is not None and breaker.is_unproved(state) and state.code == breaker.TRANSPORT_CODE:
            return 1
        return carrier.pace.size

    def is_shut(self, name: str) -> bool:
        """Tell whether *name* is to be asked nothing now."""
        return name in self._states and breaker.is_shut(self._states[name])

    def trouble_code(self, name: str) -> str:
        """Return the code of the trouble that *name* is suspended or on trial for; empty where it is well."""
        return self._states[name].code if name in self._states else ""

    def trouble(self) -> SmsError | None:
        """Return why no gateway takes messages, in the words of the first; None where one does."""
        if not self._states or not all(state.suspended for state in self._states.values()):
            return None
        state = next(iter(self._states.values()))
        return SmsError(code=state.code, text=state.reason, error_class=ErrorClass.SUSPENDED)

    async def load(self, *, asks: bool = True) -> None:
        """Read the states that an earlier run left, and, if it *asks*, have the suspended ones asked at once.

        Nobody is told: whoever was to know heard of it when it began.
        """
        kept = await self._store.gateway_states()
        for name in self.carriers:
            state = kept.get(name, GatewayState(name=name))
            if state.suspended:
                log.warning("gateway still suspended", gateway=name, code=state.code, reason=state.reason)
                if asks and not state.by_hand:
                    state = replace(state, probe_at=self._clock.now())
                    # or the next look at what others did would bring the old time back
                    await self._save(state)
            self._states[name] = state

    async def follow(self) -> None:
        """Take over what a person's verb, or another node, did to the gateways."""
        kept = await self._store.gateway_states()
        for name in self.carriers:
            self._note(kept.get(name, GatewayState(name=name)))

    async def suspend(self, name: str, trouble: Trouble) -> None:
        """Leave *name* alone until a probe finds it well."""
        if name not in self.carriers:
            return
        state = breaker.suspend(self._states[name], trouble, now=self._clock.now())
        if state is not self._states[name]:
            self._troubles[name] = trouble
            await self._set(state)

    async def probed(self, name: str, answer: Balance | Suspended | SmsError) -> None:
        """Take a probe's answer in."""
        if isinstance(answer, Balance):
            carrier = self.carriers[name]
            carrier.balance = answer.balance
            if answer.currency:
                carrier.policy = replace(carrier.policy, currency=answer.currency)
        state = self._states[name]
        if not state.suspended:
            return
        trouble = self._troubles.get(name) or breaker.trouble_left(state)
        if isinstance(answer, Suspended):
            self._troubles[name] = breaker.trouble_of(answer)
        self._odd[name] = self._odd.get(name, 0) + 1 if breaker.is_odd(answer) else 0
        now = self._clock.now()
        after = breaker.after_probe(state, answer, trouble=trouble, odd_answers=self._odd[name], now=now)
        if not after.suspended:
            self._odd[name] = 0
            if not await self._is_awaited(name, now):
                after = GatewayState(name=name)
        await self._set(after)

    async def _is_awaited(self, name: str, now: datetime) -> bool:
        """Tell whether a message will put *name* to the proof soon."""
        try:
            due_at = await self._store.next_due_at(frozenset({name}))
        except StoreError:
            return True
        return due_at is not None and due_at <= now + timedelta(seconds=breaker.TRIAL_S)

    async def accepted(self, name: str) -> None:
        """Take in that *name* accepted a message: what is on trial has passed."""
        state = self._states.get(name)
        if state is not None and breaker.is_unproved(state):
            code, ended_at = self._ended.get(name, ("", None))
            known_at = ended_at if code == state.code else None
            await self._set(breaker.after_success(state, ended_at=known_at, now=self._clock.now()))

    async def clock_set_back(self) -> None:
        """Have suspended gateways asked now: the time of their next probe lies as far ahead as the clock was set.

        Of several nodes the first alone: it is its clock that they wait for.
        """
        if self.pulse.place:
            return
        now = self._clock.now()
        latest_end = now + timedelta(seconds=breaker.RESTLESS_S)
        for state in tuple(self._states.values()):
            if state.probe_at is not None and not state.by_hand:
                await self._set(replace(state, probe_at=min(state.probe_at, now if state.suspended else latest_end)))

    async def end_trials(self) -> None:
        """End the trials in which nothing happened."""
        for state in tuple(self._states.values()):
            after = breaker.after_calm(state, now=self._clock.now())
            if after is not state:
                await self._set(after)

    async def transport(self, name: str, error: SmsError | None) -> None:
        """Count a request that got no usable answer (*error*), or one that got one (None)."""
        carrier = self.carriers.get(name)
        if carrier is None:
            return  # left the configuration while its request was under way
        carrier.failures = 0 if error is None else carrier.failures + 1
        if error is not None and carrier.failures >= breaker.TRANSPORT_FAILURES:
            carrier.failures = 0
            await self.suspend(name, breaker.transport_trouble(error))

    def _begin_again(self, name: str, was: GatewayState) -> None:
        """After a broken connection one more failure is enough: a probe that got through proves little."""
        if was.code == breaker.TRANSPORT_CODE:
            self.carriers[name].failures = breaker.TRANSPORT_FAILURES - 1

    async def _set(self, state: GatewayState) -> None:
        self._note(state)
        await self._save(state)

    async def _save(self, state: GatewayState) -> None:
        try:
            await self._store.save_gateway_state(state)
        except StoreError as error:
            # it holds in this process all the same; the next change is written again
            log.warning("store trouble", doing="save_gateway_state", because=str(error))

    def _note(self, state: GatewayState) -> None:
        before = self._states[state.name]
        self._states[state.name] = state
        if before.suspended and state.on_trial:
            log.info("gateway on trial", gateway=state.name, code=state.code)
        if before.code and not state.code:
            self._ended[state.name] = (before.code, self._clock.now())
        # a relapse is no news, nor is a trial: whoever is to know heard of it when it began, and will when it is over
        begins = state.suspended and not before.suspended and state.code != before.code
        ends = before.code != "" and state.code == ""
        if begins or ends:
            self._announce(before, state)
        if before.suspended and not state.suspended:
            self._begin_again(state.name, before)
