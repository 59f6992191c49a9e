"""``version``, ``hash-password`` and ``check``."""

from __future__ import annotations

import asyncio
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

import click

import mailbridge
from mailbridge.cli.common import (
    EXIT_FAILED,
    config_option,
    fail,
    get_config,
    json_option,
    print_json,
    unread_config_option,
)
from mailbridge.config.model import Config
from mailbridge.errors import ConfigError

_LIBRARIES = ("aiosmtpd", "aiohttp", "PyYAML", "pydantic", "SQLAlchemy", "phonenumbers", "uvloop")


@click.command()
@unread_config_option
@json_option
def version(*, as_json: bool) -> None:
    """Print the versions of mailbridge, Python and the libraries."""
    libraries = {}
    for name in _LIBRARIES:
        try:
            libraries[name] = version_of(name)
        except PackageNotFoundError:
            continue
    python = ".".join(str(number) for number in sys.version_info[:3])
    if as_json:
        print_json({"mailbridge": mailbridge.__version__, "python": python, "libraries": libraries})
        return
    click.echo(f"mailbridge {mailbridge.__version__}")
    click.echo(f"python {python}")
    for name, number in libraries.items():
        click.echo(f"{name} {number}")


@click.command("hash-password")
@unread_config_option
def hash_password() -> None:
    """Print an argon2id hash: asks twice on a terminal, reads one line where stdin is none."""
    from argon2 import PasswordHasher

    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        fail("an empty password is none", 2)
    click.echo(PasswordHasher().hash(password))


# Nagios plugin API: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN
_OK, _WARNING, _CRITICAL, _UNKNOWN = 0, 1, 2, 3
_TIMEOUT_S = 5.0


@click.command()
@config_option
@click.option(
    "--ready",
    is_flag=True,
    help="Exit 0 where the bridge can work and 1 where it can't, as container engines ask; "
    "a suspended gateway is no reason to restart.",
)
def check(config_path: str | None, *, ready: bool) -> None:
    """Ask the bridge on this machine whether it is well: one status line, exit 0, 1, 2 or 3."""
    try:
        config = get_config(config_path)
    except ConfigError as error:
        click.echo(f"UNKNOWN - configuration: {error.problems[0]}")
        sys.exit(EXIT_FAILED if ready else _UNKNOWN)
    code, line = asyncio.run(_check(config))
    click.echo(line)
    if ready:
        code = 0 if code in (_OK, _WARNING) else EXIT_FAILED
    sys.exit(code)


async def _check(config: Config) -> tuple[int, str]:
    if config.web.listen is None:
        return await _check_banner(config)
    import aiohttp

    from mailbridge.config.addresses import TcpAddress, parse_listen, reachable_host

    address = parse_listen(config.web.listen)
    assert isinstance(address, TcpAddress)
    url = f"http://{TcpAddress(host=reachable_host(address.host), port=address.port)}/readyz"
    try:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, allow_redirects=False) as answer:
            state = await answer.json(content_type=None)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return _CRITICAL, f"CRITICAL - no answer from {url}"
    return _judge(state)


def _judge(state: object) -> tuple[int, str]:
    if not isinstance(state, dict) or not isinstance(state.get("checks"), dict):
        return _UNKNOWN, "UNKNOWN - that is not a mailbridge"
    wrong = [f"{name}: {result}" for name, result in state["checks"].items() if result != "ok"]
    suspended = [name for name, word in state.get("gateways", {}).items() if word != "up"]
    perfdata = f"|suspended={len(suspended)};1;;0"
    if wrong:
        return _CRITICAL, f"CRITICAL - {', '.join(wrong)}{perfdata}"
    if suspended:
        return _WARNING, f"WARNING - gateway suspended: {', '.join(suspended)}{perfdata}"
    return _OK, f"OK - queue, listeners and worker are well{perfdata}"


async def _check_banner(config: Config) -> tuple[int, str]:
    """Without a web listener the door itself is asked."""
    from mailbridge.config.addresses import TcpAddress, parse_listen, reachable_host

    where = config.smtp.listen[0].address
    address = parse_listen(where)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            if isinstance(address, TcpAddress):
                reader, writer = await asyncio.open_connection(reachable_host(address.host), address.port)
            else:
                reader, writer = await asyncio.open_unix_connection(address.path)
            banner = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return _CRITICAL, f"CRITICAL - nobody answers on {where}"
    if not banner.startswith(b"220 "):
        return _CRITICAL, f"CRITICAL - {where} answers without a 220 banner"
    return _OK, f"OK - {where} answers"
