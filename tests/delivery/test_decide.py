"""What outcomes, receipts and time mean for a message: each rule of docs/reference/error-codes.md, as values."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.delivery.decide import decide_expiry, decide_outcome, split_again
from mailbridge.delivery.poll import next_question_at
from mailbridge.delivery.receipts import Verdict, decide_answer, decide_receipt
from mailbridge.delivery.retry import Backoff
from mailbridge.gateway.contract import StatusMiss
from mailbridge.model import reply
from mailbridge.model.outcome import Accepted, Deferred, ErrorClass, Receipt, Refused, Suspended, Unknown
from mailbridge.model.state import State, can_move
from mailbridge.queue.contract import Report
from tests.support.clock import START as NOW
from tests.support.delivery import MIDDLE, POLICY, error, later, row

DAY_S = 86400.0


def outcome_of(outcome, **fields):
    """Decide about one outcome at the tests' start."""
    return decide_outcome(row(**fields), outcome, policy=POLICY, now=NOW, random=MIDDLE)


def read(receipt: Receipt) -> Verdict:
    """Read a receipt by a table as small as the tests need."""
    states = {0: None, 1: State.DELIVERED, 3: State.EXPIRED, 25: State.UNDELIVERED}
    return Verdict(state=states[receipt.status], enhanced="5.4.4", code=f"status {receipt.status}", text="words")


def receipt(status: int, gateway_id: str = "5001") -> Receipt:
    """Build a receipt for the tests' message."""
    return Receipt(gateway="main", gateway_id=gateway_id, phone=row().message.phone, status=status, err=0)


def test_accepted_is_sent_and_asked_about_soon():
    """The first status question comes 5 s later."""
    change = outcome_of(Accepted(gateway_id="5001", parts=2))

    assert (change.to, change.event, change.parts) == (State.SENT, "sent", 2)
    assert change.next_attempt_at == later(5)


def test_deferred_waits_by_the_backoff():
    """The third failure waits 20 s in the middle of its jitter."""
    change = outcome_of(Deferred(error=error("connect", ErrorClass.DEFERRED), left=False), attempts=3)

    assert change.to is State.QUEUED
    assert change.next_attempt_at == later(20)


def test_deferred_waits_at_least_as_long_as_the_gateway_asks():
    """A gateway's own wait is a minimum, not a suggestion."""
    change = outcome_of(Deferred(error=error("9", ErrorClass.DEFERRED), retry_after_s=61))

    assert change.next_attempt_at == later(61)


def test_error_9_after_an_attempt_in_doubt_is_asked_about_before_a_new_attempt():
    """That request was refused, which proves nothing about the one before it that got no answer."""
    nine = Deferred(error=error("9", ErrorClass.DEFERRED), retry_after_s=61, slow_down=True)
    change = outcome_of(nine, attempts=2, error=error("timeout", ErrorClass.UNKNOWN))
    again = outcome_of(nine, attempts=3, error=change.error)
    alone = outcome_of(nine, attempts=2, error=error("9", ErrorClass.DEFERRED))

    assert (change.to, change.next_attempt_at, change.error.code) == (State.UNKNOWN, later(61), "9")
    assert again.to is State.UNKNOWN
    assert (alone.to, alone.next_attempt_at) == (State.QUEUED, later(61))


def test_refused_fails_with_the_words_for_the_report():
    """State, status and diagnostic code of the report come from the refusal."""
    change = outcome_of(Refused(error=error("7", text="invalid number"), reply=reply.GATEWAY_NUMBER))

    assert (change.to, change.report) == (State.FAILED, Report.FAILED)
    assert (change.report_status, change.report_diagnostic) == ("5.1.3", "x-smsc; 7 invalid number")


def test_suspended_spends_no_attempt():
    """The message waits as though it had never been tried."""
    change = outcome_of(Suspended(error=error("3", ErrorClass.SUSPENDED), probe_after_s=30, probe_max_s=600))

    assert (change.to, change.uncount_attempt, change.report) == (State.QUEUED, True, None)


