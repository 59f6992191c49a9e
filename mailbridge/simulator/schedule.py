"""The gateway's ways to write a moment and a lifetime: ``time``, ``tz``, ``valid`` (smsc-api.md section 2.2). Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from mailbridge.errors import MailbridgeError
from mailbridge.simulator.params import BadParameters
from mailbridge.simulator.statuses import MOSCOW

_ABSOLUTE = re.compile(r"(\d\d)\.?(\d\d)\.?(\d\d) ?(\d\d):?(\d\d)", re.ASCII)
_WINDOW = re.compile(r"(\d{1,2})-(\d{1,2})", re.ASCII)
_STAMP = re.compile(r"0(\d{9,11})", re.ASCII)
_AFTER = re.compile(r"\+(\d{1,7})", re.ASCII)
_CLOCK = re.compile(r"(\d\d):(\d\d)", re.ASCII)
_ZONE = re.compile(r"[+-]?\d{1,2}(?:\.5)?", re.ASCII)
_DAY_S = 86_400.0


class BadDate(MailbridgeError):
    """The moment of sending cannot be read."""


def parse_zone(text: str, default_h: float) -> float:
    """Return ``tz`` in hours east of Moscow."""
    text = text.strip()
    if not text:
        return default_h
    if not _ZONE.fullmatch(text) or abs(float(text)) > 24:
        raise BadParameters
    return float(text)


def parse_time(text: str, *, now: float, zone_h: float) -> float:
    """Return when to send, Unix time, never before *now*.

    Raises: BadDate.
    """
    text = text.strip()
    if text in {"", "0"}:
        return now
    if match := _AFTER.fullmatch(text):
        return now + int(match[1]) * 60
    zone = timedelta(hours=zone_h)
    if match := _WINDOW.fullmatch(text):
        return _in_window(int(match[1]), int(match[2]), now=now, zone=zone)
    if match := _ABSOLUTE.fullmatch(text):
        day, month, year, hour, minute = map(int, match.groups())
        try:
            moment = datetime(2000 + year, month, day, hour, minute, tzinfo=MOSCOW) - zone
        except ValueError as problem:
            raise BadDate from problem
        return max(now, moment.timestamp())
    if match := _STAMP.fullmatch(text):
        return max(now, float(match[1]))
    raise BadDate


def _in_window(first_h: int, last_h: int, *, now: float, zone: timedelta) -> float:
    """Return *now* inside the hours, else the next time they begin."""
    if first_h > 23 or last_h > 24:
        raise BadDate
    local = datetime.fromtimestamp(now, UTC).astimezone(MOSCOW) + zone
    if first_h <= last_h and first_h <= local.hour < last_h:
        return now
    if first_h > last_h and (local.hour >= first_h or local.hour < last_h):
        return now
    start = local.replace(hour=first_h, minute=0, second=0, microsecond=0)
    if start <= local:
        start += timedelta(days=1)
    return (start - zone).timestamp()


def parse_valid(text: str) -> float:
    """Return ``valid`` in seconds: hours 1 to 24, or ``hh:mm``."""
    text = text.strip()
    if text in {"", "0"}:
        return _DAY_S
    if match := _CLOCK.fullmatch(text):
        seconds = int(match[1]) * 3600 + int(match[2]) * 60
        if int(match[2]) > 59 or not 60 <= seconds <= _DAY_S:
            raise BadParameters
        return float(seconds)
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and 1 <= int(text) <= 24):
        raise BadParameters
    return int(text) * 3600.0
