"""The whole program against a gateway of a few lines that was written from the description alone."""

from __future__ import annotations

import asyncio
import smtplib
import time
from email.message import EmailMessage

import pytest

from tests.support.bridge import Bridge, running_bridge
from tests.support.plain_smsc import plain_smsc
from tests.support.programs import until

pytestmark = pytest.mark.slow


def send_mail(bridge: Bridge, *to: str, text: str = "hello", **headers: str) -> str:
    """Send a mail and return the reply to DATA."""
    mail = EmailMessage()
    mail["From"] = "nagios@example.org"
    mail["To"] = ", ".join(to)
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    with smtplib.SMTP("127.0.0.1", bridge.port, timeout=30) as client:
        client.ehlo("client.example.org")
        client.mail("nagios@example.org")
        for recipient in to:
            code, words = client.rcpt(recipient)
            assert code == 250, words
        code, words = client.data(mail.as_bytes())
        return f"{code} {words.decode()}"


async def test_a_repeated_mail_is_answered_at_once_though_clients_wait_for_verdicts(tmp_path):
    """A duplicate gets no verdict, so nobody waits for one; a mail with some duplicates waits for the others alone."""
    changes = {"smtp": {"reply": "verdict", "verdict_wait": "20s"}}
    async with plain_smsc() as gateway, running_bridge(tmp_path, changes, url=gateway.url) as bridge:
        one, two = "79991234567@sms.local", "79991234568@sms.local"
        first = await asyncio.to_thread(send_mail, bridge, one, Message_ID="<1@x>")
        before = time.monotonic()
        again = await asyncio.to_thread(send_mail, bridge, one, Message_ID="<1@x>")
        more = await asyncio.to_thread(send_mail, bridge, one, two, Message_ID="<1@x>")

        mail_id = first.split("queued as ")[1].partition(";")[0]
        assert again == f"250 2.0.0 Ok: duplicate of {mail_id}"
        assert "; sent 1 of 2, parts 1" in more
        assert time.monotonic() - before < 10
        assert len(gateway.forms()) == 2


async def test_a_gateway_that_reads_no_lists_can_still_be_asked_about_one_message(tmp_path):
    """One message is asked about by its phone and id as they are, without the comma of a list."""
    async with plain_smsc() as gateway, running_bridge(tmp_path, url=gateway.url) as bridge:
        await asyncio.to_thread(send_mail, bridge, "79991234567@sms.local")
        await until(lambda: bridge.events_called("delivered"), saying=bridge.what_it_said)

        (sent,) = gateway.forms()
        asked = gateway.forms("status")[0]
        assert (asked["phone"], asked["id"]) == ("+79991234567", sent["id"])
