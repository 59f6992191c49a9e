"""What becomes of an escalation whose time has come, and of one that somebody has answered. Pure: told the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mailbridge.escalation.chains import Chain, Step
from mailbridge.model.ids import message_id
from mailbridge.model.message import Message
from mailbridge.model.phone import Phone
from mailbridge.model.state import UNSUCCESSFUL, State
from mailbridge.queue.contract import Change, NewMail, NewMessage, StoredMessage
from mailbridge.queue.escalations import LOOK_EVERY, Advance, Escalation, FoundEscalation, Note, Status

#: whom words of the configuration mean at that time
Numbers = Callable[[Sequence[str], datetime], Sequence[Phone]]
_NEVER = frozenset({"NEVER"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What becomes of it."""

    advance: Advance
    #: the mail's sender is to hear of it
    tells: bool = False
    #: log verb; empty: nothing worth a line happened
    event: str = ""


def decide(
    found: FoundEscalation, chain: Chain | None, *, now: datetime, numbers: Numbers, new_id: Callable[[float], str],
    lifetime_s: float,
) -> Decided:  # fmt: skip
    """Decide about an escalation that is to be looked at; *chain*: as it is configured now, None: no more."""
    one = found.escalation
    if one.status not in {Status.OPEN, Status.WAITING}:
        # answered: its sender is to hear of it
        return Decided(advance=_move(one, now, due_at=None), tells=True)
    first = [entry.message for entry in found.messages if entry.step == 0]
    ended = _ending(found, first, chain)
    if chain is None or ended is not None:
        status, because = ended or (Status.CANCELLED, "its chain is no longer configured")
        notes = _notes(first, "escalation ended", {"because": because})
        over = _move(one, now, due_at=None, status=status, ended_at=now)
        return Decided(advance=replace(over, notes=notes), event="escalation ended")
    if not any(map(_has_begun, first)):
        return Decided(advance=_move(one, now, due_at=now + LOOK_EVERY, status=Status.WAITING))
    if one.touched_at > now or one.status is Status.WAITING:
        # the clock was set back, or it has just begun
        due_at = now + timedelta(seconds=chain.after_s)
        return Decided(advance=_move(one, now, due_at=due_at, status=Status.OPEN))
    return _next_step(one, first, chain, now=now, numbers=numbers, new_id=new_id, lifetime_s=lifetime_s)


def _ending(found: FoundEscalation, first: Sequence[StoredMessage], chain: Chain | None) -> tuple[Status, str] | None:
    """Return how it ends without an answer; None where it does not."""
    if all(row.state in {State.CANCELLED, State.SUPPRESSED} for row in first):
        is_within = any(row.state is State.SUPPRESSED for row in first)
        return Status.CANCELLED, "they went out within others" if is_within else "its messages were taken back"
    is_delivered = any(entry.message.state is State.DELIVERED for entry in found.messages)
    if chain is not None and chain.delivered_is_enough and is_delivered:
        return Status.DELIVERED, "delivered"
    return None


def _as_told(first: Sequence[StoredMessage]) -> StoredMessage:
    """Return the message whose text goes on: not one that went out within a digest, but that digest."""
    return next((row for row in first if row.state not in {State.SUPPRESSED, State.CANCELLED}), first[0])


def _has_begun(row: StoredMessage) -> bool:
    """Tell whether *row* is meant to be on its way by now: it waits for no person, no others and no time of its own."""
    waits = row.state is State.HELD or (row.state is State.QUEUED and row.next_attempt_at is None)
    is_for_later = row.message.time != "" and row.state is not State.DELIVERED and row.state not in UNSUCCESSFUL
    return not waits and not is_for_later


