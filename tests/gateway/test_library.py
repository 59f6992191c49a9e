"""The client for programs: every method against the simulator, every refusal a class of its own, any answer survived."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.clock import SystemClock
from mailbridge.errors import MailbridgeError, NotSent, OutcomeUnknown
from mailbridge.gateway.smsc import Client
from mailbridge.gateway.smsc.api import errors
from mailbridge.gateway.smsc.api.ask import Asker
from mailbridge.gateway.smsc.api.options import Kind, Record
from mailbridge.gateway.smsc.api.values import Done, PhoneResult, Sent
from mailbridge.gateway.smsc.codec import File
from mailbridge.gateway.smsc.line import Line
from mailbridge.gateway.transport import HttpAnswer
from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import AccountSettings, SimulatorSettings
from scripts.client_page import _SECTIONS, client_page, methods_of
from tests.support import fake_gateway as fake
from tests.support.clock import FakeClock
from tests.support.documents import ROOT
from tests.support.simulator import UNLIMITED

PHONE = "+79990000001"
DIGITS = "79990000001"
ACCOUNT = AccountSettings(
    login="acme", password="s3cret-canary", apikeys=("key-canary",), senders=("ACME",), sender="ACME"
)

#: every method of the client -> a call of it; PREPARED makes what they need
CALLS = {
    "send": lambda c: c.send(PHONE, "Hello"),
    "send_list": lambda c: c.send_list([Record(PHONE, "Hello")]),
    "flash_call": lambda c: c.flash_call(PHONE),
    "hlr": lambda c: c.hlr(PHONE),
    "price": lambda c: c.price(PHONE, "Hello"),
    "price_list": lambda c: c.price_list([Record(PHONE, "Hello")]),
    "status": lambda c: c.status(PHONE, 1),
    "statuses": lambda c: c.statuses([(PHONE, 1)]),
    "delete": lambda c: c.delete(PHONE, "kept"),
    "balance": lambda c: c.balance(),
    "inbox": lambda c: c.inbox(after_id=1, hours=2, to="79037672215", limit=3),
    "history": lambda c: c.history(start=date(2026, 1, 1), end="31.12.2099", phones=[PHONE], limit=5),
    "statistics": lambda c: c.statistics(my_currency=True, second_balance=True),
    "tariffs": lambda c: c.tariffs(),
    "sender_names": lambda c: c.sender_names(),
    "megafon_statistics": lambda c: c.megafon_statistics("1"),
    "operator": lambda c: c.operator(PHONE),
    "operators": lambda c: c.operators([PHONE]),
    "wait_call": lambda c: c.wait_call(PHONE),
    "notify": lambda c: c.notify(5, name="disk", host="db1", info="full", recovered=True),
    "ported_numbers": lambda c: c.ported_numbers(phone=PHONE),
    "contacts.add": lambda c: c.contacts.add("+79990000009", name="Anna", group=1, last_name="A", comment="x"),
    "contacts.change": lambda c: c.contacts.change(PHONE, new_mail="a@example.org", name="B"),
    "contacts.move": lambda c: c.contacts.move(PHONE, 1),
    "contacts.put": lambda c: c.contacts.put(PHONE, 1),
    "contacts.take": lambda c: c.contacts.take(PHONE, 1),
    "contacts.delete": lambda c: c.contacts.delete(PHONE),
    "contacts.list": lambda c: c.contacts.list(search="anna", limit=5),
    "groups.add": lambda c: c.groups.add("Night", 7),
    "groups.change": lambda c: c.groups.change(1, "Day"),
    "groups.delete": lambda c: c.groups.delete(1),
    "groups.list": lambda c: c.groups.list(),
    "black_list.add": lambda c: c.black_list.add(PHONE),
    "black_list.delete": lambda c: c.black_list.delete("+79990000003"),
    "templates.add": lambda c: c.templates.add("t2", "text", format_="sms", sender="ACME", signed=True),
    "templates.change": lambda c: c.templates.change(1, text="new", signed=False),
    "templates.delete": lambda c: c.templates.delete(1),
    "templates.list": lambda c: c.templates.list(),
    "operator_templates.add": lambda c: c.operator_templates.add("ACME", "Code %d", ["mts_srv"]),
    "operator_templates.list": lambda c: c.operator_templates.list(),
    "senders.list": lambda c: c.senders.list(everything=True, operators=True),
    "senders.add": lambda c: c.senders.add("PAPERS", comment="c", document=File("a.pdf", b"%PDF")),
    "senders.change": lambda c: c.senders.change("NEWS", comment="d"),
    "senders.delete": lambda c: c.senders.delete("NEWS"),
    "senders.send_code": lambda c: c.senders.send_code(PHONE),
    "senders.check_code": lambda c: c.senders.check_code("+79990000004", "1234"),
    "mailings.add": lambda c: c.mailings.add("n", PHONE, "Hello", repeat=2, max_repeats=3),
    "mailings.delete": lambda c: c.mailings.delete(50),
    "mailings.cancel": lambda c: c.mailings.cancel(50),
    "mailings.get": lambda c: c.mailings.get(50),
    "mailings.list": lambda c: c.mailings.list(),
    "short_links.clicks": lambda c: c.short_links.clicks(link_id=1),
    "rented_numbers.list": lambda c: c.rented_numbers.list(),
    "rented_numbers.rent": lambda c: c.rented_numbers.rent(),
    "rented_numbers.prolong": lambda c: c.rented_numbers.prolong("79037672215", wanted=False),
    "sub_accounts.add": lambda c: c.sub_accounts.add("newone", password="x", flags={"fl2[27]": True}),
    "sub_accounts.change": lambda c: c.sub_accounts.change("branch", fio="x"),
    "sub_accounts.pay": lambda c: c.sub_accounts.pay("branch", Decimal(5)),
    "sub_accounts.statistics": lambda c: c.sub_accounts.statistics("branch"),
    "sub_accounts.list": lambda c: c.sub_accounts.list(hide_deleted=True),
    "documents.add_invoice": lambda c: c.documents.add_invoice(Decimal(100), service="SMS"),
    "documents.invoices": lambda c: c.documents.invoices(),
    "documents.acts": lambda c: c.documents.acts("1"),
}  # fmt: skip
SCRIPTS = {
    "contacts": "phones", "groups": "phones", "black_list": "phones", "templates": "templates",
    "operator_templates": "op_templates", "senders": "senders", "mailings": "jobs", "short_links": "tinyurls",
    "rented_numbers": "receive_phones", "sub_accounts": "users", "documents": "documents", "hlr": "send", "price": "send",
    "flash_call": "send", "send_list": "send", "price_list": "send", "statuses": "status", "delete": "status",
    "inbox": "get", "history": "get", "statistics": "get", "tariffs": "get", "sender_names": "get",
    "megafon_statistics": "get", "operator": "info", "operators": "info", "notify": "ping", "ported_numbers": "get_mnp",
}  # fmt: skip


def script_of(name: str) -> str:
    """Return the script a method asks."""
    return SCRIPTS.get(name.partition(".")[0], name)


async def prepare(client: Client, simulator: Simulator) -> None:
    """Make what the calls need."""
    await client.groups.add("Ops")
    await client.contacts.add(PHONE, name="Anna")
    await client.black_list.add("+79990000003")
    await client.templates.add("t", "text")
    await client.operator_templates.add("ACME", "Code %d")
    await client.senders.add("NEWS")
    await client.sub_accounts.add("branch", password="secret")
    await client.documents.add_invoice("10")
    await client.send(PHONE, "see http://example.org", id="kept", tinyurl=True)
    await client.mailings.add("night", PHONE, "later", id=50, time="+60")
    simulator.carrier.books.of("acme").codes["79990000004"] = "1234"
    simulator.carrier.inbox.add(
        login="acme", phone=DIGITS, mes="STOP", to="79037672215", now=simulator.carrier.clock.now().timestamp()
    )


@pytest.fixture
async def simulator():
    """A simulator without limits, with a clock that stands still."""
    async with Simulator(SimulatorSettings(accounts=(ACCOUNT,), limits=UNLIMITED), clock=FakeClock()) as running:
        yield running


@pytest.fixture
async def client(simulator):
    """A client of it."""
    async with Client(login="acme", password="s3cret-canary", url=simulator.url, timeout_s=5) as ready:
        yield ready


# --------------------------------------------------------------------------------------------- every method
def public_methods() -> set[str]:
    """Return the client's methods by the names they are called under."""
    return {f"{prefix}.{name}".removeprefix("client.") for _, prefix, kind in _SECTIONS for name in methods_of(kind)}


