"""The promise as a whole: nothing acknowledged is lost and nothing is sent twice, whenever the bridge dies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.crash import CrashTest


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_nothing_is_lost_or_doubled_by_kill_9_under_load(tmp_path: Path) -> None:
    """Ten cycles of load, kill -9 and restart, with a gateway that hangs, cuts, lies and is late."""
    figures = await CrashTest(tmp_path, seed=11).run(10)
    assert figures.is_good, f"{figures.table()}\n{figures.lost[:5]}\n{figures.doubled[:5]}"
    assert figures.acknowledged > 100
    assert figures.unknown > 0
