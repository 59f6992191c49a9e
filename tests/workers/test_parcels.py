"""What goes from one process to another arrives as it was sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.errors import IntakeError, MailbridgeError, Rejected, StoreError, StoreFull, TryLater
from mailbridge.model import reply
from mailbridge.model.message import Alphabet, Message
from mailbridge.model.reply import Reply
from mailbridge.model.state import State
from mailbridge.queue.contract import DedupeKey, NewMail, NewMessage
from mailbridge.workers.parcels import pack_error, pack_replies, packing_of, unpack_answer

#: a clock of the machine's may be wrong by a century
times = st.integers(0, 7_000_000_000_000_000).map(
    lambda us: datetime.fromtimestamp(0, UTC) + timedelta(microseconds=us)
)
texts = st.text(max_size=20)
maybe = st.none() | texts
details = st.dictionaries(texts, st.none() | st.booleans() | texts | st.lists(texts) | st.integers(), max_size=3)
messages = st.builds(
    Message, phone=texts, channel=texts, sender=texts, text=st.text(), alphabet=st.sampled_from(Alphabet),
    wanted_id=maybe, rule=maybe, profile=maybe, notes=st.lists(texts, max_size=2).map(tuple),
)  # fmt: skip
new_messages = st.builds(
    NewMessage, id=texts, message=messages, recipient=texts, notify=st.none() | st.frozensets(texts, max_size=3),
    orcpt=maybe, state=st.sampled_from(State), detail=details, next_attempt_at=times, expires_at=times,
    dedupe=st.lists(st.builds(DedupeKey, key=texts, until=times), max_size=2).map(tuple),
)  # fmt: skip
new_mails = st.builds(
    NewMail, id=texts, received_at=times, sender=texts, client=texts, user=maybe, message_id=texts, subject=texts,
    envid=maybe, ret=maybe, original=st.binary(), messages=st.lists(new_messages, max_size=3).map(tuple),
    hold_reports_until=st.none() | times,
)  # fmt: skip


@given(new_mails)
def test_a_mail_arrives_as_it_was_sent(mail: NewMail) -> None:
    """Whatever a stranger's mail has become, every field of it, of the same types."""
    packing = packing_of(NewMail)

    arrived = packing.load(packing.dump(mail))

    assert arrived == mail
    # a word equals its enum
    assert [type(one.state) for one in arrived.messages] == [State] * len(mail.messages)
    assert [type(one.message.alphabet) for one in arrived.messages] == [Alphabet] * len(mail.messages)


@given(st.lists(st.sampled_from([one for one in vars(reply).values() if isinstance(one, Reply)]), max_size=4))
def test_replies_arrive_as_they_were_given(replies: list[Reply]) -> None:
    """All of them, in their order."""
    assert unpack_answer(pack_replies(replies)) == replies


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (Rejected(reply.UNUSABLE_MAIL), Rejected, str(reply.UNUSABLE_MAIL)),
        (TryLater(reply.OVER_LIMIT), TryLater, str(reply.OVER_LIMIT)),
        (StoreFull("no room"), StoreFull, "no room"),
        (StoreError("a lock"), StoreError, "a lock"),
        (ZeroDivisionError("secret"), TryLater, str(reply.LOCAL_ERROR)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_keeps_its_meaning(error: Exception, kind: type[MailbridgeError], words: str) -> None:
    """The door answers what it would have answered in one process; of a bug it hears that there was one."""
    with pytest.raises(MailbridgeError) as caught:
        unpack_answer(pack_error(error))

    assert type(caught.value) is kind
    assert str(caught.value) == words
    if isinstance(error, IntakeError):
        assert isinstance(caught.value, IntakeError)
        assert caught.value.reply == error.reply


@dataclass(frozen=True, slots=True)
class Money:
    amount: Decimal
    spent: Decimal | None


@dataclass(frozen=True, slots=True)
class Odd:
    name: str
    value: complex


def test_money_stays_exact() -> None:
    """A decimal does not become a float on its way."""
    packing = packing_of(Money)
    assert packing.load(packing.dump(Money(Decimal("1.40"), None))) == Money(Decimal("1.40"), None)


def test_a_field_nobody_thought_of_is_found_at_once() -> None:
    """A new kind of field does not wait for a mail to be lost by it."""
    with pytest.raises(TypeError, match="complex"):
        packing_of(Odd)
