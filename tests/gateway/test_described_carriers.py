"""The definitions of contrib/carriers: what each vendor documents becomes the right outcome, state and balance."""

from __future__ import annotations

import json
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.carriers import build_carriers, build_gateway, read_receipt
from mailbridge.clock import SystemClock
from mailbridge.config import placeholders
from mailbridge.config.answers import as_word, follow, parse_place
from mailbridge.config.model import Config
from mailbridge.delivery.decide import diagnostic_of
from mailbridge.gateway.contract import NO_QUESTION, Silence, StatusMiss, StatusQuery
from mailbridge.gateway.http.gateway import HttpGateway, read_callback
from mailbridge.gateway.http.requests import build_request, message_values
from mailbridge.gateway.json_fields import flat
from mailbridge.model.message import Alphabet
from mailbridge.model.outcome import Accepted, Balance, Deferred, Receipt, Refused, SmsError, Suspended, Unknown
from mailbridge.model.state import State
from tests.gateway.test_carrier_contract import settings_of
from tests.support import fake_gateway as fake
from tests.support.carrier_server import serving, vendor
from tests.support.carriers import NAMES, at
from tests.support.sms import PHONE, batch, message


def smsru(code: int, text: str = "words") -> str:
    """sms.ru's answer for one number."""
    item = {"status": "ERROR", "status_code": code, "status_text": text}
    return json.dumps({"status": "OK", "status_code": 100, "sms": {"79990000001": item}})


def vonage(status: str, text: str = "words") -> str:
    """Vonage's answer with an error."""
    return json.dumps({"message-count": "1", "messages": [{"status": status, "error-text": text}]})


def twilio(code: int) -> str:
    """Twilio's error."""
    return json.dumps({"code": code, "message": "words", "more_info": "https://www.twilio.com", "status": 400})


#: carrier, HTTP status, body, outcome, and what else is so
ANSWERS = [
    ("sms-ru", 200, '{"status":"ERROR","status_code":200,"status_text":"wrong api_id"}', Suspended, {}),
    ("sms-ru", 200, smsru(201), Suspended, {"probe_after_s": 30}),
    ("sms-ru", 200, smsru(202, "bad number"), Refused, {"reply": "550 5.1.3 sms-ru: bad number"}),
    ("sms-ru", 200, smsru(204), Refused, {"reply": "550 5.7.1 sms-ru: words"}),
    ("sms-ru", 200, smsru(230), Deferred, {"retry_after_s": 600, "slow_down": False}),
    ("sms-ru", 200, smsru(231), Unknown, {}),
    ("sms-ru", 200, smsru(999), Unknown, {}),
    ("twilio", 401, twilio(20003), Suspended, {"probe_after_s": 60}),
    ("twilio", 400, twilio(21211), Refused, {"reply": "550 5.1.3 twilio: words"}),
    ("twilio", 400, twilio(21610), Refused, {"reply": "550 5.7.1 twilio: words"}),
    ("twilio", 400, twilio(30001), Refused, {"reply": "550 5.0.0 twilio: words"}),
    ("twilio", 429, twilio(20429), Deferred, {"retry_after_s": 61, "slow_down": True}),
    ("twilio", 200, '{"sid":"x"}', Unknown, {}),
    ("twilio", 201, "{}", Unknown, {}),
    ("vonage", 200, vonage("4"), Suspended, {}),
    ("vonage", 200, vonage("9"), Suspended, {}),
    ("vonage", 200, vonage("1"), Deferred, {"retry_after_s": 2}),
    ("vonage", 200, vonage("3"), Refused, {"reply": "550 5.1.3 vonage: words"}),
    ("vonage", 200, vonage("5"), Unknown, {}),
    ("clickatell", 401, "{}", Suspended, {}),
    ("clickatell", 402, "{}", Suspended, {"probe_after_s": 30}),
    ("clickatell", 202, '{"messages":[{"accepted":false,"error":"words"}]}', Refused, {"reply": "550 5.0.0 clickatell: words"}),
    ("kannel", 403, "Authorization failed for sendsms", Suspended, {}),
    ("kannel", 400, "Missing receiver number", Refused, {"reply": "550 5.0.0 kannel: Missing receiver number"}),
    ("kannel", 503, "Temporal failure, try again later.", Deferred, {"retry_after_s": None}),
    ("kannel", 202, "3: Queued for later delivery", Accepted, {"gateway_id": "5001"}),
    ("gammu", 401, "Unauthorized Access", Suspended, {}),
    ("gammu", 500, '{"message":"Internal Server Error"}', Unknown, {}),
    ("look-alike", 429, "", Deferred, {"slow_down": True}),
    ("look-alike", 200, '{"ok":true,"message_id":"m1","code":"bad_number"}', Refused, {"reply": "550 5.1.3 look-alike: the carrier refused it"}),
    ("look-alike", 200, '{"ok":false,"message_id":"m1"}', Unknown, {}),
    ("look-alike", 200, '{"ok":true,"message_id":"m 1"}', Unknown, {}),
]  # fmt: skip


