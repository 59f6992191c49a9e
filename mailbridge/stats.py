"""Sums over time for plots and for ``/api/v1/stats``: messages, parts, money and latencies by the hour or the day.

The store counts by the hour; here hours become buckets, and classes of latency become percentiles. Days that are over
are counted anew only now and then, so that a month of a million messages is not read for each look.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Literal

from mailbridge.admin import money_json, time_json
from mailbridge.clock import Clock
from mailbridge.model.state import State
from mailbridge.queue.browsing import HOUR, LATENCIES_S, Tally
from mailbridge.queue.contract import Json, Store

By = Literal["hour", "day"]
#: further back nothing is summed up
LONGEST = timedelta(days=400)
PERCENTILES = (50, 95, 99)

_DAY = timedelta(days=1)
#: the last two days are counted anew when they are older than that, those before seldom change
_YOUNG_S, _OLD_S = 5.0, 600.0


# ------------------------------------------------------------------------------------------------ buckets
@dataclass(slots=True)
class Bucket:
    """What came in within one hour or day."""

    at: datetime
    messages: Counter[State] = field(default_factory=Counter)
    parts: Counter[State] = field(default_factory=Counter)
    #: by currency
    spend: dict[str, Decimal] = field(default_factory=dict)
    #: class of latency -> messages: to the gateway, and to the handset
    handed_over: Counter[int] = field(default_factory=Counter)
    arrived: Counter[int] = field(default_factory=Counter)

    def add(self, tally: Tally) -> None:
        """Count *tally* in."""
        self.messages[tally.state] += tally.messages
        self.parts[tally.state] += tally.parts
        if tally.price is not None:
            currency = tally.currency or ""
            self.spend[currency] = self.spend.get(currency, Decimal(0)) + tally.price * tally.messages
        if tally.handed_over is not None:
            self.handed_over[tally.handed_over] += tally.messages
        if tally.arrived is not None:
            self.arrived[tally.arrived] += tally.messages


def percentile_s(classes: Mapping[int, int], percent: float) -> float | None:
    """Return the latency that *percent* of the messages stayed within, in seconds; None where there are none. Pure.

    Within its class a latency is taken to lie evenly; what is beyond the last class counts as its edge.
    """
    total = sum(classes.values())
    if not total:
        return None
    wanted, below = total * percent / 100, 0
    for number in sorted(classes):
        count = classes[number]
        if below + count >= wanted:
            low = LATENCIES_S[number - 1] if number else 0.0
            high = LATENCIES_S[min(number, len(LATENCIES_S) - 1)]
            return round(low + (high - low) * (wanted - below) / count, 3)
        below += count
    return LATENCIES_S[-1]


def buckets(tallies: Iterable[Tally], *, by: By, since: datetime, until: datetime) -> list[Bucket]:
    """Return the buckets from *since* to *until*, oldest first, empty ones too. Pure but for the process's time zone.

    A day is one of the process's time zone.
    """
    found: dict[datetime, Bucket] = {}
    at = start_of(since, by)
    while at < until:
        found[at] = Bucket(at)
        at = start_of(at + (HOUR if by == "hour" else timedelta(hours=36)), by)
    for tally in tallies:
        if (bucket := found.get(start_of(tally.hour, by))) is not None:
            bucket.add(tally)
    return list(found.values())


def start_of(at: datetime, by: By) -> datetime:
    """Return the beginning of the hour or day of *at*, in UTC."""
    if by == "hour":
        return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    # a naive time is read in the process's zone, with the offset of that very day
    return datetime.combine(at.astimezone().date(), time()).astimezone(UTC)


# ------------------------------------------------------------------------------------------------- shapes
def bucket_json(bucket: Bucket) -> dict[str, Json]:
    """Return one bucket as docs/reference/json.md has it."""
    return {
        "at": time_json(bucket.at),
        "messages": {state.value: count for state, count in sorted(bucket.messages.items())},
        "parts": {state.value: count for state, count in sorted(bucket.parts.items())},
        "spend": [
            {"amount": money_json(amount), "currency": currency or None}
            for currency, amount in sorted(bucket.spend.items())
        ],
        "handed_over_s": _percentiles(bucket.handed_over),
        "arrived_s": _percentiles(bucket.arrived),
    }


def _percentiles(classes: Mapping[int, int]) -> dict[str, Json]:
    return {f"p{percent}": percentile_s(classes, percent) for percent in PERCENTILES}


# -------------------------------------------------------------------------------------------------- asking
@dataclass(slots=True)
class _Day:
    tallies: Sequence[Tally]
    counted_s: float


class Sums:
    """Asks the store day by day (UTC) and remembers what it said of each."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._days: dict[date, _Day] = {}
        self._asking = asyncio.Lock()

    async def buckets(self, *, by: By, since: datetime) -> list[Bucket]:
        """Return the buckets from *since* to now. Raises StoreError."""
        now = self._clock.now()
        since = max(start_of(since, by), now - LONGEST)
        tallies = await self._tallies(since.astimezone(UTC).date(), now.astimezone(UTC).date())
        return buckets((one for one in tallies if one.hour >= since), by=by, since=since, until=now)

    async def _tallies(self, first: date, last: date) -> list[Tally]:
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        # who comes meanwhile finds the answer there
        async with self._asking:
            for day in self._due(days, last):
                begins_at = datetime.combine(day, time(), UTC)
                tallies = await self._store.tally(since=begins_at, until=begins_at + _DAY)
                self._days[day] = _Day(tallies, self._clock.monotonic())
        for day in [day for day in self._days if last - day > LONGEST]:
            del self._days[day]
        return [tally for day in days if day in self._days for tally in self._days[day].tallies]

    def _due(self, days: Sequence[date], last: date) -> list[date]:
        """Return the days to count now: what is not known, the last two, and one of the others that is stale."""
        now_s = self._clock.monotonic()
        unknown = [day for day in days if day not in self._days]
        known = [day for day in days if day in self._days]
        young = [day for day in known if last - day <= _DAY and now_s - self._days[day].counted_s >= _YOUNG_S]
        stale = [day for day in known if last - day > _DAY and now_s - self._days[day].counted_s >= _OLD_S]
        return [*unknown, *young, *sorted(stale, key=lambda day: self._days[day].counted_s)[:1]]
