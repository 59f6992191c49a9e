"""The store's contract: what the rest may ask of the queue, and the values that go in and come out.

Every call is one transaction that is on disk when it returns. Callers may be cancelled at any await: the transaction
happens whole or not at all, and is never interrupted. Calls made at the same time share a commit (group commit).

Every method raises ``StoreError`` (or ``StoreFull``, ``StoreDamaged``) when the promise cannot be kept; nothing else
leaves a store. Times are aware UTC. Decisions are made outside: a store checks only that a move is legal
(``model.state.MOVES``) and that the row still is where the decision was made (state and attempt number), which is the
fencing that makes late, repeated and out-of-order results harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from mailbridge.model.limits import Allowance, Over, Throttle, Whose
from mailbridge.model.message import Message
from mailbridge.model.outcome import SmsError
from mailbridge.model.state import State
from mailbridge.queue.beside import GatewayState as GatewayState  # noqa: PLC0414 - part of this contract
from mailbridge.queue.beside import OutgoingMail as OutgoingMail  # noqa: PLC0414 - as above
from mailbridge.queue.beside import Spend as Spend  # noqa: PLC0414 - as above
from mailbridge.queue.browsing import Browsing
from mailbridge.queue.cluster import Cluster
from mailbridge.queue.counting import Counters
from mailbridge.queue.escalations import Escalate, Escalations
from mailbridge.queue.kept import Gather, Keeps

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
Detail = Mapping[str, Json]


# ---------------------------------------------------------------------------------------------- in: a mail
@dataclass(frozen=True, slots=True, kw_only=True)
class DedupeKey:
    """A later message with the same key is a duplicate of this one until *until*, unless this one failed."""

    key: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """One message of a new mail."""

    id: str
    message: Message
    #: the recipient address as given, for reports
    recipient: str
    notify: frozenset[str] | None = None
    orcpt: str | None = None
    #: QUEUED, HELD or SUPPRESSED
    state: State = State.QUEUED
    #: the state's reason, for the history
    detail: Detail = field(default_factory=dict)
    next_attempt_at: datetime
    expires_at: datetime
    dedupe: tuple[DedupeKey, ...] = ()
    gather: Gather | None = None
    #: somebody has to answer it
    escalate: Escalate | None = None
    #: set by the store: it waits with others, and has no time of its own
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMail:
    """A mail with all its messages: one transaction."""

    id: str
    received_at: datetime
    #: envelope sender; empty for the null sender
    sender: str
    client: str
    user: str | None
    message_id: str
    subject: str
    envid: str | None
    ret: str | None
    #: False where no report may ever be sent about it (null sender, automatic answer); reports then only reach the log
    reportable: bool
    #: the original, header and as much body as ``queue.keep_original`` allows
    original: bytes
    size_bytes: int
    messages: tuple[NewMessage, ...]
    #: reports about this mail wait at least until then: its client may still hear it in the SMTP reply
    hold_reports_until: datetime | None = None
    #: the node that keeps its client waiting for a verdict: of several, it may send first
    taken_by: str | None = None
    #: what must have room for the mail's messages, duplicates aside; empty where no limit is configured
    allowances: tuple[Allowance, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PutResult:
    """What became of one NewMail."""

    mail_id: str
    #: the limit that has no room for it: then nothing was stored
    over: Over | None = None
    #: those of its allowances that have no room for a single message more now, and until when
    full: Mapping[str, datetime] = field(default_factory=dict)
    #: new message id -> the message id it duplicates; these were stored as ``suppressed`` unless all of the mail's
    #: messages are duplicates: then nothing was stored
    duplicates: Mapping[str, str]
    waiting: frozenset[str] = frozenset()


# -------------------------------------------------------------------------------------- in: claims, changes
@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Messages that leave in one request under one gateway id; their phones differ."""

    gateway: str
    gateway_id: str
    message_ids: tuple[str, ...]


