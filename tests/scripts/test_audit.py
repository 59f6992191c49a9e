"""``scripts/audit`` asks the advisory service, and nobody else."""

from __future__ import annotations

import os
import pty
import runpy
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ASKS = "import getpass, sys; sys.stdin.readline() or getpass.getpass('User for the index: ')"


def test_what_it_runs_can_ask_nobody(tmp_path: Path) -> None:
    """A program that wants a password, run as pip-audit is, ends at once, though a terminal is there to ask on."""
    alone = runpy.run_path(str(ROOT / "scripts" / "audit"), run_name="audit")["ALONE"]
    lines = [
        "import os, subprocess, sys",
        # who leads a session and opens a terminal has it as its own: /dev/tty
        "os.open(os.ttyname(0), os.O_RDWR)",
        "os.close(os.open('/dev/tty', os.O_RDWR))",
        f"asks = [sys.executable, '-c', {ASKS!r}]",
        f"sys.exit(subprocess.run(asks, timeout=10, **{alone!r}).returncode)",
    ]
    file = tmp_path / "asking.py"
    file.write_text("\n".join(lines))
    leader, follower = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, str(file)], stdin=follower, stdout=follower, stderr=subprocess.PIPE, timeout=30,
            start_new_session=True, check=False,
        )  # fmt: skip
    finally:
        os.close(follower)
        os.close(leader)
    assert done.returncode == 1
    assert b"EOFError" in done.stderr
