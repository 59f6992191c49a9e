"""All benchmarks with one command: ``make bench``.

    python -m bench [--only NAME]… [--write] [--quick | --full] [--seconds S] [--rounds N] …
    python -m bench --write-last

Each part's figures go to bench/results/last.json as soon as it is done, also when another part fails; tables of them
are printed at the end. ``--write`` then takes them over into bench/results/published.json, from which
docs/explain/performance.md and its plots are made; ``--write-last`` does so with what the last run has left.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import page, rig

RESULTS = rig.HERE / "results"
LAST = RESULTS / "last.json"
PARTS = ("accept", "end_to_end", "latency", "backlog", "memory", "crowd", "nodes")


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, and keep; return 1 where a part failed."""
    options = _options(words)
    if options.write_last:
        page.publish(json.loads(LAST.read_text()))
        return 0
    results: dict[str, Any] = {}
    RESULTS.mkdir(exist_ok=True)
    for name in options.only or PARTS:
        results[name] = _run(name, options)
        LAST.write_text(json.dumps(results, indent=1) + "\n")
    print("\n".join(page.text_of(results)))
    if options.write:
        page.publish(results)
    return int(any("error" in result for result in results.values()))


def _run(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one part; what goes wrong in it is part of its result, and no other's."""
    start = time.monotonic()

    def say(words: str) -> None:
        print(f"[{name} {time.monotonic() - start:4.0f} s] {words}", file=sys.stderr, flush=True)

    head: dict[str, Any] = {
        **rig.describe_machine(),
        "load": rig.load_average(),
        "sessions": options.sessions,
        "client": rig.name_of_client(options.client),
    }
    say(f"begins; the machine's load is {head['load']}")
    found: Mapping[str, Any]
    try:
        with tempfile.TemporaryDirectory(prefix="mailbridge-bench-", dir=options.folder) as folder:
            # mailers of other users write into folders of their own beside it
            found = importlib.import_module(f"bench.part_{name}").measure(options, Path(folder), say)
    except rig.Unavailable as error:
        say(f"left out: {error}")
        found = {"skipped": str(error)}
    except Exception as error:  # noqa: BLE001 - the other parts' figures are worth having
        traceback.print_exc()
        found = {"error": f"{type(error).__name__}: {error}"[:500]}
    say("ends")
    return {**head, "took_s": round(time.monotonic() - start), **found}


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="this part, and others named so")
    parser.add_argument("--write", action="store_true", help="take the figures over into the page")
    parser.add_argument("--write-last", action="store_true", help="measure nothing: take over what was measured last")
    parser.add_argument("--quick", action="store_true", help="a minute or two, to see that all of it runs")
    parser.add_argument("--full", action="store_true", help="more rounds, a past of ten million messages: over an hour")
    parser.add_argument("--seconds", type=float, help="of the accepting part of each turn")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--sessions", type=int, default=32)
    parser.add_argument("--client", choices=("auto", "smtp-source", "python"), default="auto")
    parser.add_argument("--waiting", type=int, help="messages of the backlog")
    parser.add_argument(
        "--history", type=int, help="finished messages of the past; each has four entries in the history"
    )
    parser.add_argument("--queue-url", default="", help="empty PostgreSQL queues for the part nodes, {nodes} in it")
    parser.add_argument(
        "--folder", type=Path, help="where queues lie while measuring: the disk to be measured, with 10 GB free"
    )
    options = parser.parse_args(words)
    defaults = {"seconds": 3.0, "rounds": 5, "waiting": 1_000_000, "history": 2_500_000, "scale": 1.0}
    if options.full:
        defaults |= {"seconds": 6.0, "rounds": 11, "history": 10_000_000, "scale": 3.0}
    if options.quick:
        defaults |= {"seconds": 0.5, "rounds": 1, "waiting": 20_000, "history": 20_000, "scale": 0.1}
    options.scale = defaults.pop("scale")
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


if __name__ == "__main__":
    sys.exit(main())