#: Pure: given due rows (oldest first) and a source of fresh gateway ids, say which leave together and through whom.
#: Rows left out stay queued. Called inside the claiming transaction, so it must not wait.
Plan = Callable[[Sequence["StoredMessage"], Callable[[], int]], Sequence[Assignment]]


class Report(StrEnum):
    """What the sender is to be told (RFC 3464 Action)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One decided move of one message. None leaves a field as it is."""

    message_id: str
    #: the move happens only while the row is in one of these states …
    expect: frozenset[State]
    #: … and, unless None, on this attempt
    attempt: int | None = None
    to: State
    at: datetime
    #: log verb (docs/reference/log.md): ``sent deferred refused unknown delivered undelivered expired cancelled …``;
    #: empty: nothing worth a line in the history happened, only timers move
    event: str
    detail: Detail = field(default_factory=dict)
    error: SmsError | None = None
    #: forget the last error (a success after troubles)
    clear_error: bool = False
    parts: int | None = None
    price: Decimal | None = None
    currency: str | None = None
    #: when it is due again (next attempt, next status question); None leaves it
    next_attempt_at: datetime | None = None
    #: a new lifetime, for ``retry`` of a finished message
    expires_at: datetime | None = None
    #: the attempt counts for nothing: the gateway was suspended
    uncount_attempt: bool = False
    #: tell the sender, unless that was done before. A failure is always kept, so that the reporter can log what it may
    #: not mail; other news the store drops where NOTIFY or ``reportable`` does not ask for it.
    #: A message that leaves its failure (a late ``delivered``, a person's retry) takes back what was not told yet
    report: Report | None = None
    #: enhanced status code of that report: ``5.1.3``
    report_status: str = ""
    #: raw words of the gateway for Diagnostic-Code: ``x-smsc; 7 invalid number``
    report_diagnostic: str = ""
    #: how often status was asked about the present attempt so far (poll back-off); None leaves it
    asked: int | None = None
    #: an older attempt turned out to be the one the gateway took; or the gateway gave the present one an id of its own:
    #: ``find_attempts`` finds the message by both from then on, and ``attempts_of`` has both under one number
    gateway_id: str | None = None


# ---------------------------------------------------------------------------------------------- out: rows
@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """A message as the store knows it."""

    id: str
    mail_id: str
    message: Message
    recipient: str
    notify: frozenset[str] | None
    orcpt: str | None
    state: State
    attempts: int
    gateway: str | None
    #: of the newest attempt
    gateway_id: str | None
    #: when the newest attempt's intent was written
    attempted_at: datetime | None
    #: when the newest attempt was given up, that is when the row moved to ``unknown`` from another state
    #: (set by ``apply`` and ``recover``, kept while it stays ``unknown``, None before): the quarantine counts from here
    unknown_since: datetime | None
    asked: int
    parts: int
    price: Decimal | None
    currency: str | None
    error: SmsError | None
    created_at: datetime
    updated_at: datetime
    next_attempt_at: datetime | None
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMail:
    """A mail as the store knows it."""

    id: str
    received_at: datetime
    sender: str
    client: str
    user: str | None
    message_id: str
    subject: str
    envid: str | None
    ret: str | None
    reportable: bool
    original: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One line of the append-only history."""

    message_id: str
    at: datetime
    event: str
    state: State
    detail: Detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request a message was part of; kept, so that a double can be found later."""

    message_id: str
    number: int
    gateway: str
    gateway_id: str
    intent_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """One request to make now: its intent is on disk, its messages are ``sending``."""

    gateway: str
    gateway_id: str
    messages: tuple[StoredMessage, ...]


