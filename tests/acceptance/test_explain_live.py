"""``explain`` beside a running bridge: what was sent before, and what limits and budgets say now."""

from __future__ import annotations

import asyncio
import json
import smtplib

import pytest

from tests.support.bridge import Bridge, running_bridge

A, B = "79991234567@sms.local", "79997654321@sms.local"
MAIL = "Subject: disk full\n\nsda1 has 3 % left\n"

pytestmark = pytest.mark.slow


async def send(bridge: Bridge, text: str = MAIL, *, to: str = A) -> None:
    """Hand a mail over; it must be taken."""

    def hand_over() -> None:
        with smtplib.SMTP("127.0.0.1", bridge.port, timeout=30) as client:
            client.sendmail("nagios@example.org", [to], text.replace("\n", "\r\n").encode())

    await asyncio.to_thread(hand_over)


async def explained(
    bridge: Bridge, text: str = MAIL, *, to: str = A
) -> tuple[int, dict[str, list[tuple[str, str]]], str]:
    """Return exit code, result and place by stage, and the reply."""
    ended = await bridge.verb("explain", "-", "--from", "nagios@example.org", "--to", to, "--json", text=text.encode())
    answer = json.loads(ended.output)
    stages: dict[str, list[tuple[str, str]]] = {}
    for step in answer["steps"]:
        stages.setdefault(step["stage"], []).append((step["result"], step["config"].rpartition(": ")[2]))
    return ended.code, stages, answer["reply"]


@pytest.mark.parametrize("head", ["", "Message-ID: <1@example.org>\n"], ids=["by its bytes", "by its Message-ID"])
async def test_a_mail_that_was_sent_before_is_named(tmp_path, head):
    """With the id of the message it repeats; to another phone it is a new one. Asking changes nothing."""
    async with running_bridge(tmp_path) as bridge:
        code, stages, _ = await explained(bridge, head + MAIL)
        assert (code, "duplicate" in stages) == (0, False)
        await send(bridge, head + MAIL)
        await bridge.messages(1)
        for _ in range(2):
            code, stages, _ = await explained(bridge, head + MAIL)
            assert (code, stages["duplicate"], "gateway" in stages) == (0, [("suppressed", "")], False)
        _, stages, _ = await explained(bridge, head + MAIL, to=B)
        assert "duplicate" not in stages
        assert len(await bridge.data("queue", "list")) == 1


async def test_a_limit_that_is_full_is_named_with_its_line(tmp_path):
    """A client's rate refuses the mail; a phone's lets it wait."""
    limits = {"sender": ["1/1h"], "phone": ["1/1h"]}
    (second := tmp_path / "second").mkdir()
    async with running_bridge(tmp_path, {"limits": {"phone": limits["phone"]}}) as bridge:
        await send(bridge)
        await bridge.messages(1)
        code, stages, reply = await explained(bridge, "Subject: another\n\nx\n")
        assert (code, stages["limit"], reply[:3]) == (0, [("waits", "limits.phone")], "250")
        assert "limit" not in (await explained(bridge, "Subject: another\n\nx\n", to=B))[1]
    async with running_bridge(second, {"limits": {"sender": limits["sender"]}}) as bridge:
        await send(bridge)
        code, stages, reply = await explained(bridge, "Subject: another\n\nx\n", to=B)
        assert (code, stages["limit"], reply[:9]) == (1, [("refused", "limits.sender")], "450 4.7.1")


async def test_a_budget_that_is_used_up_is_named(tmp_path):
    """It refuses at RCPT."""
    async with running_bridge(tmp_path, {"limits": {"budget": {"day": {"parts": 1}}}}) as bridge:
        await send(bridge)
        await bridge.messages(1)
        code, stages, reply = await explained(bridge, "Subject: another\n\nx\n", to=B)
        assert (code, stages["limit"], reply[:9]) == (1, [("refused", "limits.budget")], "450 4.7.1")
