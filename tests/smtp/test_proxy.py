"""PROXY headers: believed from named proxies, whole or in pieces, before TLS too."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.smtp.proxy import parse_proxy_header
from tests.support.door import hear, open_door, say, until

V2 = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT, PROXY = bytes((192, 0, 2, 9)), bytes((127, 0, 0, 1))
V1_HEADER = b"PROXY TCP4 192.0.2.9 127.0.0.1 50000 25\r\n"
V2_HEADER = V2 + b"\x21\x11\0\x0f" + CLIENT + PROXY + b"\xc3\x50\0\x19" + b"\x04\0\0"
BEHIND = {"proxies": ["127.0.0.1"], "allow": ["192.0.2.0/24"]}


@pytest.mark.parametrize("header", [V1_HEADER, V2_HEADER], ids=["v1", "v2"])
@pytest.mark.parametrize("how", ["one packet", "octet by octet"])
async def test_the_client_is_the_one_the_proxy_names(header: bytes, how: str) -> None:
    """``allow`` and the mail see the client's address, however the header was cut."""
    async with open_door(BEHIND) as door:
        reader, writer = await door.connect()
        for piece in [header] if how == "one packet" else [bytes([octet]) for octet in header]:
            writer.write(piece)
            await asyncio.sleep(0)
        assert (await hear(reader)).startswith("220")
        envelope = ("EHLO x", "MAIL FROM:<a@b.c>", "RCPT TO:<79991234567@sms.local>", "DATA")
        assert (await say(reader, writer, *envelope)).startswith("354")
        assert (await say(reader, writer, "Subject: x\r\n\r\ny\r\n.")).startswith("250")
        assert door.reception.mails[0].client.address == "192.0.2.9"
        writer.close()


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        (b"PROXY TCP4 198.51.100.1 127.0.0.1 50000 25\r\n", "550 5.7.1"),
        (b"PROXY UNKNOWN\r\n", "550 5.7.1"),
        (V2 + b"\x20\0\0\0", "550 5.7.1"),
        (b"EHLO x\r\n", "421 4.7.0"),
        (b"PROXY TCP4 nobody 127.0.0.1 1 2\r\n", "421 4.7.0"),
        (b"PROXY TCP4 192.0.2.9 127.0.0.1 1 99999\r\n", "421 4.7.0"),
        (b"PROXY TCP4 " + b"1" * 200, "421 4.7.0"),
        (V2 + b"\x21\x11\xff\xff", "421 4.7.0"),
        (V1_HEADER + b"EHLO x\r\n", "554 5.5.1"),
    ],
)
async def test_other_beginnings_are_sent_away(header: bytes, answer: str) -> None:
    """A client outside ``allow``, a proxy's own check, no header, a broken one, a client that does not wait."""
    async with open_door(BEHIND) as door:
        reader, writer = await door.connect()
        writer.write(header)
        assert (await hear(reader)).startswith(answer)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_header_from_nobody_in_particular_is_no_command() -> None:
    """A client that is no named proxy cannot choose its address."""
    async with open_door({"proxies": ["192.0.2.1"]}) as door:
        reader, writer = await door.connect()
        await hear(reader)
        assert (await say(reader, writer, V1_HEADER.decode().strip())).startswith("500 5.5.1")
        writer.close()


async def test_a_proxy_that_says_nothing_is_not_waited_for() -> None:
    """The header has the time a TLS handshake has."""
    async with open_door(BEHIND) as door:
        reader, writer = await door.connect()
        assert (await asyncio.wait_for(hear(reader), 5)).startswith("421")
        writer.close()
        await until(lambda: door.door.sessions_count == 0)


def _certificate(folder: Path) -> tuple[dict[str, Any], ssl.SSLContext]:
    authority, client = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(client)
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    return {"certificate": str(folder / "cert.pem"), "private_key": str(folder / "key.pem")}, client


async def _greeting_behind_a_proxy(folder: Path) -> str:
    keys, client = _certificate(folder)
    async with open_door({**BEHIND, **keys, "tls": "implicit"}) as door:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client.wrap_bio(incoming, outgoing, server_hostname="localhost")
        reader, writer = await door.connect()
        writer.write(V2_HEADER)
        while True:
            try:
                greeting = tls.read(100)
                break
            except ssl.SSLWantReadError:
                # the first flight goes out in one packet with the header
                writer.write(outgoing.read())
                incoming.write(await asyncio.wait_for(reader.read(65536), 5))
        writer.close()
        return greeting.decode()


async def test_implicit_tls_begins_after_the_header(tmp_path: Path) -> None:
    """Header and ClientHello may come in one packet."""
    assert (await _greeting_behind_a_proxy(tmp_path)).startswith("220 ")


async def test_implicit_tls_begins_after_the_header_on_uvloop(tmp_path: Path) -> None:
    """The same on the event loop of production."""
    assert (await asyncio.to_thread(uvloop.run, _greeting_behind_a_proxy(tmp_path))).startswith("220 ")


async def test_a_client_that_does_not_wait_for_the_greeting_is_sent_away() -> None:
    """Commands that are there before the greeting: no mail server does that (Postfix postscreen calls it pregreet)."""
    assert (await _first_words_to_an_early_talker()).startswith("554 5.5.1")
    assert (await asyncio.to_thread(uvloop.run, _first_words_to_an_early_talker())).startswith("554 5.5.1")
    assert (await _first_words_to_an_early_talker(legacy=True)).startswith("220")


async def _first_words_to_an_early_talker(**listener: Any) -> str:
    async with open_door(listener) as door:
        # no await: the command is in the socket before the door gets to accept it
        early = socket.create_connection(("127.0.0.1", door.port))
        early.sendall(b"EHLO x\r\n")
        early.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=early)
        first = await hear(reader)
        writer.close()
        return first


@given(octets=st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: V2 + tail))
def test_any_beginning_is_a_header_or_none_or_refused(octets: bytes) -> None:
    """Whatever comes: a header within the octets, more to wait for, or ValueError."""
    try:
        header = parse_proxy_header(octets)
    except ValueError:
        return
    assert header is None or 0 < header.length_bytes <= len(octets)


@pytest.mark.parametrize("header", [V1_HEADER, V2_HEADER])
def test_a_header_is_complete_at_its_last_octet(header: bytes) -> None:
    """No shorter beginning is taken for it, and what follows is not touched."""
    assert all(parse_proxy_header(header[:count]) is None for count in range(len(header)))
    whole = parse_proxy_header(header + b"EHLO x\r\n")
    assert whole is not None
    assert (whole.length_bytes, whole.client) == (len(header), "192.0.2.9")
