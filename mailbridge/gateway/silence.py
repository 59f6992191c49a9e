"""What transports and servers say about time, for every carrier: Retry-After, and the word for a lost answer. Pure."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

from mailbridge.clock import Clock
from mailbridge.errors import OutcomeUnknown

#: nobody is asked to be silent for longer by a Retry-After
_MAX_RETRY_AFTER_S = 3600.0


def retry_after_s(text: str, clock: Clock) -> float | None:
    """Read a Retry-After header: seconds or a date (RFC 9110 section 10.2.3); at most an hour."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _MAX_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max((aware - clock.now()).total_seconds(), 0.0), _MAX_RETRY_AFTER_S)


def code_of(error: OutcomeUnknown) -> str:
    """Return the word for an answer that did not come: ``timeout``, ``answer`` or ``cut``."""
    words = str(error)
    if "timed out" in words:
        return "timeout"
    return "answer" if "too long" in words else "cut"
