"""The client against a real server that misbehaves: when a byte left, which host is asked, and what is never done."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import quote, quote_plus

import aiohttp
import pytest
import trustme
from aiohttp.abc import AbstractResolver

from mailbridge.errors import OutcomeUnknown
from mailbridge.gateway.contract import Silence, StatusMiss, StatusQuery
from mailbridge.gateway.smsc.client import SmscGateway
from mailbridge.gateway.smsc.line import MAX_REQUESTS
from mailbridge.gateway.transport import HttpTransport
from mailbridge.model.outcome import Accepted, Deferred, ErrorClass, Outcome, Refused, Suspended, Unknown
from tests.support import fake_gateway as fake
from tests.support.clock import FakeClock
from tests.support.sms import OTHER, PHONE, batch, message, settings

OK = '{"id":5001,"cnt":1,"cost":"1.4","balance":"100.5"}'
QUERY = StatusQuery(PHONE, "5001")


async def send(*urls: str, connector=None, **fields) -> Outcome:
    """Send one message through a client of its own."""
    extra = {"connector": connector} if connector else {}
    gateway = SmscGateway("main", settings(*urls, **fields), **extra)
    try:
        (outcome,) = await gateway.send(batch())
        return outcome
    finally:
        await gateway.aclose()


@pytest.fixture
def dead_url():
    """An address nobody listens on while the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


# ----------------------------------------------------------------------------------------------- the request
async def test_a_request_is_one_post_with_everything_in_its_body():
    """No credential and no phone stands in the URL or a header."""
    async with fake.fake_gateway(fake.answer(OK)) as server:
        assert await send(server.url + "/") == Accepted(
            gateway_id="5001", parts=1, price=Decimal("1.4"), balance=Decimal("100.5")
        )
        (request,) = server.requests
    assert request.line == "POST /sys/send.php HTTP/1.1"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "expect" not in request.headers
    assert "canary" not in str(request.headers)
    assert request.form["psw"] == "s3cret-canary"
    assert request.form["phones"] == PHONE


async def test_connections_are_kept():
    """A second request uses the first one's connection."""
    async with fake.fake_gateway(fake.answer(OK)) as server:
        gateway = SmscGateway("main", settings(server.url))
        await gateway.send(batch())
        await gateway.send(batch())
        await gateway.aclose()
        assert (server.connections, len(server.requests)) == (1, 2)


async def test_the_environments_proxy_is_ignored(monkeypatch, dead_url):
    """Proxies come from the configuration only."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, dead_url)
    async with fake.fake_gateway(fake.answer(OK)) as server:
        assert isinstance(await send(server.url), Accepted)


async def test_a_configured_proxy_is_used(dead_url):
    """The request goes to the proxy with its whole address, the body as ever."""
    async with fake.fake_gateway(fake.answer(OK)) as proxy:
        assert isinstance(await send(dead_url, proxy=proxy.url), Accepted)
        assert proxy.requests[0].line.startswith(f"POST {dead_url}/sys/send.php")


async def test_never_more_requests_than_the_gateway_bears():
    """With 15 at once it refuses all of them, so the client itself keeps below."""
    async with fake.fake_gateway(fake.hang(after_reading=True)) as server:
        gateway = SmscGateway("main", settings(server.url, timeout="500ms"))
        tasks = [asyncio.create_task(gateway.status([QUERY])) for _ in range(MAX_REQUESTS + 6)]
        while len(server.requests) < MAX_REQUESTS:
            await asyncio.sleep(0.005)
        # the rest comes only when a slot is free, which the first time-out brings
        assert len(server.requests) == server.connections == MAX_REQUESTS
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        while len(server.requests) < MAX_REQUESTS + 6:
            await asyncio.sleep(0.005)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await gateway.aclose()


# ------------------------------------------------------------------------------------------ nothing left: free
async def test_a_refused_connection_sends_nothing(dead_url):
    """No byte left: the message may be tried again at will."""
    outcome = await send(dead_url)
    assert isinstance(outcome, Deferred)
    assert not outcome.left
    assert outcome.error.error_class is ErrorClass.DEFERRED


class DeafResolver(AbstractResolver):
    """Names are never resolved: at once or not at all."""

    def __init__(self, *, hang: bool) -> None:
        self._hang = hang

    async def resolve(self, host, port=0, family=socket.AF_INET):
        if self._hang:
            await asyncio.Event().wait()
        raise OSError(None, "no such name")

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("hang", [False, True])
async def test_a_name_that_is_not_resolved_sends_nothing(hang):
    """Unknown names and a name server that never answers; the loop goes on meanwhile."""
    outcome = await send(
        "http://gateway.invalid",
        connect_timeout="100ms",
        connector=lambda: aiohttp.TCPConnector(resolver=DeafResolver(hang=hang)),
    )
    assert isinstance(outcome, Deferred)
    assert not outcome.left
    assert outcome.error.text == ("connect timed out" if hang else "name not resolved")


async def test_a_connection_that_is_never_accepted_sends_nothing():
    """A full backlog: the connect times out."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        outcome = await send(f"http://127.0.0.1:{address[1]}", connect_timeout="200ms")
        for filler in fillers:
            filler.close()
    assert isinstance(outcome, Deferred)
    assert not outcome.left


