"""Contract of every store: claiming, applying, asking, recovering, gateways."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from mailbridge.model.outcome import ErrorClass, SmsError
from mailbridge.model.state import MOVES, State
from mailbridge.queue.contract import Assignment, GatewayState, Report
from tests.support.queue import DAY, ERROR, MAIN, NOW, SECOND, change, claim, new_mail, new_message, one, together

S = State


class TestClaim:
    async def test_a_claimed_message_carries_its_intent(self, store):
        await store.put(new_mail("M1"))
        (request,) = await claim(store, NOW + SECOND)
        (row,) = request.messages
        assert row == await one(store, "M1.1")
        assert (row.state, row.attempts, row.gateway, row.gateway_id) == (S.SENDING, 1, "main", request.gateway_id)
        assert (row.attempted_at, row.updated_at, row.asked, row.unknown_since) == (NOW + SECOND, NOW + SECOND, 0, None)
        (attempt,) = await store.attempts_of("M1.1")
        assert (attempt.number, attempt.gateway, attempt.gateway_id) == (1, "main", request.gateway_id)
        entry = (await store.history("M1.1"))[-1]
        assert (entry.event, entry.state) == ("attempt", S.SENDING)
        assert entry.detail == {"attempt": 1, "gateway": "main", "gateway_id": request.gateway_id}

    async def test_the_longest_due_come_first_and_only_the_due(self, store):
        for n, delay in enumerate([3, 1, 2, 9]):
            await store.put(new_mail(f"M{n}", new_message(f"M{n}.1", next_attempt_at=NOW + delay * SECOND)))
        claimed = await claim(store, NOW + 5 * SECOND, limit=2)
        assert [row.id for request in claimed for row in request.messages] == ["M1.1", "M2.1"]
        assert [row.id for r in await claim(store, NOW + 5 * SECOND) for row in r.messages] == ["M0.1"]

    async def test_without_a_gateway_nothing_is_claimed(self, store):
        await store.put(new_mail("M1"))
        assert not await store.claim(now=NOW, limit=9, node="n1", gateways=frozenset(), plan=together)
        assert await store.next_due_at(frozenset()) is None
        assert await store.next_due_at(MAIN) == NOW

    async def test_rows_the_plan_leaves_out_stay_queued(self, store):
        await store.put(new_mail("M1", new_message("M1.1"), new_message("M1.2")))
        claimed = await claim(store, plan=lambda rows, next_id: together(rows[1:], next_id))
        assert [row.id for row in claimed[0].messages] == ["M1.2"]
        assert (await one(store, "M1.1")).state is S.QUEUED

    async def test_no_phone_is_twice_in_a_request_even_when_the_plan_says_so(self, store):
        await store.put(new_mail("M1", new_message("M1.1"), new_message("M1.2")))
        (request,) = await claim(store, plan=together)
        assert [row.id for row in request.messages] == ["M1.1"]
        assert (await one(store, "M1.2")).state is S.QUEUED

    async def test_ids_never_repeat(self, store):
        ids = []
        for n in range(4):
            await store.put(new_mail(f"M{n}"))
            ids += [int(request.gateway_id) for request in await claim(store)]
        assert len(set(ids)) == 4
        assert all(1 <= id_ <= 2_147_483_647 for id_ in ids)

    async def test_ids_start_above_all_that_a_lost_queue_can_have_drawn(self, store):
        """Four a second since 2026, so that a restored backup does not repeat them."""
        await store.put(new_mail("M1"))
        (request,) = await claim(store)
        assert int(request.gateway_id) == (NOW - datetime(2026, 1, 1, tzinfo=UTC)).total_seconds() * 4

    async def test_a_clock_that_steps_back_repeats_no_id(self, store):
        await store.put(new_mail("M1", new_message("M1.1", next_attempt_at=NOW - 400 * DAY)))
        await store.put(new_mail("M2", new_message("M2.1", next_attempt_at=NOW - 400 * DAY)))
        (first,) = await claim(store, NOW, limit=1)
        (second,) = await claim(store, NOW - 365 * DAY, limit=1)
        assert int(second.gateway_id) > int(first.gateway_id)

    async def test_a_wanted_id_is_used_once_for_a_phone(self, store):
        """The second message with the client's label 77 to one phone gets a fresh id; to another phone it keeps 77."""
        for n, phone in enumerate(["+79990000001", "+79990000001", "+79990000002"]):
            await store.put(new_mail(f"M{n}", new_message(f"M{n}.1", phone=phone, sms={"wanted_id": "77"})))
            await claim(store)
        ids = [(await one(store, f"M{n}.1")).gateway_id for n in range(3)]
        assert (ids[0], ids[2]) == ("77", "77")
        assert ids[1] != "77"

    async def test_a_wanted_id_is_used_once_within_a_claim(self, store):
        for n in range(2):
            await store.put(new_mail(f"M{n}", new_message(f"M{n}.1", sms={"wanted_id": "77"})))
        assert len({request.gateway_id for request in await claim(store)}) == 2

    async def test_a_plan_that_wants_nothing_changes_nothing(self, store):
        await store.put(new_mail("M1"))
        assert not await claim(store, plan=lambda *_: [Assignment(gateway="main", gateway_id="1", message_ids=("X",))])
        assert (await one(store, "M1.1")).state is S.QUEUED
        assert len(await store.history("M1.1")) == 1


