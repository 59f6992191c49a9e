"""The duties that ask a gateway: what became of messages, and whether a suspended gateway is well again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import structlog
from structlog.typing import FilteringBoundLogger

from mailbridge.clock import Clock
from mailbridge.delivery import breaker
from mailbridge.delivery.audit import Audit, ended_attempts
from mailbridge.delivery.board import Board, Carrier
from mailbridge.delivery.breaker import is_probe_due
from mailbridge.delivery.poll import MIN_INTERVAL_S
from mailbridge.delivery.receipts import choose, decide_answer, decide_receipt
from mailbridge.delivery.rush import QUESTIONS_LATE_S, Rush
from mailbridge.errors import StoreError
from mailbridge.gateway.contract import Silence, StatusAnswer, StatusMiss, StatusQuery
from mailbridge.model.outcome import Receipt, SmsError, Suspended
from mailbridge.model.state import State
from mailbridge.queue.contract import Change, Store, StoredMessage

#: assembled anew for each line, as long as it is not bound
log = structlog.get_logger()

_ASKED = frozenset({State.UNKNOWN, State.SENT})
_AT_ONCE = 100
#: until the next look at a message whose gateway left the configuration, or refuses whoever asks
_GONE_S = 600.0
_SHUT_S = 60.0


class Questions:
    """Asks ``status`` about messages that are ``unknown`` (all their attempts) or ``sent``, in batches."""

    idle_s = 1.0

    def __init__(
        self, *, store: Store, board: Board, clock: Clock, wake: Callable[[], None], audit: Audit, rush: Rush
    ) -> None:
        self._rush = rush
        self._put_off_since_s: float | None = None
        self._store = store
        self._board = board
        self._clock = clock
        self._wake = wake
        self._audit = audit
        #: after store trouble nobody is asked again before that: the gateway limits questions about one message
        self._silent_until_s = clock.monotonic()

    async def step(self) -> int:
        """Ask about what is due, one request a gateway; return how many messages were asked about."""
        if self._clock.monotonic() < self._silent_until_s or self._is_put_off():
            return 0
        await self._audit.step()
        try:
            return await self._ask_due()
        except StoreError:
            self._silent_until_s = self._clock.monotonic() + MIN_INTERVAL_S
            raise

    def _is_put_off(self) -> bool:
        """Let the door go first while mails pour in, but not for long."""
        now_s = self._clock.monotonic()
        if not self._rush.is_on:
            self._put_off_since_s = None
            return False
        if self._put_off_since_s is None:
            self._put_off_since_s = now_s
        return now_s - self._put_off_since_s < QUESTIONS_LATE_S

    async def _ask_due(self) -> int:
        rows = await self._store.due_questions(now=self._clock.now(), limit=_AT_ONCE, states=_ASKED)
        by_carrier: dict[str, list[StoredMessage]] = {}
        for row in rows:
            by_carrier.setdefault(row.gateway or "", []).append(row)
        await asyncio.gather(*(self._ask(name, some) for name, some in by_carrier.items()))
        return len(rows)

    async def _ask(self, name: str, rows: Sequence[StoredMessage]) -> None:
        carrier = self._board.carriers.get(name)
        if carrier is None:
            # its gateway left the configuration: nobody can be asked, the lifetime decides
            await self._put_off(rows, _GONE_S)
            return
        if (silence_s := self._board.silence_s(carrier)) or self._board.is_shut(name):
            await self._put_off(rows, silence_s or _SHUT_S)
            return
        queries, owners = [], []
        asked_at, is_in_doubt = self._clock.now(), self._board.doubt.is_on()
        heard: dict[str, dict[str, StatusAnswer]] = {row.id: {} for row in rows}
        for row in rows:
            if row.state is State.SENT and carrier.policy.poll_s <= 0:
                continue  # only callbacks tell; none came in time
            for attempt in await self._attempts(row):
                queries.append(StatusQuery(row.message.phone, attempt, accepted=row.state is State.SENT))
                owners.append(row)
        answers: list[StatusAnswer] = []
        for start in range(0, len(queries), carrier.gateway.max_batch):
            answers += await self._status(carrier, queries[start : start + carrier.gateway.max_batch])
        for row, query, answer in zip(owners, queries, answers, strict=True):
            is_believed = not (is_in_doubt and answer in {StatusMiss.NOT_FOUND, StatusMiss.NOBODY_KNOWS})
            heard[row.id][query.gateway_id] = answer if is_believed else StatusMiss.NO_ANSWER
        policy, read, now = carrier.policy, carrier.read, self._clock.now()
        changes = []
        for row in rows:
            answer = choose(row, heard[row.id], policy=policy, read=read, asked_at=asked_at)
            change = decide_answer(row, answer, policy=policy, read=read, now=now, asked_at=asked_at)
            if change is not None:
                changes.append(change)
        by_id = {row.id: row for row in rows}
        await self._apply(changes, by_id)
        for change in changes:
            self._audit.note(by_id[change.message_id], change)

    async def _attempts(self, row: StoredMessage) -> Sequence[str]:
        """Return the gateway ids to ask about: of all attempts while it is unknown which one was taken."""
        if row.state is not State.UNKNOWN or row.attempts <= 1:
            return [row.gateway_id or ""]
        ended = await ended_attempts(self._store, row.id)
        attempts = await self._store.attempts_of(row.id)
        return [a.gateway_id for a in attempts if a.gateway == row.gateway and a.gateway_id not in ended]

    async def _status(self, carrier: Carrier, queries: Sequence[StatusQuery]) -> Sequence[StatusAnswer]:
        no_answers = [StatusMiss.NO_ANSWER] * len(queries)
        if self._board.is_shut(carrier.name) or self._board.silence_s(carrier):
            return no_answers
        carrier.pace.start()
        try:
            answers = await carrier.gateway.status(queries)
        except Exception:
            log.exception("question broke", gateway=carrier.name)
            return no_answers
        finally:
            carrier.pace.finish(too_many=False)
        if isinstance(answers, Suspended):
            await self._board.suspend(carrier.name, breaker.trouble_of(answers))
            return no_answers
        if isinstance(answers, Silence):
            await self._board.silence(carrier, answers.for_s)
            return no_answers
        return answers

    async def _put_off(self, rows: Sequence[StoredMessage], wait_s: float) -> None:
        """Ask about *rows* later; nothing is known of them that was not before."""
        now = self._clock.now()
        await self._store.apply(
            [
                Change(
                    message_id=row.id, expect=frozenset({row.state}), attempt=row.attempts, to=row.state, at=now,
                    event="", next_attempt_at=now + timedelta(seconds=wait_s), asked=row.asked,
                )
                for row in rows
            ]
        )  # fmt: skip

    async def _apply(self, changes: Sequence[Change], rows: Mapping[str, StoredMessage]) -> None:
        applied = await self._store.apply(changes)
        tell, requeued = log.bind(), False
        for change, took in zip(changes, applied, strict=True):
            if took and change.event:
                phone = rows[change.message_id].message.phone if change.message_id in rows else ""
                _log_change(tell, change, id=change.message_id, phone=phone, **change.detail)
                requeued = requeued or change.to is State.QUEUED
        if requeued:
            self._wake()


def _log_change(tell: FilteringBoundLogger, change: Change, **fields: object) -> None:
    """Log what became of a message; an SMS that did not arrive is a warning."""
    is_bad = change.to in {State.UNDELIVERED, State.EXPIRED, State.FAILED}
    (tell.warning if is_bad else tell.info)(change.event, **fields)


class Prober:
    """Asks suspended gateways, at their growing interval, whether they are well again."""

    idle_s = 1.0

    def __init__(self, *, board: Board, clock: Clock, wake: Callable[[], None]) -> None:
        self._board = board
        self._clock = clock
        self._wake = wake

    async def step(self) -> int:
        """Probe whatever is due; the next probe's time is set by its answer, so there is never more work at once."""
        await self._board.end_trials()
        now = self._clock.now()
        due = [name for name, state in self._board.states.items() if is_probe_due(state, now=now)]
        await asyncio.gather(*(self._probe(self._board.carriers[name]) for name in due))
        return 0

    async def _probe(self, carrier: Carrier) -> None:
        answer = await carrier.gateway.balance()
        fields: dict[str, object] = {"gateway": carrier.name, "ok": not isinstance(answer, SmsError)}
        if isinstance(answer, SmsError):
            fields |= {"code": answer.code, "text": answer.text}
        log.info("probe", **fields)
        await self._board.probed(carrier.name, answer)
        if not self._board.states[carrier.name].suspended:
            self._wake()


