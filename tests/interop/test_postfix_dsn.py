"""Reports and a real Postfix: what it passes on to the bridge, and what becomes of the bridge's reports behind it."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from decimal import Decimal
from email.message import EmailMessage, Message
from pathlib import Path

import pytest
from flufl.bounce import all_failures

from tests.support.bridge import Bridge, running_bridge
from tests.support.postfix import Postfix, prepared_postfix
from tests.support.programs import free_port, until

GOOD, REFUSED, UNDELIVERABLE = "+79991234567", "+79990000107", "+79990000225"
SENDER = "nagios@example.org"

Pair = tuple[Bridge, Postfix]

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """A bridge behind a Postfix that is its smarthost as well."""
    port = free_port()
    changes = {
        "smtp": {"reply": "queued"},
        "queue": {"delay_warning": "2s"},
        "bounce": {"mode": "mail", "from": "mailer-daemon@sms.example.org", "smarthost": f"smtp://127.0.0.1:{port}",
                   "operator": "ops@example.org"},
    }  # fmt: skip
    async with prepared_postfix(port) as postfix, running_bridge(tmp_path, changes) as bridge:
        await postfix.start(sms_port=bridge.port)
        yield bridge, postfix


async def send(postfix: Postfix, *recipients: tuple[str, str], options: tuple[str, ...] = ()) -> None:
    """Hand Postfix one mail; each recipient is a phone and its RCPT parameters."""

    def hand_over() -> None:
        with smtplib.SMTP("127.0.0.1", postfix.port, timeout=20) as client:
            client.ehlo()
            assert client.has_extn("dsn")
            assert client.mail(SENDER, options)[0] == 250
            for phone, parameters in recipients:
                assert client.rcpt(f"{phone}@sms.local", parameters.split())[0] == 250
            assert client.data(b"Subject: Disk full\r\nMessage-ID: <m1@example.org>\r\n\r\n/var\r\n")[0] == 250

    await asyncio.to_thread(hand_over)


def groups_of(report: EmailMessage) -> list[Message]:
    """Return the groups of fields of the machine-read part, that of the mail first."""
    part = next(part for part in report.walk() if part.get_content_type() == "message/delivery-status")
    return list(part.get_payload())


async def test_a_failure_comes_back_to_the_mailbox(pair: Pair) -> None:
    """Through Postfix to a number that fails, and back through Postfix: read by Python and flufl.bounce."""
    _, postfix = pair
    await send(postfix, (UNDELIVERABLE, ""), options=("RET=HDRS", "ENVID=QQ314"))
    (report,) = await postfix.reports()
    of_mail, of_recipient = groups_of(report)
    assert (report["Return-Path"], report["Auto-Submitted"], report["To"]) == ("<>", "auto-replied", SENDER)
    assert not report.defects
    assert of_mail["Original-Envelope-Id"] == "QQ314"
    # Postfix names the original recipient by itself where the next server knows DSN
    assert of_recipient["Original-Recipient"] == f"rfc822; {UNDELIVERABLE}@sms.local"
    assert of_recipient["Action"] == "failed"
    assert [part.get_content_type() for part in report.iter_parts()][2] == "text/rfc822-headers"
    assert all_failures(report) == (set(), {f"{UNDELIVERABLE}@sms.local".encode()})


async def test_postfix_passes_notify_on(pair: Pair) -> None:
    """Each recipient's NOTIFY reaches the bridge: success for one, silence for another, failure for the third."""
    bridge, postfix = pair
    await send(
        postfix, (GOOD, "NOTIFY=SUCCESS ORCPT=rfc822;duty@example.org"), (UNDELIVERABLE, "NOTIFY=NEVER"),
        (REFUSED, "NOTIFY=FAILURE"), options=("ENVID=E1",),
    )  # fmt: skip
    await until(lambda: len(bridge.events_called("bounced")) == 3, limit_s=60, saying=bridge.what_it_said)
    reports = await postfix.reports()
    told = {
        (group["Final-Recipient"].partition("; ")[2].partition("@")[0], group["Action"])
        for report in reports
        for group in groups_of(report)[1:]
    }
    assert told == {(GOOD, "delivered"), (REFUSED, "failed")}
    assert {groups_of(report)[0]["Original-Envelope-Id"] for report in reports} == {"E1"}
    by = {event["id"][-1]: (event["by"], event.get("reason")) for event in bridge.events_called("bounced")}
    assert sorted(by.values(), key=str) == [("log", "NOTIFY=NEVER"), ("mail", None), ("mail", None)]


async def test_a_delay_and_the_operators_notice_arrive(pair: Pair) -> None:
    """An account without money: the sender hears of the delay, the operator of the gateway, each once."""
    bridge, postfix = pair
    bridge.simulator.carrier.force_balance(Decimal(0), None)
    await send(postfix, (GOOD, ""))
    (report,) = await postfix.reports()
    group = groups_of(report)[1]
    assert (group["Action"], group["Status"][0]) == ("delayed", "4")
    assert group["Will-Retry-Until"]
    assert all_failures(report) == ({f"{GOOD}@sms.local".encode()}, set())
    await until(lambda: len(postfix.delivered()) == 2, saying=postfix.what_it_said)
    (notice,) = [mail for mail in postfix.delivered() if mail["To"] == "ops@example.org"]
    assert notice["Subject"].startswith("Gateway main suspended: 3")
    assert notice["Auto-Submitted"] == "auto-generated"
    bridge.simulator.carrier.force_balance(Decimal(50), None)
    await bridge.data("gateways", "probe", "main")
    await bridge.messages()
    await until(lambda: len(postfix.delivered()) == 3, saying=postfix.what_it_said)
    assert [mail["Subject"] for mail in postfix.delivered() if mail["To"] == "ops@example.org"][1] == (
        "Gateway main works again"
    )
