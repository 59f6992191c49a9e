"""The README's promises that a program can check: its mail, its SMS, its states, its recipes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailbridge.cli.main import cli
from mailbridge.config.load import load_config
from mailbridge.model.state import State
from tests.support.bridge import running_bridge
from tests.support.documents import ROOT, blocks, runs
from tests.support.postfix import _MAIN as POSTFIX_MAIN
from tests.support.programs import need, run_program

README = ROOT / "README.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the README's mail and configuration, where the README's commands are run."""
    (tmp_path / "mail.eml").write_text(blocks(README, "eml")[0].text, encoding="ascii")
    (tmp_path / "config.yaml").write_text(blocks(README, "yaml")[0].text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMSC_PASSWORD", "p")
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_the_sms_shown_is_what_preview_says() -> None:
    """Each preview of the README gives the output that stands below it."""
    [block] = blocks(README, "console")
    shown = runs(block)
    assert len(shown) == 2
    for words, output in shown:
        result = CliRunner().invoke(cli, words[1:])
        assert (result.exit_code, result.output) == (0, output)


def test_the_configuration_is_ten_lines(folder: Path) -> None:
    """Ten lines, accepted as they are, with nothing missing."""
    file = folder / "config.yaml"
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 10
    assert load_config(file, environ={"SMSC_PASSWORD": "p"}).message.sender == "ALERT"


def test_every_state_is_explained() -> None:
    """Whoever looks at `queue list` finds each word of it in the README's table."""
    table = README.read_text(encoding="utf-8").partition("| state |")[2].partition("\n\n")[0]
    named = {
        word for row in table.splitlines() for word in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")
    }
    assert named == {state.value for state in State}


def test_the_postfix_lines_are_those_that_are_tested() -> None:
    """The interoperation tests run Postfix with the README's two lines."""
    tested = POSTFIX_MAIN.format(folder="", sms_port=2525, uid=0).splitlines()
    for page in (README, ROOT / "docs/howto/postfix.md"):
        lines = [line.strip() for line in page.read_text(encoding="utf-8").splitlines()]
        shown = [line for line in lines if line.startswith(("relay_domains =", "transport_maps ="))]
        assert len(shown) == 2
        assert set(shown) <= set(tested)


MACROS = {
    "$SERVICEOUTPUT$": "HTTP CRITICAL: нет ответа за 10 с", "$NOTIFICATIONTYPE$": "PROBLEM", "$HOSTALIAS$": "web1",
    "$SERVICEDESC$": "HTTP", "$SERVICESTATE$": "CRITICAL", "$CONTACTEMAIL$": "79991234567@sms.local",
    "$HOSTOUTPUT$": "PING CRITICAL", "$HOSTSTATE$": "DOWN",
}  # fmt: skip
NAGIOS_TEXTS = {
    "notify-service-by-sms": "PROBLEM web1/HTTP CRITICAL: HTTP CRITICAL: нет ответа за 10 с",
    "notify-host-by-sms": "PROBLEM web1 DOWN: PING CRITICAL",
}


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/howto/nagios.md"])
async def test_the_nagios_commands_send(page: str, tmp_path: Path) -> None:
    """The commands as documented, macros filled in and run by a shell without a locale, become SMS."""
    need("s-nail")
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"command_name +(notify-\S+-by-sms)\n +command_line +(.+)\n", text)
    assert found
    async with running_bridge(tmp_path) as bridge:
        for _, line in found:
            for macro, value in MACROS.items():
                line = line.replace(macro, value)  # noqa: PLW2901 - macro after macro, as Nagios does it
            ended = await run_program(
                "/bin/sh",
                "-c",
                line.replace("127.0.0.1:2525", f"127.0.0.1:{bridge.port}"),
                env={"LC_ALL": "", "LANG": ""},
            )
            assert ended.code == 0, ended
        got = {message["text"] for message in await bridge.messages(len(found))}
    assert got == {NAGIOS_TEXTS[name] for name, _ in found}


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_commands_for_whoever_is_on_duty(tmp_path: Path) -> None:
    """The README's questions about an alert are answered by a running bridge."""
    async with running_bridge(tmp_path) as bridge:
        sent = await bridge.verb("send", "89991234567", "by hand")
        mail_id = re.search(r"queued as (\w+)\.1", sent.output)
        assert mail_id, sent
        await bridge.messages()
        for verb in (
            ("queue", "list", "--since", "2h"), ("queue", "list", "--phone", "89991234567"),
            ("queue", "show", mail_id[1]), ("status", mail_id[1]), ("gateways",), ("balance",), ("check-config",),
        ):  # fmt: skip
            ended = await bridge.verb(*verb)
            assert ended.code == 0, ended
