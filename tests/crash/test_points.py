"""The bridge dies at one named point, as by ``kill -9``, and a new one goes on from what it finds on disk.

The points are those of ``mailbridge/failpoints.py``; what is expected is what docs/explain/durability.md promises.
"""

from __future__ import annotations

import asyncio
import email
import signal
import smtplib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import AccountSettings, Limits, SimulatorSettings
from tests.support.bridge import Bridge, base_config, merged
from tests.support.programs import free_port, until, until_seen
from tests.support.smarthost import running_smarthost

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PHONE = "+79161234567"
REFUSED = "+79990000322"
CONFIG: dict[str, Any] = {
    "message": {"text": "{{ body }}"},
    "gateways": {"main": {"timeout": "2s", "quarantine": "4s", "poll": "1s"}},
    "queue": {"retry_min": "200ms", "retry_max": "1s"},
}
#: an identical text goes out again soon after its first request: the gateway's own minute would only slow the test
LIMITS = Limits(duplicate_s=None, status_per_minute=None, balance_per_minute=None)


class Case:
    """A bridge that can die, its gateway, and a client that repeats what got no answer."""

    def __init__(self, bridge: Bridge, simulator: Simulator) -> None:
        self.bridge = bridge
        self.simulator = simulator

    async def hand_over(self, phone: str = PHONE) -> int | None:
        """Send the mail once and return the code of the answer; None when the bridge died instead."""
        return await asyncio.to_thread(self._hand_over, phone)

    def _hand_over(self, phone: str) -> int | None:
        content = "From: nagios@example.org\r\nMessage-ID: <one@example.org>\r\n\r\nthe text\r\n"
        try:
            with smtplib.SMTP("127.0.0.1", self.bridge.port, timeout=20) as client:
                client.ehlo("client.example.org")
                client.mail("nagios@example.org")
                client.rcpt(f"{phone}@sms.local")
                return client.data(content)[0]
        except (smtplib.SMTPServerDisconnected, ConnectionError):
            return None

    async def die_at(self, point: str) -> None:
        """Start a bridge that dies at *point*."""
        await self.bridge.start(environ={"MAILBRIDGE_CRASH_AT": point})

    async def died(self) -> None:
        """Wait until it has."""
        process = self.bridge.process
        assert process is not None
        async with asyncio.timeout(30):
            assert await process.wait() == -signal.SIGKILL
        await self.bridge.kill()

    def sends(self) -> list[str]:
        """Return the gateway ids of the send requests, oldest first."""
        return [entry.params["id"] for entry in self.simulator.ledger if entry.path == "/sys/send.php"]

    def taken(self) -> int:
        """Return how many messages the gateway took."""
        return len(self.simulator.inbox)

    def rows(self, asked: str = "SELECT state, attempts FROM messages") -> list[tuple[Any, ...]]:
        """Ask the queue."""
        database = sqlite3.connect(f"file:{self.bridge.folder}/queue.db?mode=ro", uri=True, timeout=10)
        try:
            return database.execute(asked).fetchall()
        finally:
            database.close()

    def state(self) -> str | None:
        """Return the state of the one message there is."""
        rows = self.rows()
        return rows[0][0] if rows else None

    async def until_state(self, *wanted: str) -> None:
        """Wait until the one message is in one of the states *wanted*."""
        await until(lambda: self.state() in wanted, saying=self.bridge.what_it_said)


@asynccontextmanager
async def case(folder: Path, changes: dict[str, Any] | None = None, **account: Any) -> AsyncIterator[Case]:
    """Have a bridge and its gateway ready; what still runs at the end is killed."""
    settings = SimulatorSettings(
        accounts=(AccountSettings(**account),), limits=LIMITS, final_after_s=2.0, callback_retry_s=(1.0,)
    )
    async with Simulator(settings) as simulator:
        bridge = Bridge(folder, simulator)
        config = merged(merged(base_config(folder, simulator.url), CONFIG), changes or {})
        bridge.config_file.write_text(yaml.safe_dump(config), encoding="utf-8")
        try:
            yield Case(bridge, simulator)
        finally:
            if bridge.process is not None:
                await bridge.kill()


async def test_before_the_commit_nothing_is_stored_and_the_client_repeats(tmp_path: Path) -> None:
    """No 250, no row; the repeated mail is a first one."""
    async with case(tmp_path) as one:
        await one.die_at("before commit")
        assert await one.hand_over() is None
        await one.died()
        assert one.rows() == []
        await one.bridge.start()
        assert await one.hand_over() == 250
        await one.until_state("delivered")
        assert one.taken() == 1


