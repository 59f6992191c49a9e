"""Callbacks: signatures and events, for honest and for forged forms."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.gateway.smsc.callback import ConfirmationCall, InboundSms, parse_event, verify
from mailbridge.model.outcome import Receipt

STATUS = {"id": "1234", "phone": "79990000001", "status": "1"}
INBOUND = {"phone": "123", "mes": "text", "to": "234"}
CALL = {"waitcall": "1", "phone": "79990000001", "ts": "1700000000"}
VECTORS = [
    (STATUS, "s3cret", "md5", "877c6cd91ac0822d13128190ad524304"),
    (STATUS, "s3cret", "sha1", "52d1bc1eadd99f4fd02a052cd48b8aafe18c3242"),
    (INBOUND, "zxc", "md5", "7fb04576256c41afe248c391d925ff1f"),
    (INBOUND, "zxc", "sha1", "b6f768ce7614d7858cc4a6116f8ffd0dc236a3cd"),
    (CALL, "s3cret", "md5", "a5d16be0436c9ce5b504da57b2a8733f"),
    (CALL, "s3cret", "sha1", "218d3fa1e2b663fac2c445df7a289678feea110c"),
]


@pytest.mark.parametrize(("fields", "secret", "name", "digest"), VECTORS)
def test_the_published_vectors_verify(fields, secret, name, digest):
    """smsc-api.md 5.6; upper case is accepted, another secret, digest or field is not."""
    assert verify(fields | {name: digest}, secret)
    assert verify(fields | {name: digest.upper()}, secret)
    assert not verify(fields | {name: digest}, secret + "x")
    assert not verify(fields | {name: digest[:-1] + "f"}, secret) or digest.endswith("f")
    assert not verify(fields | {name: digest, "phone": "79990000002"}, secret)


def test_a_crc32_or_nothing_proves_nothing():
    """A checksum anyone can forge is no signature; a good md5 does not save a bad sha1."""
    assert not verify(STATUS | {"crc32": "1144613607"}, "s3cret")
    assert not verify(STATUS, "s3cret")
    assert not verify(STATUS | {"md5": VECTORS[0][3], "sha1": "0" * 40}, "s3cret")
    assert not verify(STATUS | {"md5": "9a8f7d8cbf8d2a2aa6d3a4bb1f1d0c4e"}, "")


def test_a_status_event_is_a_receipt():
    """smsc-api.md 5.3."""
    fields = STATUS | {"ts": "1700000000", "err": "0", "cnt": "2", "cost": "1.40", "later": "field"}
    assert parse_event(fields, "main") == Receipt(
        gateway="main", gateway_id="1234", phone="+79990000001", status=1, err=0,
        changed_at=datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), price=Decimal("1.40"), parts=2,
    )  # fmt: skip


def test_an_event_with_a_text_is_inbound():
    """smsc-api.md 5.4."""
    assert parse_event(INBOUND | {"id": "9"}, "main") == InboundSms(
        gateway="main", phone="+123", text="text", to="234", id="9"
    )


def test_a_waitcall_is_a_confirmation():
    """smsc-api.md 5.5."""
    event = parse_event(CALL, "main")
    assert isinstance(event, ConfirmationCall)
    assert event.phone == "+79990000001"


@pytest.mark.parametrize(
    "fields",
    [{}, {"phone": "a@b.c", "id": "1", "status": "1"}, STATUS | {"status": "x"}, STATUS | {"id": ""},
     STATUS | {"phone": "7" * 16}, {"id": "1", "status": "1"}],
)  # fmt: skip
def test_what_lacks_the_core_is_no_event(fields):
    """E-mail addresses, missing ids and broken numbers."""
    assert parse_event(fields, "main") is None


NAMES = st.sampled_from(["id", "phone", "status", "ts", "err", "cnt", "cost", "mes", "to", "waitcall", "md5", "sha1"])


@given(st.dictionaries(NAMES, st.text() | st.integers().map(str)), st.text())
def test_no_form_raises_or_verifies(fields, secret):
    """Whatever a stranger sends."""
    parse_event(fields, "main")
    assert not verify(fields, secret)
