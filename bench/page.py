"""From the figures of a run to docs/explain/performance.md: a table and a plot for each part. Pure but for the files.

The page's words stay; what stands between ``<!-- bench: NAME -->`` and ``<!-- /bench -->`` is made from
bench/results/published.json, by ``scripts/generate`` like every other page that is made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.figures import (
    Figure,
    Turn,
    cpu_s_of_1000,
    figure,
    over,
    ratio,
    requests_each,
    sent_of_taken,
    sent_rate,
    taken_rate,
)
from mailbridge import plots

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = ROOT / "bench" / "results" / "published.json"
PAGE = "docs/explain/performance.md"
PLOTS = "docs/explain/performance"
_BLOCK = re.compile(r"(<!-- bench: (\w+) -->\n).*?(<!-- /bench -->)", re.DOTALL)

Results = Mapping[str, Any]
US, SPREAD, FLOOR = "mailbridge", "mailbridge, 1 worker", "aiosmtpd"
EACH, KEPT = "a connection each", "kept connections"
ALONE, CROWDED = "alone", "in a crowd"
_KINDS = {
    "empty": lambda _: "empty",
    "waiting": lambda part: f"{part['waiting']:,} messages wait",
    "past": lambda part: f"{part['finished']:,} finished, {part['history_entries']:,} entries in the history",
}


def published() -> Results:
    """Return the figures the page shows."""
    return json.loads(PUBLISHED.read_text(encoding="utf-8")) if PUBLISHED.exists() else {}


def publish(results: Results) -> None:
    """Take *results* over, parts that were not measured or failed staying as they were, and write page and plots."""
    known = {**published(), **{name: part for name, part in results.items() if _has(results, name)}}
    PUBLISHED.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    for name, text in made().items():
        (ROOT / name).write_text(text, encoding="utf-8")


def made() -> dict[str, str]:
    """Return the page and its plots as the published figures make them, by their paths in the project."""
    results = published()
    plots_ = {f"{PLOTS}/{name}.svg": text for name, text in drawn(results).items()}
    return {PAGE: page((ROOT / PAGE).read_text(encoding="utf-8"), results), **plots_}


def page(words: str, results: Results) -> str:
    """Return the page *words* with what is made from *results* in its places."""

    def fill(match: re.Match[str]) -> str:
        return match[1] + "\n".join(_block(match[2], results)) + "\n" + match[3]

    return _BLOCK.sub(fill, words)


def text_of(results: Results) -> list[str]:
    """Return all tables, for a terminal."""
    out = []
    for name in ("conditions", "aims", *results):
        out += [f"## {name}", *_block(name, results), ""]
    return out


def drawn(results: Results) -> dict[str, str]:
    """Return the plots by name."""
    return {name: draw(results[name]) for name, draw in _PLOTS.items() if _has(results, name)}


def _has(results: Results, name: str) -> bool:
    return name in results and "skipped" not in results[name] and "error" not in results[name]


def _block(name: str, results: Results) -> list[str]:
    if name == "conditions":
        return _conditions(results)
    if name == "aims":
        return _aims(results)
    if not _has(results, name):
        part = results.get(name, {})
        return [f"Not measured: {part.get('skipped') or part.get('error') or 'not yet'}."]
    plot = [f"![{name.replace('_', ' ')}](performance/{name}.svg)", ""] if name in _PLOTS else []
    return [*plot, *_TABLES[name](results[name])]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


# -------------------------------------------------------------------------------------------- what and when
def _conditions(results: Results) -> list[str]:
    """Name date, machine and versions, and which parts were measured so."""
    told: dict[str, list[str]] = {}
    for name, part in results.items():
        if _has(results, name):
            words = (
                f"{part['date']}, {part['machine']}; {part['versions']}; "
                f"{part['sessions']} sessions of {part['client']}"
            )
            told.setdefault(words, []).append(f"{name.replace('_', ' ')} (load before: {part['load']})")
    return [f"{words}. Measured: {', '.join(names)}." for words, names in told.items()] or ["Nothing measured yet."]


def _aims(results: Results) -> list[str]:
    """Set each aim beside what was measured for it."""
    rows = []
    for part, words, limit, form, is_most, value in _AIMS:
        if not _has(results, part):
            continue
        try:
            got = value(results[part])
        except KeyError:  # a rival that was left out
            continue
        reached = got <= limit if is_most else got >= limit
        wanted = f"{'≤' if is_most else '≥'} {limit:g}"
        rows.append([words, wanted, f"{got:{form}}", "yes" if reached else "**no**"])
    return _table(["aim", "wanted", "measured", "reached"], rows)


def _accept_ratio(mode: str, us: str = US) -> Callable[[Results], float]:
    return lambda part: ratio(part["turns"][mode][us], part["turns"][mode][FLOOR], taken_rate).middle


def _rival_ratio(rival: str) -> Callable[[Results], float]:
    return lambda part: min(ratio(turns[US], turns[rival], sent_rate).middle for turns in part["turns"].values())


def _own(value: Callable[[Turn], float], choose: Callable[[Sequence[float]], float]) -> Callable[[Results], float]:
    return lambda part: choose([over(turns[US], value).middle for turns in part["turns"].values()])


def _queue_ratio(queue: str, value: Callable[[Turn], float]) -> Callable[[Results], float]:
    return lambda part: ratio(part["turns"][KEPT][queue], part["turns"][KEPT]["empty"], value).middle


def _crowd_ratio(mode: str) -> Callable[[Results], float]:
    return lambda part: ratio(part["turns"][mode][CROWDED], part["turns"][mode][ALONE], taken_rate).middle


#: part, words, limit, format, whether the limit is the most, value
_AIMS: tuple[tuple[str, str, float, str, bool, Callable[[Results], float]], ...] = (
    ("accept", "taken, against bare aiosmtpd, a connection each", 1.0, ".2f", False, _accept_ratio(EACH)),
    ("accept", "taken, against bare aiosmtpd, kept connections", 0.8, ".2f", False, _accept_ratio(KEPT)),
    ("accept", "the same with one worker, a connection each", 1.0, ".2f", False, _accept_ratio(EACH, SPREAD)),
    ("accept", "the same with one worker, kept connections", 0.8, ".2f", False, _accept_ratio(KEPT, SPREAD)),
    ("end_to_end", "taken and sent, of taken", 0.9, ".2f", False, _own(sent_of_taken, min)),
    ("end_to_end", "times mailrise, end to end", 10, ".1f", False, _rival_ratio("mailrise")),
    ("end_to_end", "times Postfix + curl, end to end", 10, ".1f", False, _rival_ratio("Postfix + curl")),
    ("end_to_end", "gateway requests a message", 0.05, ".3f", True, _own(requests_each, max)),
    ("latency", "from a lone mail's 250 to the gateway, median, ms", 5, ".1f", True,
     lambda part: part["idle"]["ms"]["from its 250 to the gateway"]["50"]),
    ("backlog", "taken with messages waiting, against an empty queue", 0.9, ".2f", False,
     _queue_ratio("waiting", taken_rate)),
    ("backlog", "taken and sent with messages waiting, against an empty queue", 0.9, ".2f", False,
     _queue_ratio("waiting", sent_rate)),
    ("backlog", "taken and sent with a long past, against an empty queue", 0.9, ".2f", False,
     _queue_ratio("past", sent_rate)),
    ("backlog", "memory with messages waiting, MB", 200, ".0f", True, lambda part: part["loaded_mb"]["waiting"]),
    ("crowd", "taken in a crowd, against no crowd, a connection each", 0.8, ".2f", False, _crowd_ratio(EACH)),
    ("crowd", "the same, kept connections", 0.8, ".2f", False, _crowd_ratio(KEPT)),
    ("crowd", "memory with the crowd and under load, MB", 150, ".0f", True,
     lambda part: max(turn["rss_mb"] for field in part["turns"].values() for turn in field[CROWDED])),
    ("backlog", "start-up with messages waiting, s", 3, ".2f", True,
     lambda part: figure(part["start_s"]["waiting"]).middle),
)  # fmt: skip


# ---------------------------------------------------------------------------------------------------- tables
def _accept(part: Results) -> list[str]:
    rows = []
    for mode, field in part["turns"].items():
        for name, turns in field.items():
            against = "" if name == FLOOR else ratio(turns, field[FLOOR], taken_rate).shown(".2f")
            rows.append(
                [mode, name, over(turns, taken_rate).shown(".0f"), against, over(turns, cpu_s_of_1000).shown(".2f")]
            )
    return _table(["mails", "server", "taken, 1/s", "ratio to aiosmtpd", "CPU seconds for 1,000"], rows)


def _end_to_end(part: Results) -> list[str]:
    rows = []
    for mode, field in part["turns"].items():
        for name, turns in field.items():
            times = "" if name == US else ratio(field[US], turns, sent_rate).shown(".1f")
            rows.append(
                [
                    mode, name, over(turns, taken_rate).shown(".0f"), over(turns, sent_rate).shown(".0f"), times,
                    over(turns, requests_each).shown(".3f"), over(turns, cpu_s_of_1000).shown(".2f"),
                ]
            )  # fmt: skip
    head = ["mails", "server", "taken, 1/s", "taken and sent, 1/s", "mailbridge is so many times as fast",
            "requests a message", "CPU seconds for 1,000"]  # fmt: skip
    return _table(head, rows)


def _latency(part: Results) -> list[str]:
    rows = []
    for load in ("idle", "half"):
        one = part[load]
        words = f"{one['rate']:.0f} mails a second, {one['mails']:,} of them"
        for name, ms in one["ms"].items():
            rows.append([words, name, *(f"{ms[q]:.1f}" for q in ("50", "99", "99.9", "100"))])
    return _table(["mails", "time", "p50, ms", "p99, ms", "p99.9, ms", "longest, ms"], rows)


def _backlog(part: Results) -> list[str]:
    turns = part["turns"][KEPT]
    rows = []
    for name, words in _KINDS.items():
        is_yardstick = name == "empty"
        rows.append(
            [
                words(part), f"{part['file_mb'][name]:,}", figure(part["start_s"][name]).shown(".2f"),
                f"{part['rest_mb'][name]:.0f}",
                f"{part['loaded_mb'][name]:.0f}", over(turns[name], taken_rate).shown(".0f"),
                "" if is_yardstick else ratio(turns[name], turns["empty"], taken_rate).shown(".2f"),
                over(turns[name], sent_rate).shown(".0f"),
                "" if is_yardstick else ratio(turns[name], turns["empty"], sent_rate).shown(".2f"),
            ]
        )  # fmt: skip
    head = ["queue", "file, MB", "start-up, s", "memory at rest, MB", "under load, MB", "taken, 1/s", "ratio to empty",
            "taken and sent, 1/s", "ratio to empty"]  # fmt: skip
    return [*_table(head, rows), "", _due(part)]


def _due(part: Results) -> str:
    due, alone = part["due"], part["due"]["alone"]
    each = max(1, alone["messages"])
    return (
        f"{part['waiting']:,} messages that are all due: ready after {due['start_s']:.2f} s, then {alone['rate']:.0f} "
        f"a second leave, with {alone['requests'] / each:.3f} requests a message and "
        f"{1000 * alone['cpu_s'] / each:.2f} CPU seconds for 1,000; meanwhile "
        f"{over(due['turns'][KEPT]['due'], taken_rate).shown('.0f')} mails a second are taken; {due['rss_mb']:.0f} MB."
    )


def _memory(part: Results) -> list[str]:
    words = (
        f"{part['at_rest_mb']:.0f} MB at rest, at most {part['peak_mb']:.0f} MB while {part['course'][-1][0]:,} "
        f"messages are accepted, sent and delivered, {part['after_mb']:.0f} MB afterwards."
    )
    return [words]


def _crowd(part: Results) -> list[str]:
    rows = [
        [mode, name, over(turns, taken_rate).shown(".0f"),
         "" if name == ALONE else ratio(turns, field[ALONE], taken_rate).shown(".2f"),
         over(turns, cpu_s_of_1000).shown(".2f"), f"{max(turn['rss_mb'] for turn in turns):.0f}"]
        for mode, field in part["turns"].items()
        for name, turns in field.items()
    ]  # fmt: skip
    head = ["mails", "bridge", "taken, 1/s", "ratio to alone", "CPU seconds for 1,000", "memory, MB"]
    words = (
        f"{part['held']:,} of {part['idle']:,} idle and {part['slow']:,} slow connections held to the end, "
        f"{part['sessions']} clients sending; {part['rest_mb']:.0f} MB before the crowd came, "
        f"{part['held_mb']:.0f} MB with it and no mail."
    )
    return [*_table(head, rows), "", words]


def _nodes(part: Results) -> list[str]:
    field = part["turns"][KEPT]
    rows = [
        [count, over(turns, taken_rate).shown(".0f"), over(turns, sent_rate).shown(".0f"),
         f"{over(turns, sent_rate).middle / over(field['1'], sent_rate).middle:.2f}",
         over(turns, requests_each).shown(".3f"), over(turns, cpu_s_of_1000).shown(".2f")]
        for count, turns in field.items()
    ]  # fmt: skip
    head = ["nodes", "taken, 1/s", "taken and sent, 1/s", "ratio to one node", "requests a message",
            "CPU seconds for 1,000"]  # fmt: skip
    return _table(head, rows)


_TABLES: Mapping[str, Callable[[Results], list[str]]] = {
    "accept": _accept,
    "end_to_end": _end_to_end,
    "latency": _latency,
    "backlog": _backlog,
    "memory": _memory,
    "crowd": _crowd,
    "nodes": _nodes,
}


# ----------------------------------------------------------------------------------------------------- plots
def _bar(label: str, found: Figure) -> plots.Bar:
    return plots.Bar(label, found.middle, found.low, found.high)


def _rates(title: str, value: Callable[[Turn], float]) -> Callable[[Results], str]:
    def draw(part: Results) -> str:
        groups = [
            (mode, [_bar(name, over(turns, value)) for name, turns in field.items()])
            for mode, field in part["turns"].items()
        ]
        return plots.bars(title, groups)

    return draw


def _draw_latency(part: Results) -> str:
    some = [
        plots.Line(
            f"{'lone mails' if load == 'idle' else 'half load'}, {name}",
            [(max(ms[q], 0.1), float(q)) for q in ms if float(q) < 100],
        )
        for load in ("idle", "half")
        for name, ms in part[load]["ms"].items()
        if not name.startswith("from its 250")
    ]
    values = [x for line in some for x, _ in line.points]
    return plots.lines(
        "Share of mails that took no longer", some, x=plots.logarithmic(min(values), max(values), name="ms"),
        y=plots.nines(),
    )  # fmt: skip


def _draw_backlog(part: Results) -> str:
    field = part["turns"][KEPT]
    groups = [
        (words, [_bar(kind(part), over(field[name], value)) for name, kind in _SHORT.items()])
        for words, value in (("taken", taken_rate), ("taken and sent", sent_rate))
    ]
    return plots.bars("Messages a second, by what is in the queue", groups)


_SHORT: Mapping[str, Callable[[Results], str]] = {
    "empty": lambda _: "empty",
    "waiting": lambda part: f"{part['waiting']:,} wait",
    "past": lambda part: f"{part['finished']:,} finished",
}


def _draw_memory(part: Results) -> str:
    points = [(0.0, part["at_rest_mb"]), *((float(n), mb) for n, mb in part["course"])]
    return plots.lines(
        "Resident memory, MB", [plots.Line("mailbridge serve", points)],
        x=plots.linear(points[-1][0], name="messages accepted"), y=plots.linear(part["peak_mb"]),
    )  # fmt: skip


_PLOTS: Mapping[str, Callable[[Results], str]] = {
    "accept": _rates("Mails taken a second", taken_rate),
    "end_to_end": _rates("Messages taken and sent a second", sent_rate),
    "latency": _draw_latency,
    "backlog": _draw_backlog,
    "memory": _draw_memory,
    "crowd": _rates("Mails taken a second", taken_rate),
    "nodes": _rates("Messages taken and sent a second, by number of nodes", sent_rate),
}
