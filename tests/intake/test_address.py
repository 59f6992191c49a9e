"""Envelope addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.config.model import Numbers
from mailbridge.errors import Rejected
from mailbridge.intake.address import Addresses, Path, parse_address, parse_recipient
from mailbridge.intake.numbers import NumberPolicy
from mailbridge.model.mail import Client
from mailbridge.model.phone import Phone
from mailbridge.model.reply import (
    BAD_ADDRESS,
    BAD_OPTION,
    BAD_SENDER,
    COUNTRY_NOT_ALLOWED,
    IMPOSSIBLE_NUMBER,
    NOBODY_ON_DUTY,
    NON_ASCII_ADDRESS,
    NOT_A_PHONE,
    UNKNOWN_DOMAIN,
)
from mailbridge.smtp.parameters import parse_rcpt

NUMBERS = NumberPolicy(Numbers())
DOMAINS = {"sms.local": "sms", "flash.local": "flash"}
ALIASES = {
    "oncall": (Phone("+79990000001"),),
    "911": (Phone("+79990000002"),),
    "admins": (Phone("+79990000001"), Phone("+79990000003")),
    "rota": (),
}.get
CLIENT = Client(address="127.0.0.1")


def recipient(address):
    """Understand *address* at a door with two domains and two aliases."""
    return parse_recipient(address, domains=DOMAINS, numbers=NUMBERS, aliases=ALIASES)


def refusal(parse, *args, **kwargs):
    """Return the reply with which *parse* refuses."""
    with pytest.raises(Rejected) as caught:
        parse(*args, **kwargs)
    return caught.value.reply


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("79991234567@sms.local", ()),
        ("+79991234567@sms.local", ()),
        ("89991234567@sms.local", ()),
        ("8-999-123-45-67@sms.local", ()),
        ("8.999.123.45.67@sms.local", ()),
        ('"(999)1234567"@sms.local', ()),
        ('"8 (999) 123-45-67"@sms.local', ()),
        ('"\\(999\\)1234567"@sms.local', ()),
        ("0079991234567@sms.local", ()),
        ("79991234567@SMS.Local", ()),
        ("79991234567@sms.local.", ()),
        (
            "79991234567+flash+sender=NAGIOS+translit=1@sms.local",
            (("flash", ""), ("sender", "NAGIOS"), ("translit", "1")),
        ),
        ("+79991234567+flash@sms.local", (("flash", ""),)),
        ("79991234567+Max_Parts=2@sms.local", (("max-parts", "2"),)),
        ("79991234567+max-parts=2@sms.local", (("max-parts", "2"),)),
        (
            "79991234567+valid=2h+time=0+id=a-1+channel=sms@sms.local",
            (("valid", "2h"), ("time", "0"), ("id", "a-1"), ("channel", "sms")),
        ),
        ('"79991234567+sender=My Co"@sms.local', (("sender", "My Co"),)),
        ("79991234567+translit@sms.local", (("translit", ""),)),
        ("79991234567+translit=auto@sms.local", (("translit", "auto"),)),
    ],
)
def test_recipients(address, options):
    """Every promised spelling is understood, and the address is kept as given."""
    understood = recipient(address)
    assert understood.phone == "+79991234567"
    assert understood.channel == "sms"
    assert understood.options == options
    assert understood.address == address
    assert understood.notify is None


def test_the_domain_gives_the_channel():
    """Each domain has its channel."""
    assert recipient("79991234567@flash.local").channel == "flash"


def test_aliases():
    """An alias is a name in any case, takes options, and wins over a number of the same spelling."""
    assert recipient("OnCall@sms.local").phone == "+79990000001"
    assert recipient("oncall+flash@sms.local").options == (("flash", ""),)
    assert recipient("911@sms.local").phone == "+79990000002"
    assert recipient("Admins@sms.local").others == ("+79990000003",)
    assert recipient("Admins+flash@sms.local").alias == "admins"
    assert refusal(recipient, "rota@sms.local") is NOBODY_ON_DUTY


@pytest.mark.parametrize(
    ("address", "reply"),
    [
        ("79991234567@example.org", UNKNOWN_DOMAIN),
        ("79991234567@sub.sms.local", UNKNOWN_DOMAIN),
        ("79991234567@sms.local..", BAD_ADDRESS),
        ("79991234567", UNKNOWN_DOMAIN),
        ("u", UNKNOWN_DOMAIN),
        ("u@[192.0.2.1]", UNKNOWN_DOMAIN),
        ("u@[IPv6:2001:db8::1]", UNKNOWN_DOMAIN),
        ("79991234567%example.org@sms.local", UNKNOWN_DOMAIN),
        ('"79991234567@example.org"@sms.local', UNKNOWN_DOMAIN),
        ("example.org!79991234567@sms.local", UNKNOWN_DOMAIN),
        ("@sms.local:79991234567@example.org", UNKNOWN_DOMAIN),
        ("@example.org:79991234567@sms.local", UNKNOWN_DOMAIN),
        ("@example.org,@sms.local:79991234567@sms.local", UNKNOWN_DOMAIN),
        ("79991234567@example.org@sms.local", UNKNOWN_DOMAIN),
        ("79991234567@sms.local@example.org", UNKNOWN_DOMAIN),
        ("nobody@sms.local", NOT_A_PHONE),
        ("postmaster@sms.local", NOT_A_PHONE),
        ("+79991234567&psw=x@sms.local", NOT_A_PHONE),
        ("../../etc/passwd@sms.local", NOT_A_PHONE),
        ("{{7*7}}@sms.local", NOT_A_PHONE),
        ("G5@sms.local", NOT_A_PHONE),
        ("++79991234567@sms.local", NOT_A_PHONE),
        ('"79991234567;79990000001"@sms.local', NOT_A_PHONE),
        ('"79991234567,79990000001"@sms.local', NOT_A_PHONE),
        ("7999@sms.local", IMPOSSIBLE_NUMBER),
        ("112@sms.local", IMPOSSIBLE_NUMBER),
        ("799912345678901234@sms.local", IMPOSSIBLE_NUMBER),
        ("+77011234567@sms.local", COUNTRY_NOT_ALLOWED),
        ("+8821234567@sms.local", COUNTRY_NOT_ALLOWED),
        ("79991234567+@sms.local", BAD_OPTION),
        ("79991234567++flash@sms.local", BAD_OPTION),
        ("79991234567+nosuch@sms.local", BAD_OPTION),
        ("79991234567+text=x@sms.local", BAD_OPTION),
        ("79991234567+translit=7@sms.local", BAD_OPTION),
        ("79991234567+sender=@sms.local", BAD_OPTION),
        ("79991234567+flash=maybe@sms.local", BAD_OPTION),
        ("79991234567+valid=25h@sms.local", BAD_OPTION),
        ("79991234567+time=soon@sms.local", BAD_OPTION),
        ("79991234567+max-parts=0@sms.local", BAD_OPTION),
        ("79991234567+id=a/b@sms.local", BAD_OPTION),
        ("79991234567+channel=fax@sms.local", BAD_OPTION),
        ("", BAD_ADDRESS),
        ("@sms.local", BAD_ADDRESS),
        ("a b@sms.local", BAD_ADDRESS),
        ("79991234567;79990000001@sms.local", BAD_ADDRESS),
        ("79991234567@-sms.local", BAD_ADDRESS),
        ("79991234567@sms..local", BAD_ADDRESS),
        ("79991234567@sms.local\r\nDATA", BAD_ADDRESS),
        ("79991234567\x00@sms.local", BAD_ADDRESS),
        ('""@sms.local', BAD_ADDRESS),
        ('"79991234567@sms.local', BAD_ADDRESS),
        ('"\\"@sms.local', BAD_ADDRESS),
        ("=?utf-8?q?79991234567=0d=0aBcc=3a_evil?=@sms.local", BAD_ADDRESS),
        ('"=?utf-8?q?79991234567?="@sms.local', BAD_ADDRESS),
        ("=?x?b?Nzk5OTEyMzQ1Njc=?=@sms.local", BAD_ADDRESS),
        ("7" * 257 + "@sms.local", BAD_ADDRESS),
        ("7" * 5000 + "@sms.local", BAD_ADDRESS),
        ("79991234567@" + "a" * 256, BAD_ADDRESS),
        ("٧٩٩٩١٢٣٤٥٦٧@sms.local", NON_ASCII_ADDRESS),
        ("７９９９１２３４５６７@sms.local", NON_ASCII_ADDRESS),
        ("79991234567@смс.local", NON_ASCII_ADDRESS),
        ("\udcff79991234567@sms.local", NON_ASCII_ADDRESS),
    ],
)
def test_refused_recipients(address, reply):
    """Each kind of wrong recipient has its reply: relaying, no phone, impossible, country, option, syntax."""
    assert refusal(recipient, address) is reply


def read(raw: str, *, legacy: bool = False) -> Path:
    """Read what follows ``RCPT TO:`` as the door does: the command first, then the address in it."""
    return parse_address(parse_rcpt(f"TO:{raw}", legacy=legacy).path)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("<root>", Path("root", "", "root")),
        ("<nagios@mon.example.org>", Path("nagios", "mon.example.org", "nagios@mon.example.org")),
        ("<a@b>", Path("a", "b", "a@b")),
        ("<a_b@my_host>", Path("a_b", "my_host", "a_b@my_host")),
        ('<"a b>c"@d>', Path("a b>c", "d", '"a b>c"@d')),
        ('<"a\\"b\\\\"@d>', Path('a"b\\', "d", '"a\\"b\\\\"@d')),
        (
            "<SRS0=a=b=example.org=u@c.example>",
            Path("SRS0=a=b=example.org=u", "c.example", "SRS0=a=b=example.org=u@c.example"),
        ),
        ("<a@[192.0.2.1]>", Path("a", "[192.0.2.1]", "a@[192.0.2.1]")),
        ("<.a..b.@c>", Path(".a..b.", "c", ".a..b.@c")),
    ],
)
def test_paths(raw, path):
    """The grammar takes what real senders write."""
    assert read(raw) == path


@pytest.mark.parametrize(
    "raw",
    [
        "", "<", ">", "><", "< >", "<a b@c>", '<"a@b>', '<"', "<\\", "<a@b", "a@b>", "a@b", "<a@[", "<a@>", "<a@b>x", "x<a@b>",
        "<<a@b>>", "<a@b\x1b>", "<a\rb@c>", '<"a\nb"@c>', "<a@b\x00>", "<=?utf-8?q?a?=@b>", "<(comment)a@b>",
        "<" + "(" * 480 + ">", "<a:b@c>", "<" + "a" * 600 + "@b>",
    ],
)  # fmt: skip
def test_no_paths(raw):
    """Sloppy, broken and injected paths are refused with the fixed reply."""
    assert refusal(read, raw) is BAD_ADDRESS


@pytest.mark.parametrize("raw", ["<\xff@b>", "<п@b>", "<a@\u00e9.example>", "<\xed\xa0\x80@b>", "<\udcff@b>"])
def test_eight_bit_paths(raw):
    """An address beyond ASCII has a reply of its own."""
    assert refusal(read, raw) is NON_ASCII_ADDRESS


def test_legacy_takes_a_missing_bracket():
    """Old devices leave the angle brackets away; only where that is allowed."""
    assert read("a@b", legacy=True).text == "a@b"
    assert refusal(read, "a@b") is BAD_ADDRESS
    assert refusal(read, '"a b"@c', legacy=True) is BAD_ADDRESS


def test_a_source_route_has_its_own_reply():
    """A source route in MAIL FROM is bad syntax, in RCPT TO an attempt to relay."""
    assert refusal(parse_address, "@a:b@c") is UNKNOWN_DOMAIN
    assert refusal(parse_address, "@a:b@c", syntax=BAD_SENDER, relay=BAD_SENDER) is BAD_SENDER


def test_the_doors_address_book():
    """It reads senders and recipients with the configuration's domains, in any case."""
    book = Addresses(domains={"SMS.Local.": "sms"}, numbers=NUMBERS, aliases=ALIASES)
    assert book.sender("nagios@host", CLIENT) == "nagios@host"
    assert refusal(book.sender, "a b", CLIENT) is BAD_SENDER
    assert book.recipient("79991234567@sms.local", CLIENT).phone == "+79991234567"
    assert book.recipient("oncall@sms.local", CLIENT).phone == "+79990000001"
    assert refusal(book.recipient, "x@sms.local", CLIENT) is NOT_A_PHONE


odd = st.text(alphabet=st.one_of(st.sampled_from('<>@"\\+=?.-7890()%!:;[] \r\n\0aé'), st.characters()), max_size=60)


@given(odd)
def test_a_recipient_is_understood_or_rejected(text):
    """Whatever stands in RCPT TO, nothing but Rejected is raised, and what passes is clean."""
    for address in (text, f"{text}@sms.local", f"79991234567+{text}@sms.local", f'"{text}"@sms.local'):
        try:
            understood = recipient(address)
        except Rejected:
            continue
        assert understood.address.isascii()
        assert understood.address.isprintable()
        assert understood.phone.startswith("+7")


@given(odd, st.booleans())
def test_a_path_is_parsed_or_rejected(text, legacy):
    """Whatever stands in MAIL FROM, nothing but Rejected is raised."""
    for raw in (text, f"<{text}>", text.encode("utf-8", "surrogatepass").decode("latin-1")):
        try:
            read(raw, legacy=legacy)
        except Rejected:
            continue
