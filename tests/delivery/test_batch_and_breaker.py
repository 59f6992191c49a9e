"""Grouping into requests, the pace of requests, and the breaker, as values."""

from __future__ import annotations

from decimal import Decimal
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.delivery import breaker
from mailbridge.delivery.batch import plan_batches
from mailbridge.delivery.pace import Pace
from mailbridge.model.outcome import Balance, ErrorClass, Suspended
from mailbridge.queue.contract import GatewayState
from tests.support.clock import START as NOW
from tests.support.delivery import ScriptedGateway, error, later, row
from tests.support.sms import message


def plan(rows, *, requests=10, parts=None, max_batch=100):
    """Plan with fresh ids from 1."""
    ids = count(1)
    return plan_batches(
        rows, lambda: next(ids), gateway=ScriptedGateway(), requests=requests, size=max_batch, parts=parts or {}
    )


def rows_of(*phones, sender="ACME"):
    """Build queued rows for these phones."""
    return [row(f"AAAAAAAAAA.{n}", message=message("x", phone, sender=sender)) for n, phone in enumerate(phones, 1)]


def test_equal_messages_share_a_request():
    """One request, one gateway id, three phones."""
    (one,) = plan(rows_of("+79990000001", "+79990000002", "+79990000003"))

    assert len(one.message_ids) == 3
    assert one.gateway_id == "1"


def test_a_phone_never_stands_twice_in_a_request():
    """The gateway keeps one status for a phone and an id."""
    plans = plan(rows_of("+79990000001", "+79990000001", "+79990000002"))

    assert [len(one.message_ids) for one in plans] == [1, 2]


def test_different_senders_go_apart():
    """What must be equal in a request decides the grouping."""
    rows = [*rows_of("+79990000001"), row("BBBBBBBBBB.1", message=message("x", "+79990000002", sender="OTHER"))]

    assert len(plan(rows)) == 2


def test_what_has_no_slot_stays_queued():
    """No more requests than there are slots, but those that are open are filled."""
    rows = [*rows_of("+79990000001"), row("BBBBBBBBBB.1", message=message("x", "+79990000002", sender="OTHER"))]
    rows += [row("CCCCCCCCCC.1", message=message("x", "+79990000003"))]

    (only,) = plan(rows, requests=1)

    assert only.message_ids == ("AAAAAAAAAA.1", "CCCCCCCCCC.1")


def test_halves_of_a_refused_batch_stay_apart():
    """The culprit is found by halving, so halves must not meet again."""
    rows = rows_of("+79990000001", "+79990000002")

    assert len(plan(rows, parts={"AAAAAAAAAA.1": 1, "AAAAAAAAAA.2": 2})) == 2


@pytest.mark.parametrize(("attempts", "gateway_id"), [(0, "my-label"), (1, "1")])
def test_a_clients_own_id_is_used_for_the_first_attempt_alone(attempts, gateway_id):
    """Each later attempt has an id of its own."""
    labelled = row(attempts=attempts, message=message("x", wanted_id="my-label"))
    plans = plan([labelled, *rows_of("+79990000002")])

    assert plans[0].gateway_id == gateway_id


@given(
    phones=st.lists(st.sampled_from(["+79990000001", "+79990000002", "+79990000003"]), max_size=30),
    requests=st.integers(0, 5),
    max_batch=st.integers(1, 4),
)
def test_any_plan_keeps_every_limit(phones, requests, max_batch):
    """No message twice, no phone twice in a request, no request too large, not too many, ids all different."""
    rows = rows_of(*phones)
    plans = plan(rows, requests=requests, max_batch=max_batch)

    phone_of = {one.id: one.message.phone for one in rows}
    planned = [id_ for one in plans for id_ in one.message_ids]
    assert len(planned) == len(set(planned))
    assert len(plans) <= requests
    assert len({one.gateway_id for one in plans}) == len(plans)
    for one in plans:
        assert 1 <= len(one.message_ids) <= max_batch
        assert len({phone_of[id_] for id_ in one.message_ids}) == len(one.message_ids)


def test_too_many_halves_the_pace_and_success_grows_it_back():
    """10 becomes 5 at once, and 6 again after twenty good answers."""
    pace = Pace(10)
    pace.start()
    pace.finish(too_many=True)
    halved = pace.limit
    for _ in range(20):
        pace.start()
        pace.finish(too_many=False)

    assert (halved, pace.limit, pace.in_flight) == (5, 6, 0)


# ------------------------------------------------------------------------------------------------ breaker
TROUBLE = breaker.Trouble(code="2", reason="authorise error", probe_after_s=60, probe_max_s=600)
UP = GatewayState(name="main")
MONEY = Balance(gateway="main", balance=Decimal(5), currency="RUR")
BROKE = Balance(gateway="main", balance=Decimal(0), currency="RUR")


def test_probes_double_up_to_their_longest():
    """60, 120, 240, 480, 600, 600 seconds."""
    state = breaker.suspend(UP, TROUBLE, now=NOW)
    waits = [(state.probe_at - NOW).total_seconds()]
    for _ in range(5):
        before = state.probe_at
        state = breaker.after_probe(state, error("timeout", ErrorClass.UNKNOWN), trouble=TROUBLE, now=before)
        waits.append((state.probe_at - before).total_seconds())

    assert waits == [60, 120, 240, 480, 600, 600]


