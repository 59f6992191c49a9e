"""``gateways`` (state, probe, suspend, resume), ``balance`` and ``status``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from mailbridge.admin import balance_json, command_gateway, gateway_json, gateways_json, spend_json, time_json
from mailbridge.cli.common import (
    EXIT_FAILED,
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
from mailbridge.config.model import Config
from mailbridge.gateway.contract import Silence, StatusMiss, StatusQuery
from mailbridge.model.ids import as_written
from mailbridge.model.outcome import Balance, Receipt, Suspended
from mailbridge.model.state import State
from mailbridge.queue.contract import Json


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def gateways(context: click.Context, config_path: str | None, *, as_json: bool) -> None:
    """State of each gateway."""
    if context.invoked_subcommand is None:
        _show(config_path, as_json=as_json)


@run
async def _show(config_path: str | None, *, as_json: bool) -> None:
    config = get_config(config_path)
    async with opened_store(config) as store:
        shapes = await gateways_json(config, store, spend=await spend_json(store, now=SystemClock().now()))
    if as_json:
        print_json(shapes)
        return
    columns = ("name", "type", "state", "code", "reason", "since", "probe_at", "callback")
    print_table(
        (*columns, "today", "month"),
        ([*(shape[column] for column in columns), *_money_of(shape)] for shape in shapes),
    )


def _money_of(shape: Mapping[str, Any]) -> list[str]:
    """Return what was spent today and this month, in words: ``12.60 RUR``."""
    return [
        ", ".join(f"{entry['amount']} {entry['currency'] or ''}".strip() for entry in shape["spend"][name]) or "0.00"
        for name in ("today", "month")
    ]


def _add_command(name: str, words: str) -> None:
    @gateways.command(name, help=words)
    @click.argument("gateway", metavar="NAME")
    @config_option
    @json_option
    @run
    async def verb(gateway: str, config_path: str | None, *, as_json: bool) -> None:
        config = get_config(config_path)
        if gateway not in config.gateways:
            fail(f"no gateway {gateway}; there are {', '.join(config.gateways)}", 2)
        async with opened_store(config) as store:
            state = await command_gateway(store, gateway, name, clock=SystemClock())
        if as_json:
            print_json(gateway_json(state))
        elif state.suspended:
            click.echo(f"{gateway}: suspended{', probed now' * (name == 'probe' and not state.by_hand)}")
        else:
            click.echo(f"{gateway}: up{', nothing to probe' * (name == 'probe')}")


_add_command("probe", "Ask a suspended gateway now whether it is well.")
_add_command("suspend", "Give it no messages until it is resumed.")
_add_command("resume", "Give it messages again.")


def _pick(config: Config, name: str | None) -> str:
    if name is None:
        return next(iter(config.gateways))
    if name not in config.gateways:
        fail(f"no gateway {name}; there are {', '.join(config.gateways)}", 2)
    return name


@click.command()
@click.option("--gateway", default=None, metavar="NAME", help="Default: the first one.")
@config_option
@json_option
@run
async def balance(gateway: str | None, config_path: str | None, *, as_json: bool) -> None:
    """Ask for the money left on the account."""
    from mailbridge.carriers import build_carriers

    config = get_config(config_path)
    name = _pick(config, gateway)
    carriers = {carrier.name: carrier for carrier in build_carriers(config, SystemClock())}
    try:
        answer = await carriers[name].gateway.balance()
    finally:
        for carrier in carriers.values():
            await carrier.gateway.aclose()
    if not isinstance(answer, Balance):
        error = answer if not hasattr(answer, "error") else answer.error
        fail(f"{name}: SMSC error {error.code}: {error.text}", EXIT_FAILED)
    shape = balance_json(answer, currency=carriers[name].policy.currency)
    if as_json:
        print_json(shape)
    else:
        credit = f", credit {shape['credit']}" if "credit" in shape else ""
        click.echo(f"{name}: {shape['balance']} {shape['currency']}{credit}")


@click.command()
@click.argument("id_", metavar="ID")
@config_option
@json_option
@run
async def status(id_: str, config_path: str | None, *, as_json: bool) -> None:
    """Ask the gateway what became of a message (or of all messages of a mail); changes nothing."""
    from mailbridge.carriers import build_carriers, read_receipt

    config = get_config(config_path)
    async with opened_store(config) as store:
        rows = await store.get_messages(as_written(id_))
    if not rows:
        fail(f"there is no mail or message {id_}")
    carriers = {carrier.name: carrier for carrier in build_carriers(config, SystemClock())}
    shapes: list[dict[str, Json]] = []
    try:
        for row in rows:
            shape: dict[str, Json] = {"id": row.id, "phone": row.message.phone, "state": row.state.value,
                                      "gateway": row.gateway, "gateway_id": row.gateway_id}  # fmt: skip
            carrier = carriers.get(row.gateway or "")
            if carrier is None or row.gateway_id is None:
                shape["answer"] = "never handed to a gateway"
            else:
                is_named = row.state not in {State.SENDING, State.UNKNOWN}
                query = StatusQuery(row.message.phone, row.gateway_id, accepted=is_named)
                answers = await carrier.gateway.status([query])
                answer = StatusMiss.NO_ANSWER if isinstance(answers, Suspended | Silence) else answers[0]
                if isinstance(answer, Receipt):
                    shape |= {"answer": read_receipt(answer).text, "status": answer.status, "err": answer.err,
                              "changed_at": time_json(answer.changed_at)}  # fmt: skip
                else:
                    shape["answer"] = answer.value
            shapes.append(shape)
    finally:
        for carrier in carriers.values():
            await carrier.gateway.aclose()
    if as_json:
        print_json(shapes)
    else:
        columns = ("id", "phone", "state", "gateway_id", "status", "err", "answer", "changed_at")
        print_table(columns, ([shape.get(column) for column in columns] for shape in shapes))
    if all(shape["answer"] == "no answer" for shape in shapes):
        sys.exit(EXIT_FAILED)
