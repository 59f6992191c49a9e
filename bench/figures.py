"""From turns as JSON keeps them to medians, ranges and ratios; pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Turn = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """A median and the range it comes from."""

    middle: float
    low: float
    high: float

    def shown(self, form: str) -> str:
        """Return it with its range, each number in the format *form*."""
        if self.low == self.high:
            return f"{self.middle:{form}}"
        return f"{self.middle:{form}} ({self.low:{form}} to {self.high:{form}})"


def figure(values: Iterable[float]) -> Figure:
    """Return the figure of *values*, of which there is one at least."""
    ordered = sorted(values)
    return Figure(statistics.median(ordered), ordered[0], ordered[-1])


def taken_rate(turn: Turn) -> float:
    """Return the mails taken in a second."""
    return turn["mails"] / turn["accepted_s"]


def sent_rate(turn: Turn) -> float:
    """Return the messages taken and sent in a second."""
    return turn["mails"] / turn["sent_s"]


def requests_each(turn: Turn) -> float:
    """Return the requests to the gateway for each message."""
    return turn["requests"] / turn["mails"]


def cpu_s_of_1000(turn: Turn) -> float:
    """Return the CPU seconds that 1,000 messages cost."""
    return 1000 * turn["cpu_s"] / turn["mails"]


def sent_of_taken(turn: Turn) -> float:
    """Return the rate at which it sends as a part of the rate at which it takes."""
    return turn["accepted_s"] / turn["sent_s"]


def over(turns: Sequence[Turn], value: Callable[[Turn], float]) -> Figure:
    """Return the figure of *value* over all *turns*."""
    return figure(map(value, turns))


def ratio(ours: Sequence[Turn], theirs: Sequence[Turn], value: Callable[[Turn], float]) -> Figure:
    """Return the figure of the ratios of each round."""
    return figure(value(a) / value(b) for a, b in zip(ours, theirs, strict=True))
