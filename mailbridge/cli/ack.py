"""``ack``: answer alerts that somebody has to answer, or list them."""

from __future__ import annotations

import click

from mailbridge.admin import acknowledge, escalation_json, time_json, unanswered
from mailbridge.cli.common import (
    config_option,
    get_config,
    json_option,
    opened_store,
    print_json,
    print_table,
    run,
    who,
)
from mailbridge.clock import SystemClock


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@config_option
@json_option
@run
async def ack(ids: tuple[str, ...], config_path: str | None, *, as_json: bool) -> None:
    """Answer the alerts IDs name: a mail, a message, or the number in the text. Without IDs, list what waits.

    Nobody further is told then, and the running bridge writes to the mail's sender who has answered.
    """
    config, clock = get_config(config_path, need_gateway=False), SystemClock()
    async with opened_store(config) as store:
        if ids:
            found = await acknowledge(store, ids, by=who(), clock=clock)
        else:
            found = list(await unanswered(store, now=clock.now()))
    if as_json:
        print_json([escalation_json(one) for one in found])
        return
    if ids:
        for one in found:
            click.echo(f"{one.escalation.mail_id}: {one.escalation.status.value} by {one.escalation.by}")
        return
    print_table(
        ("mail", "number", "escalation", "status", "steps", "since", "next", "subject"),
        (
            (
                one.escalation.mail_id, one.escalation.number, one.escalation.chain, one.escalation.status.value,
                one.escalation.steps, time_json(one.escalation.opened_at), time_json(one.escalation.due_at),
                "" if one.mail is None else one.mail.subject,
            )
            for one in found
        ),
    )  # fmt: skip
