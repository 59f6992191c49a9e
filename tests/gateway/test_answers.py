"""Answers: every documented shape, every hostile one, and what they mean for the messages of a request."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.gateway.contract import Price, StatusMiss, StatusQuery
from mailbridge.gateway.smsc.answers import Failure, Garbage, parse_answer
from mailbridge.gateway.smsc.codes import CODES, ERRS, NO_MONEY, STATUSES, Verdict
from mailbridge.gateway.smsc.verdict import judge_balance, judge_price, judge_send, judge_status
from mailbridge.model.outcome import (
    Accepted,
    Balance,
    Deferred,
    ErrorClass,
    Outcome,
    Receipt,
    Refused,
    SmsError,
    Suspended,
    Unknown,
)
from tests.support.sms import OTHER, PHONE, batch, message


def send(body: bytes | str, *messages, gateway_id: str = "5001") -> list[Outcome]:
    """Judge *body* as the answer to a batch."""
    raw = body.encode() if isinstance(body, str) else body
    return judge_send(parse_answer(raw), batch(*messages, gateway_id=gateway_id))


def send_one(body: bytes | str, **kwargs) -> Outcome:
    """Judge *body* as the answer to one plain message."""
    (outcome,) = send(body, **kwargs)
    return outcome


# ------------------------------------------------------------------------------------------------- taken
@pytest.mark.parametrize(
    "body",
    [
        '{"id":5001,"cnt":1,"cost":"1.4","balance":"100.5"}',
        '{"id":"5001","cnt":"1","cost":1.4,"balance":100.5}',
        '{"id":5001.0,"cnt":1.0,"cost":1.40,"balance":"100.50"}',
        '{"balance":"100.5","cost":"1.4","cnt":1,"id":5001,"unknown":[null,{}]}',
        '{"id":5001,"cnt":1,"cost":"1.4","balance":"100.5","error":null,"error_code":0}',
        '\ufeff {"id":5001,"cnt":1,"cost":"1.4","balance":"100.5"}\r\n',
        '{"id":5001,"cnt":1,"cost":"1.4","balance":"100.5","phones":[{"phone":"79990000001","mccmnc":"25001","cost":"1.4"}]}',
        '{"id":5001,"cnt":1,"balance":"100.5","phones":[{"phone":79990000001,"cost":1.4,"status":"0"}]}',
    ],
)
def test_a_success_in_each_of_its_spellings(body):
    """Numbers as strings, ints or floats, in any order, with fields not known to us."""
    outcome = send_one(body)
    assert outcome == Accepted(gateway_id="5001", parts=1, price=Decimal("1.4"), balance=Decimal("100.5"))


def test_a_plain_text_success_is_taken():
    """The shape of fmt=0, with something after the id."""
    assert send_one("OK - 2 SMS, ID - 5001, COST - 1.40") == Accepted(gateway_id="5001", parts=2)


def test_a_string_id_is_compared_as_text():
    """Numeric ids may lose leading zeros on the way, others may not change."""
    assert isinstance(send_one('{"id":"Ab-1._","cnt":1}', gateway_id="Ab-1._"), Accepted)
    assert isinstance(send_one('{"id":12,"cnt":1}', gateway_id="0012"), Accepted)
    assert isinstance(send_one('{"id":"ab-1._","cnt":1}', gateway_id="Ab-1._"), Unknown)


def test_virtual_sending_is_taken():
    """Test mode: no cost for the phone, and err 200 alone is no refusal."""
    body = '{"id":5001,"cnt":1,"cost":"0","phones":[{"phone":"79990000001","mccmnc":"25001","error":"200"}]}'
    assert send_one(body) == Accepted(gateway_id="5001", parts=1, price=Decimal(0))


# ---------------------------------------------------------------------------------------- several recipients
def test_each_phone_has_its_own_result():
    """Refused by status, taken with its price, and not listed at all: taken with its share."""
    body = json.dumps({
        "id": 5001, "cnt": 4, "cost": "5.6", "balance": "9",
        "phones": [{"phone": "79990000002", "cost": "0", "status": "22", "error": "249"},
                   {"phone": "79990000001", "cost": "1.5"}],
    })  # fmt: skip
    taken, refused, silent = send(body, message(), message(phone=OTHER), message(phone="+79990000003"))
    assert taken == Accepted(gateway_id="5001", parts=2, price=Decimal("1.5"), balance=Decimal(9))
    assert silent == Accepted(gateway_id="5001", parts=2, price=Decimal("2.8000"), balance=Decimal(9))
    assert isinstance(refused, Refused)
    assert str(refused.reply) == "550 5.1.3 SMSC status 22 err 249: wrong number format"
    assert not refused.whole_request
    assert refused.gateway_id == "5001"


def test_different_texts_share_the_cost_by_parts():
    """A list's cnt cannot be shared out by heads; our own count of parts is used."""
    one, two = send('{"id":5001,"cnt":4,"cost":"4.00"}', message("a"), message("b", OTHER, parts=3))
    assert (one.parts, one.price) == (1, Decimal("1.0000"))
    assert (two.parts, two.price) == (3, Decimal("3.0000"))


