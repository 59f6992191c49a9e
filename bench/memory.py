"""Resident memory of ``mailbridge serve``: at rest, and after many messages were accepted, sent and delivered.

    python bench/memory.py [--messages 100000] [--recipients 20] [--limit-mb 90]

Fails when either is over the limit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import load
import rig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--recipients", type=int, default=20, help="of each mail; 1 takes several minutes")
    parser.add_argument("--limit-mb", type=float, default=90)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="mailbridge-bench-") as folder,
        rig.gateway() as gateway,
        rig.bridge(Path(folder), gateway.port) as bridge,
    ):
        time.sleep(2)
        at_rest_mb = bridge.rss_mb()
        print(f"at rest {at_rest_mb:.1f} MB")
        rounds, peak_mb = 10, 0.0
        for number in range(rounds):
            load.run(
                bridge.port, mails=options.messages // options.recipients // rounds, sessions=16, keep=True,
                client="python", recipients=options.recipients,
            )  # fmt: skip
            peak_mb = max(peak_mb, bridge.rss_mb())
            print(f"{(number + 1) * options.messages // rounds} accepted: {bridge.rss_mb():.1f} MB", flush=True)
        gateway.wait_for(options.messages)
        print(f"all sent: {bridge.rss_mb():.1f} MB", flush=True)
        while gateway.seen()["questions"] < options.messages:
            time.sleep(0.5)
            peak_mb = max(peak_mb, bridge.rss_mb())
        time.sleep(3)
        after_mb = bridge.rss_mb()
        print(f"all delivered: {after_mb:.1f} MB, peak {max(peak_mb, after_mb):.1f} MB; {gateway.seen()}")
    print(rig.describe_machine())
    if max(at_rest_mb, after_mb) > options.limit_mb:
        sys.exit(f"over {options.limit_mb:.0f} MB")


if __name__ == "__main__":
    main()