async def test_after_the_commit_the_repeated_mail_is_a_duplicate(tmp_path: Path) -> None:
    """Stored but not acknowledged: sent once, however often the client repeats it."""
    async with case(tmp_path) as one:
        await one.die_at("after commit")
        assert await one.hand_over() is None
        await one.died()
        assert one.state() == "queued"
        await one.bridge.start()
        assert await one.hand_over() == 250
        await one.until_state("delivered")
        assert await one.hand_over() == 250
        assert one.taken() == 1
        assert len(one.rows()) == 1


async def test_after_the_250_and_before_the_claim(tmp_path: Path) -> None:
    """Acknowledged and waiting: the next bridge sends it."""
    async with case(tmp_path) as one:
        await one.bridge.start()
        assert (await one.bridge.verb("gateways", "suspend", "main")).code == 0
        await until(lambda: "suspended" in one.bridge.what_it_said())
        assert await one.hand_over() == 250
        await one.bridge.kill()
        assert one.rows() == [("queued", 0)]
        await one.die_at("before intent")
        assert (await one.bridge.verb("gateways", "resume", "main")).code == 0
        await one.died()
        assert one.rows() == [("queued", 0)]
        assert one.sends() == []
        await one.bridge.start()
        await one.until_state("delivered")
        assert len(one.sends()) == 1


async def test_after_the_intent_the_gateway_is_asked_and_then_a_new_id_goes_out(tmp_path: Path) -> None:
    """Nobody can know that the request never left: asked, not found, and after the quarantine sent under a new id."""
    async with case(tmp_path) as one:
        await one.die_at("after intent")
        await one.hand_over()
        await one.died()
        assert one.rows() == [("sending", 1)]
        (first,) = one.rows("SELECT gateway_id FROM messages")
        await one.bridge.start()
        await one.until_state("delivered")
        assert one.sends() != [first[0]]
        assert (one.taken(), len(one.sends())) == (1, 1)
        events = [row[0] for row in one.rows("SELECT event FROM history ORDER BY n")]
        assert events == ["queued", "attempt", "unknown", "deferred", "attempt", "sent", "delivered"]


