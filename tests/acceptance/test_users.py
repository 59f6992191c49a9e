"""Users with sender names, numbers, gateways and limits of their own, through the whole bridge."""

from __future__ import annotations

import asyncio
import smtplib
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from structlog.testing import capture_logs

from mailbridge.delivery.breaker import Trouble
from mailbridge.model.state import State
from mailbridge.queue.contract import Filter
from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import AccountSettings, SimulatorSettings
from tests.support.bridge import running_bridge
from tests.support.house import EASY, HASHED, PASSWORD, House, running_house

RUSSIA, KAZAKHSTAN, VIETNAM = "+79990000001", "+77010000001", "+84912345678"
NOT_YOUR_NAME = (550, "5.7.1 That sender name is not one of yours")
NOT_YOUR_NUMBERS = (550, "5.7.1 You may not send to numbers of that country or prefix")
OVER = (450, "4.7.1 Over the limit for now, try later")


@asynccontextmanager
async def house_of(own: dict[str, Any], **sections: Any):
    """Run a bridge with the user ``zabbix``, who has *own*, and ``cron``, who has nothing of the kind."""
    smtp = {"listen": [{"address": "127.0.0.1:0", "auth": "optional"}]} | sections.pop("smtp", {})
    users = [{"name": "cron", "password": HASHED}, {"name": "zabbix", "password": HASHED, **own}]
    async with running_house(users=users, smtp=smtp, **sections) as house:
        yield house


def refusals(logs: list[Any]) -> list[tuple[str, str, str]]:
    """Return stage, reply and user of each refusal in the log."""
    return [(line["stage"], line["reply"], line.get("user")) for line in logs if line["event"] == "rejected"]


def senders(house: House) -> list[str]:
    """Return the sender names the gateway was given, oldest first."""
    return [request.get("sender", "") for request in house.requests()]


class TestSenderNames:
    OWN: ClassVar = {"senders": ["ZABBIX", "ALERT2"]}

    async def test_the_first_is_their_default_and_others_of_theirs_may_be_asked_for(self):
        async with house_of(self.OWN, message={"sender": "ALERT"}) as house:
            for user, to, headers in (
                ("zabbix", RUSSIA, ""),
                ("zabbix", "+79990000002+sender=alert2", ""),
                ("zabbix", "+79990000003", "X-SMS-Sender: ALERT2\r\n"),
                ("cron", "+79990000004", ""),
                ("cron", "+79990000005", "X-SMS-Sender: BANK\r\n"),
                (None, "+79990000006", "X-SMS-Sender: BANK\r\n"),
            ):
                assert (await house.mail(to, user=user, headers=headers))[0] == 250
                await house.pass_s(3)
            assert senders(house) == ["ZABBIX", "ALERT2", "ALERT2", "ALERT", "BANK", "BANK"]

    async def test_in_the_address_another_is_refused_at_rcpt(self):
        async with house_of(self.OWN) as house:
            with capture_logs() as logs:
                assert await house.mail(f"{RUSSIA}+sender=BANK", user="zabbix") == NOT_YOUR_NAME
            assert refusals(logs) == [("rcpt", "550 5.7.1 That sender name is not one of yours", "zabbix")]

    async def test_in_the_header_another_is_refused_at_data_and_nothing_is_kept(self):
        async with house_of(self.OWN) as house:
            with capture_logs() as logs:
                assert await house.mail(RUSSIA, user="zabbix", headers="X-SMS-Sender: BANK\r\n") == NOT_YOUR_NAME
            assert refusals(logs) == [("data", "550 5.7.1 That sender name is not one of yours", "zabbix")]
            await house.pass_s(3)
            assert house.requests() == []
            assert await house.store.count_states() == {}

    @pytest.mark.parametrize(
        "header",
        ["x-sms-sender:  BANK ", "X-SMS_SENDER: BANK", "X-SMS-Sender:\r\n BANK", "X-SMS-Sender: =?utf-8?q?BANK?=",
         "X-SMS-Sender: \r\nX-SMS-Sender: BANK", "X-SMS-Sender: ZABBIX\x00BANK"],
    )  # fmt: skip
    async def test_no_spelling_of_the_header_gets_another_name_past(self, header):
        async with house_of(self.OWN) as house:
            code, _ = await house.mail(RUSSIA, user="zabbix", headers=f"{header}\r\n")
            await house.pass_s(3)
            assert "BANK" not in "".join(senders(house))
            assert code in {250, 550, 554}

    async def test_what_a_rule_sets_is_the_configurations_own_word(self):
        rules = [{"match": {"subject": "night"}, "set": {"sender": "NIGHT"}}]
        async with house_of(self.OWN, rules=rules) as house:
            assert (await house.mail(RUSSIA, user="zabbix", subject="night"))[0] == 250
            await house.pass_s(3)
            assert senders(house) == ["NIGHT"]