async def answered(name: str, tmp_path, script, ask):
    """Ask a carrier that answers *script*."""
    async with fake.fake_gateway(script) as server:
        gateway = build_gateway(name, at(settings_of(name, tmp_path), server.url), SystemClock())
        assert isinstance(gateway, HttpGateway)
        try:
            return await ask(gateway)
        finally:
            await gateway.aclose()


@pytest.mark.parametrize(("name", "status", "body", "kind", "more"), ANSWERS)
async def test_what_a_vendor_says_is_what_it_means(name, status, body, kind, more, tmp_path):
    """Each documented refusal has its class, its reply and its wait."""
    (outcome,) = await answered(
        name, tmp_path, fake.answer(body, status=f"{status} X"), lambda gateway: gateway.send(batch())
    )
    assert type(outcome) is kind
    for field, value in more.items():
        found = getattr(outcome, field)
        assert (str(found) if field == "reply" else found) == value


@pytest.mark.parametrize("name", NAMES)
async def test_no_secret_of_ours_comes_back_from_a_carrier_that_repeats_it(name, tmp_path):
    """Neither in the error's words nor in an SMTP reply."""
    secrets = "api-canary-1 token-canary secret-canary key-canary== kannel-canary gammu-canary"
    for status in (400, 401, 200):
        body = json.dumps({"message": secrets, "status_code": 202, "sms": {"x": {"status_code": 202, "status_text": secrets}},
                           "messages": [{"status": "3", "error-text": secrets, "error": secrets, "accepted": False}]})  # fmt: skip
        (outcome,) = await answered(
            name, tmp_path, fake.answer(body, status=f"{status} X"), lambda gateway: gateway.send(batch())
        )
        mine = {"sms-ru": "api-canary", "twilio": "token-canary", "vonage": "secret-canary", "clickatell": "key-canary",
                "kannel": "kannel-canary", "gammu": "gammu-canary"}[name]  # fmt: skip
        assert mine not in repr(outcome)


# ------------------------------------------------------------------------------------------ what is sent
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sms-ru", {"api_id": "api-canary-1", "to": "79990000001", "msg": "Hello", "from": "ACME", "json": "1"}),
        ("twilio", {"To": "+79990000001", "From": "+15005550006", "Body": "Hello",
                    "StatusCallback": "https://sms.example.org/callback/twilio/0f1e2d3c4b5a"}),
        ("vonage", {"api_key": "abcd1234", "api_secret": "secret-canary", "to": "79990000001", "from": "ACME", "text": "Hello",
                    "type": "text", "client-ref": "5001", "callback": "https://sms.example.org/callback/vonage/0f1e2d3c4b5a"}),
        ("kannel", {"username": "mailbridge", "password": "kannel-canary", "to": "+79990000001", "from": "ACME", "text": "Hello",
                    "charset": "UTF-8", "coding": "0", "dlr-mask": "31",
                    "dlr-url": "http://127.0.0.1:8080/callback/kannel/0f1e2d3c4b5a?id=5001&phone=79990000001&state=%d"}),
        ("gammu", {"number": "+79990000001", "text": "Hello"}),
    ],
)  # fmt: skip
async def test_the_request_is_what_the_vendor_documents(name, expected, tmp_path):
    """Field by field."""
    async with serving(vendor(name)) as carrier:
        gateway = build_gateway(name, at(settings_of(name, tmp_path), carrier.url), SystemClock())
        (outcome,) = await gateway.send(batch())
        await gateway.aclose()
        assert isinstance(outcome, Accepted)
        assert carrier.forms == [expected]


async def test_the_vendors_id_and_price_are_kept(tmp_path):
    """Vonage names both."""
    async with serving(vendor("vonage")) as carrier:
        gateway = build_gateway("vonage", at(settings_of("vonage", tmp_path), carrier.url), SystemClock())
        assert await gateway.send(batch()) == [Accepted(gateway_id="id-1", parts=1, price=Decimal("0.0333"))]
        await gateway.aclose()


