"""When a gateway is left alone, and when it is asked whether it is well again; pure.

Codes 2, 3 and 4 suspend at once; transport failures do after ``TRANSPORT_FAILURES`` in a row.
A suspended gateway costs no message an attempt: one cheap probe at a growing interval decides (contract section 5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from mailbridge.model.outcome import Balance, SmsError, Suspended
from mailbridge.queue.contract import GatewayState

TRANSPORT_FAILURES = 5
TRANSPORT_CODE = "transport"
BY_HAND_CODE = "by hand"
_TRANSPORT_PROBE_S = 10.0
_TRANSPORT_PROBE_MAX_S = 300.0
_DEFAULT_PROBE_S = 60.0
_DEFAULT_PROBE_MAX_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a gateway is suspended and how its probes are spaced, in seconds."""

    code: str
    reason: str
    probe_after_s: float
    probe_max_s: float


def trouble_of(outcome: Suspended) -> Trouble:
    """Return the trouble in a gateway's own answer."""
    return Trouble(
        code=outcome.error.code,
        reason=outcome.error.text,
        probe_after_s=outcome.probe_after_s,
        probe_max_s=outcome.probe_max_s,
    )


def transport_trouble(error: SmsError) -> Trouble:
    """Return the trouble of a gateway that could not be reached several times in a row."""
    return Trouble(
        code=TRANSPORT_CODE,
        reason=f"{TRANSPORT_FAILURES} requests in a row got no usable answer, the last: {error.code} {error.text}",
        probe_after_s=_TRANSPORT_PROBE_S,
        probe_max_s=_TRANSPORT_PROBE_MAX_S,
    )


def trouble_left(state: GatewayState) -> Trouble:
    """Return the trouble of a gateway found suspended after a restart; its next answer tells the true intervals."""
    return Trouble(
        code=state.code, reason=state.reason, probe_after_s=_DEFAULT_PROBE_S, probe_max_s=_DEFAULT_PROBE_MAX_S
    )


def suspend(state: GatewayState, trouble: Trouble, *, now: datetime) -> GatewayState:
    """Suspend, or return *state* itself where it is suspended already (requests that were still in flight)."""
    if state.suspended:
        return state
    return GatewayState(
        name=state.name,
        suspended=True,
        code=trouble.code,
        reason=trouble.reason,
        since=now,
        probe_at=now + timedelta(seconds=trouble.probe_after_s),
    )


def after_probe(
    state: GatewayState, answer: Balance | Suspended | SmsError, *, trouble: Trouble, now: datetime
) -> GatewayState:
    """Say what a probe's *answer* means: well again, or the next probe at twice the interval.

    *trouble* is what suspended it; an answer that names its own trouble brings its own intervals.
    """
    match answer:
        case Balance() if state.code != "3" or answer.balance + (answer.credit or Decimal(0)) > 0:
            return GatewayState(name=state.name)
        case SmsError() if state.code == TRANSPORT_CODE and not _is_silence(answer):
            # it answered, whatever it said: the way is open
            return GatewayState(name=state.name)
        case Suspended():
            trouble = trouble_of(answer)
            state = replace(state, code=trouble.code, reason=trouble.reason)
        case _:
            pass
    probes = state.probes + 1
    wait_s = min(trouble.probe_after_s * 2**probes, trouble.probe_max_s)
    return replace(state, probes=probes, probe_at=now + timedelta(seconds=wait_s))


def _is_silence(error: SmsError) -> bool:
    """Tell whether *error* shows that the way is still blocked: it holds no code of the gateway's own.

    A connection that is cut, a page of a proxy and a 5xx are what suspended it. A 4xx is somebody's answer.
    """
    return not (error.code.isdigit() or error.code.startswith("http 4"))


def is_probe_due(state: GatewayState, *, now: datetime) -> bool:
    """Tell whether *state* asks for a probe now."""
    if not state.suspended or state.by_hand:
        return False
    # suspended in the future: the clock was set back since
    is_clock_behind = state.since is not None and state.since > now
    return state.probe_at is None or state.probe_at <= now or is_clock_behind
