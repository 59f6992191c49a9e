"""``preview``: what would be sent for a mail, as the running bridge would decide; sends nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import click

from mailbridge.clerk import Foretold
from mailbridge.cli.common import (
    EXIT_FAILED,
    config_option,
    fail,
    get_config,
    json_option,
    opened_store,
    plain,
    print_json,
    read_mail,
    run,
)
from mailbridge.clock import SystemClock
from mailbridge.config.model import Config
from mailbridge.errors import IntakeError
from mailbridge.gateway.contract import Price
from mailbridge.model.mail import Client
from mailbridge.model.message import Message
from mailbridge.model.reading import GENERIC_PROFILE
from mailbridge.people.rota import Calendar


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), required=False)
@click.option("--to", "addresses", multiple=True, required=True, metavar="PHONE@DOMAIN", help="Recipient; repeatable.")
@click.option("--from", "sender", default=None, metavar="ADDRESS", help="Envelope sender; else the mail's From.")
@click.option("--client", default="127.0.0.1", metavar="IP", help="The client's address, for rules about networks.")
@click.option("--cost", is_flag=True, help="Ask the gateway for the price too.")
@config_option
@json_option
@run
async def preview(
    file: Path | None,
    addresses: tuple[str, ...],
    sender: str | None,
    client: str,
    config_path: str | None,
    *,
    cost: bool,
    as_json: bool,
) -> None:
    """Show what the mail in FILE (or on stdin) would become: sender, text, alphabet, parts."""
    from mailbridge.clerk import Clerk, foretold_json
    from mailbridge.people.calendars import load_calendars

    config, clock = get_config(config_path, need_gateway=cost), SystemClock()
    content = read_mail(file)
    calendars: Mapping[str, Calendar] = {}
    if any(rota.ics for rota in config.rotas.values()):
        async with opened_store(config) as store:
            calendars = await load_calendars(config.rotas, store, clock)
    clerk = Clerk(config=config, clock=clock, calendars=calendars)
    try:
        foretold = clerk.preview(content, addresses, sender=sender, client=Client(address=client))
    except IntakeError as refusal:
        fail(f"would be refused: {refusal.reply}", EXIT_FAILED)
    prices = await _prices(config, [one.planned.message for one in foretold]) if cost else [None] * len(foretold)
    if as_json:
        print_json({"messages": [foretold_json(one, price) for one, price in zip(foretold, prices, strict=True)]})
    else:
        for one, price in zip(foretold, prices, strict=True):
            _print(one, price)
    if cost and None in prices:
        sys.exit(EXIT_FAILED)


async def _prices(config: Config, messages: Sequence[Message]) -> list[Price | None]:
    """Return what *messages* cost; asked once a day for numbers that begin alike, and kept where there is a queue."""
    from mailbridge.carriers import build_carriers
    from mailbridge.prices import ask_price, read_prices
    from mailbridge.queue.connect import is_made

    clock = SystemClock()
    carriers = build_carriers(config, clock)
    gateway, currency = carriers[0].gateway, carriers[0].policy.currency or ""
    answers = []
    try:
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(opened_store(config)) if is_made(config.queue.url) else None
            for message in messages:
                # what one has heard is known to the next
                known = {} if store is None else await read_prices(store)
                asked = ask_price(gateway, message, currency=currency, store=store, known=known, now=clock.now())
                answers.append(await asked)
    finally:
        for carrier in carriers:
            await carrier.gateway.aclose()
    for answer in answers:
        if not isinstance(answer, Price):
            click.echo(f"mailbridge: no price: {answer.code} {answer.text}", err=True)
    return [
        replace(answer, currency=answer.currency or currency) if isinstance(answer, Price) else None
        for answer in answers
    ]


def _print(foretold: Foretold, price: Price | None) -> None:
    from mailbridge.clerk import cost_of

    planned, message = foretold.planned, foretold.planned.message
    facts = [_parts(message.parts), message.alphabet.value, f"translit {message.translit}"]
    facts += [f"sender {message.sender or 'of the account'}"]
    facts += [word for word in (message.flash and "flash", message.time and f"time {message.time}") if word]
    if message.profile not in {None, GENERIC_PROFILE}:
        facts.append(f"profile {message.profile}")
    if message.rule is not None:
        facts.append(f"rule {plain(message.rule)}")
    if planned.decision.action.value != "send":
        facts.append(f"action {planned.decision.action.value}")
    if price is not None:
        facts.append(f"price {price.cost} {price.currency}")
    click.secho(f"{message.phone}  ({', '.join(facts)})", bold=True)
    for line in message.text.splitlines() or [""]:
        click.echo(f"  {plain(line)}")
    if foretold.wait is not None:
        click.echo(f"  {foretold.wait.stage}, {foretold.wait.result}: {plain(foretold.wait.because)}")
    for note in message.notes:
        click.echo(f"  note: {plain(note)}")
    if len(foretold.candidates) > 1:
        for way in foretold.candidates:
            cost = f", {cost_of(way, foretold, price)} {price.currency}" if price is not None else ""
            text = plain(" / ".join(way.text.splitlines()))
            click.echo(f"  {way.name} ({_parts(way.parts)}, {way.alphabet.value}{cost}): {text}")


def _parts(count: int) -> str:
    return f"{count} part{'s' if count != 1 else ''}"
