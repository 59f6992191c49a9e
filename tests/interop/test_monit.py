"""A real Monit with the page's lines, and the SMS of a failure and its end."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path

import pytest

from tests.support.bridge import Bridge
from tests.support.documents import ROOT, blocks
from tests.support.programs import need

PAGE = ROOT / "docs/howto/monit.md"
PHONE = "+79991234567"


@pytest.mark.timeout(120)
async def test_a_failure_and_its_end(bridge: Bridge, tmp_path: Path) -> None:
    """Only the port is changed; a file goes and comes back."""
    program = need("monit")
    [lines] = [block.text for block in blocks(PAGE) if "set mailserver" in block.text]
    shown = re.findall(r"`(db1 backup: [^`]+)`", PAGE.read_text("utf-8"))
    watched = tmp_path / "backup"
    watched.write_text("x")
    config = tmp_path / "monitrc"
    config.write_text(
        f"set daemon 1\nset idfile {tmp_path}/id\nset statefile {tmp_path}/state\nset pidfile {tmp_path}/pid\n"
        f"{lines.replace('port 2525', f'port {bridge.port}')}\ncheck file backup with path {watched}\n"
        "    if does not exist then alert\n"
    )
    config.chmod(0o600)
    log = tmp_path / "monit.log"
    with log.open("wb") as output:
        monit = await asyncio.create_subprocess_exec(
            program, "-I", "-v", "-c", str(config), stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        watched.unlink()
        (problem,) = await bridge.messages()
        watched.write_text("x")
        recovery = (await bridge.messages(2))[1]
    finally:
        monit.terminate()
        await monit.wait()
    got = [(one["phone"], one["text"]) for one in (problem, recovery)]
    assert got == [(PHONE, text.replace("db1", socket.gethostname())) for text in shown], log.read_text()[-3000:]
