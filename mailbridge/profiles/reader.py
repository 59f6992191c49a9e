"""Recognising who wrote a mail and taking out what it says.

Between parse and rules: Mail -> ``Profiles.read`` -> Reading. Pure; patterns are RE2, so no mail can hang it.
Cheap necessary conditions come first: a mail no profile knows costs a few searches for words.
What a profile does not understand is ``GENERIC``: nothing of the mail is lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mailbridge.config.patterns import PREFIX, compile_pattern, words_pattern
from mailbridge.config.profiles import ANYWHERE, PLACES, Clause, Spec, Way
from mailbridge.intake.segments import count_segments
from mailbridge.intake.template import compile_template
from mailbridge.model.mail import Mail
from mailbridge.model.reading import GENERIC, GENERIC_PROFILE, Reading
from mailbridge.profiles.forwarded import unwrap
from mailbridge.profiles.words import EVENTS, OVER, STATES

#: a device says who it is within its first lines
_HEAD_CHARS = 1500
#: fields are looked for up to here
_BODY_CHARS = 16_000
_MAX_HITS = 50
#: of several hosts, summaries, ... so many are named, the rest are counted
_MAX_SHOWN = 3
_MAX_FIELD_CHARS = 400
_LABEL = re.compile(r"^[ \t>*•-]*([^\n:=]{1,60}?)[ \t]*[:=][ \t]*([^\n]*)$", re.MULTILINE)
_CLOCK = re.compile(r"(?<![\d:])(\d{1,2}):(\d\d)(?::\d\d)?(?![\d])(?:[.,]\d+)?[ ]?([AaPp][Mm])?")
_JSON_BEGINS = re.compile(r"[\[{]")


class _Sight:
    """A mail as conditions see it; each place is put in lower case once, and only when somebody asks."""

    __slots__ = ("_encoded", "_head", "_labels", "_lower", "mail")

    def __init__(self, mail: Mail) -> None:
        self.mail = mail
        self._lower: dict[str, str] = {}
        self._encoded: dict[tuple[str, int], bytes] = {}
        self._head: str | None = None
        self._labels: dict[str, str] | None = None

    def text(self, place: str, limit: int = _HEAD_CHARS) -> str:
        mail = self.mail
        match place:
            case "body":
                return mail.body[:limit]
            case "subject":
                return mail.subject
            case "from":
                return f"{mail.from_name} {mail.from_address}"
            case "from_name":
                return mail.from_name
            case "has":
                return self.head
        return mail.header(place) or ""

    @property
    def head(self) -> str:
        """Return what tells a device from others, in lower case: who wrote it, with what, subject and first lines."""
        if self._head is None:
            mailer = next((value for name, value in self.mail.headers if name == "X-Mailer"), "")
            pieces = (self.text("from"), mailer, self.mail.subject, self.mail.body[:_HEAD_CHARS])
            self._head = "\n".join(pieces).lower()
        return self._head

    def encoded(self, place: str, limit: int = _HEAD_CHARS) -> bytes:
        found = self._encoded.get((place, limit))
        if found is None:
            found = self._encoded[place, limit] = self.text(place, limit).encode("utf-8", "replace")
        return found

    def lower(self, place: str) -> str:
        if place == ANYWHERE:
            return self.head
        found = self._lower.get(place)
        if found is None:
            found = self._lower[place] = self.text(place).lower()
        return found

    def cell(self, label: str) -> str:
        """Return what stands beside *label*, after ``:`` or ``=``; where nothing does, what stands below it."""
        if self._labels is None:
            body = self.mail.body[:_BODY_CHARS]
            self._labels = {}
            for match in _LABEL.finditer(body):
                self._labels.setdefault(match[1].strip().lower(), match[2].strip() or _next_line(body, match.end()))
        return self._labels.get(label.lower(), "")

    def loose_cell(self, label: str) -> str:
        """Return what stands behind *label* and a blank, or below it where it has a line of its own."""
        label, body = label.lower(), self.mail.body[:_BODY_CHARS]
        position = 0
        for line in body.splitlines(keepends=True):
            position += len(line)
            plain = line.strip().lower()
            if plain == label:
                return _next_line(body, position)
            if plain.startswith(label) and plain[len(label)].isspace():
                return line.strip()[len(label) :].strip()
        return ""


def _next_line(body: str, position: int) -> str:
    return next((line.strip() for line in body[position:].split("\n", 3) if line.strip()), "")


Test = Callable[[_Sight], bool]


def _test(clause: Clause) -> Test:
    place = clause.place
    words = tuple(word.lower() for word in clause.wanted if not word.startswith(PREFIX))
    patterns = tuple(word.removeprefix(PREFIX) for word in clause.wanted if word.startswith(PREFIX))

    def has_any(sight: _Sight) -> bool:
        text = sight.lower(place)
        for word in words:
            if word in text:
                return True
        return any(
            compile_pattern(pattern, captures=False).search(sight.encoded(place)) is not None for pattern in patterns
        )

    return has_any


def _cost(clause: Clause) -> tuple[bool, int]:
    """Order a group's clauses: words before patterns, short places before the body."""
    order = ("from_name", "subject", "from")
    place = order.index(clause.place) if clause.place in order else len(order) + (clause.place == "body")
    return any(word.startswith(PREFIX) for word in clause.wanted), place


