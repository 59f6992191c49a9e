"""Rows are taken apart by place: each column arrives in its field, and each moment to the microsecond."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailbridge.model.message import Alphabet
from mailbridge.model.outcome import ErrorClass, SmsError
from mailbridge.model.state import State
from mailbridge.queue.rows import MESSAGE, STANDING, from_us, read_message, read_standing, standing_values, to_us
from mailbridge.queue.tables import messages

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_US = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
LEAST_US = (datetime.min.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)

#: no two columns hold the same
ROW = {
    "id": "M1.1",
    "mail_id": "M1",
    "phone": "+79990000001",
    "channel": "sms",
    "sender": "NAGIOS",
    "text": "Hello",
    "translit": 2,
    "alphabet": "ucs2",
    "composed_parts": 3,
    "flash": 1,
    "time": "+5",
    "valid": "24",
    "wanted_id": "55",
    "rule": "a rule",
    "profile": "a profile",
    "notes": '["odd", "very"]',
    "recipient": "79990000001@sms.local",
    "notify": "DELAY FAILURE",
    "orcpt": "rfc822;a@example.org",
    "state": "unknown",
    "attempts": 4,
    "gateway": "main",
    "gateway_id": "77",
    "attempted_at": 1_000_001,
    "unknown_since": 2_000_002,
    "asked": 5,
    "parts": 6,
    "price": "2.50",
    "currency": "RUR",
    "error_code": "7",
    "error_text": "invalid number",
    "error_class": "refused",
    "created_at": 3_000_003,
    "updated_at": 4_000_004,
    "next_attempt_at": 5_000_005,
    "expires_at": 6_000_006,
}
#: what a message as composed calls otherwise, and what is made of a column's value
MADE_OF = {
    "composed_parts": 3,
    "alphabet": Alphabet.UCS2,
    "flash": True,
    "notes": ("odd", "very"),
    "notify": frozenset({"DELAY", "FAILURE"}),
    "state": State.UNKNOWN,
    "price": Decimal("2.50"),
}
ERROR = SmsError(code="7", text="invalid number", error_class=ErrorClass.REFUSED)
COMPOSED = {column.name for column in MESSAGE[2:16]}


@pytest.mark.parametrize("name", ROW)
def test_each_column_arrives_in_the_field_of_its_name(name):
    """The only place that knows the order of columns is beside the one that takes them apart."""
    stored = read_message([ROW[column.name] for column in MESSAGE])
    if name.startswith("error_"):
        assert stored.error == ERROR
        return
    value = MADE_OF.get(name, ROW[name])
    if name.endswith(("_at", "_since")):
        value = EPOCH + timedelta(microseconds=value)
    owner = stored.message if name in COMPOSED else stored
    assert getattr(owner, "parts" if name == "composed_parts" else name) == value


def test_a_value_needs_no_column_but_those_it_is_read_from():
    """What only statements look at is not brought along."""
    assert {column.name for column in MESSAGE} == set(ROW)
    assert {column.name for column in messages.c} - set(ROW) == {"number", "warnable", "claimed_by"}


def test_what_a_change_may_alter_is_read_as_it_is_written():
    """Columns there, the same columns back."""
    row = {column.name: ROW[column.name] for column in STANDING}
    assert standing_values(read_standing(list(row.values()))) == row


@given(st.integers(LEAST_US, MOST_US))
@example(LEAST_US)
@example(MOST_US)
@example(-1)
def test_a_moment_keeps_its_microseconds(us):
    """No float is between."""
    at = from_us(us)
    assert to_us(at) == us
    assert at.tzinfo is UTC


@given(st.datetimes(timezones=st.timezones()))
def test_any_datetime_comes_back_as_the_same_moment(at):
    """Whatever its zone was; a time that comes twice there equals no other as it stands, so UTC is compared."""
    try:
        us = to_us(at)
    except OverflowError:
        return
    if LEAST_US <= us <= MOST_US:
        assert from_us(us) == at.astimezone(UTC)
