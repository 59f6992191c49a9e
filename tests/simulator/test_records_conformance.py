"""Section 8: what an account keeps at the gateway, in every format, and what each change does to what is asked next."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from decimal import Decimal

import pytest

from mailbridge.simulator.carrier import METHODS
from mailbridge.simulator.faults import METHODS as FAULT_METHODS
from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import AccountSettings, Limits, SimulatorSettings
from tests.support.documents import ROOT
from tests.support.simulator import UNLIMITED, running

PHONE = "79990000001"
OTHER = "79990000002"

#: method -> a request that succeeds, after those of PREPARED
GOOD = {
    "send": {"phones": PHONE, "mes": "x"}, "status": {"phone": PHONE, "id": "1"}, "balance": {}, "get": {"get_price": 1},
    "info": {"get_operator": 1, "phone": PHONE}, "phones": {"get_group": 1}, "jobs": {"get_all": 1},
    "templates": {"get": 1}, "op_templates": {"get": 1}, "senders": {"get": 1}, "users": {"get_stat_all": 1},
    "documents": {"get_account": 1}, "ping": {"id": 1}, "tinyurls": {"get": 1, "id": 1}, "receive_phones": {"get": 1},
    "wait_call": {"phone": PHONE}, "get_mnp": {"phone": PHONE},
}  # fmt: skip
PREPARED = [
    ("phones", {"add_group": 1, "name": "Ops"}), ("phones", {"add": 1, "phone": PHONE, "name": "Anna", "grp": 1}),
    ("templates", {"add": 1, "name": "t", "msg": "Door open"}), ("op_templates", {"add": 1, "sender": "ACME", "msg": "Code %d"}),
    ("users", {"add": 1, "user": "branch", "password": "secret"}), ("documents", {"add_account": 1, "sum": "100"}),
    ("jobs", {"add": 1, "name": "night", "phones": PHONE, "mes": "see http://example.org/a", "tinyurl": 1, "time": "+60"}),
]  # fmt: skip


def test_every_script_of_the_reference_is_answered():
    """Section 1.2 names them; faults may be set on each."""
    page = (ROOT / "docs/reference/smsc-api.md").read_text(encoding="utf-8")
    table = page.partition("### 1.2")[2].partition("### 1.3")[0]
    named = set(re.findall(r"`(\w+)\.php`", table))
    assert set(METHODS) == FAULT_METHODS == named == set(GOOD)


@pytest.fixture
async def full(client):
    """A client whose account keeps one of everything."""
    for method, params in PREPARED:
        answer = await client.json(method, **params)
        assert "error" not in answer, (method, answer)
    return client


#: the other lists and questions of sections 4 to 8
MORE = [
    ("status", {"phone": PHONE, "id": "1", "all": 1}), ("status", {"phone": PHONE, "id": "1", "all": 2}),
    ("balance", {"cur": 1}), ("get", {"get_answers": 1}), ("get", {"get_messages": 1}), ("get", {"get_stat": 1}),
    ("get", {"get_senders": 1}), ("info", {"get_operator": 1, "phone": f"{PHONE},{OTHER}"}), ("phones", {"get": 1}),
    ("jobs", {"get": 1, "id": "1"}), ("documents", {"get_act": 1, "num": 1}), ("users", {"get_stat": 1, "user": "branch"}),
    ("send", {"phones": PHONE, "mes": "x", "cost": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "asked"), [*sorted(GOOD.items()), *MORE])
async def test_each_method_answers_in_every_format(full, method, asked):
    """The same content as text, lines, XML and JSON."""
    carrier = full.simulator.carrier
    carrier.inbox.add(login="demo", phone=PHONE, mes="STOP", to="79037672215", now=carrier.clock.now().timestamp())
    text, csv, xml, js = [await full.text(method, **asked, fmt=fmt) for fmt in range(4)]
    data = json.loads(js)
    assert not (isinstance(data, dict) and "error" in data)
    assert not text.startswith("ERROR")
    assert not re.fullmatch(r"\d+,-\d+", csv)
    rows = len(data) if isinstance(data, list) else 1
    assert len(csv.split("\n")) == len(text.split("\n")) == rows
    leaves = [leaf.text or "" for leaf in ET.fromstring(xml).iter() if not len(leaf)]
    if method != "send":
        assert leaves == list(_leaves(data))


def _leaves(value):
    """Yield what stands in a JSON value, as text."""
    match value:
        case dict():
            for item in value.values():
                yield from _leaves(item)
        case list():
            for item in value:
                yield from _leaves(item)
        case _:
            yield str(value)


@pytest.mark.parametrize("fmt", range(4))
@pytest.mark.parametrize("method", sorted(GOOD))
@pytest.mark.parametrize("code", [1, 2, 4, 9])
async def test_the_errors_common_to_all_methods(client, method, code, fmt):
    """Sections 1.6 and 3: one envelope for each format, whatever was asked."""
    await client.fault(code=code, methods=[method])
    words = {1: "parameters error", 2: "authorise error", 4: "IP is blocked", 9: "duplicate request, wait a minute"}[
        code
    ]
    assert (
        await client.text(method, **GOOD[method], fmt=fmt)
        == {
            0: f"ERROR = {code} ({words})",
            1: f"0,-{code}",
            2: f"<result><error>{words}</error><error_code>{code}</error_code></result>",
            3: f'{{"error":"{words}","error_code":{code}}}',
        }[fmt]
    )


@pytest.mark.parametrize("method", sorted(set(GOOD) - {"balance"}))
async def test_no_parameters(client, method):
    """Section 3: a request that asks for nothing is error 1."""
    assert (await client.json(method))["error_code"] == 1


# -------------------------------------------------------------------------------------------- 8.3 phones.php
async def test_people_and_groups(client):
    """Who is added is listed, found, moved, changed, addressed as a group, and gone when deleted."""
    assert await client.json("phones", get=1) == {"error": "no data found", "error_code": 3}
    assert await client.json("phones", add_group=1, name="Ops", num=12) == {"id": 1}
    assert await client.json("phones", add_group=1, name="Night") == {"id": 2}
    assert await client.json("phones", add=1, phone="8 999 000-00-01", name="Anna", cmt="on call", grp=12) == {"id": 1}
    assert await client.json("phones", add=1, phone=OTHER, mail="b@example.org", name="Boris") == {"id": 2}
    assert (await client.json("phones", add=1, phone=OTHER))["error_code"] == 5
    assert (await client.json("phones", add=1, phone="7999"))["error_code"] == 1
    assert [one["name"] for one in await client.json("phones", get=1, grp=12)] == ["Anna"]
    assert [one["name"] for one in await client.json("phones", get=1, search="BORIS")] == ["Boris"]
    assert [one["id"] for one in await client.json("phones", get=1, after_id=1)] == [2]
    assert await client.json("phones", move_group=2, phone=OTHER, grp=12) == {"result": "OK"}
    assert [(one["number"], one["cnt"]) for one in await client.json("phones", get_group=1)] == [(12, 2), (2, 0)]
    sent = await client.send("G12", id=1)
    assert sent["cnt"] == 2
    assert {one["phone"] for one in client.simulator.inbox} == {"+" + PHONE, "+" + OTHER}
    assert await client.json("phones", move_group=1, phone=OTHER, grp=2) == {"result": "OK"}
    assert await client.json("phones", move_group=3, phone=PHONE, grp=12) == {"result": "OK"}
    assert [one["cnt"] for one in await client.json("phones", get_group=1)] == [0, 1]
    assert await client.json("phones", chg=1, phone=OTHER, new_phone="79990000003", name="B.") == {"result": "OK"}
    assert [(p["phone"], p["name"]) for p in await client.json("phones", get=1, grp=2)] == [("79990000003", "B.")]
    assert await client.json("phones", chg_group=1, grp=2, name="Day") == {"result": "OK"}
    assert await client.json("phones", del_group=1, grp=2) == {"result": "OK"}
    assert [one["name"] for one in await client.json("phones", get_group=1)] == ["Ops"]
    assert await client.json("phones", **{"del": 1, "mail": "b@example.org"}) == {"result": "OK"}
    assert (await client.json("phones", **{"del": 1, "phone": OTHER}))["error_code"] == 3
    assert (await client.json("send", phones="G77", mes="x"))["error_code"] == 7


async def test_a_number_on_the_black_list_gets_nothing(client):
    """Sections 4.5 and 4.6: status 23 with err 252; off the list it gets texts again."""
    await client.json("phones", add_black=1, phone=PHONE)
    await client.send(PHONE, "one", id=1)
    await client.json("phones", del_black=1, phone=PHONE)
    await client.send(PHONE, "two", id=2)
    client.clock.advance(4)
    found = await client.json("status", phone=f"{PHONE},{PHONE}", id="1,2")
    assert [(one["status"], one["err"]) for one in found] == [(23, 252), (1, 0)]
    assert (await client.json("phones", del_black=1, phone=PHONE))["error_code"] == 3


# ------------------------------------------------------------------------------------------ 8.4 templates.php
async def test_templates(client):
    """Section 8.4: the answers word for word."""
    added = await client.json("templates", add=1, name="door", msg="Door open", sender="ACME", **{"fl[1]": 1})
    assert added == {"id": 1}
    assert await client.json("templates", chg=1, id=1, msg="Door is open") == {"result": "OK"}
    assert await client.json("templates", get=1) == [
        {"id": 1, "name": "door", "format": "sms", "message": "Door is open", "sender": "ACME", "flag": 2}
    ]
    assert await client.json("templates", **{"del": 1, "id": 1}) == {"result": "OK"}
    assert (await client.json("templates", get=1))["error_code"] == 3
    assert (await client.json("templates", add=1, name="x", msg="y", format="fax"))["error_code"] == 1


@pytest.mark.parametrize("fmt", range(4))
async def test_an_unknown_template_is_answered_in_plain_words(client, fmt):
    """Section 1.6 (observed): whatever format was asked."""
    assert await client.text("templates", chg=1, id=99, msg="x", fmt=fmt) == "ERROR = 3 (no data found)"


async def test_operator_templates(client):
    """Section 8.4: added ones are listed with their marks."""
    assert await client.json("op_templates", add=1, sender="ACME", msg="Code %d", mts_srv=1) == {"id": 1}
    assert await client.json("op_templates", get=1) == [{"id": 1, "sender": "ACME", "message": "Code %d", "mts_srv": 1}]


# -------------------------------------------------------------------------------------------- 8.5 senders.php
async def test_a_name_asked_for_may_be_sent_under():
    """Section 8.5: an account with approved names refuses others until they are added."""
    account = AccountSettings(sender="ACME", senders=("ACME",))
    async with running(SimulatorSettings(accounts=(account,), limits=UNLIMITED)) as client:
        assert (await client.send(PHONE, sender="NEWS"))["error_code"] == 6
        assert await client.json("senders", add=1, sender="NEWS", cmt="papers") == {"id": 1}
        assert (await client.send(PHONE, sender="NEWS"))["cnt"] == 1
        assert await client.json("senders", chg=1, sender="NEWS", cmt="more papers") == {"result": "OK"}
        names = await client.json("senders", get=1)
        assert [(one["sender"], one["cmt"]) for one in names] == [("ACME", ""), ("NEWS", "more papers")]
        assert await client.json("get", get_senders=1) == [{"sender": "ACME"}, {"sender": "NEWS"}]
        assert await client.json("senders", **{"del": 1, "sender": "NEWS"}) == {"result": "OK"}
        assert (await client.send(PHONE, sender="NEWS"))["error_code"] == 6


async def test_a_phone_becomes_a_sender_by_a_code(client):
    """Section 8.5: the code arrives on the handset."""
    assert await client.json("senders", send_code=1, sender=PHONE) == {"result": "OK"}
    code = client.simulator.inbox[0]["text"].removeprefix("Code: ")
    assert (await client.json("senders", check_code=1, sender=PHONE, code="wrong"))["error_code"] == 5
    assert await client.json("senders", check_code=1, sender=PHONE, code=code) == {"result": "OK"}
    assert PHONE in [one["sender"] for one in await client.json("senders", get=1)]


async def test_the_list_of_names_may_be_asked_for_three_times_a_minute(strict):
    """Section 1.7."""
    answers = [await strict.json("senders", get=1) for _ in range(4)]
    assert [isinstance(one, list) for one in answers] == [True, True, True, False]
    assert answers[3]["error_code"] == 9
    assert isinstance(await strict.json("senders", get=1, cnt=5), list)


# ----------------------------------------------------------------------------------------------- 8.6 jobs.php
async def test_a_mailing_waits_and_may_be_stopped(client):
    """Section 8.6: its messages then have status -2 and never go out."""
    added = await client.json("jobs", add=1, name="night", phones=f"{PHONE},{OTHER}", mes="Hello", id=50, time="+60")
    assert added == {"id": 50, "cnt": 2}
    assert [(job["id"], job["name"]) for job in await client.json("jobs", get_all=1)] == [("50", "night")]
    assert await client.json("jobs", cancel=1, id=50) == {"result": "OK"}
    client.clock.advance(4000)
    assert (await client.json("status", phone=PHONE, id=50))["status"] == -2
    assert (await client.json("jobs", get=1, id=50))[0]["status"] == "cancelled"
    assert (await client.json("jobs", cancel=1, id=50))["error_code"] == 5
    assert await client.json("jobs", **{"del": 1, "id": 50}) == {"result": "OK"}
    assert (await client.json("jobs", get=1, id=50))["error_code"] == 3


async def test_a_mailing_by_template_and_its_prices(client):
    """``tpl`` is a text kept before; ``cost`` answers as send does, and 1 makes no mailing."""
    await client.json("templates", add=1, name="t", msg="Kept text")
    assert await client.json("jobs", add=1, name="n", phones=PHONE, tpl=1, cost=1) == {"cost": "1.4", "cnt": 1}
    assert (await client.json("jobs", get_all=1))["error_code"] == 3
    answer = await client.json("jobs", add=1, name="n", phones=PHONE, tpl=1, cost=3)
    assert answer == {"id": 1, "cnt": 1, "cost": "1.4", "balance": "998.6"}
    assert client.simulator.inbox[0]["text"] == "Kept text"
    assert (await client.json("jobs", add=1, name="n", phones=PHONE, mes="x", rpt=8))["error_code"] == 1


# ---------------------------------------------------------------------------------------------- 8.7 users.php
async def test_a_sub_account_has_money_of_its_own(client):
    """Section 8.7: added, paid, signed in with, billed."""
    assert await client.json("users", add=1, user="branch", password="secret", sender="BRANCH") == {"result": "OK"}
    assert (await client.json("users", add=1, user="branch", password="x"))["error_code"] == 8
    assert await client.json("users", pay=1, user="branch", sum="10") == {"result": "OK"}
    assert (await client.json("users", pay=1, user="branch", sum="5000"))["error_code"] == 10
    assert (await client.json("users", pay=1, user="nobody", sum="1"))["error_code"] == 6
    sent = await client.send(PHONE, login="branch", psw="secret", cost=3)
    assert sent["balance"] == "8.6"
    assert client.simulator.inbox[0]["sender"] == "BRANCH"
    assert await client.json("balance") == {"balance": "990.00"}
    assert await client.json("users", get_stat_all=1) == [
        {"login": "branch", "balance": "8.60", "cnt": 1, "credit": "1.40", "debit": "0.00", "currency": "RUR"}
    ]
    assert (await client.json("users", get_stat=1, user="branch"))[0]["cnt"] == 1
    assert await client.json("users", chg=1, user="branch", password="other") == {"result": "OK"}
    assert (await client.json("balance", login="branch", psw="secret"))["error_code"] == 2
    assert (await client.json("balance", login="branch", psw="other"))["balance"] == "8.60"
    assert await client.json("users", chg=1, user="branch", **{"fl[4]": 1}) == {"result": "OK"}
    assert (await client.json("users", pay=1, user="branch", sum="1"))["error_code"] == 7
    assert (await client.json("users", get_stat=1, user="nobody"))["error_code"] == 3


async def test_a_sub_account_in_test_mode_sends_nothing(client):
    """Section 8.1: ``fl2[27]``."""
    await client.json("users", add=1, user="trial", password="secret", **{"fl2[27]": 1})
    assert (await client.send(PHONE, login="trial", psw="secret", cost=3, id=4))["cost"] == "0"
    client.clock.advance(4)
    found = await client.json("status", phone=PHONE, id=4, login="trial", psw="secret")
    assert (found["status"], found["err"]) == (20, 200)


async def test_a_sub_account_may_be_changed_three_times_a_minute():
    """Section 1.7."""
    async with running(SimulatorSettings(limits=Limits(bad_logins=None))) as client:
        codes = [(await client.json("users", add=1, user="abc", password="x")).get("error_code")]
        codes += [(await client.json("users", chg=1, user="abc", fio=str(n))).get("error_code") for n in range(3)]
        assert codes == [None, None, None, 9]


# ---------------------------------------------------------------------------------------------- 8.8 to 8.10
@pytest.mark.parametrize(
    ("fmt", "expected"), [(0, "OK"), (1, "OK"), (2, "<result>OK</result>"), (3, '{"result":"OK"}')]
)
async def test_event_notification(client, fmt, expected):
    """Section 8.8."""
    assert await client.text("ping", id=5, name="disk", ok=1, fmt=fmt) == expected


async def test_wait_call(client):
    """Section 8.9: the answer's shape, and refusals."""
    assert await client.json("wait_call", phone=PHONE) == {
        "phone": "79990000099", "all_phones": ["79990000099", "79990000098"],
    }  # fmt: skip
    assert (await client.json("wait_call", phone="7999"))["error_code"] == 5


