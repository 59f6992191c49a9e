"""Limits hold across nodes: they count in one place, whichever node a client comes to, and whichever sends."""

from __future__ import annotations

import asyncio
import smtplib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("psycopg", reason="psycopg is not installed (pip install 'mailbridge[postgres]')")

from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import SimulatorSettings
from tests.support.bridge import Bridge
from tests.support.cluster import running_nodes
from tests.support.house import HASHED, PASSWORD
from tests.support.programs import until, until_seen

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

OVER = "450 4.7.1"


def _send(port: int, number: int, user: str | None, phone: str) -> str:
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.ehlo("client.example.org")
        if user is not None:
            client.login(user, PASSWORD)
        client.mail(f"sender{number}@example.org")
        code, words = client.rcpt(f"{phone}@sms.local")
        if code < 400:
            code, words = client.data(f"Message-ID: <{number}@example.org>\r\nSubject: x\r\n\r\ntext {number}\r\n")
        return f"{code} {words.decode()}"


async def send_at_once(nodes: list[Bridge], count: int, *, user: str | None = None, phone: str = "") -> list[str]:
    """Send *count* mails at the same time, in turn to each of *nodes*, and return the replies."""
    ways = [(nodes[number % len(nodes)].port, number, user, phone or f"+7999000{number:04}") for number in range(count)]
    return await asyncio.gather(*(asyncio.to_thread(_send, *way) for way in ways))


def taken(replies: list[str]) -> int:
    """Count the mails that were kept; all others were put off by a limit."""
    assert {reply[:9] for reply in replies if not reply.startswith("250")} <= {OVER}
    return sum(reply.startswith("250") for reply in replies)


def own(**sections: Any) -> dict[str, Any]:
    """Return a node's own configuration, with two users who may sign in."""
    users = [{"name": "zabbix", "password": HASHED, **sections.pop("zabbix", {})}, {"name": "cron", "password": HASHED}]
    return {"smtp": {"listen": [{"address": "127.0.0.1:0", "auth": "optional"}]}, "users": users, **sections}


async def until_waiting(node: Bridge, count: int) -> None:
    """Wait until *count* messages are queued and none is on its way."""

    async def look() -> bool:
        states = Counter(row["state"] for row in await node.data("queue", "list"))
        return states["queued"] == count and not states["sending"]

    await until_seen(look, limit_s=60, saying=node.what_it_said)


@pytest.mark.parametrize("scope", ["client", "user"])
async def test_a_rate_lets_its_number_through_on_all_nodes_together(scope: str, tmp_path: Path, queue_url: str) -> None:
    """Thirty mails at once on two nodes, seven allowed: seven are taken, and the node that is asked next says no."""
    limits = {"client": ["7/1h"]} if scope == "client" else {"user": ["7/1h"]}
    node = own(limits=limits)
    user = "zabbix" if scope == "user" else None
    async with (
        Simulator(SimulatorSettings()) as simulator,
        running_nodes(tmp_path, simulator, queue_url, node, node) as nodes,
    ):
        assert taken(await send_at_once(list(nodes), 30, user=user)) == 7
        for one in nodes:
            assert taken(await send_at_once([one], 1, user=user, phone="+79990009999")) == 0
            # each node has seen some of both
            assert one.events_called("rejected")
        await until(lambda: len(simulator.inbox) == 7)
        if user is not None:
            assert taken(await send_at_once(list(nodes), 4, user="cron", phone="+79990008888")) == 4


@pytest.mark.parametrize("how", ["all", "own"])
async def test_a_budget_is_one_for_all_nodes_and_none_of_it_is_spent_twice(
    how: str, tmp_path: Path, queue_url: str
) -> None:
    """Both nodes send at the same time; what is over the five parts waits, and both doors come to know of it."""
    node = (
        own(limits={"budget": {"day": {"parts": 5}}})
        if how == "all"
        else own(zabbix={"budget": {"month": {"parts": 5}}})
    )
    async with (
        Simulator(SimulatorSettings()) as simulator,
        running_nodes(tmp_path, simulator, queue_url, node, node) as nodes,
    ):
        replies = await send_at_once(list(nodes), 20, user="zabbix")
        kept = taken(replies)
        assert kept >= 5
        await until(lambda: len(simulator.inbox) == 5)
        await until_waiting(nodes[0], kept - 5)
        for one in nodes:

            async def is_told(one: Bridge = one) -> bool:
                return not taken(await send_at_once([one], 1, user="zabbix", phone="+79990009999"))

            await until_seen(is_told)
        # the second node's word of it is the same, and nobody has sent a sixth part
        assert len(simulator.inbox) == 5
        place = "limits.budget.day" if how == "all" else "users[0].budget.month"
        put_off = [event for one in nodes for event in one.events_called("deferred")]
        assert {event["config"] for event in put_off} == {place}


async def test_a_phones_rate_holds_whichever_node_sends(tmp_path: Path, queue_url: str) -> None:
    """A flood to one number through both nodes becomes two messages; the rest waits, and nothing is lost."""
    node = own(limits={"phone": ["2/1h"]})
    async with (
        Simulator(SimulatorSettings()) as simulator,
        running_nodes(tmp_path, simulator, queue_url, node, node) as nodes,
    ):
        assert taken(await send_at_once(list(nodes), 12, phone="+79990000001")) == 12
        await until_waiting(nodes[1], 10)
        await until(lambda: len({event["id"] for one in nodes for event in one.events_called("deferred")}) == 10)
        assert len(simulator.inbox) == 2
