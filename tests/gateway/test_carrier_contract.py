"""What every carrier promises to the delivery, whatever its type, with a proxy between that spoils what passes.

docs/howto/carriers.md has the same as a table: PROMISES is compared with it.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from mailbridge.carriers import build_gateway
from mailbridge.clock import SystemClock
from mailbridge.config.model import Gateway as Settings
from mailbridge.gateway.contract import Gateway, StatusMiss, StatusQuery
from mailbridge.model.message import Alphabet
from mailbridge.model.outcome import Accepted, Deferred, Outcome, Receipt, SmsError, Unknown
from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import AccountSettings, SimulatorSettings
from tests.support import fake_gateway as fake
from tests.support.carrier_server import serving, vendor
from tests.support.carriers import NAMES, at, defined, read
from tests.support.documents import ROOT
from tests.support.fault_proxy import LOST, WireFault, fault_proxy
from tests.support.simulator import UNLIMITED
from tests.support.sms import PHONE, batch, message

LOOK_ALIKE = {
    "type": "http",
    "request": {"url": "https://api.example.org/send", "headers": {"Authorization": "Bearer key-canary"},
                "json": {"to": "{{ phone }}", "text": "{{ text }}", "from": "{{ sender }}", "ref": "{{ id }}"}},
    "success": {"status": 200, "json": {"ok": "true"}},
    "id": "json:message_id",
    "errors": [
        {"status": 401, "class": "suspended"},
        {"json": {"code": "bad_number"}, "class": "refused", "reply": "550 5.1.3"},
        {"status": 429, "class": "deferred"},
    ],
    "lookup": {"url": "https://api.example.org/lookup", "form": {"ref": "{{ id }}"}, "json": {"state": {"accepted": "sent"}},
               "not_found": {"status": 404}, "gateway_id": "json:id"},
}  # fmt: skip
CARRIERS = ["smsc", "look-alike", *NAMES]
TEXT = 'Привет, "мир" & <b>\nсо второй строкой; 100% {{ text }} ~~~ \\n'


@dataclass
class Stand:
    """A carrier that runs, and the way to it through a proxy."""

    gateway: Gateway
    #: (phone without plus, text) of every message that came to it
    arrived: object
    proxy: object


def settings_of(name: str, tmp_path) -> Settings:
    """Return the configuration of a carrier."""
    if name == "smsc":
        data = {
            "gateways": {
                "smsc": {"login": "acme", "password": "s3cret-canary", "url": "http://127.0.0.1:9", "timeout": "1s"}
            }
        }
    elif name == "look-alike":
        data = {"gateways": {"x": LOOK_ALIKE}}
    else:
        return defined(name)
    (settings,) = read(data, tmp_path).gateways.values()
    return settings


@asynccontextmanager
async def standing(name: str, tmp_path) -> AsyncIterator[Stand]:
    """Run a carrier behind a fault proxy."""
    settings = settings_of(name, tmp_path)
    if name == "smsc":
        account = AccountSettings(login="acme", password="s3cret-canary")
        async with (
            Simulator(SimulatorSettings(accounts=(account,), limits=UNLIMITED)) as simulator,
            fault_proxy(simulator.url) as proxy,
        ):
            there = settings.model_copy(update={"url": [proxy.url]})
            gateway = build_gateway(name, there, SystemClock())
            yield Stand(gateway, lambda: [(m["phone"][1:], m["text"]) for m in simulator.inbox], proxy)
            await gateway.aclose()
        return
    async with serving(vendor(name)) as carrier, fault_proxy(carrier.url) as proxy:
        gateway = build_gateway(name, at(settings, proxy.url), SystemClock())
        yield Stand(gateway, lambda: [(m.phone, m.text) for m in carrier.arrived], proxy)
        await gateway.aclose()


async def hand_over(gateway: Gateway, text: str = TEXT) -> Outcome:
    """Give one message to *gateway* under the id 5001."""
    (outcome,) = await gateway.send(batch(message(text, PHONE, alphabet=Alphabet.UCS2, parts=2), gateway_id="5001"))
    return outcome


@pytest.mark.parametrize("name", CARRIERS)
async def test_a_message_arrives_once_and_whole(name, tmp_path):
    """Whatever stands in it, as one request, which is accepted."""
    async with standing(name, tmp_path) as stand:
        outcome = await hand_over(stand.gateway)
        assert isinstance(outcome, Accepted), outcome
        assert [(phone, text.rstrip(" ").replace("~~~ ", "~~~")) for phone, text in stand.arrived()] == [
            ("79990000001", TEXT.replace("~~~ ", "~~~"))
        ]


#: the carrier's true answer may be read all the same
HARMLESS = {WireFault.TWICE}


@pytest.mark.slow
@pytest.mark.parametrize("fault", WireFault)
@pytest.mark.parametrize("name", CARRIERS)
async def test_no_fault_on_the_way_is_a_crash_a_double_or_a_lie(name, fault, tmp_path):
    """What may have arrived is unknown, what did not is never called sent, and nothing is sent twice."""
    async with standing(name, tmp_path) as stand:
        stand.proxy.late_s = 3.0
        if fault is WireFault.UNREAD:
            stand.proxy.choose_blind = lambda: fault
        else:
            stand.proxy.choose = lambda _request: fault
        async with asyncio.timeout(10):
            outcome = await hand_over(stand.gateway)
        if fault in HARMLESS:
            assert isinstance(outcome, Accepted | Unknown)
        else:
            assert isinstance(outcome, Unknown), (outcome, fault)
        assert len(stand.arrived()) == (0 if fault in LOST or fault is WireFault.LATE_REQUEST else 1)
        assert len(stand.proxy.played) == 1


@pytest.mark.parametrize("name", CARRIERS)
async def test_where_nobody_listens_nothing_left(name, tmp_path):
    """That is deferred, and free to be tried again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    settings = settings_of(name, tmp_path)
    there = settings.model_copy(update={"url": [url]}) if name == "smsc" else at(settings, url)
    gateway = build_gateway(name, there, SystemClock())
    outcome = await hand_over(gateway)
    assert isinstance(outcome, Deferred)
    assert not outcome.left
    await gateway.aclose()


