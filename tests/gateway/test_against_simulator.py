"""The client against the simulator: two readings of the same documentation must agree, number by magic number."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mailbridge.gateway.contract import StatusMiss, StatusQuery
from mailbridge.gateway.smsc.client import SmscGateway
from mailbridge.gateway.smsc.codes import CODES, ERRS, Verdict, meaning_of
from mailbridge.model.outcome import (
    Accepted,
    Balance,
    Deferred,
    Outcome,
    Receipt,
    Refused,
    SmsError,
    Suspended,
    Unknown,
)
from mailbridge.model.phone import Phone
from mailbridge.simulator.magic import ODD, WIRE
from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import AccountSettings, Limits, SimulatorSettings
from tests.support.sms import batch, message, settings

ACCOUNT = AccountSettings(login="acme", password="s3cret-canary", apikeys=("key-canary",))
NO_LIMITS = Limits(duplicate_s=None, status_per_minute=None, balance_per_minute=None, bad_logins=None)
CLASSES = {Verdict.REFUSED: Refused, Verdict.SUSPENDED: Suspended, Verdict.DEFERRED: Deferred}


@pytest.fixture
async def simulator():
    """A simulator in which every message is final at once."""
    at_once = SimulatorSettings(accounts=(ACCOUNT,), limits=NO_LIMITS, handed_after_s=0, final_after_s=0)
    async with Simulator(at_once) as running:
        yield running


@pytest.fixture
async def gateway(simulator):
    """A client of it, with little patience."""
    client = SmscGateway("main", settings(simulator.url, timeout="300ms"))
    yield client
    await client.aclose()


async def send_to(gateway: SmscGateway, phone: str, text: str = "Hello") -> Outcome:
    """Send one text to *phone*."""
    (outcome,) = await gateway.send(batch(message(text, phone)))
    return outcome


async def status_of(gateway: SmscGateway, phone: str):
    """Ask for what was sent to *phone* under the id of ``batch``."""
    (answer,) = await gateway.status([StatusQuery(Phone(phone), "5001")])
    return answer


async def test_an_ordinary_message_is_accepted_and_delivered(gateway, simulator):
    """Price, parts and balance come back; the credentials stood in the body."""
    outcome = await send_to(gateway, "+79991234567")
    assert isinstance(outcome, Accepted)
    assert (outcome.parts, outcome.price, outcome.gateway_id) == (1, Decimal("1.4"), "5001")
    assert outcome.balance is not None
    answer = await status_of(gateway, "+79991234567")
    assert isinstance(answer, Receipt)
    assert answer.status == 1
    assert {entry.credentials_in for entry in simulator.ledger} == {"body"}


@pytest.mark.parametrize("series", ["01", "11"])
@pytest.mark.parametrize("code", [*CODES, 19, 42])
async def test_every_error_has_its_outcome(gateway, series, code):
    """As JSON and as plain text; 19 stands for error 9 by concurrency."""
    outcome = await send_to(gateway, f"+7999000{series}{code:02}")
    real = 9 if code == 19 else code
    wanted = CLASSES[CODES[real].verdict] if real in CODES else Deferred
    assert isinstance(outcome, wanted)
    assert outcome.error.code == str(real)


async def test_money_that_ends_within_a_batch_suspends_the_rest(gateway):
    """The first one is accepted; the one there is no money for waits."""
    good, poor = await gateway.send(batch(message(phone="+79991234567"), message(phone="+79990000324")))
    assert isinstance(good, Accepted)
    assert isinstance(poor, Suspended)


@pytest.mark.parametrize("status", [22, 23, 25])
async def test_a_number_refused_beside_a_good_one(gateway, status):
    """The good one is accepted, the other refused with the words of its err."""
    good, bad = await gateway.send(batch(message(phone="+79991234567"), message(phone=f"+799900003{status}")))
    assert isinstance(good, Accepted)
    assert isinstance(bad, Refused)
    assert bad.error.code.startswith(f"status {status}")
    assert bad.reply.is_permanent


@pytest.mark.parametrize("number", WIRE)
@pytest.mark.parametrize("series", ["08", "09"])
async def test_every_fault_of_the_wire_is_unknown_until_asked(gateway, simulator, series, number):
    """One request, no repetition; then the status tells what the answer did not."""
    phone = f"+7999000{series}{number:02}"
    assert isinstance(await send_to(gateway, phone), Unknown)
    assert sum(entry.path == "/sys/send.php" for entry in simulator.ledger) == 1
    assert not any(entry.fault == "redirect-followed" for entry in simulator.ledger)
    answer = await status_of(gateway, phone)
    assert isinstance(answer, Receipt) if series == "09" else answer is StatusMiss.NOT_FOUND


CLEAR = {"strings", "numbers", "plain", "no-phones", "extra"}


@pytest.mark.parametrize("number", ODD)
async def test_odd_answers_are_believed_only_when_clear(gateway, number):
    """Strings, numbers, plain text, missing and extra fields are; a wrong id, none, or no parts are not."""
    outcome = await send_to(gateway, f"+799900010{number:02}")
    assert isinstance(outcome, Accepted if ODD[number][0] in CLEAR else Unknown)


@pytest.mark.parametrize("status", [1, 2, 3, 4, 20, 22, 23, 24, 25])
async def test_every_final_status_is_read(gateway, status):
    """The receipt's numbers are the simulator's, and they have a final meaning."""
    phone = f"+799900002{status:02}"
    assert isinstance(await send_to(gateway, phone), Accepted)
    answer = await status_of(gateway, phone)
    assert isinstance(answer, Receipt)
    assert answer.status == status
    assert answer.changed_at is not None
    assert meaning_of(answer.status, answer.err).state is not None


@pytest.mark.parametrize("err", [err for err in ERRS if err])
async def test_every_err_is_read(gateway, err):
    """A message that ends with an err says which."""
    phone = f"+79990010{err:03}"
    assert isinstance(await send_to(gateway, phone), Accepted)
    answer = await status_of(gateway, phone)
    assert isinstance(answer, Receipt)
    assert answer.err == err


async def test_a_message_not_yet_seen_is_not_found(gateway):
    """The status lags behind the sending."""
    assert isinstance(await send_to(gateway, "+79990000799"), Accepted)
    assert await status_of(gateway, "+79990000799") is StatusMiss.NOT_FOUND


TEXTS = [
    "__CALL__ the office", "__VIBER__", "__PING__ db1", "PROBLEM\n~~~\nnot a comment", "~~~\nfirst", "last\n~~~",
    "+79990000002:not a record", "NAGIOS|+79990000002:neither", "79990000002;nor this", "a literal \\n here",
    "two\nlines: and; more", "C:\\new\\table", "@home", "Ünïcödé — Привет 😀", "a&b=c+d%20 #", "  blanks  ", "x" * 900,
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
async def test_a_text_arrives_as_that_text(gateway, simulator, text):
    """No command, record or comment is read in it: the handset shows all of it, as a plain SMS, to its own phone."""
    await send_to(gateway, "+79991234567", text)
    (shown,) = simulator.inbox
    assert shown["type"] == "sms"
    assert shown["phone"].lstrip("+") == "79991234567"
    assert shown["text"].split() == text.split()
    assert not shown["comment"]


async def test_different_texts_share_a_request(gateway, simulator):
    """Those whose keys are equal: each arrives as it is, at its own phone."""
    messages = [message(text, f"+799912300{n:02}") for n, text in enumerate(TEXTS)]
    shared = [m for m in messages if gateway.batch_key(m) == gateway.batch_key(message())]
    assert len(shared) > 4
    outcomes = await gateway.send(batch(*shared))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert sum(entry.path == "/sys/send.php" for entry in simulator.ledger) == 1
    assert {(m["phone"].lstrip("+"), m["text"]) for m in simulator.inbox} == {(m.phone[1:], m.text) for m in shared}


async def test_balance_and_price(gateway, simulator):
    """The account's money, and a price that sends nothing."""
    balance = await gateway.balance()
    assert isinstance(balance, Balance)
    assert (balance.balance, balance.currency) == (1000, "RUR")
    price = await gateway.price(message("x" * 161))
    assert (price.cost, price.parts) == (Decimal("2.80"), 2)
    assert simulator.inbox == []


async def test_wrong_credentials_suspend(simulator):
    """Error 2 for a message and for the probe alike; an apikey signs in as well as a password."""
    wrong = SmscGateway("main", settings(simulator.url, password="wrong"))
    (outcome,) = await wrong.send(batch())
    assert isinstance(outcome, Suspended)
    assert isinstance(await wrong.balance(), Suspended)
    assert isinstance(await wrong.price(message()), SmsError)
    await wrong.aclose()
    keyed = SmscGateway("main", settings(simulator.url, login=None, password=None, apikey="key-canary"))
    assert isinstance(await keyed.balance(), Balance)
    await keyed.aclose()
