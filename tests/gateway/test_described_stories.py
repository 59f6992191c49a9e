"""A bridge whose only carrier is described in YAML: lost answers, ids of the carrier's own, reports in JSON."""

from __future__ import annotations

import smtplib
from asyncio import to_thread
from contextlib import asynccontextmanager
from email.message import EmailMessage

import aiohttp
import pytest
import yaml

from tests.gateway.test_carrier_contract import LOOK_ALIKE
from tests.support.bridge import Bridge, base_config
from tests.support.carrier_server import Vendor, serving, vendor
from tests.support.fault_proxy import FaultProxy, WireFault, fault_proxy
from tests.support.programs import until

pytestmark = pytest.mark.slow
PATH = "0f1e2d3c4b5a"


@asynccontextmanager
async def bridged(folder, **changes):
    """Run the look-alike, a proxy before it, and a bridge that knows no other carrier."""
    async with serving(vendor("look-alike")) as carrier, fault_proxy(carrier.url) as proxy:
        described = {key: value for key, value in (LOOK_ALIKE | changes).items() if value is not None}
        text = yaml.safe_dump(described).replace("https://api.example.org", proxy.url)
        data = base_config(folder, "") | {
            "gateways": {"second": yaml.safe_load(text) | {"timeout": "2s", "quarantine": "3s"}}
        }
        bridge = Bridge(folder, None)
        bridge.config_file.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
        await bridge.start()
        try:
            yield bridge, carrier, proxy
        finally:
            code = await bridge.stop()
        assert code == 0, bridge.what_it_said()


async def send(bridge: Bridge, text: str) -> None:
    """Send one mail."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "nagios@example.org", "79991234567@sms.local", text
    mail.set_content("")

    def hand_over():
        with smtplib.SMTP("127.0.0.1", bridge.port, timeout=20) as client:
            client.send_message(mail)

    await to_thread(hand_over)


def first_only(proxy: FaultProxy, fault: WireFault) -> None:
    """Spoil the next request and no other."""
    left = [fault]
    proxy.choose = lambda _request: left.pop() if left else None


async def test_an_answer_is_lost_and_the_message_goes_out_once(tmp_path):
    """The carrier is asked by our id, names its own, and its report by that one ends the message."""
    callback = {
        "callback_path": PATH,
        "callback": {"gateway_id": "data.id", "phone": "data.to", "state": {"data.state": {"ok": "delivered"}}},
    }
    async with bridged(tmp_path, **callback) as (bridge, carrier, proxy):
        first_only(proxy, WireFault.RESET)
        await send(bridge, "Disk full")
        await until(lambda: bridge.events_called("sent"), saying=bridge.what_it_said)
        assert [one.text for one in carrier.arrived] == ["Disk full"]
        assert [event["event"] for event in bridge.events if event["event"] in {"unknown", "sent"}] == [
            "unknown",
            "sent",
        ]
        (message,) = await bridge.data("queue", "list")
        assert message["gateway_id"] == "id-1"
        report = {"data": {"id": "id-1", "to": "+79991234567", "state": "ok"}}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{bridge.web}/callback/second/{PATH}", json=report) as answer,
        ):
            assert answer.status == 200
        (message,) = await bridge.data("queue", "list")
        assert message["state"] == "delivered"


async def test_a_second_attempt_with_two_names_is_no_double(tmp_path):
    """The first never came; the second is known by our id and by the carrier's, and is one message all the same."""
    callback = {
        "callback_path": PATH,
        "callback": {"id": "ref", "gateway_id": "id", "phone": "to", "state": {"state": {"ok": "delivered"}}},
    }
    async with bridged(tmp_path, **callback) as (bridge, carrier, proxy):
        first_only(proxy, WireFault.SWALLOWED)
        await send(bridge, "Disk full")
        await until(lambda: bridge.events_called("sent"), saying=bridge.what_it_said, limit_s=60)
        (arrived,) = carrier.arrived
        report = {"id": arrived.own_id, "to": "79991234567", "state": "ok"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{bridge.web}/callback/second/{PATH}", data=report) as answer,
        ):
            assert answer.status == 200
        await until(lambda: bridge.events_called("delivered"), saying=bridge.what_it_said)
        asked = len(carrier.requests)
        await until(lambda: len(carrier.requests) > asked, saying=bridge.what_it_said)
        shown = await bridge.data("status", bridge.events_called("delivered")[0]["id"])
        assert shown[0]["gateway_id"] == arrived.own_id
        assert bridge.events_called("double") == []


async def test_a_request_is_lost_and_goes_again_when_the_carrier_says_it_never_came(tmp_path):
    """Not before the quarantine is over."""
    async with bridged(tmp_path) as (bridge, carrier, proxy):
        first_only(proxy, WireFault.SWALLOWED)
        await send(bridge, "Disk full")
        await until(lambda: bridge.events_called("sent"), saying=bridge.what_it_said, limit_s=60)
        assert [one.text for one in carrier.arrived] == ["Disk full"]
        assert len(bridge.events_called("attempt")) == 2


async def test_a_carrier_that_cannot_be_asked_is_never_given_the_message_twice(tmp_path):
    """Without ``lookup`` it is held when the quarantine is over, for a person; a report that still comes counts."""
    callback = {
        "callback_path": PATH,
        "callback": {"id": "ref", "phone": "to", "state": {"state": {"ok": "delivered"}}},
    }
    async with bridged(tmp_path, lookup=None, **callback) as (bridge, carrier, proxy):
        first_only(proxy, WireFault.RESET)
        await send(bridge, "Disk full")
        await until(lambda: bridge.events_called("held"), saying=bridge.what_it_said)
        (arrived,) = carrier.arrived
        (message,) = await bridge.data("queue", "list")
        assert (message["state"], message["error"]["class"]) == ("held", "unknown")
        report = {"ref": arrived.ref, "to": "79991234567", "state": "ok"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{bridge.web}/callback/second/{PATH}", data=report) as answer,
        ):
            assert answer.status == 200
        (message,) = await bridge.data("queue", "list")
        assert message["state"] == "delivered"


async def test_whoever_rather_has_two_than_none_gets_them(tmp_path):
    """``on_unknown: retry`` goes again when the quarantine is over, within the message's lifetime."""
    async with bridged(tmp_path, lookup=None, on_unknown="retry") as (bridge, carrier, proxy):
        first_only(proxy, WireFault.RESET)
        await send(bridge, "Disk full")
        await until(lambda: bridge.events_called("sent"), saying=bridge.what_it_said, limit_s=60)
        assert [one.text for one in carrier.arrived] == ["Disk full", "Disk full"]
        (retried,) = bridge.events_called("deferred")
        assert "nobody can be asked" in retried["because"]


async def test_a_suspended_carrier_without_a_question_is_probed_by_the_next_message(tmp_path):
    """Nothing is lost meanwhile, and nobody has to resume it."""
    errors = [{"status": 401, "class": "suspended", "wait": "2s"}]
    async with bridged(tmp_path, errors=errors) as (bridge, carrier, _):
        carrier.refuse = (401, {})
        await send(bridge, "Disk full")
        await until(lambda: bridge.events_called("gateway suspended"), saying=bridge.what_it_said)
        carrier.refuse = None
        await until(lambda: bridge.events_called("sent"), saying=bridge.what_it_said)
        assert [one.text for one in carrier.arrived] == ["Disk full"]


def test_the_vendor_is_what_these_stories_need():
    """It can be asked by our id."""
    assert isinstance(vendor("look-alike"), Vendor)
    assert vendor("look-alike").by_ref
