"""What an answer to "what became of it?" means for a message: by status query or by callback; pure.

Out-of-order, repeated, late and unknown receipts are harmless: the state rank only grows
(``model.state.MOVES``), and what would change nothing gives no ``Change``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from mailbridge.delivery.decide import Policy, decide_expiry, decide_unasked, quarantine_over
from mailbridge.delivery.poll import is_given_up, next_question_at
from mailbridge.gateway.contract import StatusAnswer, StatusMiss
from mailbridge.model.outcome import ErrorClass, Receipt, SmsError
from mailbridge.model.state import State, can_move
from mailbridge.queue.contract import Change, Detail, Report, StoredMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a gateway's status means, by its own table."""

    #: DELIVERED, UNDELIVERED or EXPIRED; None: not final
    state: State | None
    #: RFC 3463
    enhanced: str
    #: ``status 25 err 248``
    code: str
    text: str


#: how to read a receipt: the carrier's table, handed in so that delivery parses nothing
Read = Callable[[Receipt], Verdict]


def decide_answer(
    row: StoredMessage, answer: StatusAnswer, *, policy: Policy, read: Read, now: datetime, asked_at: datetime
) -> Change | None:
    """Say what *answer* to a question about *row*, which is ``unknown`` or ``sent``, means; never None for those.

    *asked_at*: when the question was put. What the gateway did not know before the quarantine's end proves nothing,
    however late it said so.
    """
    if isinstance(answer, Receipt):
        change = decide_receipt(row, answer, policy=policy, read=read, now=now, is_last_word=True)
        return change or _ask_again(row, policy=policy, now=now)
    if row.state is State.UNKNOWN and answer is StatusMiss.NOT_FOUND and quarantine_over(row, policy, asked_at):
        if row.expires_at <= now:
            over = decide_expiry(replace(row, state=State.QUEUED), policy=policy, lifetime_s=0, now=now)
            return replace(over, expect=frozenset({State.UNKNOWN}))
        return Change(
            message_id=row.id, expect=frozenset({State.UNKNOWN}), attempt=row.attempts, to=State.QUEUED, at=now,
            event="deferred", next_attempt_at=now,
            detail={"because": "the gateway does not know it and the quarantine is over: a new attempt",
                    "gateway_id": row.gateway_id},
        )  # fmt: skip
    if row.state is State.UNKNOWN and answer is StatusMiss.NOBODY_KNOWS and quarantine_over(row, policy, asked_at):
        return decide_unasked(row, policy=policy, now=now)
    return _ask_again(row, policy=policy, now=now)


def _ask_again(row: StoredMessage, *, policy: Policy, now: datetime) -> Change:
    asked = row.asked + 1
    since = (row.unknown_since if row.state is State.UNKNOWN else row.attempted_at) or row.updated_at
    at = next_question_at(
        row.state, asked=asked, since=since, now=now, poll_s=policy.poll_s, quarantine_s=policy.quarantine_s
    )
    given_up = row.state is State.SENT and is_given_up(since=since, now=now)
    return Change(
        message_id=row.id, expect=frozenset({row.state}), attempt=row.attempts, to=row.state, at=now, event="",
        next_attempt_at=at, asked=asked,
        # the last word on it is that the gateway took it (RFC 3461 section 5.2.2; RFC 3463: 2.1.9)
        report=Report.RELAYED if given_up else None, report_status="2.1.9" if given_up else "",
    )  # fmt: skip


def _is_news(row: StoredMessage, receipt: Receipt, to: State, ended: Collection[str]) -> bool:
    """Tell whether a receipt that says *to*, by itself, changes what is known of *row*.

    "Delivered" does about any attempt. Anything else about an attempt whose failure is known (*ended*) is a
    repetition: a person may have queued the message again since. A failure says nothing about a message that goes
    again anyway, and one of an older attempt nothing while the newest may be on its way or was taken.
    """
    if to is State.DELIVERED:
        return True
    if receipt.gateway_id in ended:
        return False
    if to is State.SENT:
        return row.state in _UNPROVEN
    return row.state is State.HELD or (row.state is not State.QUEUED and receipt.gateway_id == row.gateway_id)


