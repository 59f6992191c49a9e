"""When a gateway is left alone, and when it is asked whether it is well again; pure.

Codes 2, 3 and 4 suspend at once; transport failures do after ``TRANSPORT_FAILURES`` in a row.
A suspended gateway costs no message an attempt: one cheap probe at a growing interval decides.

    well -> suspended -> on trial -> well
               ^------------|

A probe that finds it well proves little: money is left, but less than the next message costs; the account is right,
but not for sending. So it is *on trial* first: one request at a time, until a message is accepted. A relapse into the
same trouble goes on where the probes' interval had come to, and is no news to anybody. A trouble that comes back soon
after its end (cheap messages go through, a dear one does not) is over only after a while without it.

A gateway whose balance page is none (404, a page of a proxy, garbage: an answer, but neither a balance nor a code)
would never be found well. After ``ODD_ANSWERS`` of them in a row the next message is the probe.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from mailbridge.gateway.contract import NO_QUESTION
from mailbridge.model.outcome import Balance, SmsError, Suspended
from mailbridge.queue.contract import GatewayState

TRANSPORT_FAILURES = 5
TRANSPORT_CODE = "transport"
BY_HAND_CODE = "by hand"
NO_MONEY_CODE = "3"
#: troubles in which questions about messages do no harm; any other is the gateway's refusal of whoever asks
_HARMLESS_TO_ASK = frozenset({TRANSPORT_CODE, NO_MONEY_CODE})
#: probes in a row answered by something that is no answer, after which a message is the probe
ODD_ANSWERS = 3
#: a trial in which nothing is accepted nor refused for the same trouble ends so
TRIAL_S = 60.0
#: a trouble that comes back within that time is the same one
RESTLESS_S = 600.0
#: codes of ours for a gateway that said nothing at all
_SILENCE = frozenset({"connect", "timeout", "cut"})
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


def is_unproved(state: GatewayState) -> bool:
    """Tell whether it is on trial and took nothing since: it gets one request at a time."""
    return state.on_trial and state.probes > 0


def is_shut(state: GatewayState) -> bool:
    """Tell whether it is to be asked nothing but what its probes ask: each question would be one more bad request."""
    return state.suspended and not state.by_hand and state.code not in _HARMLESS_TO_ASK


def suspend(state: GatewayState, trouble: Trouble, *, now: datetime) -> GatewayState:
    """Suspend, or return *state* itself where it is suspended already (requests that were still in flight).

    A relapse into the trouble it was on trial for keeps its beginning, and the interval its probes had come to.
    """
    if state.suspended:
        return state
    is_relapse = state.on_trial and state.code == trouble.code
    probes = state.probes if is_relapse else 0
    return GatewayState(
        name=state.name,
        suspended=True,
        code=trouble.code,
        reason=trouble.reason,
        since=state.since if is_relapse else now,
        probe_at=now + timedelta(seconds=_interval_s(trouble, probes)),
        probes=probes,
    )


def after_probe(
    state: GatewayState,
    answer: Balance | Suspended | SmsError,
    *,
    trouble: Trouble,
    odd_answers: int = 0,
    now: datetime,
) -> GatewayState:
    """Say what a probe's *answer* means: on trial, or the next probe at twice the interval.

    *trouble* is what suspended it; an answer that names its own trouble brings its own intervals. *odd_answers*: how
    many answers in a row, this one included, were odd (``is_odd``).
    """
    match answer:
        case Balance() if state.code != NO_MONEY_CODE or answer.balance + (answer.credit or Decimal(0)) > 0:
            return _on_trial(state, now=now)
        case SmsError() if answer.code == NO_QUESTION:
            return _on_trial(state, now=now)
        case SmsError() if state.code == TRANSPORT_CODE and not _is_silence(answer):
            # it answered, whatever it said: the way is open
            return _on_trial(state, now=now)
        case SmsError() if odd_answers >= ODD_ANSWERS:
            return _on_trial(state, now=now)
        case Suspended():
            trouble = trouble_of(answer)
            state = replace(state, code=trouble.code, reason=trouble.reason)
        case _:
            pass
    probes = state.probes + 1
    return replace(state, probes=probes, probe_at=now + timedelta(seconds=_interval_s(trouble, probes)))


def after_success(state: GatewayState, *, ended_at: datetime | None, now: datetime) -> GatewayState:
    """Say what an accepted message means for a gateway on trial: it is well, or *state* itself where no trial is on.

    *ended_at*: when its last trouble of the same kind ended, None where there was none.
    """
    if not is_unproved(state):
        return state
    if ended_at is None or state.since is None or state.since - ended_at >= timedelta(seconds=RESTLESS_S):
        return GatewayState(name=state.name)
    return replace(state, probes=0, probe_at=now + timedelta(seconds=RESTLESS_S))


def after_calm(state: GatewayState, *, now: datetime) -> GatewayState:
    """End a trial in which nothing happened for long enough; else return *state* itself."""
    is_over = state.on_trial and (state.probe_at is None or state.probe_at <= now)
    return GatewayState(name=state.name) if is_over else state


def is_odd(answer: Balance | Suspended | SmsError) -> bool:
    """Tell whether *answer* came, and is neither a balance nor a code of the gateway's."""
    return isinstance(answer, SmsError) and not answer.code.isdigit() and answer.code not in _SILENCE


def _on_trial(state: GatewayState, *, now: datetime) -> GatewayState:
    ends_at = now + timedelta(seconds=TRIAL_S)
    return replace(state, suspended=False, probes=state.probes + 1, probe_at=ends_at)


def _interval_s(trouble: Trouble, probes: int) -> float:
    return min(trouble.probe_after_s * 2.0 ** min(probes, 30), trouble.probe_max_s)


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
