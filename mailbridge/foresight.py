"""What quiet hours and digests would do to a message now, in words: behind ``explain`` and ``preview``. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailbridge.config.model import Config
from mailbridge.config.tree import Path
from mailbridge.model.reading import CODE
from mailbridge.planner import Planned
from mailbridge.queue.kept import Foreseen, Gather


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Whether a message waits, and why."""

    #: ``quiet hours`` or ``digest``
    stage: str
    #: ``waits``, ``at once``, or ``may wait`` where the store could not be asked
    result: str
    because: str
    #: the key of the configuration that decides
    path: Path


def foretell(config: Config, planned: Planned, gather: Gather | None, foreseen: Foreseen | None) -> Wait | None:
    """Say what becomes of *planned*, which asks for *gather*; *foreseen* is what the store says of that.

    None where nothing in *config* lets any message wait.
    """
    if gather is None:
        if planned.reading.event != CODE:
            return None
        words = "a one-time code waits for nobody"
        return Wait(stage="digest", result="at once", because=words, path=("digest",))
    if gather.quiet_until is not None:
        return _quiet(gather, foreseen, gather.quiet_until)
    return _digest(config, planned, gather, foreseen)


def _quiet(gather: Gather, foreseen: Foreseen | None, until: datetime) -> Wait:
    told_at = until if foreseen is None else foreseen.until
    words = f"{' and '.join(gather.quiet)} until {moment(told_at)}: it waits{_with(foreseen)}"
    return Wait(stage="quiet hours", result="waits", because=words, path=("quiet_hours", gather.quiet[0]))


def _digest(config: Config, planned: Planned, gather: Gather, foreseen: Foreseen | None) -> Wait:
    assert gather.digest is not None
    names = [rule.name or f"rule {number}" for number, rule in enumerate(config.rules, start=1)]
    of_rules = [
        index
        for index, rule in enumerate(config.rules)
        if names[index] in planned.decision.rules and (rule.digest is not None or rule.action == "digest")
    ]
    path: Path = ("rules", of_rules[-1]) if of_rules else ("digest", "default")
    window = _span(gather.digest.window_s)
    about = gather.alert.subject if gather.alert.host or gather.alert.event is not None else "the same text"
    if foreseen is None:
        result, words = "may wait", f"where something came before it within {window} it is told with that"
    elif not foreseen.waits:
        reason = f"{gather.alert.severity} passes" if gather.passes and foreseen.beside else "nothing waits"
        result, words = "at once", f"{reason}; what follows within {window} becomes one message"
    elif foreseen.is_repeat:
        longest = _span(gather.digest.repeat_s)
        words = f"{about} was told before: counted, and told with the next that is new, after {longest} at the latest"
        result, words = "waits", f"{words}; next look {moment(foreseen.until)}{_with(foreseen)}"
    else:
        result, words = "waits", f"a storm is under way: told at {moment(foreseen.until)}{_with(foreseen)}"
    return Wait(stage="digest", result=result, because=words, path=path)


def _with(foreseen: Foreseen | None) -> str:
    if foreseen is None:
        return ""
    others = f"{foreseen.beside} other{'s' if foreseen.beside != 1 else ''}"
    return f", with {others} in one message" if foreseen.beside else ", alone so far"


def moment(at: datetime) -> str:
    """Return a time as the machine's clock has it."""
    return f"{at.astimezone():%Y-%m-%d %H:%M %Z}"


def _span(seconds: float) -> str:
    for unit, length_s in (("h", 3600), ("min", 60)):
        if seconds >= length_s and seconds % length_s == 0:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:g} s"
