"""Contract of every store: alerts that somebody has to answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from mailbridge.model.state import State
from mailbridge.queue.connect import open_store
from mailbridge.queue.contract import OutgoingMail
from mailbridge.queue.escalations import Advance, Escalate, Note, Status, Wanted
from tests.support.queue import DAY, NOW, SECOND, change, claim, failed, new_mail, new_message, one

LATER = NOW + timedelta(seconds=300)


def escalate(*numbers, chain="ops", after_s=300.0):
    """Return what a message of that chain asks for."""
    return Escalate(chain=chain, after_s=after_s, numbers=numbers or ("1111", "2222"))


def alert(id_, wanted=None, **fields):
    """Return a message whose text names the first number."""
    wanted = wanted or escalate()
    return new_message(id_, text=f"db1 down\nReply OK {wanted.numbers[0]}", escalate=wanted, **fields)


async def the(store, **wanted):
    """Return the one escalation that is found."""
    (found,) = await store.find_escalations(Wanted(**wanted))
    return found


def taken(found, *, mail=None, at=LATER, **fields):
    """Return the decision to take the next step of *found*."""
    before = found.escalation
    fields = {"due_at": at + timedelta(seconds=300), "touched_at": at, "turn": before.turn + 1} | fields
    if mail is not None:
        fields["steps"] = before.steps + 1
    return Advance(turn=before.turn, then=replace(before, **fields), mail=mail)


async def test_the_messages_of_a_mail_begin_one_escalation_with_one_number(store):
    """Its number is the first that no other has, and stands in all their texts; another mail's is another."""
    await store.put(new_mail("M1", alert("M1.1"), alert("M1.2", phone="+79990000002")))
    await store.put(new_mail("M2", alert("M2.1")))
    assert [found.escalation.number for found in await store.find_escalations(Wanted())] == ["2222", "1111"]
    found = await the(store, id="M1")
    assert [(entry.message.id, entry.step) for entry in found.messages] == [("M1.1", 0), ("M1.2", 0)]
    assert (found.escalation.due_at, found.escalation.status) == (LATER, Status.OPEN)
    assert (await one(store, "M1.2")).message.text.endswith("OK 1111")
    assert (await one(store, "M2.1")).message.text.endswith("OK 2222")
    assert (await store.history("M1.1"))[0].detail["escalation"] == "ops"


async def test_mails_of_one_commit_get_numbers_of_their_own(store):
    """Also where they are kept together."""
    await asyncio.gather(*(store.put(new_mail(f"M{n}", alert(f"M{n}.1"))) for n in (1, 2)))
    found = await store.find_escalations(Wanted())
    assert {one.escalation.number for one in found} == {"1111", "2222"}


async def test_two_chains_of_one_mail_are_two_escalations(store):
    """Each recipient's chain has its own number."""
    other = escalate("3333", chain="night")
    await store.put(new_mail("M1", alert("M1.1"), alert("M1.2", other, phone="+79990000002")))
    assert {(f.escalation.chain, f.escalation.number) for f in await store.find_escalations(Wanted(id="M1"))} == {
        ("ops", "1111"), ("night", "3333"),
    }  # fmt: skip
    assert (await the(store, id="M1.2")).escalation.chain == "night"


async def test_what_is_not_sent_needs_no_answer(store):
    """A duplicate and a dropped message begin nothing; one that is held does."""
    await store.put(new_mail("M1", alert("M1.1", key="k")))
    await store.put(new_mail("M2", alert("M2.1", key="k"), alert("M2.2", state=State.SUPPRESSED)))
    await store.put(new_mail("M3", alert("M3.1", state=State.HELD)))
    assert [found.escalation.mail_id for found in await store.find_escalations(Wanted())] == ["M3", "M1"]
    held = (await the(store, id="M3")).escalation
    assert (held.status, held.due_at) == (Status.WAITING, NOW + 15 * SECOND)


async def test_a_number_is_nobody_elses_for_a_day_after_the_end(store):
    """A late answer must not mean another alert."""
    await store.put(new_mail("M1", alert("M1.1")))
    ended = taken(await the(store), due_at=None, status=Status.ACKNOWLEDGED, ended_at=NOW)
    assert await store.advance(ended)
    await store.put(new_mail("M2", alert("M2.1", escalate("1111", "2222")), received_at=NOW + DAY - SECOND))
    await store.put(new_mail("M3", alert("M3.1", escalate("1111", "3333")), received_at=NOW + DAY))
    assert [f.escalation.number for f in await store.find_escalations(Wanted())] == ["1111", "2222", "1111"]
    found = await store.find_escalations(Wanted(number="1111", ended_after=NOW))
    assert [f.escalation.mail_id for f in found] == ["M3"]


