"""Names, rotas, rules, profiles and storms behind a door in worker processes: all is as in one process."""

from __future__ import annotations

import asyncio
import smtplib
import sqlite3

import pytest

from tests.support.bridge import running_bridge
from tests.support.programs import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

#: anna's week, every week
ICS = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART:20200301T000000Z\r\n"
    "DTEND:20200308T000000Z\r\nRRULE:FREQ=WEEKLY\r\nSUMMARY:anna\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)
CHANGES = {
    "smtp": {"workers": 2},
    "people": {"anna": {"phone": "+79990000001"}, "boris": {"phone": "+79990000002"}},
    "aliases": {"oncall": {"rota": "ops"}, "admins": ["anna", "boris"]},
    "rotas": {"ops": {"ics": "ops.ics"}},
    "rules": [{"name": "storm", "match": {"profile": "nagios"}, "digest": {"window": "1h"}}],
}


def alert(host: str) -> bytes:
    """Write a mail as Nagios does."""
    return (
        f"Subject: ** PROBLEM Service Alert: {host}/HTTP is CRITICAL **\r\n\r\n***** Nagios *****\r\n\r\n"
        f"Notification Type: PROBLEM\r\n\r\nService: HTTP\r\nHost: {host}\r\nState: CRITICAL\r\n\r\n"
        "Date/Time: Wed Jan 14 12:30:07 MSK 2026\r\n\r\nAdditional Info:\r\n\r\nrefused\r\n"
    ).encode()


def send(port: int, to: str, content: bytes) -> int:
    """Send a mail and return the code of the first refusal, or of the answer to its content."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.ehlo()
        client.mail("nagios@example.org")
        code, _ = client.rcpt(to)
        return code if code != 250 else client.data(content)[0]


async def test_a_worker_knows_names_calendars_rules_and_what_has_to_wait(tmp_path):
    """A calendar is read beside the queue and known at every door; the second alert waits for a digest."""
    (tmp_path / "ops.ics").write_text(ICS)
    async with running_bridge(tmp_path, CHANGES) as bridge:

        async def sent(to: str, host: str) -> int:
            return await asyncio.to_thread(send, bridge.port, f"{to}@sms.local", alert(host))

        # 451 until the calendar was read
        async with asyncio.timeout(60):
            while (code := await sent("oncall", "web01")) == 451:
                await asyncio.sleep(0.2)
        assert code == 250
        await until(lambda: len(bridge.simulator.inbox) == 1, saying=bridge.what_it_said)
        assert await sent("admins", "web02") == 250
        await until(lambda: len(bridge.simulator.inbox) == 2, saying=bridge.what_it_said)
        told = [(entry["phone"], entry["text"]) for entry in reversed(bridge.simulator.inbox)]
        queued = list(bridge.events_called("queued"))

    assert told == [
        ("+79990000001", "CRIT web01/HTTP: refused 12:30"),
        ("+79990000002", "CRIT web02/HTTP: refused 12:30"),
    ]
    assert [(event["rule"], event["profile"]) for event in queued] == [("storm", "nagios")] * 3
    with sqlite3.connect(tmp_path / "queue.db") as queue:
        waiting = queue.execute(
            "SELECT m.phone, w.alert FROM waits w JOIN messages m ON m.id = w.message_id"
        ).fetchall()
    assert [phone for phone, _ in waiting] == ["+79990000001"]
    assert '"subject": "web02/HTTP"' in waiting[0][1]


async def test_what_a_worker_reads_may_have_to_be_answered(tmp_path):
    """The worker draws the number, the process with the queue takes the next step."""
    chain = {"escalation": {"ops": {"after": "1s", "then": [{"call": "boris"}]}}}
    rotas = {"rotas": {"ops": {"start": "2026-01-05 09:00", "members": ["anna"]}}}
    async with running_bridge(tmp_path, CHANGES | chain | rotas) as bridge:
        assert await asyncio.to_thread(send, bridge.port, "oncall@sms.local", alert("web01")) == 250
        first, second = await bridge.messages(2)
        assert (first["phone"], second["phone"], second["type"]) == ("+79990000001", "+79990000002", "call")
        assert first["text"] == second["text"]
        assert first["text"].rpartition("\n")[2].startswith("Reply OK ")
        answered = await bridge.verb("ack", first["text"][-4:])
        assert answered.code == 0, answered
