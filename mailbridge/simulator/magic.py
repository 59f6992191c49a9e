"""Magic numbers, as payment providers have test cards: what happens to a message is written in its phone number.

``+7 999 000 SS NN``: SS is the series, NN its argument. ``+7 999 001 0 EEE`` ends with error EEE.
All are possible Russian numbers. The tables here are the only place where they stand;
docs/reference/simulator.md repeats them and a test compares. This module decides nothing but what a number means.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

_PREFIX = "7999000"
_ERR_PREFIX = "79990010"
_LENGTH = 11


class Series(IntEnum):
    """The two digits after ``+7 999 000``."""

    NORMAL = 0
    ERROR = 1
    STATUS = 2
    REFUSED = 3
    ONCE = 4
    SLOW = 5
    LATE = 6
    UNSEEN = 7
    WIRE_BEFORE = 8
    WIRE_AFTER = 9
    ODD = 10
    PLAIN_ERROR = 11
    LINGERING = 12


#: series -> what its argument NN does
SERIES: dict[Series, str] = {
    Series.NORMAL: "accepted and delivered",
    Series.ERROR: "the whole request is answered with error NN (19: error 9 for concurrency; above 09: unknown codes)",
    Series.STATUS: "accepted, ends with status NN and its usual err; 00 stays with the operator, 99 stays queued",
    Series.REFUSED: "refused in phones[] with status NN (22 to 25); alone in its request, with the error that fits",
    Series.ONCE: "the first request is answered with error NN, the next one is accepted, and so on in turn",
    Series.SLOW: "accepted at once, answered after NN seconds",
    Series.LATE: "the connection is cut at once, the message is accepted NN seconds later",
    Series.UNSEEN: "accepted, but status.php says -3 for NN seconds",
    Series.WIRE_BEFORE: "fault NN of the wire table; the message is NOT accepted",
    Series.WIRE_AFTER: "fault NN of the wire table; the message IS accepted",
    Series.ODD: "accepted, answered in an odd way: NN of the odd table",
    Series.PLAIN_ERROR: "error NN as plain text, whatever fmt was asked",
    Series.LINGERING: "accepted, its final status comes after NN seconds",
}

#: NN of the series WIRE_BEFORE and WIRE_AFTER -> name of the fault, as ``POST /control/faults`` takes it
WIRE: dict[int, tuple[str, str]] = {
    1: ("hang", "no answer, ever"),
    2: ("close", "the connection is closed without an answer"),
    3: ("reset", "the connection is reset (RST)"),
    4: ("cut", "the answer stops half-way"),
    5: ("empty", "HTTP 200 with an empty body"),
    6: ("html", "HTTP 200 with an HTML page"),
    7: ("garbage", "HTTP 200 with random-looking bytes"),
    8: ("broken-json", "HTTP 200 with half a JSON object"),
    9: ("endless", "a body without end"),
    10: ("gzip-bomb", "64 KB of gzip that become 64 MB"),
    11: ("trickle", "the answer, one byte a second"),
    29: ("http-429", "HTTP 429 with Retry-After"),
    32: ("http-302", "a redirect to /elsewhere/"),
    37: ("http-307", "a redirect to /elsewhere/ that would repeat the body"),
    40: ("http-404", "HTTP 404"),
    50: ("http-500", "HTTP 500"),
    52: ("http-502", "HTTP 502 with a proxy's HTML"),
    53: ("http-503", "HTTP 503"),
}

#: NN of the series ODD -> name, meaning
ODD: dict[int, tuple[str, str]] = {
    1: ("strings", "every number of the answer is a string"),
    2: ("numbers", "money as JSON numbers"),
    3: ("wrong-id", "the answer carries another id"),
    4: ("no-parts", "cnt is 0"),
    5: ("no-id", "the answer carries no id"),
    6: ("plain", "the plain text of fmt=0, whatever fmt was asked"),
    7: ("no-phones", "phones[] is missing although op=1 asked for it"),
    8: ("extra", "unknown fields, a byte order mark and blank lines around the answer"),
    9: ("bare-ok", "the whole answer is OK"),
}

#: final status -> err that usually comes with it, smsc-api.md section 4.6
USUAL_ERR: dict[int, int] = {1: 0, 2: 0, 3: 6, 4: 0, 20: 1, 22: 249, 23: 254, 24: 0, 25: 248}

#: err -> status it comes with
ERR_STATUS: dict[int, int] = {
    **dict.fromkeys((1, 2, 3, 4, 6, 11, 12, 13, 21, 99, 200, 219, 220, 237, 240, 241, 242, 245, 255), 20),
    **dict.fromkeys((238, 239, 243, 244, 246, 247, 250, 251, 252, 253, 254), 23),
    248: 25,
    249: 22,
}

#: status of a refused number -> error of a request in which no number was acceptable
REFUSAL_CODE: dict[int, int] = {22: 7, 23: 6, 24: 3, 25: 8}

CONCURRENCY = 19
STAYS_HANDED = 0
STAYS_QUEUED = 99


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What a number asks for; the defaults are those of an ordinary number."""

    series: Series = Series.NORMAL
    argument: int = 0
    #: None: the message never becomes final
    final_status: int | None = 1
    err: int = 0


ORDINARY = Fate()


@lru_cache(maxsize=4096)
def fate_of(digits: str) -> Fate:
    """Return what *digits* ask for."""
    if len(digits) != _LENGTH:
        return ORDINARY
    if digits.startswith(_ERR_PREFIX):
        err = int(digits[len(_ERR_PREFIX) :])
        return Fate(final_status=ERR_STATUS.get(err, 20), err=err) if err else ORDINARY
    if not digits.startswith(_PREFIX):
        return ORDINARY
    number, argument = int(digits[7:9]), int(digits[9:11])
    if number not in Series._value2member_map_:
        return ORDINARY
    series = Series(number)
    if series is Series.STATUS:
        if argument in {STAYS_HANDED, STAYS_QUEUED}:
            return Fate(series=series, argument=argument, final_status=None)
        return Fate(series=series, argument=argument, final_status=argument, err=USUAL_ERR.get(argument, 0))
    if series is Series.REFUSED:
        status = argument if argument in REFUSAL_CODE else 22
        return Fate(series=series, argument=status, final_status=status, err=USUAL_ERR[status])
    return Fate(series=series, argument=argument)
