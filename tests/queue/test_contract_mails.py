"""Contract of every store: keeping mails, finding duplicates, questions about them."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from mailbridge.errors import StoreError
from mailbridge.model.message import Alphabet
from mailbridge.model.state import State
from mailbridge.queue.contract import DedupeKey, Filter
from mailbridge.queue.kept import KeptCalendar
from tests.support.queue import DAY, NOW, SECOND, change, claim, new_mail, new_message, one


class TestPut:
    async def test_a_mail_reads_back_as_it_was_put(self, store):
        mail = new_mail("M1", user="zabbix", envid="e+1", ret="HDRS", original=b"\0\xff\r\n")
        result = await store.put(mail)
        stored = await store.get_mail("M1")
        assert result.duplicates == {}
        for name in (
            "id",
            "received_at",
            "sender",
            "client",
            "user",
            "message_id",
            "subject",
            "envid",
            "ret",
            "original",
        ):
            assert getattr(stored, name) == getattr(mail, name)
        assert stored.reportable is True

    async def test_a_message_reads_back_as_it_was_put(self, store):
        """Every field of the SMS survives, whatever script it is in."""
        sms = {
            "sender": "ТЕСТ", "translit": 2, "alphabet": Alphabet.UCS2, "parts": 3, "flash": True, "time": "+5",
            "valid": "02:00", "wanted_id": "77", "rule": "night", "profile": "nagios", "notes": ("long", "ё"),
        }  # fmt: skip
        new = new_message(
            "M1.1", text="Привет 😀\0\n", sms=sms, notify=frozenset({"FAILURE", "DELAY"}), orcpt="rfc822;a@b"
        )
        await store.put(new_mail("M1", new))
        row = await one(store, "M1.1")
        assert row.message == new.message
        assert (row.mail_id, row.recipient, row.notify, row.orcpt) == ("M1", new.recipient, new.notify, new.orcpt)
        assert (row.state, row.attempts, row.asked, row.parts) == (State.QUEUED, 0, 0, 3)
        assert (row.created_at, row.next_attempt_at, row.expires_at) == (NOW, NOW, NOW + DAY)
        assert (row.gateway, row.gateway_id, row.attempted_at, row.unknown_since, row.error, row.price) == (None,) * 6

    async def test_no_notify_and_an_empty_one_stay_apart(self, store):
        await store.put(new_mail("M1", new_message("M1.1", notify=None), new_message("M1.2", notify=frozenset())))
        assert [row.notify for row in await store.get_messages("M1")] == [None, frozenset()]

    async def test_messages_of_a_mail_keep_their_order(self, store):
        """The tenth comes after the second, not before it."""
        await store.put(new_mail("M1", *(new_message(f"M1.{n}", phone=f"+7999000{n:04}") for n in range(1, 13))))
        assert [row.id for row in await store.get_messages("M1")] == [f"M1.{n}" for n in range(1, 13)]

    async def test_the_history_begins_with_the_state_and_its_reason(self, store):
        held = new_message("M1.1", state=State.HELD, detail={"rule": "night", "line": 12})
        await store.put(new_mail("M1", held))
        (entry,) = await store.history("M1.1")
        assert (entry.at, entry.event, entry.state, entry.detail) == (NOW, "held", State.HELD, held.detail)

    async def test_a_mail_id_is_used_once(self, store):
        await store.put(new_mail("M1"))
        with pytest.raises(StoreError):
            await store.put(new_mail("M1"))
        assert len(await store.get_messages("M1")) == 1

    async def test_a_mail_put_again_is_its_own_duplicate(self, store):
        """A caller that does not know whether its commit went through may put the same mail again."""
        mail = new_mail("M1", new_message("M1.1", key="k"))
        await store.put(mail)
        assert (await store.put(mail)).duplicates == {"M1.1": "M1.1"}

    async def test_what_nobody_put_is_not_there(self, store):
        assert await store.get_mail("M9") is None
        assert await store.get_messages("M9") == []
        assert await store.get_messages("M9.1") == []
        assert await store.history("M9.1") == []


class TestDuplicates:
    async def test_a_repeated_mail_is_not_stored(self, store):
        await store.put(new_mail("M1", new_message("M1.1", key="k")))
        result = await store.put(new_mail("M2", new_message("M2.1", key="k")))
        assert result.duplicates == {"M2.1": "M1.1"}
        assert await store.get_mail("M2") is None

    async def test_a_partly_repeated_mail_keeps_its_duplicates_suppressed(self, store):
        await store.put(new_mail("M1", new_message("M1.1", key="k1")))
        result = await store.put(new_mail("M2", new_message("M2.1", key="k1"), new_message("M2.2", key="k2")))
        assert result.duplicates == {"M2.1": "M1.1"}
        assert [row.state for row in await store.get_messages("M2")] == [State.SUPPRESSED, State.QUEUED]
        (entry,) = await store.history("M2.1")
        assert entry.detail == {"duplicate_of": "M1.1"}

    async def test_a_number_given_twice_in_one_mail_gets_one_message(self, store):
        result = await store.put(new_mail("M1", new_message("M1.1", key="k"), new_message("M1.2", key="k")))
        assert result.duplicates == {"M1.2": "M1.1"}
        assert [row.state for row in await store.get_messages("M1")] == [State.QUEUED, State.SUPPRESSED]

    async def test_any_shared_key_makes_a_duplicate(self, store):
        keys = tuple(DedupeKey(key=k, until=NOW + DAY) for k in ("a", "b"))
        await store.put(new_mail("M1", new_message("M1.1", dedupe=keys)))
        assert (await store.put(new_mail("M2", new_message("M2.1", key="b")))).duplicates == {"M2.1": "M1.1"}

    async def test_a_key_ends_with_its_time(self, store):
        """At *until* the key is free again, and belongs to the newer message."""
        await store.put(new_mail("M1", new_message("M1.1", key="k")))
        later = new_message("M2.1", dedupe=(DedupeKey(key="k", until=NOW + 2 * DAY),))
        assert not (await store.put(new_mail("M2", later, received_at=NOW + DAY))).duplicates
        third = new_mail("M3", new_message("M3.1", key="k"), received_at=NOW + DAY)
        assert (await store.put(third)).duplicates == {"M3.1": "M2.1"}

    @pytest.mark.parametrize("end", [State.FAILED, State.EXPIRED, State.CANCELLED])
    async def test_a_message_that_will_not_arrive_frees_its_keys(self, store, end):
        await store.put(new_mail("M1", new_message("M1.1", key="k")))
        assert await store.apply([change("M1.1", State.QUEUED, end)]) == [True]
        assert not (await store.put(new_mail("M2", new_message("M2.1", key="k")))).duplicates

    async def test_a_message_on_its_way_keeps_its_keys(self, store):
        await store.put(new_mail("M1", new_message("M1.1", key="k")))
        await claim(store)
        await store.apply([change("M1.1", State.SENDING, State.SENT)])
        assert (await store.put(new_mail("M2", new_message("M2.1", key="k")))).duplicates == {"M2.1": "M1.1"}


class TestFind:
    @pytest.fixture(autouse=True)
    async def mails(self, store):
        for n, (sender, subject, text) in enumerate(
            [("a@x.org", "Disk full", "один"), ("b@x.org", "Привет", "два_50%"), ("c@y.org", "Third", "ТРИ 50_")]
        ):
            named = {"sender": "UPS room" if n == 1 else "ALERT"}
            new = new_message(f"M{n}.1", phone=f"+7999000000{n}", text=text, sms=named)
            await store.put(new_mail(f"M{n}", new, sender=sender, subject=subject, received_at=NOW + n * SECOND))

    @pytest.mark.parametrize(
        ("wanted", "ids"),
        [
            ({}, "2 1 0"),
            ({"limit": 2}, "2 1"),
            ({"after_id": "M1.1"}, "0"),
            ({"after_id": "gone"}, ""),
            ({"phone": "+79990000001"}, "1"),
            ({"sender": "*@x.org"}, "1 0"),
            ({"sender": "?@X.org"}, "1 0"),
            ({"sender": "_@x.org"}, ""),
            ({"sender": "ups *"}, "1"),
            ({"sender": "ALERT"}, "2 0"),
            ({"since": NOW + SECOND}, "2 1"),
            ({"until": NOW + SECOND}, "0"),
            ({"text": "три"}, "2"),
            ({"text": "ПРИВЕТ"}, "1"),
            ({"text": "50%"}, "1"),
            ({"text": "50_"}, "2"),
            ({"states": frozenset({State.SENT})}, ""),
            ({"states": frozenset({State.QUEUED, State.SENT}), "since": NOW + 2 * SECOND}, "2"),
        ],
    )
    async def test_a_filter_lists_newest_first(self, store, wanted, ids):
        assert [row.id for row in await store.find(Filter(**wanted))] == [f"M{n}.1" for n in ids.split()]

    async def test_pages_follow_each_other_within_one_moment(self, store):
        """Messages created at the same time are neither repeated nor left out between pages."""
        at = NOW + timedelta(hours=1)
        await store.put(new_mail("P", *(new_message(f"P.{n}", phone=f"+7999{n:07}") for n in range(5)), received_at=at))
        seen, last = [], None
        while page := await store.find(Filter(since=at, limit=2, after_id=last)):
            seen += [row.id for row in page]
            last = seen[-1]
        assert seen == ["P.4", "P.3", "P.2", "P.1", "P.0"]

    async def test_states_are_counted(self, store):
        await claim(store, limit=1)
        assert await store.count_states() == {State.QUEUED: 2, State.SENDING: 1}


class TestPrune:
    async def finish(self, store, mail_id):
        for row in await store.get_messages(mail_id):
            await store.apply([change(row.id, row.state, State.CANCELLED)])

    async def test_only_old_mails_that_are_done_with_go(self, store):
        await store.put(new_mail("OLD", new_message("OLD.1", key="k")))
        await store.put(new_mail("OPEN"))
        await store.put(new_mail("NEW", received_at=NOW + DAY))
        await self.finish(store, "OLD")
        await self.finish(store, "NEW")
        assert await store.prune(before=NOW + DAY, sent_before=NOW, limit=10) == 1
        assert await store.get_mail("OLD") is None
        assert await store.get_messages("OLD") == []
        assert await store.history("OLD.1") == []
        assert await store.get_mail("OPEN") is not None
        assert await store.get_mail("NEW") is not None

    async def test_the_limit_holds_and_the_oldest_go_first(self, store):
        for n in range(3):
            await store.put(new_mail(f"M{n}", received_at=NOW + n * SECOND))
            await self.finish(store, f"M{n}")
        assert await store.prune(before=NOW + DAY, sent_before=NOW, limit=2) == 2
        assert await store.get_mail("M2") is not None
        assert await store.prune(before=NOW + DAY, sent_before=NOW, limit=2) == 1

    async def test_what_was_sent_long_ago_without_a_receipt_goes_too(self, store):
        """Nobody asks about it any more; while somebody may, it stays."""
        await store.put(new_mail("M1"))
        await claim(store)
        await store.apply([change("M1.1", State.SENDING, State.SENT)])
        assert await store.prune(before=NOW + DAY, sent_before=NOW, limit=10) == 0
        assert await store.prune(before=NOW + DAY, sent_before=NOW + SECOND, limit=10) == 1

    async def test_the_nth_newest_mail_tells_where_a_history_of_n_begins(self, store):
        """None while there are fewer."""
        for n in range(3):
            await store.put(new_mail(f"M{n}", received_at=NOW + n * SECOND))
        assert [await store.nth_newest_at(n) for n in (1, 3, 4)] == [NOW + 2 * SECOND, NOW, None]


class TestSums:
    async def test_prices_are_summed_by_gateway_and_currency(self, store):
        """Exactly, and only of what was handed over since then."""
        prices = [("1.10", "RUR"), ("1.10", "RUR"), ("2.2000000000000000001", "RUR"), ("5", None), (None, None)]
        for n, (price, currency) in enumerate(prices):
            await store.put(new_mail(f"M{n}"))
            await claim(store, NOW + n * SECOND)
            paid = {"price": None if price is None else Decimal(price), "currency": currency, "parts": 2}
            await store.apply([change(f"M{n}.1", State.SENDING, State.SENT, **paid)])
        everything = await store.spend(since=NOW)
        assert [(s.gateway, s.currency, s.amount, s.messages, s.parts) for s in everything] == [
            ("main", None, Decimal(5), 1, 2),
            ("main", "RUR", Decimal("4.4000000000000000001"), 3, 6),
        ]
        assert [s.amount for s in await store.spend(since=NOW + 2 * SECOND)] == [
            Decimal(5), Decimal("2.2000000000000000001")
        ]  # fmt: skip
        assert await store.spend(since=NOW + DAY) == []

    async def test_those_that_wait_are_counted(self, store):
        """Queued, sending and unknown ones, no further than asked; what is done with, sent or held does not count."""
        assert await store.count_waiting(up_to=10) == 0
        for n in range(6):
            await store.put(new_mail(f"M{n}", received_at=NOW + n * SECOND))
        await claim(store, NOW + 9 * SECOND, limit=3)
        await store.apply([
            change("M0.1", State.SENDING, State.SENT), change("M1.1", State.SENDING, State.UNKNOWN),
            change("M3.1", State.QUEUED, State.HELD), change("M4.1", State.QUEUED, State.CANCELLED),
        ])  # fmt: skip
        assert await store.count_states() == {
            State.SENT: 1, State.UNKNOWN: 1, State.SENDING: 1, State.HELD: 1, State.CANCELLED: 1, State.QUEUED: 1
        }  # fmt: skip
        assert [await store.count_waiting(up_to=up_to) for up_to in (0, 1, 2, 3, 4, 10)] == [0, 1, 2, 3, 3, 3]

    async def test_the_oldest_that_waits_is_known(self, store):
        """Whatever it waits for; what is done with does not count."""
        assert await store.oldest_waiting_at() is None
        for n in range(3):
            await store.put(new_mail(f"M{n}", received_at=NOW + n * SECOND))
        await claim(store, NOW + 9 * SECOND, limit=2)
        assert await store.oldest_waiting_at() == NOW
        await store.apply([change("M0.1", State.SENDING, State.SENT), change("M1.1", State.SENDING, State.UNKNOWN)])
        assert await store.oldest_waiting_at() == NOW + SECOND


async def test_calendars_are_kept_by_rota(store):
    """The newest of a rota takes the place of the one before; others stay."""
    first = KeptCalendar(rota="ops", source="a", shifts="[]", read_at=NOW)
    other = KeptCalendar(rota="dba", source="b", shifts="[]", read_at=NOW)
    newer = replace(first, source="c", shifts="[[]]", read_at=NOW + SECOND)
    for calendar in (first, other, newer):
        await store.keep_calendar(calendar)
    assert {kept.rota: kept for kept in await store.calendars()} == {"ops": newer, "dba": other}