async def test_a_certificate_of_nobody_sends_nothing():
    """TLS is checked, and a failure comes before the first byte of the request."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with fake.fake_gateway(fake.answer(OK), tls=context) as server:
        outcome = await send(server.url)
        assert server.requests == []
    assert isinstance(outcome, Deferred)
    assert (outcome.left, outcome.error.text) == (False, "TLS failed")


async def test_a_server_that_does_not_speak_tls_sends_nothing():
    """The handshake hangs: no byte of the request left."""
    async with fake.fake_gateway(fake.hang(after_reading=False)) as server:
        outcome = await send(server.url.replace("http:", "https:"), connect_timeout="200ms")
    assert isinstance(outcome, Deferred)
    assert not outcome.left


@pytest.mark.parametrize("refusal", ["407 Proxy Authentication Required", "502 Bad Gateway", "302 Found"])
async def test_a_proxy_that_opens_no_tunnel_sends_nothing(refusal):
    """Over HTTPS only CONNECT has left by then, which says nothing of the message."""
    async with fake.fake_gateway(fake.answer("<html>", status=refusal)) as proxy:
        outcome = await send("https://gateway.invalid", proxy=proxy.url)
        assert [request.line for request in proxy.requests] == ["CONNECT gateway.invalid:443 HTTP/1.1"]
        assert "canary" not in str(proxy.requests)
    assert isinstance(outcome, Deferred)
    assert (outcome.left, outcome.error.text) == (False, "proxy not usable")


async def test_a_dead_proxy_sends_nothing(dead_url):
    """The proxy itself is not reached."""
    outcome = await send("http://gateway.invalid", proxy=dead_url)
    assert isinstance(outcome, Deferred)
    assert (outcome.left, outcome.error.text) == (False, "proxy not usable")


async def test_an_address_that_is_none_sends_nothing():
    """A host that no request can be made for, and no host at all."""
    for urls in (["http://[::"], []):
        outcome = await send(*urls)
        assert isinstance(outcome, Deferred)
        assert not outcome.left


async def test_closing_ends_what_is_in_flight():
    """A request that was cut short by our own stop may have arrived."""
    async with fake.fake_gateway(fake.hang(after_reading=True)) as server:
        gateway = SmscGateway("main", settings(server.url, timeout="30s"))
        task = asyncio.create_task(gateway.send(batch()))
        await server.reached.wait()
        await gateway.aclose()
        (outcome,) = await asyncio.wait_for(task, 5)
    assert isinstance(outcome, Unknown)


async def test_after_close_nothing_is_sent():
    """A closed client says so by a value."""
    gateway = SmscGateway("main", settings("http://127.0.0.1:9"))
    await gateway.aclose()
    (outcome,) = await gateway.send(batch())
    assert isinstance(outcome, Deferred)
    assert not outcome.left


# --------------------------------------------------------------------------------------------------- hosts
async def test_the_next_host_is_asked_at_once_and_remembered(dead_url):
    """What was not reached gives way; the host that worked is asked first from then on."""
    async with fake.fake_gateway(fake.answer(OK)) as server:
        gateway = SmscGateway("main", settings(dead_url, server.url))
        assert isinstance((await gateway.send(batch()))[0], Accepted)
        assert gateway._line._host == 1
        assert isinstance((await gateway.send(batch()))[0], Accepted)
        assert server.connections == 1
        await gateway.aclose()


@pytest.mark.parametrize(
    "script", [fake.hang_up(), fake.hang_up(reset=True), fake.answer("", status="503 Busy"), fake.answer("")]
)
async def test_after_a_byte_left_no_other_host_is_asked(script):
    """A request that may have arrived is never sent anywhere else."""
    async with fake.fake_gateway(script) as first, fake.fake_gateway(fake.answer(OK)) as second:
        assert isinstance(await send(first.url, second.url), Unknown)
        assert (len(first.requests), second.connections) == (1, 0)


async def test_a_host_that_only_fails_gives_way_to_the_next():
    """After five requests in vain the sixth begins with the next host; none of the five is repeated there."""
    bad = fake.answer("<html>", status="502 Bad Gateway")
    async with fake.fake_gateway(bad) as first, fake.fake_gateway(fake.answer(OK)) as second:
        gateway = SmscGateway("main", settings(first.url, second.url))
        outcomes = [(await gateway.send(batch()))[0] for _ in range(7)]
        await gateway.aclose()
        assert (len(first.requests), len(second.requests)) == (5, 2)
    assert [type(outcome) for outcome in outcomes] == [Unknown] * 5 + [Accepted] * 2


async def test_all_hosts_dead_is_one_deferral(dead_url):
    """Each host is tried once."""
    assert isinstance(await send(dead_url, dead_url), Deferred)


# ------------------------------------------------------------------------------------- something left: unknown
REDIRECT = "Location: {url}/sys/send.php\r\n"


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Again", "308 Moved"])
async def test_a_redirect_is_not_followed(status):
    """Neither the text nor the password goes to another host."""
    async with fake.fake_gateway(fake.answer(OK)) as other:
        script = fake.answer(OK, status=status, headers=REDIRECT.format(url=other.url))
        async with fake.fake_gateway(script) as server:
            outcome = await send(server.url)
        assert isinstance(outcome, Unknown)
        assert outcome.error.code == f"http {status[:3]}"
        assert other.connections == 0


UNUSABLE = {
    "500": fake.answer(OK, status="500 Oops"),
    "502 HTML": fake.answer("<html>Bad Gateway</html>", status="502 Bad Gateway"),
    "empty": fake.answer(""),
    "HTML": fake.answer("<!DOCTYPE html><html></html>"),
    "404 HTML": fake.answer("<html>", status="404 Not Found"),
    "partial": fake.answer(OK[:20]),
    "cut": fake.answer(OK, cut=10),
    "cut before the body": fake.answer(OK, cut=len(OK)),
    "half a header": fake.verbatim(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "not HTTP": fake.verbatim(b"220 mail.example.org ESMTP\r\n"),
    "bad length": fake.verbatim(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n" + OK.encode()),
    "bad chunk": fake.verbatim(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "long header": fake.verbatim(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"),
    "hang up": fake.hang_up(),
    "reset": fake.hang_up(reset=True),
    "hang": fake.hang(after_reading=True),
    "hang unread": fake.hang(after_reading=False),
    "drip": fake.endless(b" ", every_s=0.05),
    "endless": fake.endless(),
    "64 KB and one": fake.answer(OK + " " * (65537 - len(OK))),
    "gzip bomb": fake.answer(gzip.compress(b" " * 20_000_000), headers="Content-Encoding: gzip\r\n"),
}


@pytest.mark.parametrize("script", UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_no_usable_answer_is_unknown_and_never_repeated(script):
    """Whatever goes wrong after the request left: one request, one unknown outcome, in bounded time."""
    async with fake.fake_gateway(script) as server:
        gateway = SmscGateway("main", settings(server.url, timeout="400ms"))
        outcomes = await asyncio.wait_for(gateway.send(batch(message("a"), message("b", OTHER))), 5)
        await gateway.aclose()
        assert server.connections == 1
        assert len(server.requests) <= 1
    assert [type(outcome) for outcome in outcomes] == [Unknown, Unknown]
    assert "canary" not in repr(outcomes)
    assert server.url not in repr(outcomes)


async def test_an_answer_of_exactly_64_kb_is_read():
    """The limit itself is allowed."""
    async with fake.fake_gateway(fake.answer(OK + " " * (65536 - len(OK)))) as server:
        assert isinstance(await send(server.url), Accepted)


async def test_a_time_out_says_so():
    """The history tells a slow gateway from a broken one."""
    async with fake.fake_gateway(fake.hang(after_reading=True)) as server:
        outcome = await send(server.url, timeout="200ms")
    assert isinstance(outcome, Unknown)
    assert (outcome.error.code, outcome.error.text) == ("timeout", "timed out")


@pytest.mark.parametrize("reset", [False, True])
async def test_a_post_on_a_kept_connection_is_never_sent_again(reset):
    """A server that hangs up on a reused connection may have taken the request: aiohttp must not repeat it."""
    async with fake.fake_gateway(fake.answer(OK), fake.hang_up(reset=reset), fake.answer(OK)) as server:
        gateway = SmscGateway("main", settings(server.url))
        outcomes = [(await gateway.send(batch()))[0] for _ in range(2)]
        await gateway.aclose()
        assert (server.connections, len(server.requests)) == (1, 2)
    assert [type(outcome) for outcome in outcomes] == [Accepted, Unknown]


async def test_after_a_time_out_the_connection_is_not_used_again():
    """A late answer must not be taken for the next request's."""
    async with fake.fake_gateway(fake.hang(after_reading=True), fake.answer(OK)) as server:
        gateway = SmscGateway("main", settings(server.url, timeout="200ms"))
        outcomes = [(await gateway.send(batch()))[0] for _ in range(2)]
        await gateway.aclose()
        assert server.connections == 2
    assert [type(outcome) for outcome in outcomes] == [Unknown, Accepted]