class TestApply:
    @pytest.fixture(autouse=True)
    async def sending(self, store):
        await store.put(new_mail("M1"))
        await claim(store)

    async def test_a_change_writes_its_fields_and_its_history(self, store):
        sent = change(
            "M1.1", S.SENDING, S.SENT, attempt=1, at=NOW + SECOND, parts=2, price=Decimal("3.50"), currency="RUB",
            next_attempt_at=NOW + DAY, expires_at=NOW + 2 * DAY, asked=3, detail={"parts": 2},
        )  # fmt: skip
        assert await store.apply([sent]) == [True]
        row = await one(store, "M1.1")
        assert (row.state, row.parts, row.price, row.currency, row.asked) == (S.SENT, 2, Decimal("3.50"), "RUB", 3)
        assert (row.updated_at, row.next_attempt_at, row.expires_at) == (NOW + SECOND, NOW + DAY, NOW + 2 * DAY)
        assert str(row.price) == "3.50"
        entry = (await store.history("M1.1"))[-1]
        assert (entry.at, entry.event, entry.state, entry.detail) == (NOW + SECOND, "sent", S.SENT, {"parts": 2})

    async def test_none_leaves_a_field_as_it_is(self, store):
        before = await one(store, "M1.1")
        await store.apply([change("M1.1", S.SENDING, S.SENT)])
        assert replace(await one(store, "M1.1"), state=S.SENDING) == before

    async def test_a_late_or_repeated_result_does_nothing(self, store):
        """Neither another state, nor another attempt, nor an unknown message is touched."""
        assert await store.apply([change("M1.1", S.QUEUED, S.FAILED)]) == [False]
        assert await store.apply([change("M1.1", S.SENDING, S.SENT, attempt=2)]) == [False]
        assert await store.apply([change("M9.1", S.SENDING, S.SENT)]) == [False]
        assert await store.apply([change("M1.1", S.SENDING, S.SENT)] * 2) == [True, False]
        assert [entry.event for entry in await store.history("M1.1")] == ["queued", "attempt", "sent"]

    @pytest.mark.parametrize("to", sorted(set(State) - MOVES[State.SENDING]))
    async def test_an_illegal_move_is_refused(self, store, to):
        assert await store.apply([change("M1.1", S.SENDING, to)]) == [False]
        assert (await one(store, "M1.1")).state is S.SENDING

    async def test_changes_of_one_call_follow_each_other(self, store):
        sent, delivered = change("M1.1", S.SENDING, S.SENT), change("M1.1", S.SENT, S.DELIVERED)
        assert await store.apply([sent, delivered]) == [True, True]
        assert (await one(store, "M1.1")).state is S.DELIVERED

    async def test_an_error_is_kept_until_it_is_cleared(self, store):
        error = SmsError(code="timeout", text="no answer", error_class=ErrorClass.UNKNOWN)
        await store.apply([change("M1.1", S.SENDING, S.UNKNOWN, error=error, detail={"after_s": 20})])
        assert (await one(store, "M1.1")).error == error
        entry = (await store.history("M1.1"))[-1]
        assert entry.detail == {
            "after_s": 20,
            "error": {"code": "timeout", "text": "no answer", "class": "unknown"},
        }
        await store.apply([change("M1.1", S.UNKNOWN, S.UNKNOWN)])
        assert (await one(store, "M1.1")).error == error
        await store.apply([change("M1.1", S.UNKNOWN, S.SENT, clear_error=True)])
        assert (await one(store, "M1.1")).error is None

    async def test_unknown_since_counts_from_giving_up(self, store):
        """Set when the row becomes unknown, kept while it stays so, forgotten with the next attempt."""
        await store.apply([change("M1.1", S.SENDING, S.UNKNOWN, at=NOW + SECOND)])
        await store.apply([change("M1.1", S.UNKNOWN, S.UNKNOWN, at=NOW + 9 * SECOND)])
        assert (await one(store, "M1.1")).unknown_since == NOW + SECOND
        await store.apply([change("M1.1", S.UNKNOWN, S.QUEUED, next_attempt_at=NOW)])
        await claim(store)
        assert (await one(store, "M1.1")).unknown_since is None

    async def test_a_suspended_gateway_costs_no_attempt_and_reuses_no_id(self, store):
        (first,) = await store.attempts_of("M1.1")
        await store.apply([change("M1.1", S.SENDING, S.QUEUED, uncount_attempt=True, next_attempt_at=NOW)])
        assert (await one(store, "M1.1")).attempts == 0
        await claim(store)
        again = await store.attempts_of("M1.1")
        assert [attempt.number for attempt in again] == [1, 1]
        assert again[1].gateway_id != first.gateway_id

    async def test_an_older_attempt_may_turn_out_to_be_the_one(self, store):
        await store.apply([change("M1.1", S.SENDING, S.SENT, gateway_id="4711")])
        assert (await one(store, "M1.1")).gateway_id == "4711"

    async def test_a_change_without_an_event_moves_timers_only(self, store):
        await store.apply([change("M1.1", S.SENDING, S.SENT)])
        lines = await store.history("M1.1")
        await store.apply([change("M1.1", S.SENT, S.SENT, event="", next_attempt_at=NOW + DAY, asked=1)])
        assert await store.history("M1.1") == lines
        assert (await one(store, "M1.1")).next_attempt_at == NOW + DAY

    async def test_a_final_message_is_due_no_more_and_a_retried_one_is_at_once(self, store):
        await store.apply([change("M1.1", S.SENDING, S.FAILED)])
        assert (await one(store, "M1.1")).next_attempt_at is None
        await store.apply([change("M1.1", S.FAILED, S.QUEUED, at=NOW + DAY)])
        assert (await one(store, "M1.1")).next_attempt_at == NOW + DAY

    async def test_no_changes_are_no_work(self, store):
        assert list(await store.apply([])) == []


