"""Money and abuse, through the whole bridge: what is over a limit is told to try again or waits, and is never lost."""

from __future__ import annotations

import asyncio
import smtplib
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any

import pytest
from structlog.testing import capture_logs

from mailbridge.config.model import Config
from mailbridge.model.state import State
from mailbridge.queue.connect import open_store
from mailbridge.queue.contract import Filter
from tests.support.bridge import running_bridge
from tests.support.house import House, id_of, running_house

OVER = (450, "4.7.1 Over the limit for now, try later")
OPERATOR = {"operator": "duty@example.org"}
A, B, C = "+79990000001", "+79990000002", "+79990000003"
GOALERT = ["1/1m", "5/15m", "12/1h", "20/3h"]


async def mail(house: House, *to: str, **kwargs: Any) -> tuple[int, str]:
    """Send a mail unlike any other."""
    mail.count = getattr(mail, "count", 0) + 1  # type: ignore[attr-defined]
    return await house.mail(*to, text=f"text {mail.count}", **kwargs)  # type: ignore[attr-defined]


def subjects(house: House) -> list[str]:
    """Return the subjects of the notices about budgets so far."""
    mails = (message_from_bytes(taken.content, policy=policy.default) for taken in house.smarthost.mails)
    return [mail["Subject"] for mail in mails if mail["Subject"].startswith("Budget")]


class TestDoor:
    @pytest.mark.parametrize(("what", "sender"), [("client", "b@example.org"), ("sender", "nagios@example.org")])
    async def test_over_the_rate_the_client_is_told_to_try_again_and_later_may(self, what, sender):
        async with running_house(limited={what: ["2/1m"]}) as house:
            for _ in range(2):
                assert (await mail(house, A))[0] == 250
            assert await mail(house, A, sender=sender) == OVER
            await house.pass_s(61)
            assert (await mail(house, A, sender=sender))[0] == 250
            await house.pass_s(5)
            assert len(house.simulator.inbox) == 3

    async def test_another_sender_is_not_held_up(self):
        async with running_house(limited={"sender": ["1/1m"]}) as house:
            assert (await mail(house, A))[0] == 250
            assert await mail(house, A) == OVER
            assert (await mail(house, A, sender="other@example.org"))[0] == 250

    async def test_data_is_refused_whole_where_rcpt_could_not_know(self):
        """Three recipients where two are allowed: nothing is kept of it, and the log says which limit it was."""
        async with running_house(limited={"client": ["2/1m"]}) as house:
            with capture_logs() as logs:
                assert await mail(house, A, B, C) == OVER
            (line,) = [line for line in logs if line["event"] == "rejected" and "config" in line]
            assert (line["because"], line["config"]) == ("client 2/1m", "limits.client")
            assert await house.store.find(Filter()) == []
            assert (await mail(house, A, B))[0] == 250
            metrics = await house.metrics()
            assert metrics['mailbridge_rejected_total{reply="450 4.7.1"}'] == 1

    async def test_a_repetition_is_answered_as_one_whatever_the_limit(self):
        """It costs nothing, and its client must not try for ever."""
        async with running_house(limited={"client": ["1/1h"]}) as house:
            headers = "Message-ID: <one@example.org>\r\n"
            assert (await mail(house, A, headers=headers))[0] == 250
            await house.restart()
            again = await mail(house, A, headers=headers)
            assert again[0] == 250
            assert "duplicate of" in again[1]

    async def test_a_restart_opens_nothing(self, tmp_path):
        store = open_store(f"sqlite:///{tmp_path}/queue.db", exclusive=True)
        async with running_house(store=store, limited={"client": ["2/1h"]}) as house:
            for _ in range(2):
                assert (await mail(house, A))[0] == 250
            await house.restart()
            assert await mail(house, A) == OVER


class TestPhone:
    async def test_a_flood_to_one_phone_is_stretched_and_nothing_of_it_is_lost(self):
        async with running_house(limited={"phone": GOALERT}) as house:
            with capture_logs() as logs:
                for _ in range(6):
                    assert (await mail(house, A))[0] == 250
                assert (await mail(house, B))[0] == 250
                await house.pass_s(10)
            assert len(house.simulator.inbox) == 2
            held = [line for line in logs if line["event"] == "deferred"]
            assert {(line["config"], line["limit"]) for line in held} <= {
                ("limits.phone", "phone 1/1m"), ("limits.phone", "phone 5/15m")
            }  # fmt: skip
            await house.pass_s(300)
            assert len(house.simulator.inbox) == 6
            await house.pass_s(700)
            assert len(house.simulator.inbox) == 7
            assert {row.state for row in await house.store.find(Filter())} <= {State.SENT, State.DELIVERED}

    async def test_who_waits_for_a_verdict_does_not_wait_for_a_limit(self):
        async with running_house(limited={"phone": ["1/1h"]}, smtp={"reply": "verdict", "verdict_wait": "5m"}) as house:
            assert "; sent" in (await mail(house, A))[1]
            code, words = await mail(house, A)
            assert (code, "; sent" in words) == (250, False)

    async def test_a_reload_lifts_it(self):
        async with running_house(limited={"phone": ["1/1h"]}) as house:
            for _ in range(2):
                await mail(house, A)
            await house.pass_s(5)
            free = house.bridge._config.model_copy(update={"limits": Config().limits})
            await house.bridge.reload(free)
            await mail(house, A)
            await house.pass_s(5)
            assert len(house.simulator.inbox) == 2


