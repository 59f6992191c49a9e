"""Every magic number does what its table says, is a possible number, and stands in the reference page."""

import asyncio
import json
from pathlib import Path

import aiohttp
import phonenumbers
import pytest

from mailbridge.simulator.magic import ERR_STATUS, ODD, REFUSAL_CODE, SERIES, USUAL_ERR, WIRE, Series, fate_of
from mailbridge.simulator.settings import SimulatorSettings
from tests.support.simulator import UNLIMITED, running

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "simulator.md"


def number(series: int, argument: int) -> str:
    """Return +7 999 000 SS NN."""
    return f"+7999000{series:02}{argument:02}"


def err_number(err: int) -> str:
    """Return +7 999 001 0 EEE."""
    return f"+79990010{err:03}"


ALL = [
    *(number(Series.ERROR, code) for code in (*range(1, 10), 19, 42)),
    *(number(Series.STATUS, status) for status in (*USUAL_ERR, 0, 99)),
    *(number(series, status) for series in (Series.REFUSED,) for status in REFUSAL_CODE),
    *(number(series, fault) for series in (Series.WIRE_BEFORE, Series.WIRE_AFTER) for fault in WIRE),
    *(number(Series.ODD, odd) for odd in ODD),
    *(err_number(err) for err in ERR_STATUS),
]


@pytest.mark.parametrize("phone", ALL)
def test_possible(phone):
    """A bridge lets it through: a possible number of Russia."""
    parsed = phonenumbers.parse(phone, "RU")
    assert phonenumbers.is_possible_number(parsed)
    assert phonenumbers.is_valid_number_for_region(parsed, "RU")
    assert phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) == phone


def test_reference_page_repeats_the_tables():
    """docs/reference/simulator.md has every row of every table."""
    lines = set(PAGE.read_text(encoding="utf-8").splitlines())
    rows = [f"| {series:02} | {words} |" for series, words in SERIES.items()]
    rows += [f"| {status:02} | {err} |" for status, err in USUAL_ERR.items()]
    rows += [f"| {n:02} | `{name}` | {words} |" for table in (WIRE, ODD) for n, (name, words) in table.items()]
    assert [row for row in rows if row not in lines] == []


def test_every_series_is_described():
    """No series without words."""
    assert set(SERIES) == set(Series)


def test_ordinary_numbers():
    """Others are left alone."""
    assert {fate_of(digits).series for digits in ("79991234567", "79990009999", "7999", "")} == {Series.NORMAL}


async def test_switched_off():
    """magic=False makes them ordinary numbers."""
    async with running(SimulatorSettings(magic=False, limits=UNLIMITED)) as client:
        assert "id" in await client.send(number(1, 7))


@pytest.mark.parametrize("code", range(1, 10))
async def test_error(client, code):
    """Series 01: the whole request, whoever else is in it; nothing is accepted."""
    answer = await client.send(f"+79990000001,{number(Series.ERROR, code)}", id=5, op=1, err=1)
    assert answer["error_code"] == code
    assert answer.get("id") == (5 if code in {3, 6, 7, 8} else None)
    assert client.simulator.inbox == []


async def test_other_errors(client):
    """Series 01: 19 is concurrency, others are codes nobody knows."""
    assert await client.send(number(1, 19)) == {"error": "too many concurrent requests", "error_code": 9}
    assert await client.send(number(1, 42)) == {"error": "unknown error", "error_code": 42}


@pytest.mark.parametrize("status", [*USUAL_ERR, 0, 99])
async def test_status(client, status):
    """Series 02: accepted, and that is how it ends."""
    phone = number(Series.STATUS, status)
    assert "id" in await client.send(phone, id=1)
    client.clock.advance(1000)
    answer = await client.json("status", phone=phone, id=1)
    assert answer["status"] == {99: -1}.get(status, status)
    assert answer["err"] == USUAL_ERR.get(status, 0)


@pytest.mark.parametrize("err", ERR_STATUS)
async def test_err(client, err):
    """+7 999 001 0 EEE: that err, with its status."""
    await client.send(err_number(err), id=1)
    client.clock.advance(10)
    answer = await client.json("status", phone=err_number(err), id=1)
    assert (answer["err"], answer["status"]) == (err, ERR_STATUS[err])


