"""``/metrics`` of the running bridge: what happened is counted once it is on disk, and nobody is named."""

from __future__ import annotations

import re

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.support.house import House, running_house
from tests.support.programs import until

GOOD, REFUSED, UNDELIVERABLE = "+79990000001", "+79990000107", "+79990000225"


async def test_the_life_of_messages_is_counted():
    """Taken, attempted, sent, delivered, refused, undelivered, told: each once."""
    async with running_house() as house:
        await house.mail(GOOD, (REFUSED, "NOTIFY=NEVER"), text="1", headers="Message-ID: <1@x>\r\n")
        await house.mail(UNDELIVERABLE, text="2")
        await house.mail(GOOD, REFUSED, text="1", headers="Message-ID: <1@x>\r\n")
        await house.reports()
        await house.pass_s(60)
        seen = await house.metrics()
        assert seen['mailbridge_mails_total{result="taken"}'] == 3
        events = {name: int(seen[f'mailbridge_events_total{{event="{name}"}}']) for name in (
            "queued", "sent", "delivered", "refused", "undelivered", "suppressed", "expired", "held"
        )}  # fmt: skip
        # the refused one is no duplicate: it goes again, and fails again
        assert events == {
            "queued": 4, "sent": 2, "delivered": 1, "refused": 2, "undelivered": 1, "suppressed": 1, "expired": 0,
            "held": 0,
        }  # fmt: skip
        assert seen['mailbridge_outcomes_total{gateway="main",outcome="accepted"}'] == 2
        assert seen['mailbridge_reports_total{action="failed",by="mail"}'] == 2
        assert seen['mailbridge_reports_total{action="failed",by="log"}'] == 1
        assert seen["mailbridge_accept_seconds_count"] == 3
        assert seen['mailbridge_gateway_request_seconds_count{gateway="main",method="send"}'] == len(house.requests())
        assert seen['mailbridge_gateway_request_seconds_count{gateway="main",method="status"}'] >= 1
        assert seen["mailbridge_queue_oldest_seconds"] == 0


async def test_refusals_at_the_door_are_counted_by_their_reply():
    """By code and enhanced code, whoever was refused."""
    async with running_house(smtp={"reply": "verdict"}) as house:
        await house.mail("nobody@sms.local")
        await house.mail("someone@example.org")
        await house.mail("someone@example.org")
        await house.mail(REFUSED)
        seen = await house.metrics()
        assert {name: value for name, value in seen.items() if name.startswith("mailbridge_rejected")} == {
            'mailbridge_rejected_total{reply="550 5.1.1"}': 1,
            'mailbridge_rejected_total{reply="550 5.7.1"}': 2,
            'mailbridge_rejected_total{reply="550 5.1.3"}': 1,
        }


async def test_what_waits_grows_old():
    """With the gateway suspended: the suspension, and the age of the oldest message."""
    async with running_house() as house:
        house.fault(code=3)
        await house.mail(GOOD)
        await until(lambda: house.bridge.board.states["main"].suspended)
        await house.pass_s(600)
        seen = await house.metrics()
        assert seen["mailbridge_queue_oldest_seconds"] == 600
        assert seen['mailbridge_gateway_suspensions_total{code="3",gateway="main"}'] == 1
        assert seen['mailbridge_messages{state="queued"}'] == 1


async def test_callbacks_are_counted_by_what_was_made_of_them():
    """Taken, unknown, forged, ignored; a wrong path is nobody's."""
    gateway = {"callback_path": "p", "callback_secret": None}
    async with running_house(gateway=gateway) as house:
        reply = await house.mail("+79990000200")
        await house.pass_s(2)
        (row,) = await house.rows(reply)
        fields = {"id": row.gateway_id, "phone": row.message.phone, "status": "1"}
        for changes in ({}, {"id": "77"}, {"status": "x"}):
            await call(house, "p", fields | changes)
        await call(house, "q", fields)
        seen = await house.metrics()
        counted = {name: value for name, value in seen.items() if name.startswith("mailbridge_callbacks")}
        assert counted == {
            f'mailbridge_callbacks_total{{gateway="main",result="{result}"}}': 1
            for result in ("taken", "unknown", "ignored")
        }


async def call(house: House, path: str, fields: dict[str, str]) -> None:
    """Call back without a signature."""
    assert house.bridge.web is not None
    url = f"http://127.0.0.1:{house.bridge.web.port}/callback/main/{path}"
    async with aiohttp.ClientSession() as http, http.post(url, data=fields) as response:
        await response.read()


async def test_the_page_is_well_formed_and_names_nobody():
    """Prometheus's own parser reads it; every name is ours; no phone, sender or text stands in it."""
    async with running_house() as house:
        await house.mail(GOOD, UNDELIVERABLE, text="confidential", subject="secret")
        await house.reports()
        assert house.bridge.web is not None
        url = f"http://127.0.0.1:{house.bridge.web.port}/metrics"
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            page = await response.text()
            assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = list(text_string_to_metric_families(page))
        names = [family.name for family in families]
        assert len(names) == len(set(names))
        assert all(name.startswith("mailbridge_") for name in names)
        assert all(family.documentation for family in families)
        assert not re.search(
            r"\d{7}|example\.org|confidential|secret", re.sub(r" [\d.e+]+$", "", page, flags=re.MULTILINE)
        )
