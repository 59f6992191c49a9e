"""The way to the smarthost, against a real SMTP server that takes, refuses, defers, hangs, and asks for TLS or AUTH."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest
import trustme

from mailbridge.config.smarthost import parse_smarthost
from mailbridge.errors import RelayRefused, RelayUnavailable
from mailbridge.queue.contract import OutgoingMail
from mailbridge.report.relay import Relay
from tests.support.reports import NOW
from tests.support.smarthost import running_smarthost

PASSWORD = "correct horse:battery@staple"
URL_PASSWORD = "correct%20horse%3Abattery%40staple"


def outgoing(content: bytes = b"Subject: report\r\n\r\nx\r\n", **changes) -> OutgoingMail:
    """Return a report on its way."""
    fields = {
        "id": 1,
        "mail_id": "K7Q2M9ZC4T",
        "sender": "",
        "recipient": "nagios@example.org",
        "content": content,
        "attempts": 0,
        "created_at": NOW,
        "next_attempt_at": NOW,
    }
    return OutgoingMail(**(fields | changes))


def relay_to(port: int, *, scheme: str = "smtp", login: str = "", query: str = "", **kwargs) -> Relay:
    """Return a relay to a server on this machine."""
    url = f"{scheme}://{login}127.0.0.1:{port}{query}"
    return Relay(parse_smarthost(url), hostname="sms.example.org", **kwargs)


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return an authority of our own."""
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """Return the server's side, with a certificate of that authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """Return a client's side that trusts that authority alone."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_a_report_is_handed_over_from_the_null_sender():
    """MAIL FROM:<>, one recipient, the content as built, no 8BITMIME for ASCII."""
    async with running_smarthost() as fake, relay_to(fake.port) as relay:
        assert await relay.send(outgoing()) == "2.0.0 Ok: queued as FAKE"
    (taken,) = fake.mails
    assert (taken.mail_from, taken.rcpt_tos) == ("<>", ["nagios@example.org"])
    assert taken.content == b"Subject: report\r\n\r\nx\r\n"
    assert not any("8BITMIME" in option.upper() for option in taken.mail_options)


async def test_eight_bit_content_is_declared():
    """A whole mail that comes back with 8-bit octets asks for 8BITMIME and arrives unchanged."""
    content = "Subject: a\r\n\r\nтест\r\n".encode()
    async with running_smarthost() as fake, relay_to(fake.port) as relay:
        await relay.send(outgoing(content))
    assert fake.mails[0].content == content
    assert "BODY=8BITMIME" in fake.mails[0].mail_options


async def test_several_mails_share_a_connection():
    """The connection of the first mail is kept for the next ones."""
    async with running_smarthost() as fake, relay_to(fake.port) as relay:
        for _ in range(3):
            await relay.send(outgoing())
    assert len(fake.mails) == 3
    assert fake.connections == 1


@pytest.mark.parametrize("field", ["rcpt_reply", "data_reply"])
@pytest.mark.parametrize(
    ("reply", "raised"),
    [
        ("450 4.2.1 mailbox busy", RelayUnavailable),
        ("550 5.1.1 no such user", RelayRefused),
        ("554 5.7.1 rejected", RelayRefused),
        ("530 5.7.0 authentication required", RelayUnavailable),
    ],
)
async def test_refusals_are_told_from_delays(field, reply, raised):
    """5xx about the mail is final; 4xx, or a 5xx about our own configuration, is not. The session goes on."""
    async with running_smarthost(**{field: reply}) as fake, relay_to(fake.port) as relay:
        with pytest.raises(raised, match=reply[:3]):
            await relay.send(outgoing())
        setattr(fake, field, None)
        await relay.send(outgoing())
    assert len(fake.mails) == 1


async def test_a_server_that_is_away_is_asked_once():
    """With nobody listening each mail is put off, and the next ones do not wait for the same again."""
    relay = relay_to(free_port())
    with pytest.raises(RelayUnavailable, match=r"127\.0\.0\.1"):
        await relay.send(outgoing())
    async with running_smarthost() as fake:
        relay._smarthost = parse_smarthost(f"smtp://127.0.0.1:{fake.port}")
        with pytest.raises(RelayUnavailable):
            await relay.send(outgoing())
        assert fake.connections == 0


