"""What strangers can hand the bridge, one target for each place where it comes in, each with its invariant.

The first line of a target's check says what holds for every input. ``tests/fuzz`` runs some of each with every test
run, ``scripts/fuzz`` as many as one likes; docs/explain/fuzzing.md has the counts.
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import structlog
from hypothesis import strategies as st
from pydantic import SecretStr

from mailbridge import log as logging_setup
from mailbridge.config.model import MessageDefaults, Numbers
from mailbridge.delivery.questions import Receipts
from mailbridge.errors import Rejected
from mailbridge.gateway.contract import StatusQuery
from mailbridge.gateway.smsc import codec, verdict
from mailbridge.gateway.smsc.answers import parse_answer
from mailbridge.gateway.smsc.callback import parse_event, verify
from mailbridge.intake.address import parse_address, parse_recipient
from mailbridge.intake.compose import Composer
from mailbridge.intake.numbers import NumberPolicy
from mailbridge.intake.parse import MAX_BODY_CHARS, parse_mail
from mailbridge.intake.segments import MAX_TEXT_CHARS
from mailbridge.intake.template import MAX_OUTPUT_CHARS, compile_template
from mailbridge.model.inbound import InboundSms
from mailbridge.model.mail import Recipient
from mailbridge.model.outcome import Accepted, Receipt, Refused
from mailbridge.report.dsn import build_report
from mailbridge.smtp.parameters import parse_rcpt
from mailbridge.web import callback
from mailbridge.web.callback import Entrance
from mailbridge.web.health import add_routes as add_health
from mailbridge.web.server import WebServer, create_app
from tests.support.dialog import check_hygiene
from tests.support.door import open_door
from tests.support.mails import assert_readable
from tests.support.reports import NOW, SETTINGS, assert_all_ours, due_report, report_item
from tests.support.sms import OTHER, PHONE, batch, form, handset_texts, message
from tests.support.strangers import (
    ADDRESSES,
    ANSWERS,
    BEGUN,
    BREAKOUTS,
    DIALOGS,
    FORMS,
    MAILS,
    REQUESTS,
    SECRET,
    TEMPLATES,
    TEXTS,
)  # fmt: skip

#: the longest one input of 20 kB may take of a processor; it takes milliseconds
MAX_S = 2.0
DOMAINS = {"sms.local": "sms", "flash.local": "flash"}


@dataclass(frozen=True, slots=True)
class Target:
    """One place where strangers' input comes in."""

    name: str
    inputs: st.SearchStrategy[Any]
    check: Callable[[Any], None]

    @property
    def invariant(self) -> str:
        """What holds for every input."""
        return (self.check.__doc__ or "").partition("\n")[0]


def check_parse(content: bytes) -> None:
    """Any bytes are some mail: reading them raises nothing, gives readable bounded text, and the same each time."""
    began_s = time.process_time()
    mail = parse_mail(content)
    assert time.process_time() - began_s < MAX_S
    assert_readable(mail)
    assert len(mail.body) <= MAX_BODY_CHARS
    assert parse_mail(content) == mail


COMPOSERS = tuple(
    Composer(MessageDefaults(text=text, translit=translit, max_parts=parts))
    for text, translit, parts in (
        ("{{ subject }}: {{ body }}", "0", 3),
        ("{{ from }} {{ subject|upper }} {{ body|lines(2) }} {{ sms.phone }}", "auto", 1),
        ("{{ body }}", "2", 20),
    )
)
_LOGIN = codec.credentials(login="acme", password=SECRET, apikey=None)
_PARAMETERS = {
    "login",
    "psw",
    "charset",
    "fmt",
    "cost",
    "op",
    "err",
    "id",
    "sender",
    "translit",
    "flash",
    "time",
    "valid",
}
#: a sender is given, so that the other message of a request has the same
_RECIPIENT = Recipient(address="79990000001@sms.local", channel="sms", phone=PHONE)


