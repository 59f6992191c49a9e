"""Quiet hours, told the time: nights, weekdays, holidays, changes of the clocks."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.config.check_people import parse_days, parse_time_of_day
from mailbridge.config.model_people import QuietHours
from mailbridge.people.quiet import LONGEST, build_quiet, quiet_until


def hours(begin="23:00", end="07:00", **fields):
    """Return quiet hours in Berlin unless *fields* say otherwise."""
    return build_quiet("night", QuietHours(**{"from": begin, "to": end, "timezone": "Europe/Berlin"} | fields))


def until(at, *quiet):
    """Return when *quiet* ends at *at*, as local time in Berlin, or None."""
    end = quiet_until(quiet, datetime.fromisoformat(at))
    return None if end is None else end.astimezone(hours().zone._zone).strftime("%a %m-%d %H:%M")


@pytest.mark.parametrize(
    ("at", "end"),
    [
        ("2026-01-14T21:59:59Z", None),
        ("2026-01-14T22:00:00Z", "Thu 01-15 07:00"),
        ("2026-01-15T05:59:59Z", "Thu 01-15 07:00"),
        ("2026-01-15T06:00:00Z", None),
        # the night of the change: 23:00 to 7:00 for people, an hour less for the clock
        ("2026-03-28T22:30:00Z", "Sun 03-29 07:00"),
        ("2026-03-29T05:00:00Z", None),
        ("2026-10-24T21:30:00Z", "Sun 10-25 07:00"),
        ("2026-10-25T05:59:00Z", "Sun 10-25 07:00"),
    ],
)
def test_a_night(at, end):
    """From 23:00 to 7:00 by the clock on the wall, up to its end and no longer."""
    assert until(at, hours()) == end


def test_a_weekend_joins_its_nights():
    """Friday's night, Saturday, Sunday and Sunday's night are one quiet time."""
    weekend = hours("00:00", "24:00", days="sat, sun")
    assert until("2026-01-16T23:30:00+01:00", hours(), weekend) == "Mon 01-19 07:00"
    assert until("2026-01-16T12:00:00+01:00", hours(), weekend) is None


def test_nights_of_working_days():
    """With ``sun-thu`` the night that begins on a Friday is not quiet."""
    night = hours(days="sun-thu")
    assert until("2026-01-15T23:30:00+01:00", night) == "Fri 01-16 07:00"
    assert until("2026-01-16T23:30:00+01:00", night) is None
    assert until("2026-01-18T23:30:00+01:00", night) == "Mon 01-19 07:00"


def test_holidays_are_quiet_all_day():
    """New Year in Germany; in Russia it goes on for a week; in Bavaria there are more."""
    assert until("2026-01-01T12:00:00+01:00", hours(holidays="DE")) == "Fri 01-02 07:00"
    assert until("2026-01-05T12:00:00+01:00", hours(holidays="RU")) not in (None, "Tue 01-06 07:00")
    assert until("2026-01-06T12:00:00+01:00", hours(holidays="DE")) is None
    assert until("2026-01-06T12:00:00+01:00", hours(holidays="DE-BY")) == "Wed 01-07 07:00"


@given(
    at=st.floats(0, 500).map(lambda days: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days)),
    begin=st.integers(0, 23),
    length=st.integers(1, 23),
    days=st.sampled_from(["", "mon-fri", "sat, sun", "fri-mon"]),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
)
def test_when_it_ends_it_is_over(at, begin, length, days, zone):
    """The end lies ahead, not too far, nothing is quiet at it, and everything just before it is."""
    quiet = hours(f"{begin:02}:00", f"{(begin + length) % 24:02}:00", days=days, timezone=zone)
    end = quiet_until([quiet], at)
    if end is None:
        assert quiet.until(at) is None
        return
    assert at < end <= at + LONGEST
    assert quiet_until([quiet], end) is None or end == at + LONGEST
    assert quiet_until([quiet], end - timedelta(seconds=1)) is not None


@pytest.mark.parametrize(
    ("text", "days"), [("mon-fri", {0, 1, 2, 3, 4}), ("sat, SUN", {5, 6}), ("fri-mon", {4, 5, 6, 0}), ("wed", {2})]
)
def test_days_are_read(text, days):
    """Ranges, also over the weekend, and lists."""
    assert parse_days(text) == days


@given(st.text(max_size=12))
def test_strangers_words_are_refused_as_such(text):
    """Whatever is written: days, a time of day, or a ValueError."""
    for parse in (parse_days, parse_time_of_day):
        with suppress(ValueError):
            assert parse(text) is not None
