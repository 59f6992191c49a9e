"""The loop that sends: claim what is due, hand it over in batches, settle what came back.

The intent is on disk before a request leaves (``Store.claim``) and the outcome after it (``Store.apply``);
what ends in between makes the row ``unknown``, here or at the next start (``Store.recover``), never ``queued``.
Messages that wait while all slots are taken leave together in the next request; alone, a message leaves at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from structlog.typing import FilteringBoundLogger

from mailbridge.clock import Clock
from mailbridge.delivery import breaker
from mailbridge.delivery.board import Board, Carrier
from mailbridge.delivery.decide import decide_outcome, detail_of, next_way, no_way_now, put_back, split_again
from mailbridge.delivery.membership import Alone, Membership
from mailbridge.delivery.rush import TURN_S, Rush
from mailbridge.delivery.sharing import Opening, Sharing
from mailbridge.delivery.watch import Watch
from mailbridge.errors import StoreError
from mailbridge.gateway.contract import Batch
from mailbridge.loops import wait_for_ring
from mailbridge.model.limits import Over, Throttle, Whose
from mailbridge.model.outcome import Accepted, Deferred, ErrorClass, Outcome, Refused, SmsError, Suspended, Unknown
from mailbridge.queue.contract import Assignment, Change, Claimed, Store, StoredMessage

#: assembled anew for each line, as long as it is not bound
log = structlog.get_logger()

#: how long the loop sleeps at most, so that a clock that jumps or a verb's change is noticed
IDLE_S = 1.0
_STORE_RETRY_S = 0.5
#: a message whose gateways are all suspended is looked at again then
_NO_WAY_S = 5.0
_STOPPED = "the bridge stopped before the request was made"
_LEASE_OVER = "this node was silent for too long before the request was made"
#: bounds of the rows one claim looks at; it doubles with each that finds more to send
_LEAST_LOOK = 50
_MOST_LOOK = 400


class Dispatcher:
    """Sends what is due, for one node."""

    def __init__(
        self,
        *,
        store: Store,
        board: Board,
        watch: Watch,
        clock: Clock,
        random: Callable[[], float],
        node: str,
        rush: Rush,
        lease: Membership | Alone | None = None,
        failpoint: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._rush = rush
        self._store = store
        self._board = board
        self._watch = watch
        self._clock = clock
        self._random = random
        self._node = node
        self._lease = lease or Alone()
        #: a claim's fate is not known: what it may have written nobody would send
        self._is_in_doubt = False
        self._failpoint = failpoint
        #: the limits in force; false where nothing is limited
        self.throttle = Throttle()
        #: the gateways of users who may not take any of them, the best first
        self.preferences: Mapping[str, Sequence[str]] = {}
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        #: set while ``run`` does not
        self._ended = asyncio.Event()
        self._ended.set()
        self._attempts: dict[asyncio.Task[None], tuple[Carrier, Claimed]] = {}
        #: message id -> number of the part of a refused batch it belongs to
        self._parts: dict[str, int] = {}
        self._part_number = 0
        #: how many due rows the next claim looks at
        self._look = _MOST_LOOK
        #: wall time of the loop's last turn, for health
        self.beat_at = clock.now()

    def wake(self) -> None:
        """Something is due now: a mail came in, a gateway is well again, a person asked."""
        self._wake.set()

    def mail_arrived(self) -> None:
        """Mail came in: its messages are due now."""
        self._rush.arrived()
        self._wake.set()

    def takes_messages(self, user: str | None = None) -> bool:
        """Tell whether an attempt made now for a message of *user* would reach a gateway."""
        names = [carrier.name for carrier in self._board.open_carriers()]
        return any(name in self.preferences.get(user or "", names) for name in names)

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return len(self._attempts)

    async def run(self) -> None:
        """Send until ``stop``; an error nobody foresaw costs one turn of the loop."""
        self._ended.clear()
        try:
            while not self._stop.is_set():
                self._wake.clear()
                try:
                    await self._turn()
                except Exception:
                    # no beat: readiness tells when it goes on so
                    log.exception("duty broke", duty="dispatcher")
                    await wait_for_ring(self._stop, IDLE_S, self._clock)
                else:
                    self.beat_at = self._clock.now()
                if self._rush.is_on:
                    await wait_for_ring(self._stop, TURN_S, self._clock)
        finally:
            self._ended.set()

    async def _turn(self) -> None:
        term = self._lease.term
        claimed = await self._claim() if self._lease.permits(term) else ()
        if not claimed:
            await self._sleep()
        elif self._stop.is_set():
            await self._try_to_apply(
                [put_back(row, now=self._clock.now(), because=_STOPPED) for _, one in claimed for row in one.messages]
            )
        else:
            for carrier, request in claimed:
                self._start(carrier, request, term)

    def _start(self, carrier: Carrier, request: Claimed, term: int) -> None:
        carrier.pace.start()
        task = asyncio.create_task(self._attempt(carrier, request, term), name=f"attempt {request.gateway_id}")
        self._attempts[task] = (carrier, request)
        task.add_done_callback(self._attempt_ended)

    async def stop(self, limit_s: float) -> None:
        """Claim nothing more and settle what is in flight, at most *limit_s*; the rest becomes ``unknown``."""
        self._stop.set()
        self._wake.set()
        ends = self._clock.monotonic() + limit_s
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), limit_s)
        if not self._attempts:
            return
        in_flight = dict(self._attempts)
        _done, late = await asyncio.wait(in_flight, timeout=max(0.0, ends - self._clock.monotonic()))
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for task in late:
            await self._try_to_apply(self._give_up(*in_flight[task], code="stopped"))

    def _attempt_ended(self, task: asyncio.Task[None]) -> None:
        self._attempts.pop(task)
        self._wake.set()

    async def _sleep(self) -> None:
        if self._wake.is_set():
            return  # something came up while nothing was found: look again, do not ask when
        wait_s = IDLE_S
        try:
            due_at = await self._store.next_due_at(frozenset(carrier.name for carrier in self._board.open_carriers()))
        except StoreError:
            due_at = None
        if due_at is not None:
            wait_s = min(IDLE_S, max(0.0, (due_at - self._clock.now()).total_seconds()))
            # due already and not claimed: all slots are taken, an attempt that ends wakes us
            wait_s = wait_s or IDLE_S
        await wait_for_ring(self._wake, wait_s, self._clock)

    async def _claim(self) -> Sequence[tuple[Carrier, Claimed]]:
        openings = [
            Opening(one, self._board.room(one), self._board.size(one), self._board.trouble_code(one.name))
            for one in self._board.open_carriers()
        ]
        if not openings:
            self._watch.give_up()
        claimed: list[tuple[Carrier, Claimed]] = []
        for whose, own in divide(self.preferences):
            used = Counter(carrier.name for carrier, _ in claimed)
            mine = [
                replace(one, room=one.room - used[one.carrier.name])
                for one in openings
                if own is None or one.carrier.name in own
            ]
            claimed += await self._claim_for(mine, whose, own)
            if self._is_in_doubt:
                # what is claimed by now leaves first: asking what the lost answer did would take it back
                break
        return claimed

    async def _claim_for(
        self, openings: Sequence[Opening], whose: Whose | None, own: Sequence[str] | None
    ) -> Sequence[tuple[Carrier, Claimed]]:
        room = sum(one.room * one.size for one in openings)
        if room == 0:
            return ()

        def ways(row: StoredMessage) -> Sequence[str]:
            return own_ways(self._board.ways_of(row), own)

        sharing = Sharing(openings, ways, parts=self._parts, one_alone=self._rush.is_on)

        def plan(rows: Sequence[StoredMessage], next_id: Callable[[], int]) -> Sequence[Assignment]:
            self._failpoint("before intent")
            return sharing.plan(rows, next_id)

        try:
            await self._end_doubt()
            claimed = await self._store.claim(
                now=self._clock.now(),
                limit=min(room, self._look),
                node=self._node,
                gateways=frozenset(one.carrier.name for one in openings),
                plan=plan,
                throttle=self.throttle or None,
                whose=whose,
            )
        except StoreError as error:
            log.warning("store trouble", doing="claim", because=str(error))
            self._is_in_doubt = True
            await wait_for_ring(self._wake, _STORE_RETRY_S, self._clock)
            return ()
        for row, over in claimed.held:
            self._log_held(row, over)
        await self._put_off(sharing.stuck)
        # few phones make small requests: to look at many more rows than can leave would be for nothing
        taken = sum(len(request.messages) for request in claimed)
        self._look = max(_LEAST_LOOK, min(2 * taken, _MOST_LOOK))
        # the carrier goes along: a reload may take it off the board before its attempt begins
        by_name = {one.carrier.name: one.carrier for one in openings}
        return [(by_name[request.gateway], request) for request in claimed]

    async def _put_off(self, stuck: Sequence[StoredMessage]) -> None:
        """Let messages whose gateways are all suspended make room for others; nobody waits for their verdict."""
        if not stuck:
            return
        await self._try_to_apply([no_way_now(row, now=self._clock.now(), wait_s=_NO_WAY_S) for row in stuck])
        error = SmsError(code="no way", text="no gateway of its route takes messages", error_class=ErrorClass.DEFERRED)
        for row in stuck:
            self._watch.note(row.id, Deferred(error=error, left=False))

    async def _end_doubt(self) -> None:
        """After a claim that failed: what it wrote all the same, if anything, is asked about. Raises StoreError."""
        if not self._is_in_doubt:
            return
        in_flight = {row.id for _, request in self._attempts.values() for row in request.messages}
        found = await self._store.recover(node=self._node, now=self._clock.now(), keep=in_flight)
        self._is_in_doubt = False
        if found:
            log.warning("recovered", messages=found, now="unknown: the claim's answer was lost")

    def _log_held(self, row: StoredMessage, over: Over) -> None:
        """Say that a limit put *row* off; nobody needs to wait for its verdict."""
        log.info(
            "deferred", id=row.id, phone=row.message.phone, limit=over.limit, config=over.config,
            next_in_s=round((over.until - self._clock.now()) / timedelta(seconds=1), 1),
        )  # fmt: skip
        error = SmsError(code="limit", text=over.limit, error_class=ErrorClass.DEFERRED)
        self._watch.note(row.id, Deferred(error=error, left=False))

    async def _attempt(self, carrier: Carrier, request: Claimed, term: int) -> None:
        try:
            if self._lease.permits(term):
                await self._hand_over(carrier, request)
            else:
                # this node slept: the others may have taken these messages over, which the attempt number shows
                carrier.pace.finish(too_many=False)
                now = self._clock.now()
                await self._apply([put_back(row, now=now, because=_LEASE_OVER) for row in request.messages])
        except Exception:
            # nobody else looks after rows that are `sending`
            log.exception("attempt broke", gateway=carrier.name, gateway_id=request.gateway_id)
            await self._apply(self._give_up(carrier, request, code="internal"))

    async def _hand_over(self, carrier: Carrier, request: Claimed) -> None:
        self._failpoint("after intent")
        tell = log.bind()
        for row in request.messages:
            tell.info("attempt", id=row.id, attempt=row.attempts, gateway=carrier.name, gateway_id=request.gateway_id)
        outcomes: Sequence[Outcome] = ()
        try:
            outcomes = await self._send(carrier, request)
        finally:
            # cancelled: nobody waited for the answer, so nothing is known of the pace
            carrier.pace.finish(
                too_many=any(isinstance(outcome, Deferred) and outcome.slow_down for outcome in outcomes),
                sent=sum(not isinstance(outcome, Deferred) or outcome.left for outcome in outcomes),
                is_answered=not all(isinstance(outcome, Unknown) for outcome in outcomes),
            )
        self._failpoint("after answer")
        await self._settle(carrier, request, outcomes)
        self._failpoint("after settle")

    async def _send(self, carrier: Carrier, request: Claimed) -> Sequence[Outcome]:
        batch = Batch(gateway_id=request.gateway_id, messages=tuple(row.message for row in request.messages))
        try:
            outcomes = await carrier.gateway.send(batch)
            if len(outcomes) != len(request.messages):
                raise ValueError("a gateway must give one outcome for each message")
            return outcomes
        except Exception as error:
            # a bug of ours: bytes may have left, so only asking can tell
            log.exception("attempt broke", gateway=carrier.name, gateway_id=request.gateway_id)
            broke = SmsError(code="internal", text=type(error).__name__, error_class=ErrorClass.UNKNOWN)
            return [Unknown(error=broke)] * len(request.messages)

    async def _settle(self, carrier: Carrier, request: Claimed, outcomes: Sequence[Outcome]) -> None:
        now = self._clock.now()
        if _refused_whole(outcomes):
            self._halve(request.messages)
            changes = [split_again(row, now=now) for row in request.messages]
        else:
            changes = [
                self._decide(row, outcome, carrier, now)
                for row, outcome in zip(request.messages, outcomes, strict=True)
            ]
            for row in request.messages:
                self._parts.pop(row.id, None)
            if _is_poisoned(request, outcomes) or _is_too_dear(outcomes):
                self._halve(request.messages)
        await self._judge(carrier, outcomes)
        await self._apply(changes)
        tell = log.bind()
        for row, outcome, change in zip(request.messages, outcomes, changes, strict=True):
            _log_change(tell, row, change, outcome)
            if change.event != "deferred" or not isinstance(outcome, Refused):
                self._watch.note(row.id, outcome)

    def _decide(self, row: StoredMessage, outcome: Outcome, carrier: Carrier, now: datetime) -> Change:
        # each gateway once: whoever may take some of them alone would else come back to the same one for ever
        is_first = row.error is None or row.error.error_class is not ErrorClass.NO_ROUTE
        has_no_route = isinstance(outcome, Refused) and outcome.no_route
        gateway = self._board.next_way(row) if has_no_route else None
        if isinstance(outcome, Refused) and gateway and (is_first or row.attempts < len(self._board.carriers)):
            return next_way(row, outcome, gateway=gateway, now=now)
        return decide_outcome(row, outcome, policy=carrier.policy, now=now, random=self._random())

    def _halve(self, rows: Sequence[StoredMessage]) -> None:
        middle = len(rows) // 2
        for half in (rows[:middle], rows[middle:]):
            self._part_number += 1
            self._parts.update(dict.fromkeys((row.id for row in half), self._part_number))

    async def _judge(self, carrier: Carrier, outcomes: Sequence[Outcome]) -> None:
        """Let the breaker and the balance know what one request showed about the gateway as a whole."""
        answered = next((outcome for outcome in outcomes if not _is_silence(outcome)), None)
        silence = None if answered is not None else outcomes[0]
        error = silence.error if isinstance(silence, Unknown | Deferred) else None
        await self._board.transport(carrier.name, error)
        first = outcomes[0]
        if isinstance(first, Unknown) and first.retry_after_s:
            await self._board.silence(carrier, first.retry_after_s)
        for outcome in outcomes:
            if isinstance(outcome, Suspended):
                await self._board.suspend(carrier.name, breaker.trouble_of(outcome))
                break
            if isinstance(outcome, Accepted) and outcome.balance is not None:
                carrier.balance = outcome.balance
        if any(isinstance(outcome, Accepted) for outcome in outcomes):
            await self._board.accepted(carrier.name)

    async def _apply(self, changes: Sequence[Change]) -> None:
        """Write what is known, however long the disk takes; only a stop or a crash leaves the rows ``sending``."""
        while True:
            try:
                await self._store.apply(changes)
            except StoreError as error:
                log.warning("store trouble", doing="apply", because=str(error))
                await self._clock.sleep(_STORE_RETRY_S)
            else:
                return

    async def _try_to_apply(self, changes: Sequence[Change]) -> None:
        """Write *changes* once; what fails stays ``sending`` and becomes ``unknown`` at the next start."""
        try:
            await self._store.apply(changes)
        except StoreError as error:
            log.warning("store trouble", doing="stop", because=str(error))

    def _give_up(self, carrier: Carrier, request: Claimed, *, code: str) -> Sequence[Change]:
        """Return the changes for a request whose outcome nobody waits for any more: only asking can tell.

        Those of its rows that were settled are left alone: they are no longer ``sending``.
        """
        error = SmsError(code=code, text="given up before the answer", error_class=ErrorClass.UNKNOWN)
        now = self._clock.now()
        return [
            decide_outcome(row, Unknown(error=error), policy=carrier.policy, now=now, random=0.0)
            for row in request.messages
        ]


def divide(preferences: Mapping[str, Sequence[str]]) -> list[tuple[Whose | None, tuple[str, ...] | None]]:
    """Say whose messages are to be claimed apart, and by which gateways alone they leave; pure.

    *preferences*: the gateways of users who have gateways of their own, best first.
    Shape: everybody else first, with None for all gateways; then users with the same gateways together.
    """
    alike: dict[tuple[str, ...], set[str]] = {}
    for user, own in preferences.items():
        alike.setdefault(tuple(own), set()).add(user)
    others = Whose(users=frozenset(preferences), alone=False) if preferences else None
    return [(others, None), *((Whose(users=frozenset(users), alone=True), own) for own, users in alike.items())]


def own_ways(ways: Sequence[str], own: Sequence[str] | None) -> Sequence[str]:
    """Return *ways*, a message's gateways by its number, as its user may go them; pure.

    *own*: the user's gateways, best first, whose order stands; None: all. A number whose route has none of them goes
    the user's way.
    """
    return ways if own is None else [name for name in own if name in ways] or own


def _is_silence(outcome: Outcome) -> bool:
    """Tell whether *outcome* shows a gateway that was not reached or gave no usable answer."""
    return isinstance(outcome, Unknown) or (isinstance(outcome, Deferred) and not outcome.left)


def _is_poisoned(request: Claimed, outcomes: Sequence[Outcome]) -> bool:
    """Tell whether one message may be what keeps the gateway from answering for all: not the first time it is so.

    What leads to no answer each time must not drag others along for ever.
    """
    again = any(row.attempts > 1 for row in request.messages)
    return len(outcomes) > 1 and again and all(isinstance(outcome, Unknown) for outcome in outcomes)


def _is_too_dear(outcomes: Sequence[Outcome]) -> bool:
    """Tell whether the money does not suffice for a request: for less of it, it may; what is dear alone stays alone."""
    return all(isinstance(outcome, Suspended) and outcome.error.code == breaker.NO_MONEY_CODE for outcome in outcomes)


def _refused_whole(outcomes: Sequence[Outcome]) -> bool:
    first = outcomes[0]
    return len(outcomes) > 1 and isinstance(first, Refused) and first.whole_request


def _log_change(tell: FilteringBoundLogger, row: StoredMessage, change: Change, outcome: Outcome) -> None:
    fields: dict[str, object] = {"id": row.id, "phone": row.message.phone, "attempt": row.attempts}
    if isinstance(outcome, Accepted):
        fields |= {"gateway": row.gateway, "gateway_id": outcome.gateway_id, "parts": outcome.parts}
        if outcome.price is not None:
            fields["price"] = str(outcome.price)
    else:
        fields |= {"gateway": row.gateway, **detail_of(outcome.error)}
        if change.next_attempt_at is not None:
            fields["next_in_s"] = round((change.next_attempt_at - change.at) / timedelta(seconds=1), 1)
    (tell.info if isinstance(outcome, Accepted | Deferred) else tell.warning)(change.event, **fields)
