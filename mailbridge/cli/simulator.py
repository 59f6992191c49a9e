"""``simulator``: the SMSC look-alike on its own."""

from __future__ import annotations

import asyncio
import signal

import click

from mailbridge.cli.common import unread_config_option
from mailbridge.cli.runner import listen_of


@click.command()
@click.option("--listen", default="127.0.0.1:8025", show_default=True, metavar="HOST:PORT")
@click.option("--login", default="demo", show_default=True)
@click.option("--password", default="demo", show_default=True)
@click.option("--balance", default="1000", show_default=True, help="Money on the account.")
@click.option("--callback", default=None, metavar="URL", help="Where delivery statuses are reported.")
@click.option("--callback-secret", default="", help="Signs the callbacks.")
@unread_config_option
def simulator(listen: str, login: str, password: str, balance: str, callback: str | None, callback_secret: str) -> None:
    """Run the SMSC look-alike: same requests, same answers, magic numbers for every trouble. Sends nothing."""
    from decimal import Decimal, InvalidOperation

    from mailbridge.cli.common import fail
    from mailbridge.simulator.settings import AccountSettings, SimulatorSettings

    host, port = listen_of(listen)
    try:
        money = Decimal(balance)
    except InvalidOperation:
        fail(f"--balance {balance}: not an amount", 2)
    account = AccountSettings(
        login=login, password=password, balance=money, callback_url=callback, callback_secret=callback_secret
    )
    asyncio.run(_run(SimulatorSettings(accounts=(account,)), host, port, login))


async def _run(settings: object, host: str, port: int, login: str) -> None:
    from mailbridge.cli.common import fail
    from mailbridge.simulator.server import Simulator
    from mailbridge.simulator.settings import SimulatorSettings

    assert isinstance(settings, SimulatorSettings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = Simulator(settings, host=host, port=port)
    try:
        await running.start()
    except OSError as error:
        fail(f"cannot listen on {host}:{port}: {error.strerror}")
    click.echo(f"simulated SMSC on {running.url}/ (page) and {running.url}/sys/send.php (API), login {login}")
    try:
        await stop.wait()
    finally:
        await running.stop()
