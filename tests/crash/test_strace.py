"""What the kernel sees: a sync before every 250, and disks that fail at the k-th call. ``kill -9`` cannot show either."""

from __future__ import annotations

import asyncio
import re
import smtplib
from pathlib import Path

import pytest
import yaml

from mailbridge.simulator.server import Simulator
from tests.support.bridge import Bridge, base_config
from tests.support.disk import DiskTest
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


def found_wrong(test: DiskTest) -> list[str]:
    """Return everything that must not be."""
    return [*test.figures.problems, *test.figures.lost, *test.figures.doubled]


async def test_a_disk_that_fails_at_the_kth_call_of_a_bridge_at_work(tmp_path: Path) -> None:
    """No 250 that is not kept, nothing permanent said to a client, and mail goes on within ten seconds."""
    async with DiskTest(tmp_path).running() as test:
        for call, ks in (("pwrite64", (1, 14)), ("fdatasync", (1, 2))):
            for error in ("EIO", "ENOSPC"):
                for for_ever in (False, True):
                    await test.sweep("service", call, error, for_ever=for_ever, ks=ks)
        # a disk that the system made read-only under us
        await test.sweep("service", "pwrite64", "EROFS", for_ever=True, ks=(1, 3))
    assert found_wrong(test) == []
    assert test.figures.faults == 18
    assert test.figures.answers.keys() <= {250, 451, 452}


async def test_a_disk_that_fails_at_the_kth_call_of_a_start_or_stop(tmp_path: Path) -> None:
    """A start ends with 75 and one line, or serves; a stop ends with 0; the next start has all that was promised."""
    async with DiskTest(tmp_path).running() as test:
        await test.sweep("first start", "pwrite64", "EIO", for_ever=False, ks=(1, 21))
        await test.sweep("start", "pwrite64", "ENOSPC", for_ever=True, ks=(9,))
        # reads that SQLite calls damage, after the start's own check
        await test.sweep("start", "pread64", "EIO", for_ever=False, ks=(4, 8))
        await test.sweep("stop", "pwrite64", "EIO", for_ever=True, ks=(2,))
    assert found_wrong(test) == []
    assert test.figures.faults == 6
    assert test.figures.refused.keys() == {75}


async def test_dead_in_the_middle_of_a_checkpoint(tmp_path: Path) -> None:
    """C11: killed while the log is written back into the file, or is removed after it: the next start has it all."""
    async with DiskTest(tmp_path).running() as test:
        for call, k in (("pwrite64", 5), ("ftruncate", 1), ("unlink", 1)):
            await test.die(call, k=k)
    assert found_wrong(test) == []
