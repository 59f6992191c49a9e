"""Mails at a steady rate over kept connections, and when each was handed over and answered: the client for latencies.

Times are CLOCK_MONOTONIC, one for all processes of the machine.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import uvloop

from bench import load


@dataclass(frozen=True)
class Sent:
    """One mail."""

    phone: str
    #: just before its last line was written
    dot_at: float
    #: when its 250 was read
    answered_at: float


def run(port: int, *, mails: int, rate: float, sessions: int = 16, even: bool = False) -> list[Sent]:
    """Send *mails* at *rate* a second, at random moments or evenly, each to a phone of its own.

    Raises: RuntimeError when one was refused.
    """
    return uvloop.run(_run(port, _moments(mails, rate, even=even), sessions))


def _moments(mails: int, rate: float, *, even: bool) -> list[float]:
    """Return seconds from the start; random ones are those of independent senders."""
    chance = random.Random(1)
    gaps = (1 / rate if even else chance.expovariate(rate) for _ in range(mails))
    return list(itertools.accumulate(gaps))


async def _run(port: int, moments: list[float], sessions: int) -> list[Sent]:
    first = time.monotonic_ns() % 10_000_000
    begin = time.monotonic() + 0.2
    plan = iter([(begin + moment, first + place) for place, moment in enumerate(moments)])
    sent: list[Sent] = []
    await asyncio.gather(*(_session(port, plan, sent) for _ in range(sessions)))
    return sent


async def _session(port: int, plan: Iterator[tuple[float, int]], sent: list[Sent]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def say(line: bytes) -> None:
        writer.write(line)
        await _heed(reader)

    await _heed(reader)
    await say(b"EHLO client.example.org\r\n")
    for due_at, number in plan:
        if (wait_s := due_at - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)
        phone = load.phone(number)
        await say(b"MAIL FROM:<nagios@example.org>\r\n")
        await say(b"RCPT TO:<%b@sms.local>\r\n" % phone.encode())
        await say(b"DATA\r\n")
        content = load.mail(number)
        dot_at = time.monotonic()
        await say(content)
        sent.append(Sent(phone, dot_at, time.monotonic()))
    await say(b"QUIT\r\n")
    writer.close()
    await writer.wait_closed()


async def _heed(reader: asyncio.StreamReader) -> None:
    """Read one reply, of several lines where the server says so."""
    while (line := await reader.readline())[3:4] == b"-":
        pass
    if line[:1] not in (b"2", b"3"):
        raise RuntimeError(f"refused: {line!r}")
