"""What a handset would show: prefixes, comments, transliteration, parts, lists."""

import pytest

from mailbridge.simulator.alphabet import count_parts, cut_to_parts, transliterate
from mailbridge.simulator.params import BadParameters
from mailbridge.simulator.phones import parse_number, parse_numbers
from mailbridge.simulator.schedule import BadDate, parse_time, parse_valid

NOW = 1_700_000_000.0  # 15.11.2023 01:13:20 in Moscow


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 160, ("gsm", 1)), ("a" * 161, ("gsm", 2)), ("a" * 306, ("gsm", 2)), ("a" * 307, ("gsm", 3)),
        ("я" * 70, ("ucs2", 1)), ("я" * 71, ("ucs2", 2)), ("я" * 134, ("ucs2", 2)), ("я" * 135, ("ucs2", 3)),
        ("€" * 80, ("gsm", 1)), ("€" * 81, ("gsm", 2)), ("😀" * 35, ("ucs2", 1)), ("😀" * 36, ("ucs2", 2)), ("`", ("ucs2", 1)),
    ],
)  # fmt: skip
def test_parts(text, expected):
    """Section 9.1, with its own examples."""
    assert count_parts(text) == expected


@pytest.mark.parametrize(
    ("text", "most", "kept"), [("a" * 400, 1, 160), ("a" * 400, 2, 306), ("я" * 400, 3, 201), ("[" * 100, 1, 80)]
)
def test_cut(text, most, kept):
    """Maxsms keeps as much as fits."""
    cut = cut_to_parts(text, most)
    assert len(cut) == kept
    assert count_parts(cut)[1] <= most


@pytest.mark.parametrize(("mode", "expected"), [(0, "Транслит"), (1, "Translit"), (2, "mpaHc/Ium")])
def test_transliteration(mode, expected):
    """Section 9.2: the two documented words."""
    assert transliterate("Транслит", mode) == expected


@pytest.mark.parametrize(
    ("written", "digits"),
    [
        ("+79991234567", "79991234567"), ("89991234567", "79991234567"), ("9991234567", "79991234567"),
        ("84912345678", "74912345678"), ("+84912345678", "84912345678"), (" 8 (999) 123-45-67", "79991234567"),
    ],
)  # fmt: skip
def test_numbers(written, digits):
    """Section 9.4: without a plus the gateway corrects, with it it doesn't."""
    number = parse_number(written)
    assert (number.digits, number.good) == (digits, True)


@pytest.mark.parametrize("written", ["7999", "G12", "+7999123456", "+799912345678", "", "٧٩٩٩١٢٣٤٥٦٧", "+0991234567"])
def test_bad_numbers(written):
    """Groups nobody knows and numbers that cannot be."""
    assert not parse_number(written).good


def test_number_lists():
    """Both separators, blanks, and no number twice."""
    assert [n.digits for n in parse_numbers("+79991234567, 89991234567;+79991234568,")] == [
        "79991234567",
        "79991234568",
    ]


@pytest.mark.parametrize(
    ("time", "zone_h", "after_s"),
    [
        ("", 0, 0), ("0", 0, 0), ("+90", 0, 5400), ("01700000600", 0, 600), ("01600000000", 0, 0),
        ("1511230213", 0, 3580), ("15.11.23 02:13", 0, 3580), ("15.11.23 04:13", 2, 3580),
        ("1-5", 0, 0), ("9-18", 0, 7 * 3600 + 46 * 60 + 40), ("0-1", 0, 22 * 3600 + 46 * 60 + 40), ("22-6", 0, 0),
    ],
)  # fmt: skip
def test_time(time, zone_h, after_s):
    """Section 2.2: the forms of ``time``."""
    assert parse_time(time, now=NOW, zone_h=zone_h) == NOW + after_s


@pytest.mark.parametrize("time", ["soon", "3202230213", "15.11", "25-3", "1e3", "-5", "2023-11-15"])
def test_bad_time(time):
    """What is none of the forms is error 5."""
    with pytest.raises(BadDate):
        parse_time(time, now=NOW, zone_h=0)


