"""``explain``: step by step, why a mail would be accepted or refused; stores and sends nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

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
from mailbridge.explain import Explainer, Step
from mailbridge.model.mail import Client
from mailbridge.people.rota import Calendar
from mailbridge.queue.contract import GatewayState


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
    from mailbridge.front import build_doorman, build_planner
    from mailbridge.intake.parse import parse_mail
    from mailbridge.people.calendars import load_calendars
    from mailbridge.queue.connect import is_made

    config, places = load_with_places(config_file(config_path), environ=os.environ, need_gateway=False)
    content = read_mail(file)
    mail = parse_mail(content)
    calendars: Mapping[str, Calendar] = {}
    gateways: Mapping[str, GatewayState] = {}
    if is_made(config.queue.url):
        try:
            async with opened_store(config) as store:
                calendars = await load_calendars(config.rotas, store, SystemClock())
                gateways = await store.gateway_states()
        except StoreError as trouble:
            click.echo(f"mailbridge: the queue cannot be asked: {trouble}", err=True)
    doorman = build_doorman(config, calendars=calendars)
    explainer = Explainer(
        config=config, places=places, doorman=doorman, planner=build_planner(config, doorman), gateways=gateways
    )
    explained = explainer.explain(
        mail, size_bytes=len(content), sender=mail.from_address if sender is None else sender, recipients=addresses,
        client=Client(address=client, user=user), now=datetime.now(UTC),
    )  # fmt: skip
    if as_json:
        steps = [
            {"stage": s.stage, "result": s.result, "because": s.because, "config": s.config} for s in explained.steps
        ]
        print_json({"verdict": explained.verdict, "reply": str(explained.reply), "steps": steps})
    else:
        for step in explained.steps:
            _print(step)
        click.secho(f"{explained.verdict}: {explained.reply}", bold=True)
    if explained.verdict != "accepted":
        sys.exit(EXIT_FAILED)


def _print(step: Step) -> None:
    place = f"  [{step.config}]" if step.config else ""
    click.echo(f"{step.stage:<10}{step.result:<13}{plain(step.because)}{place}")
