"""In a rush the door goes first: when it begins, what it slows down, and that it ends."""

from __future__ import annotations

from mailbridge.delivery.rush import RUSH_MAILS, WINDOW_S, Rush
from tests.support.clock import FakeClock


def arrive(rush: Rush, mails: int) -> None:
    """Let so many mails come in at once."""
    for _ in range(mails):
        rush.arrived()


def test_a_whole_window_full_of_mails_is_a_rush():
    """It shows when the window is over, and not before."""
    clock = FakeClock()
    rush = Rush(clock)
    arrive(rush, RUSH_MAILS)
    during = rush.is_on
    clock.advance(WINDOW_S)

    assert (during, rush.is_on) == (False, True)


def test_one_mail_less_is_none():
    """A steady flow below the threshold notices nothing."""
    clock = FakeClock()
    rush = Rush(clock)
    arrive(rush, RUSH_MAILS - 1)
    clock.advance(WINDOW_S)

    assert not rush.is_on


def test_a_rush_ends_with_a_window_without_mails():
    """Two windows later, or an hour later, it is over."""
    for pause_s in (WINDOW_S, 3600.0):
        clock = FakeClock()
        rush = Rush(clock)
        arrive(rush, RUSH_MAILS)
        clock.advance(WINDOW_S)
        before = rush.is_on
        clock.advance(pause_s)

        assert (before, rush.is_on) == (True, False)
