"""TLS in its three forms, and signing in."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import uvloop
from argon2 import PasswordHasher

from mailbridge.config.model import Listener, User
from mailbridge.model import reply
from mailbridge.model.mail import Client
from mailbridge.smtp.passwords import UserPasswords
from mailbridge.smtp.session import Session
from mailbridge.smtp.site import Limits
from tests.support.certificates import Certificates
from tests.support.door import TestDoor, hear, open_door, say, until

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
USERS = [User(name="zabbix", password=CHEAP.hash("s3cret"), role="send")]  # type: ignore[arg-type]
RCPT = "79991234567@sms.local"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Return a certificate of this test alone."""
    return Certificates(tmp_path)


def deliver(port: int, context: ssl.SSLContext, *, implicit: bool = False, login: bool = False) -> list[str]:
    """Send a mail with the standard library; return the extensions offered inside TLS."""
    kind: Any = smtplib.SMTP_SSL if implicit else smtplib.SMTP
    with kind(
        "127.0.0.1", port, local_hostname="me", timeout=5, **({"context": context} if implicit else {})
    ) as client:
        if not implicit:
            client.starttls(context=context)
        client.ehlo()
        if login:
            client.login("zabbix", "s3cret")
        client.sendmail("a@b.c", [RCPT], "Subject: x\n\ny\n")
        return sorted(client.esmtp_features)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("tls", ["starttls", "required", "implicit"])
async def test_a_mail_comes_in_over_tls(tls: str, loop: str, certificates: Certificates) -> None:
    """Each form of TLS takes a mail and knows that it was encrypted; STARTTLS is not offered a second time."""

    async def scenario() -> None:
        async with open_door(certificates.listener(tls)) as door:
            offers = await asyncio.to_thread(deliver, door.port, certificates.client, implicit=tls == "implicit")
            assert offers == ["8bitmime", "dsn", "enhancedstatuscodes", "pipelining", "size"]
            assert door.reception.mails[0].client.tls
            await until(lambda: door.door.sessions_count == 0)

    if loop == "asyncio":
        await scenario()
    else:
        await asyncio.to_thread(uvloop.run, scenario())


async def start_tls(door: TestDoor, context: ssl.SSLContext, behind: bytes = b"") -> Any:
    """Connect and go on inside TLS; *behind* is sent in one segment with STARTTLS."""
    reader, writer = await door.connect()
    await hear(reader)
    assert (await say(reader, writer, "EHLO x")).startswith("250 DSN")
    writer.write(b"STARTTLS\r\n" + behind)
    assert (await hear(reader)) == str(reply.READY_FOR_TLS)
    await writer.start_tls(context, server_hostname="127.0.0.1")
    return reader, writer


async def test_commands_behind_starttls_are_thrown_away(certificates: Certificates) -> None:
    """What an attacker injects before TLS is not obeyed inside it, and the greeting has to be said again."""
    async with open_door(certificates.listener("starttls")) as door:
        reader, writer = await start_tls(door, certificates.client, b"EHLO injected\r\nMAIL FROM:<evil@x.y>\r\n")
        assert (await say(reader, writer, "MAIL FROM:<a@b.c>")) == str(reply.BAD_SEQUENCE)
        assert (await say(reader, writer, "EHLO x")) == "250 DSN"
        assert (await say(reader, writer, "STARTTLS")) == str(reply.BAD_SEQUENCE)
        assert (await say(reader, writer, "MAIL FROM:<a@b.c>")).startswith("250")
        writer.close()


async def test_tls_that_is_required_comes_first(certificates: Certificates) -> None:
    """Before TLS only greetings, NOOP, STARTTLS and QUIT are heard."""
    async with open_door(certificates.listener("required")) as door:
        reader, writer = await door.connect()
        await hear(reader)
        assert await say(reader, writer, "EHLO x", "MAIL FROM:<a@b.c>") == str(reply.TLS_REQUIRED)
        assert (await say(reader, writer, "NOOP")).startswith("250")
        writer.close()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("words", [b"MAIL FROM:<a@b.c>\r\n" * 10, b""], ids=["garbage", "silence"])
