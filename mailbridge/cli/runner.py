"""Running a bridge until a signal ends it; shared by ``serve`` and ``demo``.

SIGTERM and SIGINT drain and stop, a second one stops at once; SIGHUP reloads and keeps the last good configuration.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
from collections.abc import Awaitable, Callable

import structlog

from mailbridge import lean
from mailbridge import log as logging_setup
from mailbridge.clerk import no_places
from mailbridge.cli.common import EXIT_FAILED, fail, opened_store
from mailbridge.cli.supervisor import Supervisor
from mailbridge.config.model import Config
from mailbridge.errors import ConfigError
from mailbridge.explain import Places

log = structlog.get_logger()


def configure_log(config: Config) -> None:
    """Log as *config* has it."""
    logging_setup.configure(fmt=config.log.format, level=config.log.level, phones=config.log.phones)


#: files open beside the connections: queue, listeners, requests, libraries
_OTHER_FILES = 256
#: what asyncio says before the system's own words
_BINDING = re.compile(r"error while attempting to bind on address \('([^']*)', (\d+)[^)]*\): ")
#: two signals: the second one said "now"
STOPPED_AT_ONCE = 130


#: a configuration, and where its keys stand
Loaded = tuple[Config, Places]


async def run_bridge(
    config: Config, *, reload: Callable[[], Loaded] | None, on_ready: Callable[[], None] | None = None,
    places: Places = no_places,
) -> int:  # fmt: skip
    """Run a bridge until a signal stops it; return the exit code."""
    from mailbridge.app import Bridge
    from mailbridge.failpoints import from_environment

    lean.share_one_heap()
    _raise_file_limit(config.smtp.max_connections)
    supervisor = Supervisor(os.environ, os.getpid())
    async with opened_store(config, exclusive=True) as store, supervisor.watched():
        bridge = Bridge(config, store=store, failpoint=from_environment(os.environ), places=places)
        loop = asyncio.get_running_loop()
        stop, now = asyncio.Event(), asyncio.Event()

        def on_stop() -> None:
            (now if stop.is_set() else stop).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_stop)
        reloads: set[asyncio.Task[None]] = set()

        def on_hup() -> None:
            supervisor.reloading()
            task = asyncio.create_task(_reload(bridge.reload, reload), name="reload")
            task.add_done_callback(lambda _: supervisor.ready())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        if reload is not None:
            loop.add_signal_handler(signal.SIGHUP, on_hup)
        try:
            await bridge.start()
        except (OSError, ValueError) as error:
            log.error("cannot start", because=in_words(error))  # noqa: TRY400 - the operator needs the words, not the trace
            await bridge.stop(0)
            return EXIT_FAILED
        lean.settle()
        supervisor.ready(f"mail on {', '.join(listener.address for listener in config.smtp.listen)}")
        if on_ready is not None:
            on_ready()
        await stop.wait()
        supervisor.stopping()
        return await _stop(bridge.stop, now)


def _raise_file_limit(connections: int) -> None:
    """Ask for as many open files as the connections allowed may need; what the system gives has to do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
        if hard < wanted:
            log.warning("few files", limit=hard, wanted=wanted, because="smtp.max_connections may not be reached")


async def _stop(stop: Callable[[], object], now: asyncio.Event) -> int:
    stopping = asyncio.ensure_future(stop())  # type: ignore[call-overload]
    at_once = asyncio.ensure_future(now.wait())
    await asyncio.wait({stopping, at_once}, return_when=asyncio.FIRST_COMPLETED)
    at_once.cancel()
    if stopping.done():
        await stopping
        return 0
    log.warning("stopped at once", because="second signal; what was in flight is asked about after the next start")
    stopping.cancel()
    return STOPPED_AT_ONCE


async def _reload(
    put_in_force: Callable[[Config, Places], Awaitable[None]], reload: Callable[[], Loaded] | None
) -> None:
    assert reload is not None
    try:
        config, places = reload()
        await put_in_force(config, places)
    except ConfigError as error:
        log.error("reload refused", problems=[str(problem) for problem in error.problems])  # noqa: TRY400
    except (OSError, ValueError) as error:
        log.error("reload refused", problems=[in_words(error)])  # noqa: TRY400
    else:
        configure_log(config)


def in_words(error: OSError | ValueError) -> str:
    """Return *error* as an operator reads it: without its number and the library's way to say it."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    words = _BINDING.sub(r"\1:\2: ", error.strerror)
    return f"{error.filename}: {words}" if error.filename else words


def listen_of(text: str) -> tuple[str, int]:
    """Read ``HOST:PORT`` from the command line."""
    from mailbridge.config.addresses import TcpAddress, parse_listen

    try:
        address = parse_listen(text)
    except ValueError as error:
        fail(f"{text}: {error}", 2)
    if not isinstance(address, TcpAddress):
        fail(f"{text}: write HOST:PORT", 2)
    return address.host, address.port
