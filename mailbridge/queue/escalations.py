"""The part of the store's contract that serves alerts somebody has to answer, and the SMS that come in.

``contract.Store`` includes it; what is said there of transactions, times and errors holds here. Below the contract
stand the decisions every store takes alike, as in ``gathering.py``: pure functions over plain values.

An escalation covers the messages of one mail that go to the same chain. It is written with them, in one transaction,
and each further step is one transaction with the messages of that step: the turn it was decided on must still be the
newest, so of several nodes one takes a step, and a crash leaves the step untaken or taken.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from mailbridge.model.inbound import InboundSms
from mailbridge.model.message import Message
from mailbridge.model.state import State

if TYPE_CHECKING:
    from mailbridge.queue.beside import OutgoingMail
    from mailbridge.queue.contract import Change, Detail, NewMail, NewMessage, StoredMail, StoredMessage

#: an answer may come late: so long its number is nobody else's after an escalation has ended
KEPT_FOR = timedelta(days=1)
#: so often it is looked whether what waits has begun
LOOK_EVERY = timedelta(seconds=15)
#: so many digits has a number that answers name
NUMBER_DIGITS = 4
#: two ways may tell of one SMS, by clocks of their own
_SAME_WITHIN = timedelta(minutes=10)


class Status(StrEnum):
    """Where an escalation stands."""

    #: its messages wait for a person, or for others: nobody can have read them yet
    WAITING = "waiting"
    #: the next step comes at its time
    OPEN = "open"
    #: somebody has taken it on
    ACKNOWLEDGED = "acknowledged"
    #: it was enough that it arrived
    DELIVERED = "delivered"
    #: all steps were taken, and nobody has answered
    EXHAUSTED = "exhausted"
    #: its messages were taken back, or its chain left the configuration
    CANCELLED = "cancelled"


#: somebody may still acknowledge it
ANSWERABLE = frozenset({Status.WAITING, Status.OPEN, Status.DELIVERED, Status.EXHAUSTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalate:
    """A new message begins an escalation, together with those of its mail that name the same chain."""

    chain: str
    after_s: float
    #: numbers to choose from, all of the same length; the text has the first of them in its last line
    numbers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """One alert that somebody has to answer."""

    id: str
    #: the mail that began it
    mail_id: str
    chain: str
    #: what an answer names
    number: str
    opened_at: datetime
    #: when it was last decided about
    touched_at: datetime
    #: when it is to be looked at next; None: nothing more happens by itself
    due_at: datetime | None
    #: how many steps of the chain were taken
    steps: int = 0
    status: Status = Status.OPEN
    #: who acknowledged it: a number with its plus, or who ran a verb
    by: str = ""
    ended_at: datetime | None = None
    #: grows with each decision
    turn: int = 0

    def is_answerable(self, now: datetime) -> bool:
        """Tell whether an answer that names its number now means it."""
        is_recent = self.ended_at is None or self.ended_at > now - KEPT_FOR
        return self.status in ANSWERABLE and is_recent


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalated:
    """A message of an escalation."""

    message: StoredMessage
    #: 0: of the mail that began it
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEscalation:
    """An escalation with its messages, by step, and its mail; None where that is gone."""

    escalation: Escalation
    messages: tuple[Escalated, ...]
    mail: StoredMail | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A line for the history of a message whose state does not change."""

    message_id: str
    event: str
    detail: Detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """What was decided about an escalation: one transaction, or nothing of it."""

    #: it happens only while this is its newest turn
    turn: int
    then: Escalation
    #: messages of the step taken
    mail: NewMail | None = None
    changes: tuple[Change, ...] = ()
    notes: tuple[Note, ...] = ()
    outgoing: OutgoingMail | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which escalations to find; what is given must hold, None and empty mean any."""

    number: str | None = None
    #: of the mail that began it, or of any of its messages
    id: str | None = None
    #: a message of it went to that number
    phone: str | None = None
    #: ended no earlier, or not at all
    ended_after: datetime | None = None
    statuses: frozenset[Status] = frozenset()
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInbound:
    """An inbound SMS as it is kept."""

    n: int
    sms: InboundSms
    #: ``callback`` or ``poll``
    via: str
    stored_at: datetime
    #: what was made of it; empty: nothing yet
    result: str = ""
    #: its id by the other way, once that told of it, too; empty where that gave none
    twin: str | None = None


class Escalations(Protocol):
    """What is kept for alerts that somebody has to answer, and of SMS that come in."""

    async def due_escalations(self, *, now: datetime, limit: int) -> Sequence[FoundEscalation]:
        """Return escalations that are due, whose present step failed as a whole, or that a clock left in the future."""
        ...

    async def find_escalations(self, wanted: Wanted) -> Sequence[FoundEscalation]:
        """Return what *wanted* asks for, newest first."""
        ...

    async def is_anything_escalating(self) -> bool:
        """Tell whether anything is to be looked at, now or later."""
        ...

    async def advance(self, advance: Advance) -> bool:
        """Carry out a decision about an escalation; False: it has moved on, and nothing happened."""
        ...

    async def take_inbound(
        self, items: Sequence[InboundSms], *, via: str, now: datetime, cursor: tuple[str, int] | None = None
    ) -> int:
        """Keep inbound SMS, each once, and with them how far a gateway's inbox was read; return how many were new."""
        ...

    async def inbox_cursor(self, gateway: str) -> int | None:
        """Return how far a gateway's inbox was read; None: never."""
        ...

    async def unhandled_inbound(self, *, limit: int) -> Sequence[StoredInbound]:
        """Return inbound SMS of which nothing was made yet, oldest first."""
        ...

    async def settle_inbound(self, n: int, *, result: str) -> bool:
        """Note what was made of an inbound SMS; False where that was noted before."""
        ...


