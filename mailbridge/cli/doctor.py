"""``doctor``: configuration, ports, TLS files, queue, clock, names, gateways, smarthost; sends nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Sequence

import click

from mailbridge.cli.common import (
    EXIT_FAILED,
    EXIT_USAGE,
    config_file,
    config_option,
    json_option,
    opened_store,
    plain,
    print_json,
    run,
)
from mailbridge.cli.handover import read_settings
from mailbridge.clock import SystemClock
from mailbridge.config.load import load_config
from mailbridge.config.model import Config
from mailbridge.doctor.check import Check
from mailbridge.doctor.examine import Patient, examine
from mailbridge.errors import ConfigError


@click.command()
@config_option
@json_option
@run
async def doctor(config_path: str | None, *, as_json: bool) -> None:
    """Look at everything the bridge stands on, and say what to do: sends nothing, changes nothing.

    Exit 0: all is well; 1: something is not; 2: the configuration is wrong.
    """
    checks: list[Check] = []

    def found(check: Check) -> None:
        checks.append(check)
        if not as_json:
            _show(check)

    config = None
    try:
        path = config_file(config_path)
        config = load_config(path, environ=os.environ)
        found(Check(name="configuration", ok=True, detail=f"{path} is right"))
    except ConfigError as error:
        for problem in error.problems:
            found(Check(name="configuration", ok=False, detail=str(problem).rpartition("; ")[0] or str(problem),
                        fix=problem.instead))  # fmt: skip
    if config is not None:
        async for check in _examined(config):
            found(check)
    ok = all(check.ok for check in checks)
    if as_json:
        print_json({"ok": ok, "checks": [_shape(check) for check in checks]})
    else:
        click.echo(_verdict(checks))
    sys.exit(0 if ok else EXIT_USAGE if config is None else EXIT_FAILED)


async def _examined(config: Config) -> AsyncIterator[Check]:
    from mailbridge.carriers import build_carriers
    from mailbridge.queue.connect import is_made

    clock = SystemClock()
    gateways = [carrier.gateway for carrier in build_carriers(config, clock)]
    try:
        spool = read_settings().spool
    except ValueError:
        spool = None
    patient = Patient(
        config=config, gateways=gateways, open_store=lambda: opened_store(config), is_made=is_made(config.queue.url),
        clock=clock, spool=spool,
    )  # fmt: skip
    try:
        async for check in examine(patient):
            yield check
    finally:
        for gateway in gateways:
            await gateway.aclose()


def _show(check: Check) -> None:
    click.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {plain(check.detail)}")
    if check.fix:
        click.echo(f"      {plain(check.fix)}")


def _shape(check: Check) -> dict[str, object]:
    return {"name": check.name, "ok": check.ok, "detail": check.detail, "fix": check.fix}


def _verdict(checks: Sequence[Check]) -> str:
    wrong = sum(not check.ok for check in checks)
    return f"all {len(checks)} checks are well" if not wrong else f"{wrong} of {len(checks)} checks are not well"
