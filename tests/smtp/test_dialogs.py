"""Every dialog of ``tests/data/dialogs`` on a TCP port, a unix socket and over LMTP."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvloop

from tests.support.dialog import Dialog
from tests.support.door import open_door, unix_listener

DIALOGS = [Dialog(path) for path in sorted((Path(__file__).parents[1] / "data" / "dialogs").glob("*.cmy"))]


def _ids(dialog: Dialog) -> str:
    return dialog.name


@pytest.mark.parametrize("dialog", [d for d in DIALOGS if d.only != "lmtp"], ids=_ids)
async def test_over_tcp(dialog: Dialog) -> None:
    """The dialog runs on a TCP port as its file says."""
    async with open_door(**dialog.settings) as door:
        await dialog.run(door, lmtp=False)


@pytest.mark.parametrize("dialog", [d for d in DIALOGS if d.only != "lmtp"], ids=_ids)
async def test_over_a_unix_socket(dialog: Dialog, tmp_path: Path) -> None:
    """The dialog runs on a unix socket as its file says."""
    async with open_door(unix_listener(tmp_path), **dialog.settings) as door:
        await dialog.run(door, lmtp=False)


@pytest.mark.parametrize("dialog", [d for d in DIALOGS if d.only != "smtp"], ids=_ids)
async def test_over_lmtp(dialog: Dialog) -> None:
    """The dialog runs over LMTP as its file says, LHLO in the place of EHLO."""
    async with open_door({"protocol": "lmtp"}, **dialog.settings) as door:
        await dialog.run(door, lmtp=True)


def test_there_are_dialogs() -> None:
    """The dialogs were found, and each says in its first line what it shows."""
    assert len(DIALOGS) >= 80
    assert all(dialog.lines[0].startswith("# ") for dialog in DIALOGS)


@pytest.mark.slow
async def test_over_tcp_on_uvloop() -> None:
    """Every SMTP dialog runs the same on the event loop of production."""

    async def run_all() -> list[str]:
        failures = []
        for dialog in DIALOGS:
            if dialog.only == "lmtp":
                continue
            async with open_door(**dialog.settings) as door:
                try:
                    await dialog.run(door, lmtp=False)
                except AssertionError as error:
                    failures.append(f"{dialog.name}: {error}")
        return failures

    assert await asyncio.to_thread(uvloop.run, run_all()) == []
