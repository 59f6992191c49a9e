"""Mails taken a second while a crowd holds connections and sends next to nothing, against a bridge that has none.

Two bridges take their turns in each round; the crowd stays within one of them all the time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import rig
from bench.page import ALONE, CROWDED
from bench.turns import MODES, Contestant, Pressure, Say, take_rounds

IDLE, SLOW, CLIENTS = 1000, 200, 50
_ROOM = IDLE + SLOW + 10 * CLIENTS


@contextmanager
def crowd(port: int, idle: int, slow: int) -> Iterator[subprocess.Popen[str]]:
    """Hold so many connections to *port* until the block ends."""
    words = [sys.executable, "-m", "bench.crowd", str(port), str(idle), str(slow)]
    with rig.child(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=rig.ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin:
            if process.stdout.readline() != "in\n":
                raise RuntimeError("the crowd did not get in")
            yield process


def count_held(process: subprocess.Popen[str]) -> int:
    """Return how many connections of the crowd are open now."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def measure(options: argparse.Namespace, folder: Path, say: Say) -> dict[str, Any]:
    """Return the turns of both bridges by mode, how many of the crowd were held throughout, and the memory."""
    pressure = Pressure(options.seconds, options.rounds, CLIENTS, options.client)
    # a longer run has no larger crowd
    share = min(1.0, options.scale)
    idle, slow = round(IDLE * share), round(SLOW * share)
    with (
        rig.gateway() as one, rig.gateway() as other,
        rig.bridge(folder / "alone", one.port, max_connections=_ROOM) as alone,
        rig.bridge(folder / "crowded", other.port, max_connections=_ROOM) as crowded,
    ):  # fmt: skip
        rest_mb = crowded.rss_mb()
        with crowd(crowded.port, idle, slow) as process:
            held_mb = crowded.rss_mb()
            field = {ALONE: Contestant([alone], one), CROWDED: Contestant([crowded], other)}
            turns = {MODES[keep]: take_rounds(field, pressure, keep=keep, say=say) for keep in (False, True)}
            held = count_held(process)
    say(f"{held} of {idle + slow} held to the end; {rest_mb:.0f} MB without them, {held_mb:.0f} MB with them")
    return {
        "idle": idle, "slow": slow, "sessions": CLIENTS, "held": held, "rest_mb": rest_mb, "held_mb": held_mb,
        "turns": turns,
    }  # fmt: skip