@pytest.mark.parametrize(("status", "code"), REFUSAL_CODE.items())
async def test_refused(client, status, code):
    """Series 03: a row of phones[] beside others, an error alone."""
    phone = number(Series.REFUSED, status)
    answer = await client.send(f"+79990000001,{phone}", err=1, id=1, cost=3)
    assert answer["phones"] == [
        {"phone": phone[1:], "mccmnc": "" if status == 22 else "25001", "cost": "0",
         "status": str(status), "error": str(USUAL_ERR[status])},
    ]  # fmt: skip
    assert (answer["cnt"], answer["cost"]) == (1, "1.4")
    assert (await client.json("status", phone=phone, id=1))["status"] == status
    assert (await client.send(phone))["error_code"] == code


async def test_once(client):
    """Series 04: refused, accepted, and so on."""
    answers = [await client.send(number(Series.ONCE, 2)) for _ in range(4)]
    assert ["error_code" in answer for answer in answers] == [True, False, True, False]


async def test_slow(client):
    """Series 05: accepted at once, answered later."""
    asking = asyncio.create_task(client.send(number(Series.SLOW, 10), id=1))
    await client.clock.sleeping()
    assert len(client.simulator.inbox) == 1
    client.clock.advance(10)
    assert await asking == {"id": 1, "cnt": 1}


async def test_late(client):
    """Series 06: cut off now, accepted later; status.php does not know it in between."""
    phone = number(Series.LATE, 7)
    with pytest.raises(aiohttp.ClientError):
        await client.send(phone, id=1)
    client.clock.advance(6)
    assert (await client.json("status", phone=phone, id=1))["status"] == -3
    client.clock.advance(1)
    while not client.simulator.inbox:
        await asyncio.sleep(0)
    assert (await client.json("status", phone=phone, id=1))["status"] == -1


async def test_unseen(client):
    """Series 07: accepted, yet not found for a while."""
    phone = number(Series.UNSEEN, 30)
    await client.send(phone, id=1)
    client.clock.advance(29)
    assert (await client.json("status", phone=phone, id=1))["status"] == -3
    client.clock.advance(1)
    assert (await client.json("status", phone=phone, id=1))["status"] == 1


async def test_lingering(client):
    """Series 12: the final status takes its time."""
    phone = number(Series.LINGERING, 60)
    await client.send(phone, id=1)
    client.clock.advance(59)
    assert (await client.json("status", phone=phone, id=1))["status"] == 0
    client.clock.advance(1)
    assert (await client.json("status", phone=phone, id=1))["status"] == 1


@pytest.mark.parametrize("code", [1, 7, 9])
async def test_plain_error(client, code):
    """Series 11: words instead of JSON."""
    answer = await client.text("send", phones=number(Series.PLAIN_ERROR, code), mes="x", id=5)
    assert answer.startswith(f"ERROR = {code} (")
    assert answer.endswith(", ID - 5") == (code == 7)


NO_ANSWER = {"close", "reset", "cut"}
BODIES = {
    "empty": (200, b""), "broken-json": (200, b'{"id":1,"cnt":'), "http-404": (404, b"404 Not Found"),
    "http-429": (429, b"429 Too Many Requests"), "http-500": (500, b"500 Internal"), "http-502": (502, b"502 Bad Gateway"),
    "http-503": (503, b"503 Service"), "http-302": (302, b""), "http-307": (307, b""), "html": (200, b"Welcome"),
    "garbage": (200, b"\r"),
}  # fmt: skip


@pytest.mark.parametrize("fault", [n for n, (name, _) in WIRE.items() if name in NO_ANSWER | BODIES.keys()])
@pytest.mark.parametrize("series", [Series.WIRE_BEFORE, Series.WIRE_AFTER])
async def test_wire(client, series, fault):
    """Series 08 and 09: the same faults, without and with acceptance."""
    name = WIRE[fault][0]
    asking = client.raw("send", phones=number(series, fault), mes="x", id=1)
    if name in NO_ANSWER:
        with pytest.raises(aiohttp.ClientError):
            await asking
    else:
        status, body, _ = await asking
        assert status == BODIES[name][0]
        assert BODIES[name][1] in body
    assert len(client.simulator.inbox) == (series is Series.WIRE_AFTER)
    entry = (await client.get("/requests.json"))[0]
    assert entry["fault"] == name
    assert (entry["answer"] is None) == (name != "cut")


