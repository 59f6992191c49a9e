"""``send PHONE... TEXT``: puts messages into the queue like a mail would; the running bridge sends them."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

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
    from mailbridge.front import build_doorman, prepare_text
    from mailbridge.intake.address import quote_local
    from mailbridge.model.mail import Client
    from mailbridge.people.calendars import load_calendars
    from mailbridge.pressure import check_room

    if len(phones_and_text) < 2:
        fail("write mailbridge send PHONE... TEXT", 2)
    *phones, text = phones_and_text
    if text == "-":
        text = sys.stdin.read()
    config = get_config(config_path)
    domain = next((name for name, channel in config.smtp.domains.items() if channel == "sms"), "")
    client = Client(address="local", user=who())
    async with opened_store(config) as store:
        doorman = build_doorman(config, calendars=await load_calendars(config.rotas, store, SystemClock()))
        try:
            recipients = [doorman.recipient(f"{quote_local(phone)}@{domain}", client) for phone in phones]
            new = prepare_text(config, text, recipients, sender=sender, client=client, now=datetime.now(UTC))
        except IntakeError as refusal:
            fail(f"refused: {refusal.reply}", EXIT_FAILED)
        try:
            await check_room(store, coming=len(new.messages), limit=config.queue.max_waiting)
        except TryLater as refusal:
            fail(f"refused: {refusal}", EXIT_TEMPFAIL)
        await store.put(new)
        rows = await store.get_messages(new.id)
    if as_json:
        print_json([message_json(row) for row in rows])
    else:
        for row in rows:
            click.echo(f"queued as {row.id}: {row.message.phone}, {row.parts} part(s)")
