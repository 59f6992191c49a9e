"""From the end of DATA to the 250 and to the gateway's socket: of lone mails, and at half of what the bridge can send.

Every mail has a phone of its own, by which the gateway tells when its message came.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import paced, rig
from bench.turns import Contestant, Pressure, Say, take_turn

#: of the distribution that is kept, in percent
QUANTILES = (0, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100)
#: between two lone mails: the first one's answer from the gateway is settled by then
_IDLE_GAP_S = 0.08
_LOADED_S = 20.0


def measure(options: argparse.Namespace, folder: Path, say: Say) -> dict[str, Any]:
    """Return quantiles in milliseconds, idle and under half of the load that a few turns show to be its most."""
    pressure = Pressure(options.seconds, 1, options.sessions, options.client)
    with rig.gateway() as gateway, rig.bridge(folder / "bridge", gateway.port) as bridge:
        gateway.arrivals()
        warm_up(bridge, gateway)
        idle_mails = round(1000 * options.scale)
        idle = _distances(bridge, gateway, mails=idle_mails, rate=1 / _IDLE_GAP_S, sessions=1, even=True)
        say(f"idle: {_brief(idle)}")
        one = Contestant([bridge], gateway)
        most = max(take_turn(one, pressure, mails=round(1500 * options.seconds), keep=True).sent_rate for _ in range(2))
        gateway.arrivals()
        mails = round(most / 2 * _LOADED_S * options.scale)
        loaded = _distances(bridge, gateway, mails=mails, rate=most / 2, sessions=options.sessions)
        say(f"at {most / 2:.0f} a second: {_brief(loaded)}")
    return {
        "idle": {"rate": 1 / _IDLE_GAP_S, "mails": idle_mails, "ms": idle},
        "half": {"rate": most / 2, "mails": mails, "ms": loaded},
    }


def warm_up(bridge: rig.Server, gateway: rig.Gateway) -> None:
    """Let it see a few mails first."""
    _distances(bridge, gateway, mails=50, rate=50.0, sessions=1, even=True)


def _distances(
    bridge: rig.Server, gateway: rig.Gateway, *, mails: int, rate: float, sessions: int, even: bool = False
) -> dict[str, dict[str, float]]:
    before = gateway.seen()["messages"]
    sent = paced.run(bridge.port, mails=mails, rate=rate, sessions=sessions, even=even)
    gateway.wait_for(before + len(sent))
    arrived = gateway.arrivals()
    return {
        "from its end to its 250": quantiles([one.answered_at - one.dot_at for one in sent]),
        "from its end to the gateway": quantiles([arrived[one.phone] - one.dot_at for one in sent]),
        "from its 250 to the gateway": quantiles([arrived[one.phone] - one.answered_at for one in sent]),
    }


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return the quantiles of *seconds* in milliseconds, each a value that was seen (nearest rank)."""
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return {f"{q:g}": round(ordered[min(last, int(q / 100 * len(ordered)))] * 1e3, 3) for q in QUANTILES}


def _brief(distances: dict[str, dict[str, float]]) -> str:
    return "; ".join(f"{name} p50 {ms['50']:.1f} p99 {ms['99']:.1f} ms" for name, ms in distances.items())