async def test_hang(client):
    """The first wire fault: no answer until the client goes, and its place is free then."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.send(number(Series.WIRE_AFTER, 1)), 0.2)
    assert len(client.simulator.inbox) == 1


async def test_hang_ends_with_the_simulator():
    """Stopping does not wait for those who hang."""
    async with running() as client:
        asking = asyncio.create_task(client.send(number(Series.WIRE_BEFORE, 1)))
        while not list(client.simulator.ledger):
            await asyncio.sleep(0.001)
        await client.simulator.stop()
        with pytest.raises(aiohttp.ClientError):
            await asking


async def test_endless(client):
    """More than anybody wants to read."""
    url, form = client.simulator.url + "/sys/send.php", {"login": "demo", "psw": "demo", "mes": "x"}
    async with client.http.post(url, data=form | {"phones": number(Series.WIRE_BEFORE, 9)}) as response:
        assert len(await response.content.readexactly(1_000_000)) == 1_000_000


async def test_gzip_bomb(client):
    """Little on the wire, much in memory."""
    url, form = client.simulator.url + "/sys/send.php", {"login": "demo", "psw": "demo", "mes": "x"}
    form |= {"phones": number(Series.WIRE_BEFORE, 10)}
    async with aiohttp.ClientSession(auto_decompress=False) as http, http.post(url, data=form) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert len(await response.read()) < 100_000


async def test_trickle(client):
    """One byte a second."""
    asking = asyncio.create_task(client.text("send", phones=number(Series.WIRE_AFTER, 11), mes="x", fmt=1, id=1))
    for _ in "1,1":
        await client.clock.sleeping()
        client.clock.advance(1)
    assert await asking == "1,1"


async def test_redirect_is_seen_when_followed(client):
    """Whoever follows a 307 hands over the password, and is found out."""
    form = {"login": "demo", "psw": "demo", "phones": number(Series.WIRE_BEFORE, 37), "mes": "x"}
    async with client.http.post(client.simulator.url + "/sys/send.php", data=form) as response:
        await response.read()
    newest = (await client.get("/requests.json"))[0]
    assert (newest["path"], newest["fault"], newest["credentials_in"]) == ("/elsewhere/", "redirect-followed", "body")


@pytest.mark.parametrize(
    ("odd", "expected"),
    [
        ("strings", '{"id":"7","cnt":"1","cost":"1.4","balance":"998.6","phones":[{"phone":"PHONE","mccmnc":"25001","cost":"1.4"}]}'),
        ("numbers", '{"id":7,"cnt":1,"cost":1.4,"balance":998.6,"phones":[{"phone":"PHONE","mccmnc":"25001","cost":"1.4"}]}'),
        ("wrong-id", '{"id":999999999,"cnt":1,"cost":"1.4","balance":"998.6","phones":[{"phone":"PHONE","mccmnc":"25001","cost":"1.4"}]}'),
        ("no-parts", '{"id":7,"cnt":0,"cost":"1.4","balance":"998.6","phones":[{"phone":"PHONE","mccmnc":"25001","cost":"1.4"}]}'),
        ("no-id", '{"cnt":1,"cost":"1.4","balance":"998.6","phones":[{"phone":"PHONE","mccmnc":"25001","cost":"1.4"}]}'),
        ("plain", "OK - 1 SMS, ID - 7, COST - 1.40, BALANCE - 998.60"),
        ("no-phones", '{"id":7,"cnt":1,"cost":"1.4","balance":"998.6"}'),
        ("bare-ok", "OK"),
    ],
)  # fmt: skip
async def test_odd(client, odd, expected):
    """Series 10: right, but not as documented."""
    phone = next(number(Series.ODD, n) for n, (name, _) in ODD.items() if name == odd)
    assert await client.text("send", phones=phone, mes="x", id=7, cost=3, op=1) == expected.replace("PHONE", phone[1:])
    assert len(client.simulator.inbox) == 1


async def test_odd_extra(client):
    """Series 10: a byte order mark, blank lines and fields from the future around a good answer."""
    text = await client.text("send", phones=number(Series.ODD, 8), mes="x", id=7)
    assert text.startswith("\ufeff\r\n")
    answer = json.loads(text.strip("\ufeff\r\n"))
    assert (answer["id"], answer["cnt"]) == (7, 1)
    assert "новое поле" in answer
