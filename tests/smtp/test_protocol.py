"""The pure parts, what we rely on in aiosmtpd, and random streams against a running door."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import Iterator

import aiosmtpd
import pytest
from aiosmtpd.smtp import SMTP
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mailbridge.config.model import Listener
from mailbridge.errors import Rejected
from mailbridge.model import reply
from mailbridge.model.reply import Reply
from mailbridge.smtp.content import ContentReader
from mailbridge.smtp.conversation import _client_address
from mailbridge.smtp.listener import TcpAddress, UnixAddress, parse_address
from mailbridge.smtp.parameters import decode_xtext, parse_mail, parse_rcpt
from mailbridge.smtp.session import Session
from tests.support.dialog import check_hygiene
from tests.support.door import open_door

REPLIES = {name: value for name, value in vars(reply).items() if isinstance(value, Reply)}


def test_aiosmtpd_is_one_whose_holes_are_closed() -> None:
    """CVE-2024-27305 and CVE-2024-34083 were closed in 1.4.5 and 1.4.6."""
    assert tuple(int(part) for part in aiosmtpd.__version__.split(".")[:3]) >= (1, 4, 6)


async def test_the_tables_of_commands_are_those_aiosmtpd_would_find() -> None:
    """Naming the commands once per class gives the tables that walking each object would."""
    async with open_door() as door:
        site = door.door._prepare(Listener())._site
    session = Session(site, asyncio.get_running_loop())
    everything = object.__dir__(session)
    assert {verb: command.__get__(session) for verb, command in session._commands.items()} == {
        name.removeprefix("smtp_"): getattr(session, name) for name in everything if name.startswith("smtp_")
    }
    assert set(session._commands) >= {name.removeprefix("smtp_") for name in dir(SMTP) if name.startswith("smtp_")}
    # what it would build for each connection, and nothing of ours asks
    assert session._smtp_methods == session._auth_methods == session._handle_hooks == {}


@pytest.mark.parametrize("name", REPLIES)
def test_every_reply_fits_on_the_wire(name: str) -> None:
    """Each row is one clean line, with an enhanced code unless it is 354."""
    row = REPLIES[name]
    check_hygiene(str(row).encode() + b"\r\n")
    assert row.enhanced or row.code == 354


@pytest.mark.parametrize("text", ["", "25", "host", "::1:25", "host:", "host:x", "host:65536", "unix:", "host:²"])
def test_what_is_no_address(text: str) -> None:
    """An address that is none is refused with what to write instead."""
    with pytest.raises(ValueError, match=r"address|socket"):
        parse_address(text)


def test_addresses() -> None:
    """The three forms of an address."""
    assert parse_address("127.0.0.1:25") == TcpAddress(host="127.0.0.1", port=25)
    assert parse_address("[::1]:0") == TcpAddress(host="::1", port=0)
    assert parse_address(":2525") == TcpAddress(host="", port=2525)
    found = parse_address("unix:/run/x.sock")
    assert isinstance(found, UnixAddress)
    assert str(found.path) == "/run/x.sock"


def test_client_addresses() -> None:
    """An IPv4 client on an IPv6 socket is an IPv4 client; scopes are dropped."""
    assert _client_address(("::ffff:192.0.2.1", 1, 0, 0)) == "192.0.2.1"
    assert _client_address(("fe80::1%eth0", 1, 0, 2)) == "fe80::1"
    assert _client_address("") == "unix"


def test_parameters() -> None:
    """What the parameters become."""
    command = parse_mail("FROM:<a@b.c> SIZE=12 BODY=8BITMIME RET=full ENVID=a+20b AUTH=<>")
    assert (command.path, command.size_bytes, command.ret, command.envid) == ("a@b.c", 12, "FULL", "a b")
    assert parse_mail('from:<"a>b c\\""@d>').path == '"a>b c\\""@d'
    assert parse_rcpt("TO:<x>").notify is None
    assert parse_rcpt("TO:<x> NOTIFY=failure,Delay").notify == {"FAILURE", "DELAY"}


@given(st.text(st.characters(codec="latin-1"), max_size=80))
def test_parsing_refuses_and_nothing_else(text: str) -> None:
    """Whatever stands behind MAIL or RCPT is understood or refused."""
    for parse, keyword in ((parse_mail, "FROM:"), (parse_rcpt, "TO:")):
        for argument in (text, keyword + text, f"{keyword}<a@b.c> {text}", f"{keyword}<a@b.c> ORCPT=x;{text}"):
            codes = []
            try:
                parse(argument)
            except Rejected as refusal:
                codes.append(refusal.reply.code)
            assert set(codes) <= {501, 553, 555}


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_xtext_round_trip(text: str) -> None:
    """What a client encodes as RFC 3461 says comes out as it was."""
    encoded = "".join(c if 33 <= ord(c) <= 126 and c not in "+=" else f"+{ord(c):02X}" for c in text)
    assert decode_xtext(encoded) == text


def read(chunks: Iterator[bytes] | list[bytes], max_bytes: int = 10_000) -> ContentReader:
    """Feed *chunks* until the mail ends."""
    reader = ContentReader(max_bytes)
    for chunk in chunks:
        if reader.feed(chunk):
            break
    return reader


LINES = st.lists(st.sampled_from([b"", b".", b"..", b".x", b"x", b"\r\n", b"a.", b"Received: x"]), max_size=12)


@given(LINES, st.binary(max_size=20), st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_content_comes_out_as_it_went_in(lines: list[bytes], behind: bytes, cuts: list[int]) -> None:
    """Stuffed, cut anywhere and followed by anything, a mail is read whole and what follows is left alone."""
    content = b"".join(line + b"\r\n" for line in lines)
    stuffed = b"".join(b"." + line if line.startswith(b".") else line for line in content.splitlines(keepends=True))
    wire = stuffed + b".\r\n" + behind
    chunks, at = [], 0
    for cut in cuts * len(wire):
        chunks.append(wire[at : at + cut])
        at += cut
        if at >= len(wire):
            break
    reader = ContentReader(10_000)
    taken = b""
    rest = b""
    for index, chunk in enumerate(chunks):
        if reader.feed(chunk):
            taken, rest = reader.content(), reader.rest + b"".join(chunks[index + 1 :])
            break
    else:
        pytest.fail("the end was not found")
    assert (taken, rest) == (content, behind)
    assert reader.settle_line_ends()
    assert not reader.too_big


@given(st.binary(max_size=60), st.integers(1, 7))
def test_only_one_end_exists(octets: bytes, size: int) -> None:
    """However it is cut, a mail ends at the first CRLF.CRLF and nowhere else."""
    wire = octets.replace(b"\r\n.\r\n", b"") + b"\r\n.\r\n"
    end = (b"\r\n" + wire).index(b"\r\n.\r\n") + 3
    reader = read([wire[at : at + size] for at in range(0, len(wire), size)])
    assert reader.received_bytes == end + 1 - 2
    if reader.settle_line_ends():
        content = reader.content()
        assert content.count(b"\n") == content.count(b"\r") == content.count(b"\r\n")


@given(st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n"]), max_size=12).map(b"".join))
def test_a_single_dot_between_odd_line_ends_is_told_apart_from_odd_line_ends_alone(octets: bytes) -> None:
    """A line of one dot that is not the end is refused; any other mail gets CRLF line ends and keeps its lines."""
    wire = octets.replace(b"\r\n.\r\n", b"") + b"\r\n.\r\n"
    assume((b"\r\n" + wire).index(b"\r\n.\r\n") == len(wire) - 3)
    reader = read([wire])
    lines = re.split(rb"\r\r\n|\r\n|\r|\n", wire[:-3])
    assert reader.settle_line_ends() == (b"." not in lines)
    if b"." not in lines:
        assert reader.content() == b"\r\n".join(line.removeprefix(b".") for line in lines)


def test_an_endless_mail_costs_no_memory() -> None:
    """Over the limit nothing is kept, and at twice the limit it is hopeless."""
    reader = ContentReader(1000)
    fed = 0
    while not reader.is_hopeless:
        reader.feed(b"a" * 100)
        fed += 100
        assert reader.buffered_bytes <= 1200
    assert 2000 <= fed <= 2200


VERBS = ["EHLO x", "HELO x", "MAIL FROM:<a@b.c>", "MAIL FROM:<>", "RCPT TO:<79991234567@sms.local>", "DATA", ".", "RSET",
         "NOOP", "QUIT", "AUTH PLAIN", "AUTH LOGIN", "=", "*", "STARTTLS", "VRFY x", "HELP", "BDAT 3", "Subject: x", ""]  # fmt: skip
BEGINNING = ["EHLO x", "MAIL FROM:<a@b.c>", "RCPT TO:<79991234567@sms.local>", "DATA"]
STREAM = st.lists(
    st.one_of(
        st.sampled_from(VERBS).map(lambda verb: verb.encode() + b"\r\n"),
        st.tuples(st.sampled_from(VERBS), st.binary(max_size=12)).map(lambda pair: pair[0].encode() + pair[1]),
        st.binary(max_size=30),
        st.sampled_from([b"\r\n.\r\n", b"\n.\n", b"\r", b"\n", b"\0", b"\xff\xfe"]),
    ),
    max_size=30,
).map(b"".join)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 4), STREAM, st.booleans())
def test_random_streams_get_clean_replies(begun: int, stream: bytes, auth: bool) -> None:
    """Whatever is sent, every reply is clean, the session ends when the client does, and nothing inside breaks."""

    async def scenario() -> None:
        async with open_door({"auth": "optional" if auth else "off"}) as door:
            reader, writer = await door.connect()
            writer.write("".join(f"{verb}\r\n" for verb in BEGINNING[:begun]).encode() + stream)
            writer.write_eof()
            async with asyncio.timeout(5):
                try:
                    while line := await reader.readline():
                        check_hygiene(line)
                except ConnectionError:
                    pass
            writer.close()
            assert not door.log.named("session_failed")
            assert not door.log.named("reception_failed")

    asyncio.run(scenario())
    gc.collect(0)
