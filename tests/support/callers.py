"""Programs that call ``/usr/sbin/sendmail``, run where that name is ours; the rest of the machine sees nothing of it."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.programs import need, need_root

OURS = Path(sys.executable).with_name("mailbridge-sendmail")


@functools.cache
def _can_unshare() -> bool:
    done = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True)
    return done.returncode == 0


def sendmail_for(folder: Path, smtp_port: int, spool: str | Path = "off") -> Path:
    """Write our sendmail as a program that knows its bridge whatever its caller's environment is."""
    program = folder / "sendmail"
    program.write_text(
        f'#!/bin/sh\nMAILBRIDGE_SMTP=127.0.0.1:{smtp_port} MAILBRIDGE_SPOOL={spool} exec {OURS} "$@"\n',
        encoding="ascii",
    )
    program.chmod(0o755)
    return program


def laid_over(folder: Path, files: Mapping[str, Path]) -> Sequence[str]:
    """Return what to put before a command so that it, and it alone, sees *files* in the place of the machine's own.

    Skips the test where a file to lay over is not there, or namespaces are not to be had.
    """
    need("unshare")
    need_root("a mount namespace")
    if not _can_unshare():
        pytest.skip("no mount namespace may be made here")
    for name in files:
        if not os.path.lexists(name):
            pytest.skip(f"{name} is not there to be laid over (scripts/install-test-programs)")
    script = folder / "laid-over"
    lines = [f"mount --bind {file} {name}" for name, file in files.items()]
    script.write_text("\n".join(["#!/bin/sh", "set -e", *lines, 'exec "$@"', ""]), encoding="utf-8")
    script.chmod(0o755)
    return ["unshare", "--mount", str(script)]


async def cron_runs(folder: Path, crontab: str, sendmail: Path) -> asyncio.subprocess.Process:
    """Start a real cron whose only crontab is *crontab* (as /etc/crontab), and give it back running."""
    cron = need("cron")
    for name in ("run", "crontabs", "cron.d"):
        (folder / name).mkdir(exist_ok=True)
    file = folder / "crontab"
    file.write_text(crontab, encoding="utf-8")
    file.chmod(0o644)
    before = laid_over(
        folder,
        {
            "/usr/sbin/sendmail": sendmail, "/run": folder / "run", "/var/spool/cron/crontabs": folder / "crontabs",
            "/etc/crontab": file, "/etc/cron.d": folder / "cron.d",
        },
    )  # fmt: skip
    assert shutil.which(before[0])
    return await asyncio.create_subprocess_exec(*before, cron, "-f", stdin=asyncio.subprocess.DEVNULL)
