"""Contract of every store: limits are counted in the transaction that keeps a mail or writes an intent."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from mailbridge.model.limits import Allowance, Budget, Spent, Throttle, Whose, load_spent, parse_rate
from mailbridge.model.state import State
from mailbridge.queue.connect import open_store
from tests.support.queue import DAY, MAIN, NOW, SECOND, alone, change, failed, new_mail, new_message, one

CLIENT = Allowance("client", "192.0.2.1", (parse_rate("2/1m"),))
PHONE = Throttle(phone=(parse_rate("1/1m"), parse_rate("5/15m")))
DAILY = Throttle(budgets=(Budget(scope="all", period="day", parts=4, money=Decimal(10)),))
KEY = f"budget:all:day:{NOW:%Y-%m-%d}:"


async def leave(store, throttle, now=NOW, limit=100):
    """Claim under *throttle* and return the ids of what leaves."""
    claimed = await store.claim(now=now, limit=limit, node="n1", gateways=MAIN, plan=alone, throttle=throttle)
    return [row.id for request in claimed for row in request.messages]


async def spent(store):
    """Return what the day's budget holds."""
    return load_spent((await store.counters([KEY])).get(KEY, ""))


class TestDoor:
    async def test_a_mail_over_the_limit_is_not_stored_and_the_store_says_until_when(self, store):
        for n in range(2):
            assert (await store.put(new_mail(f"M{n}", allowances=(CLIENT,)))).over is None
        result = await store.put(new_mail("M3", allowances=(CLIENT,)))
        assert result.over is not None
        assert (result.over.config, result.over.limit) == ("limits.client", "client 2/1m")
        assert result.over.until == NOW + timedelta(minutes=1)
        assert await store.get_mail("M3") is None
        later = NOW + timedelta(minutes=1)
        assert (await store.put(new_mail("M3", allowances=(CLIENT,), received_at=later))).over is None

    async def test_each_message_counts_and_a_mail_that_is_refused_does_not(self, store):
        two = (new_message("M1.1"), new_message("M1.2", phone="+79990000002"))
        three = tuple(new_message(f"M0.{n}", phone=f"+7999000000{n}") for n in range(3))
        assert (await store.put(new_mail("M0", *three, allowances=(CLIENT,)))).over is not None
        assert (await store.put(new_mail("M1", *two, allowances=(CLIENT,)))).over is None

    async def test_a_mail_that_is_known_is_answered_as_such_whatever_the_limit(self, store):
        tight = Allowance("client", "192.0.2.1", (parse_rate("1/1m"),))
        await store.put(new_mail("M1", new_message("M1.1", key="k"), allowances=(tight,)))
        again = await store.put(new_mail("M2", new_message("M2.1", key="k"), allowances=(tight,)))
        assert (again.over, again.duplicates) == (None, {"M2.1": "M1.1"})

    async def test_mails_at_the_same_time_hold_one_limit(self, store):
        """They share a commit, not their places."""
        results = await asyncio.gather(*(store.put(new_mail(f"M{n}", allowances=(CLIENT,))) for n in range(20)))
        assert sum(result.over is None for result in results) == 2
        assert len([n for n in range(20) if await store.get_mail(f"M{n}") is not None]) == 2

    async def test_a_clock_set_back_locks_nobody_out(self, store):
        """A clock that was years ahead is forgotten with the first mail after it, refused or not."""
        for n in range(2):
            await store.put(new_mail(f"A{n}", allowances=(CLIENT,), received_at=NOW + 3000 * DAY))
        assert (await store.put(new_mail("B", allowances=(CLIENT,)))).over is not None
        later = NOW + timedelta(minutes=1)
        assert (await store.put(new_mail("B", allowances=(CLIENT,), received_at=later))).over is None


class TestPhone:
    async def test_what_is_over_the_rate_waits_and_says_why(self, store):
        for n in range(3):
            await store.put(new_mail(f"M{n}"))
        assert await leave(store, PHONE) == ["M0.1"]
        row = await one(store, "M2.1")
        assert (row.state, row.attempts, row.next_attempt_at) == (State.QUEUED, 0, NOW + timedelta(minutes=2))
        entry = (await store.history("M2.1"))[-1]
        assert (entry.event, entry.state, entry.detail["limit"]) == ("deferred", State.QUEUED, "phone 1/1m")
        assert entry.detail["config"] == "limits.phone"
        assert await leave(store, PHONE, NOW + timedelta(minutes=1)) == ["M1.1"]
        assert await leave(store, PHONE, NOW + timedelta(minutes=2)) == ["M2.1"]

    async def test_a_message_is_counted_once_however_often_it_is_tried(self, store):
        await store.put(new_mail("M1"))
        assert await leave(store, PHONE) == ["M1.1"]
        await store.apply([change("M1.1", State.SENDING, State.QUEUED, next_attempt_at=NOW + SECOND)])
        assert await leave(store, PHONE, NOW + SECOND) == ["M1.1"]

    async def test_many_that_wait_hold_up_no_other_phone(self, store):
        for n in range(9):
            await store.put(new_mail(f"M{n}"))
        await store.put(new_mail("N", new_message("N.1", phone="+79990000002", next_attempt_at=NOW + SECOND)))
        later = NOW + SECOND
        assert await leave(store, PHONE, later, limit=3) == ["M0.1"]
        assert await leave(store, PHONE, later, limit=3) == ["N.1"]

    async def test_nothing_is_counted_where_nothing_is_limited(self, store):
        await store.put(new_mail("M1"))
        await leave(store, None)
        assert await store.counters_named("") == {}