@pytest.mark.parametrize(
    ("valid", "seconds"), [("", 86400), ("1", 3600), ("24", 86400), ("00:01", 60), ("24:00", 86400)]
)
def test_valid(valid, seconds):
    """Section 2.2: hours or hh:mm."""
    assert parse_valid(valid) == seconds


@pytest.mark.parametrize("valid", ["25", "24:01", "00:00", "1:30", "x", "²"])
def test_bad_valid(valid):
    """Anything else is refused."""
    with pytest.raises(BadParameters):
        parse_valid(valid)


async def shown(client, mes, **params):
    """Send one text and return what was received."""
    answer = await client.send("+79990000001", mes, **params)
    assert "id" in answer, answer
    return client.simulator.inbox[0]


@pytest.mark.parametrize("prefix", ["CALL", "VIBER", "SOC", "PING", "HLR"])
async def test_prefix(client, prefix):
    """Section 8.2: a text that begins with a prefix is no SMS any more, and the prefix is gone."""
    message = await shown(client, f"__{prefix}__rest")
    assert message["type"] == prefix.lower()
    assert message["text"] == ("" if prefix in {"PING", "HLR"} else "rest")
    assert message["mes"] == f"__{prefix}__rest"
    assert (await shown(client, f" __{prefix}__rest"))["type"] == "sms"


async def test_comment(client):
    """Section 2.2: what follows the mark is a comment, not shown and not counted."""
    for line_end in ("\n", "\r\n"):
        message = await shown(client, f"seen{line_end}~~~{line_end}" + "я" * 300)
        assert (message["text"], message["parts"], message["comment"]) == ("seen", 1, "я" * 300)
    assert (await shown(client, "a\n~~~~\nb"))["text"] == "a\n~~~~\nb"


async def test_translit_and_maxsms(client):
    """The handset shows Latin, cut to what was allowed."""
    message = await shown(client, "Ж" * 200, translit=1, maxsms=1)
    assert message["text"] == ("Zh" * 80)
    assert (message["alphabet"], message["parts"], message["translit"]) == ("gsm", 1, 1)


async def test_list(client):
    """Section 2.5: the first colon or semicolon divides, backslash-n breaks lines, one id for all."""
    listing = "79990000001:first: text\n79990000002,79990000003;second\\nline\nACME|79990000004:third"
    assert await client.json("send", list=listing, id=7) == {"id": 7, "cnt": 4}
    got = {message["phone"]: (message["text"], message["sender"], message["id"]) for message in client.simulator.inbox}
    assert got == {
        "+79990000001": ("first: text", "SMSC.RU", "7"),
        "+79990000002": ("second\nline", "SMSC.RU", "7"),
        "+79990000003": ("second\nline", "SMSC.RU", "7"),
        "+79990000004": ("third", "ACME", "7"),
    }


async def test_list_with_own_line_breaks(client):
    """With nl=1 a record begins only at a line that looks like one."""
    await client.json("send", list="79990000001:first\nfirst too\n+79990000002:second", nl=1)
    assert [message["text"] for message in client.simulator.inbox] == ["second", "first\nfirst too"]


async def test_list_zone(client):
    """A record's own zone counts for an absolute time."""
    listing = "ACME,2|79990000001:a\n79990000002:b"
    await client.json("send", list=listing, time="02.03.26 15:00", tz=0)
    later, earlier = (message["send_at"] for message in client.simulator.inbox)
    assert (earlier, later) == ("2026-03-02T10:00:00.000Z", "2026-03-02T12:00:00.000Z")


async def test_binary(client):
    """Section 9.1: bytes, not characters, are counted."""
    assert (await shown(client, "00" * 141, bin=2))["parts"] == 2
    assert (await client.send("+79990000001", "0x", bin=2))["error_code"] == 1


async def test_kinds(client):
    """Flags decide the type; HLR and ping need no text."""
    assert (await client.json("send", phones="+79990000001", hlr=1))["cnt"] == 1
    assert client.simulator.inbox[0]["type"] == "hlr"
    assert (await shown(client, "x", flash=1))["type"] == "flash"
    assert (await client.send("a@example.org", mail=1))["error_code"] == 1
    assert (await client.send("a@example.org,nobody", mail=1, subj="s", sender="b@example.org", err=1))["phones"][0][
        "status"
    ] == "22"
