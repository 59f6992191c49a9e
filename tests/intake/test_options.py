"""What a mail may ask for its message."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.errors import Rejected
from mailbridge.intake.options import (
    NOTHING,
    Options,
    parse_flash,
    parse_label,
    parse_max_parts,
    parse_time,
    parse_translit,
    parse_valid,
    read_address,
    read_headers,
    sender_note,
)
from mailbridge.model.reply import BAD_CHANNEL, BAD_TIME, BAD_VALID

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOON_UNIX = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("", ""),
        ("0", ""),
        ("now", ""),
        ("2026-03-01T12:00:01Z", f"0{NOON_UNIX + 1}"),
        ("2026-03-01T15:30:00+03:00", f"0{NOON_UNIX + 1800}"),
        ("2026-03-01 15:30:00+03:00", f"0{NOON_UNIX + 1800}"),
        ("2026-03-01t12:30:00z", f"0{NOON_UNIX + 1800}"),
        ("2026-03-01T12:30:00.250Z", f"0{NOON_UNIX + 1800}"),
        ("2026-03-01T12:30:60Z", f"0{NOON_UNIX + 1859}"),
        ("2026-03-01T12:30Z", f"0{NOON_UNIX + 1800}"),
        ("2026-03-01T12:00:00Z", ""),
        ("2020-01-01T00:00:00Z", ""),
        (f"0{NOON_UNIX + 60}", f"0{NOON_UNIX + 60}"),
        (f"0{NOON_UNIX - 60}", ""),
        ("0103261530", "0103261530"),
        ("01.03.26 15:30", "01.03.26 15:30"),
        ("9-18", "9-18"),
        ("22-6", "22-6"),
        ("+30", "+30"),
        ("+0", ""),
    ],
)
def test_times(value, time):
    """RFC 3339 and each of the gateway's forms; a moment that is over means now."""
    assert parse_time(value, NOW) == time


@pytest.mark.parametrize(
    "value",
    [
        "tomorrow", "2026-03-01T15:30:00", "2026-02-30T12:00:00Z", "2026-03-01", "25:00", "3202261530", "0103262560",
        "01.13.26 15:30", "9-25", "24-5", "9-9", "+-5", "+1h", "-5", "1", "0123", "99999-12-31T00:00:00Z",
        "1970-01-01T00:00:00Z", "2026-03-01T12:00:00+99:99", "９-18", "+٣",
    ],
)  # fmt: skip
def test_no_times(value):
    """What is no moment, or one without its zone, is not understood."""
    with pytest.raises(ValueError):
        parse_time(value, NOW)


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        ("2h", "2"), ("90m", "01:30"), ("1h30m", "01:30"), ("24h", "24"), ("1d", "24"), ("60m", "1"), ("1m", "00:01"), ("120s", "00:02"),
        ("1", "1"), ("24", "24"), ("2:05", "02:05"), ("02:00", "02:00"), ("00:01", "00:01"), ("24:00", "24:00"), ("2H", "2"),
    ],
)  # fmt: skip
def test_validities(value, valid):
    """Durations and the gateway's two forms."""
    assert parse_valid(value) == valid


@pytest.mark.parametrize(
    "value", ["", "0", "25", "25h", "2d", "30s", "00:00", "24:01", "1:60", "long", "-2h", "2:5", "9" * 50 + "h", "٢h"]
)
def test_no_validities(value):
    """Less than a minute, more than a day, and what is no duration."""
    with pytest.raises(ValueError):
        parse_valid(value)


def test_small_values():
    """Flash is a yes or no, translit one of four, parts 1 to 20, a label the gateway's two kinds of id."""
    assert [parse_flash(v) for v in ("", "1", "Yes", "true", "on")] == [True] * 5
    assert [parse_flash(v) for v in ("0", "no", "False", "off")] == [False] * 4
    assert [parse_translit(v) for v in ("0", "1", "2", "AUTO")] == ["0", "1", "2", "auto"]
    assert [parse_max_parts(v) for v in ("1", "20")] == [1, 20]
    assert [parse_label(v) for v in ("1", "2147483647", "007", "a.b_c-d", "x" * 40)] == [
        "1",
        "2147483647",
        "7",
        "a.b_c-d",
        "x" * 40,
    ]


@pytest.mark.parametrize(
    ("parse", "value"),
    [
        (parse_flash, "maybe"),
        (parse_translit, "3"),
        (parse_translit, ""),
        (parse_max_parts, "0"),
        (parse_max_parts, "21"),
        (parse_max_parts, "²"),
        (parse_max_parts, "9" * 5000),
        (parse_label, "0"),
        (parse_label, "2147483648"),
        (parse_label, "x" * 41),
        (parse_label, "a b"),
        (parse_label, "é"),
        (parse_label, ""),
    ],
)
def test_small_values_refused(parse, value):
    """Everything else is not understood."""
    with pytest.raises(ValueError, match="write"):
        parse(value)


