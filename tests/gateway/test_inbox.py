"""The inbox: what ``get.php?get_answers=1`` says is read as SMS that came in, whatever it says."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.gateway.contract import InboxPage
from mailbridge.gateway.smsc.answers import parse_answer
from mailbridge.gateway.smsc.client import SmscGateway
from mailbridge.gateway.smsc.inbox import inbox_body, judge_inbox
from mailbridge.model.inbound import InboundSms
from mailbridge.model.outcome import SmsError, Suspended
from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import AccountSettings, SimulatorSettings
from tests.support.sms import settings

#: smsc-api.md 6.2
EXAMPLE = (
    '[{"id":7001,"received":"15.11.2023 01:20:05","phone":"79990000001","message":"STOP","to_phone":"79037672215",'
    '"sent":"15.11.2023 01:20:01"}]'
)


def judge(body: bytes | str) -> object:
    """Read an answer."""
    return judge_inbox(parse_answer(body if isinstance(body, bytes) else body.encode()), "main")


def test_the_documents_example_is_read():
    """Its dates are Moscow's."""
    sms = InboundSms(
        gateway="main", phone="+79990000001", text="STOP", to="79037672215", id="7001",
        received_at=datetime(2023, 11, 14, 22, 20, 5, tzinfo=UTC),
    )  # fmt: skip
    assert judge(EXAMPLE) == InboxPage(items=(sms,), last_id=7001, count=1)


@pytest.mark.parametrize("body", ["[]", '{"error":"no messages","error_code":3}', "ERROR = 3 (no messages)"])
def test_nothing_is_an_empty_inbox(body):
    """However it is said."""
    assert judge(body) == InboxPage()


def test_what_shuts_us_out_and_what_is_no_answer():
    """Codes 2 and 4 mean the same in every method; the rest is told and asked again."""
    assert isinstance(judge('{"error":"authorise error","error_code":2}'), Suspended)
    assert isinstance(judge('{"error":"IP is blocked","error_code":4}'), Suspended)
    for body in ('{"error":"duplicate request","error_code":9}', "<html>", "", '{"id":1}', "7", '"x"', "null"):
        assert isinstance(judge(body), SmsError), body


def test_an_entry_that_cannot_be_read_is_passed_over():
    """It must not stand in the way of those after it."""
    entries = [
        {"id": 1, "phone": "MegaFon", "message": "hi"}, {"id": 2}, "x", {"phone": "79990000001", "message": "no id"},
        {"id": "4", "phone": 79990000001, "message": "good", "received": "never"}, {"id": 5, "phone": "1", "message": 7},
    ]  # fmt: skip
    page = judge(json.dumps(entries))
    assert isinstance(page, InboxPage)
    assert ([item.text for item in page.items], page.last_id, page.count) == (["good"], 5, 6)
    assert (page.items[0].id, page.items[0].received_at) == ("4", None)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["id", "phone", "message", "to_phone", "received", "sent"]),
            st.none() | st.text() | st.integers() | st.floats(allow_nan=False) | st.lists(st.integers(), max_size=2),
        ),
        max_size=5,
    )
)
def test_strange_entries_become_sms_that_can_be_kept_or_nothing(entries):
    """Of a fair length, with a number and without halves of characters."""
    page = judge(json.dumps(entries))
    assert isinstance(page, InboxPage | SmsError)
    for item in page.items if isinstance(page, InboxPage) else ():
        item.text.encode()
        assert len(item.text) <= 2000
        assert item.phone.startswith("+")
        assert item.id.lstrip("+-").isdigit()


def test_the_cursor_is_asked_from():
    """The first look takes the last hour, a later one all that is kept."""
    assert inbox_body("p", after_id=None, limit=9) == b"p&get_answers=1&cnt=9&hour=1"
    assert inbox_body("p", after_id=7, limit=9) == b"p&get_answers=1&cnt=9&hour=168&after_id=7"


async def test_the_simulators_inbox_is_read_page_by_page():
    """Two readings of the same document agree."""
    account = AccountSettings(login="acme", password="s3cret-canary")
    async with Simulator(SimulatorSettings(accounts=(account,))) as simulator:
        carrier = simulator.carrier
        now = carrier.clock.now().timestamp()
        for number in range(5):
            carrier.inbox.add(login="acme", phone="79990000001", mes=f"текст {number}", to="79037672215", now=now)
        gateway = SmscGateway("main", settings(simulator.url))
        try:
            texts, cursor = [], None
            for _ in range(4):
                page = await gateway.inbox(after_id=cursor, limit=2)
                assert isinstance(page, InboxPage)
                texts += [item.text for item in page.items]
                cursor = page.last_id or cursor
            assert texts == [f"текст {number}" for number in range(5)]
        finally:
            await gateway.aclose()