async def test_a_handshake_that_fails_is_closed(tls: str, words: bytes, certificates: Certificates) -> None:
    """Plain text or silence in the place of a handshake ends the connection."""
    async with open_door(certificates.listener(tls), limits=Limits(handshake_s=0.2, linger_s=0.1)) as door:
        reader, writer = await door.connect()
        if tls == "starttls":
            await hear(reader)
            await say(reader, writer, "EHLO x", "STARTTLS")
        writer.write(words)
        try:
            async with asyncio.timeout(5):
                await reader.read()
        except ConnectionError:
            pass
        await until(lambda: door.door.sessions_count == 0)
        writer.close()


async def test_a_renewed_certificate_is_used_without_a_restart(certificates: Certificates) -> None:
    """After a reload new connections see the new certificate; a broken file leaves the old one in use."""

    async def seen(door: TestDoor) -> bytes | None:
        _, writer = await door.connect(ssl=certificates.client)
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return certificate

    async with open_door(certificates.listener("implicit")) as door:
        first = await seen(door)
        certificates.renew()
        assert await seen(door) == first
        door.door.reload_certificates()
        second = await seen(door)
        assert second != first
        Path(certificates.listener("implicit")["certificate"]).write_text("broken")
        with pytest.raises(OSError):
            door.door.reload_certificates()
        assert await seen(door) == second


async def test_a_missing_certificate_keeps_the_door_shut(tmp_path: Path) -> None:
    """A listener whose certificate cannot be read does not open."""
    with pytest.raises(OSError):
        async with open_door({"tls": "implicit", "certificate": str(tmp_path / "none.pem")}):
            pass


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_signing_in_over_tls(tls: str, certificates: Certificates) -> None:
    """AUTH is offered inside TLS of either form, and the mail says who signed in."""
    async with open_door(certificates.listener(tls, auth="required"), users=USERS) as door:
        offers = await asyncio.to_thread(
            deliver, door.port, certificates.client, implicit=tls == "implicit", login=True
        )
        assert "auth" in offers
        assert door.reception.mails[0].client.user == "zabbix"


def b64(text: str) -> str:
    """Return *text* in base64."""
    return b64encode(text.encode()).decode()


GOOD = b64("\0zabbix\0s3cret")
SIGN_INS = {
    "plain at once": ["AUTH PLAIN " + GOOD],
    "plain in lower case": ["auth plain " + GOOD],
    "plain when asked": ["AUTH PLAIN", GOOD],
    "login": ["AUTH LOGIN", b64("zabbix"), b64("s3cret")],
    "login with the name at once": ["AUTH LOGIN " + b64("zabbix"), b64("s3cret")],
}


@pytest.mark.parametrize("lines", SIGN_INS.values(), ids=SIGN_INS)
async def test_the_ways_to_sign_in(lines: list[str]) -> None:
    """PLAIN and LOGIN work in each of their forms, once."""
    async with open_door({"auth": "required"}, users=USERS) as door:
        reader, writer = await door.connect()
        await hear(reader)
        assert await say(reader, writer, "EHLO x", "MAIL FROM:<a@b.c>") == str(reply.AUTH_REQUIRED)
        assert await say(reader, writer, *lines) == str(reply.SIGNED_IN)
        assert await say(reader, writer, lines[0]) == str(reply.BAD_SEQUENCE)
        assert (await say(reader, writer, "MAIL FROM:<a@b.c>")).startswith("250")
        writer.close()


