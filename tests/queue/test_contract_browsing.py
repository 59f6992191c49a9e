"""Contract of every store: pages, sums by the hour, the newest lines of the history, requests carried out once."""

from datetime import timedelta
from decimal import Decimal

import pytest

from mailbridge.model.state import State
from mailbridge.queue.browsing import LATENCIES_S, Asked
from mailbridge.queue.contract import DedupeKey, Filter
from tests.support.queue import DAY, NOW, SECOND, change, claim, failed, new_mail, new_message

HOUR = timedelta(hours=1)


async def fill(store, count):
    """Keep *count* mails, a second apart; M01 is the oldest."""
    for n in range(1, count + 1):
        text = f"alert number {n}"
        await store.put(new_mail(f"M{n:02}", new_message(f"M{n:02}.1", text=text), received_at=NOW + n * SECOND))


async def all_pages(store, wanted, reach):
    """Return the ids on each page until there is none."""
    pages, after = [], None
    while True:
        page = await store.page(Filter(**wanted, after_id=after), reach=reach)
        pages.append([row.id for row in page.messages])
        if (after := page.after_id) is None:
            return pages


class TestPage:
    async def test_pages_follow_one_another_newest_first(self, store):
        await fill(store, 7)
        pages = await all_pages(store, {"limit": 3}, 100)
        assert pages == [["M07.1", "M06.1", "M05.1"], ["M04.1", "M03.1", "M02.1"], ["M01.1"]]

    async def test_a_search_reads_no_further_than_it_may(self, store):
        """The one that fits is found on a later page; pages before it are empty, and say where to go on."""
        await fill(store, 7)
        pages = await all_pages(store, {"text": "NUMBER 2"}, 3)
        assert pages == [[], ["M02.1"], []]

    async def test_nothing_is_missed_and_nothing_comes_twice(self, store):
        await fill(store, 9)
        for limit in (1, 2, 5):
            for reach in (2, 3, 4, 9, 10):
                pages = await all_pages(store, {"text": "alert", "limit": limit}, reach)
                assert [id_ for page in pages for id_ in page] == [f"M{n:02}.1" for n in range(9, 0, -1)], (
                    limit,
                    reach,
                )

    async def test_rare_states_and_phones_are_found_however_old(self, store):
        """What went wrong has an index of its own, as phones have."""
        await fill(store, 9)
        await store.put(new_mail("M00", new_message("M00.1", phone="+79991112233"), received_at=NOW))
        await claim(store)
        assert await store.apply([failed("M01.1")]) == [True]
        wrong = await store.page(Filter(states=frozenset({State.FAILED, State.HELD})), reach=2)
        of_phone = await store.page(Filter(phone="+79991112233"), reach=2)
        assert ([row.id for row in wrong.messages], wrong.after_id) == (["M01.1"], None)
        assert ([row.id for row in of_phone.messages], of_phone.after_id) == (["M00.1"], None)

    async def test_states_that_all_have_are_looked_for_within_reach(self, store):
        await fill(store, 5)
        page = await store.page(Filter(states=frozenset({State.QUEUED, State.FAILED}), limit=2), reach=4)
        assert ([row.id for row in page.messages], page.after_id) == (["M05.1", "M04.1"], "M04.1")


