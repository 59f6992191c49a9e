"""Many names in few letters, and none of them lost: ``web01..40/HTTP,SSH`` is eighty. Pure.

A digest says with them what a storm is about. Numbers that follow each other are a range, things that all of some
hosts have stand behind them once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

#: a host, or whatever has a name, and what of it; the latter may be empty
Name = tuple[str, str]

_NUMBER = re.compile(r"\d+")
#: numbers of more digits are no numbers of hosts, but times and serials
_MAX_DIGITS = 6
#: from here on a row of numbers is a range
_LEAST_RANGE = 3
#: of more numbers than these, of so many digits, nobody wants to read each: they count things, not machines
_MAX_NUMBERS, _MANY_DIGITS = 12, 4


def list_names(names: Iterable[Name]) -> list[str]:
    """Return *names* as few texts, in the order of their first; ``", ".join`` of them tells every one."""
    known = list(dict.fromkeys(names))
    by_thing: dict[str, list[str]] = {}
    by_host: dict[str, list[str]] = {}
    for host, thing in known:
        by_thing.setdefault(thing, []).append(host)
        by_host.setdefault(host, []).append(thing)
    # what several hosts have in common, or what some hosts have, whichever is shorter
    groups: dict[str, list[str]] = {}
    for thing, hosts in by_thing.items():
        for text in compress(hosts):
            groups.setdefault(text, []).append(thing)
    first = [text for hosts, things in groups.items() for text in _joined([hosts], things)]
    alike: dict[tuple[str, ...], list[str]] = {}
    for host, own in by_host.items():
        alike.setdefault(tuple(own), []).append(host)
    second = [text for things, hosts in alike.items() for text in _joined(compress(hosts), things)]
    return min(first, second, key=lambda texts: sum(map(len, texts)) + 2 * len(texts))


def _joined(hosts: Sequence[str], things: Sequence[str]) -> list[str]:
    # "nas1/dev/sdb": a path brings its slash along
    named = ",".join(thing.lstrip("/") for thing in things if thing)
    if not named:
        return list(hosts)
    return [*(hosts if "" in things else ()), f"{','.join(hosts)}/{named}"]


def compress(words: Sequence[str]) -> list[str]:
    """Return *words*, those that differ in one number as one: ``web01..03,07``."""
    found: dict[tuple[str, str], list[str]] = {}
    place = _varying(words)
    for word in dict.fromkeys(words):
        match = place.get(word)
        key = (word, "") if match is None else (word[: match.start()], word[match.end() :])
        found.setdefault(key, []).append("" if match is None else match[0])
    return [f"{before}{_ranges(numbers)}{after}" for (before, after), numbers in found.items()]


def _varying(words: Sequence[str]) -> dict[str, re.Match[str]]:
    """Return for each word the number in which it differs from others; of several the one that differs most."""
    alike: dict[tuple[str, str], list[tuple[str, re.Match[str]]]] = {}
    for word in dict.fromkeys(words):
        for match in _NUMBER.finditer(word):
            if len(match[0]) <= _MAX_DIGITS:
                alike.setdefault((word[: match.start()], word[match.end() :]), []).append((word, match))
    chosen: dict[str, tuple[int, re.Match[str]]] = {}
    for some in alike.values():
        for word, match in some:
            if len(some) > 1 and (word not in chosen or chosen[word][0] < len(some)):
                chosen[word] = (len(some), match)
    return {word: match for word, (_, match) in chosen.items()}


def _ranges(numbers: Sequence[str]) -> str:
    if len(numbers) == 1:
        return numbers[0]
    rows: list[list[str]] = []
    for number in sorted(dict.fromkeys(numbers), key=lambda one: (int(one), len(one))):
        if rows and len(rows[-1][-1]) <= len(number) and _follows(rows[-1][-1], number):
            rows[-1].append(number)
        else:
            rows.append([number])
    if len(rows) > _MAX_NUMBERS and len(rows[-1][-1]) >= _MANY_DIGITS:
        return f"{rows[0][0]}..{rows[-1][-1]}({len(numbers)})"
    return ",".join(f"{row[0]}..{row[-1]}" if len(row) >= _LEAST_RANGE else ",".join(row) for row in rows)


def _follows(before: str, number: str) -> bool:
    """Tell whether *number* is the next one, written alike: 9 and 10, 09 and 10, but not 9 and 010."""
    return str(int(before) + 1).zfill(len(before)) == number