def test_no_method_is_left_out_here():
    """The table has every method but the one that pages through another."""
    assert public_methods() == set(CALLS) | {"all_history"}


def test_every_script_of_the_reference_has_a_method():
    """Section 1.2 of smsc-api.md."""
    page = (ROOT / "docs/reference/smsc-api.md").read_text(encoding="utf-8")
    table = page.partition("### 1.2")[2].partition("### 1.3")[0]
    assert (
        {script_of(name) for name in CALLS}
        == set(re.findall(r"`(\w+)\.php`", table))
        == set(errors.ERRORS) - {"jobs add"}
    )


def test_every_method_says_where_it_is_from():
    """Each docstring names a section of the reference."""
    for _, _, kind in _SECTIONS:
        for name, method in methods_of(kind).items():
            assert re.search(r"Source: smsc-api\.md \d", method.__doc__ or ""), name


def test_the_page_is_current():
    """What scripts/generate writes stands in the tree."""
    assert (ROOT / "docs/reference/smsc-client.md").read_text(encoding="utf-8") == client_page(), "run scripts/generate"


async def test_the_page_s_example_runs(capsys):
    """As it stands there, but for the port of its simulator."""
    code = re.search(r"```python\n(.+?)```", client_page(), re.DOTALL)[1]
    async with Simulator() as simulator:
        here = code.replace("http://127.0.0.1:8025", simulator.url)
        await asyncio.to_thread(exec, compile(here, "page", "exec"), {})
    assert capsys.readouterr().out.splitlines() == ["1 1 1.4", "waiting to be sent"]


