"""The gateway's own limits: duplicates, rates, concurrency, blocked addresses (smsc-api.md section 1.7)."""

import asyncio

from mailbridge.simulator.settings import Limits, SimulatorSettings
from tests.support.simulator import running

PHONE = "79990000001"
DUPLICATE = {"error": "duplicate request, wait a minute", "error_code": 9}


async def test_identical_send_within_a_minute(strict):
    """The same send again is error 9 whatever its id, and fine after a minute."""
    assert "id" in await strict.send(PHONE, id=1)
    assert await strict.send(PHONE, id=2) == DUPLICATE
    assert "id" in await strict.send(PHONE, "Other", id=2)
    strict.clock.advance(59)
    assert await strict.send(PHONE, id=3) == DUPLICATE
    strict.clock.advance(2)
    assert "id" in await strict.send(PHONE, id=3)


async def test_a_refused_send_is_no_duplicate(strict):
    """Only accepted sends are remembered."""
    for _ in range(2):
        assert (await strict.send("7999"))["error_code"] == 7


async def test_the_id_can_make_a_difference():
    """A switch makes ``id`` part of the comparison."""
    async with running(SimulatorSettings(limits=Limits(duplicate_counts_id=True))) as client:
        assert "id" in await client.send(PHONE, id=1)
        assert "id" in await client.send(PHONE, id=2)
        assert await client.send(PHONE, id=2) == DUPLICATE


async def test_status_rate(strict):
    """Five questions a minute for one message, alone or in lists."""
    for _ in range(5):
        assert "status" in await strict.json("status", phone=PHONE, id=1)
    assert (await strict.json("status", phone=f"{PHONE},79990000002", id="1,1"))["error_code"] == 9
    assert "status" in await strict.json("status", phone="79990000002", id=1)
    strict.clock.advance(61)
    assert "status" in await strict.json("status", phone=PHONE, id=1)


async def test_a_message_whose_questions_are_old_may_stand_in_a_refused_list(strict):
    """A list with one message too many asked about is refused whole, and what else stood in it may be asked about."""
    old, busy = ({"phone": f"7999000000{n}", "id": 1} for n in (1, 2))
    await strict.json("status", **old)
    strict.clock.advance(30)
    for _ in range(5):
        await strict.json("status", **busy)
    strict.clock.advance(31)
    both = await strict.json("status", phone=f"{old['phone']},{busy['phone']}", id="1,1")
    assert both["error_code"] == 9
    assert "status" in await strict.json("status", phone="79990000003", id=1)


async def test_other_rates(strict):
    """Balance ten, prices five, operators three, sender names three."""
    asked = {
        10: ("balance", {}),
        5: ("send", {"phones": PHONE, "mes": "x", "cost": 1}),
        3: ("info", {"get_operator": 1, "phone": PHONE}),
    }
    for most, (method, params) in asked.items():
        for _ in range(most):
            assert "error_code" not in await strict.json(method, **params)
        assert (await strict.json(method, **params))["error_code"] == 9
    for _ in range(3):
        await strict.json("get", get_senders=1)
    assert (await strict.json("get", get_senders=1))["error_code"] == 9


async def test_fifteen_at_once():
    """The fifteenth request at the same time is error 9, of any method."""
    async with running(SimulatorSettings(latency_s=1.0, limits=Limits(concurrent=15))) as client:
        asking = [asyncio.create_task(client.send(PHONE, f"text {number}")) for number in range(14)]
        await client.clock.sleeping(14)
        last = asyncio.create_task(client.json("balance"))
        await client.clock.sleeping(15)
        client.clock.advance(1)
        assert (await last)["error_code"] == 9
        assert all("id" in answer for answer in await asyncio.gather(*asking))
        assert client.simulator.carrier.concurrency.peak == 15


async def test_guessing_blocks_the_address(strict):
    """Ten wrong logins block for a while; a right one does not help."""
    for _ in range(9):
        assert (await strict.json("balance", psw="no"))["error_code"] == 2
    assert (await strict.json("balance", psw="no"))["error_code"] == 4
    assert (await strict.json("balance"))["error_code"] == 4
    strict.clock.advance(301)
    assert "balance" in await strict.json("balance")
