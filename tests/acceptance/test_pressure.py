"""The whole program with a queue that may hold five messages, and a gateway that takes none for a while."""

from __future__ import annotations

import asyncio
import json
import smtplib
import time
from pathlib import Path

import pytest

from mailbridge.pressure import LONGEST_DELAY_S, Pressure
from tests.support.bridge import Bridge, running_bridge
from tests.support.programs import until

LIMIT = 5
FULL = (452, "4.3.1 Insufficient storage, try later")


async def deliver(bridge: Bridge, number: int) -> tuple[tuple[int, str], float]:
    """Send one mail and return the answer to DATA, and how long that took."""

    def send() -> tuple[tuple[int, str], float]:
        with smtplib.SMTP("127.0.0.1", bridge.port, timeout=30) as client:
            client.ehlo("client.example.org")
            client.mail("nagios@example.org")
            client.rcpt(f"7999000{5000 + number}@sms.local")
            began_s = time.monotonic()
            code, words = client.data(f"Subject: PROBLEM {number}\r\n\r\ndb1 is DOWN\r\n".encode())
            return (code, words.decode()), time.monotonic() - began_s

    return await asyncio.to_thread(send)


async def suspended(bridge: Bridge) -> None:
    """Take the gateway away, as an operator does."""
    await bridge.data("gateways", "suspend", "main")
    await until(lambda: bridge.events_called("gateway suspended"), saying=bridge.what_it_said)


@pytest.mark.slow
@pytest.mark.usefixtures("workers")
async def test_the_door_slows_refuses_and_opens_again_by_itself(tmp_path: Path) -> None:
    """Five are taken, the last of them a second slower; the sixth gets 452 and leaves nothing; all five go out."""
    async with running_bridge(tmp_path, {"queue": {"max_waiting": LIMIT}}) as bridge:
        await suspended(bridge)
        taken = [await deliver(bridge, n) for n in range(LIMIT)]
        assert [answer[0] for answer, _ in taken] == [250] * LIMIT, bridge.what_it_said()
        assert taken[-1][1] >= LONGEST_DELAY_S

        for n in (6, 7):
            assert (await deliver(bridge, n))[0] == FULL
        refused = await bridge.verb("send", "89990005006", "from a script")
        assert refused.code == 75
        assert "refused: 452 4.3.1" in refused.output
        assert "queue.max_waiting is 5" in refused.output
        assert len(await bridge.data("queue", "list")) == LIMIT
        rejected = bridge.events_called("rejected")
        assert [event["reply"] for event in rejected] == ["452 4.3.1 Insufficient storage, try later"] * 2
        (full,) = bridge.events_called("queue full")
        assert (full["level"], full["waiting"], full["limit"]) == ("warning", LIMIT, LIMIT)

        await bridge.data("gateways", "resume", "main")
        assert len(await bridge.messages(LIMIT)) == LIMIT
        await until(lambda: bridge.events_called("queue takes mail again"), limit_s=3 * Pressure.idle_s)
        (over,) = bridge.events_called("queue takes mail again")
        assert over["refused"] == 2
        assert (await deliver(bridge, 8))[0][0] == 250
        assert (await bridge.verb("send", "89990005009", "from a script")).code == 0
        assert len(await bridge.messages(LIMIT + 2)) == LIMIT + 2
        assert len(bridge.events_called("queue full")) == 1


@pytest.mark.slow
async def test_a_start_finds_the_queue_full(tmp_path: Path) -> None:
    """What waits was taken by a run before: its count is known before the first mail comes."""
    async with running_bridge(tmp_path, {"queue": {"max_waiting": LIMIT}}) as bridge:
        await suspended(bridge)
        for n in range(LIMIT):
            await deliver(bridge, n)
        await bridge.stop()
        await bridge.start()
        assert (await deliver(bridge, 6))[0] == FULL
        await bridge.data("queue", "cancel", *[row["id"] for row in await bridge.data("queue", "list")])
        await until(lambda: bridge.events_called("queue takes mail again"), limit_s=3 * Pressure.idle_s)
        assert (await deliver(bridge, 7))[0][0] == 250


@pytest.mark.slow
async def test_many_at_once_are_no_more_than_fit(tmp_path: Path) -> None:
    """Clients side by side: as many as fit are taken, and nothing more is stored."""
    async with running_bridge(tmp_path, {"queue": {"max_waiting": 20}}) as bridge:
        await suspended(bridge)
        answers = [answer for answer, _ in await asyncio.gather(*(deliver(bridge, n) for n in range(60)))]
        assert sorted({code for code, _ in answers}) == [250, 452]
        stored = await bridge.data("queue", "list", "--limit", "100")
        assert len(stored) == [code for code, _ in answers].count(250)
        # a few may pass while they are counted
        assert 18 <= len(stored) <= 24, json.dumps(answers)