#: no attempt is known to have been taken
_UNPROVEN = frozenset({State.QUEUED, State.SENDING, State.UNKNOWN, State.HELD})


def decide_receipt(
    row: StoredMessage,
    receipt: Receipt,
    *,
    policy: Policy,
    read: Read,
    now: datetime,
    ended: Collection[str] = frozenset(),
    is_last_word: bool = False,
) -> Change | None:
    """Say what *receipt* means for *row* in any state; None: nothing new.

    *ended*: gateway ids of the attempts that the gateway is known to have failed with. *is_last_word*: all attempts
    were asked about and ``choose`` found that this receipt speaks for the message.
    """
    verdict = read(receipt)
    to = verdict.state or State.SENT
    if to is row.state or not can_move(row.state, to):
        return None
    if not is_last_word and not _is_news(row, receipt, to, ended):
        return None
    detail: Detail = {
        "status": receipt.status,
        "err": receipt.err,
        "meaning": verdict.text,
        "gateway_id": receipt.gateway_id,
    }
    # of a call the gateway counts seconds
    parts = None if row.message.channel == "call" else receipt.parts
    # no attempt number: a receipt proves that this very attempt was taken, whatever came after it
    change = Change(
        message_id=row.id, expect=frozenset({row.state}), to=to, at=now, event=to.value, detail=detail,
        gateway_id=receipt.gateway_id, price=receipt.price, parts=parts,
        currency=policy.currency or None, clear_error=True,
        # it was asked about, or told, just now
        next_attempt_at=next_question_at(State.SENT, asked=1, since=now, now=now, poll_s=policy.poll_s),
        report=Report.DELIVERED if to is State.DELIVERED else None,
        report_status="2.1.5" if to is State.DELIVERED else "", asked=1,
    )  # fmt: skip
    if to in {State.SENT, State.DELIVERED}:
        return change
    error = SmsError(
        code=verdict.code,
        text=verdict.text,
        error_class=ErrorClass.EXPIRED if to is State.EXPIRED else ErrorClass.UNDELIVERED,
    )
    return Change(
        message_id=row.id, expect=frozenset({row.state}), to=to, at=now, event=to.value, detail=detail, error=error,
        gateway_id=receipt.gateway_id, price=receipt.price, parts=parts, currency=policy.currency or None,
        report=Report.FAILED, report_status=verdict.enhanced,
        report_diagnostic=f"x-{policy.kind}; {verdict.code} ({verdict.text})",
    )  # fmt: skip


def choose(
    row: StoredMessage, answers: Mapping[str, StatusAnswer], *, policy: Policy, read: Read, asked_at: datetime
) -> StatusAnswer:
    """Of the *answers* about the attempts of *row*, by gateway id, choose the one that tells most about the message.

    An attempt that was taken and has not failed beats all. Then the newest speaks, if it was found; as long as it may
    still turn up, its silence does. Only then an older attempt's failure is the message's.
    """
    found = [answer for answer in answers.values() if isinstance(answer, Receipt)]
    states = {receipt.gateway_id: read(receipt).state for receipt in found}
    for wanted in (State.DELIVERED, None):
        for receipt in found:
            if states[receipt.gateway_id] is wanted:
                return receipt
    newest = answers.get(row.gateway_id or "", StatusMiss.NO_ANSWER)
    if isinstance(newest, Receipt):
        return newest
    if StatusMiss.NO_ANSWER in answers.values():
        return StatusMiss.NO_ANSWER
    if StatusMiss.NOBODY_KNOWS in answers.values():
        return StatusMiss.NOBODY_KNOWS
    if found and quarantine_over(row, policy, asked_at):
        return found[-1]
    return StatusMiss.NOT_FOUND
