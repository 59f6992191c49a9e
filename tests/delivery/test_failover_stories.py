"""Two carriers, SMSC before a described one: who carries what, and why; told as stories of a whole bridge."""

from __future__ import annotations

import asyncio
import smtplib
from asyncio import to_thread
from contextlib import asynccontextmanager
from email.message import EmailMessage

import aiohttp
import pytest
import yaml
from argon2 import PasswordHasher

from mailbridge.simulator.faults import parse_fault
from mailbridge.simulator.settings import SimulatorSettings
from tests.gateway.test_carrier_contract import LOOK_ALIKE
from tests.support.bridge import Bridge, running_bridge
from tests.support.carrier_server import Vendor, serving, vendor
from tests.support.programs import until
from tests.support.simulator import UNLIMITED

pytestmark = pytest.mark.slow
HERE = "79991234567"
#: the simulator's magic numbers: no route (status 25 err 248, alone error 8), and a number it calls wrong (error 7)
NO_ROUTE, WRONG = "79990000325", "79990000107"
ABROAD = "84912345678"


@asynccontextmanager
async def two(folder, **changes):
    """Run both carriers and a bridge before them."""
    async with serving(vendor("look-alike")) as second:
        described = yaml.safe_load(yaml.safe_dump(LOOK_ALIKE).replace("https://api.example.org", second.url))
        config = {"gateways": {"second": described}, "numbers": {"allow": ["+7", "+84"]}} | changes
        async with running_bridge(folder, config, simulator=SimulatorSettings(limits=UNLIMITED)) as bridge:
            yield bridge, second


async def send(bridge: Bridge, phone: str, text: str = "Disk full") -> str:
    """Send one mail; return the answer to DATA."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "nagios@example.org", f"{phone}@sms.local", text
    mail.set_content("")

    def hand_over() -> str:
        with smtplib.SMTP("127.0.0.1", bridge.port, timeout=20) as client:
            client.ehlo()
            client.mail("nagios@example.org")
            client.rcpt(f"{phone}@sms.local")
            code, words = client.data(mail.as_bytes())
            return f"{code} {words.decode()}"

    return await to_thread(hand_over)


async def carried(bridge: Bridge, second: Vendor, total: int) -> tuple[list[str], list[str]]:
    """Wait until *total* messages went out; return the numbers that each carrier got."""
    await until(lambda: len(bridge.simulator.inbox) + len(second.arrived) >= total, saying=bridge.what_it_said)
    return [one["phone"][1:] for one in bridge.simulator.inbox], [one.phone for one in second.arrived]


async def test_the_first_carrier_has_no_money_and_the_second_carries_until_it_has(tmp_path):
    """The money comes back, a probe finds it, and the first carries again."""
    async with two(tmp_path) as (bridge, second):
        bridge.simulator.carrier.force_balance(0, None)
        await send(bridge, HERE, "while it is away")
        assert await carried(bridge, second, 1) == ([], [HERE])
        (message,) = await bridge.data("queue", "list")
        assert message["gateway"] == "second"
        shown = await bridge.data("queue", "show", message["id"])
        reasons = [
            entry["detail"].get("gateway") for entry in shown["history"] if entry["event"] in {"deferred", "sent"}
        ]
        assert reasons == ["main suspended", "second"]
        bridge.simulator.carrier.clear_faults()
        assert (await bridge.verb("gateways", "resume", "main")).code == 0
        await until_main_is_back(bridge)
        await send(bridge, HERE, "when it is back")
        assert await carried(bridge, second, 2) == ([HERE], [HERE])


async def until_main_is_back(bridge: Bridge) -> None:
    """Wait until the bridge itself says so."""
    async with aiohttp.ClientSession() as http, asyncio.timeout(30):
        while True:
            async with http.get(f"{bridge.web}/readyz") as answer:
                if (await answer.json())["gateways"]["main"] == "up":
                    return
            await asyncio.sleep(0.05)


async def test_no_way_to_a_number_goes_to_the_next_carrier(tmp_path):
    """The client that waits hears of the carrier that took it."""
    async with two(tmp_path, smtp={"reply": "verdict"}) as (bridge, second):
        assert "sent, gateway id id-1" in await send(bridge, NO_ROUTE)
        assert [one.phone for one in second.arrived] == [NO_ROUTE]


async def test_a_wrong_number_is_wrong_everywhere(tmp_path):
    """It is refused at once, and nobody else is asked."""
    async with two(tmp_path, smtp={"reply": "verdict"}) as (bridge, second):
        assert (await send(bridge, WRONG)).startswith("550 5.1.3 SMSC error 7")
        assert second.arrived == []


async def test_no_way_anywhere_is_told_in_the_words_of_the_last(tmp_path):
    """The route's last gateway has the last word."""
    errors = [{"json": {"code": "nowhere"}, "class": "no_route", "reply": "550 5.4.4"}]
    async with two(tmp_path, smtp={"reply": "verdict"}) as (bridge, second):
        second.refuse = (200, {"code": "nowhere"})
        config = yaml.safe_load(bridge.config_file.read_text(encoding="utf-8"))
        config["gateways"]["second"]["errors"] = errors
        bridge.config_file.write_text(yaml.safe_dump(config), encoding="utf-8")
        await bridge.stop()
        await bridge.start()
        assert (await send(bridge, NO_ROUTE)).startswith("550 5.4.4 second: the carrier refused it")