def test_money_that_ends_within_a_batch_suspends_what_is_left_of_it():
    """Status 24 in ``phones[]`` is code 3 by another name: the message waits, it is not refused."""
    outcome = send_one('{"id":5001,"cnt":1,"phones":[{"phone":"79990000001","status":"24","error":"0"}]}')
    assert isinstance(outcome, Suspended)
    assert outcome.error.code == "3"


@pytest.mark.parametrize("status", [s for s in STATUSES if s >= 20 and s != NO_MONEY])
@pytest.mark.parametrize("err", ERRS)
def test_a_failed_phone_is_refused_for_good(status, err):
    """Every failure status with every err: a 5xx reply, for the message is done with."""
    outcome = send_one(
        json.dumps({"id": 5001, "cnt": 1, "phones": [{"phone": "79990000001", "status": str(status), "error": err}]})
    )
    assert isinstance(outcome, Refused)
    assert outcome.reply.code == 550
    assert outcome.reply.enhanced.startswith("5.")
    assert outcome.error.error_class is ErrorClass.REFUSED


def test_an_error_without_a_status_refuses():
    """``error`` stands for bad numbers only."""
    outcome = send_one('{"id":5001,"cnt":1,"phones":[{"phone":"79990000001","error":"252"}]}')
    assert isinstance(outcome, Refused)
    assert outcome.reply.enhanced == "5.7.1"


def test_all_phones_refused_needs_no_part():
    """cnt=0 with a reason for each phone is a clear answer."""
    body = '{"id":5001,"cnt":0,"phones":[{"phone":"79990000001","status":"25","error":"248"}]}'
    assert isinstance(send_one(body), Refused)


# ------------------------------------------------------------------------------------------------- refused
CLASSES = {Verdict.REFUSED: Refused, Verdict.SUSPENDED: Suspended, Verdict.DEFERRED: Deferred}


@pytest.mark.parametrize("row", CODES.values(), ids=lambda row: str(row.code))
@pytest.mark.parametrize(
    "shape",
    [
        '{{"error":"{text}","error_code":{code}}}',
        '{{"error":"{text}","error_code":"{code}","id":5001}}',
        "ERROR = {code} ({text})",
        "ERROR = {code} ({text}), ID - 5001\n",
        "error={code} ({text})",
    ],
)
def test_every_code_in_every_shape(row, shape):
    """JSON with int or string, and plain text although JSON was asked for."""
    outcome = send_one(shape.format(code=row.code, text=row.text))
    assert isinstance(outcome, CLASSES[row.verdict])
    assert outcome.error == SmsError(code=str(row.code), text=row.text, error_class=ErrorClass(row.verdict.value))
    if isinstance(outcome, Suspended):
        assert (outcome.probe_after_s, outcome.probe_max_s) == (row.probe_after_s, row.probe_max_s)
    if isinstance(outcome, Deferred):
        assert (outcome.retry_after_s, outcome.slow_down, outcome.left) == (61, True, True)
    if isinstance(outcome, Refused):
        assert not outcome.whole_request
        assert outcome.reply == row.reply


@pytest.mark.parametrize("row", CODES.values(), ids=lambda row: str(row.code))
def test_a_refused_batch_can_be_split(row):
    """One of several messages may be the culprit: only refusals are for splitting."""
    outcomes = send(json.dumps({"error": "x", "error_code": row.code}), message("a"), message("b", OTHER))
    assert len(outcomes) == 2
    assert [getattr(o, "whole_request", False) for o in outcomes] == [row.verdict is Verdict.REFUSED] * 2


def test_another_code_defers_without_slowing_down():
    """Codes not documented leave the message queued, to the back-off."""
    outcome = send_one('{"error":"new","error_code":77}')
    assert outcome == Deferred(error=SmsError(code="77", text="new", error_class=ErrorClass.DEFERRED))


