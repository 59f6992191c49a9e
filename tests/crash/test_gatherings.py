"""The bridge dies by ``kill -9`` in a storm: nothing acknowledged is lost, and the digest's number is what it took."""

from __future__ import annotations

import asyncio
import json
import re
import smtplib
from pathlib import Path

import pytest

from tests.crash.test_points import PHONE, Case, case
from tests.support.programs import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

STORM = {"digest": {"default": {"window": "3s", "longest": "3s"}}}
ALERTS = 12


async def storm(one: Case, first: int = 0) -> int:
    """Hand over mails, all different, until all are or the bridge is gone; return how many were acknowledged."""

    def hand_over() -> int:
        done = 0
        try:
            for number in range(first, ALERTS):
                with smtplib.SMTP("127.0.0.1", one.bridge.port, timeout=20) as client:
                    head = f"From: nagios@example.org\r\nMessage-ID: <{number}@example.org>\r\n\r\n"
                    client.sendmail("nagios@example.org", [f"{PHONE}@sms.local"], f"{head}alert {number}\r\n")
                done += 1
        except (smtplib.SMTPServerDisconnected, ConnectionError):
            pass
        return done

    return await asyncio.to_thread(hand_over)


def told(one: Case) -> dict[str, int]:
    """Return how many alerts each digest took, by the queue."""
    found: dict[str, int] = {}
    for (detail,) in one.rows("SELECT detail FROM history WHERE event = 'suppressed' AND state = 'suppressed'"):
        by = json.loads(detail)["digest"]
        found[by] = found.get(by, 0) + 1
    return found


async def check(one: Case) -> None:
    """Wait until nothing waits; then every alert was sent or counted, once, and every digest tells its number."""
    await until(
        lambda: one.rows("SELECT count(*) FROM messages WHERE state NOT IN ('delivered', 'suppressed')") == [(0,)]
        and one.rows("SELECT count(*) FROM messages WHERE text LIKE 'alert %'") == [(ALERTS,)],
        limit_s=60, saying=one.bridge.what_it_said,
    )  # fmt: skip
    digests = dict(one.rows("SELECT id, text FROM messages WHERE text LIKE '+%'"))
    counts = told(one)
    assert counts == {id_: int(re.match(r"\+(\d+) ", text)[1]) for id_, text in digests.items()}
    alone = one.rows("SELECT count(*) FROM messages WHERE text LIKE 'alert %' AND state = 'delivered'")[0][0]
    assert alone + sum(counts.values()) == ALERTS
    assert one.taken() == alone + len(digests)
    assert one.rows("SELECT count(*) FROM waits") == [(0,)]


@pytest.mark.parametrize(
    "point", ["before commit:5", "after commit:5", "before a gathering closes", "after a gathering closed"]
)
async def test_it_dies_at_a_point(tmp_path: Path, point: str) -> None:
    """While mails come in, or while a digest is made: before and after each commit."""
    async with case(tmp_path, STORM) as one:
        await one.die_at(point)
        done = await storm(one)
        await one.died()
        await one.bridge.start()
        # what was not acknowledged its client sends again
        assert done + await storm(one, done) == ALERTS
        await check(one)


async def test_it_dies_while_they_wait(tmp_path: Path) -> None:
    """What waits is on disk: after a restart it is told at its time."""
    async with case(tmp_path, STORM) as one:
        await one.bridge.start()
        assert await storm(one) == ALERTS
        await one.bridge.kill()
        assert one.rows("SELECT count(*) FROM messages WHERE next_attempt_at IS NULL AND state = 'queued'")[0][0] > 0
        await one.bridge.start()
        await check(one)
