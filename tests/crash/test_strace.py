"""What the kernel sees: a sync before every 250, and disks that fail at the k-th call. ``kill -9`` cannot show either."""

from __future__ import annotations

import asyncio
import re
import smtplib
import time
from pathlib import Path

import pytest
import yaml

from mailbridge.simulator.server import Simulator
from tests.support.bridge import Bridge, base_config
from tests.support.programs import need

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MAILS = 100
_SYNC = re.compile(rb"\b(?:fdatasync|fsync)\(\d+\) += 0|<\.\.\. (?:fdatasync|fsync) resumed>\) += 0")
_DOT = re.compile(
    rb"\b(?:recvfrom|read|recv|recvmsg)\(.*\\r\\n\.\\r\\n|<\.\.\. (?:recvfrom|read) resumed>.*\\r\\n\.\\r\\n"
)
_QUEUED = re.compile(rb"\b(?:sendto|write|send|writev|sendmsg)\(.*250 2\.0\.0 Ok: queued as")


def deliver(port: int, *texts: str) -> list[int]:
    """Send mails one after the other on one connection and return the answers to DATA."""
    codes = []
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        for text in texts:
            client.ehlo_or_helo_if_needed()
            client.mail("nagios@example.org")
            client.rcpt("79161234567@sms.local")
            codes.append(client.data(f"From: n@example.org\r\nMessage-ID: <{text}@x>\r\n\r\n{text}\r\n")[0])
    return codes


async def started(folder: Path, simulator: Simulator, *strace: str) -> Bridge:
    """Start a bridge watched by strace from aside (``-D``), so that signals reach the bridge."""
    bridge = Bridge(folder, simulator)
    bridge.config_file.write_text(yaml.safe_dump(base_config(folder, simulator.url)))
    await bridge.start(before=[need("strace"), "-D", "-f", "-qq", *strace])
    return bridge


async def test_every_250_comes_after_a_sync(tmp_path: Path) -> None:
    """Between the end of DATA and each of a hundred answers the disk was told to keep it."""
    trace = tmp_path / "trace"
    calls = "trace=fdatasync,fsync,sendto,write,send,writev,sendmsg,recvfrom,read,recvmsg"
    async with Simulator() as simulator:
        bridge = await started(tmp_path, simulator, "-s", "4000", "-o", str(trace), "-e", calls)
        try:
            codes = await asyncio.to_thread(deliver, bridge.port, *(f"text{number}" for number in range(MAILS)))
        finally:
            await bridge.stop()
    assert codes == [250] * MAILS
    synced, kept = False, 0
    for line in trace.read_bytes().splitlines():
        if _QUEUED.search(line):
            kept += synced
            synced = False
        elif _DOT.search(line):
            synced = False
        elif _SYNC.search(line):
            synced = True
    assert kept == MAILS


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("call", ["fdatasync"])
async def test_a_disk_that_fails_once_at_the_kth_call(tmp_path: Path, call: str, error: str) -> None:
    """No 250 that is not kept, nothing permanent said to a client, and mail goes on within ten seconds."""
    for k in (1, 4, 9):
        folder = tmp_path / f"{k}"
        folder.mkdir()
        async with Simulator() as simulator:
            # the queue is made on a good disk: what fails while it is made refuses the start (tests/faults)
            bridge = await started(folder, simulator, "-o", "/dev/null", "-e", "trace=none")
            await bridge.stop()
            inject = f"inject={call}:error={error}:when={20 + k}"
            bridge = await started(folder, simulator, "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
            kept: set[str] = set()
            try:
                for number in range(12):
                    text = f"text{k}x{number}"
                    (code,) = await asyncio.to_thread(deliver, bridge.port, text)
                    assert code in {250, 451, 452}
                    kept |= {text} if code == 250 else set()
                began = time.monotonic()
                while await asyncio.to_thread(deliver, bridge.port, f"again{time.monotonic_ns()}") != [250]:
                    assert time.monotonic() - began < 10
                async with asyncio.timeout(30):
                    while not kept <= {message["text"].removeprefix(": ") for message in simulator.inbox}:
                        await asyncio.sleep(0.1)
            finally:
                await bridge.stop()
            texts = [message["text"] for message in simulator.inbox]
            assert len(texts) == len(set(texts))


async def test_a_disk_that_fails_for_ever_promises_nothing(tmp_path: Path) -> None:
    """From some call on every sync fails: only 451, and the next bridge on a good disk has all that was promised."""
    kept: set[str] = set()
    async with Simulator() as simulator:
        inject = "inject=fdatasync:error=EIO:when=15+"
        bridge = await started(tmp_path, simulator, "-o", "/dev/null", "-e", "trace=fdatasync", "-e", inject)
        try:
            for number in range(20):
                (code,) = await asyncio.to_thread(deliver, bridge.port, f"text{number}")
                assert code in {250, 451, 452}
                kept |= {f"text{number}"} if code == 250 else set()
            assert code != 250
        finally:
            await bridge.kill()
        await bridge.start()
        async with asyncio.timeout(60):
            while not kept <= {message["text"].removeprefix(": ") for message in simulator.inbox}:
                await asyncio.sleep(0.1)
        await bridge.stop()
