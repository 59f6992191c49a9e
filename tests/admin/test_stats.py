"""Sums over time: buckets, percentiles, and days that are not counted for each look."""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from mailbridge.model.state import State
from mailbridge.queue.browsing import LATENCIES_S, Tally
from mailbridge.stats import Sums, buckets, percentile_s, start_of
from tests.support.clock import START, FakeClock

HOUR = timedelta(hours=1)


def tally(hour, **fields):
    """Build the tally of delivered messages, alike but for *fields*."""
    defaults = {
        "hour": hour, "state": State.DELIVERED, "gateway": "main", "currency": "RUR", "price": Decimal("1.40"),
        "handed_over": 0, "arrived": 5, "messages": 1, "parts": 1,
    }  # fmt: skip
    return Tally(**(defaults | fields))


@pytest.fixture
def berlin(monkeypatch):
    """Let the process's time zone have a summer time."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class TestPercentiles:
    def test_none_where_there_are_none(self):
        assert percentile_s({}, 95) is None

    def test_within_its_class_a_latency_lies_evenly(self):
        """All between 2 and 5 s: half of them within 3.5 s."""
        assert percentile_s({LATENCIES_S.index(5.0): 100}, 50) == 3.5

    def test_what_is_beyond_the_last_class_counts_as_its_edge(self):
        assert percentile_s({len(LATENCIES_S): 3}, 50) == LATENCIES_S[-1]

    def test_more_percent_never_take_less(self):
        classes = Counter({0: 5, 3: 90, 9: 4, len(LATENCIES_S): 1})
        found = [percentile_s(classes, percent) for percent in range(1, 101)]
        assert found == sorted(found)


class TestBuckets:
    def test_empty_hours_are_there_too(self):
        found = buckets([tally(START)], by="hour", since=START - 2 * HOUR, until=START + HOUR)
        assert [sum(bucket.messages.values()) for bucket in found] == [0, 0, 1]

    def test_money_is_exact_and_by_currency(self):
        some = [
            tally(START, messages=3),
            tally(START, currency="KZT", price=Decimal("12.345")),
            tally(START, price=None),
        ]
        (bucket,) = buckets(some, by="hour", since=START, until=START + HOUR)
        assert bucket.spend == {"RUR": Decimal("4.20"), "KZT": Decimal("12.345")}

    def test_a_day_is_a_local_one_also_where_the_clock_changes(self, berlin):
        """The 29th of March 2026 has 23 hours there; no day is missed and none comes twice."""
        since = datetime(2026, 3, 28, tzinfo=UTC)
        found = buckets([], by="day", since=since, until=since + timedelta(days=4))
        begins = [bucket.at for bucket in found]
        assert [at.astimezone().date().day for at in begins] == [28, 29, 30, 31, 1]
        assert begins[2] - begins[1] == timedelta(hours=23)
        assert start_of(datetime(2026, 3, 29, 21, 59, tzinfo=UTC), "day") == begins[1]


class Counting:
    """A store that counts what it is asked."""

    def __init__(self):
        self.asked = []

    async def tally(self, *, since, until):
        self.asked.append(since.date())
        return [tally(since)] if until > since else []


async def test_days_that_are_over_are_counted_anew_one_at_a_time():
    """All days at the first look, none right after, the last two a little later, and one more when it is stale."""
    store, clock = Counting(), FakeClock()
    sums = Sums(store, clock)
    since = clock.now() - timedelta(days=10)

    async def look():
        store.asked.clear()
        found = await sums.buckets(by="day", since=since)
        return len(store.asked), sum(sum(bucket.messages.values()) for bucket in found)

    assert await look() == (11, 11)
    assert await look() == (0, 11)
    clock.advance(10)
    assert await look() == (2, 11)
    clock.advance(600)
    assert await look() == (3, 11)
