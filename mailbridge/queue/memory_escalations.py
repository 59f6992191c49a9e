"""The in-memory twin of what the SQL stores keep for escalations and inbound SMS; part of ``memory.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from mailbridge.model.inbound import InboundSms
from mailbridge.model.state import UNSUCCESSFUL
from mailbridge.queue.contract import NewMail, NewMessage, StoredMail, StoredMessage
from mailbridge.queue.escalations import (
    KEPT_FOR,
    Advance,
    Escalated,
    Escalation,
    FoundEscalation,
    Status,
    StoredInbound,
    Wanted,
    inbound_key,
    is_untold,
    open_escalations,
)


@dataclass(slots=True)
class Alarms:
    """The rows; *messages* and *mails* are those of the store."""

    messages: Mapping[str, StoredMessage]
    mails: Mapping[str, StoredMail]
    escalations: dict[str, Escalation] = field(default_factory=dict)
    #: message id -> escalation id, step
    belongs: dict[str, tuple[str, int]] = field(default_factory=dict)
    inbound: dict[int, StoredInbound] = field(default_factory=dict)
    #: gateway, key -> number of the row
    keys: dict[tuple[str, str], int] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)
    serial: int = 0

    def begin(self, mail: NewMail, messages: Sequence[NewMessage]) -> tuple[NewMessage, ...]:
        """Keep what begins with *messages*, and return them as they are to be stored."""
        since = mail.received_at - KEPT_FOR
        taken = {one.number for one in self.escalations.values() if one.ended_at is None or one.ended_at > since}
        opened = open_escalations(mail, messages, taken)
        self.escalations |= {one.id: one for one in opened.escalations}
        self.belongs |= {id_: (of, 0) for id_, of in opened.belongs.items()}
        return opened.messages

    def ending_of(self, row: StoredMessage) -> str:
        """Return the last line of a message that somebody still has to answer; else nothing."""
        of, _ = self.belongs.get(row.id, ("", 0))
        is_open = of in self.escalations and self.escalations[of].status in {Status.WAITING, Status.OPEN}
        return row.message.text.rpartition("\n")[2] if is_open else ""

    def inherit(self, message_id: str, mail: NewMail) -> None:
        """Have the messages of *mail* belong to the escalation that *message_id* belongs to, if it belongs to any."""
        if (entry := self.belongs.get(message_id)) is not None:
            self.belongs |= {new.id: (entry[0], 0) for new in mail.messages}

    def found(self, one: Escalation) -> FoundEscalation:
        """Return *one* with its messages."""
        own = [
            Escalated(message=self.messages[id_], step=step)
            for id_, (of, step) in self.belongs.items()
            if of == one.id and id_ in self.messages
        ]
        own.sort(key=lambda entry: (entry.step, entry.message.id))
        return FoundEscalation(escalation=one, messages=tuple(own), mail=self.mails.get(one.mail_id))

    def due(self, *, now: datetime, limit: int) -> list[FoundEscalation]:
        """Return what is due, failed in its present step, or lies in the future."""
        out = []
        for one in self.escalations.values():
            if one.due_at is None:
                continue
            found = self.found(one)
            is_on_its_way = any(
                entry.step == one.steps and entry.message.state not in UNSUCCESSFUL for entry in found.messages
            )
            if one.due_at <= now or one.touched_at > now or not is_on_its_way:
                out.append((one.due_at, one.id, found))
        return [found for _, _, found in sorted(out, key=lambda entry: entry[:2])[:limit]]

    def find(self, wanted: Wanted) -> list[FoundEscalation]:
        """Return what *wanted* asks for, newest first."""
        newest = sorted(self.escalations.values(), key=lambda one: (one.opened_at, one.id), reverse=True)
        found = [self.found(one) for one in newest]
        return [one for one in found if _fits(one, wanted)][: wanted.limit]

    def advance(self, advance: Advance) -> bool:
        """Write the row that follows, and the messages of its step; False where it has moved on."""
        before = self.escalations.get(advance.then.id)
        if before is None or before.turn != advance.turn:
            return False
        self.escalations[advance.then.id] = advance.then
        if advance.mail is not None:
            self.belongs |= {new.id: (advance.then.id, advance.then.steps) for new in advance.mail.messages}
        return True

    def take(self, sms: InboundSms, via: str, now: datetime) -> bool:
        """Keep an inbound SMS; False where it is known."""
        key = inbound_key(sms, via)
        if (sms.gateway, key) in self.keys:
            return False
        for n, one in self.inbound.items():
            if one.sms.gateway == sms.gateway and one.twin == key:
                return False
            if is_untold(one, sms, via, now):
                self.inbound[n] = replace(one, twin=key)
                return False
        self.serial += 1
        self.keys[sms.gateway, key] = self.serial
        self.inbound[self.serial] = StoredInbound(n=self.serial, sms=sms, via=via, stored_at=now)
        return True

    def busy(self) -> set[str]:
        """Return the mails about which something is still to happen."""
        looked_at = {one.id for one in self.escalations.values() if one.due_at is not None}
        rows = self.messages
        return {rows[id_].mail_id for id_, (of, _) in self.belongs.items() if of in looked_at and id_ in rows}

    def forget(self, before: datetime) -> None:
        """Delete what is over since *before*."""
        gone = {one.id for one in self.escalations.values() if one.due_at is None and one.opened_at < before}
        self.escalations = {id_: one for id_, one in self.escalations.items() if id_ not in gone}
        self.belongs = {id_: entry for id_, entry in self.belongs.items() if entry[0] not in gone}
        old = {n for n, one in self.inbound.items() if one.result and one.stored_at < before}
        self.inbound = {n: one for n, one in self.inbound.items() if n not in old}
        self.keys = {key: n for key, n in self.keys.items() if n not in old}


def _fits(found: FoundEscalation, wanted: Wanted) -> bool:
    one = found.escalation
    ids = {one.mail_id} | {own for entry in found.messages for own in (entry.message.id, entry.message.mail_id)}
    return (
        (wanted.number is None or one.number == wanted.number)
        and (wanted.id is None or wanted.id in ids)
        and (wanted.phone is None or any(entry.message.message.phone == wanted.phone for entry in found.messages))
        and (wanted.ended_after is None or one.ended_at is None or one.ended_at > wanted.ended_after)
        and (not wanted.statuses or one.status in wanted.statuses)
    )