FAILURES = {
    "wrong password": (["AUTH PLAIN " + b64("\0zabbix\0wrong")], reply.AUTH_FAILED),
    "unknown user": (["AUTH PLAIN " + b64("\0nobody\0s3cret")], reply.AUTH_FAILED),
    "empty": (["AUTH PLAIN " + b64("\0\0")], reply.AUTH_FAILED),
    "not UTF-8": (["AUTH PLAIN " + b64encode(b"\0\xff\0\xff").decode()], reply.AUTH_FAILED),
    "not base64": (["AUTH PLAIN ***"], reply.BAD_BASE64),
    "equals sign": (["AUTH PLAIN ="], reply.BAD_BASE64),
    "too many fields": (["AUTH PLAIN " + b64("a\0b\0c\0d\0e")], reply.BAD_BASE64),
    "not base64 when asked": (["AUTH LOGIN", "!!"], reply.BAD_BASE64),
    "aborted": (["AUTH LOGIN", "*"], reply.AUTH_ABORTED),
    "too long": (["AUTH LOGIN", "A" * 20000], reply.LINE_TOO_LONG),
    "no mechanism": (["AUTH"], reply.BAD_ARGUMENT),
    "unknown mechanism": (["AUTH CRAM-MD5"], reply.UNKNOWN_MECHANISM),
    "too many words": (["AUTH PLAIN a b"], reply.BAD_ARGUMENT),
    "inside a mail": (["MAIL FROM:<a@b.c>", "AUTH PLAIN " + GOOD], reply.BAD_SEQUENCE),
}


@pytest.mark.parametrize(("lines", "expected"), FAILURES.values(), ids=FAILURES)
async def test_the_ways_to_fail(lines: list[str], expected: reply.Reply) -> None:
    """What is wrong is answered in fixed words, and signing in stays possible."""
    async with open_door({"auth": "optional"}, users=USERS) as door:
        reader, writer = await door.connect()
        await hear(reader)
        assert (await say(reader, writer, "EHLO x", *lines))[:9] == str(expected)[:9]
        assert await say(reader, writer, "RSET", "AUTH PLAIN " + GOOD) == str(reply.SIGNED_IN)
        writer.close()


async def test_three_failures_end_the_session() -> None:
    """Nobody tries passwords for long on one connection, and each failure is logged without them."""
    async with open_door({"auth": "optional"}, users=USERS) as door:
        reader, writer = await door.connect()
        await hear(reader)
        wrong = "AUTH PLAIN " + b64("\0zabbix\0wrong")
        await say(reader, writer, "EHLO x", wrong, wrong)
        assert await say(reader, writer, wrong) == str(reply.AUTH_FAILED)
        assert await hear(reader) == str(reply.TOO_MANY_AUTH_FAILURES)
        assert await reader.read() == b""
        assert [event["stage"] for event in door.log.named("rejected")] == ["auth"] * 3
        assert "wrong" not in str(door.log.events)
        writer.close()


async def test_passwords_are_not_asked_for_on_an_open_line() -> None:
    """Without TLS, AUTH is offered to loopback clients alone."""
    async with open_door({"auth": "optional"}) as door:
        site = door.door._prepare(Listener(auth="optional"))._site
        session = Session(site, asyncio.get_running_loop())
        for address, offered in {"127.0.0.1": True, "::1": True, "unix": True, "192.0.2.7": False}.items():
            session.client = Client(address=address)
            assert session.offers_auth is offered
        session.client = Client(address="192.0.2.7", tls=True)
        assert session.offers_auth


async def test_a_password_that_was_right_is_not_hashed_again() -> None:
    """The second check of a right password is quick; another password is still wrong, and a broken hash is nobody's."""
    passwords = UserPasswords([*USERS, User(name="broken", password="$argon2id$x")])  # type: ignore[arg-type]
    assert await passwords.verify("zabbix", "s3cret")
    assert await passwords.verify("zabbix", "s3cret")
    assert not await passwords.verify("zabbix", "other")
    assert not await passwords.verify("broken", "s3cret")
    passwords.close()


async def test_users_can_be_replaced_while_the_door_is_open() -> None:
    """A user taken out of the configuration no longer gets in, even with a password that was right before."""
    async with open_door({"auth": "optional"}, users=USERS) as door:
        reader, writer = await door.connect()
        await hear(reader)
        assert await say(reader, writer, "EHLO x", "AUTH PLAIN " + GOOD) == str(reply.SIGNED_IN)
        door.door.replace_users([])
        reader, second = await door.connect()
        await hear(reader)
        assert await say(reader, second, "EHLO x", "AUTH PLAIN " + GOOD) == str(reply.AUTH_FAILED)
        writer.close()
        second.close()