async def test_a_step_is_taken_once(store):
    """The messages of the step, the history and the next time are one transaction, decided on the newest turn."""
    await store.put(new_mail("M1", alert("M1.1")))
    assert not await store.due_escalations(now=LATER - SECOND, limit=9)
    (due,) = await store.due_escalations(now=LATER, limit=9)
    assert due.mail is not None
    assert due.mail.subject == "Subject"
    step = new_mail("S1", new_message("S1.1", phone="+79990000002"), received_at=LATER)
    decided = replace(taken(due, mail=step), notes=(Note(message_id="M1.1", event="escalated", detail={"step": 1}),))
    assert await asyncio.gather(store.advance(decided), store.advance(decided)) == [True, False]
    assert not await store.due_escalations(now=LATER + 299 * SECOND, limit=9)
    found = await the(store, phone="+79990000002")
    assert [(entry.message.id, entry.step) for entry in found.messages] == [("M1.1", 0), ("S1.1", 1)]
    assert found.escalation.steps == 1
    last = (await store.history("M1.1"))[-1]
    assert (last.event, last.state, last.detail) == ("escalated", State.QUEUED, {"step": 1})
    assert [row.id for request in await claim(store, LATER) for row in request.messages] == ["M1.1", "S1.1"]


async def test_an_end_takes_back_what_has_not_left_and_tells(store):
    """Changes and our own mail belong to the decision."""
    await store.put(new_mail("M1", alert("M1.1")))
    mail = OutgoingMail(
        id=0, mail_id="M1", sender="", recipient="a@example.org", content=b"x", attempts=0, created_at=LATER,
        next_attempt_at=LATER,
    )  # fmt: skip
    ended = taken(await the(store), due_at=None, status=Status.ACKNOWLEDGED, ended_at=LATER, by="+79990000001")
    ended = replace(ended, changes=(change("M1.1", State.QUEUED, State.CANCELLED),), outgoing=mail)
    assert await store.advance(ended)
    assert (await one(store, "M1.1")).state is State.CANCELLED
    assert [out.recipient for out in await store.due_outgoing(now=LATER, limit=9)] == ["a@example.org"]
    found = await the(store, statuses=frozenset({Status.ACKNOWLEDGED}))
    assert found.escalation == ended.then
    assert not await store.is_anything_escalating()
    assert not await store.find_escalations(Wanted(statuses=frozenset({Status.OPEN})))


async def test_a_step_that_failed_as_a_whole_is_due_at_once(store):
    """Nobody it went to will answer; while one message is on its way they may."""
    await store.put(new_mail("M1", alert("M1.1"), alert("M1.2", phone="+79990000002")))
    assert await store.is_anything_escalating()
    await claim(store)
    await store.apply([failed("M1.1")])
    assert not await store.due_escalations(now=NOW, limit=9)
    await store.apply([failed("M1.2")])
    assert len(await store.due_escalations(now=NOW, limit=9)) == 1


async def test_what_a_clock_left_in_the_future_is_due(store):
    """Its step would come too late by as much as the clock was set back."""
    await store.put(new_mail("M1", alert("M1.1")))
    assert len(await store.due_escalations(now=NOW - DAY, limit=9)) == 1


async def test_pruning_leaves_what_is_still_escalating(store):
    """The text of its next step stands there; when it is over it goes with the rest."""
    await store.put(new_mail("M1", alert("M1.1")))
    await claim(store)
    await store.apply([change("M1.1", State.SENDING, State.DELIVERED)])
    step = new_mail("S1", new_message("S1.1", state=State.SUPPRESSED), received_at=NOW)
    assert await store.advance(taken(await the(store), mail=step))
    assert await store.prune(before=LATER, sent_before=LATER, limit=9) == 0
    assert await store.advance(taken(await the(store), due_at=None, status=Status.EXHAUSTED, ended_at=LATER))
    assert await store.prune(before=LATER, sent_before=LATER, limit=9) == 2
    assert not await store.find_escalations(Wanted())


@pytest.mark.slow
async def test_of_two_nodes_one_takes_a_step(queue_url):
    """Both may have decided it; the second finds that it was taken."""
    stores = [open_store(queue_url, exclusive=True) for _ in range(2)]
    for store in stores:
        await store.open()
    try:
        for number in range(5):
            id_ = f"M{number}"
            await stores[0].put(new_mail(id_, alert(f"{id_}.1", escalate(f"{number}000"))))
            decided = [
                taken(await the(store, id=id_), mail=new_mail(f"S{number}{place}", new_message(f"S{number}{place}.1")))
                for place, store in enumerate(stores)
            ]
            took = await asyncio.gather(*(s.advance(step) for s, step in zip(stores, decided, strict=True)))
            assert sorted(took) == [False, True]
            assert len((await the(stores[0], id=id_)).messages) == 2
    finally:
        for store in stores:
            await store.close()


@pytest.mark.slow
async def test_two_nodes_give_no_number_twice(queue_url):
    """They choose one after the other."""
    stores = [open_store(queue_url, exclusive=True) for _ in range(2)]
    for store in stores:
        await store.open()
    try:
        numbers = tuple(f"{number}111" for number in range(9))
        await asyncio.gather(
            *(store.put(new_mail(f"M{n}{place}", alert(f"M{n}{place}.1", escalate(*numbers))))
              for n in range(4) for place, store in enumerate(stores))
        )  # fmt: skip
        given = [found.escalation.number for found in await stores[0].find_escalations(Wanted())]
        assert len(given) == len(set(given)) == 8
    finally:
        for store in stores:
            await store.close()
