"""``queue list/show/retry/hold/release/cancel/export``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import click

from mailbridge.admin import Action, act, find_all, message_json, show
from mailbridge.cli.common import (
    config_option,
    fail,
    get_config,
    json_option,
    opened_store,
    plain,
    print_json,
    print_table,
    run,
    who,
)
from mailbridge.clock import SystemClock
from mailbridge.config.model import Config
from mailbridge.errors import IntakeError
from mailbridge.listing import csv_lines, detail_words, error_words, parse_moment
from mailbridge.model.state import State
from mailbridge.queue.contract import Filter, StoredMessage

_SHOWN = (
    "mail_from", "subject", "client", "sender", "text", "parts", "alphabet", "attempts", "gateway", "gateway_id",
    "price", "error", "rule", "profile", "created_at", "next_attempt_at", "expires_at",
)  # fmt: skip


@click.group()
@config_option
def queue(config_path: str | None) -> None:
    """The queue and its history."""


def _filters(command: Any) -> Any:
    for option in (
        click.option(
            "--state", "states", multiple=True, type=click.Choice([s.value for s in State]), help="Repeatable."
        ),
        click.option("--phone", default=None, help="A number, in any spelling."),
        click.option("--since", default=None, metavar="WHEN", help="2026-01-05, 2026-01-05T09:00Z, or 2h ago as 2h."),
        click.option("--sender", default=None, metavar="GLOB", help="Of the mail, or the SMS: nagios@*, ALERT."),
        click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000_000)),
    ):
        command = option(command)
    return command


def build_filter(
    config: Config, states: Sequence[str], phone: str | None, since: str | None, sender: str | None, limit: int
) -> Filter:
    """Read the options of the command line; what cannot be read ends the verb with exit 2."""
    return Filter(
        states=frozenset(State(state) for state in states) or None,
        phone=None if phone is None else _phone(config, phone),
        since=None if since is None else _moment(since),
        sender=sender,
        limit=limit,
    )


def _phone(config: Config, text: str) -> str:
    from mailbridge.clerk import Clerk

    try:
        return Clerk(config=config, clock=SystemClock()).phone(text)
    except IntakeError as refusal:
        fail(f"--phone {text}: {refusal.reply.text}", 2)


def _moment(text: str) -> datetime:
    try:
        return parse_moment(text, datetime.now(UTC))
    except ValueError as error:
        fail(f"--since {text}: {error}", 2)


@queue.command("list")
@_filters
@config_option
@json_option
@run
async def list_(
    states: tuple[str, ...], phone: str | None, since: str | None, sender: str | None, limit: int,
    config_path: str | None, *, as_json: bool,
) -> None:  # fmt: skip
    """List messages, newest first; finished ones too."""
    config = get_config(config_path)
    wanted = build_filter(config, states, phone, since, sender, limit)
    async with opened_store(config) as store:
        rows = await find_all(store, wanted)
    if as_json:
        print_json([message_json(row) for row in rows])
        return
    print_table(
        ("id", "created", "phone", "state", "tries", "parts", "gateway id", "text", "last error"),
        (
            (
                row.id, f"{row.created_at.astimezone():%d.%m %H:%M:%S}", row.message.phone, row.state.value,
                row.attempts, row.parts, row.gateway_id, _short(row.message.text), error_words(row),
            )
            for row in rows
        ),
    )  # fmt: skip


def _short(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


@queue.command("show")
@click.argument("id_", metavar="ID")
@config_option
@json_option
@run
async def show_(id_: str, config_path: str | None, *, as_json: bool) -> None:
    """Show a message, or all messages of a mail, with their history."""
    async with opened_store(get_config(config_path)) as store:
        shapes = await show(store, id_)
    if as_json:
        # one message is an object, the several of a mail are an array
        print_json(shapes[0] if len(shapes) == 1 else shapes)
        return
    for shape in shapes:
        _print_message(shape)


def _print_message(shape: dict[str, Any]) -> None:
    click.secho(f"{shape['id']}  {shape['phone']}  {shape['state']}", bold=True)
    for name in _SHOWN:
        value = shape.get(name)
        if name == "error" and value:
            value = f"{value['code']} {value['text']} ({value['class']})"
        if value not in (None, ""):
            click.echo(f"  {name.replace('_', ' '):<16}{plain(str(value))}")
    for entry in shape["history"]:
        detail = ", ".join(detail_words(entry["detail"]))
        click.echo(f"  {entry['at']}  {entry['event']:<12}{entry['state']:<12}{plain(detail)}")


def _add_action(action: Action, words: str) -> None:
    @queue.command(action.value, help=words)
    @click.argument("ids", nargs=-1, required=True, metavar="ID...")
    @config_option
    @json_option
    @run
    async def verb(ids: tuple[str, ...], config_path: str | None, *, as_json: bool) -> None:
        config = get_config(config_path)
        async with opened_store(config) as store:
            rows = await act(store, ids, action, lifetime_s=config.queue.lifetime, by=who(), clock=SystemClock())
        if as_json:
            print_json([message_json(row) for row in rows])
        else:
            for row in rows:
                click.echo(f"{row.id}  {row.message.phone}  {row.state.value}")


_add_action(Action.RETRY, "Send again, now: what failed, expired, was cancelled, or waits for its next attempt.")
_add_action(Action.HOLD, "Keep a queued message back until it is released.")
_add_action(Action.RELEASE, "Let a held message go.")
_add_action(Action.CANCEL, "Never send a queued or held message.")
_add_action(Action.RESEND, "Send the same text once more, as a new message, whatever became of the first.")


@queue.command()
@_filters
@click.option("--format", "fmt", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@click.option("--json", "fmt", flag_value="jsonl", help="The same as `--format jsonl`.")
@click.option("--output", type=click.Path(path_type=Path), default=None, help="File instead of stdout.")
@config_option
@run
async def export(
    states: tuple[str, ...], phone: str | None, since: str | None, sender: str | None, limit: int, fmt: str,
    output: Path | None, config_path: str | None,
) -> None:  # fmt: skip
    """Write messages as CSV or JSON lines, newest first."""
    config = get_config(config_path)
    async with opened_store(config) as store:
        rows = await find_all(store, build_filter(config, states, phone, since, sender, limit))
    if output is None:
        _write(rows, fmt, sys.stdout)
        return
    try:
        with output.open("w", encoding="utf-8", newline="") as file:
            _write(_with_progress(rows), fmt, file)
    except OSError as error:
        fail(f"{output}: {error.strerror}")


def _with_progress(rows: Sequence[StoredMessage]) -> Iterable[StoredMessage]:
    from rich.console import Console
    from rich.progress import track

    return track(rows, description="writing", console=Console(stderr=True), disable=not sys.stderr.isatty())


def _write(rows: Iterable[StoredMessage], fmt: str, file: TextIO) -> None:
    if fmt == "jsonl":
        file.writelines(json.dumps(message_json(row), ensure_ascii=False) + "\n" for row in rows)
        return
    file.writelines(csv_lines(rows))