async def test_a_server_that_hangs_after_data_is_left():
    """No answer to the final dot within the limit is no success, and the connection is not used again."""
    async with running_smarthost(hang=asyncio.Event()) as fake, relay_to(fake.port, command_timeout_s=0.2) as relay:
        for _ in range(2):
            with pytest.raises(RelayUnavailable):
                await relay.send(outgoing())
        assert fake.connections == 1


async def test_a_server_that_never_greets_is_left():
    """A listener that says nothing is given up within the limit."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        relay = relay_to(silent.getsockname()[1], connect_timeout_s=0.2)
        with pytest.raises(RelayUnavailable):
            await relay.send(outgoing())
        await relay.aclose()


async def test_a_bad_recipient_is_refused_before_it_reaches_the_wire():
    """An address that would inject a command is dropped, not sent."""
    async with running_smarthost() as fake, relay_to(fake.port) as relay:
        with pytest.raises(RelayRefused):
            await relay.send(outgoing(recipient="a@b>\r\nRCPT TO:<c@d"))
    assert fake.mails == []


async def test_implicit_tls_checks_the_certificate(server_tls, trusting):
    """smtps:// works with a certificate that holds, and waits with one that does not."""
    async with running_smarthost(tls=server_tls, implicit=True) as fake:
        async with relay_to(fake.port, scheme="smtps", tls_context=trusting) as relay:
            await relay.send(outgoing())
        async with relay_to(fake.port, scheme="smtps") as relay:
            with pytest.raises(RelayUnavailable):
                await relay.send(outgoing())
    assert [taken.tls for taken in fake.mails] == [True]


@pytest.mark.parametrize(("query", "encrypted"), [("", True), ("?starttls=auto", True), ("?starttls=off", False)])
async def test_starttls_is_taken_where_offered(server_tls, query, encrypted):
    """The default is opportunistic: TLS where offered, even with a certificate nobody vouches for."""
    async with running_smarthost(tls=server_tls) as fake, relay_to(fake.port, query=query) as relay:
        await relay.send(outgoing())
    assert fake.mails[0].tls is encrypted


async def test_required_starttls_is_never_gone_without(server_tls, trusting):
    """Required means offered and with a certificate that holds; anything less waits."""
    async with running_smarthost() as plain, relay_to(plain.port, query="?starttls=required") as relay:
        with pytest.raises(RelayUnavailable):
            await relay.send(outgoing())
    async with running_smarthost(tls=server_tls) as fake:
        async with relay_to(fake.port, query="?starttls=required") as relay:
            with pytest.raises(RelayUnavailable):
                await relay.send(outgoing())
        async with relay_to(fake.port, query="?starttls=required", tls_context=trusting) as relay:
            await relay.send(outgoing())
    assert plain.mails == []
    assert [taken.tls for taken in fake.mails] == [True]


async def test_the_server_knows_who_signs_in(server_tls):
    """User and password of the URL are used."""
    login = f"bridge:{URL_PASSWORD}@"
    async with (
        running_smarthost(tls=server_tls, users={"bridge": PASSWORD}) as fake,
        relay_to(fake.port, login=login) as r,
    ):
        await r.send(outgoing())
    assert fake.mails[0].user == "bridge"


async def test_a_wrong_password_waits_and_is_not_told():
    """Wrong credentials are ours to mend: mails wait, and neither the password nor the server's echo of it is told."""
    login = f"bridge:{URL_PASSWORD}@"
    async with running_smarthost(users={"bridge": "other"}) as fake, relay_to(fake.port, login=login) as relay:
        with pytest.raises(RelayUnavailable, match="user or password") as caught:
            await relay.send(outgoing())
    assert PASSWORD not in str(caught.value)
    assert fake.mails == []


@pytest.mark.parametrize(
    ("field", "code"), [("rcpt_reply", 450), ("rcpt_reply", 550), ("data_reply", 250), ("data_reply", 451)]
)
async def test_a_server_that_repeats_our_password_does_not_spread_it(field: str, code: int):
    """Its words reach the log and the queue; the password in them does not, in whatever spelling."""
    words = f"{code} hello {PASSWORD}, or {URL_PASSWORD}"
    async with (
        running_smarthost(users={"bridge": PASSWORD}, **{field: words}) as server,
        relay_to(server.port, login=f"bridge:{URL_PASSWORD}@") as relay,
    ):
        try:
            said = await relay.send(outgoing())
        except (RelayRefused, RelayUnavailable) as error:
            said = str(error)
    assert "hello ***, or ***" in said