def check_request(case: tuple[bytes, str, int]) -> None:
    """Whatever a mail and its address hold, the gateway gets one text for that one phone and no parameter but ours."""
    content, address, which = case
    recipient = _recipient_of(address) or _RECIPIENT
    mail = parse_mail(content)
    try:
        sms = COMPOSERS[which].compose(mail, recipient, NOW)
    except Rejected as refusal:
        check_hygiene(f"{refusal.reply}\r\n".encode())
        return
    assert sms.phone == recipient.phone
    assert len(sms.text) <= MAX_TEXT_CHARS
    if not sms.text:
        return
    body = codec.send_body(_LOGIN, batch(sms))
    sent = form(body)
    assert set(sent) <= _PARAMETERS | {"phones", "mes"}
    assert (sent["login"], sent["psw"], sent["phones"], sent["id"]) == ("acme", SECRET, recipient.phone, "5001")
    assert _blanks_aside(sent["mes"]) == _blanks_aside(sms.text)
    assert all(c.isprintable() for name in ("sender", "time", "valid") for c in sent.get(name, ""))
    ((phone, kind, shown),) = handset_texts(_plain(sent))
    assert (phone, kind) == (recipient.phone, "sms")
    assert _blanks_aside(shown) == _blanks_aside(sms.text)
    # beside another text, in one request
    beside = message(
        "another", OTHER, sender=sms.sender, translit=sms.translit, flash=sms.flash, time=sms.time, valid=sms.valid
    )
    if sms.phone != OTHER and codec.batch_key(sms) is not None and codec.batch_key(sms) == codec.batch_key(beside):
        both = handset_texts(_plain(form(codec.send_body(_LOGIN, batch(sms, beside)))))
        assert [(phone, kind) for phone, kind, _ in both] == [(sms.phone, "sms"), (OTHER, "sms")]
        assert [_blanks_aside(shown) for _, _, shown in both] == [_blanks_aside(sms.text), "another"]


def _plain(sent: dict[str, str]) -> bytes:
    """Return a form without what decides when and in whose name: the simulator judges names and times as it likes."""
    kept = {name: value for name, value in sent.items() if name not in {"sender", "time", "valid", "translit", "flash"}}
    return "&".join(f"{name}={quote_plus(value)}" for name, value in kept.items()).encode()


def _blanks_aside(text: str) -> str:
    return "".join(text.replace("\r\n", "\n").replace("\r", "\n").split(" "))


def _recipient_of(address: str) -> Recipient | None:
    try:
        return parse_recipient(parse_rcpt(f"TO:{address}").path, domains=DOMAINS, numbers=NumberPolicy(Numbers()))
    except Rejected:
        return None


def check_report(case: tuple[bytes, str, bytes]) -> None:
    """No mail, address or word of the gateway adds a header, a field, a part or an end of data to a report."""
    content, address, words = case
    mail = parse_mail(content)
    recipient = _recipient_of(address) or _RECIPIENT
    item = report_item(recipient=recipient.address, diagnostic=f"x-smsc; {words.decode('latin-1')}", orcpt=address)
    due = due_report(
        item, subject=mail.subject, sender=mail.from_address or address, message_id=mail.message_id, original=content,
        ret="FULL" if len(words) % 2 else "HDRS", envid=words.decode("latin-1"),
    )  # fmt: skip
    assert_all_ours(build_report(due, settings=SETTINGS, now=NOW, phones={item.message_id: recipient.phone}))


