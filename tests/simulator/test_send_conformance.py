"""send.php answers as smsc-api.md sections 2 and 3 say, in every format."""

import hashlib
from decimal import Decimal

import aiohttp
import pytest

from mailbridge.simulator.settings import AccountSettings, SimulatorSettings
from tests.support.simulator import UNLIMITED, running

ONE = {"phones": "+79990000001", "mes": "Hello", "id": "1234"}


@pytest.fixture
async def client():
    """Balance and price of the examples in section 2.4."""
    account = AccountSettings(balance=Decimal("101.90"))
    async with running(SimulatorSettings(accounts=(account,), limits=UNLIMITED)) as ready:
        yield ready


@pytest.mark.parametrize(
    ("fmt", "cost", "expected"),
    [
        (0, 0, "OK - 1 SMS, ID - 1234"),
        (0, 1, "1.40 (1 SMS)"),
        (0, 2, "OK - 1 SMS, ID - 1234, COST - 1.40"),
        (0, 3, "OK - 1 SMS, ID - 1234, COST - 1.40, BALANCE - 100.50"),
        (1, 0, "1234,1"),
        (1, 1, "1.40,1"),
        (1, 2, "1234,1,1.40"),
        (1, 3, "1234,1,1.40,100.50"),
        (2, 0, "<result><id>1234</id><cnt>1</cnt></result>"),
        (2, 1, "<result><cost>1.4</cost><cnt>1</cnt></result>"),
        (2, 2, "<result><id>1234</id><cnt>1</cnt><cost>1.4</cost></result>"),
        (2, 3, "<result><id>1234</id><cnt>1</cnt><cost>1.4</cost><balance>100.5</balance></result>"),
        (3, 0, '{"id":1234,"cnt":1}'),
        (3, 1, '{"cost":"1.4","cnt":1}'),
        (3, 2, '{"id":1234,"cnt":1,"cost":"1.4"}'),
        (3, 3, '{"id":1234,"cnt":1,"cost":"1.4","balance":"100.5"}'),
    ],
)
async def test_success(client, fmt, cost, expected):
    """Section 2.4: success for each format and cost."""
    assert await client.text("send", fmt=fmt, cost=cost, **ONE) == expected


@pytest.mark.parametrize(
    ("fmt", "expected"),
    [
        (0, "ERROR = 1 (parameters error)"),
        (1, "0,-1"),
        (2, "<result><error>parameters error</error><error_code>1</error_code></result>"),
        (3, '{"error":"parameters error","error_code":1}'),
    ],
)
async def test_error_without_id(client, fmt, expected):
    """Section 2.7: codes 1, 2, 4, 5 and 9 carry no id."""
    assert await client.text("send", fmt=fmt, id=175, phones="+79990000001") == expected


@pytest.mark.parametrize(
    ("fmt", "expected"),
    [
        (0, "ERROR = 7 (invalid number), ID - 175"),
        (1, "175,-7"),
        (2, "<result><error>invalid number</error><error_code>7</error_code><id>175</id></result>"),
        (3, '{"error":"invalid number","error_code":7,"id":175}'),
    ],
)
async def test_error_with_id(client, fmt, expected):
    """Section 2.7: codes 3, 6, 7 and 8 carry the id."""
    assert await client.text("send", fmt=fmt, id=175, phones="7999", mes="Hello") == expected


async def test_phones_of_a_mixed_request(client):
    """Section 2.4: op=1 tells of all numbers, err=1 of bad ones, and one good number is enough."""
    both = "79990000001,7999"
    bad = {"phone": "7999", "mccmnc": "", "cost": "0", "status": "22", "error": "249"}
    good = {"phone": "79990000001", "mccmnc": "25001", "cost": "1.4"}
    assert await client.send(both, id=1234, cost=2, op=1, err=1) == {
        "id": 1234, "cnt": 1, "cost": "1.4", "phones": [good, bad],
    }  # fmt: skip
    assert (await client.send(both, err=1))["phones"] == [bad]
    assert "phones" not in await client.send(both)
    assert "phones" not in await client.send("79990000001", err=1)


async def test_the_refused_number_of_a_mixed_request_has_its_status_at_once(client):
    """Section 2.8: refusals inside a request show in status.php."""
    await client.send("79990000001,7999", id=5)
    assert (await client.json("status", phone="7999", id=5))["status"] == 22