def test_the_gateways_own_words_reach_the_reply():
    """Its words where SMTP can carry them, ours where it cannot: nothing becomes a question mark."""
    assert str(send_one('{"error":"bad number","error_code":7}').reply) == "550 5.1.3 SMSC error 7: bad number"
    for body in (
        '{"error":"неверный номер","error_code":7}',
        "ERROR = 7 (неверный номер)".encode("cp1251"),
        "ERROR = 7",
    ):
        assert str(send_one(body).reply) == "550 5.1.3 SMSC error 7: invalid number"
    assert send_one("ERROR = 7 (неверный номер)".encode("cp1251")).error.text == "неверный номер"
    assert send_one(json.dumps({"error": "a\r\n250 ok\x1b[2J" + "x" * 999, "error_code": 7})).reply.text.startswith(
        "SMSC error 7: a 250 ok [2Jxxx"
    )


# ------------------------------------------------------------------------------------------------- unusable
GARBAGE = {
    "empty": b"",
    "blank": b" \r\n",
    "NUL": b"\0\0",
    "bare OK": b"OK",
    "HTML": b"<html><body>502 Bad Gateway</body></html>",
    "cut": b'{"id":5001,"cn',
    "array": b'[{"id":5001,"cnt":1}]',
    "number": b"5001",
    "string": b'"OK"',
    "null": b"null",
    "true": b"true",
    "NaN": b'{"id":5001,"cnt":1,"cost":NaN}',
    "Infinity": b'{"id":5001,"cnt":Infinity}',
    "huge int": b'{"id":' + b"9" * 5000 + b',"cnt":1}',
    "huge int as text": b'{"id":"' + b"9" * 5000 + b'","cnt":1}',
    "huge float": b'{"id":5001,"cnt":1e999999999}',
    "deep": b"[" * 60000,
    "deep object": b'{"a":' * 10000,
    "key twice": b'{"id":1,"id":5001,"cnt":1}',
    "two objects": b'{"id":5001,"cnt":1}{"id":5001,"cnt":1}',
    "foreign id": b'{"id":175,"cnt":1}',
    "no id": b'{"cnt":1}',
    "id of a wrong type": b'{"id":[5001],"cnt":1}',
    "id true": b'{"id":true,"cnt":1}',
    "cnt 0": b'{"id":5001,"cnt":0}',
    "no cnt": b'{"id":5001}',
    "cnt negative": b'{"id":5001,"cnt":-1}',
    "cnt of a wrong type": b'{"id":5001,"cnt":{"n":1}}',
    "cnt a fraction": b'{"id":5001,"cnt":0.5}',
    "error without code": b'{"error":"oops"}',
    "error code of a wrong type": b'{"error":"oops","error_code":[7]}',
    "error with code 0": b'{"error":"oops","error_code":0,"id":5001,"cnt":1}',
    "negative error code": b'{"error_code":-7,"id":5001,"cnt":1}',
    "error true": b'{"error":true,"id":5001,"cnt":1}',
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "text with foreign id": b"OK - 1 SMS, ID - 9",
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_is_not_clear_is_unknown(body):
    """Never "sent", never "not sent", never an exception."""
    outcomes = send(body, message("a"), message("b", OTHER))
    assert [type(outcome) for outcome in outcomes] == [Unknown, Unknown]
    assert all(outcome.error.error_class is ErrorClass.UNKNOWN for outcome in outcomes)


@pytest.mark.parametrize(
    "phones", ['"x"', "[1,null]", '{"a":1}', "[[]]", '[{"phone":[]}]', '[{"phone":"x","status":{}}]', "null"]
)
def test_a_broken_list_of_phones_hides_nothing(phones):
    """The request was taken under our id; a broken detail does not make it untaken."""
    assert isinstance(send_one(f'{{"id":5001,"cnt":1,"phones":{phones}}}'), Accepted)


@pytest.mark.parametrize("cost", ['"x"', "[]", "true", '"1,40"', "1e400", '"NaN"', '""', "null"])
def test_a_broken_cost_is_no_cost(cost):
    """Money is a plain decimal or nothing."""
    assert send_one(f'{{"id":5001,"cnt":1,"cost":{cost}}}') == Accepted(gateway_id="5001", parts=1)


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["5001", "79990000001", 5001, 1, 22])
)
KEYS = st.sampled_from(
    ["id", "cnt", "cost", "balance", "phones", "phone", "status", "error", "error_code", "err", "last_timestamp"]
)
JSONS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=20
)
BODIES = st.binary() | st.text().map(str.encode) | JSONS.map(lambda value: json.dumps(value).encode())
QUERIES = [StatusQuery(PHONE, "5001"), StatusQuery(OTHER, "5001")]


