"""``check-config`` and ``config example|schema|show``: they read, and start nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

import click

from mailbridge.cli.common import (
    EXIT_USAGE,
    config_file,
    config_option,
    get_config,
    json_option,
    print_json,
    unread_config_option,
)
from mailbridge.config.load import load_with_places
from mailbridge.config.model import Config, Gateway
from mailbridge.config.tree import Path, undotted
from mailbridge.errors import ConfigError


@click.command("check-config")
@config_option
@json_option
def check_config(config_path: str | None, *, as_json: bool) -> None:
    """Read the configuration and report every problem at once, with file and line."""
    try:
        loaded, places = load_with_places(config_file(config_path), environ=os.environ)
    except ConfigError as error:
        if as_json:
            fields = ("file", "line", "path", "problem", "instead")
            problems = [{field: getattr(problem, field) for field in fields} for problem in error.problems]
            print_json({"ok": False, "problems": problems})
        else:
            for problem in error.problems:
                click.echo(str(problem))
        sys.exit(EXIT_USAGE)
    warnings = _warnings(loaded, places)
    if as_json:
        print_json({"ok": True, "problems": []})
    else:
        click.echo("configuration OK")
        for line in _summary(loaded):
            click.echo(f"  {line}")
    for line in warnings:
        click.echo(f"warning: {line}", err=as_json)


def _warnings(loaded: Config, places: Callable[[Path], str]) -> list[str]:
    """Return what is allowed, and hardly what was meant."""
    from mailbridge.limiter import never_passed
    from mailbridge.people.directory import Directory

    directory, now = Directory(loaded, {}), datetime.now(UTC)
    groups = {name: len(directory.find(name, now) or ()) for name in loaded.aliases}
    return [f"{places(undotted(place))}: {words}" for place, words in never_passed(loaded, groups)]


def _address_of(gateway: Gateway) -> str:
    """Return where a gateway is reached; of one described by its requests the host alone: the rest may be secret."""
    return gateway.url[0] if gateway.request is None else str(urlsplit(gateway.request.url.get_secret_value()).hostname)


def _summary(loaded: Config) -> list[str]:
    listeners = ", ".join(
        f"{listener.address} ({listener.protocol}, tls {listener.tls}, auth {listener.auth})"
        for listener in loaded.smtp.listen
    )
    gateways = ", ".join(
        f"{name} ({gateway.type}, {_address_of(gateway)})" for name, gateway in loaded.gateways.items()
    )
    return [
        f"listens on:  {listeners}",
        f"takes mail:  for {', '.join(loaded.smtp.domains)}; answers with the {loaded.smtp.reply} reply",
        f"gateways:    {gateways or 'none'}",
        f"queue:       {loaded.queue.url.partition(':')[0]}, messages live {loaded.queue.lifetime / 3600:g} h",
        f"bounces:     {loaded.bounce.mode}",
        f"web:         {loaded.web.listen or 'off'}",
    ]


@click.group()
@config_option
def config(config_path: str | None) -> None:
    """Print the example, the JSON Schema or the effective configuration."""


@config.command()
@unread_config_option
def example() -> None:
    """Print the commented example."""
    from mailbridge.config.example import example as text

    click.echo(text(), nl=False)


@config.command()
@unread_config_option
@click.option("--json", is_flag=True, expose_value=False, help="It is JSON in any case.")
def schema() -> None:
    """Print the JSON Schema of the configuration file."""
    from mailbridge.config.schema import json_schema

    print_json(json_schema())


@config.command()
@config_option
@json_option
def show(config_path: str | None, *, as_json: bool) -> None:
    """Print the effective configuration, secrets as ***."""
    from mailbridge.config.show import effective, effective_yaml

    loaded = get_config(config_path)
    if as_json:
        print_json(effective(loaded))
    else:
        click.echo(effective_yaml(loaded), nl=False)
