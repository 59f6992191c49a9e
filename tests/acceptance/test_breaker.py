"""A sick gateway is left alone: what suspends it, what ends that, who is told, and what becomes of the messages."""

from __future__ import annotations

import time
from decimal import Decimal
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mailbridge.model.state import State
from mailbridge.queue.contract import Filter, GatewayState
from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import SimulatorSettings
from tests.support.bridge import running_bridge
from tests.support.house import EASY, House, id_of, running_house
from tests.support.programs import until

OPERATOR = "ops@example.org"
TOLD = {"operator": OPERATOR}


def state_of(house: House) -> GatewayState:
    """Return the gateway's state as the running bridge sees it."""
    return house.bridge.board.states["main"]


def notices(house: House) -> list[str]:
    """Return the subjects of what the operator got."""
    mails = [message_from_bytes(m.content, policy=policy.default) for m in house.smarthost.mails]
    assert all(mail["To"] == OPERATOR and mail["Auto-Submitted"] == "auto-generated" for mail in mails)
    return [mail["Subject"] for mail in mails]


async def mail_many(house: House, count: int, phone: str = "+79990000001") -> None:
    """Send so many different texts."""
    for n in range(count):
        assert (await house.mail(phone, text=f"text {n}"))[0] == 250


class TestTold:
    """The operator hears of it once, by mail, log and metrics."""

    @pytest.mark.slow
    @pytest.mark.parametrize("code", [2, 3, 4])
    async def test_once_when_it_begins_and_once_when_it_ends(self, code):
        """However many messages meet it, however many probes find no change, over a restart, too."""
        async with running_house(bounce=TOLD) as house:
            with capture_logs() as logs:
                house.fault(code=code)
                await mail_many(house, 5)
                await until(lambda: state_of(house).suspended)
                await house.pass_s(3600)
                await mail_many(house, 3, "+79990000002")
                await house.restart()
                await house.pass_s(3600)
                suspended = notices(house)
                during = await house.metrics()
                house.simulator.carrier.faults.clear()
                await house.pass_s(3700)
                after = await house.metrics()
            assert len(suspended) == 1
            assert suspended[0].startswith(f"Gateway main suspended: {code} ")
            assert notices(house) == [*suspended, "Gateway main works again"]
            events = [line["event"] for line in logs]
            assert events.count("gateway suspended") == 1
            assert events.count("gateway still suspended") == 1
            assert events.count("gateway resumed") == 1
            assert during[f'mailbridge_gateway_suspended{{code="{code}",gateway="main"}}'] == 1
            assert after['mailbridge_gateway_suspended{code="",gateway="main"}'] == 0
            rows = await house.store.find(Filter())
            assert {row.state for row in rows} == {State.DELIVERED}
            assert len(house.simulator.inbox) == 8

    async def test_without_an_operator_the_log_is_told(self):
        """No address, no mail."""
        async with running_house() as house:
            with capture_logs() as logs:
                house.fault(code=3)
                await mail_many(house, 2)
                await house.pass_s(20)
            assert [line["event"] for line in logs].count("gateway suspended") == 1
            assert house.smarthost.mails == []


class TestTransport:
    """Requests that get no usable answer, five in a row."""

    @pytest.mark.slow
    async def test_five_in_a_row_suspend_and_nothing_fails(self):
        """The fifth suspends; probes go on; when the way is open again everything is sent once."""
        async with running_house(bounce=TOLD, gateway={"max_in_flight": 1, "batch": 1}) as house:
            house.fault(wire="close")
            for n in range(4):
                await house.mail("+79990000001", text=f"text {n}")
                await house.quiet()
            assert not state_of(house).suspended
            await mail_many(house, 3, "+79990000002")
            await until(lambda: state_of(house).suspended)
            assert state_of(house).code == "transport"
            assert len(house.requests()) == 5
            await house.pass_s(900)
            rows = await house.store.find(Filter())
            assert {row.state for row in rows} <= {State.QUEUED, State.UNKNOWN}
            assert len(house.requests()) == 5
            assert len(house.requests("balance")) >= 3
            house.simulator.carrier.faults.clear()
            await house.pass_s(900)
            assert {row.state for row in await house.store.find(Filter())} == {State.DELIVERED}
            assert len(house.simulator.inbox) == 7
            assert len(notices(house)) == 2

    async def test_an_answer_in_between_begins_the_count_again(self):
        """Four failures, a success, four failures: the gateway is not left alone."""
        async with running_house(gateway={"max_in_flight": 1, "batch": 1}) as house:
            for turn in range(2):
                house.fault(wire="close", times=4, methods=["send"])
                for n in range(5):
                    await house.mail("+79990000001", text=f"text {turn} {n}")
                    await house.quiet()
            assert not state_of(house).suspended

    async def test_a_gateway_that_is_away_is_found_by_its_probe(self):
        """Nobody listens: nothing leaves, nothing is unknown, and every message goes out when it is back."""
        async with running_house(gateway={"max_in_flight": 1, "batch": 1}) as house:
            gone, port = house.simulator, house.simulator.port
            await gone.stop()
            await mail_many(house, 6)
            await until(lambda: state_of(house).suspended)
            rows = await house.store.find(Filter())
            assert {row.state for row in rows} == {State.QUEUED}
            async with Simulator(SimulatorSettings(limits=EASY), port=port, clock=house.clock) as back:
                await house.pass_s(600)
                assert {row.state for row in await house.store.find(Filter())} == {State.DELIVERED}
                assert len(back.inbox) == 6