DAY = {"budget": {"day": {"parts": 5}, "timezone": "UTC"}}


class TestBudget:
    async def test_a_warning_then_a_hard_stop_then_the_next_day(self):
        """Four of five parts warn, the fifth stops: RCPT says 450, what is queued waits, and nothing is lost."""
        async with running_house(limited=DAY, bounce=OPERATOR, queue={"lifetime": "3d"}) as house:
            for n in range(4):
                await mail(house, f"+7999000001{n}")
            await house.pass_s(5)
            assert subjects(house) == ["Budget used to 80 per cent: limits.budget.day"]
            for n in range(3):
                assert (await mail(house, f"+7999000002{n}"))[0] == 250
            await house.pass_s(5)
            assert len(house.simulator.inbox) == 5
            assert subjects(house)[1:] == ["Budget used up: limits.budget.day"]
            assert await mail(house, A) == OVER
            metrics = await house.metrics()
            assert metrics['mailbridge_budget_used{period="day",unit="parts"}'] == 5
            assert metrics['mailbridge_budget_limit{period="day",unit="parts"}'] == 5
            await house.restart()
            await house.pass_s(5)
            assert len(house.simulator.inbox) == 5
            now = house.clock.now()
            midnight = datetime(now.year, now.month, now.day, tzinfo=UTC).timestamp() + 86400
            await house.pass_s(midnight - now.timestamp() + 60)
            assert len(house.simulator.inbox) == 7
            assert (await mail(house, A))[0] == 250
            assert len(subjects(house)) == 2

    async def test_money_is_counted_as_the_gateway_says(self):
        limited = {"budget": {"month": {"money": "10"}, "warn": "50%"}}
        async with running_house(limited=limited, bounce=OPERATOR) as house:
            for n in range(12):
                await mail(house, f"+799900000{n:02}")
                await house.pass_s(3)
            spent = sum((row.price or 0) for row in await house.store.find(Filter()))
            price = next(row.price for row in await house.store.find(Filter()) if row.price)
            assert 10 - price < spent <= 10
            assert (await house.metrics())['mailbridge_budget_used{period="month",unit="money"}'] == float(spent)
            assert subjects(house) == [
                "Budget used to 50 per cent: limits.budget.month", "Budget used up: limits.budget.month"
            ]  # fmt: skip

    async def test_one_phones_budget_stops_that_phone_alone(self):
        async with running_house(limited={"budget": {"phone": {"day": {"parts": 1}}}}) as house:
            await mail(house, A)
            await house.pass_s(5)
            assert await mail(house, A) == OVER
            assert (await mail(house, B))[0] == 250

    async def test_a_name_is_refused_when_the_budget_of_all_its_numbers_is_used_up(self):
        """While one of them may still get it the mail is taken, whichever number stands first."""
        people = {"people": {"anna": {"phone": A}, "boris": {"phone": B}}, "aliases": {"both": ["anna", "boris"]}}
        async with running_house(limited={"budget": {"phone": {"day": {"parts": 1}}}}, **people) as house:
            await mail(house, A)
            await house.pass_s(5)
            assert (await mail(house, "both"))[0] == 250
            await house.pass_s(5)
            assert await mail(house, "both") == OVER

    async def test_what_waits_says_for_what(self, tmp_path):
        """``queue show`` names the limit and the line of the configuration."""
        store = open_store(f"sqlite:///{tmp_path}/queue.db", exclusive=True)
        async with running_house(store=store, limited=DAY) as house:
            reply = await mail(house, *(f"+7999000001{n}" for n in range(6)))
            await house.pass_s(5)
            waiting = [row for row in await house.rows(reply) if row.state is State.QUEUED]
            assert len(waiting) == 1
            entry = (await house.store.history(waiting[0].id))[-1]
            assert entry.event == "deferred"
            assert entry.detail["limit"] == "day budget of 5 parts"
            assert entry.detail["config"] == "limits.budget.day"
            assert id_of(reply) == waiting[0].mail_id


@pytest.mark.slow
async def test_a_killed_program_counts_on(tmp_path):
    """SIGKILL right after the 250: the next start still knows that the hour's one mail was sent."""

    def send(port: int) -> tuple[int, bytes]:
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            client.ehlo("client.example.org")
            client.mail("nagios@example.org")
            client.rcpt(f"{A}@sms.local")
            return client.data(f"Subject: {port}\r\n\r\ntext\r\n".encode())

    async with running_bridge(tmp_path, {"limits": {"client": ["1/1h"]}}) as bridge:
        assert (await asyncio.to_thread(send, bridge.port))[0] == 250
        await bridge.kill()
        await bridge.start()
        assert (await asyncio.to_thread(send, bridge.port))[0] == 450
        # sent or, where it died with the request, waiting to be asked about; the refused one left nothing
        assert len(await bridge.data("queue", "list")) == 1