def _next_step(
    one: Escalation, first: Sequence[StoredMessage], chain: Chain, *, now: datetime, numbers: Numbers,
    new_id: Callable[[float], str], lifetime_s: float,
) -> Decided:  # fmt: skip
    skipped: list[Note] = []
    for place in range(one.steps, len(chain.steps)):
        step = chain.steps[place]
        phones = numbers(step.words, now)
        if not phones:
            skipped += _notes(first, "escalated", {"step": place + 1, "to": str(step), "because": "nobody is known"})
            continue
        mail = _mail(
            _as_told(first), step, phones, chain, place + 1, now=now, id_=new_id(now.timestamp()), lifetime_s=lifetime_s
        )
        notes = _notes(
            first, "escalated",
            {"step": place + 1, "to": str(step), "messages": [new.id for new in mail.messages], "of": chain.name},
        )  # fmt: skip
        due_at = now + timedelta(seconds=chain.after_s)
        moved = _move(one, now, due_at=due_at, steps=place + 1)
        return Decided(advance=replace(moved, mail=mail, notes=(*skipped, *notes)), event="escalated")
    notes = _notes(first, "escalation ended", {"because": "nobody has answered", "steps": len(chain.steps)})
    over = _move(one, now, due_at=None, status=Status.EXHAUSTED, ended_at=now, steps=len(chain.steps))
    return Decided(advance=replace(over, notes=(*skipped, *notes)), tells=True, event="escalation ended")


def acknowledge(found: FoundEscalation, *, by: str, words: str, now: datetime) -> Advance:
    """Return the end of an escalation that *by* has answered; *words*: who that is, for people.

    What its steps still have in the queue is taken back. The sender is told by whoever looks at it next.
    """
    one = found.escalation
    first = [entry.message for entry in found.messages if entry.step == 0]
    left = [entry.message for entry in found.messages if entry.step and entry.message.state is State.QUEUED]
    changes = tuple(
        Change(
            message_id=row.id, expect=frozenset({State.QUEUED}), attempt=row.attempts, to=State.CANCELLED, at=now,
            event="cancelled", detail={"because": f"{words} has answered"},
        )
        for row in left
    )  # fmt: skip
    notes = _notes(first, "acknowledged", {"by": words, "number": one.number, "steps": one.steps})
    over = _move(one, now, due_at=now, status=Status.ACKNOWLEDGED, by=by, ended_at=now)
    return replace(over, changes=changes, notes=notes)


def wants_mail(found: FoundEscalation) -> bool:
    """Tell whether the sender may be told: not where NOTIFY says that he wants to hear nothing at all (RFC 3461)."""
    first = [entry.message for entry in found.messages if entry.step == 0]
    return found.mail is not None and not all(row.notify == _NEVER for row in first)


def _move(one: Escalation, now: datetime, **fields: object) -> Advance:
    then = replace(one, touched_at=now, turn=one.turn + 1, **fields)  # type: ignore[arg-type] # fields of its own
    return Advance(turn=one.turn, then=then)


def _notes(rows: Sequence[StoredMessage], event: str, detail: dict[str, object]) -> tuple[Note, ...]:
    return tuple(Note(message_id=row.id, event=event, detail=detail) for row in rows)  # type: ignore[arg-type] # JSON


def _mail(
    like: StoredMessage, step: Step, phones: Sequence[Phone], chain: Chain, place: int, *, now: datetime, id_: str,
    lifetime_s: float,
) -> NewMail:  # fmt: skip
    """Return the messages of a step: the same text, to others or by voice."""
    new = tuple(
        NewMessage(
            id=message_id(id_, number), message=_message(like.message, step, phone), recipient=like.recipient,
            detail={"escalation": chain.name, "step": place, "of": like.id}, next_attempt_at=now,
            expires_at=now + timedelta(seconds=lifetime_s),
        )
        for number, phone in enumerate(phones, start=1)
    )  # fmt: skip
    return NewMail(
        id=id_, received_at=now, sender="", client="local", user=None, message_id="", subject="", envid=None, ret=None,
        reportable=False, original=b"", size_bytes=0, messages=new,
    )  # fmt: skip


def _message(like: Message, step: Step, phone: Phone) -> Message:
    is_call = step.action == "call"
    return replace(
        like,
        phone=phone,
        channel="call" if is_call else "sms",
        # a voice has no sender name, no alphabet and no parts
        sender="" if is_call else like.sender,
        translit=0 if is_call else like.translit,
        parts=1 if is_call else like.parts,
        flash=False,
        time="",
        wanted_id=None,
        notes=(),
    )