class TestQuestions:
    async def put_in(self, store, id_, state, *, due_at):
        await store.put(new_mail(id_))
        await claim(store)
        await store.apply([change(f"{id_}.1", S.SENDING, state, next_attempt_at=due_at)])

    async def test_due_questions_come_oldest_first(self, store):
        await self.put_in(store, "M1", S.SENT, due_at=NOW + 2 * SECOND)
        await self.put_in(store, "M2", S.UNKNOWN, due_at=NOW + SECOND)
        await self.put_in(store, "M3", S.SENT, due_at=NOW + 3 * SECOND)
        await self.put_in(store, "M4", S.SENT, due_at=NOW + DAY)

        async def due(*states, limit=9):
            rows = await store.due_questions(now=NOW + 5 * SECOND, limit=limit, states=frozenset(states))
            return [row.id for row in rows]

        assert await due(S.SENT, S.UNKNOWN) == ["M2.1", "M1.1", "M3.1"]
        assert await due(S.SENT, S.UNKNOWN, limit=2) == ["M2.1", "M1.1"]
        assert await due(S.UNKNOWN) == ["M2.1"]

    async def test_messages_are_found_by_any_of_their_attempts(self, store):
        """With or without the plus; an id another phone had is somebody else's."""
        await self.put_in(store, "M1", S.UNKNOWN, due_at=NOW)
        await store.apply([change("M1.1", S.UNKNOWN, S.QUEUED, next_attempt_at=NOW)])
        await claim(store)
        old, new = (attempt.gateway_id for attempt in await store.attempts_of("M1.1"))
        keys = [
            ("main", old, "79990000001"),
            ("main", new, "+79990000001"),
            ("main", old, "79990000002"),
            ("x", old, "1"),
        ]
        found = await store.find_attempts(keys)
        assert {key: row.id for key, row in found.items()} == dict.fromkeys(keys[:2], "M1.1")

    async def test_a_message_is_found_by_the_id_its_carrier_gave_it_and_by_ours(self, store):
        """Callbacks may name either; both stand for one attempt, and an id somebody else has stays theirs."""
        await self.put_in(store, "M1", S.UNKNOWN, due_at=NOW)
        (ours,) = [attempt.gateway_id for attempt in await store.attempts_of("M1.1")]
        taken = change("M1.1", S.UNKNOWN, S.SENT, next_attempt_at=NOW + DAY, gateway_id="their-1")
        assert await store.apply([taken]) == [True]
        assert (await one(store, "M1.1")).gateway_id == "their-1"
        attempts = await store.attempts_of("M1.1")
        assert [(one_.gateway_id, one_.number) for one_ in attempts] == [(ours, 1), ("their-1", 1)]
        keys = [("main", ours, "79990000001"), ("main", "their-1", "79990000001")]
        assert {key: row.id for key, row in (await store.find_attempts(keys)).items()} == dict.fromkeys(keys, "M1.1")
        await self.put_in(store, "M2", S.UNKNOWN, due_at=NOW)
        again = change("M2.1", S.UNKNOWN, S.SENT, next_attempt_at=NOW + DAY, gateway_id="their-1")
        assert await store.apply([again]) == [True]
        assert (await store.find_attempts(keys))[keys[1]].id == "M1.1"

    async def test_recovery_makes_a_nodes_open_requests_unknown(self, store):
        await store.put(new_mail("M1"))
        await claim(store)
        assert await store.recover(node="n1", now=NOW + SECOND) == 1
        row = await one(store, "M1.1")
        assert (row.state, row.next_attempt_at, row.unknown_since) == (S.UNKNOWN, NOW + SECOND, NOW + SECOND)
        entry = (await store.history("M1.1"))[-1]
        assert (entry.event, entry.detail) == ("unknown", {"reason": "restart"})
        assert await store.recover(node="n1", now=NOW) == 0

    async def test_a_claim_leaves_what_has_outlived_its_lifetime(self, store):
        await store.put(new_mail("M1", new_message("M1.1", expires_at=NOW + SECOND)))
        assert not await claim(store, now=NOW + SECOND)
        assert len(await claim(store, now=NOW)) == 1

    async def test_a_clock_set_back_makes_due_what_waited_for_the_future(self, store):
        await store.put(new_mail("M1"))
        await store.put(new_mail("M2", received_at=NOW - DAY))
        back = NOW - 9 * DAY
        assert await store.clock_set_back(now=NOW) == 0
        assert await store.clock_set_back(now=back) == 2
        row = await one(store, "M1.1")
        assert (row.next_attempt_at, row.expires_at, row.updated_at) == (back, back + DAY, back)
        assert await store.next_due_at(MAIN) == back
        assert await store.clock_set_back(now=back - DAY) == 2
        assert (await one(store, "M1.1")).expires_at == back

    async def test_expiry_finds_what_waits_and_leaves_the_rest(self, store):
        states = {"M1": S.QUEUED, "M2": S.HELD, "M3": S.SUPPRESSED}
        for id_, state in states.items():
            await store.put(new_mail(id_, new_message(f"{id_}.1", state=state, expires_at=NOW + SECOND)))
        await store.put(new_mail("M4"))
        assert [row.id for row in await store.expired(now=NOW + SECOND, limit=9)] == ["M1.1"]
        assert await store.expired(now=NOW, limit=9) == []

    async def test_warnings_are_due_once_and_only_where_they_are_wanted(self, store):
        await store.put(new_mail("M1"))
        await store.put(new_mail("M2", new_message("M2.1", notify=frozenset({"FAILURE"}))))
        await store.put(new_mail("M3", reportable=False))
        await store.put(new_mail("M4", new_message("M4.1", state=S.HELD)))
        assert await store.due_warnings(created_before=NOW, limit=9) == []
        assert [row.id for row in await store.due_warnings(created_before=NOW + SECOND, limit=9)] == ["M1.1"]
        await store.apply([change("M1.1", S.QUEUED, S.QUEUED, report=Report.DELAYED)])
        assert await store.due_warnings(created_before=NOW + DAY, limit=9) == []

    async def test_the_next_due_time_is_of_queued_messages(self, store):
        assert await store.next_due_at(MAIN) is None
        await store.put(new_mail("M1", new_message("M1.1", next_attempt_at=NOW + DAY)))
        await store.put(new_mail("M2", new_message("M2.1", state=S.HELD)))
        assert await store.next_due_at(MAIN) == NOW + DAY