def test_unknown_is_asked_about_and_never_queued():
    """A lost answer leads to a question after 3 s."""
    change = outcome_of(Unknown(error=error("timeout", ErrorClass.UNKNOWN)))

    assert change.to is State.UNKNOWN
    assert change.next_attempt_at == later(3)


def test_unknown_is_asked_no_sooner_than_the_gateway_wants():
    """HTTP 429 with Retry-After: 40 is obeyed."""
    change = outcome_of(Unknown(error=error("http 429", ErrorClass.UNKNOWN), retry_after_s=40))

    assert change.next_attempt_at == later(40)


@pytest.mark.parametrize("make", [
    Accepted(gateway_id="1", parts=1),
    Deferred(error=error(error_class=ErrorClass.DEFERRED)),
    Refused(error=error(), reply=reply.GATEWAY_NUMBER),
    Suspended(error=error(), probe_after_s=1, probe_max_s=1),
    Unknown(error=error()),
])  # fmt: skip
def test_every_outcome_is_a_legal_move_fenced_by_the_attempt(make):
    """Whatever came back, it applies only while the message is in that very attempt."""
    change = outcome_of(make, attempts=4)

    assert change.expect == {State.SENDING}
    assert change.attempt == 4
    assert can_move(State.SENDING, change.to)


def test_a_batch_refused_as_a_whole_goes_again_at_once():
    """Halving costs no attempt."""
    change = split_again(row(), now=NOW)

    assert (change.to, change.uncount_attempt, change.next_attempt_at) == (State.QUEUED, True, NOW)


# ------------------------------------------------------------------------------------------------ unknown
def unknown(**fields):
    """Build a message whose first attempt was given up at the tests' start."""
    return row(state=State.UNKNOWN, unknown_since=NOW, **fields)


def answer_at(seconds: float, answer, **fields):
    """Decide about an answer that comes so many seconds after giving up."""
    return decide_answer(
        unknown(**fields), answer, policy=POLICY, read=read, now=later(seconds), asked_at=later(seconds)
    )


def test_found_means_sent():
    """A status of 0 proves that the request arrived."""
    assert answer_at(3, receipt(0)).to is State.SENT


def test_found_and_final_ends_at_once():
    """The status may be final already."""
    assert answer_at(3, receipt(1)).to is State.DELIVERED


@pytest.mark.parametrize("seconds", [3, 60, 149.9])
def test_not_found_is_not_believed_within_the_quarantine(seconds):
    """The request may still be on its way."""
    change = answer_at(seconds, StatusMiss.NOT_FOUND)

    assert change.to is State.UNKNOWN
    assert change.event == ""


def test_not_found_after_the_quarantine_is_a_new_attempt():
    """150 s after giving up, "not found" is the truth."""
    assert answer_at(150, StatusMiss.NOT_FOUND).to is State.QUEUED


def test_no_answer_is_never_not_found():
    """A gateway that says nothing says nothing, however late."""
    assert answer_at(100_000, StatusMiss.NO_ANSWER).to is State.UNKNOWN


@given(asked=st.integers(0, 60), age_s=st.floats(0, 5000), quarantine_s=st.floats(0, 600))
def test_an_unknown_message_is_asked_about_at_most_four_times_a_minute(asked, age_s, quarantine_s):
    """After the first question at least 15 s pass, but for the one when the quarantine ends."""
    at = next_question_at(State.UNKNOWN, asked=asked, since=NOW, now=later(age_s), poll_s=30, quarantine_s=quarantine_s)

    gap_s = (at - later(age_s)).total_seconds()
    ends_the_quarantine = abs((at - NOW).total_seconds() - quarantine_s) < 0.001
    assert asked == 0 or gap_s >= 15 or ends_the_quarantine
    assert gap_s <= 120


