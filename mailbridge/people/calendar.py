"""An iCalendar file to shifts (RFC 5545), recurring events included.

Run as ``python -m mailbridge.people.calendar`` by ``calendars.py``: a strange calendar can keep the libraries busy for
hours, and a process of its own can be ended. It also keeps what they take of memory out of the bridge.
Must not look anything up: bytes in, shifts out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, time

from mailbridge.people.rota import Shift, sorted_shifts
from mailbridge.people.zones import Zone

#: a rota of a year has a few hundred
MAX_SHIFTS = 10_000
MAX_NAME_CHARS = 64
#: what a calendar says of an event that does not take place
_CANCELLED = "CANCELLED"


def read_shifts(ics: bytes, *, since: datetime, until: datetime, timezone: str = "") -> tuple[Shift, ...]:
    """Read the shifts of a calendar that touch that time, oldest first.

    Events of whole days, and times without a zone, are in *timezone*.
    Raises: ValueError for what is no calendar.
    """
    import icalendar  # noqa: PLC0415 - the bridge itself never loads them
    import recurring_ical_events  # noqa: PLC0415 - as above

    calendar = icalendar.Calendar.from_ical(ics)
    if calendar.name != "VCALENDAR":
        raise ValueError("not a calendar")
    zone = Zone(timezone)
    shifts = []
    for event in recurring_ical_events.of(calendar, skip_bad_series=True).between(since, until):
        name = " ".join(str(event.get("SUMMARY", "")).split())[:MAX_NAME_CHARS]
        if not name or str(event.get("STATUS", "")).upper() == _CANCELLED:
            continue
        begins_at, ends_at = _instant(event.start, zone), _instant(event.end, zone)
        if begins_at < ends_at:
            shifts.append(Shift(begins_at=begins_at, ends_at=ends_at, who=(name,)))
        if len(shifts) > MAX_SHIFTS:
            raise ValueError(f"more than {MAX_SHIFTS} shifts")
    return sorted_shifts(shifts)


def _instant(value: date, zone: Zone) -> datetime:
    if not isinstance(value, datetime):
        return zone.instant(datetime.combine(value, time()))
    return zone.instant(value) if value.tzinfo is None else value.astimezone(UTC)


def dump_shifts(shifts: Sequence[Shift]) -> str:
    """Write *shifts* as JSON."""
    return json.dumps([[s.begins_at.isoformat(), s.ends_at.isoformat(), list(s.who)] for s in shifts])


def load_shifts(text: str) -> tuple[Shift, ...]:
    """Read what ``dump_shifts`` wrote. Raises: ValueError."""
    try:
        return tuple(
            Shift(begins_at=datetime.fromisoformat(begins), ends_at=datetime.fromisoformat(ends), who=tuple(who))
            for begins, ends, who in json.loads(text)
        )
    except (TypeError, KeyError) as error:
        raise ValueError("not shifts") from error


def main() -> None:
    """Read a calendar on stdin and write its shifts: ``calendar SINCE UNTIL ZONE``; exit 1 for what is none."""
    since, until, timezone = sys.argv[1:4]
    try:
        shifts = read_shifts(
            sys.stdin.buffer.read(),
            since=datetime.fromisoformat(since),
            until=datetime.fromisoformat(until),
            timezone=timezone,
        )
    except Exception as error:  # noqa: BLE001 - two libraries and a stranger's file: whatever it is, it is no calendar
        sys.stderr.write(f"{type(error).__name__}\n")
        sys.exit(1)
    sys.stdout.write(dump_shifts(shifts))


if __name__ == "__main__":
    main()
