"""Alerts that somebody has to answer, in the whole bridge, with a clock that a test moves."""

from __future__ import annotations

import email
import email.policy
import re

import aiohttp
import pytest

from mailbridge.admin import Action, act
from mailbridge.errors import NotFound, WrongState
from mailbridge.escalation.answers import acknowledge_by_hand
from mailbridge.model.state import State
from mailbridge.queue.connect import open_store
from mailbridge.queue.escalations import Status, Wanted
from tests.support.house import House, id_of, running_house

#: minutes pass in them
pytestmark = pytest.mark.slow

ANNA, BORIS, CHIEF = "+79990000001", "+79990000002", "+79990000003"
STRANGER = "+79990000009"
#: as the contract has it
OPS = {
    "people": {"anna": {"phone": ANNA}, "boris": {"phone": BORIS}},
    "aliases": {"admins": ["anna", "boris", CHIEF], "oncall": {"rota": "ops"}},
    "rotas": {"ops": {"start": "2026-01-05 09:00", "every": "1w", "members": ["anna", "boris"], "timezone": "UTC"}},
    "escalation": {"ops": {"after": "5m", "unless": ["delivered", "acknowledged"],
                           "then": [{"call": "oncall"}, {"send": "admins"}]}},
}  # fmt: skip
CALLED_BACK = {"gateway": {"callback_path": "4f9c2b7d1e60", "callback_secret": "s3cret"}}


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    """Return a store of each kind, not yet opened."""
    return open_store("memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/queue.db")


async def answer(house: House, phone: str, text: str) -> None:
    """Let a handset send an SMS to the account's number."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{house.simulator.url}/control/answers", json={"phone": phone, "mes": text}) as response,
    ):
        assert response.status == 201


def given(house: House) -> list[tuple[str, str]]:
    """Return phone and kind of what the gateway was given, oldest first."""
    return [(entry["phone"], entry["type"]) for entry in house.simulator.inbox[::-1]]


async def until_given(house: House, count: int, limit_s: int = 30) -> list[tuple[str, str]]:
    """Let time pass until the gateway was given *count* messages, and return them."""
    for _ in range(limit_s):
        if len(given(house)) >= count:
            break
        await house.pass_s(1)
    assert len(given(house)) == count
    return given(house)


def number_in(house: House) -> str:
    """Return the number that the newest SMS names."""
    match = re.search(r"Reply OK (\d{4})$", house.simulator.inbox[0]["text"])
    assert match is not None
    return match[1]


async def the(house: House, **wanted):
    """Return the one escalation."""
    (found,) = await house.store.find_escalations(Wanted(**wanted))
    return found.escalation


async def events(house: House, message_id: str) -> list[str]:
    """Return what the history of a message tells."""
    return [entry.event for entry in await house.store.history(message_id)]


async def test_nobody_answers(store):
    """SMS to who is on duty, a call, an SMS to all; then operator and sender are told that nobody has answered."""
    async with running_house(store=store, **OPS) as house:
        reply = await house.mail("oncall", subject="db1", text="down")
        (first,) = await house.rows(reply)
        assert await until_given(house, 1) == [(ANNA, "sms")]
        assert house.simulator.inbox[0]["text"].startswith("db1: down\nReply OK ")
        await house.state(first.id, State.DELIVERED)
        await house.pass_s(280)
        assert len(given(house)) == 1
        assert (await until_given(house, 2))[1:] == [(ANNA, "call")]
        assert house.requests()[-1]["call"] == "1"
        await house.pass_s(290)
        assert (await until_given(house, 5))[2:] == [(ANNA, "sms"), (BORIS, "sms"), (CHIEF, "sms")]
        assert len({entry["text"] for entry in house.simulator.inbox}) == 1
        await house.pass_s(270)
        assert not house.smarthost.mails
        (report,) = await house.reports()
        mail = email.message_from_bytes(report.content, policy=email.policy.default)
        assert (report.rcpt_tos, mail["Subject"]) == (["nagios@example.org"], "Nobody has answered: db1")
        assert (await the(house)).status is Status.EXHAUSTED
        assert await events(house, first.id) == [
            "queued", "attempt", "sent", "delivered", "escalated", "escalated", "escalation ended",
        ]  # fmt: skip
        await house.pass_s(1200)
        assert len(given(house)) == 5


@pytest.mark.parametrize("way", ["callback", "poll"])
async def test_an_answer_ends_it(store, way):
    """Once: the rest of the chain is not told, and the sender hears who has it, in a mail nothing answers."""
    sections = OPS | (CALLED_BACK if way == "callback" else {})
    async with running_house(store=store, **sections) as house:
        if way == "callback":
            await call_back(house)
        reply = await house.mail("oncall", subject="db1", text="down", headers="Message-ID: <7@example.org>\r\n")
        await until_given(house, 1)
        await answer(house, ANNA, f"ok {number_in(house)}, еду")
        (report,) = await house.reports()
        mail = email.message_from_bytes(report.content, policy=email.policy.default)
        assert (report.mail_from, report.rcpt_tos) == ("<>", ["nagios@example.org"])
        assert (mail["Subject"], mail["Auto-Submitted"]) == ("Acknowledged: db1", "auto-replied")
        assert (mail["In-Reply-To"], mail["X-Mailbridge-Id"]) == ("<7@example.org>", id_of(reply))
        assert f"anna ({ANNA}) has answered it" in mail.get_content()
        one = await the(house)
        assert (one.status, one.by, one.steps) == (Status.ACKNOWLEDGED, ANNA, 0)
        await house.pass_s(1200)
        assert len(given(house)) == 1
        assert len(house.smarthost.mails) == 1
        inbox = await house.metrics()
        assert inbox['mailbridge_inbound_total{gateway="main",result="acknowledged"}'] == 1
        assert inbox['mailbridge_escalations_total{event="acknowledged"}'] == 1
        asked = house.requests("get")
        assert not asked if way == "callback" else {entry["get_answers"] for entry in asked} == {"1"}


async def call_back(house: House) -> None:
    """Have the simulated account call the bridge back."""
    from dataclasses import replace

    assert house.bridge.web is not None
    account = next(iter(house.simulator.carrier.accounts))
    url = f"http://127.0.0.1:{house.bridge.web.port}/callback/main/4f9c2b7d1e60"
    account.settings = replace(account.settings, callback_url=url, callback_secret="s3cret")


async def test_only_the_people_of_the_chain_may_answer(store):
    """A stranger's answer is kept and counted and does nothing; whose turn has not come yet may."""
    async with running_house(store=store, **OPS) as house:
        await house.mail("oncall", text="down")
        await until_given(house, 1)
        await answer(house, STRANGER, f"OK {number_in(house)}")
        await house.pass_s(61)
        assert (await the(house)).status is Status.OPEN
        await answer(house, CHIEF, f"OK {number_in(house)}")
        await house.pass_s(61)
        assert (await the(house)).by == CHIEF
        counts = await house.metrics()
        assert counts['mailbridge_inbound_total{gateway="main",result="not of the chain"}'] == 1


