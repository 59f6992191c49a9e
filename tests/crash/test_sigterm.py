"""Told to stop: under load, and with a gateway that never answers. Nothing is lost, nobody waits for ever."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest

from mailbridge.simulator.faults import parse_fault
from mailbridge.simulator.settings import Limits, SimulatorSettings
from tests.support.bridge import running_bridge
from tests.support.crash import Mail, read_reply
from tests.support.programs import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CLIENTS = 50
LIMITS = Limits(status_per_minute=None, balance_per_minute=None)
CONFIG = {"message": {"text": "{{ body }}"}, "gateways": {"main": {"timeout": "20s"}}}


def rows(folder: Path) -> list[tuple[str, str]]:
    """Return state and text of every message."""
    database = sqlite3.connect(folder / "queue.db")
    try:
        return database.execute("SELECT state, text FROM messages").fetchall()
    finally:
        database.close()


async def client(port: int, name: str) -> tuple[list[str], int]:
    """Hand over mails until sent away; return what was acknowledged and the last code heard (0: cut off)."""
    acknowledged: list[str] = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    code = 0
    try:
        await read_reply(reader)
        writer.write(b"EHLO client.example.org\r\n")
        await read_reply(reader)
        for number in range(10_000):
            mail = Mail(f"{name} {number}", (f"+7916{abs(hash((name, number))) % 10**7:07}",))
            for line in (*mail.lines(), mail.content()):
                writer.write(line)
                code = await read_reply(reader)
                if code == 421:
                    return acknowledged, code
            acknowledged += [mail.name] if code == 250 else []
    except (OSError, asyncio.IncompleteReadError):
        code = 0
    finally:
        writer.close()
    return acknowledged, code


@pytest.mark.usefixtures("workers")
async def test_stopped_under_load(tmp_path: Path) -> None:
    """Each client hears 250 or 421, the exit is 0 within 15 s, and what was acknowledged is sent once by the next."""
    settings = SimulatorSettings(limits=LIMITS, latency_s=0.2, keep=100_000)
    async with running_bridge(tmp_path, CONFIG, simulator=settings) as bridge:
        clients = [asyncio.create_task(client(bridge.port, f"client {number}")) for number in range(CLIENTS)]
        await until(lambda: len(bridge.simulator.inbox) > 50)
        started = time.monotonic()
        assert await bridge.stop() == 0
        assert time.monotonic() - started < 15
        heard = await asyncio.gather(*clients)
        assert {code for _, code in heard} == {421}
        assert not [row for row in rows(tmp_path) if row[0] == "sending"]

        await bridge.start()
        acknowledged = {name for names, _ in heard for name in names}
        await until(lambda: acknowledged <= {message["text"] for message in bridge.simulator.inbox}, limit_s=60)
        texts = [message["text"] for message in bridge.simulator.inbox]
        assert len(texts) == len(set(texts))


async def test_stopped_with_a_dead_gateway(tmp_path: Path) -> None:
    """Open requests hold the stop up for its limit alone; their messages are unknown on disk, and finished after."""
    async with running_bridge(tmp_path, CONFIG, simulator=SimulatorSettings(limits=LIMITS)) as bridge:
        bridge.simulator.carrier.faults.add(parse_fault({"wire": "hang", "stage": "after", "methods": ["send"]}))
        sender = asyncio.create_task(client(bridge.port, "one"))
        await until(lambda: bridge.simulator.inbox)
        started = time.monotonic()
        assert await bridge.stop() == 0
        assert time.monotonic() - started < 35
        acknowledged, _ = await sender
        assert {state for state, _ in rows(tmp_path)} <= {"unknown", "queued"}

        bridge.simulator.carrier.faults.clear()
        await bridge.start()
        await until(lambda: {state for state, _ in rows(tmp_path)} <= {"sent", "delivered"}, limit_s=60)
        texts = [message["text"] for message in bridge.simulator.inbox]
        assert set(acknowledged) <= set(texts)
        assert len(texts) == len(set(texts))
