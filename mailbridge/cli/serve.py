"""``serve`` and ``demo``: run the bridge in the foreground, with signals."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from mailbridge import log as logging_setup
from mailbridge.cli.common import config_file, config_option, unread_config_option
from mailbridge.cli.event_loop import loop_factory
from mailbridge.cli.runner import STOPPED_AT_ONCE, Loaded, configure_log, run_bridge
from mailbridge.config.load import load_with_places


@click.command()
@config_option
def serve(config_path: str | None) -> None:
    """Run the bridge in the foreground."""
    path = config_file(config_path)
    loaded = load_with_places(path, environ=os.environ)
    configure_log(loaded[0])
    _run(loaded, lambda: load_with_places(path, environ=os.environ))


@click.command()
@click.option(
    "--smtp",
    default="127.0.0.1:2525",
    envvar="MAILBRIDGE_DEMO_SMTP",
    show_default=True,
    metavar="HOST:PORT",
    help="Where mail comes in; elsewhere than on loopback, private networks may send, too.",
)
@click.option(
    "--listen",
    default="127.0.0.1:8025",
    envvar="MAILBRIDGE_DEMO_LISTEN",
    show_default=True,
    metavar="HOST:PORT",
    help="The simulator's page and API.",
)
@click.option(
    "--desk",
    default="127.0.0.1:8080",
    envvar="MAILBRIDGE_DEMO_DESK",
    show_default=True,
    metavar="HOST:PORT",
    help="The desk and health pages, or `off`.",
)
@unread_config_option
def demo(smtp: str, listen: str, desk: str) -> None:
    """Run the bridge with the built-in simulator, a temporary queue and no configuration."""
    from mailbridge.cli.demo import run_demo

    with (
        TemporaryDirectory(prefix="mailbridge-demo-") as folder,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        code = runner.run(run_demo(Path(folder), smtp=smtp, listen=listen, desk=desk))
    sys.exit(code)


def _run(loaded: Loaded, reload: Callable[[], Loaded]) -> None:
    config, places = loaded
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        code = runner.run(run_bridge(config, places=places, reload=reload))
    # a thread stuck on a dead disk must not keep a stopped bridge alive
    logging_setup.flush()
    os._exit(code) if code == STOPPED_AT_ONCE else sys.exit(code)
