"""``mailbridge oncall``, and the verbs that take names."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from mailbridge.cli.main import cli
from tests.support.bridge import base_config

ANNA, BORIS = "+79990000001", "+79990000002"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration: a weekly rotation that began yesterday, and a calendar of this week."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    (tmp_path / "dba.ics").write_text(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Boris\r\n"
        f"DTSTART:{yesterday:%Y%m%dT%H%M%SZ}\r\nDURATION:P7D\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    config = base_config(tmp_path, "http://127.0.0.1:1") | {
        "people": {"anna": {"phone": ANNA}, "boris": {"phone": BORIS}},
        "aliases": {"oncall": {"rota": "ops"}, "db": {"rota": "dba"}},
        "rotas": {
            "ops": {"start": f"{yesterday:%Y-%m-%d %H:%M}", "members": ["anna", "boris"], "timezone": "UTC"},
            # beside the configuration
            "dba": {"ics": "dba.ics"},
        },
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return tmp_path


async def run(folder: Path, *words: str, text: str | None = None) -> Result:
    """Run a verb with the configuration in *folder*."""
    return await asyncio.to_thread(CliRunner().invoke, cli, [*words, "--config", str(folder / "config.yaml")], text)


async def data(folder: Path, *words: str) -> Any:
    """Run a verb that must succeed and return what it printed as JSON."""
    result = await run(folder, *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.slow
async def test_it_shows_now_and_two_weeks(folder: Path) -> None:
    """Each rota with its aliases, who it is now with the number, and the turns of two weeks, in words as well."""
    ops, dba = await data(folder, "oncall")
    assert {key: ops[key] for key in ("rota", "aliases", "now", "phones")} == {
        "rota": "ops", "aliases": ["oncall"], "now": ["anna"], "phones": [ANNA],
    }  # fmt: skip
    assert [shift["who"] for shift in ops["shifts"]] == [["anna"], ["boris"], ["anna"]]
    assert (dba["now"], dba["phones"]) == (["Boris"], [BORIS])
    words = (await run(folder, "oncall")).output
    assert f"ops (oncall): anna {ANNA}" in words
    assert f"dba (db): Boris {BORIS}" in words


@pytest.mark.slow
async def test_one_rota_by_its_name_or_an_alias(folder: Path) -> None:
    """``oncall db`` is the rota of that alias; further ahead shows more; a name of neither is refused."""
    assert [shape["rota"] for shape in await data(folder, "oncall", "db")] == ["dba"]
    (ops,) = await data(folder, "oncall", "ops", "--days", "28")
    assert len(ops["shifts"]) == 5
    wrong = await run(folder, "oncall", "nobody")
    assert wrong.exit_code == 2
    assert "there are ops, dba" in wrong.output


@pytest.mark.slow
async def test_the_verbs_take_names(folder: Path) -> None:
    """``send`` and ``preview`` know who is on duty by what was read before."""
    await run(folder, "oncall")
    assert [row["phone"] for row in await data(folder, "send", "oncall", "db", "Hello")] == [ANNA, BORIS]
    (folder / "mail.eml").write_bytes(b"Subject: db1\r\n\r\ndown\r\n")
    shown = await data(folder, "preview", str(folder / "mail.eml"), "--to", "db@sms.local")
    assert [message["phone"] for message in shown["messages"]] == [BORIS]