class TestShut:
    """Codes 2 and 4 refuse whoever asks: wrong logins repeated lead to a block, and tries make a block longer."""

    @pytest.mark.parametrize("code", [2, 4])
    async def test_a_gateway_that_refuses_us_is_asked_nothing_but_its_probes(self, code):
        """What was sent before waits for its receipt, too; it is asked for when the gateway is well again."""
        async with running_house() as house:
            sent = await house.mail("+79990001230")  # accepted at once, its final status comes after 30 s
            await house.state(f"{id_of(sent)}.1", State.SENT)
            house.fault(code=code)
            await house.mail("+79990000002")
            await until(lambda: state_of(house).suspended)
            asked = len(house.requests("status"))
            await house.pass_s(900, step_s=5)
            assert len(house.requests("status")) == asked
            house.simulator.carrier.faults.clear()
            await house.pass_s(1300, step_s=5)
            assert {row.state for row in await house.store.find(Filter())} == {State.DELIVERED}
            assert len(house.simulator.inbox) == 2

    @pytest.mark.parametrize("code", [2, 4])
    async def test_a_question_answered_so_suspends(self, code):
        """Nothing needs to be sent to find it out, and the operator is told."""
        async with running_house(bounce=TOLD) as house:
            sent = await house.mail("+79990001230")
            await house.state(f"{id_of(sent)}.1", State.SENT)
            house.fault(code=code)
            await house.pass_s(30, step_s=1)
            assert (state_of(house).suspended, state_of(house).code) == (True, str(code))
            assert len(notices(house)) == 1
            assert (await house.rows(sent))[0].state is State.SENT

    async def test_without_money_the_gateway_still_tells_what_became_of_messages(self):
        """Code 3 is about sending alone: receipts go on."""
        async with running_house() as house:
            sent = await house.mail("+79990001230")
            await house.state(f"{id_of(sent)}.1", State.SENT)
            house.fault(code=3, methods=["send"])
            house.simulator.carrier.force_balance(Decimal(0), None)
            waits = await house.mail("+79990000002")
            await house.pass_s(120, step_s=5)
            assert (await house.rows(sent))[0].state is State.DELIVERED
            assert (await house.rows(waits))[0].state is State.QUEUED


class TestTrial:
    """A probe that finds it well, and what the messages find."""

    @pytest.mark.slow
    async def test_money_for_some_is_spent_on_those(self):
        """2.00 left: the dear one waits, the cheap one behind it goes out; after a top-up both are there, once."""
        async with running_house(bounce=TOLD) as house:
            house.simulator.carrier.force_balance(Decimal("2.00"), None)
            dear = await house.mail("+79990000001", text="x" * 300)
            await until(lambda: state_of(house).suspended)
            cheap = await house.mail("+79990000002", text="cheap")
            await house.pass_s(120)
            (waits,), (went,) = await house.rows(dear), await house.rows(cheap)
            assert (waits.state, waits.attempts) == (State.QUEUED, 0)
            assert went.state is State.DELIVERED
            assert len(notices(house)) <= 3
            house.simulator.carrier.force_balance(Decimal(50), None)
            await house.pass_s(1300)
            assert (await house.rows(dear))[0].state is State.DELIVERED
            assert len(house.simulator.inbox) == 2
            assert notices(house)[-1] == "Gateway main works again"

    @pytest.mark.slow
    async def test_an_account_that_is_right_but_not_for_sending_is_no_news_each_time(self):
        """The balance is told, sending is refused with code 2 for an hour: one notice, few requests."""
        async with running_house(bounce=TOLD) as house:
            house.fault(code=2, methods=["send"])
            await house.mail("+79990000001")
            await until(lambda: state_of(house).suspended)
            await house.pass_s(3600, step_s=10)
            assert len(notices(house)) == 1
            assert len(house.requests()) <= 9

    async def test_a_gateway_without_a_balance_page_is_tried_with_a_message(self):
        """It answers with some page: when sending works again, it is found out."""
        async with running_house(bounce=TOLD) as house:
            house.fault(code=3, times=1, methods=["send"])
            house.fault(wire="html", methods=["balance"])
            reply = await house.mail("+79990000001")
            await until(lambda: state_of(house).suspended)
            await house.pass_s(400)
            assert (await house.rows(reply))[0].state is State.DELIVERED
            assert not state_of(house).suspended