async def test_short_links_count_their_clicks(client):
    """Sections 2.2 and 8.10: a link is short in the text; followed, its message has status 4."""
    await client.send(PHONE, "see http://example.org/a?b=1 now", id=1, tinyurl=1)
    assert client.simulator.inbox[0]["text"] == "see https://smsc.ru/-1 now"
    client.clock.advance(4)
    async with client.http.post(f"{client.simulator.url}/control/clicks", json={"link": "https://smsc.ru/-1"}) as done:
        assert (done.status, await done.json()) == (201, {"clicks": 1})
    expected = [{"id": 1, "url": "http://example.org/a?b=1", "link": "https://smsc.ru/-1", "cnt": 1}]
    assert await client.json("tinyurls", get=1, link="https://smsc.ru/-1") == expected
    assert await client.json("tinyurls", get=1, id=1) == expected
    assert (await client.json("status", phone=PHONE, id=1))["status"] == 4
    assert (await client.json("tinyurls", get=1, id=9))["error_code"] == 3


async def test_rented_numbers(client):
    """Section 8.10: one is there, others are rented, both may be let go."""
    assert await client.json("receive_phones", buy=1, phone="+79037672299") == {"result": "OK"}
    assert (await client.json("receive_phones", buy=1, phone="+79037672299"))["error_code"] == 5
    assert await client.json("receive_phones", chg=1, phone="79037672299", noprolong=1) == {"result": "OK"}
    numbers = {one["phone"]: one["noprolong"] for one in await client.json("receive_phones", get=1)}
    assert numbers == {"79037672215": 0, "79037672299": 1}
    assert (await client.json("receive_phones", chg=1, phone=PHONE))["error_code"] == 3


