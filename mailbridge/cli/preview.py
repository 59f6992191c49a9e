"""``preview``: what would be sent for a mail, as the running bridge would decide; sends nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
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
    read_mail,
    run,
)
from mailbridge.clock import SystemClock
from mailbridge.config.model import Config
from mailbridge.errors import IntakeError
from mailbridge.gateway.contract import Price
from mailbridge.intake.compose import Candidate
from mailbridge.model.mail import Client
from mailbridge.model.message import Message
from mailbridge.model.reading import GENERIC_PROFILE
from mailbridge.people.rota import Calendar
from mailbridge.planner import Planned
from mailbridge.queue.contract import Json


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
    from mailbridge.front import build_doorman, build_planner
    from mailbridge.intake.parse import parse_mail
    from mailbridge.people.calendars import load_calendars

    config = get_config(config_path, need_gateway=cost)
    mail = parse_mail(read_mail(file))
    calendars: Mapping[str, Calendar] = {}
    if any(rota.ics for rota in config.rotas.values()):
        async with opened_store(config) as store:
            calendars = await load_calendars(config.rotas, store, SystemClock())
    doorman, now = build_doorman(config, calendars=calendars), datetime.now(UTC)
    planner, who = build_planner(config, doorman), Client(address=client)
    try:
        recipients = [doorman.recipient(address, who) for address in addresses]
        from_ = mail.from_address if sender is None else sender
        groups = planner.plan(mail, recipients, sender=from_, client=who, now=now)
    except IntakeError as refusal:
        fail(f"would be refused: {refusal.reply}", EXIT_FAILED)
    planned = [one for group in groups for one in group]
    ways = [planner.candidates(mail, one, now) for one in planned]
    prices = await _prices(config, [one.message for one in planned]) if cost else [None] * len(planned)
    if as_json:
        shapes = [_shape(one, price, some) for one, price, some in zip(planned, prices, ways, strict=True)]
        print_json({"messages": shapes})
    else:
        for one, price, some in zip(planned, prices, ways, strict=True):
            _print(one, price, some)
    if cost and None in prices:
        sys.exit(EXIT_FAILED)


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


def _shape(planned: Planned, price: Price | None, candidates: Sequence[Candidate]) -> dict[str, Json]:
    from mailbridge.admin import money_json

    message = planned.message
    ways: list[dict[str, Json]] = [
        {"name": c.name, "text": c.text, "alphabet": c.alphabet.value, "parts": c.parts} for c in candidates
    ]
    shape: dict[str, Json] = {
        "phone": message.phone, "channel": message.channel, "sender": message.sender, "text": message.text,
        "translit": message.translit, "alphabet": message.alphabet.value, "parts": message.parts,
        "rule": message.rule, "profile": message.profile, "action": planned.decision.action.value,
        "recipient": planned.recipient.address, "notes": list(message.notes), "flash": message.flash,
        "time": message.time, "valid": message.valid, "candidates": [*ways],
    }  # fmt: skip
    if price is not None:
        shape["price"], shape["currency"] = money_json(price.cost), price.currency
        for way, candidate in zip(ways, candidates, strict=True):
            way["price"] = money_json(_cost_of(candidate, message, price))
    return shape


def _cost_of(candidate: Candidate, message: Message, price: Price) -> Decimal:
    """Return what *candidate* would cost uncut: the gateway's price is for each part (smsc-api.md 2.4)."""
    return price.cost / message.parts * candidate.parts


def _print(planned: Planned, price: Price | None, candidates: Sequence[Candidate]) -> None:
    message = planned.message
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
    for note in message.notes:
        click.echo(f"  note: {plain(note)}")
    if len(candidates) > 1:
        for way in candidates:
            cost = f", {_cost_of(way, message, price)} {price.currency}" if price is not None else ""
            text = plain(" / ".join(way.text.splitlines()))
            click.echo(f"  {way.name} ({_parts(way.parts)}, {way.alphabet.value}{cost}): {text}")


def _parts(count: int) -> str:
    return f"{count} part{'s' if count != 1 else ''}"
