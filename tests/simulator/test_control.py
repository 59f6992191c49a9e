"""Faults of the account, and the pages that show what was received."""

import asyncio
import io

import aiohttp
import pytest

from mailbridge.simulator.server import Simulator, run
from mailbridge.simulator.settings import SimulatorSettings
from tests.support.simulator import UNLIMITED, running

PHONE = "+79990000001"


async def test_code_some_times(client):
    """The next three requests are answered with a code."""
    await client.fault(code=3, times=3)
    answers = [await client.send(PHONE, id=5) for _ in range(4)]
    assert [answer.get("error_code") for answer in answers] == [3, 3, 3, None]
    assert answers[0]["id"] == 5
    assert (await client.get("/control/faults"))["faults"] == []


async def test_code_until_cleared(client):
    """A rule without end, for every method, until DELETE."""
    await client.fault(code=2)
    for method in ("send", "status", "balance", "get", "info"):
        assert await client.json(method) == {"error": "authorise error", "error_code": 2}
    async with client.http.delete(client.simulator.url + "/control/faults") as response:
        assert response.status == 200
    assert "balance" in await client.json("balance")


async def test_only_some_methods_and_logins_and_later(client):
    """methods, login and skip narrow a rule."""
    await client.fault(code=4, methods=["balance"], login="demo", skip=1)
    assert "balance" in await client.json("balance")
    assert (await client.json("balance"))["error_code"] == 4
    assert "id" in await client.send(PHONE)


async def test_balance_is_forced_and_given_back(client):
    """Balance sets it, DELETE gives back what it was."""
    await client.fault(balance="0")
    assert (await client.send(PHONE))["error_code"] == 3
    assert await client.json("balance") == {"balance": "0.00"}
    await client.http.delete(client.simulator.url + "/control/faults")
    assert await client.json("balance") == {"balance": "1000.00"}


@pytest.mark.parametrize(("stage", "accepted"), [("before", 0), ("after", 1)])
async def test_wire(client, stage, accepted):
    """A wire fault for any number, before or after the request is processed."""
    await client.fault(wire="empty", stage=stage, methods=["send"], times=1)
    assert await client.text("send", phones=PHONE, mes="x") == ""
    assert len(client.simulator.inbox) == accepted


async def test_delay(client):
    """A delay is waited on the clock."""
    await client.fault(delay_s=5, times=1)
    asking = asyncio.create_task(client.json("balance"))
    await client.clock.sleeping()
    client.clock.advance(5)
    assert "balance" in await asking


async def test_probability(client):
    """A share of the requests is hit."""
    client.simulator.carrier.random.seed(1)
    await client.fault(code=9, probability=0.5)
    hits = sum(["error_code" in await client.json("balance") for _ in range(100)])
    assert 30 < hits < 70


@pytest.mark.parametrize(
    "rule",
    [
        {"what": 1}, {"code": "3"}, {"code": True}, {"code": 0}, {"wire": "melt"}, {"stage": "never"}, {"times": 0},
        {"probability": 2}, {"delay_s": -1}, {"methods": ["fly"]}, {"methods": 3}, {"methods": []}, {"login": "nobody"},
        {"balance": "much"}, {"balance": "Infinity"}, {"text": 1}, [], "x",
    ],
)  # fmt: skip
async def test_bad_rules(client, rule):
    """A rule that makes no sense is refused with a reason."""
    async with client.http.post(client.simulator.url + "/control/faults", json=rule) as response:
        assert response.status == 400
        assert await response.text()
    assert (await client.get("/control/faults"))["faults"] == []


async def test_control_takes_json_only(client):
    """What a foreign page in a browser could send unasked is refused."""
    async with client.http.post(client.simulator.url + "/control/faults", data=b'{"code": 2}') as response:
        assert response.status == 415


async def test_accounts(client):
    """Money and counters, no secrets."""
    await client.send(PHONE)
    accounts = await client.get("/control/accounts")
    assert accounts["accounts"] == [
        {"login": "demo", "balance": "998.60", "currency": "RUR", "spent": "1.40", "parts_sent": 1}
    ]
    assert accounts["peak_concurrency"] == 1


