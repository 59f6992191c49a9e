"""The bridge dies by ``kill -9`` around a step and around an answer: each step is taken once, each answer counts once."""

from __future__ import annotations

import asyncio
import re
import smtplib
from pathlib import Path

import aiohttp
import pytest

from tests.crash.test_points import Case, case
from tests.support.programs import until
from tests.support.smarthost import running_smarthost

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ANNA, BORIS = "+79161234501", "+79161234502"
CHAIN = {
    "people": {"anna": {"phone": ANNA}, "boris": {"phone": BORIS}},
    "escalation": {"anna": {"after": "2s", "then": [{"call": "anna"}, {"send": "boris"}]}},
    "inbound": {"poll": "1s"},
}


async def alert(one: Case) -> None:
    """Hand over the mail; it must be taken."""

    def hand_over() -> None:
        with smtplib.SMTP("127.0.0.1", one.bridge.port, timeout=20) as client:
            head = "From: nagios@example.org\r\nSubject: db1\r\n\r\n"
            client.sendmail("nagios@example.org", ["anna@sms.local"], f"{head}down\r\n")

    await asyncio.to_thread(hand_over)


async def answer(one: Case, text: str) -> None:
    """Let Anna's handset send an SMS."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{one.simulator.url}/control/answers", json={"phone": ANNA, "mes": text}) as response,
    ):
        assert response.status == 201


def given(one: Case) -> list[tuple[str, str]]:
    """Return phone and kind of what the gateway was given, oldest first."""
    return [(entry["phone"], entry["type"]) for entry in one.simulator.inbox[::-1]]


def status(one: Case) -> str:
    """Return where the one escalation stands."""
    rows = one.rows("SELECT status FROM escalations WHERE due_at IS NULL")
    return rows[0][0] if rows else "open"


@pytest.mark.parametrize(
    "point",
    ["before an escalation step", "after an escalation step", "before an escalation step:2",
     "after an escalation step:2", "after an escalation step:3"],
)  # fmt: skip
async def test_it_dies_at_a_step(tmp_path: Path, point: str) -> None:
    """Before its commit the step is untaken, after it is taken; the next bridge goes on from there."""
    async with case(tmp_path, CHAIN) as one:
        await one.die_at(point)
        await alert(one)
        await one.died()
        await one.bridge.start()
        await until(lambda: status(one) == "exhausted", limit_s=60, saying=one.bridge.what_it_said)
        await until(lambda: len(given(one)) == 3, limit_s=30, saying=one.bridge.what_it_said)
        assert given(one) == [(ANNA, "sms"), (ANNA, "call"), (BORIS, "sms")]
        assert one.rows("SELECT count(*) FROM history WHERE event = 'escalated'") == [(2,)]


@pytest.mark.parametrize("point", ["after an SMS came in", "before an SMS is settled", "before report", "after report"])
async def test_it_dies_at_an_answer(tmp_path: Path, point: str) -> None:
    """Kept before it is handled, and handled before it is settled: in the end it has counted once."""
    async with running_smarthost() as smarthost:
        mailing = {"bounce": {"mode": "mail", "from": "mailer-daemon@sms.example.org",
                              "smarthost": f"smtp://127.0.0.1:{smarthost.port}"}}  # fmt: skip
        chain = {"escalation": {"anna": {"after": "1h", "then": [{"call": "anna"}]}}}
        async with case(tmp_path, CHAIN | chain | mailing) as one:
            await one.die_at(point)
            await alert(one)
            await until(lambda: len(given(one)) == 1, saying=one.bridge.what_it_said)
            match = re.search(r"OK (\d{4})$", one.simulator.inbox[0]["text"])
            assert match is not None
            await answer(one, f"OK {match[1]}")
            await one.died()
            await one.bridge.start()
            await until(lambda: status(one) == "acknowledged", saying=one.bridge.what_it_said)
            await until(
                lambda: one.rows("SELECT count(*) FROM outgoing") == [(0,)] and len(smarthost.mails) > 0,
                saying=one.bridge.what_it_said,
            )
            await until(lambda: one.rows("SELECT result FROM inbound") == [("acknowledged",)]
                        or one.rows("SELECT result FROM inbound") == [("acknowledged before",)],
                        saying=one.bridge.what_it_said)  # fmt: skip
            assert one.rows("SELECT count(*) FROM history WHERE event = 'acknowledged'") == [(1,)]
            # a crash after the smarthost's 250 sends the same mail again, under its own Message-ID
            ids = {re.search(rb"Message-ID: (.*)\r\n", mail.content)[1] for mail in smarthost.mails}
            assert len(ids) == 1
            assert len(given(one)) == 1