class TestTally:
    async def test_messages_are_counted_by_hour_state_and_time_taken(self, store):
        """Two delivered alike are one line; the one of the next hour that still waits is another."""
        for n in (1, 2):
            await store.put(new_mail(f"M{n}", received_at=NOW))
        await claim(store, now=NOW + 3 * SECOND)
        for n in (1, 2):
            sent = change(f"M{n}.1", State.SENDING, State.SENT, at=NOW + 4 * SECOND, parts=2, price=Decimal("1.40"))
            arrived = change(f"M{n}.1", State.SENT, State.DELIVERED, at=NOW + 25 * SECOND)
            assert await store.apply([sent]) == [True]
            assert await store.apply([arrived]) == [True]
        await store.put(new_mail("M3", received_at=NOW + HOUR))
        first, second = await store.tally(since=NOW - HOUR, until=NOW + 2 * HOUR)
        assert (first.state, first.messages, first.parts, first.price) == (State.DELIVERED, 2, 4, Decimal("1.40"))
        assert (first.gateway, LATENCIES_S[first.handed_over], LATENCIES_S[first.arrived]) == ("main", 5.0, 30.0)
        assert (second.state, second.messages, second.handed_over, second.arrived) == (State.QUEUED, 1, None, None)
        assert second.hour - first.hour == HOUR
        assert (first.hour.minute, first.hour.second) == (0, 0)

    async def test_only_the_time_asked_for_is_counted(self, store):
        await fill(store, 3)
        (only,) = await store.tally(since=NOW + 2 * SECOND, until=NOW + 3 * SECOND)
        assert only.messages == 1

    async def test_what_took_longest_is_in_the_class_beyond_the_last(self, store):
        await store.put(new_mail("M1", new_message("M1.1", expires_at=NOW + 9 * DAY)))
        await claim(store, now=NOW + 2 * DAY)
        (only,) = await store.tally(since=NOW, until=NOW + HOUR)
        assert only.handed_over == len(LATENCIES_S)


class TestEvents:
    async def test_lines_come_in_their_order_with_the_message_as_it_is_now(self, store):
        await store.put(new_mail("M1"))
        begun = await store.last_event()
        await claim(store)
        await store.apply([failed("M1.1")])
        events = await store.events(after=begun, limit=10)
        assert [event.entry.event for event in events] == ["attempt", "failed"]
        assert {event.message.state for event in events} == {State.FAILED}
        assert [event.n for event in events] == sorted(event.n for event in events)
        assert events[-1].n == await store.last_event() > begun

    async def test_no_more_than_asked_for(self, store):
        await fill(store, 4)
        first = await store.events(after=0, limit=3)
        rest = await store.events(after=first[-1].n, limit=3)
        assert [event.message.id for event in (*first, *rest)] == ["M01.1", "M02.1", "M03.1", "M04.1"]

    async def test_an_empty_queue_has_no_last_line(self, store):
        assert await store.last_event() == 0


class TestOnce:
    async def test_the_first_one_stays(self, store):
        first = Asked(key="t:1", fingerprint="a", mail_id="M1", until=NOW + DAY)
        again = Asked(key="t:1", fingerprint="b", mail_id="M2", until=NOW + DAY)
        assert await store.ask_once(first, now=NOW) == first
        assert await store.ask_once(again, now=NOW + SECOND) == first

    async def test_after_its_time_the_key_is_free_again(self, store):
        first = Asked(key="t:1", fingerprint="a", mail_id="M1", until=NOW + SECOND)
        again = Asked(key="t:1", fingerprint="b", mail_id="M2", until=NOW + DAY)
        await store.ask_once(first, now=NOW)
        assert await store.ask_once(again, now=NOW + SECOND) == again

    async def test_bookmarks_are_kept_by_name(self, store):
        assert await store.bookmark("hook") is None
        await store.keep_bookmark("hook", 7)
        await store.keep_bookmark("other", 1)
        await store.keep_bookmark("hook", 9)
        assert (await store.bookmark("hook"), await store.bookmark("other")) == (9, 1)


@pytest.mark.parametrize("reach", [1, 2])
async def test_a_page_of_an_empty_queue_is_the_last(store, reach):
    """However little may be read."""
    page = await store.page(Filter(), reach=reach)
    assert (page.messages, page.after_id) == ((), None)


async def test_the_owner_of_a_dedupe_key_is_found_while_it_holds(store):
    """Of several keys the first that has one; asking takes nothing."""
    keys = (DedupeKey(key="k1", until=NOW + HOUR), DedupeKey(key="k2", until=NOW + 2 * HOUR))
    assert await store.owner_of(["k1"], now=NOW) is None
    await store.put(new_mail("M1", new_message("M1.1", dedupe=keys)))
    assert await store.owner_of([], now=NOW) is None
    assert await store.owner_of(["k0", "k2"], now=NOW) == "M1.1"
    assert await store.owner_of(["k1", "k2"], now=NOW + HOUR) == "M1.1"
    assert await store.owner_of(["k1"], now=NOW + HOUR) is None
