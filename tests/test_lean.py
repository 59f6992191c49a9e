"""Memory is given back once after a burst, not during it and not again and again; what is not used is not loaded."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from mailbridge.lean import GiveBack


@pytest.fixture
def collections_s():
    """Count full collections while the test runs."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            seen.append(1)

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)


async def test_memory_is_given_back_once_when_a_burst_is_over(collections_s):
    """Two looks without a new mail after some mails: one collection; a quiet night: none."""
    mails = 0
    duty = GiveBack(lambda: mails)
    counts = []
    gc.disable()
    try:
        for now in (0, 10, 20, 20, 20, 20, 25, 25):
            mails = now
            collections_s.clear()
            await duty.step()
            counts.append(len(collections_s))
    finally:
        gc.enable()

    assert counts == [0, 0, 0, 1, 0, 0, 0, 1]


LOADED = """
import asyncio, sys
from mailbridge import lean
lean.import_structlog_alone()
from mailbridge.app import Bridge
from mailbridge.config.model import Config
from mailbridge.queue.connect import open_store
async def main():
    store = open_store(f"sqlite:///{sys.argv[1]}/queue.db", exclusive=True)
    await store.open()
    Bridge(Config(), store=store)
    await store.close()
asyncio.run(main())
print(*sys.modules)
"""


@pytest.mark.parametrize(
    "module",
    [
        "alembic",
        "mailbridge.gateway.smsc.api",
        "psycopg",
        "rich",
        "sqlalchemy.dialects.postgresql",
        "mailbridge.web.api",
        "mailbridge.web.office",
        "mailbridge.webhooks",
    ],
)
def test_a_bridge_on_sqlite_does_not_load(module, tmp_path):
    """Each costs a small daemon megabytes."""
    done = subprocess.run([sys.executable, "-c", LOADED, tmp_path], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "sqlalchemy.dialects.sqlite" in loaded
    assert not [name for name in loaded if name == module or name.startswith(f"{module}.")]
