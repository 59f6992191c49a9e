"""``version`` and ``hash-password``."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

import click

import mailbridge
from mailbridge.cli.common import fail, json_option, print_json, unread_config_option

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
