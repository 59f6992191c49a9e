"""``resend``: the same text once more, as a message of its own."""

from datetime import timedelta

import pytest

from mailbridge.admin import Action, act, may
from mailbridge.errors import NotFound, WrongState
from mailbridge.model.state import State
from mailbridge.queue.memory import MemoryStore
from tests.support.clock import FakeClock
from tests.support.queue import NOW, change, claim, failed, new_mail, new_message


async def resend(store, *ids):
    """Resend as the command line does."""
    return await act(store, ids, Action.RESEND, lifetime_s=60, by="cli:root", clock=FakeClock())


async def delivered(store, id_):
    """Take a claimed message to its end."""
    await store.apply([change(id_, State.SENDING, State.SENT, at=NOW)])
    assert await store.apply([change(id_, State.SENT, State.DELIVERED, at=NOW)]) == [True]


async def test_a_delivered_message_goes_out_again_as_a_new_one():
    """Same phone, text and subject, due now, with a lifetime of its own; its history names the first."""
    store = MemoryStore()
    sms = {"time": "+5", "wanted_id": "77", "sender": "NAGIOS"}
    await store.put(new_mail("M1", new_message("M1.1", text="disk full", sms=sms)))
    await claim(store)
    await delivered(store, "M1.1")
    (again,) = await resend(store, "m1.1")
    assert again.mail_id != "M1"
    assert (again.message.text, again.message.phone, again.message.sender) == ("disk full", "+79990000001", "NAGIOS")
    assert (again.message.time, again.message.wanted_id, again.state) == ("", None, State.QUEUED)
    assert again.expires_at - again.created_at == timedelta(seconds=60)
    (entry,) = await store.history(again.id)
    assert entry.detail == {"by": "cli:root", "action": "resend", "of": "M1.1"}
    assert (await store.get_mail(again.mail_id)).subject == "Subject"
    assert (await store.get_messages("M1.1"))[0].state is State.DELIVERED


async def test_of_a_mail_those_that_are_done_with_go_again_together():
    """What still waits goes by itself."""
    store = MemoryStore()
    phones = ("+79990000001", "+79990000002", "+79990000003")
    messages = [new_message(f"M1.{n}", phone=phone) for n, phone in enumerate(phones, 1)]
    await store.put(new_mail("M1", *messages))
    await claim(store)
    await store.apply([failed("M1.1")])
    await delivered(store, "M1.3")
    again = await resend(store, "M1")
    assert [row.message.phone for row in again] == [phones[0], phones[2]]
    assert len({row.mail_id for row in again}) == 1


@pytest.mark.parametrize("state", [State.QUEUED, State.HELD])
async def test_what_may_yet_go_is_not_sent_a_second_time(state):
    """Nothing is stored."""
    store = MemoryStore()
    await store.put(new_mail("M1", new_message("M1.1", state=state)))
    with pytest.raises(WrongState):
        await resend(store, "M1.1")
    assert len(await store.count_states()) == 1
    assert Action.RESEND not in may(state)


async def test_an_id_of_nothing_is_not_found():
    """As with the other verbs."""
    with pytest.raises(NotFound):
        await resend(MemoryStore(), "NOSUCH")
