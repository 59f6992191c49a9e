"""The text that stands for many alerts: how many, of what kind, about what, and the last of them. Pure.

+37 in 5 min: 21 CRIT web*, 16 WARN db2; OK now: mail/SMTP (2 min); last: CRIT web07/HTTP: timeout
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mailbridge.intake.compose import write
from mailbridge.intake.fold import gateway_translit
from mailbridge.intake.segments import count_segments
from mailbridge.model.alert import Alert, Event
from mailbridge.model.message import Message

_SHORT = {"critical": "CRIT", "warning": "WARN", "unknown": "UNKN", "down": "DOWN", "unreachable": "UNREACH"}
#: the gravest first; others after these
_ORDER = ("critical", "down", "disaster", "high", "unreachable", "error", "average", "warning", "unknown", "info")
#: how many names of a kind are written out, from the fullest telling to the shortest; 0: a glob
_TELLINGS = (1000, 12, 6, 3, 1, 0)
#: names begin alike from here on
_LEAST_PREFIX_CHARS = 3
_MAX_LAST_CHARS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One alert a digest stands for."""

    alert: Alert
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Story:
    """All that was heard of one subject, in its order."""

    told: tuple[Told, ...]

    @property
    def last(self) -> Told:
        return self.told[-1]

    @property
    def recovered_after(self) -> timedelta | None:
        """How long the problem lasted, where it came and went within these; None else."""
        if self.last.alert.event is not Event.RECOVERY:
            return None
        began = next((one.at for one in self.told if one.alert.event is Event.PROBLEM), None)
        return None if began is None else self.last.at - began

    @property
    def name(self) -> str:
        """What to call it: a subject that is only the fingerprint of a text has no name."""
        alert = self.last.alert
        return alert.subject if alert.host or alert.event is not None else ""


def compose_digest(
    told: Sequence[Told], like: Message, *, began_at: datetime, now: datetime, hold_recovery_s: float, max_parts: int
) -> Message | None:
    """Return the message for *told*, sent as *like* is; None where they cancel each other. See ``write_digest``."""

    def parts_of(text: str) -> int:
        return count_segments(gateway_translit(text, like.translit))[1]

    text = write_digest(
        told, began_at=began_at, now=now, hold_recovery_s=hold_recovery_s, fits=lambda text: parts_of(text) <= max_parts
    )
    if text is None:
        return None
    written = write(text, str(like.translit), max_parts)
    return replace(
        like, text=written.text, alphabet=written.alphabet, parts=written.parts, wanted_id=None, notes=written.notes
    )


def write_digest(
    told: Sequence[Told], *, began_at: datetime, now: datetime, hold_recovery_s: float, fits: Callable[[str], bool]
) -> str | None:
    """Write the text for *told* (at least one, oldest first); it begins with ``+N``, N being how many they are.

    Shape: the fullest telling that *fits*; the shortest may be longer still and is cut by whoever sends it.
    None: each is a problem and its recovery within *hold_recovery_s*, which cancel each other.
    """
    stories = _stories(told)
    ended = {id(story): lasted for story in stories if (lasted := story.recovered_after) is not None}
    hold = timedelta(seconds=hold_recovery_s)
    if len(ended) == len(stories) and all(lasted <= hold for lasted in ended.values()):
        return None
    head = f"+{len(told)} in {_duration(now - began_at)}: "
    text = head
    for count in _TELLINGS:
        for with_last in (True, False):
            text = head + "; ".join(_clauses(stories, ended, count, told[-1] if with_last else None))
            if fits(text):
                return text
    return text


def _clauses(stories: Sequence[_Story], ended: dict[int, timedelta], count: int, last: Told | None) -> Iterator[str]:
    # a recovery of what was told before is no problem any more either
    over = [story for story in stories if story.last.alert.event is Event.RECOVERY]
    still = [story for story in stories if story.last.alert.event is not Event.RECOVERY]
    if still:
        yield ", ".join(_by_severity(still, count))
    if over:
        lasted = [(story, ended.get(id(story))) for story in over]
        words = [f"{story.name} ({_duration(time)})" if time is not None else story.name for story, time in lasted]
        yield f"OK now: {_names(words, [story.name for story in over], count)}"
    if last is not None and last.alert.short:
        yield f"last: {last.alert.short[:_MAX_LAST_CHARS]}"


def _by_severity(stories: Sequence[_Story], count: int) -> Iterator[str]:
    kinds: dict[str, list[_Story]] = {}
    for story in stories:
        kinds.setdefault(story.last.alert.severity, []).append(story)
    for severity in sorted(kinds, key=lambda word: _ORDER.index(word) if word in _ORDER else len(_ORDER)):
        own = kinds[severity]
        times = sum(len(story.told) for story in own)
        names = [story.name for story in own if story.name]
        label = _SHORT.get(severity, severity.upper()) or ("alerts" if times > 1 else "alert")
        yield " ".join(word for word in (str(times), label, _names(names, names, count)) if word)


def _names(words: Sequence[str], names: Sequence[str], count: int) -> str:
    """Write *words*, of which *names* are the bare ones: the first *count*, or what they have in common."""
    if len(words) <= max(count, 1):
        return ", ".join(words)
    # names, not paths: character by character is meant
    prefix = os.path.commonprefix(list(names))  # noqa: RUF071
    if len(prefix) >= _LEAST_PREFIX_CHARS:
        return f"{prefix}*"
    if count == 0:
        return ""
    return f"{', '.join(words[:count])} and {len(words) - count} more"


def _stories(told: Sequence[Told]) -> list[_Story]:
    found: dict[str, list[Told]] = {}
    for one in told:
        found.setdefault(one.alert.subject, []).append(one)
    return [_Story(told=tuple(some)) for some in found.values()]


def _duration(time: timedelta) -> str:
    """Write a duration as people say it: ``40 s``, ``5 min``, ``7 h``, ``3 d``."""
    seconds = max(0, round(time.total_seconds()))
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length_s or seconds == length_s:
            return f"{round(seconds / length_s)} {unit}"
    return f"{seconds} s" if seconds < 60 else f"{round(seconds / 60)} min"
