"""CRAM-MD5, sign-in without TLS, and the ban of addresses that guess passwords."""

from __future__ import annotations

import asyncio
import hmac
from base64 import b64decode, b64encode

import pytest
from argon2 import PasswordHasher

from mailbridge.config.model import User
from mailbridge.smtp.bans import Bans
from tests.support.door import TestDoor, greet, hear, open_door, say

USERS = [
    User(name="zabbix", password=PasswordHasher(1, 8, 1).hash("s3cret"), cram_secret="s3cret"),  # type: ignore[arg-type]
    User(name="other", password=PasswordHasher(1, 8, 1).hash("else")),  # type: ignore[arg-type]
]
#: a listener that lets a test choose its address
ANYWHERE = {"proxies": ["127.0.0.1"], "allow": ["192.0.2.0/24"], "auth": "optional", "auth_without_tls": True}


async def begin(door: TestDoor, client: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
    """Connect as *client* behind a proxy; return what EHLO was answered, too."""
    reader, writer = await door.connect()
    writer.write(f"PROXY TCP4 {client} 127.0.0.1 1 25\r\n".encode())
    await hear(reader)
    return reader, writer, await greet(reader, writer)


async def cram(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str, secret: str) -> str:
    """Answer the challenge as RFC 2195 says."""
    challenge = b64decode((await say(reader, writer, "AUTH CRAM-MD5")).removeprefix("334 "))
    assert challenge.startswith(b"<")
    assert challenge.endswith(b"@sms.example.org>")
    digest = hmac.new(secret.encode(), challenge, "md5").hexdigest()
    return await say(reader, writer, b64encode(f"{name} {digest}".encode()).decode())


async def test_cram_md5_signs_in_who_has_a_secret() -> None:
    """It is offered where a user has one; a wrong secret, and a user without one, stay outside."""
    async with open_door({"auth": "optional"}, users=USERS) as door:
        reader, writer = await door.connect()
        await hear(reader)
        assert "AUTH PLAIN LOGIN CRAM-MD5" in await greet(reader, writer)
        assert (await cram(reader, writer, "zabbix", "wrong")).startswith("535")
        assert (await cram(reader, writer, "other", "else")).startswith("535")
        assert (await cram(reader, writer, "zabbix", "s3cret")).startswith("235")
        writer.close()


@pytest.mark.parametrize(
    ("answer", "code"), [("*", "501"), ("=", "501"), ("????", "501"), (b64encode(b"zabbix").decode(), "535")]
)
async def test_bad_answers_to_the_challenge(answer: str, code: str) -> None:
    """Cancelled, no base64, no digest."""
    async with open_door({"auth": "optional"}, users=USERS) as door:
        reader, writer = await door.connect()
        await hear(reader)
        await say(reader, writer, "EHLO x")
        assert (await say(reader, writer, "AUTH CRAM-MD5")).startswith("334 ")
        assert (await say(reader, writer, answer)).startswith(code)
        writer.close()


async def test_cram_md5_is_unknown_where_nobody_has_a_secret() -> None:
    """Nothing is offered that nobody can use."""
    async with open_door({"auth": "optional"}, users=USERS[1:]) as door:
        reader, writer = await door.connect()
        await hear(reader)
        assert "CRAM" not in await greet(reader, writer)
        assert (await say(reader, writer, "AUTH CRAM-MD5")).startswith("504")
        writer.close()


@pytest.mark.parametrize("without_tls", [False, True])
async def test_signing_in_without_tls_is_the_listeners_choice(without_tls: bool) -> None:
    """From elsewhere than this machine AUTH needs TLS unless the listener says otherwise."""
    async with open_door({**ANYWHERE, "auth_without_tls": without_tls}, users=USERS) as door:
        reader, writer, offers = await begin(door, "192.0.2.9")
        assert ("AUTH" in offers) is without_tls
        answer = await say(reader, writer, "AUTH PLAIN " + b64encode(b"\0zabbix\0s3cret").decode())
        assert answer.startswith("235" if without_tls else "538")
        writer.close()


async def test_an_address_that_guesses_is_banned_and_others_are_not() -> None:
    """The ban counts over sessions, holds against the right password, and lets mail without AUTH pass."""
    wrong = "AUTH PLAIN " + b64encode(b"\0zabbix\0wrong").decode()
    right = "AUTH PLAIN " + b64encode(b"\0zabbix\0s3cret").decode()
    async with open_door(ANYWHERE, users=USERS, auth_failures=2) as door:
        for _ in range(2):
            reader, writer, _ = await begin(door, "192.0.2.9")
            assert (await say(reader, writer, wrong)).startswith("535")
            writer.close()
        reader, writer, _ = await begin(door, "192.0.2.9")
        assert (await say(reader, writer, right)).startswith("421 4.7.0")
        assert await reader.read() == b""
        writer.close()
        reader, writer, _ = await begin(door, "192.0.2.10")
        assert (await say(reader, writer, right)).startswith("235")
        writer.close()
        reader, writer, _ = await begin(door, "192.0.2.9")
        assert (await say(reader, writer, "MAIL FROM:<a@b.c>")).startswith("250")
        writer.close()
        assert door.log.named("banned") == [{"client": "192.0.2.9", "seconds": 600.0}]


def test_a_ban_ends() -> None:
    """Failures further apart than the ban is long do not add up, and the ban ends by itself."""
    bans = Bans(limit=2, ban_s=60)
    assert not bans.count("192.0.2.1", 0)
    assert not bans.count("192.0.2.1", 61)
    assert bans.count("192.0.2.1", 62)
    assert bans.is_banned("192.0.2.1", 121)
    assert not bans.is_banned("192.0.2.1", 122)
    assert not bans.count("192.0.2.1", 122)


def test_an_ipv6_client_is_its_net_and_memory_is_bounded() -> None:
    """Changing the last 64 bits helps nobody; ten thousand addresses are remembered, no more."""
    bans = Bans(limit=1, ban_s=60)
    bans.count("2001:db8::1", 0)
    assert bans.is_banned("2001:db8::2", 1)
    assert not bans.is_banned("2001:db8:1::1", 1)
    for number in range(12_000):
        bans.count(f"10.0.{number // 256}.{number % 256}", 1)
    assert len(bans) == 10_000
    assert not Bans(limit=1, ban_s=0).count("192.0.2.1", 0)