def check_log(case: tuple[bytes, str, str]) -> None:
    """Whatever stands in a mail or a reply, an event is one line of ASCII without control characters, and one object."""
    content, address, words = case
    mail = parse_mail(content)
    for fmt in ("json", "console"):
        out = io.StringIO()
        logging_setup.configure(fmt=fmt, stream=out)
        try:
            structlog.get_logger().info(words, sender=mail.from_address, recipient=address, subject=mail.subject,
                                        text=words, reply=content.decode("latin-1"), id=mail.message_id)  # fmt: skip
        finally:
            structlog.reset_defaults()
        line = out.getvalue()
        assert line.endswith("\n")
        if fmt == "json":
            assert line.isascii()
            assert line[:-1].isprintable()
            assert json.loads(line)["event"] == words
        assert line.count("\n") == 1 or fmt == "console"
        assert (
            not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]", line.replace("\x1b[", "")) or fmt == "console"
        )


def check_address(address: str) -> None:
    """An address is refused with a clean reply, or is a number we may send to, printable ASCII, exactly as given."""
    for raw in (address, address.encode("utf-8", "surrogatepass").decode("latin-1")):
        try:
            path = parse_address(parse_rcpt(f"TO:{raw}").path)
        except Rejected as refusal:
            check_hygiene(f"{refusal.reply}\r\n".encode())
            continue
        assert f"<{path.text}>" in raw
        assert path.text.isascii()
        assert path.text.isprintable() or not path.text
        assert "=?" not in path.text
        try:
            recipient = parse_recipient(path.text, domains=DOMAINS, numbers=NumberPolicy(Numbers()))
        except Rejected as refusal:
            check_hygiene(f"{refusal.reply}\r\n".encode())
            continue
        assert re.fullmatch(r"\+7\d{10}", recipient.phone)
        assert recipient.channel == DOMAINS[path.domain.lower().removesuffix(".")]
        assert all(value.isprintable() and value.isascii() for option in recipient.options for value in option)


def check_template(case: tuple[str, dict[str, str]]) -> None:
    """A template is refused with ValueError or gives bounded text or nothing; what is in a mail never becomes a template."""
    source, values = case
    began_s = time.process_time()
    try:
        template = compile_template.__wrapped__(source)
    except ValueError:
        pass
    else:
        out = template.render(dict(values))
        assert out is None or len(out) <= MAX_OUTPUT_CHARS
        assert time.process_time() - began_s < MAX_S
    for text in ("{{ subject }}: {{ body }}", "{{ subject }}{% if body %} {{ body }}{% endif %}"):
        shown = compile_template(text).render({"subject": source, "body": ""})
        assert shown is not None
        assert _said(shown) == _said(source)


def _said(text: str) -> str:
    """Return *text* without blanks and the signs that are tidied at its ends."""
    return re.sub(r"[\s:;,|/·–—-]", "", text)


def check_callback(fields: dict[str, str]) -> None:
    """No form proves itself without the secret, none raises, and what is read of it is a number, a time, a plain phone."""
    assert not verify(fields, SECRET)
    assert not verify(fields, "")
    event = parse_event(fields, "main")
    assert event is None or re.fullmatch(r"\+\d{1,15}", event.phone)
    if isinstance(event, Receipt):
        assert isinstance(event.status, int)
        assert event.gateway_id.strip()


_QUERIES = [StatusQuery(PHONE, "5001"), StatusQuery(OTHER, "5001")]


def check_answer(body: bytes) -> None:
    """No answer of the gateway raises or repeats our password, and none is believed that does not name our request."""
    parsed = parse_answer(body, (SECRET,))
    two = batch(message("a"), message("b", OTHER))
    outcomes = [verdict.judge_send(parsed, batch()), verdict.judge_send(parsed, two)]
    said = [outcomes, verdict.judge_status(parsed, _QUERIES, "main"), verdict.judge_balance(parsed, "main"),
            verdict.judge_price(parsed), verdict.judge_shut(parsed)]  # fmt: skip
    assert [len(each) for each in outcomes] == [1, 2]
    assert SECRET not in repr(said)
    for outcome in outcomes[0] + outcomes[1]:
        if isinstance(outcome, Accepted):
            assert outcome.gateway_id == "5001"
            assert b"5001" in body
        if isinstance(outcome, Refused):
            check_hygiene(f"{outcome.reply}\r\n".encode("ascii"))