class TestInFlight:
    """Messages under way at the moment of suspension."""

    async def test_what_is_under_way_is_settled_by_its_own_answer(self):
        """One request is answered slowly and well, another one with error 3 in between."""
        async with running_house(bounce=TOLD) as house:
            slow = await house.mail("+79990000501")
            await until(lambda: house.simulator.inbox)
            broke = await house.mail("+79990000103")
            await until(lambda: state_of(house).suspended)
            house.clock.advance(1)
            row = await house.state(f"{id_of(slow)}.1", State.SENT, State.DELIVERED)
            (waiting,) = await house.rows(broke)
            assert row.attempts == 1
            assert (waiting.state, waiting.attempts) == (State.QUEUED, 0)
            assert state_of(house).suspended
            await house.pass_s(10)
            assert len(notices(house)) == 1

    @pytest.mark.slow
    async def test_two_errors_at_the_same_time_are_one_suspension(self):
        """The second answer finds the gateway suspended already: no new start, no second notice."""
        async with running_house(bounce=TOLD) as house:
            house.fault(code=3, delay_s=1)
            await mail_many(house, 3)
            await until(lambda: len(house.requests()) >= 2)
            house.clock.advance(1)
            await until(lambda: state_of(house).suspended)
            since = state_of(house).since
            await house.pass_s(5)
            assert state_of(house).since == since
            assert len(notices(house)) == 1


@pytest.mark.slow
@pytest.mark.timeout(180)
class TestVerbs:
    """``gateways probe/suspend/resume`` beside a running bridge."""

    #: "within about a second" on a machine with other things to do
    SOON_S = 4.0

    async def test_suspend_and_resume_are_followed_at_once(self, tmp_path: Path):
        """A person's suspension is ended by a person alone; mail is taken meanwhile."""
        async with running_bridge(tmp_path) as bridge:
            shown = await bridge.data("gateways", "suspend", "main")
            assert (shown["state"], shown["by_hand"]) == ("suspended", True)
            await until(lambda: bridge.events_called("gateway suspended"), limit_s=self.SOON_S)
            await bridge.data("send", "+79990000001", "text")
            (row,) = await bridge.data("queue", "list")
            assert row["state"] == "queued"
            await bridge.data("gateways", "probe", "main")
            assert (await bridge.data("gateways"))[0]["state"] == "suspended"
            await bridge.data("gateways", "resume", "main")
            began = time.monotonic()
            await bridge.messages()
            assert time.monotonic() - began < self.SOON_S
            assert len(bridge.events_called("gateway resumed")) == 1

    async def test_probe_asks_at_once(self, tmp_path: Path):
        """A gateway without money is asked when a person says so, not only when its time comes."""
        async with running_bridge(tmp_path) as bridge:
            bridge.simulator.carrier.force_balance(Decimal(0), None)
            await bridge.data("send", "+79990000001", "text")
            await until(lambda: bridge.events_called("gateway suspended"))
            bridge.simulator.carrier.force_balance(Decimal(50), None)
            await bridge.data("gateways", "probe", "main")
            began = time.monotonic()
            await bridge.messages()
            assert time.monotonic() - began < self.SOON_S

    async def test_gateways_shows_what_was_spent(self, tmp_path: Path):
        """Today's and this month's sum of prices, in JSON and in the table."""
        async with running_bridge(tmp_path) as bridge:
            for n in range(2):
                await bridge.data("send", "+79990000001", f"text {n}")
            await bridge.messages(2)
            await until(lambda: len(bridge.events_called("sent")) == 2)
            (gateway,) = await bridge.data("gateways")
            entry = {"amount": "2.80", "currency": "RUR", "messages": 2, "parts": 2}
            assert gateway["spend"] == {"today": [entry], "month": [entry]}
            assert "2.80" in (await bridge.verb("gateways")).output
