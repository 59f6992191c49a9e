"""SMS that come in, in the whole bridge: each kept and handled once, whatever becomes of gateway, bridge and inbox."""

from __future__ import annotations

import hashlib
from typing import Any

import aiohttp
import pytest

from mailbridge.errors import StoreError
from mailbridge.queue.connect import open_store
from tests.support.house import House, running_house

ANNA = "+79990000001"
POLLED: dict[str, Any] = {"inbound": {"poll": "10s"}}
SECRET = {"gateway": {"callback_path": "4f9c2b7d1e60", "callback_secret": "s3cret"}}


def came_in(house: House, text: str, count: int = 1) -> None:
    """Put SMS from handsets into the account's inbox."""
    now = house.clock.now().timestamp()
    for _ in range(count):
        house.simulator.carrier.inbox.add(login="demo", phone=ANNA[1:], mes=text, to="79037672215", now=now)


async def handled(house: House) -> float:
    """Return how many SMS were handled, as ``/metrics`` counts them."""
    counts = await house.metrics()
    return sum(value for name, value in counts.items() if name.startswith("mailbridge_inbound_total"))


async def until_handled(house: House, count: int, limit_s: int = 60) -> None:
    """Let time pass until *count* SMS were handled."""
    for _ in range(limit_s):
        if await handled(house) >= count:
            break
        await house.pass_s(1)
    assert await handled(house) == count


async def test_no_inbox_is_asked_where_nobody_waits_for_answers() -> None:
    """Without an escalation and without ``inbound.poll``, nor where callbacks come."""
    chain = {"people": {"anna": {"phone": ANNA}}, "escalation": {"anna": {"then": [{"call": "anna"}]}}}
    for sections in ({}, {"inbound": {"poll": 0}}, chain | SECRET):
        async with running_house(**sections) as house:
            await house.pass_s(120)
            assert house.requests("get") == []


async def test_each_is_handled_once_over_a_restart(tmp_path) -> None:
    """The cursor is on disk with what was read; what is nobody's is counted."""
    async with running_house(store=open_store(f"sqlite:///{tmp_path}/queue.db"), **POLLED) as house:
        came_in(house, "hello", 3)
        await until_handled(house, 3)
        assert (await house.metrics())['mailbridge_inbound_total{gateway="main",result="ignored"}'] == 3
        await house.restart()
        came_in(house, "again", 2)
        await until_handled(house, 2)
        await house.pass_s(60)
        assert house.requests("get")[-1]["after_id"] == "7005"


async def test_an_inbox_too_large_for_one_answer_is_read_in_pieces() -> None:
    """Answers are read up to 64 KB: fewer are asked for until they fit, and nothing is left out."""
    async with running_house(**POLLED) as house:
        came_in(house, "Ж" * 900, 260)
        await until_handled(house, 260, limit_s=300)
        asked = [int(entry["cnt"]) for entry in house.requests("get")]
        assert asked[0] == 200
        assert min(asked) < 100


@pytest.mark.parametrize(
    "fault",
    [
        {"code": 9},
        {"code": 1},
        {"wire": "html"},
        {"wire": "empty"},
        {"wire": "garbage"},
        {"wire": "hang", "stage": "after"},
    ],
)
async def test_an_inbox_that_cannot_be_read_is_asked_again_and_delays_no_alert(fault) -> None:
    """The gateway is well: mail goes out meanwhile."""
    async with running_house(**POLLED) as house:
        house.fault(methods=["get"], **fault)
        came_in(house, "hello")
        await house.pass_s(30)
        assert await handled(house) == 0
        assert not house.bridge.board.states["main"].suspended
        await house.mail(ANNA, text="an alert")
        for _ in range(20):
            if len(house.simulator.inbox):
                break
            await house.pass_s(1)
        assert len(house.simulator.inbox) == 1
        house.simulator.carrier.faults.clear()
        await until_handled(house, 1)


async def test_who_is_shut_out_asks_no_more() -> None:
    """Code 2 suspends the gateway as in every method; its inbox is read once it is well again."""
    async with running_house(**POLLED) as house:
        house.fault(methods=["get", "balance"], code=2)
        came_in(house, "hello")
        await house.pass_s(30)
        assert house.bridge.board.states["main"].suspended
        asked = len(house.requests("get"))
        await house.pass_s(50)
        assert len(house.requests("get")) == asked
        house.simulator.carrier.faults.clear()
        await until_handled(house, 1, limit_s=400)


async def post(house: House, path: str = "4f9c2b7d1e60", *, is_forged: bool = False, **fields: str) -> int:
    """Call back about an SMS, signed; return the answer's status."""
    form = {"phone": ANNA[1:], "mes": "hello", "to": "79037672215", "id": "1"} | fields
    signed = ":".join((form["phone"], form["mes"], form["to"], "guessed" if is_forged else "s3cret"))
    form["sha1"] = hashlib.sha1(signed.encode(), usedforsecurity=False).hexdigest()
    assert house.bridge.web is not None
    url = f"http://127.0.0.1:{house.bridge.web.port}/callback/main/{path}"
    async with aiohttp.ClientSession() as http, http.post(url, data=form) as response:
        return response.status


async def test_a_callback_is_kept_before_it_is_answered() -> None:
    """Forged ones and wrong paths change nothing; the same one again is known; our own trouble is 503."""
    async with running_house(**SECRET) as house:
        assert await post(house, is_forged=True) == 403
        assert await post(house, "elsewhere") == 404
        assert await house.store.unhandled_inbound(limit=9) == []
        assert [await post(house), await post(house)] == [200, 200]
        await until_handled(house, 1)
        counts = await house.metrics()
        assert counts['mailbridge_callbacks_total{gateway="main",result="inbound"}'] == 1
        assert counts['mailbridge_callbacks_total{gateway="main",result="repeated"}'] == 1

        async def trouble(*_args: Any, **_named: Any) -> int:
            raise StoreError("the disk is gone")

        kept, house.bridge._alarms.inbox._store = (
            house.bridge._alarms.inbox._store,
            type("S", (), {"take_inbound": trouble})(),
        )
        try:
            assert await post(house, id="2") == 503
        finally:
            house.bridge._alarms.inbox._store = kept
        assert await post(house, id="2") == 200
        await until_handled(house, 2)
