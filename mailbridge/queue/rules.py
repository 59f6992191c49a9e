"""The decisions every store takes alike: is a change allowed, what does it make of a row, what is a duplicate.

Pure functions over plain values, called inside a store's transaction; the SQL stores and the in-memory twin share them,
so that there is one answer. They must not read a clock, a row or a random number by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from mailbridge.model.limits import Over, Settlement, Wanted
from mailbridge.model.outcome import SmsError
from mailbridge.model.phone import digits_of
from mailbridge.model.state import FINAL, UNSUCCESSFUL, State, can_move
from mailbridge.queue.contract import (
    Assignment,
    Change,
    Detail,
    Json,
    NewMail,
    NewMessage,
    Report,
    StoredMessage,
)

#: while a message of a mail is in one of these, more may soon have to be told about that mail, so that one report can
#: tell all of it; but what has to be told waits no longer than this. Receipts often come with the first or second
#: question, which is asked 20 s after sending
REPORT_WAITS: Mapping[State, timedelta] = {
    State.QUEUED: timedelta(seconds=30),
    State.SENDING: timedelta(seconds=30),
    State.UNKNOWN: timedelta(seconds=30),
    State.SENT: timedelta(seconds=20),
}

#: the gateway takes ids from 1 to 2^31 - 1 (smsc-api.md 2.2)
MAX_GATEWAY_ID = 2_147_483_647
_ID_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_IDS_PER_S = 4
#: no queue counts so far
_MOST_NEXT = 2**53


# ------------------------------------------------------------------------------------------------- changes
@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The part of a message that a ``Change`` may alter; the names are those of ``StoredMessage``."""

    state: State
    attempts: int
    gateway_id: str | None
    unknown_since: datetime | None
    asked: int
    parts: int
    price: Decimal | None
    currency: str | None
    error: SmsError | None
    updated_at: datetime
    next_attempt_at: datetime | None
    expires_at: datetime


def applies(standing: Standing, change: Change) -> bool:
    """Tell whether the row still is where *change* was decided, and the move is legal."""
    return (
        standing.state in change.expect
        and (change.attempt is None or change.attempt == standing.attempts)
        and can_move(standing.state, change.to)
    )


def move(standing: Standing, change: Change) -> Standing:
    """Return what *change* makes of *standing*.

    A final message is due no more; one that goes back to the queue without a time is due at once.
    """
    due_at = change.next_attempt_at or standing.next_attempt_at
    if change.to in FINAL:
        due_at = None
    elif change.to is State.QUEUED and due_at is None:
        due_at = change.at
    given_up = change.to is State.UNKNOWN and standing.state is not State.UNKNOWN
    return Standing(
        state=change.to,
        attempts=max(0, standing.attempts - 1) if change.uncount_attempt else standing.attempts,
        gateway_id=change.gateway_id or standing.gateway_id,
        unknown_since=change.at if given_up else standing.unknown_since,
        asked=standing.asked if change.asked is None else change.asked,
        parts=standing.parts if change.parts is None else change.parts,
        price=standing.price if change.price is None else change.price,
        currency=standing.currency if change.currency is None else change.currency,
        error=change.error or (None if change.clear_error else standing.error),
        updated_at=change.at,
        next_attempt_at=due_at,
        expires_at=change.expires_at or standing.expires_at,
    )


def describe(change: Change) -> Detail:
    """Return the history's detail of *change*: its own, with the error beside it."""
    if change.error is None:
        return change.detail
    error: dict[str, Json] = {
        "code": change.error.code,
        "text": change.error.text,
        "class": change.error.error_class.value,
    }
    return {**change.detail, "error": error}


def is_report_wanted(report: Report, *, reportable: bool, notify: frozenset[str] | None) -> bool:
    """Tell whether the sender is to hear of it (RFC 3461 section 4.1: no NOTIFY means failures and delays)."""
    if not reportable:
        return False
    match report:
        case Report.FAILED:
            return notify is None or "FAILURE" in notify
        case Report.DELAYED:
            return notify is None or "DELAY" in notify
        case Report.DELIVERED | Report.RELAYED:
            return notify is not None and "SUCCESS" in notify


def is_report_kept(report: Report, *, reportable: bool, notify: frozenset[str] | None) -> bool:
    """Tell whether the reporter is to see it: all failures, which it logs at least, and what senders asked for."""
    return report is Report.FAILED or is_report_wanted(report, reportable=reportable, notify=notify)


