"""The texts that stand for many alerts: how many, of what kind, about what, and the last of them. Pure.

+37 in 5 min: 21 CRIT web01..12/HTTP, 16 WARN db2; OK now: mail/SMTP (2 min); last: CRIT web07/HTTP: timeout
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from mailbridge.intake.compose import write
from mailbridge.intake.names import Name, list_names
from mailbridge.model.alert import Alert, Event
from mailbridge.model.message import Message

_SHORT = {"critical": "CRIT", "warning": "WARN", "unknown": "UNKN", "down": "DOWN", "unreachable": "UNREACH"}
#: the gravest first; others after these
_ORDER = ("critical", "down", "disaster", "high", "unreachable", "error", "average", "warning", "unknown", "info")
_ALL = 10_000
#: how many names are written out: of what goes on, of what came and went meanwhile, of what was told before and is
#: over; and whether the last alert is told. From the fullest telling to the shortest; 0: a glob, or the number alone
_TELLINGS = (
    (_ALL, _ALL, _ALL, True), (_ALL, _ALL, _ALL, False), (_ALL, _ALL, 3, False), (_ALL, _ALL, 0, False),
    (_ALL, 3, 0, False), (_ALL, 0, 0, False), (12, 3, 0, True), (12, 0, 0, False), (6, 0, 0, True), (6, 0, 0, False),
    (3, 0, 0, True), (3, 0, 0, False), (1, 0, 0, True), (1, 0, 0, False), (0, 0, 0, True), (0, 0, 0, False),
)  # fmt: skip
#: the tellings that name all that nobody has heard of
_FULL_TELLINGS = 4
#: names begin alike from here on
_LEAST_PREFIX_CHARS = 3
_MAX_LAST_CHARS = 120
_MAX_NAME_CHARS = 48
#: how long each trouble lasted is told of so many
_MAX_LASTED = 3
#: a storm whose names do not fit in one message becomes so many; the last takes the rest, in common words
_MOST_MESSAGES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One alert a digest stands for."""

    alert: Alert
    at: datetime
    #: it was told before
    is_repeat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Story:
    """All that was heard of one subject, in its order."""

    told: tuple[Told, ...]
    #: where they stand among all
    places: tuple[int, ...]

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
    def name(self) -> Name:
        """What to call it; where the subject is only the fingerprint of a text, by that text's beginning."""
        alert = self.last.alert
        if alert.host or alert.service:
            return (alert.host or alert.service)[:_MAX_NAME_CHARS], alert.service[:_MAX_NAME_CHARS] * bool(alert.host)
        return (alert.subject if alert.event is not None else alert.short)[:_MAX_NAME_CHARS].strip(), ""

    @property
    def is_repeat(self) -> bool:
        """Whether there is nothing new in it."""
        return all(one.is_repeat for one in self.told)

    @property
    def gravity(self) -> int:
        """Its place among the severities, the gravest 0; what is over after all."""
        alert = self.last.alert
        if alert.event is Event.RECOVERY:
            return len(_ORDER) + 1
        return _ORDER.index(alert.severity) if alert.severity in _ORDER else len(_ORDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """One message and the alerts it stands for, by their places in what was told."""

    message: Message
    places: tuple[int, ...]


def compose_digests(
    told: Sequence[Told],
    like: Message,
    *,
    began_at: datetime,
    now: datetime,
    hold_recovery_s: float,
    max_parts: int,
    translit: str | None = None,
    fit: str | None = None,
    ending: str = "",
) -> tuple[Composed, ...]:
    """Return the messages for *told*, sent as *like* is, each alert in one of them; none where they cancel each other.

    One, unless its names do not fit in *max_parts*: then up to three, the gravest first.
    *translit* and *fit* are as ``compose.write`` has them; None: the letters as *like* has them.
    *ending* is a line that stands last in each of them.
    """
    mode = translit if translit is not None else str(like.translit)

    def fits(text: str) -> bool:
        return write(text, mode, _ALL, fit=fit, ending=ending).parts <= max_parts

    stories = _stories(told)
    if _is_over(stories, timedelta(seconds=hold_recovery_s)):
        return ()
    composed = []
    for some in _portions(stories, fits, began_at=began_at, now=now):
        own = sorted(place for story in some for place in story.places)
        text = _write(some, fits, began_at=began_at, now=now)
        written = write(text, mode, max_parts, fit=fit, ending=ending)
        message = replace(
            like, text=written.text, translit=written.translit, alphabet=written.alphabet, parts=written.parts,
            wanted_id=None, notes=written.notes,
        )  # fmt: skip
        composed.append(Composed(message=message, places=tuple(own)))
    return tuple(composed)


def write_digest(
    told: Sequence[Told], *, began_at: datetime, now: datetime, hold_recovery_s: float, fits: Callable[[str], bool]
) -> str | None:
    """Write one text for *told* (at least one, oldest first); it begins with ``+N``, N being how many they are.

    Shape: the fullest telling that *fits*; the shortest may be longer still and is cut by whoever sends it.
    None: each is a problem and its recovery within *hold_recovery_s*, which cancel each other.
    """
    stories = _stories(told)
    if _is_over(stories, timedelta(seconds=hold_recovery_s)):
        return None
    return _write(stories, fits, began_at=began_at, now=now)


def _is_over(stories: Sequence[_Story], hold: timedelta) -> bool:
    """Tell whether each is a problem that was over within *hold*."""
    return all((lasted := story.recovered_after) is not None and lasted <= hold for story in stories)


def _write(stories: Sequence[_Story], fits: Callable[[str], bool], *, began_at: datetime, now: datetime) -> str:
    text = ""
    for text in _tellings(stories, began_at=began_at, now=now):
        if fits(text):
            return text
    return text


def _tellings(stories: Sequence[_Story], *, began_at: datetime, now: datetime) -> Iterator[str]:
    """Yield the texts for *stories*, from the fullest to the shortest."""
    head = f"+{sum(len(story.told) for story in stories)} in {_duration(now - began_at)}: "
    places = [(story.places[number], one) for story in stories for number, one in enumerate(story.told)]
    news = [item for item in places if not item[1].is_repeat]
    last = max(news or places, key=lambda item: item[0])[1]
    for still, passed, over, with_last in _TELLINGS:
        yield head + "; ".join(_clauses(stories, still, passed, over, last if with_last else None))


def _portions(
    stories: list[_Story], fits: Callable[[str], bool], *, began_at: datetime, now: datetime
) -> Iterator[list[_Story]]:
    """Yield *stories* in portions of which each can name its own; all in one where that is so, or no portion helps."""

    def names_all(some: Sequence[_Story]) -> bool:
        return any(fits(text) for text in islice(_tellings(some, began_at=began_at, now=now), _FULL_TELLINGS))

    rest = stories if names_all(stories) else sorted(stories, key=lambda story: (story.gravity, story.name))
    for _ in range(_MOST_MESSAGES - 1):
        if names_all(rest):
            break
        low, high = 0, len(rest) - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if names_all(rest[:middle]) else (low, middle - 1)
        if low == 0:
            # not even one name fits
            break
        yield rest[:low]
        rest = rest[low:]
    yield rest


def _clauses(stories: Sequence[_Story], still: int, passed: int, over: int, last: Told | None) -> Iterator[str]:
    news = [story for story in stories if not story.is_repeat]
    repeats = sum(len(story.told) for story in stories if story.is_repeat)
    if not news:
        news, repeats = list(stories), 0
    # a recovery of what was told before is no problem any more either
    ended = [story for story in news if story.last.alert.event is Event.RECOVERY]
    lasting = [story for story in news if story.last.alert.event is not Event.RECOVERY]
    if lasting:
        yield ", ".join(_by_severity(lasting, still))
    if ended:
        yield f"OK now: {_over(ended, passed, over)}"
    if repeats:
        yield f"{repeats} told before"
    if last is not None and last.alert.short:
        yield f"last: {last.alert.short[:_MAX_LAST_CHARS]}"


def _over(stories: Sequence[_Story], passed: int, over: int) -> str:
    """Say what is over: first what nobody has heard of, for it came and went, then what was told before."""
    lasted = {id(story): time for story in stories if (time := story.recovered_after) is not None}
    new = [story for story in stories if id(story) in lasted]
    old = [story for story in stories if id(story) not in lasted]
    if len(new) <= _MAX_LASTED and passed:
        named = [f"{_names([story.name], 1)} ({_duration(lasted[id(story)])})" for story in new]
    else:
        named = [_names([story.name for story in new], passed)] if new else []
    if over >= _ALL and old:
        named.append(_names([story.name for story in old], over))
    elif old:
        few = [_names([story.name], 1) for story in old[: over if len(old) > over else None]]
        named += [*few, *([f"{len(old) - len(few)} more"] if len(old) > len(few) else [])]
    return ", ".join(word for word in named if word) or f"{len(stories)} more"


def _by_severity(stories: Sequence[_Story], count: int) -> Iterator[str]:
    kinds: dict[str, list[_Story]] = {}
    for story in sorted(stories, key=lambda story: story.gravity):
        kinds.setdefault(story.last.alert.severity, []).append(story)
    for severity, own in kinds.items():
        times = sum(len(story.told) for story in own)
        label = _SHORT.get(severity, severity.upper()) or ("alerts:" if times > 1 else "alert:")
        names = _names([story.name for story in own if any(story.name)], count)
        yield " ".join(word for word in (str(times), label, names) if word).removesuffix(":")


def _names(names: Sequence[Name], count: int) -> str:
    """Write *names*: all, the first *count*, or what they have in common."""
    words = list_names(names)
    if len(words) <= max(count, 1):
        return ", ".join(words)
    # names, not paths: character by character is meant
    prefix = os.path.commonprefix([host or thing for host, thing in names])  # noqa: RUF071
    if len(prefix) >= _LEAST_PREFIX_CHARS:
        return f"{prefix}*"
    if count == 0:
        return ""
    few = list(dict.fromkeys(names))
    return f"{', '.join(list_names(few[:count]))} and {len(few) - count} more"


def _stories(told: Sequence[Told]) -> list[_Story]:
    found: dict[str, list[int]] = {}
    for place, one in enumerate(told):
        found.setdefault(one.alert.subject, []).append(place)
    return [_Story(told=tuple(told[place] for place in some), places=tuple(some)) for some in found.values()]


def _duration(time: timedelta) -> str:
    """Write a duration as people say it: ``40 s``, ``5 min``, ``7 h``, ``3 d``."""
    seconds = max(0, round(time.total_seconds()))
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length_s or seconds == length_s:
            return f"{round(seconds / length_s)} {unit}"
    return f"{seconds} s" if seconds < 60 else f"{round(seconds / 60)} min"