def _gate(group: tuple[Clause, ...]) -> tuple[str, ...]:
    """Return words of which the head of a mail must have one if the group is to hold: the cheap necessary condition.

    Those of the clause with the longest; a group of patterns alone, or one about another header, has none, and
    is always tried: every text contains the empty word.
    """
    best: tuple[str, ...] = ("",)
    for clause in group:
        is_in_head = clause.place in PLACES or clause.place in {ANYWHERE, "x-mailer"}
        words = tuple(word.lower() for word in clause.wanted)
        if is_in_head and not any(word.startswith(PREFIX) for word in words):
            shortest = min(len(word) for word in words)
            if shortest > min(len(word) for word in best):
                best = words
    return best


class Profiles:
    """The profiles in force; built once for each configuration."""

    def __init__(self, specs: Sequence[Spec]) -> None:
        # a user's file of the same name takes the built-in one's place
        self._specs = {spec.name: spec for spec in specs}
        groups = [
            (-spec.priority, number, _gate(group), spec, tuple(_test(clause) for clause in sorted(group, key=_cost)))
            for number, spec in enumerate(self._specs.values())
            for group in spec.recognise
        ]
        groups.sort(key=lambda item: item[:2])
        self._groups = [item[2:] for item in groups]
        words = sorted({word for gate, _, _ in self._groups for word in gate})
        #: one pass for all words; most mails of people end here. A group without a word is always tried
        self._door = words_pattern(words) if words and "" not in words else None

    @property
    def names(self) -> frozenset[str]:
        """Return the names of all profiles, ``generic`` included."""
        return frozenset(self._specs) | {GENERIC_PROFILE}

    def read(self, mail: Mail, wanted: str = "auto") -> Reading:
        """Return what the profile that knows *mail* takes out of it; *wanted* names one, ``auto`` recognises.

        ``GENERIC`` where nobody knows it, or whoever does finds not what it needs.
        """
        if wanted == GENERIC_PROFILE:
            return GENERIC
        sight = _Sight(unwrap(mail))
        if wanted != "auto":
            spec = self._specs.get(wanted)
            return (_read(spec, sight) or GENERIC) if spec is not None else GENERIC
        tried: set[str] = set()
        head = sight.head
        if self._door is not None and self._door.search(head.encode("utf-8", "replace")) is None:
            return GENERIC
        for gate, spec, tests in self._groups:
            for word in gate:
                if word in head:
                    break
            else:
                continue
            if spec.name not in tried and all(test(sight) for test in tests):
                tried.add(spec.name)
                if (reading := _read(spec, sight)) is not None:
                    return reading
        return GENERIC


def _read(spec: Spec, sight: _Sight) -> Reading | None:
    if spec.until and (match := compile_pattern(spec.until).search(sight.encoded("body", _BODY_CHARS))) is not None:
        kept = sight.encoded("body", _BODY_CHARS)[: match.start(1)].decode("utf-8", "replace")
        sight = _Sight(replace(sight.mail, body=kept))
    found: dict[str, str] = {}
    for name, ways in sorted(spec.fields.items(), key=lambda item: item[0] == "about"):
        found[name] = _find(ways, sight, found)
    if not all(any(found[name] for name in names) for names in spec.needs):
        return None
    state, severity = _state(found.get("state", ""))
    if found.get("severity"):
        severity = _state(found["severity"])[1] or found["severity"].lower() if severity not in OVER else severity
        state = state or _state(found["severity"])[0]
    reading = Reading(
        profile=spec.name,
        host=found.get("host", ""),
        service=found.get("service", ""),
        state=state,
        severity=severity,
        info=found.get("info", "") or _free_text(spec, sight, found),
        event=_event(found.get("event", ""), severity),
        time=_clock(found.get("time", "")),
        about=found.get("about", ""),
    )
    short = _line(spec, reading, sight.mail)
    return replace(reading, short=short) if short else None


def _free_text(spec: Spec, sight: _Sight, found: Mapping[str, str]) -> str:
    """Return the whole text as information where it is nothing of the device's own form, but somebody's words.

    A subject alone may tell whose mail it is; what an administrator has put below it must not be lost.
    """
    body = " ".join(sight.mail.body.split())
    if "info" not in spec.fields or not body or any(value and value in body for value in found.values()):
        return ""
    labels = (text for ways in spec.fields.values() for way in ways if way.kind == "cell" for text in way.texts)
    return "" if any(sight.cell(label) for label in labels) else body[:_MAX_FIELD_CHARS]