@pytest.mark.parametrize("name", CALLS)
async def test_each_method_is_answered(client, simulator, name):
    """Nothing is refused where everything needed is there, and no credential stands in a URL."""
    await prepare(client, simulator)
    answer = await CALLS[name](client)
    assert answer or name == "megafon_statistics"
    assert {entry.credentials_in for entry in simulator.ledger} == {"body"}
    assert list(simulator.ledger)[-1].path == f"/sys/{script_of(name)}.php"


def refusals() -> list[tuple[str, int, type[errors.SmscError]]]:
    """Return (method, code, class) for every code there is, known or not."""
    tables = {name: errors.ERRORS["jobs add" if name == "mailings.add" else script_of(name)] for name in CALLS}
    return [
        (name, code, table.get(code) or errors.COMMON.get(code, errors.UnknownCode))
        for name, table in tables.items()
        for code in (*range(1, 11), 77)
    ]


#: lists are empty where nothing was found
LISTS = {
    "inbox", "history", "statistics", "tariffs", "sender_names", "megafon_statistics", "statuses", "contacts.list",
    "groups.list", "templates.list", "operator_templates.list", "senders.list", "mailings.list", "short_links.clicks",
    "rented_numbers.list", "sub_accounts.statistics", "sub_accounts.list", "documents.invoices", "documents.acts",
}  # fmt: skip


async def test_each_refusal_is_the_class_the_table_names(client, simulator):
    """Every method with every code: code 3 of send is money, of get an empty list."""
    for name, code, kind in refusals():
        async with asyncio.timeout(5):
            simulator.carrier.faults.clear()
            await set_fault(simulator, {"code": code, "text": "own words"})
            if name in LISTS and issubclass(kind, errors.NothingFound):
                assert await CALLS[name](client) == [], name
                continue
            with pytest.raises(errors.SmscError) as caught:
                await CALLS[name](client)
        assert type(caught.value) is kind, (name, code)
        assert (caught.value.method, caught.value.code, caught.value.text) == (script_of(name), code, "own words")


async def set_fault(simulator: Simulator, rule: dict) -> None:
    """Set a fault of the account."""
    from mailbridge.simulator.faults import parse_fault

    simulator.carrier.faults.add(parse_fault(rule))


