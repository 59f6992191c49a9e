"""One, two and four bridges on one PostgreSQL: mails taken, and messages sent, a second.

The database is the one of ``--queue-url``, or a private server of the distribution that keeps what it says it keeps
(fsync on). Each number of nodes has its own queue in it, so that they take their turns in each round like all others.
Sessions are shared among the nodes as a balancer would.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench import rig
from bench.turns import MODES, Contestant, Pressure, Say, take_rounds
from mailbridge.errors import StoreError
from mailbridge.queue.connect import open_store
from tests.support import postgresql

NODES = (1, 2, 4)


def measure(options: argparse.Namespace, folder: Path, say: Say) -> dict[str, Any]:
    """Return the turns by number of nodes. Raises: rig.Unavailable where this version or machine has no such queue."""
    _need_support(options.queue_url or "postgresql://bench@/bench")
    pressure = Pressure(options.seconds, max(1, options.rounds - 2), options.sessions, options.client)
    with ExitStack() as stack:
        queue_url = stack.enter_context(_queues(options.queue_url))
        field = {}
        for count in NODES:
            gateway, url = stack.enter_context(rig.gateway()), queue_url(count)
            places = [folder / f"{count}-{number}" for number in range(count)]
            nodes = [stack.enter_context(rig.bridge(place, gateway.port, queue_url=url)) for place in places]
            field[str(count)] = Contestant(nodes, gateway)
        return {"turns": {MODES[True]: take_rounds(field, pressure, keep=True, say=say)}}


def _need_support(url: str) -> None:
    try:
        open_store(url)
    except StoreError as error:
        raise rig.Unavailable(str(error)) from None


@contextmanager
def _queues(url: str) -> Iterator[Callable[[int], str]]:
    """Yield what gives a number of nodes the URL of an empty queue: *url* with that number in it, or a new one."""
    if url:
        yield lambda count: url.replace("{nodes}", str(count))
        return
    try:
        with postgresql.running_postgresql(postgresql.SAFE) as server:
            yield lambda count: server.create_queue(f"nodes{count}")
    except pytest.skip.Exception as error:
        raise rig.Unavailable(str(error)) from None
