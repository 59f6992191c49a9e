"""What people, aliases and rotas mean together: every name leads to somebody, and none leads back to itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from mailbridge.config.addresses import is_private_host
from mailbridge.config.model import Config
from mailbridge.config.model_people import QuietHours, Rota
from mailbridge.config.tree import Findings, Path
from mailbridge.config.validate import suggest

#: takes every name nobody has
CATCH_ALL = "*"
#: a local part that needs no quotes and has no options (intake/address.py)
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?")
_BLANKS = re.compile(r"[ ().-]")
#: ITU-T E.164: at most 15 digits
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")


def bare_number(word: str) -> str | None:
    """Return *word* as ``+79991234567`` where it is a number written with its plus, else None."""
    bare = _BLANKS.sub("", word)
    return bare if _NUMBER.fullmatch(bare) else None


def parse_start(text: str) -> datetime:
    """Read ``2026-01-05 09:00`` as the local time it is, without a zone. Raises: ValueError."""
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        start = None
    if start is None or start.tzinfo is not None or not 1970 <= start.year < 2200:
        raise ValueError("not a date and time; write 2026-01-05 09:00, the zone stands in timezone:")
    return start


WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME_OF_DAY = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])|24:00")


def parse_time_of_day(text: str) -> timedelta:
    """Read ``23:00`` as the time since midnight; ``24:00`` is the end of the day. Raises: ValueError."""
    match = _TIME_OF_DAY.fullmatch(text)
    if match is None:
        raise ValueError("not a time of day; write 23:00")
    return timedelta(days=1) if match[1] is None else timedelta(hours=int(match[1]), minutes=int(match[2]))


def parse_days(text: str) -> frozenset[int]:
    """Read ``mon-fri`` or ``sat, sun`` as weekdays, Monday 0; ``fri-mon`` goes round. Raises: ValueError."""
    days: set[int] = set()
    for piece in text.lower().split(","):
        first, _, last = (word.strip() for word in piece.partition("-"))
        if first not in WEEKDAYS or (last or first) not in WEEKDAYS:
            raise ValueError("not days of the week; write mon-fri, or sat, sun")
        begin, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
        days |= {day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)}
    return frozenset(days)


def check_people(config: Config, findings: Findings) -> None:
    """Report names that cannot be addressed, lead nowhere, or lead in a circle, and rotas that cannot turn."""
    for name, person in config.people.items():
        _check_name(findings, ("people", name), name)
        if bare_number(person.phone) is None:
            path: Path = ("people", name, "phone")
            findings.report(
                path, f"{findings.shown(path) or 'this'} is not a number with its plus", 'write "+79991234567"'
            )
    for name, alias in config.aliases.items():
        path = ("aliases", name)
        if name != CATCH_ALL:
            _check_name(findings, path, name)
        if name.lower() in {person.lower() for person in config.people}:
            findings.report(path, "a person has that name", "give one of them another")
        if alias.rota and alias.to:
            findings.report((*path, "rota"), "stands beside to:", "write one of them")
        elif alias.rota and alias.rota not in config.rotas:
            hint = suggest(alias.rota, config.rotas) or "write it below rotas:"
            findings.report((*path, "rota"), "there is no such rota", hint)
        elif not alias.rota and not alias.to:
            findings.report(path, "leads to nobody", "write people, numbers or aliases, or rota: and its name")
        place = path if findings.is_list(path) else (*path, "to")
        check_targets(config, findings, place, alias.to)
    for name, rota in config.rotas.items():
        _check_rota(config, findings, ("rotas", name), rota)
    for name, hours in config.quiet_hours.items():
        _check_quiet_hours(findings, ("quiet_hours", name), hours)
    for number, rule in enumerate(config.rules):
        _check_quiet_names(config, findings, ("rules", number, "quiet"), rule.quiet)
    for section, named in (("people", config.people), ("aliases", config.aliases)):
        for name, one in named.items():
            _check_quiet_names(config, findings, (section, name, "quiet"), one.quiet)
    _check_circles(config, findings)


def _check_name(findings: Findings, path: Path, name: str) -> None:
    if not _NAME.fullmatch(name):
        findings.report(path, "not a name mail can be sent to", "use letters, digits, _ . and -, such as oncall")
    elif findings.has_twin(path):
        findings.report(path, "the same name in other letters stands here, too", "give one of them another")


def check_targets(config: Config, findings: Findings, path: Path, words: list[str]) -> None:
    """Report words that are neither people nor aliases nor numbers."""
    known = {name.lower() for name in (*config.people, *config.aliases)}
    for number, word in enumerate(words):
        if bare_number(word) is None and word.lower() not in known:
            place = findings.item_path(path, number)
            hint = suggest(word, known) or 'write it below people: or aliases:, or a number such as "+79991234567"'
            findings.report(place, f"{findings.shown(place) or 'this'} is nobody", hint)


def _check_rota(config: Config, findings: Findings, path: Path, rota: Rota) -> None:
    if rota.timezone:
        check_zone(findings, (*path, "timezone"), rota.timezone)
    check_targets(config, findings, (*path, "members"), rota.members)
    check_targets(config, findings, (*path, "otherwise"), rota.otherwise)
    if rota.ics:
        if rota.members or rota.start:
            findings.report((*path, "ics"), "stands beside start: or members:", "write a rotation or a calendar")
        elif "://" in rota.ics and not is_fetched_safely(rota.ics):
            findings.report((*path, "ics"), "neither a file nor an https:// address", "write https://… or a path")
    elif not rota.members:
        findings.report(path, "names nobody", "write members: and start:, or ics:")
    elif not rota.start:
        findings.report((*path, "start"), "is missing", "write when the first turn begins: 2026-01-05 09:00")
    else:
        try:
            parse_start(rota.start)
        except ValueError as error:
            findings.report_error((*path, "start"), error)


def _check_quiet_hours(findings: Findings, path: Path, hours: QuietHours) -> None:
    times = {}
    for key, text in (("from", hours.from_), ("to", hours.to)):
        try:
            times[key] = parse_time_of_day(text)
        except ValueError as error:
            findings.report_error((*path, key), error)
    days: frozenset[int] = frozenset()
    if hours.days:
        try:
            days = parse_days(hours.days)
        except ValueError as error:
            findings.report_error((*path, "days"), error)
    is_whole_day = len(times) == 2 and times["from"] % timedelta(days=1) == times["to"] % timedelta(days=1)
    if is_whole_day and len(days or WEEKDAYS) == len(WEEKDAYS):
        needs = ((*path, "from"), (*path, "days"))
        findings.report((*path, "to"), "the quiet never ends", "write another time, or days: sat, sun", needs=needs)
    if hours.timezone:
        check_zone(findings, (*path, "timezone"), hours.timezone)
    if hours.holidays and not _has_holidays(hours.holidays):
        place = (*path, "holidays")
        shown = findings.shown(place) or "this"
        findings.report(place, f"{shown} is no country whose holidays are known", "write RU, or DE-BY for a part")


def _has_holidays(place: str) -> bool:
    import holidays  # noqa: PLC0415 - it is large, and few need it

    country, _, subdivision = place.partition("-")
    try:
        holidays.country_holidays(country, subdiv=subdivision or None)
    except NotImplementedError:
        return False
    return True


def _check_quiet_names(config: Config, findings: Findings, path: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        if name not in config.quiet_hours:
            hint = suggest(name, config.quiet_hours) or "write them below quiet_hours:"
            findings.report(findings.item_path(path, number), "there are no such quiet hours", hint)


def is_fetched_safely(url: str) -> bool:
    """Tell whether nobody on the way can read or change what *url* gives."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_private_host(host)))


def check_zone(findings: Findings, path: Path, zone: str) -> None:
    """Report a time zone nobody has."""
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        findings.report(path, f"{findings.shown(path) or 'this'} is not a time zone", "write one such as Europe/Moscow")


def _check_circles(config: Config, findings: Findings) -> None:
    aliases = {name.lower(): name for name in config.aliases}
    done: set[str] = set()
    for start in aliases:
        trail: list[str] = []
        stack: list[Iterator[str]] = [iter((start,))]
        while stack:
            name = next(stack[-1], None)
            if name is None:
                stack.pop()
                if trail:
                    done.add(trail.pop())
            elif name in trail:
                circle = " -> ".join([*trail[trail.index(name) :], name])
                findings.report(("aliases", aliases[trail[-1]]), f"leads in a circle: {circle}", "take one of them out")
                return
            elif name in aliases and name not in done:
                trail.append(name)
                stack.append(iter(_targets_of(config, aliases[name])))


def _targets_of(config: Config, name: str) -> list[str]:
    alias = config.aliases[name]
    rota = config.rotas.get(alias.rota)
    words = [*alias.to, *(() if rota is None else (*rota.members, *rota.otherwise))]
    return [word.lower() for word in words]