def check_session(case: tuple[int, bytes, str, str]) -> None:
    """Whatever is sent, each reply is clean, no mail is taken without its own end of data, and nothing inside breaks."""
    begun, stream, auth, protocol = case
    beginning = "".join(BEGUN[:begun])
    octets = (beginning.replace("EHLO", "LHLO") if protocol == "lmtp" else beginning).encode() + stream

    async def scenario() -> None:
        async with open_door({"auth": auth, "protocol": protocol}, max_message_size=10_000) as door:
            reader, writer = await door.connect()
            writer.write(octets)
            writer.write_eof()
            async with asyncio.timeout(20):
                try:
                    while line := await reader.readline():
                        check_hygiene(line)
                except ConnectionError:
                    pass
            writer.close()
            taken = door.reception.mails
            assert len(taken) <= octets.count(b"\r\n.\r\n")
            assert all(
                mail.content.count(b"\n") == mail.content.count(b"\r\n") == mail.content.count(b"\r") for mail in taken
            )
            assert auth != "required" or not taken
            for event, fields in door.log.events:
                assert event not in {"session_failed", "reception_failed"}
                assert all(str(value).isprintable() for value in fields.values())

    asyncio.run(scenario())
    gc.collect(0)


class _NoReceipts(Receipts):
    """Knows no message at all."""

    def __init__(self) -> None:
        self.taken: list[Receipt | InboundSms] = []

    async def take(self, receipt: Receipt) -> bool:
        self.taken.append(receipt)
        return False

    async def take_inbound(self, sms: InboundSms) -> bool:
        """Keep an SMS that nobody has signed for: none may come so far."""
        self.taken.append(sms)
        return True


_STATUS = re.compile(rb"HTTP/1\.[01] (100|200|400|403|404|405|408|411|413|414|417|431|501|505) ")


def check_web(octets: bytes) -> None:
    """Whatever comes to the web port, each answer has a status of ours and no trace of the program, and nothing is believed."""

    async def scenario() -> None:
        receipts = _NoReceipts()
        app = create_app(request_s=0.2)
        entrance = Entrance(gateway="main", path=SECRET, secret=SecretStr("signs-callbacks"))
        callback.add_routes(app, {"main": entrance}, receipts, inbound=receipts.take_inbound)
        add_health(app, (), dict)
        server = WebServer(app, "127.0.0.1", 0, idle_s=0.2)
        await server.start()
        try:
            answer = await _ask(server.port, octets)
            assert not answer or _STATUS.match(answer), answer[:80]
            assert not re.search(rb"Traceback|\.py\b|site-packages|text/html|signs-callbacks", answer), answer
            assert receipts.taken == []
            # it goes on answering; on a busy machine its short patience may end before a request is read
            async with asyncio.timeout(20):
                while b'{"ok": true}' not in await _ask(server.port, b"GET /livez HTTP/1.0\r\n\r\n"):
                    pass
        finally:
            await server.stop()

    asyncio.run(scenario())
    gc.collect(0)


async def _ask(port: int, octets: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        # no end of file: aiohttp answers nobody who has said his last word
        writer.write(octets)
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


TARGETS = (
    Target("parse", MAILS, check_parse),
    Target("request", st.tuples(MAILS, ADDRESSES, st.integers(0, len(COMPOSERS) - 1)), check_request),
    Target("report", st.tuples(MAILS, ADDRESSES, BREAKOUTS | st.binary(max_size=40)), check_report),
    Target("log", st.tuples(MAILS, ADDRESSES, TEXTS), check_log),
    Target("address", ADDRESSES, check_address),
    Target("template", TEMPLATES, check_template),
    Target("callback", FORMS, check_callback),
    Target("answer", ANSWERS, check_answer),
    Target("session", DIALOGS, check_session),
    Target("web", REQUESTS, check_web),
)
