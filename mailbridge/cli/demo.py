"""The ``demo``: bridge and simulator in one process, a temporary queue, one line to paste."""

from __future__ import annotations

import secrets
import sys
from dataclasses import replace
from pathlib import Path

import click
from argon2 import PasswordHasher
from pydantic import SecretStr

from mailbridge import log as logging_setup
from mailbridge.cli.runner import listen_of, run_bridge
from mailbridge.config.addresses import TcpAddress, is_loopback_host, reachable_host
from mailbridge.config.model import Config, Gateway, Listener, MessageDefaults, Queue, Smtp, User, Web
from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import AccountSettings, SimulatorSettings

#: who signs in to the demo's desk
DEMO_USER = "admin"


async def run_demo(folder: Path, *, smtp: str, listen: str, desk: str) -> int:
    """Run until a signal; return the exit code."""
    account = AccountSettings()
    password = secrets.token_urlsafe(9)
    host, port = listen_of(listen)
    simulator = Simulator(SimulatorSettings(accounts=(account,)), host=host, port=port)
    try:
        await simulator.start()
    except OSError as error:
        click.echo(f"mailbridge: cannot listen on {listen}: {error.strerror}; choose another with --listen", err=True)
        return 1
    config = Config(
        smtp=Smtp(hostname="localhost", listen=[demo_listener(smtp)]),
        message=MessageDefaults(),
        gateways={"simulator": Gateway(url=[simulator.url], login=account.login, password=SecretStr(account.password))},
        queue=Queue(url=f"sqlite:///{folder / 'queue.db'}"),
        users=[User(name=DEMO_USER, password=SecretStr(PasswordHasher().hash(password)), role="admin")],
        web=Web(listen=None if desk == "off" else desk),
    )
    logging_setup.configure(fmt="console" if sys.stdout.isatty() else "json")
    door_host, door_port = listen_of(smtp)
    address = None
    if desk != "off":
        desk_host, desk_port = listen_of(desk)
        address = TcpAddress(host=desk_host, port=desk_port)
    words = greeting(
        TcpAddress(host=door_host, port=door_port), TcpAddress(host=host, port=simulator.port), desk=address,
        password=password,
    )  # fmt: skip
    try:
        return await run_bridge(config, reload=None, on_ready=lambda: click.echo(words))
    finally:
        await simulator.stop()


#: RFC 1918 and RFC 4193: where the demo is shown to colleagues, or sits in a container behind a published port
_PRIVATE = ["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]


def demo_listener(smtp: str) -> Listener:
    """Return the door at *smtp*: open to this machine, and to private networks where it is asked to listen there."""
    host, _ = listen_of(smtp)
    return Listener(address=smtp) if is_loopback_host(host) else Listener(address=smtp, allow=_PRIVATE)


def greeting(smtp: TcpAddress, page: TcpAddress, *, desk: TcpAddress | None = None, password: str = "") -> str:
    """Return what a newcomer needs to see: the addresses as reached from here, and one line to paste."""
    smtp = replace(smtp, host=reachable_host(smtp.host))
    page = replace(page, host=reachable_host(page.host))
    paste = (
        f'python3 -c "import smtplib, time; s = smtplib.SMTP({smtp.host!r}, {smtp.port}); '
        "s.sendmail('me@example.org', ['+79991234567@sms.local'], "
        "'Subject: Hello from mailbridge\\n\\nIt works: ' + time.ctime()); print('sent')\""
    )
    sign_in = ""
    if desk is not None:
        desk = replace(desk, host=reachable_host(desk.host))
        sign_in = f"  Desk       http://{desk}/   sign in as {DEMO_USER} with {password}\n"
    return (
        f"\n  SMTP       {smtp}   mail for <phone>@sms.local\n"
        f"  Inbox      http://{page}/   every SMS the simulated gateway got\n"
        f"{sign_in}"
        f"\n  Send a first mail from another terminal:\n\n  {paste}\n\n  Ctrl-C stops it.\n"
    )