def _line(spec: Spec, reading: Reading, mail: Mail) -> str:
    """Return the line; the time goes where it would cost a part."""
    # "CRIT HTTP: ..." where no host was found: a joint stands between names alone
    host, service = (reading.host, reading.service) if reading.host else (reading.service, "")
    values = {
        "subject": mail.subject, "body": mail.body, "host": host, "service": service,
        "state": reading.state, "severity": reading.severity, "info": reading.info, "event": reading.event,
        "time": reading.time,
    }  # fmt: skip
    template = compile_template(spec.line)
    line = " ".join((template.render(values) or "").split())
    if reading.time and count_segments(line)[1] > 1:
        line = " ".join((template.render({**values, "time": ""}) or "").split())
    return line


def _find(ways: tuple[Way, ...], sight: _Sight, found: Mapping[str, str]) -> str:
    for way in ways:
        for hits in _hits(way, sight, found):
            if value := _value(way, hits):
                return value
    return ""


def _hits(way: Way, sight: _Sight, found: Mapping[str, str]) -> Iterator[Sequence[str]]:
    """Yield what each of the way's texts finds, in their order; labels with a colon before those without."""
    match way.kind:
        case "value":
            yield from ([text] for text in way.texts)
        case "field":
            yield from ([found.get(text, "")] for text in way.texts)
        case "cell":
            # "Service Name: web" is no service called "Name: web" while another label fits as it is
            yield from ([sight.cell(text)] for text in way.texts)
            yield from ([sight.loose_cell(text)] for text in way.texts)
        case "json":
            yield from (list(_json_values(sight.text(way.place, _BODY_CHARS), text)) for text in way.texts)
        case _:
            body, form = sight.encoded(way.place, _BODY_CHARS), way.meaning if "\\1" in way.meaning else ""
            yield from (_matches(text, body, every=way.joint is not None, form=form) for text in way.texts)


def _value(way: Way, hits: Sequence[str]) -> str:
    cleaned = [" ".join(hit.split())[:_MAX_FIELD_CHARS] for hit in hits if hit and not hit.isspace()]
    if way.words is not None:
        cleaned = [word for hit in cleaned if (word := way.words.get(hit.lower()))]
    if not cleaned or (way.meaning and "\\1" not in way.meaning):
        return way.meaning if cleaned else ""
    if way.joint is None:
        return cleaned[0]
    several = list(dict.fromkeys(cleaned))
    more = f" +{len(several) - _MAX_SHOWN}" if len(several) > _MAX_SHOWN else ""
    return way.joint.join(several[:_MAX_SHOWN]) + more


def _matches(pattern: str, text: bytes, *, every: bool, form: str) -> list[str]:
    compiled = compile_pattern(pattern)
    if not every:
        match = compiled.search(text)
        return [_written(match, form)] if match is not None else []
    hits = []
    for match in compiled.finditer(text):
        hits.append(_written(match, form))
        if len(hits) == _MAX_HITS:
            break
    return hits


def _written(match: Any, form: str) -> str:
    """Return what a pattern found: its groups as *form* has them, else the first that took part."""
    if not form:
        return _group(match)
    groups: list[bytes | None] = list(match.groups())
    for number, group in enumerate(groups, start=1):
        form = form.replace(f"\\{number}", (group or b"").decode("utf-8", "replace"))
    return form


def _group(match: Any) -> str:
    groups = match.groups()
    found: bytes = next((group for group in groups if group), b"") if groups else match.group()
    return found.decode("utf-8", "replace")


def _json_values(text: str, path: str) -> Iterator[str]:
    """Yield what stands at a dotted *path* of the first JSON value in *text*; ``*`` is every item of a list."""
    begin = _JSON_BEGINS.search(text)
    if begin is None:
        return
    try:
        value, _ = json.JSONDecoder().raw_decode(text, begin.start())
    except (ValueError, RecursionError):
        return
    here = [value]
    for step in path.split("."):
        here = [child for item in here for child in _children(item, step)][:_MAX_HITS]
    for item in here:
        if isinstance(item, str | int | float) and not isinstance(item, bool):
            yield str(item)


def _children(item: Any, step: str) -> list[Any]:
    if isinstance(item, Mapping):
        return [item[step]] if step in item else []
    if isinstance(item, list):
        if step == "*":
            return item
        if step.isdigit() and int(step) < len(item):
            return [item[int(step)]]
    return []


def _state(word: str) -> tuple[str, str]:
    """Return a device's word for a state as we show it, and its severity; a word nobody knows is shown in capitals."""
    known = STATES.get(word.lower().strip(" .!:[]()"))
    return known or (word.upper(), "")


def _event(word: str, severity: str) -> str:
    lower = word.lower()
    if lower:
        return EVENTS.get(lower, lower)
    if severity in OVER:
        return "recovery"
    return "problem" if severity in {"critical", "warning", "unknown"} else ""


def _clock(text: str) -> str:
    """Return the first time of day in *text* as ``hh:mm``, empty where there is none."""
    for match in _CLOCK.finditer(text):
        hour, minute = int(match[1]), int(match[2])
        if match[3] and 1 <= hour <= 12:
            hour = hour % 12 + (12 if match[3].lower() == "pm" else 0)
        if hour < 24 and minute < 60:
            return f"{hour:02}:{minute:02}"
    return ""