class TestNumbers:
    async def test_their_prefixes_stand_in_place_of_everybodys(self):
        async with house_of({"numbers": ["KZ", "+7912"]}) as house:
            with capture_logs() as logs:
                assert (await house.mail(KAZAKHSTAN, user="zabbix"))[0] == 250
                assert (await house.mail("+79120000001", user="zabbix"))[0] == 250
                assert await house.mail(RUSSIA, user="zabbix") == NOT_YOUR_NUMBERS
            assert refusals(logs) == [
                ("rcpt", "550 5.7.1 You may not send to numbers of that country or prefix", "zabbix")
            ]
            assert (await house.mail(RUSSIA, user="cron"))[0] == 250
            assert (await house.mail(KAZAKHSTAN, user="cron"))[0] == 550

    async def test_with_none_they_may_write_to_names_alone(self):
        named = {"people": {"anna": {"phone": VIETNAM}}}
        async with house_of({"numbers": []}, **named) as house:
            assert await house.mail(RUSSIA, user="zabbix") == NOT_YOUR_NUMBERS
            assert (await house.mail("anna", user="zabbix"))[0] == 250

    async def test_a_rule_may_send_their_mail_to_others(self):
        rules = [{"match": {"user": "zabbix"}, "to": ["+79990000007"]}]
        async with house_of({"numbers": ["KZ"]}, rules=rules) as house:
            assert (await house.mail(KAZAKHSTAN, user="zabbix"))[0] == 250
            await house.pass_s(3)
            assert [sms["phone"] for sms in house.simulator.inbox] == ["+79990000007"]


@asynccontextmanager
async def two_gateways(own: dict[str, Any], **sections: Any):
    """Run a bridge with the gateways ``main`` and ``second``, each a simulator of its own; yield house and the second."""
    account = AccountSettings(login="demo", password="demo")
    async with Simulator(SimulatorSettings(accounts=(account,), limits=EASY)) as second:
        gateways = {"second": {"url": [second.url], "login": "demo", "password": "demo", "timeout": "2s"}}
        async with house_of(own, gateways=gateways, **sections) as house:
            yield house, second


async def suspend(house: House, name: str) -> None:
    """Take a gateway out, as ``gateways suspend`` does."""
    await house.bridge.board.suspend(name, Trouble(code="hand", reason="by hand", probe_after_s=3600, probe_max_s=3600))


class TestGateways:
    async def test_their_messages_leave_through_theirs_and_everybody_elses_through_the_first(self):
        async with two_gateways({"gateways": ["second"]}) as (house, second):
            for user, to in (("zabbix", RUSSIA), ("cron", "+79990000002"), (None, "+79990000003")):
                assert (await house.mail(to, user=user))[0] == 250
            await house.pass_s(5)
            assert [sms["phone"] for sms in second.inbox] == ["+79990000001"]
            assert sorted(sms["phone"] for sms in house.simulator.inbox) == ["+79990000002", "+79990000003"]
            kept = await house.store.find(Filter())
            assert {row.message.phone: row.gateway for row in kept}[RUSSIA] == "second"

    async def test_the_best_of_theirs_that_is_well_is_taken(self):
        async with two_gateways({"gateways": ["second", "main"]}) as (house, second):
            assert (await house.mail(RUSSIA, user="zabbix"))[0] == 250
            await house.pass_s(3)
            await suspend(house, "second")
            assert (await house.mail("+79990000002", user="zabbix"))[0] == 250
            await house.pass_s(3)
            assert [sms["phone"] for sms in second.inbox] == ["+79990000001"]
            assert [sms["phone"] for sms in house.simulator.inbox] == ["+79990000002"]

    async def test_they_wait_for_their_own_while_others_messages_pass_them(self):
        """A hundred of theirs stand first in the queue, and keep nobody from leaving through what is well."""
        patient = {"reply": "verdict", "verdict_wait": "5m"}
        async with two_gateways({"gateways": ["second"]}, smtp=patient) as (house, second):
            await suspend(house, "second")
            for n in range(100):
                code, words = await house.mail(f"+7999001{n:04}", user="zabbix", text=str(n))
                assert (code, "; sent" in words) == (250, False)
            code, words = await house.mail(RUSSIA, user="cron")
            assert "; sent" in words
            await house.pass_s(10)
            assert [sms["phone"] for sms in house.simulator.inbox] == ["+79990000001"]
            assert second.inbox == []
            assert (await house.store.count_states())[State.QUEUED] == 100
            config = house.bridge._config
            freed = [user.model_copy(update={"gateways": None}) for user in config.users]
            await house.bridge.reload(config.model_copy(update={"users": freed}))
            await house.pass_s(30)
            assert len(house.simulator.inbox) == 101