async def test_json_variant(client):
    """Section 2.9: /rest/send/ takes JSON with numbers, in UTF-8, and answers JSON."""
    body = {"apikey": "demo-key", "phones": "79990000001,79990000002", "mes": "Привет", "cost": 3}
    async with client.http.post(client.simulator.url + "/rest/send/", json=body) as response:
        assert response.content_type == "application/json"
        assert await response.json() == {"id": 1, "cnt": 2, "cost": "2.8", "balance": "99.1"}
    assert client.simulator.inbox[0]["text"] == "Привет"


async def test_official_library(client):
    """The official Python library's calls: POST, fmt=1, md5 of the password, id=0."""
    common = {"psw": hashlib.md5(b"demo").hexdigest(), "fmt": 1, "charset": "utf-8"}
    sent = await client.text("send", cost=3, phones="79990000001", mes="Hi", translit=0, id=0, time=0, **common)
    assert sent.split(",") == ["1", "1", "1.40", "100.50"]
    client.clock.advance(5)
    assert (await client.text("status", phone="79990000001", id=1, all=0, **common)).split(",")[0::2] == ["1", "0"]
    full = (await client.text("status", phone="79990000001", id=1, all=1, **common)).split(",", 8)
    assert len(full) == 9
    assert full[4] == "79990000001"
    assert full[8] == "Hi"
    assert len((await client.text("status", phone="79990000001", id=1, all=2, **common)).split(",", 11)) == 12
    assert await client.text("balance", **common) == "100.50"


@pytest.mark.parametrize("method", ["send", "status", "balance", "get", "info"])
@pytest.mark.parametrize(
    "wrong", [{"psw": "no"}, {"login": "who"}, {"psw": None}, {"login": None, "psw": None}, {"apikey": "x"}]
)
async def test_wrong_credentials(client, method, wrong):
    """Section 1.4: anything wrong is error 2."""
    assert await client.json(method, **wrong) == {"error": "authorise error", "error_code": 2}


@pytest.mark.parametrize(
    "right",
    [
        {"psw": "demo"},
        {"psw": hashlib.md5(b"demo").hexdigest()},
        {"psw": hashlib.sha1(b"demo").hexdigest()},
        {"psw": hashlib.md5(b"demo").hexdigest().upper()},
        {"apikey": "demo-key", "login": None, "psw": None},
        {"apikey": "demo-key", "psw": None},
        {"login": "", "psw": "demo-key"},
    ],
)
async def test_right_credentials(client, right):
    """Section 1.4: every way to sign in."""
    assert "balance" in await client.json("balance", **right)


async def test_get_with_credentials_in_the_query_is_answered_and_noted(client):
    """Section 1.3: GET and POST are equal, a body wins over the query, and the ledger tells where credentials stood."""
    query = "login=demo&psw=demo&phones=79990000001&mes=query&fmt=3"
    async with client.http.get(f"{client.simulator.url}/sys/send.php?{query}") as response:
        assert await response.json() == {"id": 1, "cnt": 1}
    async with client.http.post(f"{client.simulator.url}/sys/send.php?{query}", data={"mes": "body"}) as response:
        assert await response.json() == {"id": 2, "cnt": 1}
    assert [message["text"] for message in client.simulator.inbox] == ["body", "query"]
    entries = await client.get("/requests.json")
    assert [entry["credentials_in"] for entry in entries] == ["query", "query"]
    assert "psw" not in str(entries)


@pytest.mark.parametrize("charset", ["windows-1251", "koi8-r", "utf-8"])
async def test_charsets_in_and_out(client, charset):
    """Section 1.5: request and answer are in the charset named; windows-1251 where none is."""
    body = b"login=demo&psw=demo&phones=79990000001&id=7&mes=" + "Привет".encode(charset)
    named = b"" if charset == "windows-1251" else f"&charset={charset}".encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    url = client.simulator.url
    async with client.http.post(url + "/sys/send.php", data=body + named, headers=headers) as response:
        assert await response.text() == "OK - 1 SMS, ID - 7"
    assert client.simulator.inbox[0]["text"] == "Привет"
    status = b"login=demo&psw=demo&phone=79990000001&id=7&all=1&fmt=3" + named
    async with client.http.post(url + "/sys/status.php", data=status, headers=headers) as response:
        assert "Привет".encode(charset) in await response.read()
        assert response.charset == charset


