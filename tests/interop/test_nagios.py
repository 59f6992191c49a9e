"""A real Nagios Core, its own notification commands, and the SMS they become."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bridge import Bridge
from tests.support.nagios import running_nagios

PHONE = "+79991234567"


@pytest.mark.timeout(120)
async def test_a_service_alarm_and_its_recovery(bridge: Bridge, tmp_path: Path) -> None:
    """A failing check becomes an SMS that names state, host and service; so does its recovery."""
    folder = tmp_path / "nagios"
    async with running_nagios(folder, smtp_port=bridge.port, recipient=f"{PHONE}@sms.local") as nagios:
        nagios.set_service(2, "HTTP CRITICAL: нет ответа за 10 с")
        (problem,) = await bridge.messages()
        assert problem["phone"] == PHONE
        for word in ("PROBLEM", "web1", "HTTP", "CRITICAL"):
            assert word in problem["text"], nagios.what_it_said()
        nagios.set_service(0, "HTTP OK")
        recovery = (await bridge.messages(2))[1]
        for word in ("RECOVERY", "web1", "HTTP", "OK"):
            assert word in recovery["text"], nagios.what_it_said()


@pytest.mark.timeout(120)
async def test_a_host_alarm(bridge: Bridge, tmp_path: Path) -> None:
    """A host reported down through the command file becomes an SMS."""
    folder = tmp_path / "nagios"
    async with running_nagios(folder, smtp_port=bridge.port, recipient=f"{PHONE}@sms.local") as nagios:
        nagios.command("PROCESS_HOST_CHECK_RESULT;web1;1;PING CRITICAL - Packet loss = 100%")
        (problem,) = await bridge.messages()
        for word in ("PROBLEM", "web1", "DOWN"):
            assert word in problem["text"], nagios.what_it_said()
