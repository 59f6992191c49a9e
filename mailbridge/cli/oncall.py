"""``oncall``: who is on duty now and in the next two weeks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import click

from mailbridge.admin import time_json
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
    shapes = [
        _shape(directory, rota, now=clock.now(), days=days)
        for rota in _wanted(directory, names or tuple(directory.rotas))
    ]
    if as_json:
        print_json(shapes)
        return
    if not shapes:
        click.echo("there are no rotas")
    for shape, rota in zip(shapes, _wanted(directory, names or tuple(directory.rotas)), strict=True):
        _print(shape, directory.rotas[rota].shifts(clock.now(), clock.now() + timedelta(days=days)), clock.now())


def _wanted(directory: Directory, names: Sequence[str]) -> list[str]:
    found = []
    for name in names:
        rota = name if name in directory.rotas else directory.rota_of(name)
        if rota is None:
            fail(f"no rota and no alias of one is called {name}; there are {', '.join(directory.rotas) or 'none'}", 2)
        found.append(rota)
    return list(dict.fromkeys(found))


def _shape(directory: Directory, rota: str, *, now: datetime, days: int) -> dict[str, Json]:
    turns, aliases = directory.rotas[rota], directory.aliases_of(rota)
    who = turns.on_duty(now)
    return {
        "rota": rota,
        "aliases": list(aliases),
        "now": list(who),
        "phones": list(directory.numbers(who, now)),
        "shifts": [
            {"from": time_json(shift.begins_at), "to": time_json(shift.ends_at), "who": list(shift.who)}
            for shift in turns.shifts(now, now + timedelta(days=days))
        ],
    }


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