async def test_numbers_abroad_go_another_way(tmp_path):
    """By ``routes``; a message whose only gateway is away does not stop the others."""
    routes = [{"match": {"prefix": "+84"}, "gateways": "second"}, {"gateways": "main"}]
    async with two(tmp_path, routes=routes) as (bridge, second):
        await send(bridge, ABROAD)
        await send(bridge, HERE)
        assert await carried(bridge, second, 2) == ([HERE], [ABROAD])
        bridge.simulator.carrier.force_balance(0, None)
        await send(bridge, HERE, "must wait for main")
        await until(lambda: bridge.events_called("gateway suspended"), saying=bridge.what_it_said)
        await send(bridge, ABROAD, "goes past it")
        assert len((await carried(bridge, second, 3))[1]) == 2
        states = {one["text"]: one["state"] for one in await bridge.data("queue", "list")}
        assert (states["must wait for main"], states["goes past it"]) == ("queued", "sent")


async def test_a_carrier_that_hangs_costs_no_double(tmp_path):
    """What hangs is unknown and stays with its carrier; later mails go the other way."""
    async with two(tmp_path) as (bridge, second):
        config = yaml.safe_load(bridge.config_file.read_text(encoding="utf-8"))
        config["gateways"]["main"] |= {"timeout": "500ms", "batch": 1}
        bridge.config_file.write_text(yaml.safe_dump(config), encoding="utf-8")
        await bridge.stop()
        await bridge.start()
        bridge.simulator.carrier.faults.add(parse_fault({"wire": "hang", "stage": "after", "methods": ["send"]}))
        for number in range(6):
            await send(bridge, f"7999123456{number}", f"mail {number}")
        await until(lambda: bridge.events_called("gateway suspended"), saying=bridge.what_it_said)
        await send(bridge, "79991234569", "goes round it")
        await until(lambda: second.arrived, saying=bridge.what_it_said)
        assert "79991234569" in {one.phone for one in second.arrived}
        here = {one["phone"][1:] for one in bridge.simulator.inbox}
        assert not here & {one.phone for one in second.arrived}


async def test_a_user_of_one_gateway_hears_that_it_has_no_way_and_it_is_not_asked_for_ever(tmp_path):
    """The next gateway of the route is not theirs to take."""
    users = [{"name": "zabbix", "password": PasswordHasher(1, 8, 1).hash("secret"), "gateways": ["main"]}]
    listen = [{"address": "127.0.0.1:0", "auth": "optional"}]
    async with two(tmp_path, smtp={"reply": "verdict", "listen": listen}, users=users) as (bridge, second):
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "zabbix@example.org", f"{NO_ROUTE}@sms.local", "x"
        mail.set_content("")

        def hand_over() -> str:
            with smtplib.SMTP("127.0.0.1", bridge.port, timeout=20) as client:
                client.login("zabbix", "secret")
                client.mail("zabbix@example.org")
                client.rcpt(f"{NO_ROUTE}@sms.local")
                return " ".join(map(str, client.data(mail.as_bytes())))

        assert (await to_thread(hand_over)).startswith("550")
        assert second.arrived == []
        assert len(bridge.events_called("attempt")) <= 2
