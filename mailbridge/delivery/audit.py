"""What became of a message's older attempts: a double is never hidden, and an end that is known is no news.

When a message with several attempts ends, the gateway is asked once about the others. It must change nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import structlog

from mailbridge.delivery.board import Board
from mailbridge.gateway.contract import Silence, StatusQuery
from mailbridge.model.outcome import Receipt, Suspended
from mailbridge.model.state import FINAL, State
from mailbridge.queue.contract import Attempt, Change, Store, StoredMessage

log = structlog.get_logger()

_FAILED_THERE = frozenset({State.UNDELIVERED, State.EXPIRED})


async def ended_attempts(store: Store, message_id: str) -> frozenset[str]:
    """Return the gateway ids of the attempts that the gateway has said it failed with, under all their names."""
    named = {
        str(entry.detail["gateway_id"])
        for entry in await store.history(message_id)
        if entry.state in _FAILED_THERE and "gateway_id" in entry.detail
    }
    return frozenset(named | _same_attempts(await store.attempts_of(message_id), named)) if named else frozenset()


def _same_attempts(attempts: Sequence[Attempt], named: Collection[str]) -> set[str]:
    """Return every name of the attempts in *named*: the carrier's own id stands under the same number as ours.

    So does an attempt that counted for nothing, and was never taken.
    """
    numbers = {attempt.number for attempt in attempts if attempt.gateway_id in named}
    return {attempt.gateway_id for attempt in attempts if attempt.number in numbers}


class Audit:
    """Asks about the older attempts of what has ended, and reports doubles."""

    def __init__(self, *, store: Store, board: Board) -> None:
        self._store = store
        self._board = board
        #: message id, gateway id of the attempt that made its end
        self._noted: list[tuple[str, str]] = []

    def note(self, row: StoredMessage, change: Change) -> None:
        """Remember that *change* has ended *row*, where there is something to ask about."""
        # a first attempt has no older ones: nearly all need no look at the store
        if change.to in FINAL and change.gateway_id and row.attempts > 1:
            self._noted.append((row.id, change.gateway_id))

    async def step(self) -> None:
        """Ask about what was noted. Raises StoreError."""
        while self._noted:
            await self._ask(*self._noted[0])
            self._noted.pop(0)

    async def _ask(self, message_id: str, ended_with: str) -> None:
        rows = await self._store.get_messages(message_id)
        attempts = await self._store.attempts_of(message_id)
        known = _same_attempts(attempts, {ended_with})
        for attempt in attempts:
            carrier = self._board.carriers.get(attempt.gateway)
            if attempt.gateway_id in known or carrier is None or not rows or self._board.is_shut(carrier.name):
                continue
            phone = rows[0].message.phone
            try:
                answers = await carrier.gateway.status([StatusQuery(phone, attempt.gateway_id)])
            except Exception:
                # whoever is asked about next must not pay for it
                log.exception("question broke", gateway=carrier.name)
                continue
            if isinstance(answers, Silence):
                await self._board.silence(carrier, answers.for_s)
                continue
            answer = None if isinstance(answers, Suspended) else answers[0]
            if isinstance(answer, Receipt) and carrier.read(answer).state not in _FAILED_THERE:
                log.error(
                    "double", id=message_id, phone=phone, gateway=attempt.gateway,
                    gateway_ids=[attempt.gateway_id, ended_with],
                )  # fmt: skip