@given(BODIES)
def test_any_bytes_give_an_outcome_for_each_message(body):
    """The gateway's answer cannot raise, whatever it is."""
    outcomes = send(body, message("a"), message("b", OTHER))
    assert len(outcomes) == 2
    assert all(isinstance(outcome, Accepted | Deferred | Refused | Suspended | Unknown) for outcome in outcomes)
    parsed = parse_answer(body)
    assert all(isinstance(answer, Receipt | StatusMiss) for answer in judge_status(parsed, QUERIES, "main"))
    assert isinstance(judge_balance(parsed, "main"), Balance | Suspended | SmsError)
    assert isinstance(judge_price(parsed), Price | SmsError)


# ---------------------------------------------------------------------------------- status, balance, price
def status(body: str, *queries: StatusQuery):
    """Judge *body* as the answer of ``status.php``."""
    return judge_status(parse_answer(body.encode()), queries or QUERIES, "main")


ONE = '{"status":1,"last_date":"15.11.2023 01:13:24","last_timestamp":1700000000,"flag":0,"err":0,"id":5001,"phone":"79990000001"}'
TWO = '{"status":"25","last_timestamp":"0","err":"248","id":"5001","phone":"79990000002","cost":"1.4","sms_cnt":2}'
FIRST = Receipt(
    gateway="main",
    gateway_id="5001",
    phone=PHONE,
    status=1,
    err=0,
    changed_at=datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
)
SECOND = Receipt(gateway="main", gateway_id="5001", phone=OTHER, status=25, err=248, price=Decimal("1.4"), parts=2)


@pytest.mark.parametrize(
    ("body", "answers"),
    [
        (f"[{ONE},{TWO}]", [FIRST, SECOND]),
        (f"[{TWO},{ONE}]", [FIRST, SECOND]),
        (f"[{TWO}]", [StatusMiss.NO_ANSWER, SECOND]),
        ('[{"status":-3},{"status":"-3","id":"","phone":""}]', [StatusMiss.NOT_FOUND] * 2),
        ('[{"status":-3,"phone":"79990000009"},{"status":-3,"id":9}]', [StatusMiss.NO_ANSWER] * 2),
        ('[{"status":-3}]', [StatusMiss.NO_ANSWER] * 2),
        (ONE, [StatusMiss.NO_ANSWER] * 2),
        ('{"error":"too many","error_code":9}', [StatusMiss.NO_ANSWER] * 2),
        ("ERROR = 9 (wait)", [StatusMiss.NO_ANSWER] * 2),
        ("[]", [StatusMiss.NO_ANSWER] * 2),
        ('[{"status":"x","id":5001,"phone":"79990000001"},[]]', [StatusMiss.NO_ANSWER] * 2),
        ("<html>", [StatusMiss.NO_ANSWER] * 2),
    ],
)
def test_status_answers_are_matched_by_phone_and_id(body, answers):
    """In any order; an entry that names neither counts by its place; what is missing is no answer."""
    assert status(body) == answers


def test_one_query_may_be_answered_by_an_object():
    """The single shape has neither id nor phone."""
    assert status('{"status":0,"last_timestamp":0,"err":0}', QUERIES[0]) == [
        Receipt(gateway="main", gateway_id="5001", phone=PHONE, status=0, err=0)
    ]
    assert status('{"status":-3}', QUERIES[0]) == [StatusMiss.NOT_FOUND]
    assert status(TWO, QUERIES[0]) == [StatusMiss.NO_ANSWER]


@pytest.mark.parametrize(
    ("body", "balance"),
    [
        ('{"balance":"250.80","credit":"100.00","currency":"RUR"}', (Decimal("250.80"), "RUR", Decimal("100.00"))),
        ('{"balance":-3.5}', (Decimal("-3.5"), "", None)),
        ("250.80", (Decimal("250.80"), "", None)),
    ],
)
def test_a_balance_in_its_spellings(body, balance):
    """smsc-api.md 6.1."""
    out = judge_balance(parse_answer(body.encode()), "main")
    assert (out.balance, out.currency, out.credit) == balance


@pytest.mark.parametrize("code", range(1, 12))
def test_errors_of_balance_are_its_own(code):
    """2 and 4 suspend; 3 is not "no money" here."""
    out = judge_balance(Failure(code, ""), "main")
    assert isinstance(out, Suspended if code in {2, 4} else SmsError)
    assert isinstance(judge_balance(Garbage("empty answer"), "main"), SmsError)


def test_a_price_and_its_errors():
    """``cost=1``: a price and parts, no id."""
    assert judge_price(parse_answer(b'{"cost":"1.40","cnt":2}')) == Price(cost=Decimal("1.40"), parts=2)
    assert judge_price(parse_answer(b'{"error":"x","error_code":7}')).error_class is ErrorClass.REFUSED
    assert judge_price(parse_answer(b"")).error_class is ErrorClass.UNKNOWN