class TestLimits:
    async def test_their_rate_stands_in_place_of_everybodys(self):
        async with house_of({"limits": ["2/1m"]}, limited={"user": ["1/1m"]}) as house:
            with capture_logs() as logs:
                assert (await house.mail(RUSSIA, user="zabbix", text="1"))[0] == 250
                assert (await house.mail(RUSSIA, user="zabbix", text="2"))[0] == 250
                assert await house.mail(RUSSIA, user="zabbix", text="3") == OVER
                assert (await house.mail(RUSSIA, user="cron", text="4"))[0] == 250
                assert await house.mail(RUSSIA, user="cron", text="5") == OVER
            reached = [line["config"] for line in logs if line["event"] == "limit reached"]
            assert reached == ["users[1].limits", "limits.user"]
            await house.pass_s(61)
            assert (await house.mail(RUSSIA, user="zabbix", text="6"))[0] == 250

    async def test_at_data_the_log_says_whose_limit_it_was(self):
        async with house_of({"limits": ["2/1m"]}) as house:
            with capture_logs() as logs:
                assert await house.mail(RUSSIA, "+79990000002", "+79990000003", user="zabbix") == OVER
            (line,) = [line for line in logs if line["event"] == "rejected" and "config" in line]
            assert (line["because"], line["config"]) == ("user 2/1m", "users[1].limits")

    async def test_with_none_they_are_free_of_it(self):
        async with house_of({"limits": []}, limited={"user": ["1/1h"]}) as house:
            for n in range(3):
                assert (await house.mail(RUSSIA, user="zabbix", text=str(n)))[0] == 250

    async def test_their_budget_stops_them_alone_and_what_waits_says_why(self):
        own = {"budget": {"day": {"parts": 2}}}
        limited = {"budget": {"user": {"day": {"parts": 1}}, "timezone": "UTC"}}
        async with house_of(own, limited=limited, bounce={"operator": "duty@example.org"}) as house:
            for n in range(3):
                assert (await house.mail(f"+7999000001{n}", user="zabbix"))[0] == 250
            await house.pass_s(5)
            assert len(house.simulator.inbox) == 2
            (waiting,) = await house.store.find(Filter(states=frozenset({State.QUEUED})))
            entry = (await house.store.history(waiting.id))[-1]
            assert (entry.event, entry.detail["config"]) == ("deferred", "users[1].budget.day")
            with capture_logs() as logs:
                assert await house.mail(RUSSIA, user="zabbix", text="one more") == OVER
            assert [line["config"] for line in logs if line["event"] == "limit reached"] == ["users[1].budget"]
            assert (await house.mail(RUSSIA, user="cron"))[0] == 250
            await house.pass_s(5)
            assert await house.mail(RUSSIA, user="cron", text="another") == OVER

    async def test_a_digest_is_charged_to_whose_alerts_it_tells(self):
        """Storms of two users for one phone stay apart where one of them has a budget, so nobody pays for the other."""
        own = {"budget": {"day": {"parts": 2}}}
        async with house_of(
            own, digest={"default": {"window": "1m"}}, limited={"budget": {"timezone": "UTC"}}
        ) as house:
            for n in range(3):
                for user in ("zabbix", "cron"):
                    assert (await house.mail(RUSSIA, user=user, subject=f"{user} {n}"))[0] == 250
            await house.pass_s(90)
            (counter,) = await house.store.counters_named("budget:user:day:")
            assert counter.endswith(":zabbix")
            told = [sms["text"] for sms in house.simulator.inbox if sms["text"].startswith("+")]
            assert len(told) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("workers")
async def test_the_program_holds_a_user_to_all_of_it_with_workers_and_without(tmp_path: Path):
    """Numbers and names at RCPT, a name at DATA, a rate, and the sender name that the gateway gets."""
    own = {"senders": ["ZABBIX"], "numbers": ["KZ"], "limits": ["1/1h"], "gateways": ["main"]}
    smtp = {"listen": [{"address": "127.0.0.1:0", "auth": "optional"}]}
    users = [{"name": "zabbix", "password": HASHED, **own}]

    def send(port: int, to: str, headers: str = "") -> tuple[int, bytes]:
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            client.login("zabbix", PASSWORD)
            client.mail("zabbix@example.org")
            code, words = client.rcpt(f"{to}@sms.local")
            return client.data(f"Subject: {to}\r\n{headers}\r\ntext\r\n") if code < 400 else (code, words)

    async with running_bridge(tmp_path, {"smtp": smtp, "users": users}) as bridge:
        answers = [
            await asyncio.to_thread(send, bridge.port, *words)
            for words in (
                (RUSSIA,), (f"{KAZAKHSTAN}+sender=BANK",), (KAZAKHSTAN, "X-SMS-Sender: BANK\r\n"), (KAZAKHSTAN,),
                ("+77010000002",),
            )
        ]  # fmt: skip
        (message,) = await bridge.messages(1)
        refused = [event for event in bridge.events_called("rejected") if "stage" in event]
    told = [(code, words.decode()) for code, words in answers]
    assert told[:3] == [NOT_YOUR_NUMBERS, NOT_YOUR_NAME, NOT_YOUR_NAME]
    assert (told[3][0], told[4]) == (250, OVER)
    assert (message["phone"], message["sender"]) == (KAZAKHSTAN, "ZABBIX")
    assert [(event["stage"], event["user"]) for event in refused[:3]] == [
        ("rcpt", "zabbix"), ("rcpt", "zabbix"), ("data", "zabbix")
    ]  # fmt: skip
    assert "users[0].limits" in {event.get("config") for event in bridge.events}
