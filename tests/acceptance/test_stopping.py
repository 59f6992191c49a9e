"""SIGTERM, a second one, SIGHUP and a second daemon, as an operator does it to the real program."""

from __future__ import annotations

import asyncio
import signal
import smtplib
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.bridge import Bridge, base_config, merged, running_bridge
from tests.support.plain_smsc import plain_smsc
from tests.support.programs import run_program, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

MAIL = b"Subject: s\r\n\r\nhello\r\n"


def send_and_quit(port: int) -> tuple[int, bytes, int]:
    """Send a mail and return the reply to DATA, and the code that answers QUIT."""
    client = smtplib.SMTP("127.0.0.1", port, timeout=30)
    client.ehlo("client.example.org")
    client.mail("a@example.org")
    client.rcpt("79991234567@sms.local")
    code, words = client.data(MAIL)
    return code, words, client.quit()[0]


def bridge_with(folder: Path, url: str, changes: dict[str, Any]) -> Bridge:
    """Return a bridge that is not started."""
    bridge = Bridge(folder, None)
    bridge.config_file.write_text(yaml.safe_dump(merged(base_config(folder, url), changes)))
    return bridge


@pytest.mark.parametrize(("workers", "answered"), [(0, True), (0, False), (2, True)], indirect=["workers"])
@pytest.mark.usefixtures("workers")
async def test_a_client_that_waits_for_a_verdict_at_the_end_hears_that_its_mail_is_safe(tmp_path, answered):
    """SIGTERM: the client gets its 250 and its 221, the answer of the gateway is kept, nothing goes out twice."""
    gate = asyncio.Event()
    async with plain_smsc(slow=gate) as gateway:
        changes = {"smtp": {"reply": "verdict", "verdict_wait": "60s"}, "gateways": {"main": {"timeout": "60s"}}}
        bridge = bridge_with(tmp_path, gateway.url, changes)
        await bridge.start()
        client = asyncio.get_running_loop().run_in_executor(None, send_and_quit, bridge.port)
        await until(gateway.forms)
        assert bridge.process is not None
        bridge.process.send_signal(signal.SIGTERM)
        if answered:
            await until(lambda: bridge.events_called("stopping"))
            gate.set()
        code, words, quit_code = await client
        # a second signal would say "at once": it ends by the first
        async with asyncio.timeout(60):
            await bridge.process.wait()
        assert await bridge.stop() == 0
        (row,) = await bridge.data("queue", "list")

        assert (code, quit_code) == (250, 221), words
        assert row["state"] == ("sent" if answered else "unknown")
        gate.set()
        await bridge.start()
        await until(lambda: bridge.events_called("delivered"), saying=bridge.what_it_said)
        assert await bridge.stop() == 0
        assert len(gateway.forms()) == 1


async def test_who_is_slow_at_the_web_listener_holds_up_no_stop(tmp_path):
    """A callback that is half sent is cut off: it comes again."""
    changes = {"gateways": {"main": {"callback_path": "4f9c2d7a"}}}
    async with plain_smsc() as gateway:
        bridge = bridge_with(tmp_path, gateway.url, changes)
        await bridge.start()
        host, _, port = bridge.web.removeprefix("http://").rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /callback/main/4f9c2d7a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n")
        writer.write(b"Content-Type: application/x-www-form-urlencoded\r\n\r\nid=")
        await writer.drain()
        before = time.monotonic()
        code = await bridge.stop()
        took_s = time.monotonic() - before
        writer.close()

        assert code == 0
        assert took_s < 10


@pytest.mark.usefixtures("workers")
async def test_a_second_sigterm_stops_at_once_and_the_next_start_asks_what_became_of_it(tmp_path):
    """Nothing waits, the exit code says so, and the message in flight is asked about, never sent blindly."""
    gate = asyncio.Event()
    async with plain_smsc(slow=gate) as gateway:
        bridge = bridge_with(tmp_path, gateway.url, {"gateways": {"main": {"timeout": "60s"}}})
        await bridge.start()
        await asyncio.to_thread(send_and_quit, bridge.port)
        await until(gateway.forms)
        before = time.monotonic()
        assert bridge.process is not None
        bridge.process.send_signal(signal.SIGTERM)
        await until(lambda: bridge.events_called("stopping"))
        code = await bridge.stop()
        took_s = time.monotonic() - before
        gate.set()
        await bridge.start()
        await until(lambda: bridge.events_called("delivered"), saying=bridge.what_it_said)
        assert await bridge.stop() == 0

        assert code != 0
        assert took_s < 5
        assert len(gateway.forms()) == 1


async def test_sighup_takes_a_good_configuration_and_keeps_the_last_one_before_a_bad_one(tmp_path):
    """A reload changes what the next mail becomes; a broken file changes nothing and is told with file and line."""
    async with plain_smsc() as gateway, running_bridge(tmp_path, url=gateway.url) as bridge:
        good = yaml.safe_load(bridge.config_file.read_text())
        assert bridge.process is not None
        bridge.config_file.write_text(
            yaml.safe_dump(merged(good, {"message": {"sender": "NEW", "text": "new {{ body }}"}}))
        )
        bridge.process.send_signal(signal.SIGHUP)
        await until(lambda: bridge.events_called("reloaded"), saying=bridge.what_it_said)
        bridge.config_file.write_text("smtp:\n  replay: verdict\n")
        bridge.process.send_signal(signal.SIGHUP)
        refused = (await until(lambda: bridge.events_called("reload refused"), saying=bridge.what_it_said))[0]
        await asyncio.to_thread(send_and_quit, bridge.port)
        (form,) = await until(gateway.forms)

        assert (form["sender"], form["mes"]) == ("NEW", "new hello")
        assert f"{bridge.config_file}:2: smtp.replay" in "\n".join(refused["problems"])