class TestBudget:
    async def test_the_rest_waits_for_the_next_day(self, store):
        for n in range(6):
            await store.put(
                new_mail(f"M{n}", new_message(f"M{n}.1", phone=f"+7999000000{n}", expires_at=NOW + 2 * DAY))
            )
        assert len(await leave(store, DAILY)) == 4
        row = await one(store, "M5.1")
        assert row.next_attempt_at is not None
        assert (row.state, row.next_attempt_at.date()) == (State.QUEUED, (NOW + DAY).date())
        assert (await store.history("M5.1"))[-1].detail["config"] == "limits.budget.day"
        assert await leave(store, DAILY, NOW + SECOND) == []
        assert len(await leave(store, DAILY, row.next_attempt_at)) == 2

    async def test_price_and_parts_are_booked_where_the_message_was_charged(self, store):
        await store.put(new_mail("M1"))
        await leave(store, DAILY)
        assert await spent(store) == Spent(parts=1, unpriced=1)
        sent = change("M1.1", State.SENDING, State.SENT, at=NOW + DAY, parts=2, price=Decimal("5.00"), currency="RUR")
        await store.apply([sent])
        assert await spent(store) == Spent(parts=2, money=Decimal("5.00"), dearest=Decimal("2.5"))

    async def test_the_dearest_part_so_far_is_what_the_next_may_cost(self, store):
        """Ten roubles: after one of 4.00 one more may leave, and a third not before the price of the second is known."""
        for n in range(3):
            await store.put(new_mail(f"M{n}", new_message(f"M{n}.1", phone=f"+7999000000{n}")))
        assert await leave(store, DAILY, limit=1) == ["M0.1"]
        await store.apply([change("M0.1", State.SENDING, State.SENT, price=Decimal(4))])
        assert await leave(store, DAILY) == ["M1.1"]

    async def test_what_is_refused_for_good_costs_nothing_and_is_charged_again_when_sent_again(self, store):
        await store.put(new_mail("M1"))
        await leave(store, DAILY)
        await store.apply([failed("M1.1")])
        assert (await spent(store)).parts == 0
        await store.apply([change("M1.1", State.FAILED, State.QUEUED)])
        await leave(store, DAILY)
        assert (await spent(store)).parts == 1

    async def test_each_user_and_each_phone_has_its_own(self, store):
        throttle = Throttle(
            budgets=(Budget(scope="user", period="day", parts=1), Budget(scope="phone", period="month", parts=1))
        )
        phones = ["+79990000001", "+79990000002", "+79990000001", "+79990000003"]
        for n, (user, phone) in enumerate(zip("aabb", phones, strict=True)):
            await store.put(new_mail(f"M{n}", new_message(f"M{n}.1", phone=phone), user=user))
        assert await leave(store, throttle) == ["M0.1", "M3.1"]
        assert (await store.history("M1.1"))[-1].detail["config"] == "limits.budget.user.day"
        assert (await store.history("M2.1"))[-1].detail["config"] == "limits.budget.phone.month"

    async def test_the_operator_is_told_once(self, store):
        await store.put(new_mail("M1"))
        assert not await store.note_told(KEY, 80)
        await leave(store, DAILY)
        assert await store.note_told(KEY, 80)
        assert not await store.note_told(KEY, 80)
        assert await store.note_told(KEY, 100)
        assert (await spent(store)).told == 100

    async def test_a_pruned_mail_takes_its_charge_along(self, store):
        await store.put(new_mail("M1"))
        await leave(store, DAILY)
        await store.apply([change("M1.1", State.SENDING, State.SENT), change("M1.1", State.SENT, State.DELIVERED)])
        assert await store.prune(before=NOW + 9 * DAY, sent_before=NOW, limit=9) == 1


