"""Rules and profiles in a running bridge: what the client hears, what is kept, what is sent."""

from __future__ import annotations

import asyncio
import smtplib

import pytest
from structlog.testing import capture_logs

from mailbridge.app import Bridge
from mailbridge.config.model import Config
from mailbridge.errors import ConfigError
from mailbridge.model.state import State
from mailbridge.queue.memory import MemoryStore
from tests.support.house import running_house

NAGIOS = (
    "***** Nagios *****\r\n\r\nNotification Type: PROBLEM\r\n\r\nService: HTTP\r\nHost: web01\r\nAddress: 10.0.4.31\r\n"
    "State: CRITICAL\r\n\r\nDate/Time: Wed Jan 14 12:30:07 MSK 2026\r\n\r\nAdditional Info:\r\n\r\nConnection refused"
)
SUBJECT = "** PROBLEM Service Alert: web01/HTTP is CRITICAL **"
LINE = "CRIT web01/HTTP: Connection refused 12:30"
PHONE = "79991234567"
#: a wait of this long would be noticed
VERDICT = {"reply": "verdict", "verdict_wait": "60s"}


def rule(**written):
    """Return one rule as the configuration's files have it."""
    return {"name": "the rule", **written}


async def test_a_devices_mail_is_sent_as_one_line():
    """No rule and no key is needed; the names stand in the row and in the log."""
    async with running_house(smtp=VERDICT) as house:
        with capture_logs() as logs:
            reply = await house.mail(PHONE, subject=SUBJECT, text=NAGIOS)
        [row] = await house.rows(reply)
    assert (row.message.text, row.message.profile, row.message.rule) == (LINE, "nagios", None)
    assert "sent, gateway id" in reply[1]
    assert [entry["profile"] for entry in logs if entry["event"] == "queued"] == ["nagios"]


async def test_what_a_rule_sets_is_sent():
    """Options and name reach the message; the mail's own header wins."""
    rules = [rule(match={"profile": "nagios"}, set={"sender": "NAGIOS", "lifetime": "1h"})]
    async with running_house(rules=rules) as house:
        first = (await house.rows(await house.mail(PHONE, subject=SUBJECT, text=NAGIOS)))[0]
        own = await house.mail(PHONE, subject=SUBJECT, text=NAGIOS + "!", headers="X-SMS-Sender: OWN\r\n")
        second = (await house.rows(own))[0]
        history = await house.store.history(first.id)
    assert (first.message.sender, first.message.rule) == ("NAGIOS", "the rule")
    assert (first.expires_at - first.created_at).total_seconds() == 3600
    assert second.message.sender == "OWN"
    assert history[0].detail["rule"] == "the rule"


@pytest.mark.parametrize(("action", "state"), [("drop", State.SUPPRESSED), ("hold", State.HELD)])
async def test_what_is_kept_back_is_answered_at_once(action, state):
    """Dropped and held mails get their 250 without a wait for a verdict, stay in the history, and are not sent."""
    async with running_house(smtp=VERDICT, rules=[rule(match={"subject": "*alert*"}, action=action)]) as house:
        with capture_logs() as logs:
            reply = await asyncio.wait_for(house.mail(PHONE, subject=SUBJECT, text=NAGIOS), 8)
        [row] = await house.rows(reply)
        await house.quiet()
        history = await house.store.history(row.id)
        assert not [request for request in house.requests() if "mes" in str(request)]
    assert reply[0] == 250
    assert reply[1].startswith("2.0.0 Ok: queued as ")
    assert (row.state, row.message.rule) == (state, "the rule")
    assert history[0].detail | {"rule": "the rule", "action": action} == history[0].detail
    assert [entry["rule"] for entry in logs if entry["event"] in {"queued", "rejected"}] == ["the rule"]


async def test_other_recipients_stand_in_the_place_of_the_one_given():
    """``to`` replaces or adds; a name nobody has leaves the mail with its own recipient."""
    people = {"anna": {"phone": "+79990000001"}}
    for to, phones in (
        (["anna"], ["+79990000001"]),
        (["+anna"], ["+79991234567", "+79990000001"]),
        (["++79990000002", "+anna"], ["+79991234567", "+79990000002", "+79990000001"]),
        (["+79991234567", "+anna"], ["+79991234567", "+79990000001"]),
        (["nobody"], ["+79991234567"]),
    ):
        async with running_house(rules=[rule(to=to)], people=people) as house:
            rows = await house.rows(await house.mail(PHONE, text="x"))
        assert [row.message.phone for row in rows] == phones


async def test_lmtp_answers_once_for_each_recipient():
    """However many a rule makes of one recipient, a client hears as many replies as it gave recipients."""

    def send(address: str) -> list[bytes]:
        host, _, port = address.rpartition(":")
        with smtplib.LMTP(host, int(port)) as client:
            client.ehlo_or_helo_if_needed()
            client.mail("a@example.org")
            for phone in ("79991234567", "79991234568"):
                client.rcpt(f"{phone}@sms.local")
            first = client.data(b"Subject: s\r\n\r\nb\r\n")
            return [first[1], client.getreply()[1]]

    listen = [{"address": "127.0.0.1:0", "protocol": "lmtp"}]
    rules = [rule(match={"recipient": "79991234567@*"}, to=["+anna"])]
    async with running_house(
        rules=rules, people={"anna": {"phone": "+79990000001"}}, smtp={**VERDICT, "listen": listen}
    ) as house:
        replies = await asyncio.to_thread(send, house.bridge.door.addresses[0])
        rows = await house.store.get_messages(replies[0].split()[4].decode().rstrip(";"))
    assert len(rows) == 3
    assert b"sent 2 of 2" in replies[0]
    assert b"sent, gateway id" in replies[1]


async def test_a_bad_profile_leaves_the_last_good_set_in_force(tmp_path):
    """A reload with a folder that cannot be read changes nothing."""
    async with running_house() as house:
        config: Config = house.bridge._config
        with pytest.raises(ConfigError):
            await house.bridge.reload(config.model_copy(update={"profiles": str(tmp_path / "nowhere")}))
        [row] = await house.rows(await house.mail(PHONE, subject=SUBJECT, text=NAGIOS))
    assert row.message.text == LINE


def test_a_bridge_does_not_start_with_a_bad_profile(tmp_path):
    """It says so at once, not with the first mail."""
    with pytest.raises(ConfigError):
        Bridge(Config(profiles=str(tmp_path / "nowhere")), store=MemoryStore())
