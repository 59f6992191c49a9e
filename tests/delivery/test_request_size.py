"""Large requests that get no answer: the next ones are smaller, so that a gateway slow with a few is no dead one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mailbridge.delivery.pace import Pace
from mailbridge.delivery.questions import Prober
from mailbridge.gateway.contract import Batch
from mailbridge.model.outcome import ErrorClass, Outcome, Receipt, Unknown
from mailbridge.model.state import State
from tests.support.delivery import error
from tests.support.post import Post

SILENCE = Unknown(error=error("timeout", ErrorClass.UNKNOWN))


def pace_after(*requests: tuple[int, bool], most: int = 100) -> int:
    """Return the size of a request after these: (messages, whether a usable answer came)."""
    pace = Pace(10, most_size=most)
    for sent, is_answered in requests:
        pace.start()
        pace.finish(too_many=False, sent=sent, is_answered=is_answered)
    return pace.size


@pytest.mark.parametrize(("requests", "size"), [
    ([], 100),
    ([(100, False)], 50),
    ([(100, False), (50, False)], 25),
    ([(100, False), (50, True)], 100),
    ([(100, False), (10, True)], 50),
    ([(1, False)] * 20, 100),
    ([(100, False)] * 10, 50),
    ([(100, False), (50, False), (25, False), (12, False), (6, False), (3, False)], 1),
    ([(3, False), (1, True), (2, True), (4, True)], 8),
    ([(7, False)], 3),
])  # fmt: skip
def test_silence_halves_a_request_and_an_answer_to_a_full_one_doubles_it(requests, size):
    """A lone message's silence says nothing about size, nor does the answer to a request that was not full.

    Requests of one size that fail together count once.
    """
    assert pace_after(*requests) == size


@pytest.mark.slow
async def test_a_backlog_with_slow_numbers_leaves_within_minutes():
    """Each 40th number makes its whole request late, though the gateway takes it: nearly every full request has one."""
    post = Post()
    post.gateway.max_batch = 100
    prober = Prober(board=post.board, clock=post.clock, wake=lambda: None)

    def answer(batch: Batch) -> Sequence[Outcome]:
        if not any(int(sms.text.split()[1]) % 40 == 0 for sms in batch.messages):
            return post.gateway.accept(batch)
        for sms in batch.messages:
            post.gateway.statuses[sms.phone, batch.gateway_id] = Receipt(
                gateway="main", gateway_id=batch.gateway_id, phone=sms.phone, status=0, err=0,
                changed_at=None, price=None, parts=1,
            )  # fmt: skip
        return [SILENCE] * len(batch.messages)

    post.gateway.answer = answer
    ids = [await post.put(number) for number in range(1, 2001)]
    for _ in range(36):
        await post.restart().send_all()
        while await post.questions.step():
            pass
        await prober.step()
        post.clock.advance(5)

    states = [await post.state(id_) for id_ in ids]
    assert states.count(State.SENT) == len(ids)


async def test_a_trial_after_silence_puts_one_message_in_doubt():
    """Requests got no answer, a probe did: one message goes ahead, and the rest follows when it was accepted."""
    post = Post()
    prober = Prober(board=post.board, clock=post.clock, wake=lambda: None)
    for number in range(1, 301):
        await post.put(number)
    post.gateway.answer = lambda batch: [SILENCE] * len(batch.messages)
    post.gateway.max_batch = 10
    for _ in range(2):
        post.board.carriers["main"].pace.size = 10
        await post.restart().send_all()
        post.clock.advance(30)
        await prober.step()
    silent = [len(batch.messages) for batch in post.gateway.batches]
    post.gateway.answer = post.gateway.accept
    await post.restart().send_all()
    answered = [len(batch.messages) for batch in post.gateway.batches[len(silent) :]]

    assert silent[-1] == 1
    assert answered[0] == 1
    assert max(answered) > 1