def test_a_suspended_gateway_is_not_suspended_again():
    """Requests that were still in flight do not restart the clock of the probes."""
    state = breaker.suspend(UP, TROUBLE, now=NOW)

    assert breaker.suspend(state, TROUBLE, now=later(10)) is state


@pytest.mark.parametrize(("code", "answer", "well"), [
    ("2", BROKE, True), ("3", BROKE, False), ("3", MONEY, True), ("4", MONEY, True),
    ("2", error("9", ErrorClass.DEFERRED), False), ("2", error("connect", ErrorClass.DEFERRED), False),
    ("transport", error("answer", ErrorClass.UNKNOWN), False), ("transport", error("http 502", ErrorClass.UNKNOWN), False),
    ("transport", error("timeout", ErrorClass.UNKNOWN), False), ("transport", error("1", ErrorClass.REFUSED), True),
    ("transport", error("http 404", ErrorClass.UNKNOWN), True),
])  # fmt: skip
def test_what_a_probe_shows(code, answer, well):
    """Money ends code 3, an answer that can be read ends a broken connection, and silence ends nothing."""
    state = GatewayState(name="main", suspended=True, code=code, since=NOW, probe_at=NOW)

    assert breaker.after_probe(state, answer, trouble=TROUBLE, now=NOW).suspended is not well


def test_a_probe_that_finds_another_trouble_takes_it_over():
    """Wrong logins repeated lead to code 4, with its own intervals."""
    state = breaker.suspend(UP, TROUBLE, now=NOW)
    blocked = Suspended(error=error("4", ErrorClass.SUSPENDED), probe_after_s=300, probe_max_s=3600)
    state = breaker.after_probe(state, blocked, trouble=TROUBLE, now=NOW)

    assert state.code == "4"
    assert state.probe_at == later(600)


def test_who_suspended_by_hand_resumes_by_hand():
    """No probe is due for it."""
    assert not breaker.is_probe_due(GatewayState(name="main", suspended=True, by_hand=True), now=NOW)


# ------------------------------------------------------------------------------------------------- trials
def relapses(count, *, trouble=TROUBLE):
    """Suspend, then let every probe find it well and every trial fail; return the waits for the probes."""
    state = breaker.suspend(UP, trouble, now=NOW)
    waits = []
    for _ in range(count):
        waits.append((state.probe_at - NOW).total_seconds())
        trial = breaker.after_probe(state, MONEY, trouble=trouble, now=NOW)
        assert breaker.is_unproved(trial)
        state = breaker.suspend(trial, trouble, now=NOW)
    return waits


def test_a_relapse_goes_on_where_the_probes_had_come_to():
    """Money is left each time, but not enough: 30, 60, 120 … 600 s."""
    no_money = breaker.Trouble(code="3", reason="no money", probe_after_s=30, probe_max_s=600)

    assert relapses(7, trouble=no_money) == [30, 60, 120, 240, 480, 600, 600]


def test_another_trouble_on_trial_is_a_new_one():
    """Its own code, its own beginning, its own first interval."""
    trial = breaker.after_probe(breaker.suspend(UP, TROUBLE, now=NOW), MONEY, trouble=TROUBLE, now=later(60))
    blocked = breaker.Trouble(code="4", reason="IP is blocked", probe_after_s=300, probe_max_s=3600)
    state = breaker.suspend(trial, blocked, now=later(61))

    assert (state.code, state.since, state.probe_at) == ("4", later(61), later(361))


@pytest.mark.parametrize(("ended_at", "well"), [(None, True), (later(-599), False), (later(-601), True)])
def test_a_trouble_that_came_back_soon_is_not_over_at_once(ended_at, well):
    """Where cheap messages pass and a dear one does not, each of them would be an end and a beginning."""
    trial = breaker.after_probe(breaker.suspend(UP, TROUBLE, now=NOW), MONEY, trouble=TROUBLE, now=later(60))
    after = breaker.after_success(trial, ended_at=ended_at, now=later(61))

    assert (after == UP) is well
    assert not breaker.is_unproved(after)
    assert breaker.after_calm(after, now=later(61 + breaker.RESTLESS_S)) == UP


def test_a_trial_without_messages_ends_by_itself():
    """After a minute, and not before."""
    trial = breaker.after_probe(breaker.suspend(UP, TROUBLE, now=NOW), MONEY, trouble=TROUBLE, now=NOW)

    assert breaker.after_calm(trial, now=later(59)) is trial
    assert breaker.after_calm(trial, now=later(60)) == UP


@pytest.mark.parametrize(("code", "odd"), [
    ("http 404", True), ("http 500", True), ("answer", True), ("1", False), ("9", False), ("timeout", False),
    ("connect", False), ("cut", False),
])  # fmt: skip
def test_an_odd_answer_is_neither_a_balance_nor_a_code_nor_silence(code, odd):
    """What a gateway without a balance page says."""
    assert breaker.is_odd(error(code, ErrorClass.UNKNOWN)) is odd
    assert not breaker.is_odd(MONEY)
