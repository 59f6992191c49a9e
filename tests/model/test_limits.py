"""Rates and budgets: never more than allowed, always again in time, whatever the clock says."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.model.limits import (
    Allowance,
    Budget,
    Settlement,
    Spent,
    Throttle,
    Wanted,
    dump_spent,
    load_spent,
    parse_rate,
)
from mailbridge.model.phone import Phone

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
PHONE = Phone("+79990000001")
GOALERT = tuple(map(parse_rate, ("1/1m", "5/15m", "12/1h", "20/3h")))


def wanted(id_="1", phone=PHONE, user=None, parts=1):
    """Build a message that is due."""
    return Wanted(id=id_, phone=phone, user=user, parts=parts)


class TestRate:
    @pytest.mark.parametrize("text", ["", "5", "0/1m", "5/0m", "-1/1m", "5/1w", "5/15", "5/32d", "x/1m", "1/1m "[:2]])
    def test_what_is_no_rate_is_refused(self, text):
        with pytest.raises(ValueError, match="not a limit"):
            parse_rate(text)

    @given(
        rates=st.lists(st.tuples(st.integers(1, 70), st.integers(1, 120)), min_size=1, max_size=3),
        asked=st.lists(st.tuples(st.floats(0, 60), st.integers(1, 9)), max_size=120),
    )
    def test_no_window_ever_holds_more_than_its_number(self, rates, asked):
        """Whatever is asked when: what was let through keeps every rate in every window of its length."""
        allowance = Allowance("client", "c", tuple(parse_rate(f"{n}/{s}s") for n, s in rates))
        counter, now, taken = "", NOW, []
        for wait_s, count in asked:
            now += timedelta(seconds=wait_s)
            if allowance.ask(counter, now, count) is None:
                counter = allowance.count(counter, now, count)
                taken.append((now, count))
        for number, seconds in rates:
            for begin, _ in taken:
                end = begin + timedelta(seconds=seconds)
                assert sum(count for at, count in taken if begin <= at < end) <= number

    @given(
        number=st.integers(1, 70), seconds=st.integers(1, 120),
        asked=st.lists(st.tuples(st.floats(0, 60), st.integers(1, 9)), max_size=120),
    )  # fmt: skip
    def test_what_is_told_as_free_is_free_then_and_a_window_later_all_of_it(self, number, seconds, asked):
        allowance = Allowance("client", "c", (parse_rate(f"{number}/{seconds}s"),))
        counter, now = "", NOW
        for wait_s, most in asked:
            now += timedelta(seconds=wait_s)
            count = min(most, number)
            over = allowance.ask(counter, now, count)
            if over is not None:
                assert now < over.until <= now + timedelta(seconds=seconds)
                assert allowance.ask(counter, over.until, count) is None
            else:
                counter = allowance.count(counter, now, count)
        assert allowance.ask(counter, now + timedelta(seconds=seconds), number) is None

    @given(
        seconds=st.integers(1, 3600),
        jumps=st.lists(st.integers(-(10**8), 10**8), min_size=1, max_size=20),
    )
    def test_a_clock_that_jumps_locks_nobody_out_for_longer_than_a_window(self, seconds, jumps):
        """However far ahead the clock was: a window after it was set right, one may be sent again."""
        allowance = Allowance("phone", PHONE, (parse_rate(f"1/{seconds}s"),))
        counter, now = "", NOW
        for jump in jumps:
            now = max(now + timedelta(seconds=jump), datetime(2000, 1, 1, tzinfo=UTC))
            over = allowance.ask(counter, now, 1)
            counter = allowance.count(counter, now, 0 if over else 1)
            # set back, it is full at once and not open
            assert allowance.ask(counter, now, 1) is not None
            assert allowance.ask(counter, now - timedelta(days=900), 1) is not None
        assert allowance.ask(counter, now + timedelta(seconds=seconds), 1) is None

    @given(st.lists(st.floats(0, 5), max_size=400))
    def test_a_counter_stays_small_whatever_its_rate(self, waits):
        """A row is read and written with each mail: its size must not grow with the number allowed."""
        allowance = Allowance("client", "c", (parse_rate("100000/1h"),))
        counter, now = "", NOW
        for wait_s in waits:
            now += timedelta(seconds=wait_s)
            counter = allowance.count(counter, now, 1)
        assert len(counter) < 70 * 25

    def test_the_usual_four_let_one_go_at_once_and_twenty_in_three_hours(self):
        allowance = Allowance("phone", PHONE, GOALERT)
        counter, now, times = "", NOW, []
        while len(times) < 21:
            over = allowance.ask(counter, now, 1)
            if over is None:
                counter = allowance.count(counter, now, 1)
                times.append(int((now - NOW).total_seconds()))
            else:
                now = over.until
        assert times[:6] == [0, 60, 120, 180, 240, 900]
        assert times[20] >= 3 * 3600


class TestThrottle:
    def test_those_that_wait_for_one_phone_get_its_places_one_by_one(self):
        throttle = Throttle(phone=GOALERT)
        held = throttle.hold([wanted(str(n)) for n in range(7)], {}, NOW)
        assert [int((held[str(n)].until - NOW).total_seconds()) for n in range(1, 7)] == [60, 120, 180, 240, 900, 960]
        assert (held["1"].config, held["1"].limit) == ("limits.phone", "phone 1/1m")
        assert held["5"].limit == "phone 5/15m"

    def test_one_phone_holds_up_no_other(self):
        throttle = Throttle(phone=GOALERT)
        other = Phone("+79990000002")
        assert set(throttle.hold([wanted("1"), wanted("2"), wanted("3", other)], {}, NOW)) == {"2"}

    def test_only_what_leaves_is_charged(self):
        throttle = Throttle(phone=GOALERT, budgets=(Budget(scope="all", period="day", parts=9),))
        first = wanted("1", parts=3)
        counters = throttle.charge([first], {}, NOW)
        assert set(counters) == {"rate:phone:+79990000001", "budget:all:day:2026-01-05:"}
        assert load_spent(counters["budget:all:day:2026-01-05:"]) == Spent(parts=3, unpriced=3)


class TestBudget:
    ALL = Budget(scope="all", period="day", parts=5, money=Decimal(10))

    @given(st.lists(st.integers(1, 4), max_size=40))
    def test_no_more_parts_leave_than_the_day_has(self, parts):
        throttle, counters, gone = Throttle(budgets=(self.ALL,)), {}, 0
        for n, count in enumerate(parts):
            one = wanted(str(n), parts=count)
            if not throttle.hold([one], counters, NOW):
                counters |= throttle.charge([one], counters, NOW)
                gone += count
        assert gone <= 5

    @given(
        parts=st.lists(st.integers(1, 4), max_size=40), price=st.decimals("0.01", 3, places=2),
        late=st.integers(0, 3),
    )  # fmt: skip
    def test_the_money_is_kept_once_a_price_is_known(self, parts, price, late):
        """What is on its way counts as dear as the dearest so far, so late prices do not break the bank."""
        throttle = Throttle(budgets=(Budget(scope="all", period="day", money=Decimal(10)),))
        key = self.ALL.key("", NOW, UTC)
        first = Spent(parts=1, unpriced=1).settle(Settlement(settled=1, money=price, priced=1))
        counters, on_the_way = {key: dump_spent(first)}, []
        for n, count in enumerate(parts):
            one = wanted(str(n), parts=count)
            if not throttle.hold([one], counters, NOW):
                counters |= throttle.charge([one], counters, NOW)
                on_the_way.append(count)
            while len(on_the_way) > late:
                paid = on_the_way.pop(0)
                settlement = Settlement(settled=paid, money=price * paid, priced=paid)
                counters[key] = dump_spent(load_spent(counters[key]).settle(settlement))
        total = load_spent(counters[key]).money + price * sum(on_the_way)
        assert total <= 10

    def test_it_waits_for_the_next_day_of_its_own_zone(self):
        zone = ZoneInfo("Europe/Moscow")
        late = datetime(2026, 1, 31, 21, 30, tzinfo=UTC)
        month = Budget(scope="user", period="month", parts=1)
        assert self.ALL.key("", late, zone) == "budget:all:day:2026-02-01:"
        assert self.ALL.ends_at(late, zone) == datetime(2026, 2, 1, 21, tzinfo=UTC)
        assert month.ends_at(late, zone) == datetime(2026, 2, 28, 21, tzinfo=UTC)
        assert month.key("zabbix", late, zone) == "budget:user:month:2026-02:zabbix"

    def test_a_user_who_is_none_draws_on_no_users_budget(self):
        throttle = Throttle(budgets=(Budget(scope="user", period="day", parts=1),))
        assert throttle.hold([wanted("1", parts=9)], {}, NOW) == {}
        assert set(throttle.hold([wanted("1", user="a"), wanted("2", user="a"), wanted("3", user="b")], {}, NOW)) == {
            "2"
        }

    @given(st.builds(Spent, parts=st.integers(0, 99), money=st.decimals(0, 99, places=3), told=st.integers(0, 100)))
    def test_a_counter_reads_back_as_it_was_written(self, spent):
        assert load_spent(dump_spent(spent)) == spent