async def test_multipart(client):
    """Section 1.3: forms with files are read, the files dropped."""
    form = aiohttp.FormData()
    for name, value in {
        "login": "demo",
        "psw": "demo",
        "phones": "79990000001",
        "charset": "utf-8",
        "fmt": "1",
    }.items():
        form.add_field(name, value)
    form.add_field("mes", "\0@Привет")
    form.add_field("file0", b"x" * 5000, filename="a.bin")
    async with client.http.post(client.simulator.url + "/sys/send.php", data=form) as response:
        assert await response.text() == "1,1"
    assert client.simulator.inbox[0]["text"] == "@Привет"


@pytest.mark.parametrize(
    "wrong",
    [
        {"mes": ""}, {"phones": ""}, {"phones": ","}, {"id": "no spaces"}, {"id": "x" * 41}, {"cost": 4}, {"translit": 3},
        {"valid": "25"}, {"valid": "24:01"}, {"valid": "00:00"}, {"valid": "01:60"}, {"maxsms": "many"}, {"tz": "far"},
        {"charset": "latin-1"}, {"mes": "x" * 1001}, {"list": "no colon"},
    ],
)  # fmt: skip
async def test_bad_parameters(client, wrong):
    """Section 2.2: each parameter outside its values is error 1."""
    assert (await client.json("send", **(ONE | wrong)))["error_code"] == 1


async def test_bad_bytes(client):
    """A text that is not in the charset it claims is error 1, never a guess."""
    body = b"login=demo&psw=demo&phones=79990000001&charset=utf-8&mes=%ff%fe"
    async with client.http.post(
        client.simulator.url + "/sys/send.php", data=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
    ) as response:
        assert await response.text() == "ERROR = 1 (parameters error)"


async def test_money(client):
    """Cost leaves the balance, and what it does not cover is error 3."""
    await client.send("+79990000001", "я" * 71, cost=3)
    assert client.simulator.carrier.accounts.get("demo").balance == Decimal("99.10")
    await client.fault(balance="2.79")
    assert (await client.send("+79990000001,+79990000002"))["error_code"] == 3
    assert (await client.send("+79990000001"))["cnt"] == 1


async def test_virtual_mode():
    """Section 8.1: nothing is charged and the message ends with err 200."""
    account = AccountSettings(virtual=True)
    async with running(SimulatorSettings(accounts=(account,), limits=UNLIMITED)) as client:
        answer = await client.send("+79990000001", cost=3, op=1, id=9)
        assert answer == {
            "id": 9, "cnt": 1, "cost": "0", "balance": "1000", "phones": [{"phone": "79990000001", "mccmnc": "25001"}],
        }  # fmt: skip
        client.clock.advance(5)
        assert (await client.json("status", phone="79990000001", id=9))["err"] == 200


async def test_flash_call_code(client):
    """Section 2.4: a call that dictates its own code tells it."""
    assert len((await client.send("+79990000001", "code", call=1))["code"]) == 6


@pytest.mark.parametrize("sender", ["Twelve chars", "Имя", "1234567890123456"])
async def test_sender_rule(client, sender):
    """Section 9.3: a name of the wrong form is error 6."""
    assert (await client.send("+79990000001", sender=sender))["error_code"] == 6


@pytest.mark.parametrize(
    ("sender", "shown"), [("ALERT", "ALERT"), ("", ""), (".", ""), (None, "SMSC.RU"), ("79031234567", "79031234567")]
)
async def test_sender_shown(client, sender, shown):
    """Section 2.2: empty or a dot switches the default name off."""
    await client.send("+79990000001", sender=sender)
    assert client.simulator.inbox[0]["sender"] == shown


async def test_approved_senders():
    """A name that is not among the approved ones is error 6."""
    account = AccountSettings(senders=("ACME",))
    async with running(SimulatorSettings(accounts=(account,), limits=UNLIMITED)) as client:
        assert (await client.send("+79990000001", sender="OTHER"))["error_code"] == 6
        assert (await client.send("+79990000001", sender="ACME"))["cnt"] == 1
