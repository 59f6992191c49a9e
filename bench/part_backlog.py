"""What a million messages that wait, and a long past, cost: rate, start-up, memory, against an empty queue.

Three bridges run at once, each on its own file, and take their turns in each round. Two of the files were filled
before, by the schema and the statements of the bridge itself. A fourth has as many messages, and all of them are due:
how fast they leave, and what that leaves for mails that come in meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import fill, rig
from bench.turns import MODES, Contestant, Pressure, Say, take_rounds

#: starts of which the median counts
_STARTS = 3
_SETTLE_S = 3.0
_DRAIN_S = 15.0


def measure(options: argparse.Namespace, folder: Path, say: Say) -> dict[str, Any]:
    """Return start-up times, memory and turns by queue, and the rates of a backlog that is due."""
    queues = {"empty": 0, "waiting": options.waiting, "past": options.history}
    kinds = {"waiting": "waiting", "past": "finished"}
    for name, count in queues.items():
        if count:
            _fill(folder / name, kinds[name], count, say)
    starts = {name: _start_often(folder / name, say) for name in queues}
    result: dict[str, Any] = {
        "waiting": options.waiting,
        "finished": options.history,
        "history_entries": options.history * _entries(folder / "past"),
        "file_mb": {name: round((folder / name / "queue.db").stat().st_size / 1e6) for name in queues},
        "start_s": starts,
    }
    result |= _compare(options, folder, list(queues), say)
    for name in queues:
        (folder / name / "queue.db").unlink()
    result["due"] = _drain(options, folder / "due", say)
    return result


def _fill(folder: Path, kind: str, count: int, say: Say) -> None:
    folder.mkdir()
    start = time.monotonic()
    fill.fill(folder / "queue.db", kind, count)
    say(f"{count} messages {kind}, in {time.monotonic() - start:.0f} s")


def _entries(folder: Path) -> int:
    """Return how many entries of the history a finished message has."""
    return fill.entries_each(folder / "queue.db")


def _start_often(folder: Path, say: Say) -> list[float]:
    with rig.gateway() as gateway:
        taken = []
        for _ in range(_STARTS):
            with rig.bridge(folder, gateway.port) as bridge:
                taken.append(round(bridge.started_s, 3))
    say(f"{folder.name}: ready after {statistics.median(taken):.2f} s")
    return taken


def _compare(options: argparse.Namespace, folder: Path, names: list[str], say: Say) -> dict[str, Any]:
    pressure = Pressure(options.seconds, max(1, options.rounds - 1), options.sessions, options.client)
    with ExitStack() as stack:
        field = {}
        for name in names:
            gateway = stack.enter_context(rig.gateway())
            field[name] = Contestant([stack.enter_context(rig.bridge(folder / name, gateway.port))], gateway)
        time.sleep(_SETTLE_S)
        at_rest = {name: one.servers[0].rss_mb() for name, one in field.items()}
        turns = {MODES[True]: take_rounds(field, pressure, keep=True, say=say)}
        after = {name: one.servers[0].rss_mb() for name, one in field.items()}
    say("memory at rest " + ", ".join(f"{name} {mb:.0f} MB" for name, mb in at_rest.items()))
    return {"turns": turns, "rest_mb": at_rest, "loaded_mb": after}


def _drain(options: argparse.Namespace, folder: Path, say: Say) -> dict[str, Any]:
    """Return how fast messages that are all due leave, alone and while mails come in."""
    _fill(folder, "due", options.waiting, say)
    with rig.gateway() as gateway, rig.bridge(folder, gateway.port) as bridge:
        alone = _drain_for(_DRAIN_S * options.scale, bridge, gateway)
        say(f"due: ready after {bridge.started_s:.2f} s, {alone['rate']:.0f} a second leave")
        # nothing waits for these mails' own messages: they stand behind the backlog
        pressure = Pressure(options.seconds, max(1, options.rounds - 2), options.sessions, options.client)
        turns = {MODES[True]: take_rounds({"due": Contestant([bridge])}, pressure, keep=True, say=say)}
        rss_mb = bridge.rss_mb()
    (folder / "queue.db").unlink()
    return {"start_s": bridge.started_s, "alone": alone, "turns": turns, "rss_mb": rss_mb}


def _drain_for(seconds: float, bridge: rig.Server, gateway: rig.Gateway) -> dict[str, float]:
    before, cpu_s, start = gateway.seen(), bridge.cpu_s(), time.monotonic()
    time.sleep(seconds)
    after, elapsed_s = gateway.seen(), time.monotonic() - start
    messages = after["messages"] - before["messages"]
    return {
        "seconds": elapsed_s,
        "messages": messages,
        "rate": messages / elapsed_s,
        "requests": after["requests"] - before["requests"],
        "cpu_s": bridge.cpu_s() - cpu_s,
    }
