"""Mails taken in per second, against a bare aiosmtpd that throws them away; and what becomes of them afterwards.

    python bench/throughput.py [--full] [--write] [--rounds N] [--mails N] [--client auto|smtp-source|python]

The bridge answers 250 with the mail on disk (``reply: queued``, fsync on) while it sends to a gateway that takes 50 ms.
Both servers run from the start; each round loads one, then the other, and the ratio is the median of the rounds'.
Between rounds the bridge finishes its sending, so that no backlog weighs on the other's turn.
"""

from __future__ import annotations

import argparse
import smtplib
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import load
import rig

PAGE = rig.HERE.parent / "docs" / "explain" / "performance.md"


@dataclass
class Turn:
    """One load of one server."""

    mails: int
    elapsed_s: float
    cpu_s: float
    #: until the gateway had the last message, from the first mail
    sent_after_s: float = 0.0
    requests: int = 0

    @property
    def rate(self) -> float:
        return self.mails / self.elapsed_s


def take_turn(server: rig.Server, gateway: rig.Gateway | None, options: argparse.Namespace, *, keep: bool) -> Turn:
    before = gateway.seen() if gateway else {}
    cpu_s, start = server.cpu_s(), time.monotonic()
    mails, elapsed_s = load.run(
        server.port, mails=options.mails, sessions=options.sessions, keep=keep, client=options.client
    )
    turn = Turn(mails, elapsed_s, server.cpu_s() - cpu_s)
    if gateway:
        gateway.wait_for(before["messages"] + mails)
        turn.sent_after_s = time.monotonic() - start
        turn.cpu_s = server.cpu_s() - cpu_s
        turn.requests = gateway.seen()["requests"] - before["requests"]
        time.sleep(0.3)
    return turn


def measure_latency(bridge: rig.Server, gateway: rig.Gateway, count: int = 30) -> tuple[float, float]:
    """Return medians for a lone mail, in ms: end of DATA to 250, and to the request being with the gateway."""
    answered, arrived = [], []
    with smtplib.SMTP("127.0.0.1", bridge.port) as client:
        client.ehlo()
        for number in range(count):
            requests = gateway.seen()["requests"]
            client.mail("nagios@example.org")
            client.rcpt(f"{load.phone(5_000_000 + number)}@sms.local")
            client.docmd("DATA")
            content = load.mail(9_000_000 + number)
            start = time.monotonic()
            client.send(content)
            client.getreply()
            answered.append((time.monotonic() - start) * 1e3)
            while (seen := gateway.seen())["requests"] == requests:
                time.sleep(0.005)
            arrived.append((seen["last_request_at"] - start) * 1e3)
    return statistics.median(answered), statistics.median(arrived)


def table(name: str, floor: Sequence[Turn], bridge: Sequence[Turn]) -> str:
    def middle(values: Sequence[float]) -> float:
        return statistics.median(values)

    ours, theirs = middle([t.rate for t in bridge]), middle([t.rate for t in floor])
    cpu_ours = middle([t.cpu_s / t.mails * 1e6 for t in bridge])
    cpu_theirs = middle([t.cpu_s / t.mails * 1e6 for t in floor])
    end_to_end = middle([t.mails / t.sent_after_s for t in bridge])
    requests = middle([t.requests / t.mails for t in bridge])
    ratios = [a.rate / b.rate for a, b in zip(bridge, floor, strict=True)]
    spread = " ".join(f"{ratio:.2f}" for ratio in ratios)
    cells = (
        name, f"{theirs:.0f}", f"{ours:.0f}", f"**{middle(ratios):.2f}**", spread, f"{end_to_end:.0f}",
        f"{requests:.3f}", f"{cpu_theirs:.0f}", f"{cpu_ours:.0f}",
    )  # fmt: skip
    return _row(cells)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


COLUMNS = (
    "mails", "aiosmtpd, 1/s", "mailbridge, 1/s", "ratio", "ratios of the rounds", "accepted and sent, 1/s",
    "requests a message", "CPU aiosmtpd, µs", "CPU mailbridge with sending, µs",
)  # fmt: skip
HEAD = (_row(COLUMNS), "|---" * len(COLUMNS) + "|")


def measure(options: argparse.Namespace) -> list[str]:
    with (
        tempfile.TemporaryDirectory(prefix="mailbridge-bench-", dir=options.folder) as folder,
        rig.floor() as floor,
        rig.gateway() as gateway,
        rig.bridge(Path(folder), gateway.port) as bridge,
    ):
        rows: list[str] = []
        answered, arrived = measure_latency(bridge, gateway)
        for name, keep in (("a connection each", False), ("over kept connections", True)):
            turns: tuple[list[Turn], list[Turn]] = ([], [])
            for number in range(options.rounds + 1):
                pair = (take_turn(floor, None, options, keep=keep), take_turn(bridge, gateway, options, keep=keep))
                said = f"round {number}" if number else "warm-up"
                print(f"  {name}, {said}: {pair[0].rate:.0f} {pair[1].rate:.0f}", file=sys.stderr)
                if number:
                    for kept, turn in zip(turns, pair, strict=True):
                        kept.append(turn)
            rows.append(table(name, *turns))
    client = "smtp-source" if options.client != "python" and load.SMTP_SOURCE else "bench/load.py"
    load_words = f"{options.sessions} sessions of {client}, {options.rounds} rounds of {options.mails}"
    latency = f"250 after {answered:.1f} ms, its request with the gateway after {arrived:.1f} ms"
    return [
        f"{rig.describe_machine()}; {load_words}.",
        "",
        *HEAD,
        *rows,
        "",
        f"A lone mail, medians from the end of DATA: {latency}.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="more and longer rounds")
    parser.add_argument("--write", action="store_true", help=f"put the figures into {PAGE.name}")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--mails", type=int)
    parser.add_argument("--sessions", type=int, default=32)
    parser.add_argument("--client", choices=("auto", "smtp-source", "python"), default="auto")
    parser.add_argument("--folder", help="where the queue lies while measuring: the disk to be measured")
    options = parser.parse_args()
    options.rounds = options.rounds or (9 if options.full else 5)
    options.mails = options.mails or (12_000 if options.full else 3_000)
    lines = measure(options)
    print("\n".join(lines))
    if options.write:
        write(lines)


def write(lines: list[str]) -> None:
    """Put *lines* between the marks of the page."""
    begin, end = "<!-- figures -->", "<!-- /figures -->"
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text("\n".join([before + begin, *lines, end + after]), encoding="utf-8")


if __name__ == "__main__":
    main()
