"""Every document: its links lead somewhere, its commands can be called, its configurations load."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import click
import pytest
import yaml

from mailbridge.cli.main import cli
from mailbridge.cli.sendmail import parse_call
from mailbridge.config.load import load_config
from mailbridge.model import reply as replies
from mailbridge.model.reply import Reply
from tests.support.documents import MANUALS, PAGES, ROOT, blocks, commands, links, mentions, name_of

DECISIONS = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
REPLY = re.compile(r"\b([245]\d\d) ([245]\.\d{1,3}\.\d{1,3})\b")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_somewhere(page: Path) -> None:
    """What a page links to is there."""
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_named_are_there(page: Path) -> None:
    """A path of the project between backticks exists."""
    named = re.findall(
        r"`((?:mailbridge|tests|scripts|docs|contrib|bench)/[\w./-]*)(?: [^`]*)?`", page.read_text(encoding="utf-8")
    )
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", MANUALS, ids=name_of)
def test_commands_can_be_called(page: Path) -> None:
    """Every verb and option a page shows exists."""
    for words in commands(page):
        call(words)
    for words in mentions(page):
        with suppress(click.MissingParameter):
            call(words)


def call(words: list[str]) -> None:
    """Read one command line of either program."""
    if words[0] == "mailbridge-sendmail":
        parse_call(words[1:])
    else:
        parse(words[1:])


def parse(words: list[str]) -> None:
    """Read *words* as the command line does, without running the verb. Raises click.UsageError."""
    command: click.Command = cli
    context = click.Context(cli, info_name="mailbridge")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        inner = command.get_command(context, name)
        if inner is None:
            raise click.UsageError(f"no verb {name}")
        command, context = inner, click.Context(inner, info_name=name, parent=context)
    command.make_context(command.name, list(words), parent=context.parent)


def test_wrong_commands_are_found() -> None:
    """The test above would see a verb or an option that does not exist."""
    for line in ("que list", "queue lst", "queue list --nope", "status", "preview mail.eml"):
        with pytest.raises(click.UsageError):
            parse(line.split())


@pytest.mark.parametrize("page", MANUALS, ids=name_of)
def test_configurations_load(page: Path, tmp_path: Path) -> None:
    """Every YAML block that is not a compose file is taken by the loader as it stands."""
    for number, block in enumerate(blocks(page, "yaml")):
        if "services" in yaml.safe_load(block.text):
            continue
        file = tmp_path / f"{number}.yaml"
        file.write_text(block.text, encoding="utf-8")
        load_config(file, environ={"SMSC_PASSWORD": "p", "SMSC_LOGIN": "l"}, need_gateway=False)


@pytest.mark.parametrize("page", MANUALS, ids=name_of)
def test_replies_exist(page: Path) -> None:
    """Every SMTP reply a page names, code and enhanced code, is in the table of replies."""
    known = {(str(row.code), row.enhanced) for row in vars(replies).values() if isinstance(row, Reply)}
    assert set(REPLY.findall(page.read_text(encoding="utf-8"))) <= known


@pytest.mark.parametrize("page", DECISIONS, ids=name_of)
def test_decisions_have_one_shape(page: Path) -> None:
    """Title with the number of its file, status, date, context, decision, consequences."""
    number = int(page.name[:4])
    assert re.fullmatch(
        rf"# {number}\. .+\n\nStatus: (accepted|replaced by \d+)\n\nDate: \d{{4}}-\d\d-\d\d\n\n"
        r"## Context\n\n.+\n\n## Decision\n\n.+\n\n## Consequences\n\n.+\n",
        page.read_text(encoding="utf-8"),
        re.DOTALL,
    )


def test_numbers_of_decisions_are_given_once() -> None:
    """No two decisions have one number."""
    numbers = [page.name[:4] for page in DECISIONS]
    assert len(set(numbers)) == len(numbers)


def test_every_document_is_on_the_map() -> None:
    """docs/index.md leads to every page of docs/ but the decisions, which have their own list."""
    index = ROOT / "docs/index.md"
    reached = {(index.parent / link).resolve() for link in links(index)}
    wanted = {page for page in (ROOT / "docs").rglob("*.md") if "adr" not in page.parts and page != index}
    assert wanted <= reached
