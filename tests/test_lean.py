"""Memory is given back once after a burst, not during it and not again and again."""

from __future__ import annotations

import gc

import pytest

from mailbridge.lean import GiveBack


@pytest.fixture
def collections_s():
    """Count full collections while the test runs."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            seen.append(1)

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)


async def test_memory_is_given_back_once_when_a_burst_is_over(collections_s):
    """Two looks without a new mail after some mails: one collection; a quiet night: none."""
    mails = 0
    duty = GiveBack(lambda: mails)
    counts = []
    gc.disable()
    try:
        for now in (0, 10, 20, 20, 20, 20, 25, 25):
            mails = now
            collections_s.clear()
            await duty.step()
            counts.append(len(collections_s))
    finally:
        gc.enable()

    assert counts == [0, 0, 0, 1, 0, 0, 0, 1]
