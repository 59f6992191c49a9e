"""Rows, policies and a scripted gateway for tests of the delivery."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from mailbridge.delivery.decide import Policy
from mailbridge.delivery.retry import Backoff
from mailbridge.gateway.contract import Batch, Price, Silence, StatusAnswer, StatusMiss, StatusQuery
from mailbridge.model.message import Message
from mailbridge.model.outcome import Accepted, Balance, ErrorClass, Outcome, SmsError, Suspended
from mailbridge.model.state import State
from mailbridge.queue.contract import StoredMessage
from tests.support.clock import START as NOW
from tests.support.sms import message

POLICY = Policy(backoff=Backoff(min_s=5, max_s=300), poll_s=30, quarantine_s=150, on_unknown="hold")
MIDDLE = 0.5


def error(code: str = "7", error_class: ErrorClass = ErrorClass.REFUSED, text: str = "words") -> SmsError:
    """Build an error."""
    return SmsError(code=code, text=text, error_class=error_class)


def row(id_: str = "AAAAAAAAAA.1", **fields: Any) -> StoredMessage:
    """Build a stored message, ``sending`` in its first attempt unless told otherwise."""
    sms = fields.pop("message", None) or message(fields.pop("text", "Hello"), fields.pop("phone", "+79990000001"))
    defaults: dict[str, Any] = {
        "mail_id": id_.partition(".")[0], "message": sms, "recipient": f"{sms.phone}@sms.local", "notify": None,
        "orcpt": None, "state": State.SENDING, "attempts": 1, "gateway": "main", "gateway_id": "5001",
        "attempted_at": NOW, "unknown_since": None, "asked": 0, "parts": 1, "price": None, "currency": None,
        "error": None, "created_at": NOW, "updated_at": NOW, "next_attempt_at": NOW,
        "expires_at": NOW + timedelta(days=1),
    }  # fmt: skip
    return StoredMessage(id=id_, **(defaults | fields))


def later(seconds: float) -> datetime:
    """Return the moment so many seconds after the tests' start."""
    return NOW + timedelta(seconds=seconds)


class ScriptedGateway:
    """A gateway whose answers a test writes: a real implementation of the port, without a network."""

    def __init__(self, name: str = "main", *, max_batch: int = 100) -> None:
        self.name = name
        self.max_batch = max_batch
        self.batches: list[Batch] = []
        #: what to answer; by default everything is accepted
        self.answer: Callable[[Batch], Sequence[Outcome]] = self.accept
        self.statuses: dict[tuple[str, str], StatusAnswer] = {}
        self.asked: list[Sequence[StatusQuery]] = []
        self.balance_answer: Balance | Suspended | SmsError = Balance(gateway=name, balance=Decimal(10), currency="RUR")
        self.balances = 0
        #: set to keep requests in flight until released
        self.gate: asyncio.Event | None = None
        self.most_in_flight = 0
        self._in_flight = 0

    @staticmethod
    def accept(batch: Batch) -> Sequence[Outcome]:
        """Accept every message."""
        return [Accepted(gateway_id=batch.gateway_id, parts=sms.parts) for sms in batch.messages]

    def batch_key(self, sms: Message) -> Hashable | None:
        """Messages of one sender share a request."""
        return sms.sender

    async def send(self, batch: Batch) -> Sequence[Outcome]:
        """Answer as scripted."""
        self.batches.append(batch)
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            if self.gate is not None:
                await self.gate.wait()
            return self.answer(batch)
        finally:
            self._in_flight -= 1

    async def status(self, queries: Sequence[StatusQuery]) -> Sequence[StatusAnswer]:
        """Answer from ``statuses``; what is not there is not found."""
        self.asked.append(queries)
        return [self.statuses.get((query.phone, query.gateway_id), StatusMiss.NOT_FOUND) for query in queries]

    def silent(self, for_s: float) -> Callable[[Sequence[StatusQuery]], Awaitable[Silence]]:
        """Return a ``status`` that wants to hear nothing for so long."""

        async def status(queries: Sequence[StatusQuery]) -> Silence:
            self.asked.append(queries)
            return Silence(for_s)

        return status

    async def balance(self) -> Balance | Suspended | SmsError:
        """Answer ``balance_answer``."""
        self.balances += 1
        return self.balance_answer

    async def price(self, _sms: Message) -> Price | SmsError:
        """Answer a fixed price."""
        return Price(cost=Decimal("1.40"), parts=1)

    async def aclose(self) -> None:
        """Nothing is open."""