class Claims(tuple[Claimed, ...]):  # noqa: SLOT001 - a tuple of variable length cannot have slots
    """What one claim returns: the requests to make now."""

    #: the messages that a limit put off, with the limit
    held: tuple[tuple[StoredMessage, Over], ...] = ()

    @classmethod
    def of(cls, requests: Iterable[Claimed], held: Iterable[tuple[StoredMessage, Over]] = ()) -> Claims:
        """Build one."""
        out = cls(requests)
        out.held = tuple(held)
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which messages to list, newest first; None means any. *sender*: a glob on the envelope's or on the SMS's."""

    states: frozenset[State] | None = None
    phone: str | None = None
    sender: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    #: text looked for in sms text and subject
    text: str | None = None
    limit: int = 100
    #: the last id of the page before (messages sort by creation, then id)
    after_id: str | None = None
    #: the last id to look at
    from_id: str | None = None


# ------------------------------------------------------------------------------------ reports and gateways
@dataclass(frozen=True, slots=True, kw_only=True)
class DueReport:
    """All that is to be told about one mail now, in one report."""

    mail: StoredMail
    items: tuple[ReportItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportItem:
    """One recipient's line in a report."""

    item_id: int
    message_id: str
    recipient: str
    orcpt: str | None
    action: Report
    status: str
    diagnostic: str
    #: when the change happened
    at: datetime
    #: when the bridge gives up, for ``delayed``
    expires_at: datetime
    #: what the recipient's NOTIFY asked for; None where it was not given
    notify: frozenset[str] | None = None


