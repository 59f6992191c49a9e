"""The reference page of the gateway's codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_page_is_what_the_tables_say():
    """``docs/reference/error-codes.md`` is generated; nobody has edited one without the other."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate-error-codes", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
