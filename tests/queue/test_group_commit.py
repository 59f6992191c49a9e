"""Calls that wait together share a commit, and a bad one harms nobody else."""

import asyncio
import gc
import threading

import pytest

from mailbridge.errors import StoreError
from mailbridge.model.state import State
from mailbridge.queue.contract import Filter
from tests.support.queue import change, claim, new_mail, new_message, together

FIFTY = range(50)


class PlanError(Exception):
    """A plan that fails."""


def fail(*_):
    """Plan: fail."""
    raise PlanError


async def put_fifty(store):
    """Put fifty mails at once."""
    return await asyncio.gather(
        *(store.put(new_mail(f"M{n}", new_message(f"M{n}.1", key=f"k{n}", phone=f"+7999{n:07}"))) for n in FIFTY)
    )


async def test_fifty_mails_at_once_share_a_commit(sqlite):
    """The first may go ahead, the others wait for its commit and share the next."""
    before, spent = sqlite.commits, sqlite.statements
    await put_fifty(sqlite)
    assert sqlite.commits - before <= 2
    assert sqlite.statements - spent <= 12


async def test_a_mail_alone_is_one_commit_of_few_statements(sqlite):
    """BEGIN, a look at the keys, and four inserts."""
    before, spent = sqlite.commits, sqlite.statements
    await sqlite.put(new_mail("M1", new_message("M1.1", key="k")))
    assert (sqlite.commits - before, sqlite.statements - spent) == (1, 6)


async def test_claiming_and_settling_many_takes_as_many_statements_as_a_few(sqlite):
    """The work is counted in batches, not in messages."""
    await put_fifty(sqlite)
    spent = sqlite.statements
    (request,) = await claim(sqlite, plan=together)
    await sqlite.apply([change(row.id, State.SENDING, State.SENT) for row in request.messages])
    assert len(request.messages) == len(FIFTY)
    assert sqlite.statements - spent <= 13


async def test_changes_of_many_callers_share_a_commit_and_each_hears_its_own(sqlite):
    """Results are handed back in the order and number of each call's changes."""
    await put_fifty(sqlite)
    before = sqlite.commits
    calls = ([change(f"M{n}.1", State.QUEUED, State.HELD)] * (1 + n % 2) for n in FIFTY)
    results = await asyncio.gather(*(sqlite.apply(call) for call in calls))
    assert results == [[True] if n % 2 == 0 else [True, False] for n in FIFTY]
    assert sqlite.commits - before <= 2


async def test_one_bad_mail_fails_alone(sqlite):
    """A mail id that is taken and a text no database takes fail; their neighbours are kept."""
    await sqlite.put(new_mail("M7"))
    bad = new_mail("M8", new_message("M8.1", text="\ud800"))
    mails = [bad if n == 8 else new_mail(f"M{n}") for n in range(20)]
    results = await asyncio.gather(*(sqlite.put(mail) for mail in mails), return_exceptions=True)
    assert [n for n, result in enumerate(results) if isinstance(result, StoreError)] == [7, 8]
    assert len(await sqlite.find(Filter(limit=99))) == 19


async def test_duplicates_are_found_between_mails_of_one_commit(sqlite):
    """Five clients repeat one mail at the same moment: one is kept."""
    mails = [new_mail(f"M{n}", new_message(f"M{n}.1", key="same")) for n in range(5)]
    results = await asyncio.gather(*(sqlite.put(mail) for mail in mails))
    assert [dict(result.duplicates) for result in results] == [{}, *({f"M{n}.1": "M0.1"} for n in range(1, 5))]
    assert len(await sqlite.find(Filter())) == 1


async def test_a_plan_that_fails_claims_nothing_and_leaves_the_store_well(sqlite):
    """The plan's own exception comes out, its transaction is undone."""
    await sqlite.put(new_mail("M1"))
    with pytest.raises(PlanError):
        await claim(sqlite, plan=fail)
    assert len(await claim(sqlite)) == 1


async def test_a_cancelled_caller_leaves_a_whole_mail(sqlite):
    """The job goes on; the next call sees what it wrote."""
    entered, go_on = threading.Event(), threading.Event()

    def wait(*_):
        entered.set()
        go_on.wait(10)
        return []

    await sqlite.put(new_mail("M0"))
    blocker = asyncio.create_task(claim(sqlite, plan=wait))
    await asyncio.to_thread(entered.wait, 10)
    put = asyncio.create_task(sqlite.put(new_mail("M1")))
    await asyncio.sleep(0)
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    go_on.set()
    await blocker
    await sqlite.ping()
    assert len(await sqlite.get_messages("M1")) == 1


async def test_a_cancelled_caller_leaves_no_error_behind(sqlite):
    """What goes wrong with its job afterwards is nobody's: no line about an exception never looked at."""
    seen = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: seen.append(context))
    await sqlite.put(new_mail("M1"))
    put = asyncio.create_task(sqlite.put(new_mail("M1")))
    await asyncio.sleep(0)
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    await sqlite.ping()
    gc.collect()
    assert seen == []


async def test_closing_finishes_what_waits(sqlite):
    """Closing twice is allowed, writing afterwards is not."""
    calls = [asyncio.create_task(sqlite.put(new_mail(f"M{n}"))) for n in range(5)]
    await asyncio.sleep(0)
    await sqlite.close()
    await asyncio.gather(*calls)
    with pytest.raises(StoreError):
        await sqlite.put(new_mail("M9"))
    await sqlite.close()


async def test_every_question_after_closing_is_a_store_error(sqlite):
    """Nothing but StoreError leaves a store."""
    await sqlite.close()
    with pytest.raises(StoreError):
        await sqlite.find(Filter())