async def test_invoices_and_acts(client):
    """Section 8.10: an invoice is found again, and an act under its number."""
    assert await client.json("documents", add_account=1, sum="1500.5", service="SMS") == {"id": 1}
    (invoice,) = await client.json("documents", get_account=1)
    assert (invoice["sum"], invoice["service"]) == ("1500.50", "SMS")
    assert await client.json("documents", get_act=1, num=1) == [invoice]
    assert (await client.json("documents", get_act=1, num=2))["error_code"] == 3
    assert (await client.json("documents", add_account=1, sum="-1"))["error_code"] == 1


async def test_what_one_account_keeps_another_does_not_see():
    """Books are kept apart."""
    accounts = (AccountSettings(), AccountSettings(login="acme", password="acme", balance=Decimal(5)))
    async with running(SimulatorSettings(accounts=accounts, limits=UNLIMITED)) as client:
        for method, params in PREPARED:
            await client.json(method, **params)
        for method, ask in [("phones", "get"), ("templates", "get"), ("users", "get_stat_all"), ("jobs", "get_all")]:
            assert (await client.json(method, login="acme", psw="acme", **{ask: 1}))["error_code"] == 3
        assert (await client.json("users", login="acme", psw="acme", pay=1, user="branch", sum="1"))["error_code"] == 6


def test_the_simulator_keeps_only_so_much():
    """The oldest record goes when there are too many."""
    shelf = Simulator(SimulatorSettings(keep=3)).carrier.books.of("demo").templates
    for number in range(5):
        shelf.add(name=str(number))
    assert [record["name"] for record in shelf] == ["2", "3", "4"]
    assert (len(shelf), shelf.get("1"), shelf.get("٣")) == (3, None, None)