async def test_messages_page(client):
    """Newest first, with everything a check needs and no password; DELETE forgets."""
    await client.send(PHONE, "Привет", sender="ACME", id=7, translit=1)
    await client.send(PHONE, "second")
    second, first = await client.get("/messages.json")
    assert second["text"] == "second"
    assert {name: first[name] for name in ("phone", "sender", "text", "mes", "id", "translit", "parts", "alphabet")} == {
        "phone": PHONE, "sender": "ACME", "text": "Privet", "mes": "Привет", "id": "7", "translit": 1, "parts": 1,
        "alphabet": "gsm",
    }  # fmt: skip
    assert (first["status"], first["err"], first["cost"], first["login"]) == (-1, 0, "1.40", "demo")
    assert first["received_at"] == "2026-03-02T09:00:00.000Z"
    assert "psw" not in first
    assert len(await client.get("/messages.json?limit=1")) == 1
    async with client.http.delete(client.simulator.url + "/messages.json") as response:
        assert response.status == 204
    assert await client.get("/messages.json") == []


async def test_ledger(client):
    """Requests with their answers, without credentials; DELETE forgets."""
    await client.send(PHONE, "x", id=7)
    (entry,) = await client.get("/requests.json")
    assert entry["params"] == {"charset": "utf-8", "fmt": "3", "phones": PHONE, "mes": "x", "id": "7"}
    assert (entry["answer"], entry["http_method"], entry["path"]) == ('{"id":7,"cnt":1}', "POST", "/sys/send.php")
    await client.http.delete(client.simulator.url + "/requests.json")
    assert await client.get("/requests.json") == []


async def test_page(client):
    """The page shows texts as text, under a strict policy, with its own style and script."""
    await client.send(PHONE, "<script>alert(1)</script>\n~~~\n<b>")
    await client.fault(code=9, methods=["get"])
    async with client.http.get(client.simulator.url + "/") as response:
        html = await response.text()
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script>alert" not in html
    assert "&lt;b&gt;" in html
    assert "code=9" in html
    for name in ("page.css", "page.js"):
        assert f"/static/{name}" in html
        async with client.http.get(f"{client.simulator.url}/static/{name}") as response:
            assert response.status == 200
    async with client.http.get(client.simulator.url + "/static/..%2fserver.py") as response:
        assert response.status == 404


async def test_only_the_newest_are_kept():
    """Memory is bounded, and what is forgotten is not found."""
    async with running(SimulatorSettings(keep=3, limits=UNLIMITED)) as client:
        for number in range(5):
            await client.send(f"+7999000000{number}", id=1)
        assert [message["phone"][-1] for message in client.simulator.inbox] == ["4", "3", "2"]
        assert (await client.json("status", phone="79990000000", id=1))["status"] == -3
        assert len(await client.get("/requests.json")) == 3


async def test_huge_bodies(client):
    """A body over the limit is not read to its end."""
    form = io.BytesIO(b"mes=" + b"x" * 1_100_000)
    async with client.http.post(client.simulator.url + "/sys/send.php", data=form) as response:
        assert response.status == 413


async def test_run_serves_until_cancelled():
    """The verb's coroutine tells when it listens, and stops cleanly."""
    ready = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(run("127.0.0.1", 0, on_ready=ready.set_result))
    url = (await ready).url
    async with aiohttp.ClientSession() as http, http.get(url + "/messages.json") as response:
        assert await response.json() == []
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


async def test_a_taken_port_is_told():
    """A second simulator on the same port does not start."""
    async with Simulator() as first:
        with pytest.raises(OSError, match="address"):
            await Simulator(port=first.port).start()


async def test_starting_can_be_given_up():
    """Nothing stays open when somebody cancels the start."""
    serving = asyncio.create_task(run("127.0.0.1", 0))
    await asyncio.sleep(0)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
