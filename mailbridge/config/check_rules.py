"""Rules and device profiles: every pattern, time and name in them, with file and line.

Part of ``check.py``. It reads the folder of profiles, and nothing else.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path as FilePath
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mailbridge.config.model import Config
from mailbridge.config.model_rules import Match, Rule
from mailbridge.config.patterns import PREFIX, compile_pattern
from mailbridge.config.problems import Problem
from mailbridge.config.profiles import read_profiles
from mailbridge.config.times import parse_days, parse_span
from mailbridge.config.tree import Findings, Path
from mailbridge.config.validate import suggest

#: names of the built-in profiles; a test holds them to the files
BUILT_IN_PROFILES = frozenset({
    "1c", "alertmanager", "apc-nmc", "apcupsd", "cron", "dell-idrac", "fortigate", "fortigate-otp", "generic",
    "grafana", "hikvision", "hp-ilo", "icinga", "mdadm", "mikrotik", "nagios", "nut", "prometheus-html", "proxmox",
    "qnap", "smartd", "synology", "truenas", "uptime-kuma", "veeam", "windows-task", "zabbix",
})  # fmt: skip
SEVERITIES = ("critical", "warning", "info", "ok", "unknown")
#: clients without an address
_NO_ADDRESS = ("unix", "local")
_CHANNELS = ("sms", "flash")
#: the forms of smsc-api.md 2.2 that mean something in a rule: minutes from now, hours of the day
_DELAY = re.compile(r"\+[1-9]\d{0,5}|([01]?\d|2[0-3])-([01]?\d|2[0-4])", re.ASCII)
_VALID = re.compile(r"(?:[1-9]|1\d|2[0-4])h?|(?:0?[1-9]|1\d|2[0-3]):[0-5]\d|00?:[0-5][1-9]|00?:[1-5]0", re.ASCII)


def check_rules(config: Config, findings: Findings) -> list[Problem]:
    """Report what is wrong in ``rules``, ``profiles`` and ``message.profile``; return the profiles' own problems."""
    names = BUILT_IN_PROFILES
    problems: list[Problem] = []
    if config.profiles:
        specs, problems = read_profiles(FilePath(config.profiles))
        names = names | {spec.name for spec in specs}
        # a profile that is refused keeps its name, so that rules about it are not called wrong, too
        names |= {FilePath(problem.file).stem for problem in problems}
    _check_profile(config.message.profile, ("message", "profile"), names, findings)
    seen: dict[str, int] = {}
    for index, rule in enumerate(config.rules):
        path: Path = ("rules", index)
        if rule.name and seen.setdefault(rule.name, index) != index:
            findings.report((*path, "name"), "the name of an earlier rule", "choose another name")
        _check_rule(rule, path, config, names, findings)
    return problems


def _check_rule(rule: Rule, path: Path, config: Config, names: frozenset[str], findings: Findings) -> None:
    _check_match(rule.match, (*path, "match"), names, findings)
    settings, here = rule.set_, (*path, "set")
    if settings.text is not None:
        from mailbridge.config.template import template_error  # noqa: PLC0415 - Jinja2 is slow to load

        if trouble := template_error(settings.text):
            findings.report_error((*here, "text"), ValueError(trouble))
    if settings.profile is not None:
        _check_profile(settings.profile, (*here, "profile"), names, findings)
    if settings.channel is not None and settings.channel not in _CHANNELS:
        findings.report((*here, "channel"), f'"{settings.channel}" is not a channel', f"write {' or '.join(_CHANNELS)}")
    if settings.gateway is not None and settings.gateway not in config.gateways:
        known = ", ".join(config.gateways) or "none yet"
        findings.report((*here, "gateway"), f'no gateway is called "{settings.gateway}"', f"there are {known}")
    elif settings.gateway is not None and len(config.gateways) > 1:
        words = "a choice among several gateways is not available in this version"
        findings.report((*here, "gateway"), words, "remove it")
    if settings.time is not None and not _is_delay(settings.time):
        findings.report((*here, "time"), "not a time that a rule can set", "write +30 (minutes) or 9-21 (hours)")
    if settings.valid is not None and not _VALID.fullmatch(settings.valid):
        findings.report((*here, "valid"), "not a time the operator may try", "write 2h or 1:30, 24h at most")
    if rule.timezone:
        try:
            ZoneInfo(rule.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            findings.report((*path, "timezone"), "not a time zone", "write one such as Europe/Moscow")
    if rule.to is not None and not rule.to:
        findings.report((*path, "to"), "names nobody", "write numbers or names, or action: drop")
    if rule.digest is not None and rule.action not in {None, "digest"}:
        findings.report((*path, "digest"), f"a digest of mails with action: {rule.action}", "remove one of the two")
    if rule.action == "drop" and rule.to:
        findings.report((*path, "to"), "recipients for a mail that is dropped", "remove one of the two")


def _is_delay(text: str) -> bool:
    match = _DELAY.fullmatch(text)
    return match is not None and (match[1] is None or int(match[1]) != int(match[2]))


def _check_match(match: Match, path: Path, names: frozenset[str], findings: Findings) -> None:
    for key, patterns in (
        ("from", match.from_), ("recipient", match.recipient), ("subject", match.subject), ("text", match.text),
        ("user", match.user),
    ):  # fmt: skip
        _check_patterns(patterns or (), (*path, key), findings)
    for name, patterns in (match.header or {}).items():
        _check_patterns(patterns, (*path, "header", name), findings)
    for key, words, read in (
        ("time", match.time, parse_span), ("days", match.days, parse_days), ("network", match.network, _read_network),
    ):  # fmt: skip
        for index, word in enumerate(words or ()):
            try:
                read(word)
            except ValueError as error:
                findings.report_error(findings.item_path((*path, key), index), error)
    for index, name in enumerate(match.profile or ()):
        _check_profile(name, findings.item_path((*path, "profile"), index), names, findings, auto=False)
    for index, word in enumerate(match.severity or ()):
        if word not in SEVERITIES:
            place = findings.item_path((*path, "severity"), index)
            findings.report(place, f'"{word[:40]}" is not a severity', f"write {', '.join(SEVERITIES)}")


def _check_patterns(patterns: object, path: Path, findings: Findings) -> None:
    assert isinstance(patterns, list | tuple)
    for index, pattern in enumerate(patterns):
        if pattern.startswith(PREFIX):
            try:
                compile_pattern(pattern.removeprefix(PREFIX))
            except ValueError as error:
                findings.report_error(findings.item_path(path, index), error)


def _check_profile(name: str, path: Path, names: frozenset[str], findings: Findings, *, auto: bool = True) -> None:
    if name in names or (auto and name == "auto"):
        return
    hint = suggest(name, names) or f"there are {', '.join(sorted(names))}"
    findings.report(path, f'no profile is called "{name[:40]}"', hint)


def _read_network(word: str) -> None:
    if word in _NO_ADDRESS:
        return
    try:
        ipaddress.ip_network(word)
    except ValueError:
        raise ValueError(f'"{word[:60]}" is not a network; write 10.0.0.0/8, an address, unix or local') from None
