"""``preview``: what would be sent for a mail, as the running bridge would decide; sends nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from mailbridge.cli.common import (
    EXIT_FAILED,
    config_option,
    fail,
    get_config,
    json_option,
    opened_store,
    plain,
    print_json,
    run,
)
from mailbridge.clock import SystemClock
from mailbridge.config.model import Config
from mailbridge.errors import IntakeError
from mailbridge.gateway.contract import Price
from mailbridge.model.mail import Client, Recipient
from mailbridge.model.message import Message
from mailbridge.people.rota import Calendar
from mailbridge.queue.contract import Json


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), required=False)
@click.option("--to", "addresses", multiple=True, required=True, metavar="PHONE@DOMAIN", help="Recipient; repeatable.")
@click.option("--cost", is_flag=True, help="Ask the gateway for the price too.")
@config_option
@json_option
@run
async def preview(
    file: Path | None, addresses: tuple[str, ...], config_path: str | None, *, cost: bool, as_json: bool
) -> None:
    """Show what the mail in FILE (or on stdin) would become: sender, text, alphabet, parts."""
    from mailbridge.front import build_doorman
    from mailbridge.intake.compose import Composer
    from mailbridge.intake.parse import parse_mail
    from mailbridge.people.calendars import load_calendars

    config = get_config(config_path, need_gateway=cost)
    mail = parse_mail(_read(file))
    calendars: Mapping[str, Calendar] = {}
    if any(rota.ics for rota in config.rotas.values()):
        async with opened_store(config) as store:
            calendars = await load_calendars(config.rotas, store, SystemClock())
    doorman, composer = build_doorman(config, calendars=calendars), Composer(config.message)
    now = datetime.now(UTC)
    try:
        recipients = [
            one for address in addresses for one in doorman.recipient(address, Client(address="local")).each()
        ]
        messages = composer.compose_all(mail, recipients, now)
    except IntakeError as refusal:
        fail(f"would be refused: {refusal.reply}", EXIT_FAILED)
    prices = await _prices(config, messages) if cost else [None] * len(messages)
    shapes = [
        _shape(message, recipient, price, composer.candidates(mail, recipient, now))
        for message, recipient, price in zip(messages, recipients, prices, strict=True)
    ]
    if as_json:
        print_json({"messages": shapes})
    else:
        for message, price in zip(messages, prices, strict=True):
            _print(message, price)
    if cost and None in prices:
        sys.exit(EXIT_FAILED)


def _read(file: Path | None) -> bytes:
    if file is None or str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        fail(f"{file}: {error.strerror}", 2)


async def _prices(config: Config, messages: Sequence[Message]) -> list[Price | None]:
    from mailbridge.app import build_carriers

    carriers = build_carriers(config, SystemClock())
    currency = carriers[0].policy.currency
    try:
        answers = [await carriers[0].gateway.price(message) for message in messages]
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


def _shape(
    message: Message, recipient: Recipient, price: Price | None, candidates: Sequence[object]
) -> dict[str, Json]:
    from mailbridge.admin import money_json
    from mailbridge.intake.compose import Candidate

    shape: dict[str, Json] = {
        "phone": message.phone, "channel": message.channel, "sender": message.sender, "text": message.text,
        "translit": message.translit, "alphabet": message.alphabet.value, "parts": message.parts,
        "rule": message.rule, "profile": message.profile, "recipient": recipient.address, "notes": list(message.notes),
        "flash": message.flash, "time": message.time, "valid": message.valid,
        "candidates": [
            {"name": c.name, "text": c.text, "alphabet": c.alphabet.value, "parts": c.parts}
            for c in candidates
            if isinstance(c, Candidate)
        ],
    }  # fmt: skip
    if price is not None:
        shape["price"], shape["currency"] = money_json(price.cost), price.currency
    return shape


def _print(message: Message, price: Price | None) -> None:
    parts = f"{message.parts} part{'s' if message.parts != 1 else ''}"
    facts = [parts, message.alphabet.value, f"translit {message.translit}"]
    facts += [f"sender {message.sender or 'of the account'}"]
    facts += [word for word in (message.flash and "flash", message.time and f"time {message.time}") if word]
    if price is not None:
        facts.append(f"price {price.cost} {price.currency}")
    click.secho(f"{message.phone}  ({', '.join(facts)})", bold=True)
    for line in message.text.splitlines() or [""]:
        click.echo(f"  {plain(line)}")
    for note in message.notes:
        click.echo(f"  note: {plain(note)}")
