"""What all verbs share: where the configuration is, how data and errors are printed, how a coroutine is run."""

from __future__ import annotations

import asyncio
import functools
import getpass
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import click

from mailbridge.config.load import find_config, load_config
from mailbridge.config.model import Config
from mailbridge.errors import ConfigError, MailbridgeError, NotFound, StoreDamaged, StoreError, WrongState
from mailbridge.queue.contract import Store

#: exit codes (docs/reference/cli.md)
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_TEMPFAIL = 75

P = ParamSpec("P")
T = TypeVar("T")


def config_option(command: Callable[P, T]) -> Callable[P, T]:
    """Add ``--config FILE``; a verb of a group takes what was given to the group."""
    return click.option(
        "--config",
        "config_path",
        metavar="FILE",
        default=None,
        callback=_or_of_group,
        help="Configuration file or folder (default: $MAILBRIDGE_CONFIG, ./config.yaml, /etc/mailbridge/config.yaml).",
    )(command)


def unread_config_option(command: Callable[P, T]) -> Callable[P, T]:
    """Take ``--config FILE`` where no configuration is read, so that a script may give it to every verb."""
    return click.option(
        "--config", metavar="FILE", expose_value=False, help="Taken as by every verb; this one reads no configuration."
    )(command)


def _or_of_group(context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    above = context.parent.params.get("config_path") if context.parent is not None else None
    return value if value is not None else above


def json_option(command: Callable[P, T]) -> Callable[P, T]:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def config_file(config_path: str | None) -> Path:
    """Return where the configuration is. Raises ConfigError."""
    return find_config(config_path, os.environ, Path.cwd())


def get_config(config_path: str | None, *, need_gateway: bool = True) -> Config:
    """Find and load the configuration. Raises ConfigError with every problem."""
    return load_config(config_file(config_path), environ=os.environ, need_gateway=need_gateway)


@asynccontextmanager
async def opened_store(config: Config, *, exclusive: bool = False) -> AsyncIterator[Store]:
    """Open the configured store for one verb; *exclusive*: as the daemon, which must be alone.

    Raises: StoreDamaged from the daemon only while the store is opened, which is when it is checked.
    """
    from mailbridge.queue.connect import open_store

    store = open_store(config.queue.url, exclusive=exclusive)
    await store.open()
    try:
        yield store
    except StoreDamaged as error:
        if not exclusive:
            raise
        raise error.unproven() from error
    finally:
        await store.close()


def run(verb: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Run an async verb."""

    @functools.wraps(verb)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        return asyncio.run(verb(*args, **kwargs))

    return wrapper


def read_mail(file: Path | None) -> bytes:
    """Return the mail in *file*, or the one on stdin."""
    if file is None or str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        fail(f"{file}: {error.strerror}", 2)


def who() -> str:
    """Return who runs the verb, for the history."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:{os.getuid()}"


# ------------------------------------------------------------------------------------------------- output
def print_json(value: object) -> None:
    """Print *value* as JSON, readable and whole."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Print a table, coloured on a terminal; outside text is data, never markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else plain(str(cell)), style=_style_of(str(cell))) for cell in row))
    console = Console()
    # into a pipe a line is a row, however long
    Console(width=None if console.is_terminal else 10_000, highlight=False).print(table)


_STYLES = {
    "delivered": "green", "sent": "green", "up": "green", "ok": "green",
    "failed": "red", "undelivered": "red", "expired": "red", "suspended": "red",
    "unknown": "yellow", "held": "yellow", "queued": "cyan", "sending": "cyan",
}  # fmt: skip


def _style_of(word: str) -> str:
    return _STYLES.get(word, "")


def plain(text: str) -> str:
    """Return *text* without anything that would steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """Print *message* on stderr and leave with *code*."""
    click.echo(f"mailbridge: {message}", err=True)
    sys.exit(code)


def exit_for(error: MailbridgeError) -> NoReturn:
    """Leave with the words and the exit code that go with *error*."""
    match error:
        case ConfigError():
            for problem in error.problems:
                click.echo(str(problem), err=True)
            sys.exit(EXIT_USAGE)
        case NotFound() | WrongState():
            fail(str(error))
        case StoreDamaged():
            # to try again would not help
            fail(f"the queue: {error}")
        case StoreError():
            fail(f"the queue: {error}", EXIT_TEMPFAIL)
        case _:
            fail(str(error))