async def test_a_bare_ok_means_the_only_alert_there_is(store):
    """With two of them it means neither: the number tells."""
    async with running_house(store=store, **OPS) as house:
        await house.mail("oncall", text="one")
        await until_given(house, 1)
        first = number_in(house)
        await house.mail("oncall", text="two")
        await until_given(house, 2)
        await answer(house, ANNA, "ok")
        await house.pass_s(61)
        assert {found.escalation.status for found in await house.store.find_escalations(Wanted())} == {Status.OPEN}
        await answer(house, ANNA, f"OK {first}")
        await house.pass_s(61)
        await answer(house, ANNA, "ok!")
        await house.pass_s(61)
        statuses = {found.escalation.status for found in await house.store.find_escalations(Wanted())}
        assert statuses == {Status.ACKNOWLEDGED}


async def test_a_person_answers_by_hand(store):
    """By the mail's id, in any case of its letters; a second time it is known who did."""
    async with running_house(store=store, **OPS) as house:
        id_ = id_of(await house.mail("oncall", text="down"))
        await until_given(house, 1)
        (found,) = await acknowledge_by_hand(house.store, id_.lower(), by="cli:root", clock=house.clock)
        assert found.escalation.mail_id == id_
        with pytest.raises(WrongState, match="acknowledged by cli:root"):
            await acknowledge_by_hand(house.store, number_in(house), by="cli:eve", clock=house.clock)
        with pytest.raises(NotFound):
            await acknowledge_by_hand(house.store, "nothing", by="cli:eve", clock=house.clock)
        (report,) = await house.reports()
        assert b"cli:root has answered it" in report.content


async def test_an_answer_takes_back_what_has_not_left(store):
    """A call that waits in the queue is not made any more."""
    async with running_house(store=store, limited={"phone": ["1/1h"]}, **OPS) as house:
        reply = await house.mail("oncall", text="down")
        await until_given(house, 1)
        await house.pass_s(310)
        call = (await house.store.find_escalations(Wanted()))[0].messages[1].message
        assert (call.message.channel, call.state) == ("call", State.QUEUED)
        await answer(house, ANNA, f"OK {number_in(house)}")
        await house.pass_s(70)
        assert (await house.store.get_messages(call.id))[0].state is State.CANCELLED
        assert (await events(house, (await house.rows(reply))[0].id))[-1] == "acknowledged"