NONSENSE = {
    "empty": fake.answer(""), "html": fake.answer("<html><b>welcome"), "null": fake.answer("null"), "list": fake.answer("[[]]"),
    "a number": fake.answer("1"), "types": fake.answer('{"id":{},"ok":1,"status":[],"messages":{"0":1},"sms":"x","sid":null}'),
    "deep": fake.answer("[" * 5000), "two ids": fake.answer('{"sid":"a","sid":"b","message_id":"a","message_id":"b"}'),
    "redirect": fake.answer("", status="302 Found"), "permanent redirect": fake.answer("", status="308 Permanent Redirect"),
    "500": fake.answer("oops", status="500 Oops"), "418": fake.answer("teapot", status="418 Teapot"),
    "huge": fake.answer("x" * 200_000), "hang up": fake.hang_up(), "reset": fake.hang_up(reset=True), "silence": fake.hang(after_reading=True),
}  # fmt: skip


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize("name", CARRIERS)
async def test_nonsense_is_unknown_and_asked_once(name, nonsense, tmp_path):
    """Wrong JSON, wrong types, HTML, redirects, bodies without end: by the same rule everywhere."""
    settings = settings_of(name, tmp_path)
    async with fake.fake_gateway(NONSENSE[nonsense]) as server:
        there = settings.model_copy(update={"url": [server.url]}) if name == "smsc" else at(settings, server.url)
        gateway = build_gateway(name, there, SystemClock())
        outcome = await hand_over(gateway)
        assert isinstance(outcome, Unknown), (outcome, nonsense)
        assert len(server.requests) == 1
        answers = await gateway.status([StatusQuery(PHONE, "5001", accepted=True)])
        assert answers == [StatusMiss.NO_ANSWER]
        assert not isinstance(await gateway.balance(), Receipt)
        assert isinstance(await gateway.price(message()), SmsError)
        await gateway.aclose()