@given(text=st.text(max_size=80), sender=st.text(max_size=11))
@settings(max_examples=150, deadline=None)
def test_no_text_breaks_out_of_its_place(text, sender):
    """Bodies in JSON, forms, addresses, headers and templates stay what they are, whatever a mail holds."""
    from mailbridge.config.model_http import HttpRequest

    values = message_values(message(text, PHONE, sender=sender, alphabet=Alphabet.UCS2), "5001")
    shown = values["text"]
    in_json = build_request(
        HttpRequest.model_validate({"url": "https://h/x", "json": {"a": ["{{ text }}"], "{{ text }}": "1"}}), values
    )
    assert json.loads(in_json.body) == {"a": [shown], "{{ text }}": "1"}
    in_body = build_request(HttpRequest.model_validate({"url": "https://h/x", "body": '{"a":{{ text|json }}}'}), values)
    assert json.loads(in_body.body) == {"a": shown}
    in_form = build_request(
        HttpRequest.model_validate({"method": "GET", "url": "https://h/x?y={{ text }}", "form": {"a": "{{ text }}"}}),
        values,
    )
    assert parse_qs(urlsplit(in_form.url).query, keep_blank_values=True) == {"y": [shown]} | (
        {"a": [shown]} if shown else {}
    )
    assert urlsplit(in_form.url).netloc == "h"
    header = build_request(
        HttpRequest.model_validate({"url": "https://h/x", "headers": {"X-A": "b {{ sender }} {{ text }}"}}), values
    ).headers["X-A"]
    assert header.isprintable() or "\xad" in header or "\xa0" in header
    assert not set(header) & set("\r\n\0")


@pytest.mark.parametrize(
    "wrong", ["{{ fone }}", "{{ text", "text }}", "{{ text|shout }}", "{% if x %}", "{{ text.upper() }}", "{{ 'a' }}"]
)
def test_a_template_is_places_and_nothing_else(wrong):
    """No code can be written."""
    with pytest.raises(ValueError, match="; "):
        placeholders.parse(wrong)


# ---------------------------------------------------------------------------------- what became of it
@pytest.mark.parametrize(
    ("name", "word", "state"),
    [("sms-ru", "102", None), ("sms-ru", "103", State.DELIVERED), ("sms-ru", "104", State.EXPIRED), ("sms-ru", "150", State.UNDELIVERED),
     ("twilio", "queued", None), ("twilio", "delivered", State.DELIVERED), ("twilio", "failed", State.UNDELIVERED)],
)  # fmt: skip
async def test_the_vendors_word_is_a_state(name, word, state, tmp_path):
    """And stands in the receipt as it came."""
    async with serving(vendor(name)) as carrier:
        carrier.word = word
        gateway = build_gateway(name, at(settings_of(name, tmp_path), carrier.url), SystemClock())
        (answer,) = await gateway.status([StatusQuery(PHONE, "id-1", accepted=True)])
        await gateway.aclose()
    assert isinstance(answer, Receipt)
    verdict = read_receipt(answer)
    assert (verdict.state, verdict.code, answer.gateway_id) == (state, word, "id-1")


@pytest.mark.parametrize(
    ("name", "word", "expected"),
    [
        ("sms-ru", "-1", StatusMiss.NOT_FOUND),
        ("twilio", "gone", StatusMiss.NOT_FOUND),
        ("twilio", "new word", StatusMiss.NO_ANSWER),
    ],
)
async def test_not_found_and_new_words(name, word, expected, tmp_path):
    """A word nobody knows is no state."""
    async with serving(vendor(name)) as carrier:
        carrier.word = word
        gateway = build_gateway(name, at(settings_of(name, tmp_path), carrier.url), SystemClock())
        assert await gateway.status([StatusQuery(PHONE, "id-1", accepted=True)]) == [expected]
        await gateway.aclose()


async def test_a_lookup_by_our_id_brings_the_carriers_own(tmp_path):
    """From then on its callbacks and its status are understood."""
    async with serving(vendor("look-alike")) as carrier:
        gateway = build_gateway("look-alike", at(settings_of("look-alike", tmp_path), carrier.url), SystemClock())
        await gateway.send(batch(gateway_id="77"))
        (answer,) = await gateway.status([StatusQuery(PHONE, "77")])
        assert (answer.gateway_id, answer.word) == ("id-1", "accepted")
        assert await gateway.status([StatusQuery(PHONE, "78")]) == [StatusMiss.NOT_FOUND]
        await gateway.aclose()


