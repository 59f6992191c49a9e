"""What an outcome, a receipt or the passing of time means for a message: pure functions from values to a ``Change``.

Nothing here waits, asks or stores; time and chance are arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from mailbridge.delivery.poll import next_question_at
from mailbridge.delivery.retry import Backoff
from mailbridge.model.outcome import (
    Accepted,
    Deferred,
    ErrorClass,
    Outcome,
    Refused,
    SmsError,
    Suspended,
    Unknown,
)
from mailbridge.model.reply import LIFETIME_OVER
from mailbridge.model.state import State
from mailbridge.queue.contract import Change, Detail, Report, StoredMessage

_SENDING = frozenset({State.SENDING})
#: after a quarantine's end the gateway gets this long to say what it knows
_LAST_ANSWER_S = 60.0
_BEHIND_OTHERS_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the configuration says about one gateway's messages. All in seconds."""

    backoff: Backoff
    poll_s: float
    quarantine_s: float
    #: hold | fail | retry
    on_unknown: str
    currency: str = ""
    #: kind of carrier, for Diagnostic-Code
    kind: str = "smsc"


def diagnostic_of(error: SmsError, policy: Policy | None = None) -> str:
    """Return *error* as a Diagnostic-Code field's value (RFC 3464 2.3.6): ``x-smsc; 7 invalid number``."""
    return f"x-{policy.kind if policy else 'smsc'}; {error.code} {error.text}".strip()


def detail_of(error: SmsError) -> Detail:
    """Return *error* for the history and the log."""
    return {"code": error.code, "text": error.text, "class": error.error_class.value}


def decide_outcome(row: StoredMessage, outcome: Outcome, *, policy: Policy, now: datetime, random: float) -> Change:
    """Say what *outcome* of the newest attempt means for *row*, which is ``sending``."""
    match outcome:
        case Accepted():
            return Change(
                message_id=row.id, expect=_SENDING, attempt=row.attempts, to=State.SENT, at=now, event="sent",
                detail={"gateway": row.gateway, "gateway_id": outcome.gateway_id, "parts": outcome.parts,
                        "price": None if outcome.price is None else str(outcome.price)},
                clear_error=True, parts=outcome.parts, price=outcome.price, currency=policy.currency or None, asked=0,
                # an id of the carrier's own, by which its callbacks and its status know the message
                gateway_id=None if outcome.gateway_id == row.gateway_id else outcome.gateway_id,
                next_attempt_at=next_question_at(State.SENT, asked=0, since=now, now=now, poll_s=policy.poll_s),
            )  # fmt: skip
        case Deferred() if outcome.slow_down and _is_in_doubt(row):
            return _ask_before_next(row, outcome, now=now)
        case Deferred():
            wait_s = policy.backoff.delay_s(row.attempts, random)
            if outcome.retry_after_s is not None:
                wait_s = max(wait_s, outcome.retry_after_s)
            return Change(
                message_id=row.id, expect=_SENDING, attempt=row.attempts, to=State.QUEUED, at=now, event="deferred",
                detail={**detail_of(outcome.error), "retry_in_s": round(wait_s, 1)},
                error=outcome.error, next_attempt_at=now + timedelta(seconds=wait_s),
            )  # fmt: skip
        case Refused():
            return Change(
                message_id=row.id, expect=_SENDING, attempt=row.attempts, to=State.FAILED, at=now, event="refused",
                detail=detail_of(outcome.error), error=outcome.error,
                report=Report.FAILED, report_status=outcome.reply.enhanced,
                report_diagnostic=diagnostic_of(outcome.error, policy),
            )  # fmt: skip
        case Suspended():
            # behind the others: when the gateway is well again, what it has not seen yet goes first
            again_at = now + timedelta(seconds=_BEHIND_OTHERS_S)
            return Change(
                message_id=row.id, expect=_SENDING, attempt=row.attempts, to=State.QUEUED, at=now, event="deferred",
                detail={**detail_of(outcome.error), "gateway": f"{row.gateway} suspended"},
                error=outcome.error, next_attempt_at=again_at, uncount_attempt=True,
            )  # fmt: skip
        case Unknown():
            # the attempts before this one are asked about with it, and were a moment ago
            asked = min(row.attempts - 1, 1)
            ask_at = next_question_at(
                State.UNKNOWN, asked=asked, since=now, now=now, poll_s=policy.poll_s, quarantine_s=policy.quarantine_s
            )
            if outcome.retry_after_s is not None:
                ask_at = max(ask_at, now + timedelta(seconds=outcome.retry_after_s))
            return Change(
                message_id=row.id, expect=_SENDING, attempt=row.attempts, to=State.UNKNOWN, at=now, event="unknown",
                detail=detail_of(outcome.error), error=outcome.error, asked=asked, next_attempt_at=ask_at,
            )  # fmt: skip
        case _:
            assert_never(outcome)


