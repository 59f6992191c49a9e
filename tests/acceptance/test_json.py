"""The page about JSON says what the verbs print: every key, and no other."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from mailbridge.cli.main import cli
from tests.support.bridge import base_config
from tests.support.documents import ROOT
from tests.support.plain_smsc import PlainSmsc, plain_smsc

PAGE = (ROOT / "docs/reference/json.md").read_text(encoding="utf-8")


def section(title: str) -> dict[str, str]:
    """Return the keys of the table under *title*, and what is said of each."""
    (text,) = re.findall(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| (`.*?`) \| (.*) \|$", text, re.MULTILINE)
    return {key: words for keys, words in rows for key in re.findall(r"`(\w+)`", keys)}


def keys_in(words: str) -> set[str]:
    """Return the names between backticks in *words*."""
    return set(re.findall(r"`(\w+)`", words))


MESSAGE, HISTORY = section("A message"), section("A message with its history")


class Shell:
    """Verbs with a configuration of their own."""

    def __init__(self, folder: Path, gateway: PlainSmsc) -> None:
        self.folder = folder
        self.gateway = gateway

    async def data(self, *words: str, code: int = 0) -> Any:
        """Run a verb with --json and return what it printed."""
        call = [*words, "--json", "--config", str(self.folder / "config.yaml")]
        result = await asyncio.to_thread(CliRunner().invoke, cli, call)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    """A shell with an empty queue."""
    async with plain_smsc() as gateway:
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(base_config(tmp_path, gateway.url)))
        (tmp_path / "mail.eml").write_bytes(b"Subject: s\r\n\r\ntext\r\n")
        yield Shell(tmp_path, gateway)


async def test_messages(shell: Shell) -> None:
    """Of ``send``, ``queue list``, an action and ``queue show``; one message is an object there."""
    sent = await shell.data("send", "+79991234567", "text")
    listed = await shell.data("queue", "list")
    held = await shell.data("queue", "hold", sent[0]["id"])
    shown = await shell.data("queue", "show", sent[0]["id"])

    assert [set(rows[0]) for rows in (sent, listed, held)] == [set(MESSAGE)] * 3
    assert set(shown) == set(MESSAGE) | set(HISTORY)
    assert {key for entry in shown["history"] for key in entry} == keys_in(HISTORY["history"])


async def test_preview(shell: Shell) -> None:
    """With ``--cost`` there are two keys more."""
    shell.gateway.answers["send"] = lambda _form: {"cost": "1.40", "cnt": 1}
    words = ("preview", str(shell.folder / "mail.eml"), "--to", "79991234567@sms.local")
    free, priced = await shell.data(*words), await shell.data(*words, "--cost")
    page = section("What would be sent")

    assert set(free) == {"messages"}
    assert set(free["messages"][0]) == set(page) - {"price", "currency"}
    assert set(priced["messages"][0]) == set(page)
    assert set(free["messages"][0]["candidates"][0]) <= keys_in(page["candidates"])


async def test_balance(shell: Shell) -> None:
    """The credit only where there is one."""
    plain = await shell.data("balance")
    shell.gateway.answers["balance"] = lambda _form: {"balance": "5", "credit": "1", "currency": "KZT"}
    full = await shell.data("balance")

    assert set(plain) == set(section("Money")) - {"credit"}
    assert set(full) == set(section("Money"))


async def test_gateways(shell: Shell) -> None:
    """The list, and what an action prints."""
    (listed,) = await shell.data("gateways")
    suspended = await shell.data("gateways", "suspend", "main")
    page = section("Gateways")

    assert set(listed) == set(page)
    assert set(suspended) == set(page) - {"type", "callback", "spend"}
    assert set(listed["spend"]) <= keys_in(page["spend"])


async def test_status(shell: Shell) -> None:
    """Of a message that was never handed over."""
    await shell.data("send", "+79991234567", "text")
    (row,) = await shell.data("queue", "list")
    (said,) = await shell.data("status", row["id"])

    assert set(said) == set(section("What the gateway says now")) - {"status", "err", "changed_at"}
    assert said["answer"] == "never handed to a gateway"


async def test_check_config(shell: Shell) -> None:
    """Without problems, and with one."""
    good = await shell.data("check-config")
    with (shell.folder / "config.yaml").open("a") as file:
        file.write("nosuch: 1\n")
    bad = await shell.data("check-config", code=2)
    page = section("The configuration's problems")

    assert good == {"ok": True, "problems": []}
    assert set(bad) == set(page)
    assert set(bad["problems"][0]) == keys_in(page["problems"])