class Store(Browsing, Counters, Keeps, Escalations, Protocol):
    """What the rest may ask of the queue."""

    @property
    def cluster(self) -> Cluster | None:
        """None where one daemon is alone on its queue."""
        ...

    async def open(self) -> None:
        """Open, migrate where needed and check; raises StoreDamaged for what is no queue of ours."""
        ...

    async def close(self) -> None:
        """Finish what is under way, then close. Idempotent."""
        ...

    async def ping(self) -> None:
        """Prove that the store can be written to now."""
        ...

    # -- mails
    async def put(self, mail: NewMail) -> PutResult:
        """Keep a mail: on disk when this returns. Finds duplicates by ``NewMessage.dedupe`` in the same transaction."""
        ...

    async def release_reports(self, mail_id: str, *, told: Collection[str]) -> None:
        """The client has its reply: drop the failures of the messages it was *told* of; the rest may go out now."""
        ...

    # -- delivery
    async def claim(
        self, *, now: datetime, limit: int, node: str, gateways: frozenset[str], plan: Plan,
        throttle: Throttle | None = None, whose: Whose | None = None,
    ) -> Claims:  # fmt: skip
        """Take up to *limit* due queued messages, let *plan* group them, write the intents, and return the requests.

        What has outlived its lifetime is left to ``expired``. *whose* leaves some users' messages out; None: nobody's.
        *gateways* are those that take messages now; with none of them nothing is claimed and nothing is written.
        What *throttle* holds is not offered to the plan and is due again when its limit has room; what leaves for the
        first time is charged to its counters. None: nothing is limited, and no counter is looked at.
        The plan's id source draws from the durable sequence: never repeated, also after restore from a backup.
        """
        ...

    async def apply(self, changes: Sequence[Change]) -> Sequence[bool]:
        """Carry out decided moves; tell for each whether it applied (False: the row had moved on, or is unknown)."""
        ...

    async def due_questions(self, *, now: datetime, limit: int, states: frozenset[State]) -> Sequence[StoredMessage]:
        """Return ``unknown`` and/or ``sent`` rows whose next question is due, oldest first."""
        ...

    async def find_attempts(self, keys: Sequence[tuple[str, str, str]]) -> Mapping[tuple[str, str, str], StoredMessage]:
        """Find messages by (gateway, gateway id, phone), over all attempts ever made that are still kept."""
        ...

    async def attempts_of(self, message_id: str) -> Sequence[Attempt]:
        """Return a message's attempts, oldest first."""
        ...

    async def recover(self, *, node: str, now: datetime, keep: Collection[str] = ()) -> int:
        """After a restart, or a claim of unknown fate: what *node* has in ``sending`` becomes ``unknown``.

        All but *keep*, which is known to be in flight. Returns how many.
        A store that allows one daemon alone takes all of it: the machine may have another name now.
        """
        ...

    async def clock_set_back(self, *, now: datetime) -> int:
        """Make due at *now* what was last touched after it: the clock was set back, and nothing may wait till then.

        Quarantines begin again, and what was left of a lifetime is left. Returns how many messages were touched.
        """
        ...

    async def expired(self, *, now: datetime, limit: int) -> Sequence[StoredMessage]:
        """Return queued and unknown messages whose lifetime is over (a held one waits for a person)."""
        ...

    async def due_warnings(self, *, created_before: datetime, limit: int) -> Sequence[StoredMessage]:
        """Return queued and unknown messages older than that whose sender may be told (DELAYED) and was not yet."""
        ...

    async def next_due_at(self, gateways: frozenset[str]) -> datetime | None:
        """Return when the next queued message is due; None when none waits."""
        ...

    # -- questions
    async def get_mail(self, mail_id: str) -> StoredMail | None:
        """Return a mail."""
        ...

    async def get_messages(self, id_: str) -> Sequence[StoredMessage]:
        """Return a message, or all messages of a mail in order; empty when there is none."""
        ...

    async def history(self, message_id: str) -> Sequence[HistoryEntry]:
        """Return a message's history, oldest first."""
        ...

    async def find(self, wanted: Filter) -> Sequence[StoredMessage]:
        """List messages, newest first."""
        ...

    async def count_states(self) -> Mapping[State, int]:
        """Count messages by state."""
        ...

    async def oldest_waiting_at(self) -> datetime | None:
        """Return when the oldest message that is queued, sending or unknown came in; None when none waits."""
        ...

    async def count_waiting(self, *, up_to: int) -> int:
        """Count messages that are queued, sending or unknown, no further than *up_to*; no writer waits for it."""
        ...

    async def spend(self, *, since: datetime) -> Sequence[Spend]:
        """Sum the prices of what was handed over since then, by gateway and currency, in that order."""
        ...

    # -- gateways
    async def gateway_states(self) -> Mapping[str, GatewayState]:
        """Return what is known of each gateway; a name never saved is absent and takes messages."""
        ...

    async def save_gateway_state(self, state: GatewayState) -> None:
        """Keep a gateway's state."""
        ...

    async def changed_outside(self) -> bool:
        """Tell whether another process (a verb, another node) has committed since the last time this was asked."""
        ...

    # -- reports
    async def due_reports(self, *, now: datetime, limit: int) -> Sequence[DueReport]:
        """Return what senders are to be told, one entry a mail.

        A mail's items are due when nothing more is expected of its messages. Else they wait 20 s after the first one
        for receipts of those sent, 30 s for those not sent yet; and never less than until ``hold_reports_until``.
        What came up after *now*, before the clock was set back, waits no longer.
        """
        ...

    async def put_outgoing(self, mail: OutgoingMail | None, *, items: Mapping[int, Detail], now: datetime) -> None:
        """Mark *items* as reported and, unless None, keep the report for the mailer: one transaction.

        *items* maps each item to how it was told, which becomes the detail of a ``bounced`` line in the history of its
        message, together with the item's action and status. ``mail.id`` is ignored.
        """
        ...

    async def due_outgoing(self, *, now: datetime, limit: int) -> Sequence[OutgoingMail]:
        """Return the mails whose next attempt is due, oldest first."""
        ...

    async def settle_outgoing(self, id_: int, *, done: bool, next_attempt_at: datetime | None, error: str) -> None:
        """Forget a mail that is done with, or note a failed attempt."""
        ...

    # -- housekeeping
    async def nth_newest_at(self, n: int) -> datetime | None:
        """Return when the *n*-th newest mail (from 1) came in; None when there are fewer."""
        ...

    async def prune(self, *, before: datetime, sent_before: datetime, limit: int) -> int:
        """Delete mails received before *before* of which nothing more is expected, at most *limit*; return how many.

        That is: all messages are final, or were sent before *sent_before* without a receipt; all reports are done.
        """
        ...