def _is_in_doubt(row: StoredMessage) -> bool:
    """Tell whether an earlier attempt got no usable answer; its error stands in the row until the next outcome."""
    return row.error is not None and row.error.error_class is ErrorClass.UNKNOWN


def _ask_before_next(row: StoredMessage, outcome: Deferred, *, now: datetime) -> Change:
    """Say what "duplicate, or too many at once" means after an attempt in doubt: the gateway may well have that one.

    This request was refused, which proves nothing about the earlier one: it is asked about before there is a new one.
    """
    wait_s = outcome.retry_after_s or 0.0
    return Change(
        message_id=row.id, expect=_SENDING, attempt=row.attempts, to=State.UNKNOWN, at=now, event="unknown",
        detail={**detail_of(outcome.error), "because": "an earlier attempt may have been taken: asked about first"},
        error=replace(outcome.error, error_class=ErrorClass.UNKNOWN), asked=0,
        next_attempt_at=now + timedelta(seconds=wait_s),
    )  # fmt: skip


def next_way(row: StoredMessage, outcome: Refused, *, gateway: str, now: datetime) -> Change:
    """Put *row* back for *gateway*, the next of its route: the one that had it has no way to the number."""
    error = replace(outcome.error, error_class=ErrorClass.NO_ROUTE)
    return Change(
        message_id=row.id, expect=_SENDING, attempt=row.attempts, to=State.QUEUED, at=now, event="deferred",
        detail={**detail_of(error), "gateway": row.gateway, "because": f"it has no route; {gateway} is next"},
        error=error, next_attempt_at=now,
    )  # fmt: skip


def no_way_now(row: StoredMessage, *, now: datetime, wait_s: float) -> Change:
    """Let *row*, none of whose gateways takes messages now, not stand before others that could go."""
    return Change(
        message_id=row.id, expect=frozenset({State.QUEUED}), attempt=row.attempts, to=State.QUEUED, at=now, event="",
        next_attempt_at=now + timedelta(seconds=wait_s),
    )  # fmt: skip


def split_again(row: StoredMessage, *, now: datetime) -> Change:
    """Put *row* of a batch refused as a whole back: it goes again at once in a smaller one; no attempt is spent."""
    return Change(
        message_id=row.id, expect=_SENDING, attempt=row.attempts, to=State.QUEUED, at=now, event="deferred",
        detail={"because": "the whole batch was refused; tried again in halves"},
        next_attempt_at=now, uncount_attempt=True,
    )  # fmt: skip


def put_back(row: StoredMessage, *, now: datetime, because: str) -> Change:
    """Undo a claim whose request was never begun; no attempt is spent."""
    return Change(
        message_id=row.id, expect=_SENDING, attempt=row.attempts, to=State.QUEUED, at=now, event="deferred",
        detail={"because": because}, next_attempt_at=now, uncount_attempt=True,
    )  # fmt: skip


def quarantine_over(row: StoredMessage, policy: Policy, at: datetime) -> bool:
    """Tell whether what the gateway does not know at *at* of *row*, which is ``unknown``, never reached it."""
    return at >= (row.unknown_since or row.updated_at) + timedelta(seconds=policy.quarantine_s)


def is_worth_waiting(row: StoredMessage, *, policy: Policy | None, now: datetime, is_in_doubt: bool = False) -> bool:
    """Tell whether the answer that *row*, whose lifetime is over, waits for may still come.

    A message that is ``unknown`` is asked about when its quarantine ends: to call it lost before that could report
    a failure of what the gateway has, or send it twice. The same goes for one that was never asked about (the gateway
    wanted silence), or whose question is due this moment (the machine slept). *is_in_doubt*: no quarantine can be
    known to be over.
    """
    if row.state is not State.UNKNOWN or policy is None:
        return False
    is_to_be_asked = row.asked == 0 or (row.next_attempt_at is not None and row.next_attempt_at <= now)
    last_answer_by = now - timedelta(seconds=_LAST_ANSWER_S)
    return is_in_doubt or is_to_be_asked or not quarantine_over(row, policy, last_answer_by)


