"""Named points at which a crash test ends the process, as ``kill -9`` would: ``MAILBRIDGE_CRASH_AT=after intent``.

Without the variable they cost a call that does nothing. ``after intent:3`` dies at the third passage.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping

#: every point there is, in the order a message passes them; the last two are those of the process itself
NAMES = (
    "before commit",
    "after commit",
    "before intent",
    "after intent",
    "after answer",
    "after settle",
    "before callback commit",
    "after callback commit",
    "before report",
    "after report",
    "before a gathering closes",
    "after a gathering closed",
    "before an escalation step",
    "after an escalation step",
    "after an SMS came in",
    "before an SMS is settled",
    "after recovery",
    "draining",
)


def from_environment(environ: Mapping[str, str]) -> Callable[[str], None]:
    """Return the function the parts call at each point. Raises ValueError for a name that is no point."""
    wanted, _, count = environ.get("MAILBRIDGE_CRASH_AT", "").partition(":")
    if not wanted:
        return lambda _name: None
    if wanted not in NAMES:
        raise ValueError(f"MAILBRIDGE_CRASH_AT: no point {wanted!r}; there are {', '.join(NAMES)}")
    left = int(count or 1)

    def pass_by(name: str) -> None:
        nonlocal left
        if name == wanted:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return pass_by
