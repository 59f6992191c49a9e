"""What can happen to a request on its way to the gateway and to the answer on its way back: one SMS, whatever it is."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path

import pytest

from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import Limits, SimulatorSettings
from tests.support.bridge import Bridge, running_bridge
from tests.support.fault_proxy import LOST, FaultProxy, Request, WireFault, fault_proxy
from tests.support.programs import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

FAULTS = tuple(WireFault)
#: fewer at once than open the breaker
AT_ONCE = 4
LATE_S = 2.0
CHANGES = {
    "message": {"text": "{{ body }}"},
    "gateways": {"main": {"timeout": "1s", "quarantine": "5s", "poll": "1s"}},
    "queue": {"retry_min": "200ms", "retry_max": "1s"},
}
LIMITS = Limits(duplicate_s=None, status_per_minute=None, balance_per_minute=None)


def _deliver(port: int, phone: str, text: str) -> int:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.ehlo("client.example.org")
        client.mail("nagios@example.org")
        # a sender of its own keeps each message in a request of its own
        client.rcpt(f"{phone}+sender=S{phone[-2:]}@sms.local")
        return client.data(f"From: nagios@example.org\r\n\r\n{text}\r\n")[0]


async def _state(bridge: Bridge, phone: str) -> tuple[str, set[str]]:
    (row,) = await bridge.data("queue", "list", "--phone", phone)
    shown = await bridge.data("queue", "show", row["id"])
    shown = shown[0] if isinstance(shown, list) else shown
    return row["state"], {entry["event"] for entry in shown["history"]}


class Case:
    """Some faults, each for the first request about a phone of its own."""

    def __init__(self, proxy: FaultProxy, faults: tuple[WireFault, ...]) -> None:
        self.phones = {f"+791612345{number:02}": fault for number, fault in enumerate(faults, 10)}
        self._left = dict(self.phones)
        self._is_unread_left = WireFault.UNREAD in faults
        proxy.choose, proxy.choose_blind = self.choose, self.choose_blind

    def choose_blind(self) -> WireFault | None:
        """Leave the very first connection unread, where that is one of the faults."""
        is_chosen, self._is_unread_left = self._is_unread_left, False
        return WireFault.UNREAD if is_chosen else None

    def choose(self, request: Request) -> WireFault | None:
        """Spoil the first send request about each phone."""
        if not request.path.endswith("/send.php"):
            return None
        fault = self._left.pop(request.form["phones"], None)
        return None if fault is WireFault.UNREAD else fault


@pytest.mark.parametrize("faults", [FAULTS[at : at + AT_ONCE] for at in range(0, len(FAULTS), AT_ONCE)])
async def test_whatever_happens_on_the_way_one_sms_arrives(tmp_path: Path, faults: tuple[WireFault, ...]) -> None:
    """Each fault hits the first request; afterwards each phone has its SMS once, and what was in doubt says so."""
    async with (
        Simulator(SimulatorSettings(limits=LIMITS, final_after_s=2.0)) as gateway,
        fault_proxy(gateway.url, late_s=LATE_S) as proxy,
        running_bridge(tmp_path, CHANGES, url=proxy.url) as bridge,
    ):
        case = Case(proxy, faults)
        codes = await asyncio.gather(
            *(asyncio.to_thread(_deliver, bridge.port, phone, fault) for phone, fault in case.phones.items())
        )
        assert set(codes) == {250}
        await until(
            lambda: len(bridge.events_called("delivered")) == len(faults), limit_s=60, saying=bridge.what_it_said
        )

        got = sorted((message["phone"], message["text"]) for message in gateway.inbox)
        assert got == sorted(case.phones.items())
        assert sorted(proxy.played) == sorted(faults)
        for phone, fault in case.phones.items():
            state, events = await _state(bridge, phone)
            assert state == "delivered"
            # unread is whichever request came first; an answer given twice may be believed or asked about
            if fault is not WireFault.UNREAD:
                assert ("deferred" in events) is (fault in LOST), fault
            if fault not in {WireFault.UNREAD, WireFault.TWICE}:
                assert "unknown" in events, fault
