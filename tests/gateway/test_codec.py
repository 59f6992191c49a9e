"""Requests: what stands in a body, and that a text stays a text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.gateway.contract import StatusQuery
from mailbridge.gateway.smsc import codec
from mailbridge.gateway.smsc.escape import escape_text, is_list_safe
from mailbridge.model.message import Message
from tests.support.sms import OTHER, PHONE, batch, form, handset_texts, message

PREFIX = codec.credentials(login="acme", password="p&=w +é", apikey=None)


def test_one_message_is_one_form():
    """Everything the gateway needs and nothing that has its default."""
    assert form(codec.send_body(PREFIX, batch())) == {
        "login": "acme", "psw": "p&=w +é", "charset": "utf-8", "fmt": "3", "cost": "3", "op": "1", "err": "1",
        "id": "5001", "sender": "ACME", "phones": "+79990000001", "mes": "Hello",
    }  # fmt: skip


def test_an_apikey_replaces_login_and_password():
    """Section 1.4."""
    assert form(codec.balance_body(codec.credentials(login="acme", password="x", apikey="k"))) == {
        "apikey": "k", "charset": "utf-8", "fmt": "3", "cur": "1"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "sent"),
    [
        ("translit", 2, ("translit", "2")),
        ("flash", True, ("flash", "1")),
        ("time", "0+5&", ("time", "0+5&")),
        ("time", "01.02.26 10:30", ("time", "01.02.26 10:30")),
        ("valid", "01:30", ("valid", "01:30")),
        ("sender", "", ("sender", None)),
        ("channel", "call", ("call", "1")),
        ("channel", "sms", ("call", None)),
    ],
)
def test_options_become_parameters(field, value, sent):
    """Each field of a message that the gateway knows goes out as its parameter."""
    name, wanted = sent
    assert form(codec.send_body(PREFIX, batch(message(**{field: value})))).get(name) == wanted


def test_the_same_text_goes_to_many_phones():
    """One text, many phones: ``phones``."""
    out = form(codec.send_body(PREFIX, batch(message("a|b\\n"), message("a|b\\n", OTHER))))
    assert (out["phones"], out["mes"]) == (f"{PHONE},{OTHER}", "a|b\\n")


def test_different_texts_go_as_a_list():
    """Different texts: a record for each, line breaks written as backslash n."""
    out = form(codec.send_body(PREFIX, batch(message("one:\ntwo"), message("three;", OTHER))))
    assert out["list"] == f"{PHONE}:one:\\ntwo\n{OTHER}:three;"
    assert "mes" not in out
    assert "phones" not in out


def test_a_status_question_has_paired_lists():
    """The id stands once for each phone; one message is asked about in the plain form that every gateway reads."""
    one, two = StatusQuery(PHONE, "7"), StatusQuery(OTHER, "7")
    assert form(codec.status_body(PREFIX, [one]))["phone"] == PHONE
    assert form(codec.status_body(PREFIX, [one]))["id"] == "7"
    assert form(codec.status_body(PREFIX, [one, two]))["phone"] == f"{PHONE},{OTHER}"
    assert form(codec.status_body(PREFIX, [one, two]))["id"] == "7,7"


def test_a_price_question_sends_nothing():
    """``cost=1`` and no id."""
    out = form(codec.price_body(PREFIX, message("__CALL__ me")))
    assert (out["cost"], out["mes"]) == ("1", " __CALL__ me")
    assert "id" not in out


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("__CALL__ hello", " __CALL__ hello"),
        ("__VIBER__", " __VIBER__"),
        ("__SOC__x", " __SOC__x"),
        ("__PING__x", " __PING__x"),
        ("__HLR__x", " __HLR__x"),
        ("__new_1__x", " __new_1__x"),
        ("say __CALL__", "say __CALL__"),
        ("____", "____"),
        ("a\n~~~\nb", "a\n~~~ \nb"),
        ("a\r\n~~~\r\nb", "a\r\n~~~ \r\nb"),
        ("~~~\nb", "~~~ \nb"),
        ("a\n~~~", "a\n~~~ "),
        ("a\n~~~\n~~~\n~~~\nb", "a\n~~~ \n~~~ \n~~~ \nb"),
        ("~~~", "~~~"),
        ("a\n~~~~\nb", "a\n~~~~\nb"),
        ("a ~~~ b", "a ~~~ b"),
        ("\0a", " \0a"),
        ("@file", "@file"),
        ("+79990000002:other", "+79990000002:other"),
        ("a\ud800b", "a\ufffdb"),
        ("\U0001f600", "\U0001f600"),
    ],
)
def test_a_text_is_made_harmless_with_blanks_alone(text, escaped):
    """Commands of the gateway in a text are data; the least visible change keeps them so."""
    assert escape_text(text) == escaped


TEXTS = st.text() | st.lists(
    st.sampled_from(["__CALL__", "__", "~~~", "\n", "\r", "a", ":", ";", "|", "\\n", "\\", " ", "\0", ",", "\u2028", "+7999"]),
    max_size=8,
).map("".join)  # fmt: skip


@given(TEXTS)
def test_no_command_is_left_and_nothing_is_lost(text):
    """Whatever the text, the gateway finds no prefix and no comment, and all but blanks stays as it was."""
    out = escape_text(text)
    assert not re.match(r"__[A-Za-z]+__", out)
    for ends in (out, out.replace("\r\n", "\n"), out.replace("\r", "\n"), f"{out}\n", f"\n{out}"):
        assert "\n~~~\n" not in ends or "\n" not in text
    assert out.replace(" ", "") == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace(" ", "")


def read_list(records: str) -> list[tuple[str, str]]:
    """Read a list as smsc-api.md 2.5 has it: the first ``:`` or ``;`` ends the phones, ``sender|`` may precede them."""
    out = []
    for line in records.splitlines():
        head, bar, rest = line.partition("|")
        phones, text = re.split("[:;]", rest if bar and ":" not in head else line, maxsplit=1)
        out += [(phone, text.replace("\\n", "\n")) for phone in phones.split(",")]
    return out


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_texts_that_share_a_request_arrive_each_as_it_is(texts):
    """Texts whose keys allow a common list come out of it unchanged."""
    texts = [text for text in texts if is_list_safe(text)] or ["x"]
    messages = [message(text, f"+7999000{n:04}") for n, text in enumerate(texts)]
    assert len({codec.batch_key(m) for m in messages}) == 1
    out = form(codec.send_body(PREFIX, batch(*messages)))
    got = read_list(out["list"]) if "list" in out else [(p, out["mes"]) for p in out["phones"].split(",")]
    assert got == [(m.phone, m.text) for m in messages]


def test_a_blank_at_an_end_keeps_a_text_out_of_a_list():
    """Whoever reads the records may trim them; of blanks, a regular expression and ``str`` mean the same."""
    blanks = [chr(code) for code in range(0x110000) if re.match(r"\s", chr(code))]
    assert {" ", "\n", "\t", "\xa0", "\u3000"} <= set(blanks)
    for blank in blanks:
        assert not is_list_safe(f"{blank}x")
        assert not is_list_safe(f"x{blank}")
        assert not is_list_safe(blank)
    assert is_list_safe("x \t\xa0y")


@given(TEXTS.filter(bool))
def test_a_handset_shows_any_text_whole(text):
    """Nothing is read as a command; all but blanks and the kind of line ends arrives."""
    ((phone, kind, shown),) = handset_texts(codec.send_body(PREFIX, batch(message(text))))
    assert (phone, kind) == (PHONE, "sms")
    assert shown.replace(" ", "") == escape_text(text).replace("\r\n", "\n").replace(" ", "")


@given(st.lists(TEXTS, min_size=2, max_size=5))
def test_handsets_show_what_a_shared_request_held(texts):
    """Messages with equal keys: each text as it is, at its own phone."""
    by_key: dict[object, list[Message]] = {}
    for n, text in enumerate(filter(bool, texts)):
        one = message(text, f"+7999123{n:04}")
        by_key.setdefault(codec.batch_key(one), []).append(one)
    for sharing in by_key.values():
        if len(sharing) > 1 and is_list_safe(sharing[0].text):
            got = handset_texts(codec.send_body(PREFIX, batch(*sharing)))
            assert got == [(m.phone, "sms", m.text) for m in sharing]


@given(TEXTS)
def test_any_text_makes_an_ascii_form(text):
    """No text breaks the form, and none adds a parameter."""
    assert form(codec.send_body(PREFIX, batch(message(text))))["mes"] == escape_text(text)


def test_keys_keep_apart_what_cannot_share_a_request():
    """Everything a request says once must be equal; a wanted id goes alone."""
    key = codec.batch_key
    assert key(message("a")) == key(message("b", OTHER))
    for other in (
        message(sender="X"),
        message(translit=1),
        message(flash=True),
        message(time="+5"),
        message(valid="2"),
    ):
        assert key(other) != key(message())
    assert key(message("a\\b")) != key(message("a"))
    assert key(message("a\\b")) == key(message("a\\b", OTHER))
    assert key(message(wanted_id="x")) is None
