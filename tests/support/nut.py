"""A private NUT: upsd with a simulated UPS of its own dummy driver, and upsmon."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.support.callers import laid_over
from tests.support.programs import free_port, until

_UPS = """\
[ups]
driver = dummy-ups
port = {folder}/ups.dev
mode = dummy-loop
desc = "simulated"
pollinterval = 1
"""
_MON = """\
MONITOR ups@localhost:{port} 1 monitor secret primary
MINSUPPLIES 1
SHUTDOWNCMD "/bin/true"
POLLFREQ 1
POLLFREQALERT 1
DEADTIME 15
RUN_AS_USER {user}
"""


class Ups:
    """The simulated UPS."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def set_status(self, status: str) -> None:
        """Let the driver find *status*: ``OL`` on line, ``OB`` on battery."""
        new = self._folder / "ups.new"
        new.write_text(f"ups.status: {status}\nbattery.charge: 90\nTIMER 1\n")
        new.rename(self._folder / "ups.dev")

    def what_it_said(self) -> str:
        """Return the output of all three programs."""
        return "\n".join(file.read_text("utf-8", "replace") for file in sorted(self._folder.glob("nut-*.log")))


@asynccontextmanager
async def running_ups(folder: Path, notify: str) -> AsyncIterator[Ups]:
    """Run driver, upsd and upsmon until the block ends; *notify*: lines of upsmon.conf."""
    # what stands in PATH is a script that looks into /etc/nut first
    driver, upsd, upsmon = (
        shutil.which(name, path="/lib/nut:/usr/lib/nut") for name in ("dummy-ups", "upsd", "upsmon")
    )
    if driver is None or upsd is None or upsmon is None:
        pytest.skip("NUT is not installed (scripts/install-test-programs)")
    port, user = free_port(), pwd.getpwuid(os.getuid()).pw_name
    state = folder / "nut"
    state.mkdir(mode=0o700)
    (state / "nut").mkdir()
    files = {
        "nut.conf": "MODE=standalone\n", "ups.conf": _UPS.format(folder=state),
        "upsd.conf": f"LISTEN 127.0.0.1 {port}\n",
        "upsd.users": "[monitor]\npassword = secret\nupsmon primary\n",
        "upsmon.conf": _MON.format(port=port, user=user) + notify,
    }  # fmt: skip
    for name, text in files.items():
        (state / name).write_text(text)
        (state / name).chmod(0o600)
    ups = Ups(state)
    ups.set_status("OL CHRG")
    env = {**os.environ, "NUT_CONFPATH": str(state), "NUT_STATEPATH": str(state), "NUT_PIDPATH": str(state),
           "NUT_ALTPIDPATH": str(state)}  # fmt: skip
    running: list[asyncio.subprocess.Process] = []
    try:
        running.append(await _start(state, "driver", env, driver, "-a", "ups", "-u", user, "-D"))
        await until((state / "dummy-ups-ups").exists, saying=ups.what_it_said)
        running.append(await _start(state, "upsd", env, upsd, "-u", user, "-D"))
        await until(lambda: "Connected to UPS" in ups.what_it_said(), saying=ups.what_it_said)
        # its pid file has a fixed place
        laid = laid_over(folder, {"/run": state})
        running.append(await _start(state, "upsmon", env, *laid, upsmon, "-u", user, "-D"))
        await until(lambda: "logged into UPS" in ups.what_it_said(), saying=ups.what_it_said)
        yield ups
    finally:
        for process in reversed(running):
            # upsmon is two processes, and the one we know does not end the other
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in running:
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _start(folder: Path, name: str, env: Mapping[str, str], *command: str) -> asyncio.subprocess.Process:
    with (folder / f"nut-{name}.log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=env,
            start_new_session=True,
        )