def test_headers_are_read_in_any_case():
    """Every X-SMS header lands in its field."""
    options, notes = read_headers(
        (
            ("Subject", "x"), ("X-SMS-Sender", "NAGIOS"), ("x-sms-translit", "auto"), ("X-Sms-Text", "hello"), ("X-SMS-Time", "+5"),
            ("X-SMS-Valid", "2h"), ("X-SMS-Flash", "1"), ("X-SMS-Max-Parts", "2"), ("X-SMS-Channel", "SMS"), ("X-SMS-Id", "job-7"),
        ),
        NOW,
    )  # fmt: skip
    assert notes == ()
    assert options == Options(
        sender="NAGIOS",
        translit="auto",
        text="hello",
        time="+5",
        valid="2",
        flash=True,
        max_parts=2,
        channel="sms",
        wanted_id="job-7",
    )


@pytest.mark.parametrize(
    ("name", "value", "reply"),
    [("X-SMS-Time", "soon", BAD_TIME), ("X-SMS-Valid", "3d", BAD_VALID), ("X-SMS-Channel", "fax", BAD_CHANNEL)],
)
def test_misunderstood_delivery_refuses_the_mail(name, value, reply):
    """At a wrong time or over a wrong channel is worse than not at all."""
    with pytest.raises(Rejected) as caught:
        read_headers(((name, value),), NOW)
    assert caught.value.reply is reply
    assert reply.code == 554
    assert reply.enhanced == "5.5.4"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-SMS-Translit", "x"), ("X-SMS-Flash", "maybe"), ("X-SMS-Max-Parts", "many"), ("X-SMS-Id", "a b"), ("X-SMS-Sender", "  "),
        ("X-SMS-Text", " \t"), ("X-SMS-Colour", "red"),
    ],
)  # fmt: skip
def test_other_mistakes_are_noted_and_ignored(name, value):
    """A bad look never stops an alert."""
    options, notes = read_headers(((name, value),), NOW)
    assert options == NOTHING
    assert len(notes) == 1
    assert notes[0].startswith(name)


def test_a_note_says_what_to_write():
    """The note tells the value and the remedy; a header given twice is noted."""
    assert read_headers((("X-SMS-Translit", "x"),), NOW)[1] == ("X-SMS-Translit: 'x' ignored: write 0, 1, 2 or auto",)
    options, notes = read_headers((("X-SMS-Sender", "A"), ("X-SMS-Sender", "B")), NOW)
    assert options.sender == "A"
    assert notes == ("X-SMS-Sender: given twice, the first counts",)


def test_values_carry_no_controls():
    """Control characters in a value become blanks; a text keeps its lines."""
    options, _ = read_headers((("X-SMS-Sender", "NA\r\nBcc: x\0"), ("X-SMS-Text", "a\x1b[1m\nb\t")), NOW)
    assert options.sender == "NA Bcc: x"
    assert options.text == "a [1m\nb"


def test_address_options():
    """Names in any spelling; a bare translit means 1; the last of a name wins."""
    assert read_address((("Max_Parts", "2"), ("translit", ""), ("flash", ""), ("FLASH", "0"))) == Options(
        max_parts=2, translit="1", flash=False
    )
    assert read_address(()) is NOTHING
    assert read_address((("time", "0" + str(NOON_UNIX - 5)),), NOW).time == ""
    for bad in (("nosuch", "1"), ("text", "x"), ("sender", "")):
        with pytest.raises(ValueError):
            read_address((bad,))


def test_stronger_options_win():
    """What was asked for covers what is weaker; what was not leaves it."""
    weak = Options(sender="A", translit="0", flash=True)
    assert Options(sender="B", flash=False).over(weak) == Options(sender="B", translit="0", flash=False)
    assert NOTHING.over(weak) is weak
    assert Options().over(weak) == weak


def test_odd_sender_names_are_only_noted():
    """What the gateway documents passes silently, anything else with a note."""
    assert [sender_note(name) for name in ("", "NAGIOS", "My Co.", "7" * 15, "+79991234567", "a-b_c&d!+")] == [None] * 6
    assert all(sender_note(name) for name in ("ABCDEFGHIJKL", "7" * 16, "Компания", "a/b"))


@given(st.text(max_size=40), st.text(max_size=40))
def test_headers_never_fail_otherwise(name, value):
    """Any header is read, noted or rejected."""
    for known in ("Time", "Valid", "Channel", "Id", "Text", "Sender", "Max-Parts", name):
        with suppress(Rejected):
            read_headers(((f"X-SMS-{known}", value),), NOW)