class Receipts:
    """Takes in what gateways report by themselves, through callbacks."""

    def __init__(
        self,
        *,
        store: Store,
        board: Board,
        clock: Clock,
        audit: Audit,
        failpoint: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._store = store
        self._board = board
        self._clock = clock
        self._audit = audit
        self._failpoint = failpoint

    async def take(self, receipt: Receipt) -> bool:
        """Carry out what *receipt* means; False when it names no message of ours. Raises StoreError."""
        carrier = self._board.carriers.get(receipt.gateway)
        key = (receipt.gateway, receipt.gateway_id, receipt.phone)
        while True:
            row = (await self._store.find_attempts([key])).get(key)
            if carrier is None or row is None:
                return False
            # a message that went well so far has no failed attempt: nearly all need no look at the history
            ended = frozenset() if row.error is None else await ended_attempts(self._store, row.id)
            change = decide_receipt(
                row, receipt, policy=carrier.policy, read=carrier.read, now=self._clock.now(), ended=ended
            )
            if change is None:
                return True
            self._failpoint("before callback commit")
            if (await self._store.apply([change]))[0]:
                self._failpoint("after callback commit")
                self._audit.note(row, change)
                _log_change(log.bind(), change, id=row.id, phone=row.message.phone, by="callback", **change.detail)
                return True
            # the row moved on in between (the answer to the request came in): it will not be told again, so look again
