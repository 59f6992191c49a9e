"""Several bridges on one PostgreSQL: each works for the others, and none of them is needed."""

from __future__ import annotations

import asyncio
import json
import smtplib
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("psycopg", reason="psycopg is not installed (pip install 'mailbridge[postgres]')")

from mailbridge.simulator.faults import parse_fault
from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import AccountSettings, SimulatorSettings
from tests.support.bridge import Bridge
from tests.support.cluster import LEASE_S, SETTLE_S, ClusterTest, running_nodes
from tests.support.postgresql import PostgreSQL
from tests.support.programs import free_port, until, until_seen

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CALLBACK_PATH = "4f9cabcdef"


async def send(node: Bridge, number: int) -> str:
    """Send one mail through *node* and return the reply to DATA."""
    return await asyncio.to_thread(_send, node.port, number)


def _send(port: int, number: int) -> str:
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.ehlo("client.example.org")
        client.mail("nagios@example.org")
        client.rcpt(f"+7999000{number:04}@sms.local")
        code, words = client.data(f"Message-ID: <{number}@example.org>\r\nSubject: x\r\n\r\ntext {number}\r\n")
        return f"{code} {words.decode()}"


def senders(node: Bridge) -> list[str]:
    """Return the ids of the messages that *node* has handed over."""
    return [event["id"] for event in node.events_called("attempt")]


async def states(node: Bridge) -> list[str]:
    """Return the states of all messages, as a verb shows them."""
    return [row["state"] for row in await node.data("queue", "list")]


async def all_in(node: Bridge, *wanted: str, limit_s: float = 30) -> None:
    """Wait until all messages are in one of the states *wanted*."""

    async def look() -> bool:
        return set(await states(node)) <= set(wanted)

    await until_seen(look, limit_s=limit_s, saying=node.what_it_said)


def is_suspended(node: Bridge) -> bool:
    """Tell whether *node* knows that its gateway is suspended, by its health page."""
    return json.loads(node.page("readyz"))["gateways"]["main"] == "suspended"


@pytest.mark.parametrize("how", ["kill", "freeze", "database"])
async def test_nothing_is_lost_or_doubled(how: str, tmp_path: Path, postgresql: PostgreSQL) -> None:
    """A node dies, or sleeps past its lease, or the database restarts, under load; what is left goes out in time.

    It sleeps for fifteen leases, longer than a quarantine: five minutes, were they as long as in earnest.
    """
    seed = ("kill", "freeze", "database").index(how)
    test = ClusterTest(tmp_path, postgresql, seed=seed, hows=[how], lease_s=2, frozen_leases=15)
    figures = await test.run(1)
    assert figures.is_good, f"{figures.table()}\n{figures.lost[:5]}\n{figures.doubled[:5]}"
    assert max(test.settled_s) < SETTLE_S
    assert figures.acknowledged > 20
    # who slept has noticed
    assert test.said["lease lost"] > 0 or how != "freeze"


async def test_a_mail_put_on_one_node_is_sent_by_another_at_once(tmp_path: Path, queue_url: str) -> None:
    """Both share the one request the gateway allows, so the first has it; it is woken by the other's commit.

    What the gateway then reports to any of them counts for all.
    """
    port = free_port()
    account = AccountSettings(callback_url=f"http://127.0.0.1:{port}/callback/main/{CALLBACK_PATH}")
    one = {"max_in_flight": 1, "poll": "0s"}
    changes: list[dict[str, Any]] = [
        {"gateways": {"main": one}},
        {"gateways": {"main": {**one, "callback_path": CALLBACK_PATH}}, "web": {"listen": f"127.0.0.1:{port}"}},
    ]
    async with (
        Simulator(SimulatorSettings(accounts=(account,))) as simulator,
        running_nodes(tmp_path, simulator, queue_url, *changes) as (first, second),
    ):
        waited_s = []
        for number in range(5):
            began = time.monotonic()
            assert (await send(second, number)).startswith("250")
            await until(lambda number=number: len(simulator.inbox) > number)
            waited_s.append(time.monotonic() - began)
            # not just before the timer would have come
            await asyncio.sleep(0.1 * number)
        await until(lambda: len(senders(first)) == 5)
        assert senders(second) == []
        assert sorted(waited_s)[1] < 0.5
        await until(lambda: len(second.events_called("delivered")) == 5, saying=second.what_it_said)
        assert await states(first) == ["delivered"] * 5


async def test_nodes_come_and_go(tmp_path: Path, queue_url: str) -> None:
    """Verdicts come from the node that took the mail; a verb reaches all; the next is first when the first stops."""
    changes = {"smtp": {"reply": "verdict"}, "gateways": {"main": {"poll": "1s"}}, "queue": {"lease": "5s"}}
    async with (
        Simulator(SimulatorSettings()) as simulator,
        running_nodes(tmp_path, simulator, queue_url, changes, changes) as (first, second),
    ):
        for number in range(6):
            assert "sent, gateway id" in await send((first, second)[number % 2], number)
        # a line of the log may come a moment after the reply
        await until(lambda: (len(senders(first)), len(senders(second))) == (3, 3))
        await until(lambda: "mailbridge_nodes 2.0" in first.page("metrics"))

        await first.data("gateways", "suspend", "main")
        await until(lambda: is_suspended(first) and is_suspended(second))
        for node in (first, second):
            assert "sent" not in await send(node, 10 + (node is first))
        assert len(simulator.inbox) == 6
        await second.data("gateways", "resume", "main")
        await until(lambda: len(simulator.inbox) == 8)

        assert await first.stop() == 0
        await until(
            lambda: [event for event in second.events_called("nodes") if event["first"]], limit_s=LEASE_S,
            saying=second.what_it_said,
        )  # fmt: skip
        assert "sent, gateway id" in await send(second, 20)
        await all_in(second, "delivered")
        # one notice for each trouble, however many nodes hear of it
        told = [*first.events_called("gateway suspended"), *second.events_called("gateway suspended")]
        assert len(told) == 1


async def test_a_lone_node_that_was_killed_waits_for_nobody_when_it_is_back(tmp_path: Path, queue_url: str) -> None:
    """What it had in flight is asked about at once, though its own old lease is not over."""
    hangs = parse_fault({"wire": "hang", "stage": "after", "methods": ["send"], "probability": 1.0})
    changes = {"gateways": {"main": {"timeout": "30s"}}, "queue": {"lease": "10m"}}
    async with (
        Simulator(SimulatorSettings()) as simulator,
        running_nodes(tmp_path, simulator, queue_url, changes) as (node,),
    ):
        simulator.carrier.faults.add(hangs)
        assert (await send(node, 1)).startswith("250")
        await until(lambda: len(simulator.inbox) == 1)
        await node.kill()
        simulator.carrier.faults.clear()
        await node.start()
        await all_in(node, "sent", "delivered", limit_s=120)
        assert [event["messages"] for event in node.events_called("taken over")] == [1]
        assert len(simulator.inbox) == 1