@given(
    quarantine_s=st.floats(15, 300),
    late_s=st.lists(st.floats(0, 2), min_size=40, max_size=40),
    found_after=st.integers(1, 12),
)
def test_no_minute_holds_more_than_four_questions_about_one_attempt(quarantine_s, late_s, found_after):
    """Neither around the quarantine's end, nor with a second attempt after it, nor once the message is found."""
    policy = replace(POLICY, quarantine_s=quarantine_s)
    late, asked_at = iter(late_s), []

    def ask(waits, at, answer):
        asked_at.append(at)
        change = decide_answer(waits, answer, policy=policy, read=read, now=at, asked_at=at)
        since = {} if change.to is waits.state else {"updated_at": at, "attempted_at": at}
        asked = waits.asked if change.asked is None else change.asked
        return replace(waits, state=change.to, asked=asked, next_attempt_at=change.next_attempt_at, **since)

    lost, at = row(attempts=1), NOW
    for attempts in (1, 2):
        change = decide_outcome(
            replace(lost, attempts=attempts), Unknown(error=error()), policy=policy, now=at, random=0
        )
        lost = row(
            state=State.UNKNOWN, attempts=attempts, asked=change.asked, unknown_since=at,
            next_attempt_at=change.next_attempt_at,
        )  # fmt: skip
        for number in range(20):
            at = lost.next_attempt_at + timedelta(seconds=next(late, 0))
            is_found = attempts == 2 and number + 1 >= found_after
            lost = ask(lost, at, receipt(0) if is_found else StatusMiss.NOT_FOUND)
            if lost.state is State.QUEUED:
                break

    for first, fifth in zip(asked_at, asked_at[4:], strict=False):
        assert (fifth - first).total_seconds() >= 60


# ----------------------------------------------------------------------------------------------- receipts
@pytest.mark.parametrize(
    "state", [State.SENT, State.SENDING, State.UNKNOWN, State.HELD, State.UNDELIVERED, State.EXPIRED]
)
def test_delivered_is_believed_in_every_state_that_may_still_learn_it(state):
    """A callback may come before the answer, or long after a report."""
    change = decide_receipt(row(state=state), receipt(1), policy=POLICY, read=read, now=NOW)

    assert change is not None
    assert change.to is State.DELIVERED


@pytest.mark.parametrize("status", [0, 3, 25])
def test_nothing_leads_away_from_delivered(status):
    """A delivered message is never downgraded."""
    assert decide_receipt(row(state=State.DELIVERED), receipt(status), policy=POLICY, read=read, now=NOW) is None


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED, State.QUEUED, State.SUPPRESSED])
def test_a_receipt_changes_nothing_where_nothing_was_sent(state):
    """An old attempt's late failure says nothing about a message that waits or is done with."""
    assert decide_receipt(row(state=state), receipt(25), policy=POLICY, read=read, now=NOW) is None


def test_a_repeated_receipt_changes_nothing():
    """The same status twice gives one change."""
    assert decide_receipt(row(state=State.UNDELIVERED), receipt(25), policy=POLICY, read=read, now=NOW) is None


@pytest.mark.parametrize(("status", "state"), [(25, State.UNDELIVERED), (3, State.EXPIRED)])
def test_a_final_failure_is_reported(status, state):
    """The sender hears with the status table's row."""
    change = decide_receipt(row(state=State.SENT), receipt(status), policy=POLICY, read=read, now=NOW)

    assert change is not None
    assert (change.to, change.report, change.report_status) == (state, Report.FAILED, "5.4.4")


@given(status=st.sampled_from([0, 1, 3, 25]), state=st.sampled_from(State))
def test_a_receipt_is_a_legal_move_or_nothing(status, state):
    """No receipt in any state asks for a move the table forbids."""
    change = decide_receipt(row(state=state), receipt(status), policy=POLICY, read=read, now=NOW)

    assert change is None or can_move(state, change.to)


# --------------------------------------------------------------------------------------------------- time
def test_a_queued_message_expires_with_its_last_error():
    """The report carries 4.4.7 and the gateway's last words."""
    late = row(state=State.QUEUED, error=error("9", ErrorClass.DEFERRED, "duplicate request"))
    change = decide_expiry(late, policy=POLICY, lifetime_s=DAY_S, now=NOW)

    assert (change.to, change.report_status) == (State.EXPIRED, "4.4.7")
    assert change.report_diagnostic == "x-smsc; 9 duplicate request"


