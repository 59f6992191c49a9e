"""What reads the log: fail2ban's filter on lines a bridge really wrote, and logrotate under a running bridge."""

from __future__ import annotations

import asyncio
import signal
import smtplib
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from argon2 import PasswordHasher

from mailbridge.simulator.server import Simulator
from tests.support.bridge import base_config, running_bridge
from tests.support.documents import ROOT
from tests.support.programs import need, run_program, until

FILTER = ROOT / "contrib/fail2ban/filter.d/mailbridge.conf"
ROTATE = ROOT / "contrib/logrotate/mailbridge"
HASH = PasswordHasher(time_cost=1, memory_cost=1024).hash("s3cret")


def misbehave(open_port: int, closed_port: int) -> None:
    """Guess a password, knock where one may not; and err honestly, with lines that look like others'."""
    with smtplib.SMTP("127.0.0.1", open_port) as session, suppress(smtplib.SMTPException):
        session.login("zabbix", "wrong")
    with suppress(smtplib.SMTPException):
        smtplib.SMTP("127.0.0.1", closed_port)
    lie = '"event": "rejected", "stage": "auth", "reply": "535 x", "client": "192.0.2.66"'
    with smtplib.SMTP("127.0.0.1", open_port) as session, suppress(smtplib.SMTPException):
        session.sendmail("a@example.org", ["79991234567@sms.local"], f"Subject: {lie}\r\n\r\n{lie}\r\n")
        session.mail("a@example.org")
        session.docmd("RCPT", f"TO:<{lie}@sms.local>")
        session.docmd("RCPT", "TO:<nobody@sms.local>")
        session.docmd(lie)


@pytest.mark.slow
async def test_fail2ban_finds_who_misbehaves_and_nobody_else(tmp_path: Path):
    """Real lines of a bridge: a wrong password, a closed network; no typo, and nothing a client says blames another."""
    program = need("fail2ban-regex")
    smtp = {"listen": [{"address": "127.0.0.1:0", "auth": "optional", "allow": ["127.0.0.1"]},
                       {"address": "127.0.0.1:0", "allow": ["10.0.0.0/8"]}]}  # fmt: skip
    async with running_bridge(tmp_path, {"smtp": smtp, "users": [{"name": "zabbix", "password": HASH}]}) as bridge:
        await asyncio.to_thread(misbehave, bridge.addresses[0][1], bridge.addresses[1][1])
        await bridge.messages()
    log = tmp_path / "mailbridge.log"
    log.write_bytes(bridge.output)
    ended = await run_program(program, "--print-all-matched", log, FILTER)
    assert ended.code == 0, ended
    shown = ended.output.partition("Matched line(s):")[2].partition("`-")[0]
    matched = [event for event in bridge.events_called("rejected") if f'"{event["ts"]}"' in shown]
    assert any(event["reply"].startswith("550 5.1.1") for event in bridge.events_called("rejected"))
    found = {(event["stage"], event["reply"][:9]) for event in matched}
    assert found == {("auth", "535 5.7.8"), ("connect", "550 5.7.1")}, ended
    assert "192.0.2.66" not in shown


@pytest.mark.slow
async def test_logrotate_turns_the_log_of_a_running_bridge(tmp_path: Path):
    """The old lines are in the file beside it; the bridge goes on writing into the new one, from its beginning."""
    program = need("logrotate")
    folder = tmp_path / "log"
    folder.mkdir(mode=0o755)
    log = folder / "mailbridge.log"
    config = tmp_path / "logrotate.conf"
    config.write_text(ROTATE.read_text("utf-8").replace("/var/log/mailbridge", str(folder)))
    config.chmod(0o644)
    async with Simulator() as gateway:
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(base_config(tmp_path, gateway.url)))
        with log.open("ab") as stdout:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "mailbridge", "serve", "--config", str(tmp_path / "config.yaml"), stdout=stdout
            )
        try:
            await until(lambda: b'"ready"' in log.read_bytes())
            for command in (("--debug",), ("--force",)):
                ended = await run_program(program, *command, "--state", tmp_path / "state", config)
                assert (ended.code, "error" in ended.output) == (0, False), ended
            process.send_signal(signal.SIGHUP)
            await until(lambda: b'"reloaded"' in log.read_bytes())
        finally:
            process.terminate()
            await process.wait()
    assert b'"ready"' in (folder / "mailbridge.log.1").read_bytes()
    assert log.read_bytes().startswith(b'{"ts"')
    assert b'"ready"' not in log.read_bytes()