class TestGateways:
    async def test_a_gateways_state_is_kept_and_replaced(self, store):
        assert await store.gateway_states() == {}
        bad = GatewayState(
            name="main",
            suspended=True,
            by_hand=True,
            code="2",
            reason="login",
            since=NOW,
            probe_at=NOW + SECOND,
            probes=2,
        )
        await store.save_gateway_state(bad)
        assert await store.gateway_states() == {"main": bad}
        await store.save_gateway_state(GatewayState(name="main"))
        assert await store.gateway_states() == {"main": GatewayState(name="main")}

    async def test_ping_and_nothing_outside(self, store):
        await store.ping()
        await store.ping()
        assert await store.changed_outside() is False

    async def test_times_keep_their_microseconds(self, store):
        at = datetime(2026, 3, 2, 9, 0, 0, 123457, tzinfo=UTC) + timedelta(days=3000)
        await store.save_gateway_state(GatewayState(name="main", since=at))
        assert (await store.gateway_states())["main"].since == at


async def test_error_details_survive(store):
    """The error of a refusal is on the row, too."""
    await store.put(new_mail("M1"))
    await claim(store)
    await store.apply([change("M1.1", S.SENDING, S.FAILED, error=ERROR)])
    assert (await one(store, "M1.1")).error == ERROR