@pytest.mark.parametrize(("on_unknown", "state", "report"), [
    ("hold", State.HELD, None), ("fail", State.EXPIRED, Report.FAILED), ("retry", State.QUEUED, None),
])  # fmt: skip
def test_on_unknown_decides_what_was_never_known(on_unknown, state, report):
    """Held for a person, failed with a report, or tried again with a new lifetime."""
    policy = type(POLICY)(backoff=POLICY.backoff, poll_s=30, quarantine_s=150, on_unknown=on_unknown)
    change = decide_expiry(unknown(), policy=policy, lifetime_s=DAY_S, now=later(DAY_S))

    assert (change.to, change.report) == (state, report)
    assert on_unknown != "retry" or change.expires_at == later(2 * DAY_S)


@given(failures=st.integers(1, 10_000), random=st.floats(0, 1, exclude_max=True))
def test_the_backoff_stays_within_its_bounds(failures, random):
    """Never under four fifths of the first wait, never over six fifths of the longest."""
    delay_s = Backoff(min_s=5, max_s=300).delay_s(failures, random)

    assert 4 <= delay_s <= 360


def test_the_backoff_doubles():
    """The documented sequence, in the middle of its jitter."""
    assert [Backoff().delay_s(n, MIDDLE) for n in range(1, 9)] == [5, 10, 20, 40, 80, 160, 300, 300]


def test_a_sent_message_is_asked_about_less_and_less():
    """After 5 s, after 15 s more, then every 30 s, 5 minutes, half an hour, 4 hours, and after three days no more."""
    ages = [(0, 0), (1, 5), (2, 20), (9, 400), (20, 4000), (40, 100_000), (60, 300_000)]
    gaps = [
        (at - later(age)).total_seconds()
        for asked, age in ages
        for at in [next_question_at(State.SENT, asked=asked, since=NOW, now=later(age), poll_s=30)]
    ]

    assert gaps[:-1] == [5, 15, 30, 300, 1800, 14400]
    assert gaps[-1] > 365 * DAY_S


@pytest.mark.parametrize("poll_s", [0.1, 1, 2, 5, 10, 14, 15, 20, 30])
def test_no_interval_breaks_the_gateways_limit(poll_s):
    """However short ``poll`` is, a message is not asked about a sixth time within a minute: that would be error 9."""
    times, at = [], NOW
    for asked in range(60):
        at = next_question_at(State.SENT, asked=asked, since=NOW, now=at, poll_s=poll_s)
        times.append(at)

    assert all((sixth - first).total_seconds() >= 60 for first, sixth in zip(times, times[5:], strict=False))


def test_polling_can_be_switched_off():
    """With callbacks alone nothing is asked."""
    assert next_question_at(State.SENT, asked=0, since=NOW, now=NOW, poll_s=0) == later(3 * DAY_S)


# ------------------------------------------------------------------------- a carrier that can never be asked
def unasked(on_unknown: str, *, after_s: float = 200.0, **fields):
    """Decide about an unknown message of which nobody can be asked, so long after it was given up."""
    waiting = row(state=State.UNKNOWN, unknown_since=NOW, error=error("timeout", ErrorClass.UNKNOWN), **fields)
    policy, at = replace(POLICY, on_unknown=on_unknown), later(after_s)
    return decide_answer(waiting, StatusMiss.NOBODY_KNOWS, policy=policy, read=read, now=at, asked_at=at)


@pytest.mark.parametrize(
    ("on_unknown", "state"), [("hold", State.HELD), ("fail", State.EXPIRED), ("retry", State.QUEUED)]
)
def test_what_nobody_can_be_asked_about_does_what_the_user_chose(on_unknown, state):
    """When its quarantine is over, not when its lifetime is; before that it waits as any other."""
    assert unasked(on_unknown).to is state
    assert unasked(on_unknown, after_s=100).to is State.UNKNOWN


def test_a_retry_of_what_nobody_knows_ends_with_the_lifetime():
    """It does not begin a new one: a carrier that never answers must not go on for ever."""
    again = unasked("retry")
    assert again.expires_at is None
    assert again.next_attempt_at > later(200)
    over = unasked("retry", expires_at=later(150))
    assert (over.to, over.report) == (State.EXPIRED, Report.FAILED)
