"""A mail goes through a real Kannel (bearerbox, smsbox, its fake SMS centre), and Kannel's report comes back."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest
import yaml

from tests.support.bridge import Bridge, base_config
from tests.support.documents import ROOT
from tests.support.kannel import Kannel, need_kannel, running_kannel
from tests.support.programs import free_port, until

TEXT = "Диск db1 & <полон> 100%"
PASSWORD = "kannel-canary"

pytestmark = pytest.mark.timeout(120)


@asynccontextmanager
async def both(folder: Path, *, password: str = PASSWORD) -> AsyncIterator[tuple[Bridge, Kannel]]:
    """Run Kannel and a bridge whose only gateway is contrib/carriers/kannel.yaml, as it stands."""
    need_kannel()
    async with running_kannel(folder, PASSWORD) as kannel:
        web = free_port()
        environ = {
            "KANNEL_URL": kannel.url, "KANNEL_PASSWORD": password, "CALLBACK_PATH": "0f1e2d3c4b5a",
            "BRIDGE_URL": f"http://127.0.0.1:{web}",
        }  # fmt: skip
        bridge = Bridge(folder, None, env=environ)
        data = base_config(folder, "") | {"web": {"listen": f"127.0.0.1:{web}"}, "message": {"sender": "ALERT"}}
        del data["gateways"]
        written = (ROOT / "contrib/carriers/kannel.yaml").read_text(encoding="utf-8")
        bridge.config_file.write_text(yaml.safe_dump(data) + written, encoding="utf-8")
        await bridge.start()
        try:
            yield bridge, kannel
        finally:
            code = await bridge.stop()
        assert code == 0, bridge.what_it_said()


async def send(bridge: Bridge, text: str) -> None:
    """Send one mail."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "nagios@example.org", "79991234567@sms.local", text
    mail.set_content("")

    def hand_over() -> None:
        with smtplib.SMTP("127.0.0.1", bridge.port, timeout=20) as client:
            client.send_message(mail)

    await asyncio.to_thread(hand_over)


async def test_a_mail_arrives_through_kannel_and_its_report_comes_back(tmp_path: Path) -> None:
    """Text, sender and number arrive whole; the message ends as delivered, by Kannel's callback."""
    async with both(tmp_path) as (bridge, kannel):
        await send(bridge, TEXT)
        await until(
            lambda: bridge.events_called("delivered"), saying=lambda: bridge.what_it_said() + kannel.what_it_said()
        )
        await until(lambda: kannel.arrived, limit_s=5, saying=lambda: str(bytes(kannel.output["fakesmsc"])))
        assert kannel.arrived == [("ALERT", "+79991234567", TEXT)]
        (message,) = await bridge.data("queue", "list")
        assert (message["state"], message["gateway"]) == ("delivered", "kannel")
        assert PASSWORD.encode() not in bridge.output


async def test_a_long_text_arrives_in_kannels_parts(tmp_path: Path) -> None:
    """One request of ours, several messages at the centre, one report."""
    async with both(tmp_path) as (bridge, kannel):
        await send(bridge, "A" * 200)
        await until(
            lambda: bridge.events_called("delivered"), saying=lambda: bridge.what_it_said() + kannel.what_it_said()
        )
        await until(lambda: len(kannel.arrived) > 1, limit_s=5, saying=lambda: str(bytes(kannel.output["fakesmsc"])))
        assert sum(text.count("A") for _, _, text in kannel.arrived) == 200
        assert len(bridge.events_called("sent")) == 1


async def test_a_wrong_password_suspends_the_gateway_and_loses_nothing(tmp_path: Path) -> None:
    """403 is trouble of the account, not of the mail."""
    async with both(tmp_path, password="another one") as (bridge, kannel):
        await send(bridge, TEXT)
        await until(lambda: bridge.events_called("gateway suspended"), saying=bridge.what_it_said)
        (message,) = await bridge.data("queue", "list")
        assert message["state"] == "queued"
        assert kannel.arrived == []