def test_a_bounce_names_the_kind_of_carrier(tmp_path):
    """RFC 3464 2.3.6: the diagnostic's type is not SMSC's where SMSC said nothing."""
    config = Config(gateways={"twilio": settings_of("twilio", tmp_path)})
    (carrier,) = build_carriers(config, SystemClock())
    refused = SmsError(code="http 400", text="words", error_class="refused")
    assert diagnostic_of(refused, carrier.policy) == "x-http; http 400 words"
    assert diagnostic_of(refused) == "x-smsc; http 400 words"


async def test_silence_and_suspension_are_heard_in_questions(tmp_path):
    """429 with Retry-After is a silence, a wrong key shuts the gateway."""
    query = [StatusQuery(PHONE, "id-1", accepted=True)]
    slow = fake.answer("", status="429 Slow", headers="Retry-After: 17\r\n")
    assert await answered("twilio", tmp_path, slow, lambda g: g.status(query)) == Silence(17)
    shut = fake.answer("{}", status="401 No")
    assert isinstance(await answered("twilio", tmp_path, shut, lambda g: g.status(query)), Suspended)


# ------------------------------------------------------------------------------------------ money and probes
@pytest.mark.parametrize(
    ("name", "expected"),
    [("sms-ru", (Decimal("4762.58"), "")), ("twilio", (Decimal("0.12"), "USD")), ("vonage", (Decimal("3.14159"), ""))],
)
async def test_the_money_left(name, expected, tmp_path):
    """Where the definition says how to ask."""
    async with serving(vendor(name)) as carrier:
        gateway = build_gateway(name, at(settings_of(name, tmp_path), carrier.url), SystemClock())
        balance = await gateway.balance()
        await gateway.aclose()
    assert isinstance(balance, Balance)
    assert (balance.balance, balance.currency) == expected


async def test_a_carrier_without_a_question_says_so(tmp_path):
    """The next message is its probe then."""
    answer = await answered("kannel", tmp_path, fake.answer("x"), lambda gateway: gateway.balance())
    assert isinstance(answer, SmsError)
    assert answer.code == NO_QUESTION


# ---------------------------------------------------------------------------------------------- callbacks
@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("twilio", {"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+79990000001"}, ("SM1", 1)),
        ("vonage", {"messageId": "0A", "client-ref": "5001", "msisdn": "79990000001", "status": "expired"}, ("0A", 3)),
        ("vonage", {"client-ref": "5001", "msisdn": "79990000001", "status": "failed"}, ("5001", 20)),
        ("clickatell", {"messageId": "c1", "to": "79990000001", "status": "RECEIVED_BY_RECIPIENT"}, ("c1", 1)),
        ("kannel", {"id": "5001", "phone": "79990000001", "state": "8"}, ("5001", 0)),
        ("kannel", {"id": "5001", "phone": "79990000001", "state": "64"}, None),
        ("kannel", {"id": "", "phone": "79990000001", "state": "1"}, None),
        ("kannel", {"id": "5001", "phone": "nobody", "state": "1"}, None),
        ("gammu", {"id": "5001"}, None),
    ],
)
def test_a_report_becomes_a_receipt(name, fields, expected, tmp_path):
    """By the carrier's id, or by ours; what says nothing known is nothing."""
    receipt = read_callback(settings_of(name, tmp_path), fields, name)
    assert (receipt and (receipt.gateway_id, receipt.status)) == expected
    if receipt is not None:
        assert receipt.phone == PHONE


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=4), x, max_size=3),
    )
)
def test_any_json_report_is_flat_fields(data):
    """Never a crash; names are paths."""
    assert all(isinstance(value, str) for value in flat(json.dumps(data).encode()).values())
    assert flat(b'{"a":{"b":[{"c":1},true]},"d":null}') == {"a.b.0.c": "1", "a.b.1": "true"}
    assert flat(b"\xff{") == {}


def test_paths():
    """A star is the first member; what is not there is nothing."""
    data = {"a": {"x": [{"id": 5}]}, "n": Decimal("2.50"), "t": True}
    assert [as_word(follow(data, path)) for path in ("a.x.0.id", "a.*.*.id", "a.x.1.id", "a.x.id", "n", "t", "*", "q")] == [
        "5", "5", None, None, "2.50", "true", None, None,
    ]  # fmt: skip
    for wrong in ("json", "json:", "x:y", "json:a..b", "body:no group", "body:("):
        with pytest.raises(ValueError, match="; "):
            parse_place(wrong)