def takes_back(old: State, new: State) -> bool:
    """Tell whether a failure that was not told yet is none any more."""
    return old in UNSUCCESSFUL and new not in UNSUCCESSFUL


def describe_report(item_action: str, status: str, how: Detail) -> Detail:
    """Return the history's detail of a report that went out, or into the log alone."""
    return {"action": item_action, "status": status, **how}


# ---------------------------------------------------------------------------------------------- duplicates
@dataclass(frozen=True, slots=True)
class KeyOwner:
    """Who owns a dedupe key, and until when."""

    message_id: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """What of a mail is to be stored: nothing when *messages* is empty."""

    messages: tuple[NewMessage, ...]
    duplicates: Mapping[str, str]
    #: the dedupe keys this mail takes
    keys: Mapping[str, KeyOwner] = field(default_factory=dict)

    @property
    def waiting(self) -> frozenset[str]:
        """The messages that wait with others."""
        return frozenset(new.id for new in self.messages if new.waits)


def sift(mail: NewMail, owners: Mapping[str, KeyOwner]) -> Sifted:
    """Find *mail*'s duplicates among *owners*, which holds the owner of each of its keys that has one.

    A message owns its keys at once, so a number given twice in one mail gets one message.
    """
    taken: dict[str, KeyOwner] = {}
    messages: list[NewMessage] = []
    duplicates: dict[str, str] = {}
    for new in mail.messages:
        original = _find_original(new, mail.received_at, taken, owners)
        if original is None:
            messages.append(new)
            taken |= {key.key: KeyOwner(new.id, key.until) for key in new.dedupe}
        else:
            duplicates[new.id] = original
            messages.append(replace(new, state=State.SUPPRESSED, detail={**new.detail, "duplicate_of": original}))
    if duplicates and len(duplicates) == len(messages):
        return Sifted(messages=(), duplicates=duplicates)
    return Sifted(messages=tuple(messages), duplicates=duplicates, keys=taken)


def _find_original(new: NewMessage, at: datetime, *owners: Mapping[str, KeyOwner]) -> str | None:
    for key in new.dedupe:
        for known in owners:
            if (found := find_owner((key.key,), known, at)) is not None:
                return found
    return None


def find_owner(keys: Sequence[str], owners: Mapping[str, KeyOwner], at: datetime) -> str | None:
    """Return the id of the message that owns the first of *keys* that has an owner at that time."""
    for key in keys:
        owner = owners.get(key)
        if owner is not None and owner.until > at:
            return owner.message_id
    return None


# ------------------------------------------------------------------------------------------------ claiming
class IdSource:
    """Fresh gateway ids, drawn inside one claiming transaction, which writes *next* back.

    The floor of four a second since 2026 lies above all that was drawn before, so a queue restored from an old
    backup does not repeat ids (unless more than four a second were drawn all the time since).
    A *stored_next* that is none, because the file is damaged, is as good as an old one.
    """

    def __init__(self, stored_next: object, now: datetime) -> None:
        floor = int((now - _ID_EPOCH).total_seconds() * _IDS_PER_S)
        known = stored_next if isinstance(stored_next, int) and stored_next < _MOST_NEXT else 0
        self._start = self.next = max(known, floor, 1)

    @property
    def used(self) -> bool:
        """True once an id was drawn."""
        return self.next != self._start

    def __call__(self) -> int:
        """Draw the next id; after the greatest one comes 1."""
        drawn = (self.next - 1) % MAX_GATEWAY_ID + 1
        self.next += 1
        return drawn


#: tells whether (gateway, gateway id) was used before with one of these phones (digits)
IsTaken = Callable[[str, str, frozenset[str]], bool]


