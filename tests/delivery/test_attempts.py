"""A message with more than one attempt: whose word counts, and what the clock may not decide."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from mailbridge.admin import Action, decide_action
from mailbridge.delivery.keeper import Keeper
from mailbridge.errors import WrongState
from mailbridge.gateway.contract import StatusMiss
from mailbridge.model.outcome import Deferred, Receipt, Unknown
from mailbridge.model.state import State
from tests.support.delivery import error, row
from tests.support.post import Post

SILENCE = Unknown(error=error("timeout"))
BUSY = Deferred(error=error("9"), retry_after_s=61)
LATER = Deferred(error=error("connect"), left=False)
NOT_FOUND_YET, PASSED_ON, DELIVERED, UNDELIVERABLE = -1, 0, 1, 20


def receipt(post: Post, attempt: int, status: int) -> Receipt:
    """Build what the gateway says of the request it was handed as its *attempt*-th."""
    sent = post.gateway.batches[attempt - 1]
    return Receipt(gateway="main", gateway_id=sent.gateway_id, phone=sent.messages[0].phone, status=status, err=0)


def say(post: Post, attempt: int, status: int) -> None:
    """Have status.php answer so from now on."""
    known = receipt(post, attempt, status)
    post.gateway.statuses[known.phone, known.gateway_id] = known


async def attempt(post: Post, *outcomes) -> None:
    """Send what is due, each request with the next outcome; unknown ones are given up and queued in between."""
    for outcome in outcomes:
        if outcome is not None:
            post.gateway.answer = lambda batch, outcome=outcome: [outcome] * len(batch.messages)
        else:
            post.gateway.answer = post.gateway.accept
        await post.restart().send_all()


async def pass_quarantine(post: Post) -> None:
    """Let the quarantine end and the gateway be asked."""
    for _ in range(20):
        post.clock.advance(10)
        await post.questions.step()


async def retried(post: Post, id_: str) -> None:
    """Queue a message again as a person does."""
    change = decide_action(await post.row(id_), Action.RETRY, lifetime_s=86400, by="cli:root", now=post.clock.now())
    assert await post.store.apply([change]) == [True]


@pytest.mark.parametrize(("status", "state"), [(PASSED_ON, State.SENT), (DELIVERED, State.DELIVERED)])
async def test_a_receipt_for_an_earlier_attempt_stops_the_next_one(status, state):
    """The first was taken after all: what waits for its second attempt must not go out, and the history says why."""
    post = Post()
    id_ = await post.put()
    await attempt(post, SILENCE)
    await pass_quarantine(post)
    await attempt(post, LATER)
    assert await post.state(id_) is State.QUEUED

    assert await post.receipts.take(receipt(post, 1, status))

    now = await post.row(id_)
    assert (now.state, now.gateway_id) == (state, post.gateway.batches[0].gateway_id)
    assert (await post.events(id_))[-1] == state.value
    post.clock.advance(3600)
    await attempt(post, None)
    assert len(post.gateway.batches) == 2


async def test_a_failure_known_before_does_not_stop_what_a_person_queued_again():
    """The gateway repeats its callbacks for a day; the new attempt is for the number that failed, on purpose."""
    post = Post()
    id_ = await post.put()
    await attempt(post, None)
    await post.receipts.take(receipt(post, 1, UNDELIVERABLE))
    await retried(post, id_)

    for status in (UNDELIVERABLE, PASSED_ON):
        await post.receipts.take(receipt(post, 1, status))
        assert await post.state(id_) is State.QUEUED
    await attempt(post, None)
    await post.receipts.take(receipt(post, 1, UNDELIVERABLE))
    assert await post.state(id_) is State.SENT


async def test_a_lost_answer_after_a_persons_retry_is_not_explained_by_the_old_failure():
    """Asked about, the first attempt is found: failed, as was known. The second is what matters."""
    post = Post()
    id_ = await post.put()
    await attempt(post, None)
    await post.receipts.take(receipt(post, 1, UNDELIVERABLE))
    await retried(post, id_)
    await attempt(post, SILENCE)
    say(post, 1, UNDELIVERABLE)
    post.clock.advance(5)
    await post.questions.step()
    assert await post.state(id_) is State.UNKNOWN

    say(post, 2, PASSED_ON)
    post.clock.advance(20)
    await post.questions.step()
    assert await post.state(id_) is State.SENT


async def test_an_older_attempts_failure_waits_for_the_newest():
    """Two lost answers; the first turns out failed while the second may still be taken: no failure is reported yet."""
    post = Post()
    id_ = await post.put()
    await attempt(post, SILENCE)
    await pass_quarantine(post)
    await attempt(post, SILENCE)
    say(post, 1, UNDELIVERABLE)
    post.clock.advance(5)
    await post.questions.step()
    await post.receipts.take(receipt(post, 1, UNDELIVERABLE))
    assert await post.state(id_) is State.UNKNOWN

    await pass_quarantine(post)
    assert await post.state(id_) is State.UNDELIVERED


async def test_delivered_overrides_everything():
    """A failure DSN is not taken back, but the truth is shown."""
    post = Post()
    id_ = await post.put()
    await attempt(post, None)
    await post.receipts.take(receipt(post, 1, UNDELIVERABLE))
    await retried(post, id_)

    await post.receipts.take(receipt(post, 1, DELIVERED))
    assert await post.state(id_) is State.DELIVERED
    post.clock.advance(100)
    await attempt(post, None)
    assert len(post.gateway.batches) == 1


async def test_not_found_counts_only_when_it_was_asked_after_the_quarantine():
    """A question put before and answered after proves nothing: the request could have arrived in between."""
    post = Post()
    id_ = await post.put()
    await attempt(post, SILENCE)
    post.clock.advance(149)
    ask = post.gateway.status

    async def slow(queries):
        answers = await ask(queries)
        post.clock.advance(20)
        return answers

    post.gateway.status = slow
    await post.questions.step()
    assert await post.state(id_) is State.UNKNOWN


async def test_a_clock_set_forward_does_not_end_a_quarantine():
    """An hour in a moment is no hour: the request may still be on its way."""
    post = Post()
    id_ = await post.put()
    await attempt(post, SILENCE)
    await post.questions.step()
    post.clock.jump_wall(3600)
    await post.questions.step()
    post.clock.advance(100)
    await post.questions.step()
    assert await post.state(id_) is State.UNKNOWN

    await pass_quarantine(post)
    assert await post.state(id_) is State.QUEUED


@pytest.mark.parametrize("back_s", [3600, 10 * 365 * 86400])
async def test_a_clock_set_back_holds_nothing_up(back_s):
    """What waits for its retry, and what is asked about, goes on within seconds."""
    post = Post()
    deferred, unknown = await post.put(1), await post.put(2)
    post.gateway.answer = lambda batch: [LATER if sms.text == "text 1" else SILENCE for sms in batch.messages]
    await post.send_all()
    keeper = Keeper(
        store=post.store, board=post.board, clock=post.clock, wake=lambda: None, alarm=lambda _row: None,
        settings=_queue_settings(),
    )  # fmt: skip
    await keeper.step()
    post.clock.jump_wall(-back_s)
    await keeper.step()
    post.clock.advance(1)
    await attempt(post, None)
    assert await post.state(deferred) is State.SENT

    say(post, 1, PASSED_ON)
    for known in list(post.gateway.statuses.values()):
        assert known is not StatusMiss.NOT_FOUND
    await pass_quarantine(post)
    assert (await post.row(unknown)).state in {State.SENT, State.QUEUED}


def _queue_settings():
    from mailbridge.config.model import Queue

    return Queue()


async def test_an_unknown_message_is_not_called_lost_before_its_quarantine_is_over():
    """Its lifetime ends a second after the answer was lost: the gateway is asked first, no failure is reported."""
    from datetime import timedelta

    post = Post(on_unknown="fail")
    id_ = await post.put(expires_at=post.clock.now() + timedelta(seconds=1))
    await attempt(post, SILENCE)
    keeper = Keeper(
        store=post.store, board=post.board, clock=post.clock, wake=lambda: None, alarm=lambda _row: None,
        settings=_queue_settings(),
    )  # fmt: skip
    post.clock.advance(5)
    await keeper.step()
    assert await post.state(id_) is State.UNKNOWN
    say(post, 1, PASSED_ON)
    await post.questions.step()
    assert await post.state(id_) is State.SENT


async def test_what_was_never_taken_expires_instead_of_going_out_late():
    """Not found when the quarantine ends, and its lifetime over: expired, with a report, and no new attempt."""
    from datetime import timedelta

    post = Post()
    id_ = await post.put(expires_at=post.clock.now() + timedelta(seconds=1))
    await attempt(post, SILENCE)
    await pass_quarantine(post)
    assert await post.state(id_) is State.EXPIRED
    await attempt(post, None)
    assert len(post.gateway.batches) == 1


async def test_a_double_is_reported_when_a_callback_ends_the_message():
    """The audit of older attempts does not depend on who brought the news."""
    post = Post()
    await post.put()
    await attempt(post, SILENCE)
    await pass_quarantine(post)
    await attempt(post, None)
    say(post, 1, DELIVERED)
    with capture_logs() as logs:
        await post.receipts.take(receipt(post, 2, DELIVERED))
        await post.questions.step()
    (double,) = [line for line in logs if line["event"] == "double"]
    assert double["gateway_ids"] == [batch.gateway_id for batch in post.gateway.batches]


async def test_a_look_for_doubles_that_breaks_keeps_nobody_from_being_asked_about():
    """A gateway's bug costs the audit its answer; the next message's question is put all the same."""
    post = Post()
    await post.put(1)
    await attempt(post, SILENCE)
    await pass_quarantine(post)
    await attempt(post, None)
    await post.receipts.take(receipt(post, 2, DELIVERED))
    other = await post.put(2)
    await attempt(post, SILENCE)
    say(post, 3, PASSED_ON)
    first_id, real = post.gateway.batches[0].gateway_id, post.gateway.status

    async def break_for_the_first(queries):
        if queries[0].gateway_id == first_id:
            raise ZeroDivisionError
        return await real(queries)

    post.gateway.status = break_for_the_first
    post.clock.advance(5)
    with capture_logs() as logs:
        await post.questions.step()
    assert await post.state(other) is State.SENT
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["question broke"]


@pytest.mark.parametrize("state", [State.UNKNOWN, State.SENT, State.SENDING, State.DELIVERED])
def test_nobody_can_send_again_what_may_be_on_its_way(state):
    """The verb refuses: a double by a person's hand needs a message that is known to have failed, or is held."""
    some = row(state=state)
    with pytest.raises(WrongState):
        decide_action(some, Action.RETRY, lifetime_s=1, by="cli:root", now=some.updated_at)
