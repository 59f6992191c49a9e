"""A real Postfix on both sides: it hands mail for SMS domains to the bridge, and takes the bridge's reports."""

from __future__ import annotations

import asyncio
import smtplib
import socket
from collections.abc import AsyncIterator
from email.message import Message
from pathlib import Path

import pytest
from flufl.bounce import all_failures

from tests.support.bridge import Bridge, running_bridge
from tests.support.postfix import Postfix, prepared_postfix
from tests.support.programs import free_port

#: the simulator's magic numbers: refused with error 7, accepted and then undeliverable (status 25)
REFUSED = "+79990000107"
UNDELIVERABLE = "+79990000225"
SENDER = "nagios@example.org"

Pair = tuple[Bridge, Postfix]


@pytest.fixture(params=["queued", "verdict"])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    """A bridge that sends its reports to a Postfix that relays SMS to the bridge."""
    port = free_port()
    changes = {
        "smtp": {"reply": request.param},
        "bounce": {"mode": "mail", "from": "mailer-daemon@sms.example.org", "smarthost": f"smtp://127.0.0.1:{port}"},
    }
    async with prepared_postfix(port) as postfix, running_bridge(tmp_path, changes) as bridge:
        await postfix.start(sms_port=bridge.port)
        yield bridge, postfix


async def send(port: int, *phones: str, options: list[str] | None = None, rcpt: list[str] | None = None) -> None:
    """Hand a mail for *phones* to the server on *port*."""
    to = [f"{phone}@sms.local" for phone in phones]
    mail = f"From: {SENDER}\r\nTo: {', '.join(to)}\r\nSubject: Disk full\r\nMessage-ID: <{'.'.join(phones)}@x>\r\n\r\n/var\r\n"

    def hand_over() -> dict[str, tuple[int, bytes]]:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            return client.sendmail(SENDER, to, mail.encode(), mail_options=options or (), rcpt_options=rcpt or ())

    assert await asyncio.to_thread(hand_over) == {}


def status_of(report: Message) -> list[Message]:
    """Return the groups of fields of the machine-read part."""
    return next(part for part in report.walk() if part.get_content_type() == "message/delivery-status").get_payload()


async def test_postfix_relays_to_the_bridge(pair: Pair) -> None:
    """A mail through Postfix becomes an SMS, and no report follows."""
    bridge, postfix = pair
    await send(postfix.port, "+79991234567")
    (message,) = await bridge.messages()
    assert (message["phone"], message["text"]) == ("+79991234567", "Disk full: /var")
    assert postfix.delivered() == []


async def test_the_sender_hears_of_a_refused_number(pair: Pair) -> None:
    """Whether the bridge says it to Postfix at once or reports it later, one report reaches the sender's mailbox."""
    _, postfix = pair
    await send(postfix.port, REFUSED)
    (report,) = await postfix.reports()
    group = status_of(report)[1]
    assert (group["Action"], group["Status"]) == ("failed", "5.1.3")
    assert "7" in group["Diagnostic-Code"]
    assert all_failures(report)[1] == {f"{REFUSED}@sms.local".encode()}


async def test_the_bridge_reports_what_the_operator_could_not_deliver(pair: Pair) -> None:
    """A failure found after the SMTP answer comes back as the bridge's own report, through Postfix, with ENVID and ORCPT."""
    bridge, postfix = pair
    await send(
        bridge.port, UNDELIVERABLE, options=["ENVID=QQ314", "RET=FULL"],
        rcpt=["NOTIFY=FAILURE", "ORCPT=rfc822;original+2Bname@example.org"],
    )  # fmt: skip
    (report,) = await postfix.reports()
    assert report["Return-Path"] == "<>"
    assert report["Auto-Submitted"] == "auto-replied"
    assert report["To"] == SENDER
    of_mail, of_recipient = status_of(report)
    assert of_mail["Original-Envelope-Id"] == "QQ314"
    assert of_mail["Reporting-MTA"] == "dns; sms.example.org"
    assert of_recipient["Original-Recipient"] == "rfc822; original+name@example.org"
    assert of_recipient["Final-Recipient"] == f"rfc822; {UNDELIVERABLE}@sms.local"
    assert of_recipient["Diagnostic-Code"].startswith("x-smsc; ")
    assert report.get_payload(2).get_content_type() == "message/rfc822"
    assert [event["status"][0] for event in bridge.events_called("bounced")] == ["5"]


async def test_only_the_refused_recipient_is_reported(pair: Pair) -> None:
    """One good and one bad number: one SMS, and one report about the bad one."""
    bridge, postfix = pair
    await send(postfix.port, "+79991234567", REFUSED)
    (message,) = await bridge.messages()
    assert message["phone"] == "+79991234567"
    (report,) = await postfix.reports()
    assert all_failures(report)[1] == {f"{REFUSED}@sms.local".encode()}


# ends with a bare LF are not here: this Postfix takes them for real ones itself (smtpd_forbid_bare_newline is off by
# default in 3.7), so two mails reach the bridge and nothing was smuggled through anything
@pytest.mark.parametrize("pair", ["queued"], indirect=True)
@pytest.mark.parametrize("end", [b"\r.\r", b"\r\n.\r", b"\r.\r\n"], ids=repr)
async def test_nothing_is_smuggled_through_postfix(pair: Pair, end: bytes) -> None:
    """A false end of data that Postfix passes on is none to the bridge either: one mail, or none (CVE-2023-51764)."""
    bridge, postfix = pair
    inner = b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<+79997654321@sms.local>\r\nDATA\r\nSubject: smuggled\r\n\r\nx"

    def attack() -> None:
        with socket.create_connection(("127.0.0.1", postfix.port), timeout=20) as peer, peer.makefile("rb") as replies:
            replies.readline()
            for line in (b"EHLO x", b"MAIL FROM:<a@example.org>", b"RCPT TO:<+79991234567@sms.local>", b"DATA"):
                peer.sendall(line + b"\r\n")
                while replies.readline()[3:4] == b"-":
                    pass
            peer.sendall(b"Subject: outer\r\n\r\nx" + end + inner + b"\r\n.\r\nQUIT\r\n")
            replies.read()

    await asyncio.to_thread(attack)
    messages = await bridge.messages() if not await refused_whole(bridge, postfix) else []
    assert [message["phone"] for message in messages] in ([], ["+79991234567"])


async def refused_whole(bridge: Bridge, postfix: Postfix) -> bool:
    """Wait until the outer mail arrived or was refused; tell whether it was refused."""
    for _ in range(1500):
        if bridge.simulator.inbox:
            return False
        if " status=bounced" in postfix.what_it_said() or "reject" in postfix.what_it_said():
            return True
        await asyncio.sleep(0.02)
    raise AssertionError(postfix.what_it_said())
