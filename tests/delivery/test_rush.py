"""In a rush the door goes first: when it begins, what it slows down, and that it ends."""

from __future__ import annotations

import pytest

from mailbridge.delivery.rush import BUSY_SHARE, RUSH_MAILS, WINDOW_S, Rush
from tests.support.clock import FakeClock


class Load:
    """A clock, and a processor that is told how busy it was."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.used_s = 0.0
        self.rush = Rush(self.clock, cpu_s=lambda: self.used_s)

    def passes(self, *, mails: int, busy: float, windows: float = 1) -> None:
        """Let so many mails come in at once, and time pass in which so much of the processor was used."""
        for _ in range(mails):
            self.rush.arrived()
        self.used_s += busy * windows * WINDOW_S
        self.clock.advance(windows * WINDOW_S)


def test_a_whole_window_full_of_mails_is_a_rush():
    """It shows when the window is over, and not before."""
    load = Load()
    for _ in range(RUSH_MAILS):
        load.rush.arrived()
    during = load.rush.is_on
    load.passes(mails=0, busy=1)

    assert (during, load.rush.is_on) == (False, True)


@pytest.mark.parametrize(
    ("mails", "busy"),
    [(RUSH_MAILS - 1, 1.0), (100 * RUSH_MAILS, BUSY_SHARE - 0.01)],
    ids=["few mails", "a processor with room"],
)
def test_what_leaves_room_for_sending_is_none(mails, busy):
    """However steady the flow, what can be taken and sent at the same time notices nothing."""
    load = Load()
    for _ in range(100):
        load.passes(mails=mails, busy=busy)

        assert not load.rush.is_on


@pytest.mark.parametrize(("processors", "is_on"), [(2, True), (4, False)])
def test_workers_that_keep_all_processors_busy_make_a_rush_too(processors, is_on):
    """This process has time left, but what it sent would take it from its workers; with more processors it would not."""
    clock, used_s = FakeClock(), 0.0
    rush = Rush(clock, cpu_s=lambda: used_s, processors=processors)
    for window in range(1, 4):
        for _ in range(RUSH_MAILS):
            rush.arrived()
        used_s += 0.6 * WINDOW_S
        rush.worked(0, 0.95 * WINDOW_S * window)
        clock.advance(WINDOW_S)

    assert rush.is_on is is_on


@pytest.mark.parametrize("windows", [1, 4 * 3600], ids=["a moment", "an hour"])
def test_a_rush_ends_with_a_window_without_mails(windows):
    """Also when what else is to be done keeps the processor busy."""
    load = Load()
    load.passes(mails=RUSH_MAILS, busy=1)
    before = load.rush.is_on
    load.passes(mails=0, busy=1, windows=windows)

    assert (before, load.rush.is_on) == (True, False)


def test_a_rush_ends_when_the_processor_has_room_again():
    """Mails may come in as before: sending joins in."""
    load = Load()
    load.passes(mails=RUSH_MAILS, busy=1)
    load.passes(mails=RUSH_MAILS, busy=0.5)

    assert not load.rush.is_on