# ------------------------------------------------------------------------------------------------- decisions
@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The escalations that a new mail begins."""

    messages: tuple[NewMessage, ...]
    escalations: tuple[Escalation, ...] = ()
    #: message id -> escalation id
    belongs: Mapping[str, str]


def candidates(messages: Sequence[NewMessage]) -> set[str]:
    """Return the numbers that *messages* may get."""
    return {number for new in messages if new.escalate is not None for number in new.escalate.numbers}


def open_escalations(mail: NewMail, messages: Sequence[NewMessage], taken: Collection[str]) -> Opened:
    """Decide which escalations *mail* begins with those of its *messages* that are to be sent.

    Its number is the first candidate that is not *taken*; where all are, the last one is shared with an older one.
    """
    opened: dict[str, Escalation] = {}
    out, belongs = [], {}
    used = set(taken)
    for new in messages:
        wanted = new.escalate
        if wanted is None or new.state not in {State.QUEUED, State.HELD}:
            out.append(new)
            continue
        escalation = opened.get(wanted.chain)
        if escalation is None:
            number = next((one for one in wanted.numbers if one not in used), wanted.numbers[-1])
            used.add(number)
            escalation = opened[wanted.chain] = Escalation(
                id=f"{mail.id}/{wanted.chain}", mail_id=mail.id, chain=wanted.chain, number=number,
                opened_at=mail.received_at, touched_at=mail.received_at,
                due_at=mail.received_at + timedelta(seconds=wanted.after_s),
            )  # fmt: skip
            if _all_wait(messages, wanted.chain):
                waiting = replace(escalation, status=Status.WAITING, due_at=mail.received_at + LOOK_EVERY)
                escalation = opened[wanted.chain] = waiting
        belongs[new.id] = escalation.id
        message = _with_number(new.message, wanted.numbers[0], escalation.number)
        out.append(replace(new, message=message, detail={**new.detail, "escalation": wanted.chain}))
    return Opened(messages=tuple(out), escalations=tuple(opened.values()), belongs=belongs)


def _all_wait(messages: Sequence[NewMessage], chain: str) -> bool:
    own = [new for new in messages if new.escalate is not None and new.escalate.chain == chain]
    return all(new.waits or new.state is not State.QUEUED for new in own)


def _with_number(message: Message, old: str, number: str) -> Message:
    head, found, tail = message.text.rpartition(old)
    return replace(message, text=f"{head}{number}{tail}") if found else message


def is_untold(one: StoredInbound, other: InboundSms, via: str, stored_at: datetime) -> bool:
    """Tell whether *one*, which came by one way, and *other*, which came by another, are one SMS.

    The ids of the two ways need not be alike (smsc-api.md 5.4); a gateway tells of each SMS once by each way.
    """
    sms = one.sms
    at, other_at = sms.received_at or one.stored_at, other.received_at or stored_at
    return (
        one.via != via
        and one.twin is None
        and (sms.gateway, sms.phone, sms.text) == (other.gateway, other.phone, other.text)
        and abs(at - other_at) <= _SAME_WITHIN
    )


def inbound_key(sms: InboundSms, via: str) -> str:
    """Return what tells an SMS from others that came the same way: its id, or where it has none all that is known."""
    if sms.id:
        return f"{via}:{sms.id}"
    moment = "" if sms.received_at is None else sms.received_at.isoformat(timespec="seconds")
    return f"{via}\n{sms.phone}\n{sms.to}\n{moment}\n{sms.text}"
