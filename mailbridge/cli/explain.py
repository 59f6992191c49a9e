"""``explain``: step by step, why a mail would be accepted or refused; stores and sends nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from mailbridge.cli.common import (
    EXIT_FAILED,
    config_file,
    config_option,
    json_option,
    opened_store,
    plain,
    print_json,
    read_mail,
    run,
)
from mailbridge.clock import SystemClock
from mailbridge.config.load import load_with_places
from mailbridge.errors import StoreError
from mailbridge.explain import Step
from mailbridge.model.mail import Client


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), required=False)
@click.option("--from", "sender", default=None, metavar="ADDRESS", help="Envelope sender; else the mail's From.")
@click.option("--to", "addresses", multiple=True, required=True, metavar="PHONE@DOMAIN", help="Recipient; repeatable.")
@click.option("--client", default="127.0.0.1", metavar="IP", help="The client's address; `unix` for a socket.")
@click.option("--user", default=None, metavar="NAME", help="The name the client signed in with.")
@config_option
@json_option
@run
async def explain(
    file: Path | None,
    sender: str | None,
    addresses: tuple[str, ...],
    client: str,
    user: str | None,
    config_path: str | None,
    *,
    as_json: bool,
) -> None:
    """Say why the mail in FILE (or on stdin) would be accepted or refused, and by which line of the configuration."""
    from mailbridge.clerk import Clerk, explanation_json
    from mailbridge.people.calendars import load_calendars
    from mailbridge.queue.connect import is_made

    config, places = load_with_places(config_file(config_path), environ=os.environ, need_gateway=False)
    content, clock = read_mail(file), SystemClock()
    asked: dict[str, Any] = {"sender": sender, "client": Client(address=client, user=user)}
    explained = None
    if is_made(config.queue.url):
        try:
            async with opened_store(config) as store:
                calendars = await load_calendars(config.rotas, store, clock)
                clerk = Clerk(config=config, clock=clock, calendars=calendars, places=places)
                explained = await clerk.explain(store, content, addresses, **asked)
        except StoreError as trouble:
            click.echo(f"mailbridge: the queue cannot be asked: {trouble}", err=True)
    if explained is None:
        explained = await Clerk(config=config, clock=clock, places=places).explain(None, content, addresses, **asked)
    if as_json:
        print_json(explanation_json(explained))
    else:
        for step in explained.steps:
            _print(step)
        click.secho(f"{explained.verdict}: {explained.reply}", bold=True)
    if explained.verdict != "accepted":
        sys.exit(EXIT_FAILED)


def _print(step: Step) -> None:
    place = f"  [{step.config}]" if step.config else ""
    click.echo(f"{step.stage:<9} {step.result:<12} {plain(step.because)}{place}")
