"""Rotations and calendars, told the time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.people.calendar import dump_shifts, load_shifts, read_shifts
from mailbridge.people.rota import Calendar, Rotation, Shift
from mailbridge.people.zones import Zone

WEEK = timedelta(weeks=1)
MOSCOW = Zone("Europe/Moscow")
BERLIN = Zone("Europe/Berlin")
START = datetime.fromisoformat("2026-01-05 09:00")
SINCE, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)


def rotation(*members: str, zone: Zone = MOSCOW, every: timedelta = WEEK, start: datetime = START) -> Rotation:
    """Return a rotation of *members*."""
    return Rotation(start=start, every=every, members=members or ("anna", "boris"), zone=zone)


def calendar(*events: str) -> bytes:
    """Write a calendar with *events*, each the lines of one with blanks between them."""
    body = "\r\n".join(
        "\r\n".join(["BEGIN:VEVENT", f"UID:{number}", *event.split("|"), "END:VEVENT"])
        for number, event in enumerate(events)
    )
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{body}\r\nEND:VCALENDAR\r\n".encode()


def read(*events: str, timezone: str = "Europe/Moscow") -> tuple[Shift, ...]:
    """Read a calendar of *events* over two months."""
    return read_shifts(calendar(*events), since=SINCE, until=UNTIL, timezone=timezone)


@pytest.mark.parametrize(
    ("at", "who"),
    [
        ("2026-01-05T06:00:00Z", "anna"),
        ("2026-01-12T05:59:59Z", "anna"),
        ("2026-01-12T06:00:00Z", "boris"),
        ("2026-01-19T06:00:00Z", "anna"),
        # before the first turn an alert must reach somebody, too
        ("2020-01-01T00:00:00Z", "anna"),
    ],
)
def test_a_rotation_turns_at_its_hour(at, who):
    """Each member has a week from Monday 9:00 in Moscow, which is 6:00 UTC."""
    assert rotation().on_duty(datetime.fromisoformat(at)) == (who,)


def test_turns_begin_at_the_same_hour_in_summer():
    """In Berlin a turn begins at 8:00 UTC in winter and at 7:00 UTC in summer: at 9:00 for people."""
    begins = [
        shift.begins_at.hour
        for shift in rotation(zone=BERLIN).shifts(datetime(2026, 3, 16, tzinfo=UTC), datetime(2026, 4, 14, tzinfo=UTC))
    ]
    assert begins == [8, 8, 8, 7, 7, 7]


@given(
    days=st.floats(1, 1000),
    hours=st.integers(1, 400),
    start_minute=st.integers(0, 24 * 60 - 1),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
)
def test_exactly_one_turn_is_on_at_any_time(days, hours, start_minute, zone):
    """No moment is without a turn or in two, and what is on duty is that turn's member, changes of clocks included."""
    at = SINCE + timedelta(days=5 + days)
    turns = rotation(
        "a", "b", "c", zone=Zone(zone), every=timedelta(hours=hours), start=START + timedelta(minutes=start_minute)
    )
    around = turns.shifts(at - timedelta(hours=hours), at + timedelta(hours=hours))
    now = [shift for shift in around if shift.begins_at <= at < shift.ends_at]
    assert [shift.who for shift in now] == [turns.on_duty(at)]
    assert all(one.ends_at == other.begins_at for one, other in pairwise(around))


def test_a_calendar_is_read_with_its_repetitions():
    """Weekly events in a zone of their own, and whole days in the rota's zone."""
    shifts = read(
        "DTSTART;TZID=Europe/Moscow:20260105T090000|DTEND;TZID=Europe/Moscow:20260112T090000|RRULE:FREQ=WEEKLY;INTERVAL=2|SUMMARY:anna",
        "DTSTART;VALUE=DATE:20260112|DTEND;VALUE=DATE:20260113|SUMMARY: Boris  Petrov ",
    )
    assert [shift.who[0] for shift in shifts] == ["anna", "Boris Petrov", "anna", "anna", "anna"]
    assert shifts[0].begins_at == datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
    assert shifts[1].begins_at == datetime(2026, 1, 11, 21, 0, tzinfo=UTC)
    assert load_shifts(dump_shifts(shifts)) == shifts


def test_a_moved_and_a_cancelled_event_count_as_such():
    """One of the weekly turns is given to another, one is taken out, one is cancelled."""
    weekly = (
        "DTSTART:20260105T060000Z|DTEND:20260112T060000Z|RRULE:FREQ=WEEKLY;COUNT=3|EXDATE:20260119T060000Z|SUMMARY:anna"
    )
    shifts = read(weekly, "DTSTART:20260119T060000Z|DTEND:20260126T060000Z|STATUS:CANCELLED|SUMMARY:boris")
    assert [(shift.begins_at.day, shift.who) for shift in shifts] == [(5, ("anna",)), (12, ("anna",))]


@pytest.mark.parametrize(
    "junk", [b"", b"hello", b"<html><body>Sign in</body></html>", b"\xff\xfe\x00", b"BEGIN:VCARD\r\nEND:VCARD\r\n"]
)
def test_what_is_no_calendar_is_refused(junk):
    """A login page in place of a calendar does not empty the rota."""
    with pytest.raises(ValueError):
        read_shifts(junk, since=SINCE, until=UNTIL)


def test_who_is_on_duty_in_a_gap():
    """In a gap of the calendar: who is named for it, else whoever was on duty last, else nobody is known."""
    shift = Shift(begins_at=SINCE, ends_at=SINCE + WEEK, who=("anna",))
    later = SINCE + 2 * WEEK
    kept, named = Calendar(), Calendar(otherwise=["boss"])
    assert kept.on_duty(later) == ()
    kept.known = named.known = (shift,)
    assert kept.on_duty(later) == ("anna",)
    assert named.on_duty(later) == ("boss",)
    assert named.on_duty(SINCE) == ("anna",)
    assert kept.on_duty(SINCE - WEEK) == ()


def test_overlapping_shifts_reach_both():
    """Two who are on duty at a time are both meant, each once."""
    both = Calendar()
    both.known = tuple(Shift(begins_at=SINCE, ends_at=UNTIL, who=(who,)) for who in ("anna", "boris", "anna"))
    assert both.on_duty(SINCE) == ("anna", "boris")
