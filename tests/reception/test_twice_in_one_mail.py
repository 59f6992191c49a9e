"""One phone named more than once among the recipients of a mail, in one spelling or several."""

from __future__ import annotations

import asyncio
import smtplib

import pytest

from tests.support.house import SENDER, running_house

VERDICT = {"reply": "verdict", "verdict_wait": "10s"}
GOOD = ("79990000001", "+79990000001", "89990000001")
#: magic numbers of the simulator: refused with error 7
BAD = ("79990000107", "+79990000107")


def lmtp_mail(address: str, phones: tuple[str, ...]) -> list[tuple[int, bytes]]:
    """Send a mail by LMTP and return the replies to its end, one for each recipient."""
    host, _, port = address.rpartition(":")
    with smtplib.LMTP(host, int(port)) as client:
        client.ehlo("client.example.org")
        client.mail(SENDER)
        for phone in phones:
            assert client.rcpt(f"{phone}@sms.local")[0] == 250
        return [client.data(b"Subject: db1\r\n\r\ndown\r\n"), *(client.getreply() for _ in phones[1:])]


async def test_one_sms_is_one_verdict():
    """Three spellings of a phone are one SMS, and the reply speaks of that one: it was sent."""
    async with running_house(smtp=VERDICT) as house:
        reply = await house.mail(*GOOD)

        assert "; sent, gateway id " in reply[1]
        assert len(house.requests()) == 1


async def test_a_refusal_is_told_at_once():
    """Refused for good, for every recipient: no ``250`` because the phone stood there twice, and no bounce."""
    async with running_house(smtp=VERDICT) as house:
        code, words = await house.mail(*BAD)

        assert (code, words) == (550, "5.1.3 SMSC error 7: invalid number")
        await house.pass_s(60)
        assert house.smarthost.mails == []


async def test_only_messages_are_counted():
    """``sent <n> of <m>`` counts each phone once."""
    async with running_house(smtp=VERDICT) as house:
        _, words = await house.mail(*GOOD, "79990000002", *BAD)

        assert words.endswith("; sent 2 of 3, parts 2")


@pytest.mark.parametrize(("phones", "code", "words"), [(GOOD, 250, "; sent, gateway id "), (BAD, 550, "SMSC error 7")])
async def test_lmtp_tells_each_the_same(phones, code, words):
    """By LMTP every spelling hears what became of the one SMS."""
    async with running_house(smtp={**VERDICT, "listen": [{"address": "127.0.0.1:0", "protocol": "lmtp"}]}) as house:
        replies = await asyncio.to_thread(lmtp_mail, house.bridge.door.addresses[0], phones)

        assert len(replies) == len(phones)
        assert all(reply[0] == code and words in reply[1].decode() for reply in replies)