async def test_a_second_daemon_on_the_same_queue_is_refused(tmp_path):
    """It says so in one line and asks to try again; the first one goes on."""
    async with plain_smsc() as gateway, running_bridge(tmp_path, url=gateway.url) as bridge:
        second = await run_program(sys.executable, "-m", "mailbridge", "serve", "--config", bridge.config_file)
        await asyncio.to_thread(send_and_quit, bridge.port)
        await until(gateway.forms)

        assert second.code == 75
        assert len(second.output.splitlines()) == 1


BAD = {
    "rule": ({"rules": [{"match": {"severity": "awful"}}]}, "rules[0].match.severity"),
    "pattern": ({"rules": [{"match": {"subject": "re:(a+"}}]}, "rules[0].match.subject"),
    "rota": ({"rotas": {"ops": {"start": "soon", "members": ["anna"]}}}, "rotas.ops"),
    "quiet hours": ({"quiet_hours": {"night": {"from": "25:00", "to": "7:00"}}}, "quiet_hours.night.from"),
    "digest": ({"digest": {"default": {"windou": "5m"}}}, "digest.default.windou"),
    "profile": ({}, "fields.hots"),
}


async def test_what_is_wrong_with_rules_profiles_and_rotas_is_told_and_the_last_good_ones_stay(tmp_path):
    """One kind of mistake after the other: file and line in the log, and mails go on as by the good set."""
    people = {
        "people": {"anna": {"phone": "+79991234567"}},
        "rotas": {"ops": {"members": ["anna"], "start": "2026-01-05"}},
    }
    folder = tmp_path / "own"
    folder.mkdir()
    own = folder / "pump.yaml"
    own.write_text(
        "recognise: [{subject: pump}]\nfields:\n  host: 'at (\\w+)'\nneeds: [host]\nline: 'PUMP {{ host }}'\n"
    )
    rules = [{"name": "pumps", "match": {"profile": "pump"}, "set": {"sender": "PUMP"}}]
    good = {**people, "profiles": str(folder), "rules": rules, "aliases": {"duty": {"rota": "ops"}}}
    async with plain_smsc() as gateway, running_bridge(tmp_path, good, url=gateway.url) as bridge:
        assert bridge.process is not None
        written = bridge.config_file.read_text()
        sound = own.read_text()
        for number, (kind, (change, place)) in enumerate(BAD.items(), start=1):
            bridge.config_file.write_text(yaml.safe_dump(merged(yaml.safe_load(written), change)))
            if kind == "profile":
                own.write_text(sound.replace("host:", "hots:", 1))
            bridge.process.send_signal(signal.SIGHUP)
            refused = await until(
                lambda number=number: (found := bridge.events_called("reload refused"))[number - 1 :] and found,
                saying=bridge.what_it_said,
            )
            problems = "\n".join(refused[-1]["problems"])
            assert place in problems
            file = own if kind == "profile" else bridge.config_file
            assert f"{file}:" in problems
            line = next(line for line in problems.splitlines() if place in line)
            assert line.removeprefix(f"{file}:").partition(":")[0].isdigit()
            await asyncio.to_thread(_send_pump, bridge.port, number)
            forms = await until(lambda number=number: (some := gateway.forms())[number - 1 :] and some)
            assert (forms[-1]["sender"], forms[-1]["mes"], forms[-1]["phones"]) == (
                "PUMP",
                f"PUMP p{number}",
                "+79991234567",
            )


def _send_pump(port: int, number: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.sendmail("a@example.org", ["duty@sms.local"], f"Subject: pump\r\n\r\nat p{number}\r\n")


async def test_a_calendar_that_never_answers_delays_neither_the_start_nor_an_alert(tmp_path):
    """The door opens, the mail to the rota is answered at once, and it goes to whom the gap names."""
    # the system takes its connections, and nobody reads what they say
    silent = socket.create_server(("127.0.0.1", 0))
    address = silent.getsockname()
    rota = {"ics": f"http://127.0.0.1:{address[1]}/ops.ics", "otherwise": ["+79991234567"]}
    changes = {"rotas": {"ops": rota}, "aliases": {"duty": {"rota": "ops"}}}
    began = time.monotonic()
    try:
        async with plain_smsc() as gateway, running_bridge(tmp_path, changes, url=gateway.url) as bridge:
            # far below any patience with a web server
            assert time.monotonic() - began < 15
            forms = []
            for number in range(3):
                began = time.monotonic()
                await asyncio.to_thread(_send_pump, bridge.port, number)
                assert time.monotonic() - began < 5
                forms = await until(lambda number=number: (some := gateway.forms())[number:] and some)
            assert {form["phones"] for form in forms} == {"+79991234567"}
    finally:
        silent.close()
