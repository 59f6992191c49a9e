"""Programs that call sendmail, really run: cron, PHP, mdadm, smartmontools' script, NUT; and the SMS of the page."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from tests.support.bridge import Bridge, running_bridge
from tests.support.callers import OURS, cron_runs, laid_over, sendmail_for
from tests.support.documents import ROOT, blocks
from tests.support.nut import running_ups
from tests.support.programs import free_port, need, run_program, until

PAGE = ROOT / "docs/howto/sendmail.md"
PHONE = "+79991234567"


def shown(start: str) -> str:
    """Return the SMS the page shows that begins with *start*, with this machine's name for the page's."""
    [text] = re.findall(rf"`({re.escape(start)}[^`]+)`", PAGE.read_text("utf-8"))
    return text.replace("db1", socket.gethostname())


def block_of(section: str) -> str:
    """Return the first block of code below a heading of the page."""
    text = PAGE.read_text("utf-8").partition(f"\n## {section}\n")[2]
    [block] = [
        block.text for block in blocks(PAGE) if text.partition("```")[2].partition("\n")[2].startswith(block.text)
    ]
    return block


async def one(bridge: Bridge, count: int = 1) -> str:
    """Return the text of the newest of *count* messages, which must have gone to the page's number."""
    message = (await bridge.messages(count))[-1]
    assert message["phone"] == PHONE
    return message["text"]


async def test_cron_tells_what_a_job_printed(bridge: Bridge, tmp_path: Path) -> None:
    """The page's MAILTO, and a job that prints and runs at once."""
    mailto = block_of("cron").splitlines()[1]
    assert mailto.startswith("MAILTO=")
    job = tmp_path / "backup"
    job.write_text("#!/bin/sh\necho disk is full\n")
    job.chmod(0o755)
    cron = await cron_runs(tmp_path, f"{mailto}\n@reboot root {job}\n", sendmail_for(tmp_path, bridge.port))
    try:
        assert await one(bridge) == shown("db1 cron")
    finally:
        cron.terminate()
        await cron.wait()


async def test_what_cron_says_while_the_bridge_is_down_arrives_later(tmp_path: Path) -> None:
    """A job's mail is kept, and goes out by ``-q`` once there is a bridge."""
    spool, port = tmp_path / "spool", free_port()
    spool.mkdir()
    sendmail = sendmail_for(tmp_path, port, spool)
    cron = await cron_runs(tmp_path, "MAILTO=79991234567@sms.local\n@reboot root echo disk is full\n", sendmail)
    try:
        await until(lambda: [*spool.glob("*/[!.]*.mail")])
    finally:
        cron.terminate()
        await cron.wait()
    async with running_bridge(tmp_path, {"smtp": {"listen": [{"address": f"127.0.0.1:{port}"}]}}) as bridge:
        ended = await run_program(sendmail, "-q")
        assert (ended.code, ended.output) == (0, "")
        assert "disk is full" in await one(bridge)
        assert [*spool.glob("*/*")] == []


async def test_php_sends_by_mail_and_hears_of_a_refusal(bridge: Bridge, tmp_path: Path) -> None:
    """The page's sendmail_path; true for what was taken, false for what was refused."""
    php = need("php")
    line = block_of("PHP").splitlines()[1]
    path = line.partition("= ")[2].strip('"').replace("/usr/local/bin/mailbridge-sendmail", str(OURS))
    env = {"MAILBRIDGE_SMTP": f"127.0.0.1:{bridge.port}", "MAILBRIDGE_SPOOL": "off"}
    [call] = re.findall(r"`(mail\(.+\))` then sends `([^`]+)`", PAGE.read_text("utf-8"))
    code = f'var_dump({call[0]}); var_dump(mail("nobody@sms.local", "x", "y"));'
    ended = await run_program(php, "-n", "-d", f"sendmail_path={path}", "-r", code, env=env)
    assert re.findall(r"bool\((\w+)\)", ended.output) == ["true", "false"], ended
    assert "550 5.1.1" in ended.output
    assert await one(bridge) == call[1]


async def test_mdadm_and_smartd_warn(bridge: Bridge, tmp_path: Path) -> None:
    """The own test of mdadm of a (missing) array, and smartmontools' script called as smartd calls it."""
    mdadm, smartd = need("mdadm"), need("smartd")
    need("mail")
    laid = laid_over(tmp_path, {"/usr/sbin/sendmail": sendmail_for(tmp_path, bridge.port)})
    address = block_of("mdadm").split()[-1]
    told = await run_program(*laid, mdadm, "--monitor", "--test", "--oneshot", f"--mail={address}", "/dev/md0")
    assert told.code == 0, told
    assert await one(bridge) == shown("INFO db1/md0")

    address = re.search(r"-m (\S+)", block_of("smartd"))
    assert address
    assert Path(smartd).exists()
    # what smartd 7.3 puts into the environment of its script (smartd.conf(5), -M exec)
    env = {
        "SMARTD_MAILER": "", "SMARTD_ADDRESS": address[1], "SMARTD_DEVICE": "/dev/sda", "SMARTD_DEVICETYPE": "sat",
        "SMARTD_DEVICESTRING": "/dev/sda", "SMARTD_DEVICEINFO": "WDC WD10, S/N:1, FW:1, 1.00 TB",
        "SMARTD_FAILTYPE": "CurrentPendingSector", "SMARTD_TFIRST": "Wed Nov 25 09:00:00 2026 UTC",
        "SMARTD_TFIRSTEPOCH": "1795597200", "SMARTD_PREVCNT": "0", "SMARTD_NEXTDAYS": "",
        "SMARTD_MESSAGE": "Device: /dev/sda [SAT], 8 Currently unreadable (pending) sectors",
        "SMARTD_FULLMESSAGE": "Device: /dev/sda [SAT], 8 Currently unreadable (pending) sectors",
        "PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{os.environ['PATH']}",
    }  # fmt: skip
    told = await run_program(*laid, "/usr/share/smartmontools/smartd_warning.sh", env=env)
    assert told.code == 0, told
    assert await one(bridge, 2) == shown("WARN db1 SMART")


@pytest.mark.timeout(120)
async def test_nut_tells_of_a_power_cut_and_its_end(bridge: Bridge, tmp_path: Path) -> None:
    """A real upsd, a simulated UPS, upsmon with the page's flags and the page's three lines."""
    [script] = [block.text for block in blocks(PAGE, "sh") if "ups-by-sms" in block.text]
    [flags] = [block.text for block in blocks(PAGE) if "NOTIFYFLAG" in block.text]
    program = tmp_path / "ups-by-sms"
    sendmail = sendmail_for(tmp_path, bridge.port)
    program.write_text(script.replace("/usr/local/bin/mailbridge-sendmail", str(sendmail)))
    program.chmod(0o755)
    tmp_path.chmod(0o755)
    async with running_ups(tmp_path, flags.replace("/usr/local/bin/ups-by-sms", str(program))) as ups:
        ups.set_status("OB DISCHRG")
        assert await one(bridge) == shown("ONBATT"), ups.what_it_said()
        ups.set_status("OL CHRG")
        assert await one(bridge, 2) == shown("ONLINE"), ups.what_it_said()
