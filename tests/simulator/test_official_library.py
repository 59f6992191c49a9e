"""Programs that use the official library can be tested with the simulator: each of its calls, as smsc-api.md describes it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import AccountSettings, SimulatorSettings
from tests.support.clock import START, FakeClock
from tests.support.official_library import FORMATS, SMSC
from tests.support.simulator import UNLIMITED

PHONE = "79990000001"
T0 = int(START.timestamp())
KINDS = ["sms", "flash", "push", "hlr", "bin", "bin", "ping", "mms", "mail", "call", "viber", "soc"]


@pytest.fixture
async def served():
    """A simulator with a clock that stands still, and the library pointed at it."""
    clock = FakeClock()
    settings = SimulatorSettings(limits=UNLIMITED, accounts=(AccountSettings(apikeys=("demo-key",)),))
    async with Simulator(settings, clock=clock) as simulator:
        yield simulator, clock, SMSC([simulator.url])


async def call(method, *arguments, **named):
    """Run a blocking call of the library beside the server's loop."""
    return await asyncio.to_thread(method, *arguments, **named)


async def test_a_text_is_sent_priced_and_asked_about(served):
    """The life of a message through send_sms, get_sms_cost, get_status and get_balance."""
    _, clock, smsc = served
    assert await call(smsc.get_sms_cost, PHONE, "Привет") == ["1.40", "1"]
    assert await call(smsc.send_sms, PHONE, "Привет", id=1234, sender="ACME") == ["1234", "1", "1.40", "998.60"]
    assert await call(smsc.get_status, 1234, PHONE) == ["-1", str(T0), "0"]
    clock.advance(4)
    assert await call(smsc.get_status, 1234, PHONE) == ["1", str(T0 + 3), "0"]
    assert await call(smsc.get_balance) == "998.60"


async def test_id_zero_lets_the_gateway_choose(served):
    """The library always names an id."""
    _, _, smsc = served
    assert (await call(smsc.send_sms, PHONE, "one"))[0] == "1"
    assert (await call(smsc.send_sms, PHONE, "two"))[0] == "2"


async def test_errors_are_a_negative_second_field(served):
    """Codes with an id carry it, others a zero."""
    simulator, _, smsc = served
    assert await call(smsc.send_sms, "7999", "x", id=175) == ["175", "-7"]
    assert await call(SMSC([simulator.url], "demo", "wrong").send_sms, PHONE, "x") == ["0", "-2"]
    assert await call(SMSC([simulator.url], "demo", "wrong").get_balance) is False
    assert await call(smsc.get_sms_cost, PHONE, "") == ["0", "-1"]


async def test_an_api_key_stands_in_the_password(served):
    """Newer libraries leave the login empty (smsc-api.md 1.4)."""
    simulator, _, _ = served
    assert await call(SMSC([simulator.url], "", "demo-key").get_balance) == "1000.00"


@pytest.mark.parametrize("number", range(len(FORMATS)))
async def test_each_format(served, number):
    """The function argument ``format``, 0 to 11, is the kind of the message."""
    simulator, _, smsc = served
    text = {2: "http://example.org\ntitle", 4: "abc", 5: "00616263"}.get(number, "text")
    phones, sender = ("a@example.org", "b@example.org") if number == 8 else (PHONE, False)
    sent = await call(smsc.send_sms, phones, text, format=number, sender=sender, query="subj=hi", id=7)
    assert sent[:2] == ["7", "1"]
    assert [message["type"] for message in simulator.inbox] == [KINDS[number]]


async def test_a_long_request_is_posted_and_a_short_one_is_not(served):
    """Two thousand characters of an address are the limit."""
    simulator, _, smsc = served
    await call(smsc.send_sms, PHONE, "short")
    await call(smsc.send_sms, PHONE, "я" * 500)
    assert [method for method, _ in smsc.attempts] == ["GET", "POST"]
    assert simulator.inbox[0]["text"] == "я" * 500


async def test_files_go_as_parts_of_a_form(served):
    """An MMS with a picture and nothing else but its subject."""
    simulator, _, smsc = served
    sent = await call(
        smsc.send_sms, PHONE, "", format=7, query="subj=Door", files=[("door.jpg", b"\xff\xd8\x00")], id=9
    )
    assert sent[0] == "9"
    assert simulator.inbox[0]["files"] == ["door.jpg"]


async def test_texts_with_commas_survive_all_levels(served):
    """The text stands last, and the library joins what the commas parted."""
    _, clock, smsc = served
    await call(smsc.send_sms, PHONE, "one, two, three, and four", id=5, sender="ACME")
    clock.advance(4)
    assert (await call(smsc.get_status, 5, PHONE, 1))[8] == "one, two, three, and four"
    assert (await call(smsc.get_status, 5, PHONE, 2))[11] == "one, two, three, and four"


async def test_an_hlr_keeps_its_fields_apart(served):
    """The word HLR stands where a sender's name would."""
    _, clock, smsc = served
    await call(smsc.send_sms, PHONE, "", format=3, id=6)
    clock.advance(4)
    for level, place in ((1, 14), (2, 17)):
        assert (await call(smsc.get_status, 6, PHONE, level))[place] == "HLR"


async def test_many_statuses_are_many_lines(served):
    """Paired lists, one line each, with id and phone at its end."""
    _, clock, smsc = served
    await call(smsc.send_sms, f"{PHONE},79990000225", "x", id=8)
    clock.advance(4)
    lines = await call(smsc.get_status, "8,8", f"{PHONE},79990000225")
    assert lines == [["1", str(T0 + 3), "0", "8", PHONE], ["25", str(T0 + 1), "248", "8", "79990000225"]]


async def test_a_host_that_gives_nothing_gives_way_to_the_next(served):
    """An empty body and a refused connection count as failed attempts; an error does not."""
    simulator, _, _ = served
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
        smsc = SMSC([dead, simulator.url, simulator.url])
        assert await call(smsc.send_sms, "79990000107", "x", id=3) == ["3", "-7"]
    assert len(smsc.attempts) == 2
