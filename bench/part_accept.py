"""Mails taken a second, against a bare aiosmtpd that throws them away and a Postfix that takes them to disk.

The bridge answers 250 with the mail on disk (``reply: queued``, fsync on) and sends to a gateway that takes 50 ms.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import postfix, rig
from bench.page import SPREAD
from bench.turns import MODES, Contestant, Pressure, Say, take_rounds

#: ``smtp.workers`` of the bridge that uses more than one core, called ``SPREAD``: one fewer than the cores it is
#: measured on
WORKERS = 1


def measure(options: argparse.Namespace, folder: Path, say: Say) -> dict[str, Any]:
    """Return the turns of each contestant, by mode."""
    pressure = Pressure(options.seconds, options.rounds, options.sessions, options.client)
    with ExitStack() as stack:
        gateway, spread = (stack.enter_context(rig.gateway()) for _ in range(2))
        field = {
            "aiosmtpd": Contestant([stack.enter_context(rig.floor())]),
            "mailbridge": Contestant([stack.enter_context(rig.bridge(folder / "bridge", gateway.port))], gateway),
            SPREAD: Contestant(
                [stack.enter_context(rig.bridge(folder / "workers", spread.port, workers=WORKERS))], spread
            ),
        }
        try:
            taker = stack.enter_context(postfix.running(options.folder))
            field["Postfix to disk"] = Contestant([taker.server], tidy=taker.empty_hold)
        except (rig.Unavailable, RuntimeError, OSError) as error:
            say(f"Postfix is left out: {error}")
        return {"turns": {MODES[keep]: take_rounds(field, pressure, keep=keep, say=say) for keep in (False, True)}}
