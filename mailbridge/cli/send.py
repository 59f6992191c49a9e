"""``send PHONE... TEXT``: puts messages into the queue like a mail would; the running bridge sends them."""

from __future__ import annotations

import sys

import click

from mailbridge.cli.common import (
    EXIT_FAILED,
    EXIT_TEMPFAIL,
    config_option,
    fail,
    get_config,
    json_option,
    opened_store,
    print_json,
    run,
    who,
)
from mailbridge.clock import SystemClock
from mailbridge.errors import IntakeError, TryLater


@click.command()
@click.argument("phones_and_text", nargs=-1, required=True, metavar="PHONE... TEXT")
@click.option("--sender", default=None, help="Sender name instead of the configured one.")
@config_option
@json_option
@run
async def send(phones_and_text: tuple[str, ...], sender: str | None, config_path: str | None, *, as_json: bool) -> None:
    """Queue TEXT for each PHONE; TEXT `-` is read from stdin. The running bridge sends it."""
    from mailbridge.admin import message_json
    from mailbridge.clerk import Clerk, Order
    from mailbridge.people.calendars import load_calendars

    if len(phones_and_text) < 2:
        fail("write mailbridge send PHONE... TEXT", 2)
    *phones, text = phones_and_text
    if text == "-":
        text = sys.stdin.read()
    config, clock = get_config(config_path), SystemClock()
    order = Order(to=tuple(phones), text=text, sender=sender)
    async with opened_store(config) as store:
        clerk = Clerk(config=config, clock=clock, calendars=await load_calendars(config.rotas, store, clock))
        try:
            rows = (await clerk.send(store, order, by=who())).messages
        except TryLater as refusal:
            fail(f"refused: {refusal}", EXIT_TEMPFAIL)
        except IntakeError as refusal:
            fail(f"refused: {refusal.reply}", EXIT_FAILED)
    if as_json:
        print_json([message_json(row) for row in rows])
    else:
        for row in rows:
            click.echo(f"queued as {row.id}: {row.message.phone}, {row.parts} part(s)")