async def test_a_cancelled_send_drops_its_connection():
    """The next request gets a fresh one."""
    async with fake.fake_gateway(fake.hang(after_reading=True), fake.answer(OK)) as server:
        gateway = SmscGateway("main", settings(server.url))
        task = asyncio.create_task(gateway.send(batch()))
        await server.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance((await gateway.send(batch()))[0], Accepted)
        await gateway.aclose()
        assert server.connections == 2


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [("7", 7), ("99999999999999", 3600), ("Thu, 01 Jan 2026 00:01:00 GMT", 60), ("Wed, 31 Dec 2025 00:00:00 GMT", 0),
     ("soon", None), ("", None)],
)  # fmt: skip
async def test_429_is_unknown_and_asks_for_silence(header, wait_s):
    """Retry-After as seconds or a date, within bounds."""
    script = fake.answer(OK, status="429 Slow Down", headers=f"Retry-After: {header}\r\n" if header else "")
    async with fake.fake_gateway(script) as server:
        clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
        gateway = SmscGateway("main", settings(server.url), clock=clock)
        (outcome,) = await gateway.send(batch())
        await gateway.aclose()
    assert isinstance(outcome, Unknown)
    assert outcome.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("header", "answers"), [("7", Silence(7)), ("soon", [StatusMiss.NO_ANSWER] * 2)], ids=["for a while", "unsaid"]
)
async def test_429_to_a_question_asks_for_silence(header, answers):
    """Nothing is known of any message then, and the wish is passed on where it names a time."""
    script = fake.answer(OK, status="429 Slow Down", headers=f"Retry-After: {header}\r\n")
    async with fake.fake_gateway(script) as server:
        gateway = SmscGateway("main", settings(server.url))
        heard = await gateway.status([StatusQuery(phone, "1") for phone in (PHONE, OTHER)])
        await gateway.aclose()
    assert heard == answers
    assert len(server.requests) == 1


