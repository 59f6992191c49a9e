"""What delivery may ask of a carrier.

A gateway never raises for what a carrier says or fails to say: it returns a value.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from mailbridge.model.inbound import InboundSms
from mailbridge.model.message import Message
from mailbridge.model.outcome import Balance, Outcome, Receipt, SmsError, Suspended
from mailbridge.model.phone import Phone


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One request: messages with the same ``batch_key``, no phone twice, under one gateway id of ours."""

    gateway_id: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class StatusQuery:
    """Whose status is asked: the pair addresses a message at the gateway."""

    phone: Phone
    gateway_id: str
    #: the carrier named it when it took the message; else it is the id of an attempt whose answer is not known
    accepted: bool = field(default=False, compare=False)


class StatusMiss(StrEnum):
    """An answer to a status question that tells nothing about delivery."""

    #: the gateway knows no such (phone, id): believed only when the quarantine is over
    NOT_FOUND = "not found"
    #: no usable answer: ask again later
    NO_ANSWER = "no answer"
    #: that carrier cannot be asked about an attempt whose answer was lost, now or ever
    NOBODY_KNOWS = "nobody can be asked"


StatusAnswer = Receipt | StatusMiss


@dataclass(frozen=True, slots=True)
class Silence:
    """It answered no question and wants to hear none for so long (HTTP 429 with Retry-After)."""

    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a message would cost."""

    cost: Decimal
    parts: int
    currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxPage:
    """What a gateway's inbox has after a cursor, oldest first."""

    items: tuple[InboundSms, ...] = ()
    #: the cursor after it; None where it is empty
    last_id: int | None = None
    #: how many entries there were, readable or not
    count: int = 0


#: code of a balance's error: that carrier cannot be asked anything, so the next message is the probe
NO_QUESTION = "no question"


class Gateway(Protocol):
    """One account at one carrier."""

    name: str
    #: most messages in one request
    max_batch: int

    def batch_key(self, message: Message) -> Hashable | None:
        """Messages with equal keys may share a request; None: this one goes alone. Pure."""
        ...

    async def send(self, batch: Batch) -> Sequence[Outcome]:
        """Hand *batch* over; one outcome for each message, in the batch's order."""
        ...

    async def status(self, queries: Sequence[StatusQuery]) -> Sequence[StatusAnswer] | Suspended | Silence:
        """Ask what became of messages; one answer for each query, in order. At most ``max_batch`` queries.

        Suspended: it refuses us as such, and each further question would be one more bad request.
        Silence: so would one before the time it names.
        """
        ...

    async def balance(self) -> Balance | Suspended | SmsError:
        """Ask for the money left: the cheap probe of a suspended gateway. SmsError: no usable answer."""
        ...

    async def price(self, message: Message) -> Price | SmsError:
        """Ask what *message* would cost; sends nothing."""
        ...

    async def inbox(self, *, after_id: int | None, limit: int) -> InboxPage | Suspended | Silence | SmsError:
        """Ask for up to *limit* SMS that came in after a cursor; None: for those of the last hour."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