async def test_a_request_cut_in_the_middle_is_one_that_may_have_arrived(tmp_path: Path) -> None:
    """Dead while the request was being read: the same as one whose answer was lost."""
    reading = asyncio.Event()

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(40)
        reading.set()
        await reader.read()
        writer.close()

    async with case(tmp_path) as one:
        server = await asyncio.start_server(half, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        config = yaml.safe_load(one.bridge.config_file.read_text())
        config["gateways"]["main"]["url"] = [f"http://127.0.0.1:{port}"]
        whole = one.bridge.config_file.read_text()
        one.bridge.config_file.write_text(yaml.safe_dump(config))
        await one.bridge.start()
        assert await one.hand_over() == 250
        await reading.wait()
        await one.bridge.kill()
        server.close()
        one.bridge.config_file.write_text(whole)
        await one.bridge.start()
        await one.until_state("delivered")
        assert one.rows() == [("delivered", 2)]
        assert one.taken() == 1


@pytest.mark.parametrize("how", ["the answer is on its way", "the answer was read"])
async def test_what_the_gateway_took_is_found_and_never_requested_again(tmp_path: Path, how: str) -> None:
    """The answer is lost with the process: asked, found, and the ledger shows one request."""
    async with case(tmp_path) as one:
        if how == "the answer was read":
            await one.die_at("after answer")
            await one.hand_over()
            await one.died()
        else:
            from mailbridge.simulator.faults import parse_fault

            fault = {"wire": "hang", "stage": "after", "methods": ["send"]}
            one.simulator.carrier.faults.add(parse_fault(fault))
            await one.bridge.start()
            assert await one.hand_over() == 250
            await until(lambda: one.taken() == 1)
            await one.bridge.kill()
        assert one.rows() == [("sending", 1)]
        await one.bridge.start()
        await one.until_state("delivered")
        assert len(one.sends()) == 1
        assert "unknown" in [row[0] for row in one.rows("SELECT event FROM history")]


async def test_sent_and_settled_is_finished_by_asking(tmp_path: Path) -> None:
    """Dead before any receipt came: the status questions bring it."""
    async with case(tmp_path) as one:
        await one.die_at("after settle")
        await one.hand_over()
        await one.died()
        assert one.rows() == [("sent", 1)]
        await one.bridge.start()
        await one.until_state("delivered")
        assert len(one.sends()) == 1


@pytest.mark.parametrize("point", ["before callback commit", "after callback commit"])
async def test_a_callback_is_repeated_and_changes_nothing_twice(tmp_path: Path, point: str) -> None:
    """Whether it died before or after writing it down: the gateway repeats, and the history holds it once."""
    port = free_port()
    changes = {"web": {"listen": f"127.0.0.1:{port}"}, "gateways": {"main": {"callback_path": "secret", "poll": "0s"}}}
    url = f"http://127.0.0.1:{port}/callback/main/secret"
    async with case(tmp_path, changes, callback_url=url) as one:
        await one.die_at(point)
        await one.hand_over()
        await one.died()
        assert one.state() == ("sent" if point == "before callback commit" else "delivered")
        await one.bridge.start()
        await one.until_state("delivered")
        # the gateway calls once more, whether that was written down or not

        async def called() -> bool:
            return "mailbridge_callbacks_total{" in await asyncio.to_thread(one.bridge.page, "metrics")

        await until_seen(called, saying=one.bridge.what_it_said)
        events = [row[0] for row in one.rows("SELECT event FROM history ORDER BY n")]
        assert events == ["queued", "attempt", "sent", "delivered"]


@pytest.mark.parametrize("point", ["before report", "after report"])
async def test_a_report_leaves_once_or_again_under_the_same_message_id(tmp_path: Path, point: str) -> None:
    """Before the hand-over it leaves once; after it the smarthost may see it twice and can tell."""
    async with running_smarthost() as smarthost:
        bounce = {"mode": "mail", "from": "mailer-daemon@sms.example.org",
                  "smarthost": f"smtp://127.0.0.1:{smarthost.port}"}  # fmt: skip
        async with case(tmp_path, {"bounce": bounce}) as one:
            await one.die_at(point)
            await one.hand_over(REFUSED)
            await one.died()
            assert one.state() == "failed"
            await one.bridge.start()
            expected = 1 if point == "before report" else 2
            await until(lambda: len(smarthost.mails) >= expected, saying=one.bridge.what_it_said)
            await until(lambda: one.rows("SELECT * FROM outgoing") == [])
            assert len(smarthost.mails) == expected
            ids = {email.message_from_bytes(mail.content)["Message-ID"] for mail in smarthost.mails}
            assert len(ids) == 1


async def test_dead_while_recovering(tmp_path: Path) -> None:
    """Two deaths in a row, the second in the middle of taking over: the third bridge goes on as the second would."""
    async with case(tmp_path) as one:
        await one.die_at("after answer")
        await one.hand_over()
        await one.died()
        await one.bridge.launch(environ={"MAILBRIDGE_CRASH_AT": "after recovery"})
        await one.died()
        assert one.rows() == [("unknown", 1)]
        await one.bridge.start()
        await one.until_state("delivered")
        assert len(one.sends()) == 1


@pytest.mark.parametrize("how", ["SIGKILL", "second SIGTERM"])
async def test_dead_while_draining(tmp_path: Path, how: str) -> None:
    """Told to stop and killed before it had: what was in flight is asked about by the next one."""
    async with case(tmp_path) as one:
        from mailbridge.simulator.faults import parse_fault

        fault = parse_fault({"wire": "hang", "stage": "after", "methods": ["send"], "times": 1})
        one.simulator.carrier.faults.add(fault)
        environ = {"MAILBRIDGE_CRASH_AT": "draining"} if how == "SIGKILL" else {}
        await one.bridge.start(environ=environ)
        assert await one.hand_over() == 250
        await until(lambda: one.taken() == 1)
        process = one.bridge.process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        if how == "second SIGTERM":
            await until(lambda: one.bridge.events_called("stopping"))
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(2):
                assert await process.wait() == 130
            await one.bridge.kill()
        else:
            await one.died()
        assert one.state() in {"sending", "unknown"}
        await one.bridge.start()
        await one.until_state("delivered")
        assert len(one.sends()) == 1


async def test_dead_while_the_queue_is_made(tmp_path: Path) -> None:
    """Killed at any moment of the first start: the next one opens a whole queue, never half of one."""
    async with case(tmp_path) as one:
        for wait_s in (0.4, 0.6, 0.8, 1.0):
            await one.bridge.launch()
            await asyncio.sleep(wait_s)
            await one.bridge.kill()
        await one.bridge.start()
        assert await one.hand_over() == 250
        await one.until_state("delivered")
