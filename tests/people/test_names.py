"""Names as recipients, in the whole bridge: aliases, groups, rotas, the name that takes all others."""

from __future__ import annotations

import asyncio
import smtplib

import pytest

from mailbridge.config.model import Config
from mailbridge.people.directory import Directory
from mailbridge.people.rota import Calendar
from tests.support.clock import START
from tests.support.house import SENDER, running_house

ANNA, BORIS, VERA = "+79990000001", "+79990000002", "+79990000003"
PEOPLE = {"anna": {"phone": "+7 999 000-00-01"}, "Boris": {"phone": BORIS}}
ALIASES = {"admins": ["anna", "boris", VERA, "ANNA"], "oncall": {"rota": "ops"}, "all": ["admins", "oncall"]}
ROTAS = {"ops": {"start": "2026-03-02 09:00", "every": "1d", "members": "anna, boris", "timezone": "UTC"}}
WHO = {"people": PEOPLE, "aliases": ALIASES, "rotas": ROTAS}


async def phones_of(house, reply):
    """Return the numbers the mail of *reply* goes to."""
    return [row.message.phone for row in await house.rows(reply)]


@pytest.mark.parametrize(
    ("name", "phones"),
    [
        ("anna", [ANNA]),
        ("BORIS", [BORIS]),
        ("Admins", [ANNA, BORIS, VERA]),
        ("all", [ANNA, BORIS, VERA]),
        ("oncall", [ANNA]),
    ],
)
async def test_a_name_stands_for_its_numbers(name, phones):
    """A person, a group, a group of groups and a rota, in any case; each number once, in the order written."""
    async with running_house(**WHO) as house:
        reply = await house.mail(name)
        assert await phones_of(house, reply) == phones
        assert {row.recipient for row in await house.rows(reply)} == {f"{name}@sms.local"}


async def test_the_turn_passes_at_its_hour():
    """Who gets a mail is who is on duty when it comes in; nothing is to be reloaded."""
    async with running_house(**WHO) as house:
        await house.pass_s(86_000)
        assert await phones_of(house, await house.mail("oncall")) == [ANNA]
        await house.pass_s(400)
        assert await phones_of(house, await house.mail("oncall")) == [BORIS]


async def test_names_nobody_has_are_refused_unless_somebody_takes_them_all():
    """``"*"`` takes what is no name and no number; an impossible number stays one."""
    async with running_house(**WHO) as house:
        assert await house.mail("nobody") == (550, "5.1.1 Not a phone number and not an alias")
    async with running_house(**{**WHO, "aliases": {**ALIASES, "*": "boris"}}) as house:
        assert await phones_of(house, await house.mail("nobody")) == [BORIS]
        assert (await house.mail("123"))[0] == 550


async def test_the_template_knows_the_alias():
    """``sms.alias`` is the name the mail was sent to, each recipient having its own text."""
    async with running_house(**WHO, message={"text": "{{ sms.alias or 'nobody' }}: {{ body }}"}) as house:
        reply = await house.mail("admins", VERA, text="down")
        texts = [row.message.text for row in await house.rows(reply)]
        assert texts[:3] == ["admins: down"] * 3


async def test_a_reply_of_a_group_counts_its_messages():
    """The verdict speaks of all who are in the group."""
    async with running_house(**WHO, smtp={"reply": "verdict", "verdict_wait": "10s"}) as house:
        reply = await house.mail("admins")
        assert "; sent 3 of 3, parts 3" in reply[1]


async def test_lmtp_answers_once_for_a_group():
    """A group is one recipient: two names, two answers, though five numbers are meant."""
    smtp = {"reply": "verdict", "verdict_wait": "10s", "listen": [{"address": "127.0.0.1:0", "protocol": "lmtp"}]}
    # a number the simulator refuses with error 7
    who = {
        "people": {"bad": {"phone": "+79990000107"}},
        "aliases": {"admins": ["+79990000001", VERA, "bad"], "wrong": "bad"},
    }
    async with running_house(**who, smtp=smtp) as house:

        def send():
            host, _, port = house.bridge.door.addresses[0].rpartition(":")
            with smtplib.LMTP(host, int(port)) as client:
                client.ehlo("client.example.org")
                client.mail(SENDER)
                for name in ("admins", "wrong"):
                    assert client.rcpt(f"{name}@sms.local")[0] == 250
                return [client.data(b"Subject: db1\r\n\r\ndown\r\n"), client.getreply()]

        replies = await asyncio.to_thread(send)
        assert [code for code, _ in replies] == [250, 550]
        assert b"sent 2 of 3" in replies[0][1]


async def test_nobody_on_duty_is_put_off_not_lost():
    """A calendar nobody has read yet names nobody: the client keeps the mail and comes again."""
    rotas = {"ops": {"ics": "/nowhere/ops.ics"}}
    async with running_house(aliases={"oncall": {"rota": "ops"}}, rotas=rotas) as house:
        assert await house.mail("oncall") == (451, "4.3.0 Nobody is known to be on duty under that name now, try later")


def test_a_calendar_that_names_its_own_alias_goes_round_once():
    """A calendar may say anything, also the alias that asks it: the rest of it still counts."""
    config = Config.model_validate(
        {"people": PEOPLE, "aliases": {"oncall": {"rota": "ops"}}, "rotas": {"ops": {"ics": "x.ics", "otherwise": []}}}
    )
    calendar = Calendar(otherwise=["oncall", "somebody", "anna"])
    assert Directory(config, {"ops": calendar}).find("oncall", START) == (ANNA,)
