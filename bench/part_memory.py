"""Resident memory of ``mailbridge serve``: at rest, and while many messages are accepted, sent and delivered."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from bench import load, rig
from bench.turns import Say

_ROUNDS = 10
#: of each mail: so many messages with a client of our own, which is slow, take a minute
_RECIPIENTS = 20
_SETTLE_S = 3.0


def measure(options: argparse.Namespace, folder: Path, say: Say) -> dict[str, Any]:
    """Return megabytes at rest, after each tenth, and when all is delivered."""
    messages = round(60_000 * options.scale)
    with rig.gateway() as gateway, rig.bridge(folder / "bridge", gateway.port) as bridge:
        time.sleep(_SETTLE_S)
        at_rest_mb = bridge.rss_mb()
        taken, course = 0, []
        for _ in range(_ROUNDS):
            mails, _elapsed_s = load.run(
                bridge.port, mails=messages // _RECIPIENTS // _ROUNDS, sessions=16, keep=True, client="python",
                recipients=_RECIPIENTS,
            )  # fmt: skip
            taken += mails * _RECIPIENTS
            course.append([taken, bridge.rss_mb()])
        say(f"at rest {at_rest_mb:.0f} MB, {taken} messages accepted: {course[-1][1]:.0f} MB")
        gateway.wait_for(taken)
        peak_mb = max(mb for _, mb in course)
        give_up_at = time.monotonic() + 120
        while gateway.seen()["questions"] < taken and time.monotonic() < give_up_at:
            time.sleep(0.5)
            peak_mb = max(peak_mb, bridge.rss_mb())
        time.sleep(_SETTLE_S)
        after_mb = bridge.rss_mb()
        say(f"all delivered: {after_mb:.0f} MB, at most {peak_mb:.0f} MB")
    return {"at_rest_mb": at_rest_mb, "course": course, "peak_mb": max(peak_mb, after_mb), "after_mb": after_mb}
