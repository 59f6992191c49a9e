"""Corners of parameters and answers that no example of the description shows."""

from decimal import Decimal

import pytest

from mailbridge.simulator.settings import AccountSettings, SimulatorSettings
from tests.support.simulator import UNLIMITED, running

PHONE = "+79990000001"


@pytest.mark.parametrize(
    ("fmt", "expected"),
    [
        (1, "&#128512; я".encode("cp1251")),
        (2, "&#128512; я".encode("cp1251")),
        (3, "\\ud83d\\ude00 я".encode("cp1251")),
    ],
)
async def test_nothing_turns_into_a_question_mark(client, fmt, expected):
    """What a charset can't say is escaped, not lost."""
    await client.send(PHONE, "😀 я", id=1)
    _, body, _ = await client.raw("status", phone=PHONE, id=1, all=1, fmt=fmt, charset="windows-1251")
    assert expected in body
    if fmt == 2:
        assert body.startswith(b'<?xml version="1.0" encoding="windows-1251"?>')


async def test_bad_date_is_error_5(client):
    """A moment that can't be read is error 5, after the parameters, before the number."""
    assert (await client.send("7999", time="soon"))["error_code"] == 5
    assert (await client.send("7999", time="soon", cost=9))["error_code"] == 1


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"flash": True, "sender": None, "translit": 1.0}, 1), ({"flash": True, "sender": None}, None), ({"phones": ["x"]}, 1),
        ({"mes": "\ud800"}, 1), ({"mes": None}, 1), ({"valid": 2, "time": 0}, None),
    ],
)  # fmt: skip
async def test_json_values(client, more, code):
    """Numbers, booleans and null are taken; lists and half characters are error 1."""
    body = {"apikey": "demo-key", "phones": PHONE, "mes": "x"} | more
    async with client.http.post(client.simulator.url + "/rest/send/", json=body) as response:
        assert (await response.json()).get("error_code") == code


@pytest.mark.parametrize("body", ["[]", "{", '"x"', "[" * 100_000, '{"id":' + "1" * 5000 + "}", ""])
async def test_bad_json(client, body):
    """What is no object is an error, never a failure of ours."""
    headers = {"Content-Type": "application/json"}
    async with client.http.post(client.simulator.url + "/rest/send/", data=body, headers=headers) as response:
        assert response.status == 200
        assert (await response.json())["error_code"] == 1


async def test_json_control_must_be_json(client):
    """The control page says what is wrong with a body."""
    url, headers = client.simulator.url + "/control/answers", {"Content-Type": "application/json"}
    for body in ("{", "[]", '{"phone": 1, "mes": "x"}', '{"phone": "+7", "mes": "x", "login": "nobody"}'):
        async with client.http.post(url, data=body, headers=headers) as response:
            assert response.status == 400


async def test_multipart_over_the_limit():
    """Files count, too."""
    async with running(SimulatorSettings(max_body_bytes=10_000)) as client:
        body = (
            b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n' + b"y" * 20_000 + b"\r\n--x--\r\n"
        )
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        async with client.http.post(client.simulator.url + "/sys/send.php", data=body, headers=headers) as response:
            assert response.status == 413


async def test_credit_is_money_too():
    """An account with credit may go below zero, and tells of it."""
    account = AccountSettings(balance=Decimal(1), credit=Decimal(1))
    async with running(SimulatorSettings(accounts=(account,), limits=UNLIMITED)) as client:
        assert (await client.send(PHONE, cost=3))["balance"] == "-0.4"
        assert await client.json("balance", cur=1) == {"balance": "-0.40", "credit": "1.00", "currency": "RUR"}
        assert (await client.send(PHONE, "more"))["error_code"] == 3


async def test_accounts_are_apart():
    """Each login has its own money, ids and messages."""
    accounts = (AccountSettings(), AccountSettings(login="acme", password="secret", apikeys=()))
    async with running(SimulatorSettings(accounts=accounts, limits=UNLIMITED)) as client:
        assert (await client.send(PHONE, id=77))["id"] == 77
        assert await client.send(PHONE, login="acme", psw="secret") == {"id": 1, "cnt": 1}
        assert (await client.json("status", phone=PHONE, id=77, login="acme", psw="secret"))["status"] == -3
        assert (await client.json("get", get_messages=1))[0]["id"] == "77"


async def test_a_mistake_of_ours_is_a_500(client):
    """A method that fails takes nothing else down."""
    client.simulator.carrier.accounts.get("demo").balance = None
    status, _, _ = await client.raw("balance")
    assert status == 500
    assert "error_code" not in await client.json("info", get_operator=1, phone=PHONE)
