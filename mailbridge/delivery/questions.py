"""The duties that ask a gateway: what became of messages, and whether a suspended gateway is well again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import structlog

from mailbridge.clock import Clock
from mailbridge.delivery.board import Board, Carrier
from mailbridge.delivery.breaker import is_probe_due
from mailbridge.delivery.receipts import decide_answer, decide_receipt
from mailbridge.gateway.contract import StatusAnswer, StatusMiss, StatusQuery
from mailbridge.model.outcome import Receipt, SmsError
from mailbridge.model.state import FINAL, State
from mailbridge.queue.contract import Attempt, Change, Store, StoredMessage

log = structlog.get_logger()

_ASKED = frozenset({State.UNKNOWN, State.SENT})
_AT_ONCE = 100


class Questions:
    """Asks ``status`` about messages that are ``unknown`` (all their attempts) or ``sent``, in batches."""

    idle_s = 1.0

    def __init__(self, *, store: Store, board: Board, clock: Clock, wake: Callable[[], None]) -> None:
        self._store = store
        self._board = board
        self._clock = clock
        self._wake = wake

    async def step(self) -> int:
        """Ask about what is due, one request a gateway; return how many messages were asked about."""
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
            await self._apply([_not_now(row, self._clock) for row in rows], {})
            return
        queries, owners = [], []
        best: dict[str, StatusAnswer] = {}
        for row in rows:
            if row.state is State.SENT and carrier.policy.poll_s <= 0:
                best[row.id] = StatusMiss.NO_ANSWER  # only callbacks tell; none came in time
                continue
            for attempt in await self._attempts(row):
                queries.append(StatusQuery(row.message.phone, attempt))
                owners.append(row)
        answers: list[StatusAnswer] = []
        for start in range(0, len(queries), carrier.gateway.max_batch):
            answers += await self._status(carrier, queries[start : start + carrier.gateway.max_batch])
        for row, answer in zip(owners, answers, strict=True):
            best[row.id] = _better(best.get(row.id), answer)
        now = self._clock.now()
        changes = [
            change
            for row in rows
            if (change := decide_answer(row, best[row.id], policy=carrier.policy, read=carrier.read, now=now))
        ]
        by_id = {row.id: row for row in rows}
        await self._apply(changes, by_id)
        # a first attempt has no older ones: nearly all need no look at the store
        await self._audit(carrier, [change for change in changes if by_id[change.message_id].attempts > 1])

    async def _attempts(self, row: StoredMessage) -> Sequence[str]:
        """Return the gateway ids to ask about: of all attempts while it is unknown which one was taken."""
        if row.state is not State.UNKNOWN or row.attempts <= 1:
            return [row.gateway_id or ""]
        return [a.gateway_id for a in await self._store.attempts_of(row.id) if a.gateway == row.gateway]

    async def _status(self, carrier: Carrier, queries: Sequence[StatusQuery]) -> Sequence[StatusAnswer]:
        carrier.pace.start()
        try:
            return await carrier.gateway.status(queries)
        except Exception:
            log.exception("question broke", gateway=carrier.name)
            return [StatusMiss.NO_ANSWER] * len(queries)
        finally:
            carrier.pace.finish(too_many=False)

    async def _apply(self, changes: Sequence[Change], rows: Mapping[str, StoredMessage]) -> None:
        applied = await self._store.apply(changes)
        requeued = False
        for change, took in zip(changes, applied, strict=True):
            if took and change.event:
                phone = rows[change.message_id].message.phone if change.message_id in rows else ""
                log.info(change.event, id=change.message_id, phone=phone, **change.detail)
                requeued = requeued or change.to is State.QUEUED
        if requeued:
            self._wake()

    async def _audit(self, carrier: Carrier, changes: Sequence[Change]) -> None:
        """Ask once more about the older attempts of what has ended, and report a double: it is never hidden."""
        for change in changes:
            if change.to not in FINAL or not change.gateway_id:
                continue
            older: list[Attempt] = [
                attempt
                for attempt in await self._store.attempts_of(change.message_id)
                if attempt.gateway_id != change.gateway_id and attempt.gateway == carrier.name
            ]
            if not older:
                continue
            row = (await self._store.get_messages(change.message_id))[0]
            answers = await self._status(
                carrier, [StatusQuery(row.message.phone, attempt.gateway_id) for attempt in older]
            )
            for attempt, answer in zip(older, answers, strict=True):
                if isinstance(answer, Receipt) and carrier.read(answer).state is not State.UNDELIVERED:
                    log.error(
                        "double", id=row.id, phone=row.message.phone, gateway=carrier.name,
                        gateway_ids=[attempt.gateway_id, change.gateway_id],
                    )  # fmt: skip


def _not_now(row: StoredMessage, clock: Clock) -> Change:
    now = clock.now()
    return Change(
        message_id=row.id, expect=frozenset({row.state}), attempt=row.attempts, to=row.state, at=now, event="",
        next_attempt_at=now + timedelta(minutes=10), asked=row.asked,
    )  # fmt: skip


def _better(one: StatusAnswer | None, other: StatusAnswer) -> StatusAnswer:
    """Of the answers about several attempts of one message: found beats no answer beats not found."""
    if one is None or isinstance(other, Receipt):
        return other if not isinstance(one, Receipt) else one
    if isinstance(one, Receipt) or other is StatusMiss.NOT_FOUND:
        return one
    return other


class Prober:
    """Asks suspended gateways, at their growing interval, whether they are well again."""

    idle_s = 1.0

    def __init__(self, *, board: Board, clock: Clock, wake: Callable[[], None]) -> None:
        self._board = board
        self._clock = clock
        self._wake = wake

    async def step(self) -> int:
        """Probe whatever is due; the next probe's time is set by its answer, so there is never more work at once."""
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

    def __init__(self, *, store: Store, board: Board, clock: Clock) -> None:
        self._store = store
        self._board = board
        self._clock = clock

    async def take(self, receipt: Receipt) -> bool:
        """Carry out what *receipt* means; False when it names no message of ours. Raises StoreError."""
        carrier = self._board.carriers.get(receipt.gateway)
        key = (receipt.gateway, receipt.gateway_id, receipt.phone)
        while True:
            row = (await self._store.find_attempts([key])).get(key)
            if carrier is None or row is None:
                return False
            change = decide_receipt(row, receipt, policy=carrier.policy, read=carrier.read, now=self._clock.now())
            if change is None:
                return True
            if (await self._store.apply([change]))[0]:
                log.info(change.event, id=row.id, phone=row.message.phone, by="callback", **change.detail)
                return True
            # the row moved on in between (the answer to the request came in): it will not be told again, so look again