# ------------------------------------------------------------------------------------------------ the table
#: carrier -> can be asked by our own id after a lost answer; tells of delivery when asked; or by callback; has a probe
PROMISES = {
    "smsc": (True, True, True, True),
    "look-alike": (True, False, False, False),
    "sms-ru": (False, True, False, True),
    "twilio": (False, True, True, True),
    "vonage": (False, False, True, True),
    "clickatell": (False, False, True, False),
    "kannel": (False, False, True, False),
    "gammu": (False, False, False, False),
}


@pytest.mark.parametrize("name", CARRIERS)
def test_what_a_definition_promises(name, tmp_path):
    """Read off the definition itself."""
    settings = settings_of(name, tmp_path)
    found = (
        settings.lookup is not None,
        settings.status is not None,
        settings.callback is not None,
        settings.balance is not None,
    )
    assert (found if name != "smsc" else (True, True, True, True)) == PROMISES[name]


def test_the_page_has_the_same_table():
    """docs/howto/carriers.md says which promise holds for which carrier."""
    page = (ROOT / "docs/howto/carriers.md").read_text(encoding="utf-8")
    rows = {
        cells[0].strip("` "): tuple(cell.strip().startswith("yes") for cell in cells[1:5])
        for cells in (
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in page.splitlines()
            if line.startswith("| `")
        )
        if len(cells) >= 5
    }
    assert rows == {name: promised for name, promised in PROMISES.items() if name != "look-alike"}


@pytest.mark.slow
@pytest.mark.parametrize("name", CARRIERS)
async def test_after_a_lost_answer_only_who_can_be_asked_knows(name, tmp_path):
    """Asked by our own id: the truth, where the carrier can be asked so; else no answer, never a guess."""
    async with standing(name, tmp_path) as stand:
        for fault, arrived in ((WireFault.RESET, True), (WireFault.SWALLOWED, False)):
            left = [fault]
            stand.proxy.choose = lambda _request, left=left: left.pop() if left else None
            gateway_id = f"70{int(arrived)}"
            (outcome,) = await stand.gateway.send(batch(message("x", PHONE), gateway_id=gateway_id))
            assert isinstance(outcome, Unknown)
            (answer,) = await stand.gateway.status([StatusQuery(PHONE, gateway_id)])
            if not PROMISES[name][0]:
                assert answer is StatusMiss.NOBODY_KNOWS
            elif arrived:
                assert isinstance(answer, Receipt)
            else:
                assert answer is StatusMiss.NOT_FOUND


def test_the_contracts_own_example_is_taken(tmp_path):
    """contract, section 12, word for word but for its names."""
    text = """
gateways:
  second:
    type: http
    request: {method: POST, url: "https://api.example.org/send", headers: {Authorization: "Bearer ${VONAGE_KEY}"}, json: {to: "{{ phone }}", text: "{{ text }}", from: "{{ sender }}", ref: "{{ id }}"}}
    success: {status: 200, json: {ok: true}}
    id: json:message_id
    errors: [{status: 401, class: suspended}, {json: {code: bad_number}, class: refused, reply: "550 5.1.3"}, {status: 429, class: deferred}]
    status: {method: GET, url: "https://api.example.org/status/{{ gateway_id }}", json: {state: {delivered: delivered, failed: undelivered}}}
"""
    from mailbridge.config.load import load_config
    from tests.support.carriers import ENVIRON

    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    second = load_config(file, environ=ENVIRON).gateways["second"]
    assert second.errors[1].reply == "550 5.1.3"
    assert re.fullmatch(r"Bearer abcd1234", second.request.headers["Authorization"].get_secret_value())
