"""Messages taken and handed to the gateway a second, against what somebody would pick instead.

Every one of them sends to the same gateway, which answers after 50 ms, and has what it needs on the same disk.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import rig, rivals
from bench.turns import MODES, Contestant, Pressure, Say, take_rounds


def measure(options: argparse.Namespace, folder: Path, say: Say) -> dict[str, Any]:
    """Return the turns of each contestant, by mode."""
    pressure = Pressure(options.seconds, max(1, options.rounds - 2), options.sessions, options.client)
    with ExitStack() as stack:
        gateway = stack.enter_context(rig.gateway())
        bridge = stack.enter_context(rig.bridge(folder / "bridge", gateway.port))
        field = {"mailbridge": Contestant([bridge], gateway), **rivals.enter_all(stack, folder, gateway, say)}
        return {"turns": {MODES[keep]: take_rounds(field, pressure, keep=keep, say=say) for keep in (False, True)}}