def test_a_refusal_keeps_its_fields_and_tells_no_secret():
    """It names method, code and words, also after a journey to another process."""
    error = errors.error_of("send", 7, "invalid number", "175")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled on the line itself
    assert (type(again), again.id, str(again)) == (errors.BadNumber, "175", "send.php, error 7: invalid number")
    assert (
        str(errors.error_of("get", 3, ""))
        == "get.php, error 3: There is no such record. Lists turn it into an empty list"
    )


@pytest.mark.parametrize(
    "script",
    [
        fake.answer(""),
        fake.answer("<html>"),
        fake.answer("{}", status="502 Bad Gateway"),
        fake.answer("{}", status="302 Found"),
        fake.hang_up(),
    ],
)
async def test_no_usable_answer_to_a_send_is_an_unknown_outcome(script):
    """Only status can tell then, so nothing is repeated and no other host is asked."""
    async with fake.fake_gateway(script) as first, fake.fake_gateway(fake.answer("{}")) as second:
        client = Client(login="a", password="b", url=[first.url, second.url], timeout_s=1)
        with pytest.raises(OutcomeUnknown):
            await client.send(PHONE, "x")
        await client.aclose()
        assert (len(first.requests), second.connections) == (1, 0)


async def test_a_host_that_is_not_there_gives_way():
    """Nothing left, so the next one is asked; where there is none, NotSent."""
    async with fake.fake_gateway(fake.answer('{"id":1,"cnt":1}')) as server:
        client = Client(login="a", password="b", url=["http://127.0.0.1:9", server.url])
        assert await client.send(PHONE, "x") == Sent(id="1", parts=1)
        await client.aclose()
    async with Client(apikey="k", url="http://127.0.0.1:9") as client:
        with pytest.raises(NotSent):
            await client.balance()


@pytest.mark.parametrize(
    ("body", "done"),
    [("OK", Done()), ("", Done(confirmed=False)), ('{"result":"OK"}', Done()), ('{"id":55}', Done(id="55"))],
)
async def test_a_command_is_done_in_each_of_its_answers(body, done):
    """Section 1.6: a bare OK, an empty body (unconfirmed), an object, an id."""
    async with fake.fake_gateway(fake.answer(body)) as server, Client(apikey="k", url=server.url) as client:
        assert await client.templates.add("t", "x") == done


async def test_a_plain_error_is_a_refusal_though_json_was_asked(client):
    """Section 1.6 (observed): templates with an unknown id."""
    with pytest.raises(errors.NothingFound):
        await client.templates.change(99, text="x")


# ------------------------------------------------------------------------------------------- what is sent
async def test_the_parts_of_an_answer(client):
    """Prices as Decimal, each number's own result, the id as text."""
    sent = await client.send([PHONE, "+79990000325"], "Hello", sender="ACME")
    assert (sent.id, sent.parts, sent.cost, sent.balance) == ("1", 1, Decimal("1.4"), Decimal("998.6"))
    assert sent.phones == (
        PhoneResult(phone=DIGITS, mccmnc="25001", cost=Decimal("1.4")),
        PhoneResult(phone="79990000325", mccmnc="25001", cost=Decimal(0), status=25, err=248),
    )
    assert [one.refused for one in sent.phones] == [False, True]


@pytest.mark.parametrize("kind", Kind)
async def test_each_kind_arrives_as_itself(client, simulator, kind):
    """``Kind`` names what the gateway's flags ask for."""
    phones, options = (
        (PHONE, {}) if kind is not Kind.MAIL else ("a@example.org", {"sender": "b@example.org", "subject": "s"})
    )
    text = {Kind.BINARY_HEX: "00616263", Kind.PUSH: "http://example.org\ntitle"}.get(kind, "Hello")
    await client.send(phones, text, kind=kind, **options)
    expected = {"": "sms", "bin=1": "bin", "bin=2": "bin", "whatsapp": "viber", "tg": "soc"}.get(kind.value, kind.value)
    assert simulator.inbox[0]["type"] == expected