async def test_delivery_is_enough_where_the_chain_says_so(store):
    """``unless: delivered``: a phone that has it is content; one that has not leads to the next step."""
    chain = {"escalation": {"ops": OPS["escalation"]["ops"] | {"unless": "delivered", "after": "2m"}}}
    async with running_house(store=store, **(OPS | chain)) as house:
        await house.mail("oncall", text="down")
        await until_given(house, 1)
        await house.pass_s(400)
        assert (len(given(house)), (await the(house)).status) == (1, Status.DELIVERED)


async def test_who_cannot_be_reached_is_not_waited_for(store):
    """All messages of a step failed for good: the next step comes at once."""
    chain = {"ops": {"after": "1h", "then": [{"send": "boris"}]}}
    people = {"anna": {"phone": "+79990000322"}, "boris": {"phone": BORIS}}
    async with running_house(store=store, **(OPS | {"escalation": chain, "people": people})) as house:
        await house.mail("oncall", text="down")
        # the gateway refuses Anna's
        assert await until_given(house, 1) == [(BORIS, "sms")]


async def test_recoveries_and_digests_ask_for_no_answer(store):
    """Nagios' recovery begins nothing, nor does what a rule exempts; text and number stay away."""
    rules = [{"name": "quiet", "match": {"subject": "test*"}, "escalation": "off"}]
    async with running_house(store=store, rules=rules, **OPS) as house:
        await house.mail(
            "oncall", subject="** RECOVERY Service Alert: web01/HTTP is OK **",
            text="***** Nagios *****\r\n\r\nNotification Type: RECOVERY\r\n\r\nService: HTTP\r\nHost: web01\r\n"
            "Address: 10.0.0.1\r\nState: OK\r\n\r\nAdditional Info:\r\n\r\nfine",
        )  # fmt: skip
        await house.mail("oncall", subject="test 1", text="down")
        await house.mail(BORIS, subject="plain", text="number")
        await until_given(house, 3)
        assert not [entry for entry in house.simulator.inbox if "Reply" in entry["text"]]
        assert not await house.store.find_escalations(Wanted())


async def test_what_waits_in_a_storm_escalates_once_it_goes_out(store):
    """The first alert at once, the second when its window is over and it went out by itself."""
    digest = {"digest": {"default": {"window": "10m", "longest": "10m"}}}
    async with running_house(store=store, **(OPS | digest)) as house:
        await house.mail("oncall", subject="db1", text="down")
        await until_given(house, 1)
        await acknowledge_by_hand(house.store, number_in(house), by="x", clock=house.clock)
        await house.mail("oncall", subject="db2", text="down")
        await house.pass_s(590)
        assert len(given(house)) == 1
        assert await the(house, statuses=frozenset({Status.WAITING}))
        await until_given(house, 2)
        # from then on, not from when it came
        await house.pass_s(285)
        assert len(given(house)) == 2
        assert (await until_given(house, 3, limit_s=60))[2] == (ANNA, "call")


async def test_a_digest_carries_on_what_its_alerts_began(store):
    """It has the number of the first of them, and is told to the next as it stands; the others are over with it."""
    digest = {"digest": {"default": {"window": "1m", "longest": "1m"}}}
    async with running_house(store=store, **(OPS | digest)) as house:
        ids = []
        for number in range(4):
            ids.append(id_of(await house.mail("oncall", subject=f"db{number}", text="down")))
            # mails of one moment have no order
            house.clock.advance(1)
        await until_given(house, 1)
        await acknowledge_by_hand(house.store, number_in(house), by="x", clock=house.clock)
        await until_given(house, 2, limit_s=80)
        text = house.simulator.inbox[0]["text"]
        assert text.startswith("+3 in ")
        first = await the(house, id=ids[1])
        assert text.endswith(f"\nReply OK {first.number}")
        await house.pass_s(60)
        assert [(await the(house, id=id_)).status for id_ in ids[1:]] == [
            Status.OPEN, Status.CANCELLED, Status.CANCELLED,
        ]  # fmt: skip
        await until_given(house, 3, limit_s=300)
        assert (house.simulator.inbox[0]["type"], house.simulator.inbox[0]["text"]) == ("call", text)
        await answer(house, BORIS, f"OK {first.number}")
        await house.pass_s(70)
        assert (await the(house, id=ids[1])).status is Status.ACKNOWLEDGED
        await house.pass_s(600)
        assert len(given(house)) == 3


