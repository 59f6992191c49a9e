"""Two bridges on one PostgreSQL: a step of an escalation is taken by one of them, whoever lives, and an answer ends it."""

from __future__ import annotations

import asyncio
import re
import smtplib
from pathlib import Path
from typing import Any

import aiohttp
import pytest

pytest.importorskip("psycopg", reason="psycopg is not installed (pip install 'mailbridge[postgres]')")

from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import SimulatorSettings
from tests.support.bridge import Bridge
from tests.support.cluster import running_nodes
from tests.support.programs import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PHONES = [f"+7916123450{number}" for number in range(5)]
CHAIN: dict[str, Any] = {
    "people": {f"p{number}": {"phone": phone} for number, phone in enumerate(PHONES)},
    "aliases": {"oncall": ["p0"]},
    "escalation": {"oncall": {"after": "2s", "then": [{"send": f"p{number}"} for number in range(1, 5)]}},
    "inbound": {"poll": "1s"},
    "queue": {"lease": "2s"},
    "limits": {},
}


async def alert(node: Bridge, number: int) -> None:
    """Hand a mail over; it must be taken."""

    def hand_over() -> None:
        with smtplib.SMTP("127.0.0.1", node.port, timeout=30) as client:
            content = f"Message-ID: <{number}@example.org>\r\nSubject: x\r\n\r\ndb{number} down\r\n"
            client.sendmail("nagios@example.org", ["oncall@sms.local"], content)

    await asyncio.to_thread(hand_over)


def given(simulator: Simulator, number: int) -> list[str]:
    """Return who was told of that alert, in order."""
    return ["+" + entry["phone"].lstrip("+") for entry in simulator.inbox[::-1] if f"db{number} " in entry["text"]]


async def answer(simulator: Simulator, phone: str, number: int) -> None:
    """Let a handset answer that alert."""
    text = next(entry["text"] for entry in simulator.inbox if f"db{number} " in entry["text"])
    match = re.search(r"OK (\d{4})$", text)
    assert match is not None
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{simulator.url}/control/answers", json={"phone": phone, "mes": f"ok {match[1]}"}) as response,
    ):
        assert response.status == 201


async def test_each_step_is_taken_by_one_node(tmp_path: Path, queue_url: str) -> None:
    """Ten alerts, both nodes at it; three of them are answered, and one node dies in between."""
    async with (
        Simulator(SimulatorSettings()) as simulator,
        running_nodes(tmp_path, simulator, queue_url, CHAIN, CHAIN) as (first, second),
    ):
        for number in range(10):
            await alert((first, second)[number % 2], number)
        await until(lambda: all(given(simulator, number) for number in range(10)))
        for number in range(3):
            await answer(simulator, PHONES[4], number)
        acknowledged = lambda: first.events_called("acknowledged") + second.events_called("acknowledged")  # noqa: E731
        await until(lambda: len(acknowledged()) == 3, limit_s=60, saying=first.what_it_said)
        await first.kill()

        def ended() -> bool:
            return all(given(simulator, number)[-1] == PHONES[4] for number in range(3, 10))

        await until(ended, limit_s=90, saying=second.what_it_said)
        await asyncio.sleep(3)
        for number in range(10):
            told = given(simulator, number)
            assert told == PHONES[: len(told)]
            assert len(told) == 5 or number < 3
        waiting = await second.data("ack")
        assert {one["status"] for one in waiting} == {"exhausted"}
        (one,) = await second.data("ack", waiting[0]["number"])
        assert (one["status"], one["by"].partition(":")[0]) == ("acknowledged", "cli")
