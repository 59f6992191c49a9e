"""``oncall``: who is on duty now and in the next two weeks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import click

from mailbridge.clerk import Clerk
from mailbridge.cli.common import (
    config_option,
    fail,
    get_config,
    json_option,
    opened_store,
    print_json,
    print_table,
    run,
)
from mailbridge.clock import SystemClock
from mailbridge.errors import Rejected
from mailbridge.people.calendars import Calendars
from mailbridge.people.directory import Directory
from mailbridge.people.rota import Shift
from mailbridge.queue.contract import Json


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--days", default=14, show_default=True, type=click.IntRange(1, 366), help="How far to look ahead.")
@config_option
@json_option
@run
async def oncall(names: tuple[str, ...], days: int, config_path: str | None, *, as_json: bool) -> None:
    """Show who is on duty now and later, for each rota or for the rotas and aliases NAMEd."""
    config = get_config(config_path, need_gateway=False)
    clock = SystemClock()
    async with opened_store(config) as store:
        calendars = Calendars(store=store, clock=clock)
        directory = Directory(config, calendars.configure(config.rotas))
        calendars.knows = directory.knows
        await calendars.load()
        if any(not calendar.known for calendar in calendars.by_rota.values()):
            await calendars.step()
    clerk = Clerk(config=config, clock=clock, calendars=calendars.by_rota)
    try:
        shapes = clerk.oncall(names, days=days)
    except Rejected as nobody:
        fail(str(nobody), 2)
    if as_json:
        print_json(shapes)
        return
    if not shapes:
        click.echo("there are no rotas")
    for shape in shapes:
        turns = directory.rotas[str(shape["rota"])]
        _print(shape, turns.shifts(clock.now(), clock.now() + timedelta(days=days)), clock.now())


def _print(shape: dict[str, Json], shifts: Sequence[Shift], now: datetime) -> None:
    names, phones, aliases = (_words(shape[key]) for key in ("now", "phones", "aliases"))
    title = f"{shape['rota']}{f' ({aliases})' if aliases else ''}"
    click.secho(f"{title}: {names or 'nobody is known'}{f' {phones}' if phones else ''}", bold=True)
    columns = ("from", "to", "who", "")
    print_table(
        columns,
        (
            (
                _local(shift.begins_at), _local(shift.ends_at), ", ".join(shift.who),
                "now" if shift.begins_at <= now < shift.ends_at else "",
            )
            for shift in shifts
        ),
    )  # fmt: skip


def _words(value: Json) -> str:
    return ", ".join(str(one) for one in value) if isinstance(value, list) else ""


def _local(at: datetime) -> str:
    return at.astimezone().strftime("%a %Y-%m-%d %H:%M")