@given(text=st.text(max_size=60) | st.sampled_from(["__CALL__x", "a\n~~~\nb", "\0x", "code", "a|b", "\ud800"]))
@settings(max_examples=60, deadline=None)
def test_a_text_is_a_text(text):
    """What the gateway would read as a command is not one; the same escaping as the bridge's own path."""
    from mailbridge.gateway.smsc.api.options import text_pairs
    from mailbridge.gateway.smsc.codec import form_body
    from tests.support.sms import handset_texts

    if not text.strip("\0"):
        return
    body = form_body("fmt=3", text_pairs(PHONE, text, {}))
    ((phone, kind, shown),) = handset_texts(body)
    assert (phone, kind) == (PHONE, "sms")
    visible = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\r\n", "\n").strip(" \0")
    assert shown.replace("~~~ ", "~~~").strip(" \0") == visible.replace("~~~ ", "~~~")


async def test_a_call_that_says_code_is_no_flash_call(client, simulator):
    """A text of one word is not the gateway's word; ``flash_call`` asks for that."""
    assert (await client.send(PHONE, "code", kind=Kind.CALL)).code == ""
    assert simulator.inbox[0]["mes"] == " code"
    assert re.fullmatch(r"\d{6}", (await client.flash_call(PHONE)).code)


async def test_options_become_parameters(client, simulator):
    """Moments, numbers, tuples, marks and parameters nobody knows yet."""
    at = datetime(2030, 1, 2, 3, 4, tzinfo=UTC)
    await client.send(
        PHONE, "Hello", id=7, translit=1, time=at, tz=0, valid="01:30", max_parts=2, comment="for the books", voice="w,en",
        call_param=(20, 30, 3), period=1.5, freq=10, user_ip="127.0.0.1", partner=5, template_marks=["mts_srv"], extra={"new": "x"},
    )  # fmt: skip
    params = list(simulator.ledger)[-1].params
    assert {name: params[name] for name in ("id", "time", "valid", "maxsms", "param", "period", "pp", "mts_srv", "new")} == {
        "id": "7", "time": f"0{int(at.timestamp())}", "valid": "01:30", "maxsms": "2", "param": "20,30,3", "period": "1.5",
        "pp": "5", "mts_srv": "1", "new": "x",
    }  # fmt: skip
    assert (simulator.inbox[0]["comment"], simulator.inbox[0]["text"]) == ("for the books", "Hello")


async def test_files_go_with_the_message(client, simulator):
    """Whatever their bytes and names, beside every other parameter."""
    files = [File("a b.jpg", bytes(range(256)), "image/jpeg"), File("звук.wav", b"\r\n--x\r\n")]
    await client.send(PHONE, "Привет & x=1", kind=Kind.MMS, files=files, subject="s")
    assert simulator.inbox[0]["files"] == ["a b.jpg", "звук.wav"]
    assert simulator.inbox[0]["text"] == "Привет & x=1"


async def test_several_texts_in_one_request(client, simulator):
    """A list carries each text to its phone; one it cannot carry is refused before anything is sent."""
    sent = await client.send_list([Record(PHONE, "one\ntwo"), Record(["+79990000002"], "three", sender="ACME", tz=2)])
    assert sent.parts == 2
    assert [m["text"] for m in reversed(simulator.inbox)] == ["one\ntwo", "three"]
    before = len(list(simulator.ledger))
    for record in (
        Record(PHONE, "a|b"),
        Record(PHONE, "a\\b"),
        Record(PHONE, " x"),
        Record("1:2", "x"),
        Record(PHONE, "x", sender="a|b"),
    ):
        with pytest.raises(ValueError, match="list"):
            await client.send_list([record])
    assert len(list(simulator.ledger)) == before


# --------------------------------------------------------------------------------------------- what is read
async def test_statuses_and_hlr(client, simulator):
    """One message, a list in its order, and what an HLR found."""
    await client.send(PHONE, "Hello", id=5)
    await client.hlr(PHONE, id=6)
    simulator.carrier.clock.advance(4)
    status = await client.status(PHONE, 5)
    assert (status.status, status.found, status.text, status.cost) == (1, True, "Hello", Decimal("1.40"))
    assert status.changed_at is not None
    assert status.meaning.words == "delivered"
    found = await client.statuses([(PHONE, 6), (PHONE, 99)], level=0)
    assert [(one.status, one.id) for one in found] == [(1, "6"), (-3, "99")]
    assert found[0].hlr is not None
    assert (found[0].hlr.imsi, found[0].hlr.operator) == ("250010000000001", "МТС")
    assert await client.statuses([]) == []


