"""``check``: a plugin for Nagios, Icinga and whatever runs such plugins; and the question of container engines.

By the guidelines of the Monitoring Plugins: one line, ``|`` and performance data; exit 0 OK, 1 WARNING, 2 CRITICAL,
3 UNKNOWN, the last also for a wrong command line.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

import mailbridge
from mailbridge.cli.common import EXIT_FAILED, config_option, get_config
from mailbridge.config.model import Config
from mailbridge.config.units import parse_duration
from mailbridge.errors import ConfigError

_OK, _WARNING, _CRITICAL, _UNKNOWN = 0, 1, 2, 3
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_SERIES = re.compile(r'^(mailbridge_\w+)(?:\{(?:state|gateway)="([^"]*)"\})? ([0-9.e+-]+)$', re.MULTILINE)
_WAITING = ("queued", "sending", "unknown")


class _Plugin(click.Command):
    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            click.echo(f"UNKNOWN - {error.format_message()}")
            sys.exit(_UNKNOWN)


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    """Read ``15m``, or a number of seconds, which plugins are given otherwise."""
    try:
        return float(parse_duration(f"{value}s" if value.isdigit() else value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    warning_s: float
    critical_s: float
    timeout_s: float


def _print_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"check (mailbridge {mailbridge.__version__})")
        context.exit(_OK)


@click.command(cls=_Plugin)
@config_option
@click.option(
    "--warning", "-w", callback=_seconds, default="15m", show_default=True, metavar="TIME",
    help="WARNING where a message waits longer; `15m`, or seconds.",
)  # fmt: skip
@click.option(
    "--critical", "-c", callback=_seconds, default="4h", show_default=True, metavar="TIME",
    help="CRITICAL where a message waits longer.",
)  # fmt: skip
@click.option(
    "--timeout", "-t", callback=_seconds, default="5s", metavar="TIME", help="CRITICAL without an answer by then."
)
@click.option(
    "--ready",
    is_flag=True,
    help="Exit 0 where the bridge can work and 1 where it can't, as container engines ask; "
    "a suspended gateway is no reason to restart.",
)
@click.option(
    "--version", "-V", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Version."
)
def check(config_path: str | None, *, warning: float, critical: float, timeout: float, ready: bool) -> None:
    """Ask the bridge on this machine whether it is well: one status line, exit 0, 1, 2 or 3."""
    try:
        config = get_config(config_path)
    except ConfigError as error:
        click.echo(f"UNKNOWN - configuration: {_one_line(str(error.problems[0]))}")
        sys.exit(EXIT_FAILED if ready else _UNKNOWN)
    limits = _Limits(warning_s=warning, critical_s=critical, timeout_s=timeout)
    code, words = asyncio.run(_check(config, limits, is_brief=ready))
    click.echo(f"{_WORDS[code]} - {words}")
    if ready:
        code = 0 if code in (_OK, _WARNING) else EXIT_FAILED
    sys.exit(code)


def _one_line(words: str) -> str:
    # what follows a bar is read as performance data
    return " ".join(words.replace("|", "/").split())


async def _check(config: Config, limits: _Limits, *, is_brief: bool) -> tuple[int, str]:
    if config.web.listen is None:
        return await _check_banner(config, limits)
    import aiohttp

    from mailbridge.config.addresses import TcpAddress, parse_listen, reachable_host

    address = parse_listen(config.web.listen)
    assert isinstance(address, TcpAddress)
    url = f"http://{TcpAddress(host=reachable_host(address.host), port=address.port)}"
    page = ""
    try:
        timeout = aiohttp.ClientTimeout(total=limits.timeout_s)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            async with session.get(f"{url}/readyz", allow_redirects=False) as answer:
                state = await answer.json(content_type=None)
            if not is_brief:
                async with session.get(f"{url}/metrics", allow_redirects=False) as answer:
                    page = await answer.text() if answer.status == 200 else ""
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return _CRITICAL, f"no answer from {url}/readyz"
    return _judge(state, page, limits)


def _judge(state: object, page: str, limits: _Limits) -> tuple[int, str]:
    if not isinstance(state, dict) or not isinstance(state.get("checks"), dict):
        return _UNKNOWN, "that is not a mailbridge"
    wrong = [f"{name}: {result}" for name, result in state["checks"].items() if result != "ok"]
    suspended = [name for name, word in state.get("gateways", {}).items() if word != "up"]
    series = _read(page)
    oldest_s, held = series.get(("mailbridge_queue_oldest_seconds", ""), 0.0), _messages(series, "held")
    late = f"a message waits for {oldest_s:.0f} s"
    perfdata = _perfdata(series, suspended=len(suspended), limits=limits)
    if wrong or oldest_s > limits.critical_s:
        return _CRITICAL, f"{_one_line(', '.join(wrong or [late]))}{perfdata}"
    troubles = [f"gateway suspended: {', '.join(suspended)}"] if suspended else []
    troubles += [late] if oldest_s > limits.warning_s else []
    troubles += [f"{held:.0f} messages held for a person"] if held else []
    if troubles:
        return _WARNING, f"{_one_line('; '.join(troubles))}{perfdata}"
    return _OK, f"queue, listeners and worker are well{perfdata}"


def _read(page: str) -> Mapping[tuple[str, str], float]:
    """Return the series with one label or none, by name and its value."""
    return {(name, label): float(value) for name, label, value in _SERIES.findall(page)}


def _messages(series: Mapping[tuple[str, str], float], *states: str) -> float:
    return sum(series.get(("mailbridge_messages", state), 0.0) for state in states)


def _perfdata(series: Mapping[tuple[str, str], float], *, suspended: int, limits: _Limits) -> str:
    """Return `` | 'label'=value[unit];warning;critical;minimum`` for each figure there is."""
    figures = [f"suspended={suspended};0;;0"]
    if series:
        oldest_s = series.get(("mailbridge_queue_oldest_seconds", ""), 0.0)
        figures += [
            f"oldest={oldest_s:.0f}s;{limits.warning_s:.0f};{limits.critical_s:.0f};0",
            f"waiting={_messages(series, *_WAITING):.0f};;;0",
            f"held={_messages(series, 'held'):.0f};0;;0",
        ]
        figures += [
            f"'balance {gateway}'={value:.2f}" for (name, gateway), value in series.items()
            if name == "mailbridge_gateway_balance"
        ]  # fmt: skip
    return f" | {' '.join(figures)}"


async def _check_banner(config: Config, limits: _Limits) -> tuple[int, str]:
    """Without a web listener the door itself is asked."""
    from mailbridge.config.addresses import TcpAddress, parse_listen, reachable_host

    where = config.smtp.listen[0].address
    address = parse_listen(where)
    try:
        async with asyncio.timeout(limits.timeout_s):
            if isinstance(address, TcpAddress):
                reader, writer = await asyncio.open_connection(reachable_host(address.host), address.port)
            else:
                reader, writer = await asyncio.open_unix_connection(address.path)
            banner = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return _CRITICAL, f"nobody answers on {where}"
    if not banner.startswith(b"220 "):
        return _CRITICAL, f"{where} answers without a 220 banner"
    return _OK, f"{where} answers"
