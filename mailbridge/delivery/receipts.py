"""What an answer to "what became of it?" means for a message: by status query or by callback; pure.

Out-of-order, repeated, late and unknown receipts are harmless: the state rank only grows
(``model.state.MOVES``), and what would change nothing gives no ``Change``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailbridge.delivery.decide import Policy
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
    row: StoredMessage, answer: StatusAnswer, *, policy: Policy, read: Read, now: datetime
) -> Change | None:
    """Say what *answer* to a question about *row*, which is ``unknown`` or ``sent``, means; never None for those."""
    if isinstance(answer, Receipt):
        return decide_receipt(row, answer, policy=policy, read=read, now=now) or _ask_again(row, policy=policy, now=now)
    if row.state is State.UNKNOWN and answer is StatusMiss.NOT_FOUND and _quarantine_over(row, policy, now):
        return Change(
            message_id=row.id, expect=frozenset({State.UNKNOWN}), attempt=row.attempts, to=State.QUEUED, at=now,
            event="deferred", next_attempt_at=now,
            detail={"because": "the gateway does not know it and the quarantine is over: a new attempt",
                    "gateway_id": row.gateway_id},
        )  # fmt: skip
    return _ask_again(row, policy=policy, now=now)


def _quarantine_over(row: StoredMessage, policy: Policy, now: datetime) -> bool:
    since = row.unknown_since or row.updated_at
    return now >= since + timedelta(seconds=policy.quarantine_s)


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


def decide_receipt(row: StoredMessage, receipt: Receipt, *, policy: Policy, read: Read, now: datetime) -> Change | None:
    """Say what *receipt* means for *row* in any state; None: nothing new."""
    verdict = read(receipt)
    to = verdict.state or State.SENT
    if to is row.state or not can_move(row.state, to):
        return None
    if verdict.state is None and row.state not in {State.UNKNOWN, State.SENDING}:
        return None
    detail: Detail = {
        "status": receipt.status,
        "err": receipt.err,
        "meaning": verdict.text,
        "gateway_id": receipt.gateway_id,
    }
    # no attempt number: a receipt proves that this very attempt was taken, whatever came after it
    change = Change(
        message_id=row.id, expect=frozenset({row.state}), to=to, at=now, event=to.value, detail=detail,
        gateway_id=receipt.gateway_id, price=receipt.price, parts=receipt.parts,
        currency=policy.currency or None, clear_error=True,
        next_attempt_at=next_question_at(State.SENT, asked=0, since=now, now=now, poll_s=policy.poll_s),
        report=Report.DELIVERED if to is State.DELIVERED else None,
        report_status="2.1.5" if to is State.DELIVERED else "", asked=0,
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
        gateway_id=receipt.gateway_id, price=receipt.price, parts=receipt.parts, currency=policy.currency or None,
        report=Report.FAILED, report_status=verdict.enhanced,
        report_diagnostic=f"x-smsc; {verdict.code} ({verdict.text})",
    )  # fmt: skip
