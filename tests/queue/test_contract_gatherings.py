"""Contract of every store: messages that wait for each other."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from mailbridge.model.alert import Alert, Digest, Event
from mailbridge.model.state import State
from mailbridge.queue.escalations import Escalate, Wanted
from mailbridge.queue.gathering import release, swallow
from mailbridge.queue.kept import Closing, Gather, Gathering
from tests.support.queue import DAY, NOW, SECOND, change, claim, new_mail, new_message, one

DIGEST = Digest(window_s=300, passes=frozenset({"critical"}))
LATER = NOW + timedelta(seconds=300)


def gather(subject="web01/HTTP", *, event=Event.PROBLEM, severity="warning", **fields):
    """Return what a message of the rule *storm* asks for."""
    alert = Alert(subject=subject, event=event, severity=severity, host=subject.partition("/")[0], short="down")
    defaults = {"key": "p\0storm", "rule": "storm", "digest": DIGEST, "passes": severity == "critical"}
    return Gather(alert=alert, **(defaults | fields))


def quiet(until=LATER):
    """Return what a message in quiet hours asks for."""
    return gather(key="p\0quiet", digest=None, quiet_until=until, quiet=("night", "weekend"))


async def put(store, id_, wanted, at=NOW, **fields):
    """Put a mail with one message that asks for *wanted*; tell whether it waits."""
    message = new_message(f"{id_}.1", gather=wanted, next_attempt_at=at, expires_at=at + DAY, **fields)
    return bool((await store.put(new_mail(id_, message, received_at=at))).waiting)


async def due(store, now=LATER, most=100):
    """Return the one gathering that is due."""
    (found,) = await store.due_gatherings(now=now, limit=10, most=most)
    return found


def closing(found, *changes, **fields):
    """Return a decision about *found*."""
    return Closing(key=found.gathering.key, opened_at=found.gathering.opened_at, changes=changes, at=LATER, **fields)


async def test_the_first_goes_at_once_and_the_rest_waits(store):
    """The first is claimed as any other; what follows is queued without a time, and the history says for what."""
    assert not await put(store, "M1", gather())
    assert await put(store, "M2", gather("web02/HTTP"))
    assert [row.id for request in await claim(store, NOW + DAY / 2) for row in request.messages] == ["M1.1"]
    waits = await one(store, "M2.1")
    assert (waits.state, waits.next_attempt_at) == (State.QUEUED, None)
    assert (await store.history("M2.1"))[0].detail["waits_for"] == "digest"
    assert await store.next_gathering_at() == LATER
    assert await store.next_due_at(frozenset({"main"})) is None


async def test_a_gathering_is_due_with_all_who_wait(store):
    """Oldest first, with what is known of each; not before its time."""
    for number in range(4):
        await put(store, f"M{number}", gather(f"web{number:02}/HTTP"), NOW + number * SECOND)
    assert await store.due_gatherings(now=LATER - SECOND, limit=10, most=100) == []
    found = await due(store)
    assert [one.message.id for one in found.waiting] == ["M1.1", "M2.1", "M3.1"]
    assert found.waiting[0].alert == gather("web01/HTTP").alert
    assert found.gathering == Gathering(
        key="p\0storm", rule="storm", opened_at=NOW, due_at=LATER, window_s=300, digest=DIGEST
    )
    assert len((await due(store, most=2)).waiting) == 2


async def test_a_new_problem_of_a_passing_severity_goes_at_once_and_its_repeat_is_counted(store):
    """Critical passes once; the same again waits, and so does its recovery."""
    await put(store, "M1", gather())
    assert not await put(store, "M2", gather("db2", severity="critical"))
    assert await put(store, "M3", gather("db2", severity="critical"))
    assert await put(store, "M4", gather("db2", severity="critical", event=Event.RECOVERY))
    # after its recovery it is a new problem
    assert not await put(store, "M5", gather("db2", severity="critical"))
    assert [one.is_repeat for one in (await due(store)).waiting] == [True, False]


async def test_a_repeat_waits_even_when_nothing_else_does(store):
    """The same alert an hour after: it is counted, not sent; after the time of repeats it is new."""
    await put(store, "M1", gather())
    await store.close_gathering(closing(await due(store)))
    assert await put(store, "M2", gather(), NOW + timedelta(hours=1))
    await store.close_gathering(replace(closing(await due(store, NOW + DAY), release("M2.1", at=NOW + DAY)), then=None))
    assert not await put(store, "M3", gather(), NOW + timedelta(hours=5, seconds=1))


async def test_quiet_hours_let_everything_wait(store):
    """From the first on, until they end; their names are kept."""
    assert await put(store, "M1", quiet())
    found = await due(store)
    assert found.gathering.quiet == ("night", "weekend")
    assert found.gathering.digest is None
    assert (await store.history("M1.1"))[0].detail["quiet_hours"] == "night, weekend"


async def test_a_digest_takes_the_place_of_what_it_counts(store):
    """One transaction: the new message is queued, the others are suppressed and name it, and the window goes on."""
    for number in range(3):
        await put(store, f"M{number}", gather(f"web{number:02}/HTTP"))
    found = await due(store)
    then = replace(found.gathering, opened_at=LATER, due_at=LATER + timedelta(seconds=600), window_s=600)
    changes = [swallow(one.message.id, "D1.1", count=2, at=LATER) for one in found.waiting]
    assert await store.close_gathering(closing(found, *changes, mail=new_mail("D1", received_at=LATER), then=then))
    assert [(await one(store, f"M{n}.1")).state for n in (1, 2)] == [State.SUPPRESSED] * 2
    assert (await store.history("M1.1"))[-1].detail == {"digest": "D1.1", "count": 2}
    assert (await one(store, "D1.1")).state is State.QUEUED
    assert await store.next_gathering_at() == then.due_at
    assert (await due(store, then.due_at)).waiting == ()


async def test_a_decision_about_what_has_changed_does_nothing(store):
    """Somebody was cancelled meanwhile, somebody came and would be left, or the gathering is another one: nothing."""
    for number in range(3):
        await put(store, f"M{number}", gather(f"web{number:02}/HTTP"))
    found = await due(store)
    changes = [swallow(one.message.id, "D1.1", count=2, at=LATER) for one in found.waiting]
    decided = closing(found, *changes, mail=new_mail("D1"))
    assert not await store.close_gathering(replace(decided, opened_at=NOW - SECOND))
    assert not await store.close_gathering(replace(decided, key="another"))
    await put(store, "M4", gather("web04/HTTP"))
    assert not await store.close_gathering(decided)
    await store.apply([change("M1.1", State.QUEUED, State.CANCELLED)])
    assert not await store.close_gathering(replace(decided, then=found.gathering))
    assert await store.get_mail("D1") is None
    assert [one.message.id for one in (await due(store)).waiting] == ["M2.1", "M4.1"]


async def test_one_released_is_due_like_any_other(store):
    """It has its time again and is claimed."""
    await put(store, "M1", quiet())
    assert await store.close_gathering(closing(await due(store), release("M1.1", at=LATER)))
    assert [row.id for request in await claim(store, LATER) for row in request.messages] == ["M1.1"]
    assert await store.next_gathering_at() is None


async def test_a_clock_set_back_makes_a_gathering_due_and_nothing_else(store):
    """What waits is not released by the change; its gathering, opened in what is now the future, is looked at."""
    await put(store, "M0", quiet())
    await put(store, "M1", quiet())
    before = NOW - timedelta(hours=3)
    await store.clock_set_back(now=before)
    assert (await one(store, "M1.1")).next_attempt_at is None
    assert await claim(store, before) in ((), [])
    assert len((await due(store, before)).waiting) == 2


async def test_nobody_is_warned_of_what_waits(store):
    """One that waits with others is not late; its time of waiting is none of its lifetime."""
    await put(store, "M1", quiet(NOW + 3 * DAY))
    assert await store.due_warnings(created_before=NOW + DAY, limit=10) in ((), [])
    assert (await one(store, "M1.1")).expires_at == NOW + 4 * DAY


async def test_what_waited_is_pruned_with_its_mail(store):
    """No row keeps a mail from being forgotten."""
    await put(store, "M1", quiet())
    await store.apply([change("M1.1", State.QUEUED, State.CANCELLED)])
    assert await store.prune(before=NOW + 2 * DAY, sent_before=NOW, limit=10) == 1
    assert await store.get_mail("M1") is None


@pytest.mark.parametrize("first", [gather(), quiet()])
async def test_many_that_come_together_are_as_many_that_come_alone(store, first):
    """A number given twice, and several of one mail: each is decided about in its order."""
    messages = [
        new_message("M1.1", gather=first),
        new_message("M1.2", gather=replace(first, alert=replace(first.alert, subject="other"))),
    ]
    result = await store.put(new_mail("M1", *messages))
    assert result.waiting == ({"M1.2"} if first.digest else {"M1.1", "M1.2"})


async def test_the_message_that_stands_for_others_carries_their_escalation_on(store):
    """What waits tells its last line; the digest belongs to the escalation of the one it is the heir of."""
    wanted = Escalate(chain="ops", after_s=300, numbers=("1111", "2222", "3333"))
    await put(store, "M1", gather())
    for id_ in ("M2", "M3"):
        text = f"{id_} down\nReply OK 1111"
        await put(store, id_, gather(f"{id_}/HTTP"), escalate=wanted, text=text)
    await put(store, "M4", gather("M4/HTTP"))
    found = await due(store)
    assert [one.ending for one in found.waiting] == ["Reply OK 1111", "Reply OK 2222", ""]
    changes = [swallow(one.message.id, "D.1", count=3, at=LATER) for one in found.waiting]
    texts = ("+2\nReply OK 1111", "+1\nReply OK 1111")
    digest = new_mail("D", *(new_message(f"D.{n}", text=text) for n, text in enumerate(texts, 1)), received_at=LATER)
    assert await store.close_gathering(closing(found, *changes, mail=digest, heir="M2.1"))
    (escalation,) = await store.find_escalations(Wanted(id="D"))
    assert [(entry.message.id, entry.step) for entry in escalation.messages] == [
        ("D.1", 0), ("D.2", 0), ("M2.1", 0),
    ]  # fmt: skip
    assert escalation.escalation.number == "1111"


@pytest.mark.parametrize("wanted", [gather(), gather("web02/HTTP"), gather(severity="critical"), quiet()])
async def test_what_is_foreseen_is_what_becomes_of_it(store, wanted):
    """Alone, in a storm, as a repeat and in quiet hours; asking changes nothing."""
    before = await store.foresee(wanted, now=NOW)
    assert (before.waits, before.is_repeat, before.beside) == (wanted.digest is None, False, 0)
    assert await store.next_gathering_at() is None
    await put(store, "M1", gather())
    await put(store, "M2", gather("web03/HTTP"))
    seen = await store.foresee(wanted, now=NOW)
    assert await store.foresee(wanted, now=NOW) == seen
    assert await put(store, "M3", wanted) is seen.waits
    assert seen.until == LATER
    assert seen.beside == (0 if wanted.digest is None else 1)
    assert seen.is_repeat is (wanted == gather())


async def test_a_note_is_kept_and_takes_the_place_of_the_one_before(store):
    """Beside the counters, found by the beginning of its name."""
    for text in ("one", "two"):
        await store.keep_note("price:main:+7999", text, until=LATER)
    await store.keep_note("price:main:+7495", "three", until=LATER)
    assert await store.counters_named("price:") == {"price:main:+7999": "two", "price:main:+7495": "three"}
