"""What people, aliases and rotas mean together: every name leads to somebody, and none leads back to itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from mailbridge.config.addresses import is_private_host
from mailbridge.config.model import Config, Rota
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
        _check_targets(config, findings, place, alias.to)
    for name, rota in config.rotas.items():
        _check_rota(config, findings, ("rotas", name), rota)
    _check_circles(config, findings)


def _check_name(findings: Findings, path: Path, name: str) -> None:
    if not _NAME.fullmatch(name):
        findings.report(path, "not a name mail can be sent to", "use letters, digits, _ . and -, such as oncall")
    elif findings.has_twin(path):
        findings.report(path, "the same name in other letters stands here, too", "give one of them another")


def _check_targets(config: Config, findings: Findings, path: Path, words: list[str]) -> None:
    known = {name.lower() for name in (*config.people, *config.aliases)}
    for number, word in enumerate(words):
        if bare_number(word) is None and word.lower() not in known:
            place = findings.item_path(path, number)
            hint = suggest(word, known) or 'write it below people: or aliases:, or a number such as "+79991234567"'
            findings.report(place, f"{findings.shown(place) or 'this'} is nobody", hint)


def _check_rota(config: Config, findings: Findings, path: Path, rota: Rota) -> None:
    if rota.timezone:
        check_zone(findings, (*path, "timezone"), rota.timezone)
    _check_targets(config, findings, (*path, "members"), rota.members)
    _check_targets(config, findings, (*path, "otherwise"), rota.otherwise)
    if rota.ics:
        if rota.members or rota.start:
            findings.report((*path, "ics"), "stands beside start: or members:", "write a rotation or a calendar")
        elif "://" in rota.ics and not _is_fetched_safely(rota.ics):
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


def _is_fetched_safely(url: str) -> bool:
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
