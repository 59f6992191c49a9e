"""The queue's in-memory twin: the same behaviour as the SQL stores, for tests and rehearsals.

Nothing survives the process. No method waits, so each call is one transaction. It must decide nothing by itself:
what the stores have in common stands in ``rules.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from itertools import islice

from mailbridge.errors import StoreError
from mailbridge.model.limits import Throttle, Whose
from mailbridge.model.phone import digits_of
from mailbridge.model.state import FINAL, UNSUCCESSFUL, State
from mailbridge.queue import rules
from mailbridge.queue.cluster import Cluster
from mailbridge.queue.contract import (
    Attempt,
    Change,
    Claimed,
    Claims,
    Detail,
    DueReport,
    Filter,
    GatewayState,
    HistoryEntry,
    NewMail,
    OutgoingMail,
    Plan,
    PutResult,
    Report,
    ReportItem,
    Spend,
    StoredMail,
    StoredMessage,
)
from mailbridge.queue.kept import Closing
from mailbridge.queue.memory_alarms import MemoryAlarms
from mailbridge.queue.memory_browsing import MemoryBrowsing
from mailbridge.queue.memory_counters import LOOKS, Gate
from mailbridge.queue.memory_escalations import Alarms
from mailbridge.queue.memory_kept import MemoryKeeps
from mailbridge.queue.memory_rows import matches, stored_mail, stored_message
from mailbridge.queue.memory_tables import Tables
from mailbridge.queue.prices import Priced, sum_prices

_STANDING = tuple(f.name for f in fields(rules.Standing))
_QUESTIONABLE = frozenset({State.UNKNOWN, State.SENT})
_WAITING = frozenset({State.QUEUED, State.UNKNOWN})
_OPEN = _WAITING | {State.SENDING}


class MemoryStore(MemoryBrowsing, MemoryAlarms, MemoryKeeps):
    """A ``Store`` that lives in dictionaries."""

    cluster: Cluster | None = None

    def __init__(self) -> None:
        super().__init__()
        self._t = Tables()
        self._a = Alarms(messages=self._t.messages, mails=self._t.mails)
        self._t.kept.ending_of = self._a.ending_of

    async def open(self) -> None:
        """Do nothing: there is nothing to open."""

    async def close(self) -> None:
        """Do nothing; the rows stay readable."""

    async def ping(self) -> None:
        """Do nothing: memory can always be written to."""

    # -- mails
    async def put(self, mail: NewMail) -> PutResult:
        """Keep a mail."""
        return self._put(mail)

    def _put(self, mail: NewMail) -> PutResult:
        sifted = rules.sift(mail, self._t.keys)
        full: Mapping[str, datetime] = {}
        counted: Mapping[str, str] = {}
        if sifted.messages and mail.allowances:
            over, counted, full = rules.count_in(mail, sifted, self._l.counters)
            if over is not None:
                self._l.counters |= counted
                return PutResult(mail_id=mail.id, duplicates={}, over=over, full=full)
        if sifted.messages and mail.id in self._t.mails:
            raise StoreError(f"there is a mail {mail.id} already")
        self._l.counters |= counted
        sifted = replace(sifted, messages=tuple(self._t.kept.arrive(mail, sifted.messages)))
        sifted = replace(sifted, messages=self._a.begin(mail, sifted.messages))
        if sifted.messages:
            self._t.mails[mail.id] = stored_mail(mail)
            self._t.keys |= sifted.keys
            if mail.hold_reports_until is not None:
                self._t.hold[mail.id] = mail.hold_reports_until
        for new in sifted.messages:
            self._t.messages[new.id] = stored_message(mail, new)
            self._note(new.id, mail.received_at, new.state.value, new.state, new.detail)
        return PutResult(mail_id=mail.id, duplicates=sifted.duplicates, full=full, waiting=sifted.waiting)

    async def release_reports(self, mail_id: str, *, told: Collection[str]) -> None:
        """Drop the failures of the messages the client was *told* of; the rest may go out now."""
        self._t.hold.pop(mail_id, None)
        for _, item in self._t.pending(mail_id):
            if item.action is Report.FAILED and item.message_id in told:
                del self._t.items[item.item_id]

    # -- delivery
    async def claim(
        self, *, now: datetime, limit: int, node: str, gateways: frozenset[str], plan: Plan,
        throttle: Throttle | None = None, whose: Whose | None = None,
    ) -> Claims:  # fmt: skip
        """Take due queued messages and return the requests to make."""
        if not gateways:
            return Claims()
        gate = Gate(self._l, throttle, now) if throttle else None
        rows: list[StoredMessage] = []
        for _ in range(LOOKS):
            found = [
                row
                for row in _due(self._t, frozenset({State.QUEUED}), now)
                if row.expires_at > now and (whose is None or self._is_of(row, whose))
            ][:limit]
            rows = found if gate is None else self._sift(gate, found, now)
            if rows or not found:
                break
        held = () if gate is None else gate.held
        if not rows:
            return Claims.of((), held)
        ids = rules.IdSource(self._t.next_gateway_id, now)
        out = []
        for request, members in rules.assign(plan(rows, ids), rows, self._is_taken, ids):
            claimed = tuple(rules.intend(row, request, now) for row in members)
            for row in claimed:
                self._write_intent(row, node, now)
            if gate is not None:
                gate.charge(claimed)
            out.append(Claimed(gateway=request.gateway, gateway_id=request.gateway_id, messages=claimed))
        self._t.next_gateway_id = ids.next if ids.used else self._t.next_gateway_id
        return Claims.of(out, held)

    def _is_of(self, row: StoredMessage, whose: Whose) -> bool:
        return (self._t.mails[row.mail_id].user in whose.users) is whose.alone

    def _sift(self, gate: Gate, found: Sequence[StoredMessage], now: datetime) -> list[StoredMessage]:
        users = {row.mail_id: self._t.mails[row.mail_id].user for row in found}
        rows, put_off = gate.sift(found, users)
        for row, over in put_off:
            self._t.messages[row.id] = replace(row, next_attempt_at=over.until, updated_at=now)
            self._note(row.id, now, "deferred", State.QUEUED, rules.describe_held(over))
        return rows

    def _is_taken(self, gateway: str, gateway_id: str, phones: frozenset[str]) -> bool:
        return any((gateway, gateway_id, phone) in self._t.attempts for phone in phones)

    def _write_intent(self, row: StoredMessage, node: str, now: datetime) -> None:
        gateway, gateway_id = row.gateway or "", row.gateway_id or ""
        self._t.messages[row.id] = row
        self._t.claimed_by[row.id] = node
        self._t.attempts[gateway, gateway_id, digits_of(row.message.phone)] = Attempt(
            message_id=row.id, number=row.attempts, gateway=gateway, gateway_id=gateway_id, intent_at=now
        )
        self._note(row.id, now, "attempt", row.state, rules.describe_attempt(row))

    async def apply(self, changes: Sequence[Change]) -> Sequence[bool]:
        """Carry out decided moves."""
        return [self._apply_one(change) for change in changes]

    def _apply_one(self, change: Change) -> bool:
        row = self._t.messages.get(change.message_id)
        if row is None:
            return False
        standing = rules.Standing(**{name: getattr(row, name) for name in _STANDING})
        if not rules.applies(standing, change):
            return False
        moved = rules.move(standing, change)
        self._t.messages[row.id] = replace(row, **{name: getattr(moved, name) for name in _STANDING})
        if moved.gateway_id != row.gateway_id:
            self._add_name(row, moved.gateway_id or "")
        self._l.settle(row.id, standing, moved)
        if change.event:
            self._note(row.id, change.at, change.event, change.to, rules.describe(change))
        if rules.takes_back(row.state, change.to):
            self._t.take_back(row.id)
        if change.to in UNSUCCESSFUL:
            self._t.keys = {key: owner for key, owner in self._t.keys.items() if owner.message_id != row.id}
        self._add_report(row, change)
        return True

    def _add_name(self, row: StoredMessage, gateway_id: str) -> None:
        """Let the attempt of *row* be found by *gateway_id*, too, unless an attempt has that id."""
        phone = digits_of(row.message.phone)
        known = self._t.attempts.get((row.gateway or "", row.gateway_id or "", phone))
        if known is not None:
            key = (known.gateway, gateway_id, phone)
            self._t.attempts.setdefault(key, replace(known, gateway_id=gateway_id))

    def _add_report(self, row: StoredMessage, change: Change) -> None:
        mail = self._t.mails[row.mail_id]
        if change.report is None or not rules.is_report_kept(
            change.report, reportable=mail.reportable, notify=row.notify
        ):
            return
        if self._t.is_told(row.id, change.report):
            return
        item_id = self._t.next_serial()
        item = ReportItem(
            item_id=item_id,
            message_id=row.id,
            recipient=row.recipient,
            orcpt=row.orcpt,
            action=change.report,
            status=change.report_status,
            diagnostic=change.report_diagnostic,
            at=change.at,
            expires_at=row.expires_at,
            notify=row.notify,
        )
        self._t.items[item_id] = (row.mail_id, item)

    def _note(self, id_: str, at: datetime, event: str, state: State, detail: Detail) -> None:
        self._t.history.add(HistoryEntry(message_id=id_, at=at, event=event, state=state, detail=dict(detail)))

    async def due_questions(self, *, now: datetime, limit: int, states: frozenset[State]) -> Sequence[StoredMessage]:
        """Return ``unknown`` and/or ``sent`` rows whose next question is due, oldest first."""
        return _due(self._t, states & _QUESTIONABLE, now)[:limit]

    async def find_attempts(self, keys: Sequence[tuple[str, str, str]]) -> Mapping[tuple[str, str, str], StoredMessage]:
        """Find messages by (gateway, gateway id, phone); the phone with or without its plus."""
        found = {key: self._t.attempts.get((key[0], key[1], digits_of(key[2]))) for key in keys}
        return {key: self._t.messages[one.message_id] for key, one in found.items() if one is not None}

    async def attempts_of(self, message_id: str) -> Sequence[Attempt]:
        """Return a message's attempts, oldest first."""
        return [one for one in self._t.attempts.values() if one.message_id == message_id]

    async def recover(self, *, node: str, now: datetime, keep: Collection[str] = ()) -> int:
        """Turn what *node* had in ``sending``, but for *keep*, into ``unknown``."""
        rows = [
            row
            for row in self._t.messages.values()
            if row.state is State.SENDING and self._t.claimed_by.get(row.id) == node and row.id not in keep
        ]
        for row in rows:
            self._t.messages[row.id] = replace(
                row, state=State.UNKNOWN, unknown_since=now, next_attempt_at=now, updated_at=now
            )
            self._note(row.id, now, "unknown", State.UNKNOWN, {"reason": "restart"})
        return len(rows)

    async def clock_set_back(self, *, now: datetime) -> int:
        """Make due at *now* what was last touched after it."""
        rows = [row for row in self._t.messages.values() if row.state not in FINAL and row.updated_at > now]
        for row in rows:
            self._t.messages[row.id] = rules.turn_back(row, now)
        self._t.hold = {id_: at for id_, at in self._t.hold.items() if self._t.mails[id_].received_at <= now}
        for mail in self._t.outgoing.values():
            self._t.outgoing[mail.id] = replace(mail, next_attempt_at=min(mail.next_attempt_at, now))
        return len(rows)

    async def expired(self, *, now: datetime, limit: int) -> Sequence[StoredMessage]:
        """Return queued and unknown messages whose lifetime is over."""
        rows = [row for row in self._t.messages.values() if row.state in _WAITING and row.expires_at <= now]
        return sorted(rows, key=lambda row: (row.expires_at, row.id))[:limit]

    async def due_warnings(self, *, created_before: datetime, limit: int) -> Sequence[StoredMessage]:
        """Return queued and unknown messages older than that whose sender may be told and was not yet."""
        rows = [
            row
            for row in self._t.messages.values()
            if row.state in _WAITING
            and row.next_attempt_at is not None
            and row.created_at < created_before
            and rules.is_report_wanted(
                Report.DELAYED, reportable=self._t.mails[row.mail_id].reportable, notify=row.notify
            )
            and not self._t.is_told(row.id, Report.DELAYED)
        ]
        return sorted(rows, key=lambda row: (row.created_at, row.id))[:limit]

    async def next_due_at(self, gateways: frozenset[str]) -> datetime | None:
        """Return when the next queued message is due."""
        rows = [row for row in self._t.messages.values() if row.state is State.QUEUED] if gateways else []
        return min((row.next_attempt_at for row in rows if row.next_attempt_at is not None), default=None)

    # -- questions
    async def get_mail(self, mail_id: str) -> StoredMail | None:
        """Return a mail."""
        return self._t.mails.get(mail_id)

    async def get_messages(self, id_: str) -> Sequence[StoredMessage]:
        """Return a message, or all messages of a mail in order."""
        return [self._t.messages[id_]] if id_ in self._t.messages else self._t.of_mail(id_)

    async def history(self, message_id: str) -> Sequence[HistoryEntry]:
        """Return a message's history, oldest first."""
        return [entry for entry in self._t.history.entries.values() if entry.message_id == message_id]

    async def find(self, wanted: Filter) -> Sequence[StoredMessage]:
        """List messages, newest first."""
        rows = sorted(self._t.messages.values(), key=lambda row: (row.created_at, row.id), reverse=True)
        if wanted.after_id is not None:
            last = self._t.messages.get(wanted.after_id)
            if last is None:
                return []
            rows = [row for row in rows if (row.created_at, row.id) < (last.created_at, last.id)]
        if (first := self._t.messages.get(wanted.from_id or "")) is not None:
            rows = [row for row in rows if (row.created_at, row.id) >= (first.created_at, first.id)]
        return [row for row in rows if matches(row, self._t.mails[row.mail_id], wanted)][: wanted.limit]

    async def count_states(self) -> Mapping[State, int]:
        """Count messages by state."""
        return dict(Counter(row.state for row in self._t.messages.values()))

    async def oldest_waiting_at(self) -> datetime | None:
        """Return when the oldest message that waits came in."""
        return min((row.created_at for row in self._t.messages.values() if row.state in _OPEN), default=None)

    async def count_waiting(self, *, up_to: int) -> int:
        """Count messages that wait."""
        return min(up_to, sum(row.state in _OPEN for row in self._t.messages.values()))

    async def spend(self, *, since: datetime) -> Sequence[Spend]:
        """Sum the prices of what was handed over since then."""
        return sum_prices(
            Priced(gateway=row.gateway or "", currency=row.currency, price=row.price, messages=1, parts=row.parts)
            for row in self._t.messages.values()
            if row.price is not None and row.attempted_at is not None and row.attempted_at >= since
        )

    # -- gateways
    async def gateway_states(self) -> Mapping[str, GatewayState]:
        """Return what is known of each gateway."""
        return dict(self._t.gateways)

    async def save_gateway_state(self, state: GatewayState) -> None:
        """Keep a gateway's state."""
        self._t.gateways[state.name] = state

    async def changed_outside(self) -> bool:
        """Return False: nobody else can write here."""
        return False

    async def close_gathering(self, closing: Closing) -> bool:
        """Carry out a decision about a gathering."""
        if not self._t.kept.holds(self._t.messages, closing):
            return False
        if closing.mail is not None:
            self._put(closing.mail)
            self._a.inherit(closing.heir, closing.mail)
        for change in closing.changes:
            self._apply_one(change)
        self._t.kept.close(closing)
        return True

    # -- reports
    async def due_reports(self, *, now: datetime, limit: int) -> Sequence[DueReport]:
        """Return what senders are to be told, one entry a mail."""
        waiting: dict[str, list[ReportItem]] = {}
        for mail_id, item in self._t.pending():
            waiting.setdefault(mail_id, []).append(item)
        ready = []
        for mail_id, items in waiting.items():
            first_at = min(item.at for item in items)
            waits = [rules.REPORT_WAITS.get(row.state) for row in self._t.of_mail(mail_id)]
            held = mail_id in self._t.hold and self._t.hold[mail_id] > now
            if not held and all(wait is None or not now - wait < first_at <= now for wait in waits):
                ready.append((first_at, mail_id))
        return [
            DueReport(mail=self._t.mails[mail_id], items=tuple(map(self._refresh, waiting[mail_id])))
            for _, mail_id in sorted(ready)[:limit]
        ]

    def _refresh(self, item: ReportItem) -> ReportItem:
        return replace(item, expires_at=self._t.messages[item.message_id].expires_at)

    async def put_outgoing(self, mail: OutgoingMail | None, *, items: Mapping[int, Detail], now: datetime) -> None:
        """Mark *items* as reported and keep the report for the mailer, unless all of them were reported before."""
        fresh = {id_ for id_ in items if id_ in self._t.items} - self._t.reported
        self._t.reported |= fresh
        for id_ in sorted(fresh):
            item = self._t.items[id_][1]
            detail = rules.describe_report(item.action.value, item.status, items[id_])
            self._note(item.message_id, now, "bounced", self._t.messages[item.message_id].state, detail)
        if mail is not None and (fresh or not items):
            id_ = self._t.next_serial()
            self._t.outgoing[id_] = replace(mail, id=id_)

    async def due_outgoing(self, *, now: datetime, limit: int) -> Sequence[OutgoingMail]:
        """Return the mails whose next attempt is due, oldest first."""
        rows = [mail for mail in self._t.outgoing.values() if mail.next_attempt_at <= now]
        return sorted(rows, key=lambda mail: (mail.next_attempt_at, mail.id))[:limit]

    async def settle_outgoing(self, id_: int, *, done: bool, next_attempt_at: datetime | None, error: str) -> None:
        """Forget a mail that is done with, or note a failed attempt."""
        mail = self._t.outgoing.pop(id_, None)
        if mail is not None and not done:
            self._t.outgoing[id_] = replace(
                mail,
                attempts=mail.attempts + 1,
                next_attempt_at=next_attempt_at or mail.next_attempt_at,
                last_error=error,
            )

    # -- housekeeping
    async def nth_newest_at(self, n: int) -> datetime | None:
        """Return when the *n*-th newest mail came in."""
        return next(iter(sorted((mail.received_at for mail in self._t.mails.values()), reverse=True)[n - 1 : n]), None)

    async def prune(self, *, before: datetime, sent_before: datetime, limit: int) -> int:
        """Delete old mails of which nothing more is expected."""
        t = self._t

        def is_over(row: StoredMessage) -> bool:
            return row.state in FINAL or (row.state is State.SENT and row.updated_at < sent_before)

        old = sorted((mail.received_at, mail.id) for mail in t.mails.values() if mail.received_at < before)
        busy = self._a.busy()
        done = (id_ for _, id_ in old if id_ not in busy and not t.pending(id_) and all(map(is_over, t.of_mail(id_))))
        gone = list(islice(done, limit))
        for id_ in gone:
            self._delete(id_)
        self._a.forget(before)
        return len(gone)

    def _delete(self, mail_id: str) -> None:
        t = self._t
        ids = {row.id for row in t.of_mail(mail_id)}
        del t.mails[mail_id]
        t.hold.pop(mail_id, None)
        for id_ in ids:
            del t.messages[id_]
            self._l.charges.pop(id_, None)
            t.claimed_by.pop(id_, None)
            t.kept.waits.pop(id_, None)
        t.keys = {key: owner for key, owner in t.keys.items() if owner.message_id not in ids}
        t.history.forget(ids)
        t.attempts = {key: one for key, one in t.attempts.items() if one.message_id not in ids}
        t.reported -= {id_ for id_, (owner, _) in t.items.items() if owner == mail_id}
        t.items = {id_: pair for id_, pair in t.items.items() if pair[0] != mail_id}


def _due(tables: Tables, states: frozenset[State], now: datetime) -> list[StoredMessage]:
    rows = [
        (row.next_attempt_at, row.id, row)
        for row in tables.messages.values()
        if row.state in states and row.next_attempt_at is not None and row.next_attempt_at <= now
    ]
    return [row for _, _, row in sorted(rows, key=lambda entry: entry[:2])]