async def test_another_4xx_is_judged_by_its_body():
    """The gateway's own words count whatever the status line says."""
    async with fake.fake_gateway(fake.answer("ERROR = 7 (invalid number)", status="400 Bad Request")) as server:
        assert isinstance(await send(server.url), Refused)


# ------------------------------------------------------------------------------------------------- questions
async def ask(method: str, argument=None, *, script=None, url: str = "", **fields):
    """Put one question to a server of its own."""
    async with fake.fake_gateway(script or fake.answer("")) as server:
        gateway = SmscGateway("main", settings(url or server.url, **fields))
        try:
            return await (getattr(gateway, method)(argument) if argument is not None else getattr(gateway, method)())
        finally:
            await gateway.aclose()


@pytest.mark.parametrize("script", UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_no_usable_answer_to_a_question_is_a_value(script):
    """Status: no answer. Balance and price: an error."""
    assert await ask("status", [QUERY], script=script, timeout="150ms") == [StatusMiss.NO_ANSWER]
    assert (await ask("balance", script=script, timeout="150ms")).error_class is ErrorClass.UNKNOWN
    assert (await ask("price", message(), script=script, timeout="150ms")).error_class is ErrorClass.UNKNOWN


async def test_questions_get_their_answers(dead_url):
    """Status, balance and price over the wire; none without a question."""
    assert (await ask("status", [QUERY], script=fake.answer('[{"status":-3}]'))) == [StatusMiss.NOT_FOUND]
    assert await ask("status", [], script=fake.hang(after_reading=True)) == []
    assert (await ask("balance", script=fake.answer('{"balance":"1","currency":"RUR"}'))).balance == 1
    assert isinstance(await ask("balance", script=fake.answer('{"error":"x","error_code":2}')), Suspended)
    assert (await ask("price", message(), script=fake.answer('{"cost":"1.4","cnt":1}'))).parts == 1
    assert (await ask("balance", url=dead_url)).error_class is ErrorClass.DEFERRED


# --------------------------------------------------------------------------------------------------- secrets
async def test_a_gateway_that_repeats_our_password_does_not_spread_it():
    """Its words reach senders; the secrets in them do not."""
    async with fake.fake_gateway(fake.answer("ERROR = 7 (bad psw s3cret-canary)")) as server:
        outcome = await send(server.url)
    assert str(outcome.reply) == "550 5.1.3 SMSC error 7: bad psw ***"
    assert "canary" not in repr(outcome)


@pytest.mark.parametrize("length", range(170, 202))
async def test_half_a_password_is_not_spread_either(length):
    """Words too long to keep are cut after the password has gone, so no beginning of it is left at the cut."""
    words = f"{'x' * length} s3cret-canary"
    async with fake.fake_gateway(fake.answer(f"ERROR = 7 ({words})")) as server:
        outcome = await send(server.url)
    assert "s3cr" not in repr(outcome)


async def test_the_request_repeated_in_an_answer_is_no_leak():
    """A password that stands in a form spelled otherwise is known there, too."""
    password = "p&=w +é/canary"
    echo = json.dumps({"error": f"bad: {quote_plus(password)} {quote(password)} {password}", "error_code": 2})
    async with fake.fake_gateway(fake.answer(echo)) as server:
        outcome = await send(server.url, password=password)
    assert isinstance(outcome, Suspended)
    assert outcome.error.text == "bad: *** *** ***"


async def test_a_currency_is_three_letters_or_none():
    """Whatever else a gateway calls its currency is not repeated."""
    for word, read in (("RUR", "RUR"), ("usd", "USD"), ("s3cret-canary", ""), ("RU", ""), (7, "")):
        answer = json.dumps({"balance": "1.5", "currency": word})
        assert (await ask("balance", script=fake.answer(answer))).currency == read


def test_a_gateways_repr_shows_its_name_alone():
    """No address, no secret."""
    assert repr(SmscGateway("main", settings("http://user:pw@127.0.0.1:9"))) == "SmscGateway('main')"


async def test_a_get_is_not_repeated_when_a_kept_connection_breaks():
    """The HTTP library would do so by itself; a GET may send an SMS."""
    keeps, breaks = fake.answer("one"), fake.hang_up()
    async with fake.fake_gateway(keeps, breaks, fake.answer("three")) as server:
        transport = HttpTransport(timeout_s=2, connect_timeout_s=1)
        assert (await transport.request("GET", server.url)).body == b"one"
        with pytest.raises(OutcomeUnknown):
            await transport.request("GET", server.url)
        assert (len(server.requests), server.connections) == (2, 1)
        await transport.aclose()