def assign(
    wanted: Sequence[Assignment], rows: Sequence[StoredMessage], is_taken: IsTaken, next_id: Callable[[], int]
) -> list[tuple[Assignment, tuple[StoredMessage, ...]]]:
    """Return each wanted request with its rows, under an id that no earlier attempt to one of its phones had.

    Rows the plan was not given, rows it names twice and second rows to one phone are left out: they stay queued.
    """
    free = {row.id: row for row in rows}
    used: set[tuple[str, str, str]] = set()
    out: list[tuple[Assignment, tuple[StoredMessage, ...]]] = []
    for one in wanted:
        by_phone: dict[str, StoredMessage] = {}
        for id_ in one.message_ids:
            if id_ in free:
                row = free.pop(id_)
                by_phone.setdefault(digits_of(row.message.phone), row)
        if not by_phone:
            continue
        members, phones = tuple(by_phone.values()), frozenset(by_phone)
        chosen = one.gateway_id
        while is_taken(one.gateway, chosen, phones) or any((one.gateway, chosen, p) in used for p in phones):
            chosen = str(next_id())
        used |= {(one.gateway, chosen, phone) for phone in phones}
        ids = tuple(row.id for row in members)
        out.append((replace(one, gateway_id=chosen, message_ids=ids), members))
    return out


def intend(row: StoredMessage, request: Assignment, now: datetime) -> StoredMessage:
    """Return *row* as it stands once the intent of its next attempt is written."""
    return replace(
        row,
        state=State.SENDING,
        attempts=row.attempts + 1,
        gateway=request.gateway,
        gateway_id=request.gateway_id,
        attempted_at=now,
        unknown_since=None,
        asked=0,
        updated_at=now,
    )


def turn_back(row: StoredMessage, now: datetime) -> StoredMessage:
    """Return *row*, last touched after *now* by a clock that was set back since, as if that had been at *now*."""
    return replace(
        row,
        updated_at=now,
        next_attempt_at=None if row.next_attempt_at is None else min(row.next_attempt_at, now),
        unknown_since=None if row.unknown_since is None else now,
        # what was left of its lifetime then is left now
        expires_at=now + (row.expires_at - row.updated_at),
    )


def describe_attempt(row: StoredMessage) -> Detail:
    """Return the history's detail of an attempt whose intent stands in *row*."""
    return {"attempt": row.attempts, "gateway": row.gateway, "gateway_id": row.gateway_id}


# -------------------------------------------------------------------------------------------------- limits
def count_in(
    mail: NewMail, sifted: Sifted, counters: Mapping[str, str]
) -> tuple[Over | None, dict[str, str], dict[str, datetime]]:
    """Return the limit that has no room for *mail* (None: there is room), the counters afterwards, and what is full.

    Full is an allowance that then has no room for one message more; with it stands until when.
    What was seen before is not counted. A mail that is refused is not, either; its counters then merely follow a clock
    that was set back, so that it does not lock anybody out.
    """
    count = len(sifted.messages) - len(sifted.duplicates)
    at = mail.received_at
    over = [one.ask(counters.get(one.key, ""), at, count) for one in mail.allowances]
    worst = max((one for one in over if one is not None), key=lambda one: one.until, default=None)
    took = 0 if worst is not None else count
    after = {one.key: one.count(counters.get(one.key, ""), at, took) for one in mail.allowances}
    full = {one.key: until for one in mail.allowances if (until := one.full_until(after[one.key], at)) is not None}
    return worst, after, full


def wanted(row: StoredMessage, user: str | None) -> Wanted:
    """Return what limits ask of *row*, whose mail came from *user*."""
    return Wanted(id=row.id, phone=row.message.phone, user=user, parts=row.parts)


def describe_held(over: Over) -> Detail:
    """Return the history's detail of a message that a limit puts off."""
    return {"limit": over.limit, "config": over.config, "until": over.until.isoformat(timespec="seconds")}


def settlement(before: Standing, after: Standing) -> Settlement | None:
    """Return what the way from *before* to *after* means to the budgets a message was charged to; None for nothing.

    A message that is refused for good has cost nothing. One that a person sends again is charged again.
    """
    if after.state is State.FAILED and before.state is not State.FAILED:
        if after.price is None:
            return Settlement(parts=-before.parts, settled=before.parts)
        return None
    parts, money = after.parts - before.parts, (after.price or Decimal(0)) - (before.price or Decimal(0))
    is_priced = before.price is None and after.price is not None
    if not parts and not money and not is_priced:
        return None
    return Settlement(
        parts=parts,
        settled=before.parts if is_priced else 0,
        money=money,
        priced=after.parts if is_priced else 0,
    )


# ------------------------------------------------------------------------------------------------- filters
def like_pattern(glob: str) -> str:
    r"""Return *glob* (``*`` and ``?``) as a LIKE pattern with ``\`` as its escape."""
    escaped = glob.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")