async def test_a_repeat_is_known_in_spite_of_its_number(store):
    """The line with the number is none of what an alert says."""
    digest = {"digest": {"default": {"window": "1m", "longest": "1m", "repeat": "4h"}}}
    async with running_house(store=store, **(OPS | digest)) as house:
        for _ in range(3):
            await house.mail("oncall", subject="db1", text="down")
            house.clock.advance(1)
        await house.pass_s(180)
        assert [entry["type"] for entry in house.simulator.inbox] == ["sms"]


async def test_a_message_taken_back_ends_it(store):
    """What a person has cancelled nobody has to answer."""
    async with running_house(store=store, limited={"phone": ["1/1h"]}, **OPS) as house:
        await house.mail(ANNA, text="other")
        await until_given(house, 1)
        id_ = id_of(await house.mail("oncall", text="down"))
        await house.pass_s(5)
        await act(house.store, [id_], Action.CANCEL, lifetime_s=60, by="me", clock=house.clock)
        await house.pass_s(5)
        assert (await the(house)).status is Status.CANCELLED


async def test_a_held_message_waits_for_its_person(store):
    """Its chain begins when it goes out."""
    rules = [{"name": "hold", "match": {"subject": "db1"}, "action": "hold"}]
    async with running_house(store=store, rules=rules, **OPS) as house:
        id_ = id_of(await house.mail("oncall", subject="db1", text="down"))
        await house.pass_s(900)
        assert given(house) == []
        assert (await the(house)).status is Status.WAITING
        await act(house.store, [id_], Action.RELEASE, lifetime_s=3600, by="me", clock=house.clock)
        await until_given(house, 1)
        await house.pass_s(280)
        assert len(given(house)) == 1
        assert (await until_given(house, 2, limit_s=700))[1] == (ANNA, "call")


async def test_it_goes_on_after_a_restart_and_after_the_clock_was_set_back(tmp_path):
    """What was decided stands on disk; a step comes no later than its wait after the jump."""
    async with running_house(store=open_store(f"sqlite:///{tmp_path}/queue.db"), **OPS) as house:
        await house.mail("oncall", text="down")
        await until_given(house, 1)
        await house.pass_s(200)
        await house.restart()
        await until_given(house, 2, limit_s=150)
        house.clock.jump_wall(-3 * 3600)
        await house.pass_s(280)
        assert len(given(house)) == 2
        await until_given(house, 5, limit_s=60)


async def test_a_chain_that_left_the_configuration_is_over(store):
    """After a reload the steps of the new configuration count; none: it ends."""
    async with running_house(store=store, **OPS) as house:
        await house.mail("oncall", text="down")
        await until_given(house, 1)
        left_out = house.bridge._config.model_copy(update={"escalation": {}})
        await house.bridge.reload(left_out)
        await house.pass_s(310)
        assert len(given(house)) == 1
        assert (await the(house)).status is Status.CANCELLED


async def test_an_answer_by_both_ways_and_again_is_one(tmp_path):
    """Callback and inbox tell of the same SMS; the bridge answers the sender once."""
    async with running_house(store=open_store(f"sqlite:///{tmp_path}/queue.db"), **(OPS | CALLED_BACK)) as house:
        await call_back(house)
        await house.mail("oncall", text="down")
        await until_given(house, 1)
        await answer(house, ANNA, f"OK {number_in(house)}")
        await house.reports()
        inbox = house.bridge._alarms.inbox
        inbox.polled = {"main": 60.0}
        await house.pass_s(200)
        assert house.requests("get")[0]["hour"] == "1"
        assert "after_id" in house.requests("get")[-1]
        assert len(house.smarthost.mails) == 1
        assert await house.store.unhandled_inbound(limit=9) == []
        assert (await house.metrics())['mailbridge_inbound_total{gateway="main",result="acknowledged"}'] == 1


@pytest.mark.parametrize("who", ["null sender", "automatic answer", "NOTIFY=NEVER", "log alone"])
async def test_who_may_not_be_written_to_is_not(store, who):
    """RFC 3834: nobody, an automatic answer, who wants no reports; the alert is answered all the same."""
    words = {
        "null sender": {"sender": ""},
        "automatic answer": {"headers": "Auto-Submitted: auto-replied\r\n"},
        "NOTIFY=NEVER": {"rcpt_options": ("NOTIFY=NEVER",)},
    }.get(who, {})
    bounce = {"bounce": {"mode": "log"}} if who == "log alone" else {}
    async with running_house(store=store, **(OPS | bounce)) as house:
        await house.mail("oncall", text="down", **words)
        await until_given(house, 1)
        await answer(house, ANNA, f"OK {number_in(house)}")
        await house.pass_s(120)
        assert (await the(house)).status is Status.ACKNOWLEDGED
        assert house.smarthost.mails == []
