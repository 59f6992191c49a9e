"""A mail whose header names no sender: the envelope does."""

from __future__ import annotations

import asyncio
import smtplib

import pytest

from tests.support.house import running_house


def send(address: str, content: bytes, sender: str) -> tuple[int, bytes]:
    """Send *content* as it is and return the reply to DATA."""
    host, _, port = address.rpartition(":")
    with smtplib.SMTP(host, int(port)) as client:
        client.ehlo("ups.example.org")
        client.mail(sender)
        client.rcpt("79990000001@sms.local")
        return client.data(content)


@pytest.mark.parametrize(
    ("content", "sender", "text"),
    [
        (b"", "ups@example.org", "ups@example.org (no text)"),
        (b"\r\n", "ups@example.org", "ups@example.org (no text)"),
        (b"From: card@example.org\r\n\r\n", "ups@example.org", "card@example.org (no text)"),
        (b"From: UPS in rack 3\r\n\r\n", "ups@example.org", "UPS in rack 3 (no text)"),
        (b"\r\n", "", "(no text)"),
    ],
)
async def test_an_empty_mail_tells_who_sent_it(content, sender, text):
    """The address in the header, else the one the client gave at MAIL FROM."""
    async with running_house() as house:
        assert (await asyncio.to_thread(send, house.bridge.door.addresses[0], content, sender))[0] == 250

        assert (await house.newest()).message.text == text