class TestOnDisk:
    async def test_a_restart_keeps_what_was_counted(self, tmp_path):
        for n, wanted in enumerate([None, None, "client 2/1m"]):
            store = open_store(f"sqlite:///{tmp_path}/queue.db", exclusive=True)
            await store.open()
            over = (await store.put(new_mail(f"M{n}", allowances=(CLIENT,)))).over
            assert (over and over.limit) == wanted
            await store.close()

    async def test_two_stores_on_one_database_hold_one_limit(self, tmp_path):
        stores = [open_store(f"sqlite:///{tmp_path}/queue.db") for _ in range(2)]
        for store in stores:
            await store.open()
        mails = [new_mail(f"M{n}", new_message(f"M{n}.1", phone=f"+799900000{n:02}")) for n in range(20)]
        await asyncio.gather(*(stores[n % 2].put(mail) for n, mail in enumerate(mails)))
        gone = await asyncio.gather(*(leave(store, DAILY, limit=3) for store in stores * 3))
        assert sum(map(len, gone)) == 4
        results = await asyncio.gather(*(stores[n % 2].put(new_mail(f"N{n}", allowances=(CLIENT,))) for n in range(20)))
        assert sum(result.over is None for result in results) == 2
        for store in stores:
            await store.close()

    @pytest.mark.parametrize("count", [1, 40])
    async def test_limits_cost_a_few_statements_for_any_number_of_mails(self, sqlite, count):
        """No commit more, and no statement for each mail."""

        async def put(name, **fields):
            statements, commits = sqlite.statements, sqlite.commits
            await asyncio.gather(*(sqlite.put(new_mail(f"{name}{n}", **fields)) for n in range(count)))
            return sqlite.statements - statements, sqlite.commits - commits

        await put("warm", allowances=(Allowance("client", "c", (parse_rate("999/1m"),)),))
        plain, commits = await put("A")
        limited, same = await put("B", allowances=(Allowance("client", "c", (parse_rate("999/1m"),)),))
        # a commit for the first, and one for all that gathered meanwhile
        assert same == commits
        assert limited - plain <= 2 * commits


class TestWhose:
    """A claim for a gateway that some users may not take, or that some alone are sent to."""

    async def leave_of(self, store, whose):
        """Claim for *whose* and return the ids of what leaves."""
        claimed = await store.claim(now=NOW, limit=2, node="n1", gateways=MAIN, plan=alone, whose=whose)
        return [row.id for request in claimed for row in request.messages]

    async def test_what_is_left_out_keeps_nobody_from_leaving(self, store):
        """More of it than a claim looks at stands first; whoever has not signed in is one of the others."""
        for n in range(3):
            await store.put(new_mail(f"A{n}", user="zabbix"))
        await store.put(new_mail("B", user="cron", received_at=NOW))
        await store.put(new_mail("C", user=None, received_at=NOW))
        zabbix = frozenset({"zabbix"})
        assert sorted(await self.leave_of(store, Whose(users=zabbix, alone=False))) == ["B.1", "C.1"]
        assert await self.leave_of(store, Whose(users=zabbix, alone=False)) == []
        assert await self.leave_of(store, Whose(users=frozenset({"cron"}), alone=True)) == []
        assert len(await self.leave_of(store, Whose(users=zabbix, alone=True))) == 2
        assert len(await self.leave_of(store, None)) == 1

    async def test_a_limit_holds_for_them_as_for_everybody(self, store):
        throttle = Throttle(budgets=(Budget(scope="user", period="day", parts=1),))
        for n in range(3):
            await store.put(new_mail(f"A{n}", new_message(f"A{n}.1", phone=f"+7999000000{n}"), user="zabbix"))
        whose = Whose(users=frozenset({"zabbix"}), alone=True)
        claimed = await store.claim(
            now=NOW, limit=9, node="n1", gateways=MAIN, plan=alone, whose=whose, throttle=throttle
        )
        assert (len(claimed), len(claimed.held)) == (1, 2)


async def test_one_users_own_budget_stands_in_place_of_each_users(store):
    """Both draw on the same kind of counter, each on their own, and each is held by their own number."""
    throttle = Throttle(
        budgets=(
            Budget(scope="user", period="day", parts=1),
            Budget(scope="user", period="day", parts=2, owner="zabbix", place="users[0].budget.day"),
        ),
        exempt=frozenset({"zabbix"}),
    )
    for user in ("zabbix", "cron"):
        for n in range(3):
            await store.put(new_mail(f"{user}{n}", user=user))
    left = [id_ for _ in range(6) for id_ in await leave(store, throttle)]
    assert sorted(id_[:-3] for id_ in left) == ["cron", "zabbix", "zabbix"]
    used = await store.counters_named(f"budget:user:day:{NOW:%Y-%m-%d}:")
    assert {name.rpartition(":")[2]: load_spent(text).parts for name, text in used.items()} == {"cron": 1, "zabbix": 2}