async def test_the_history_page_by_page(client, simulator):
    """Every message once, newest first."""
    for number in range(5):
        await client.send(PHONE, f"text {number}", id=f"m{number}")
    import mailbridge.gateway.smsc.api.client as module

    page = module._PAGE
    module._PAGE = 2
    try:
        found = [item.id async for item in client.all_history()]
    finally:
        module._PAGE = page
    assert found == ["m4", "m3", "m2", "m1", "m0"]


async def test_what_comes_in(client, simulator):
    """Oldest first, after the cursor; moments without a Unix time are Moscow's."""
    await prepare(client, simulator)
    (inbound,) = await client.inbox()
    assert (inbound.id, inbound.text, inbound.phone, inbound.to) == ("7001", "STOP", DIGITS, "79037672215")
    assert inbound.received_at == simulator.carrier.clock.now()
    assert await client.inbox(after_id=inbound.id) == []


async def test_other_values(client, simulator):
    """Balance, operator, contacts, groups, templates, senders, sub-accounts, numbers, wait-call: typed."""
    await prepare(client, simulator)
    assert (await client.balance()).currency == "RUR"
    operator = await client.operator(PHONE)
    assert (operator.country, operator.mcc, operator.tz) == ("Россия", "250", 0)
    assert [(one.name, one.phone) for one in await client.contacts.list()] == [("Anna", DIGITS)]
    assert [(one.name, one.contacts) for one in await client.groups.list()] == [("Ops", 0)]
    assert [(one.id, one.text) for one in await client.templates.list()] == [("1", "text")]
    assert [one.name for one in await client.senders.list()] == ["ACME", "NEWS"]
    assert [(one.login, one.balance) for one in await client.sub_accounts.list()] == [("branch", Decimal("0.00"))]
    assert [(one.phone, one.prolonged) for one in await client.rented_numbers.list()] == [("79037672215", True)]
    assert [(one.url, one.clicks) for one in await client.short_links.clicks(link_id=1)] == [("http://example.org", 0)]
    assert (await client.wait_call(PHONE)).all_phones == ("79990000099", "79990000098")
    assert (await client.mailings.get(50)).name == "night"
    assert [one.price for one in await client.tariffs()] == [Decimal("1.40")]


async def test_an_api_key_replaces_the_login(simulator):
    """Section 1.4."""
    async with Client(apikey="key-canary", url=simulator.url) as client:
        assert (await client.balance()).balance == Decimal("1000.00")


# -------------------------------------------------------------------------------------------- any answer at all
class SaysAnything(Line):
    """A line on which one answer comes to everything."""

    def __init__(self) -> None:
        super().__init__(
            ["http://127.0.0.1:9"],
            login="a",
            password="s3cret-canary",
            apikey=None,
            timeout_s=1,
            connect_timeout_s=1,
            clock=SystemClock(),
        )
        self.body = b""

    async def post(self, script, body, **_) -> HttpAnswer:
        return HttpAnswer(200, self.body, "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.sampled_from(["OK", DIGITS, "1.4", "15.11.2023 01:20:05", 1700000000, -3]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["id", "cnt", "cost", "phones", "phone", "all_phones", "status", "err", "last_timestamp", "send_date",
            "received", "message", "error", "error_code", "imsi", "balance", "currency", "sum", "grp", "noprolong", "tz"]),
        inner, max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


def rebuilt(line: Line) -> Client:
    """Return a client whose every section asks on *line*."""
    client = Client(login="a", password="b", url="http://127.0.0.1:9")
    ask = Asker(line)
    client._ask = ask
    for section in vars(client).values():
        if hasattr(section, "_ask"):
            section._ask = ask
    return client


@given(value=JSON, raw=st.binary(max_size=30) | st.just(None))
@settings(max_examples=150, deadline=None)
def test_any_answer_gives_a_value_or_an_error_of_ours(value, raw):
    """No shape of JSON, and no bytes, are a crash."""

    async def every_method() -> None:
        line = SaysAnything()
        line.body = json.dumps(value).encode() if raw is None else raw
        client = rebuilt(line)
        for call in CALLS.values():
            try:
                await call(client)
            except MailbridgeError as error:
                told.append(str(error))

    told: list[str] = []
    asyncio.run(every_method())
    assert "canary" not in "".join(told)
