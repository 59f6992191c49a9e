"""Texts that are neither plain nor HTML: a calendar invitation as two lines.

Used by ``parse``; pure. It must not read more of a calendar than its first event says about itself.
"""

from __future__ import annotations

import re

_FOLD = re.compile(r"\r?\n[ \t]")
_STAMP = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})\d{2}(Z?))?")


def calendar_text(calendar: str) -> str:
    """Return summary, time and place of the first event of an iCalendar text (RFC 5545 section 3.6.1)."""
    found: dict[str, str] = {}
    inside = False
    for line in _FOLD.sub("", calendar).splitlines()[:2000]:
        name, _, value = line.partition(":")
        key = name.partition(";")[0].upper()
        if key == "BEGIN" and value.upper() == "VEVENT":
            inside = True
        elif key == "END" and value.upper() == "VEVENT":
            break
        elif inside:
            found.setdefault(key, _unescape(value))
    parts = [found.get("SUMMARY", ""), _when(found.get("DTSTART", "")), found.get("LOCATION", "")]
    return "\n".join(part for part in parts if part)


def _unescape(value: str) -> str:
    return re.sub(r"\\([nN,;\\])", lambda m: "\n" if m[1] in "nN" else m[1], value)


def _when(stamp: str) -> str:
    match = _STAMP.match(stamp)
    if match is None:
        return ""
    year, month, day, hour, minute, utc = match.groups()
    date = f"{day}.{month}.{year}"
    return f"{date} {hour}:{minute}{' UTC' if utc else ''}" if hour else date