def decide_expiry(
    row: StoredMessage, *, policy: Policy | None, lifetime_s: float, now: datetime, trouble: SmsError | None = None
) -> Change:
    """Say what becomes of *row*, ``queued`` or ``unknown``, whose lifetime is over.

    *trouble*: why no gateway takes messages now; it speaks for a message that no gateway ever answered.
    """
    if row.state is State.UNKNOWN:
        return _unknown_for_good(
            row, on_unknown=policy.on_unknown if policy else "hold", lifetime_s=lifetime_s, now=now
        )
    over = SmsError(code="lifetime", text="delivery time expired", error_class=ErrorClass.EXPIRED)
    error = row.error or trouble or over
    return Change(
        message_id=row.id, expect=frozenset({State.QUEUED}), attempt=row.attempts, to=State.EXPIRED, at=now,
        event="expired", detail={"because": "lifetime over", **detail_of(error)}, error=error,
        report=Report.FAILED, report_status="4.4.7", report_diagnostic=diagnostic_of(error, policy),
    )  # fmt: skip


def decide_unasked(row: StoredMessage, *, policy: Policy, now: datetime) -> Change:
    """Say what becomes of *row*, ``unknown`` at a carrier that can never be asked, when its quarantine is over.

    To wait for its lifetime would tell nobody more: what the user chose is done now. A late callback still counts.
    """
    if policy.on_unknown != "retry":
        return _unknown_for_good(row, on_unknown=policy.on_unknown, lifetime_s=0, now=now)
    if row.expires_at <= now:
        return _unknown_for_good(row, on_unknown="fail", lifetime_s=0, now=now)
    wait_s = policy.backoff.delay_s(row.attempts, 0.5)
    return Change(
        message_id=row.id, expect=frozenset({State.UNKNOWN}), attempt=row.attempts, to=State.QUEUED, at=now,
        event="deferred", next_attempt_at=now + timedelta(seconds=wait_s),
        detail={"because": f"nobody can be asked what became of attempt {row.attempts}; on_unknown: retry",
                "gateway_id": row.gateway_id},
    )  # fmt: skip


def _unknown_for_good(row: StoredMessage, *, on_unknown: str, lifetime_s: float, now: datetime) -> Change:
    unknown = frozenset({State.UNKNOWN})
    because: Detail = {"because": f"never known what became of attempt {row.attempts}; on_unknown: {on_unknown}"}
    if on_unknown == "retry":
        return Change(
            message_id=row.id, expect=unknown, attempt=row.attempts, to=State.QUEUED, at=now, event="deferred",
            detail=because, next_attempt_at=now, expires_at=now + timedelta(seconds=lifetime_s),
        )  # fmt: skip
    error = row.error or SmsError(code="unknown", text="no usable answer", error_class=ErrorClass.UNKNOWN)
    if on_unknown == "fail":
        return Change(
            message_id=row.id, expect=unknown, attempt=row.attempts, to=State.EXPIRED, at=now, event="expired",
            detail=because, error=error,
            report=Report.FAILED, report_status=LIFETIME_OVER.enhanced, report_diagnostic=diagnostic_of(error),
        )  # fmt: skip
    return Change(
        message_id=row.id, expect=unknown, attempt=row.attempts, to=State.HELD, at=now, event="held", detail=because,
        error=error,
    )  # fmt: skip


def decide_warning(row: StoredMessage, *, now: datetime, trouble: SmsError | None = None) -> Change:
    """Tell the sender once that *row* is late; its state stays. *trouble* as in ``decide_expiry``."""
    error = row.error or trouble or SmsError(code="queue", text="waiting", error_class=ErrorClass.DEFERRED)
    return Change(
        message_id=row.id, expect=frozenset({row.state}), attempt=row.attempts, to=row.state, at=now, event="",
        report=Report.DELAYED, report_status="4.4.7", report_diagnostic=diagnostic_of(error),
    )  # fmt: skip
