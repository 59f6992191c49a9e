"""Plots as SVG texts: bars with their ranges, and lines. Pure; the same figures give the same text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 720
_LABELS_WIDTH = 230
_RIGHT = 80
_BAR, _GAP, _GROUP_GAP = 16, 6, 28
_TOP = 44
_HEIGHT = 320
COLOURS = ("#1f6fb2", "#d1702a", "#3a8f4d", "#8a5fb0", "#8c564b", "#6b7280")
_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    ' font-family="sans-serif" font-size="12" fill="#222">\n<rect width="100%" height="100%" fill="#fff"/>\n'
    '<text x="12" y="24" font-size="15" font-weight="bold">{title}</text>\n'
)


@dataclass(frozen=True)
class Bar:
    """One value with its range; all bars of one label have one colour."""

    label: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One line of a plot."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """A scale: where a value stands (0 to 1), and which values are named."""

    place: Callable[[float], float]
    ticks: Sequence[tuple[float, str]]
    name: str = ""


def bars(title: str, groups: Sequence[tuple[str, Sequence[Bar]]], *, form: str = ",.0f") -> str:
    """Return horizontal bars in named groups, each with its value and a line for its range."""
    longest = max((bar.high for _, some in groups for bar in some), default=1.0) or 1.0
    labels = list(dict.fromkeys(bar.label for _, some in groups for bar in some))
    room = WIDTH - _LABELS_WIDTH - _RIGHT
    out, y = [], _TOP
    for name, some in groups:
        y += _GROUP_GAP - _GAP if name else _GAP
        if name:
            out.append(f'<text x="12" y="{y - 6}" font-weight="bold">{escape(name)}</text>')
        for bar in some:
            colour = COLOURS[labels.index(bar.label) % len(COLOURS)]
            length, low, high = (round(room * value / longest, 1) for value in (bar.value, bar.low, bar.high))
            middle = y + _BAR / 2
            out += [
                f'<text x="{_LABELS_WIDTH - 8}" y="{y + 12}" text-anchor="end">{escape(bar.label)}</text>',
                f'<rect x="{_LABELS_WIDTH}" y="{y}" width="{length}" height="{_BAR}" fill="{colour}"/>',
                f'<path d="M{_LABELS_WIDTH + low:.1f} {middle}H{_LABELS_WIDTH + high:.1f}" stroke="#222"/>',
                f'<text x="{_LABELS_WIDTH + high + 6:.1f}" y="{y + 12}">{bar.value:{form}}</text>',
            ]
            y += _BAR + _GAP
    return _whole(title, y + 12, out)


def lines(title: str, some: Sequence[Line], *, x: Axis, y: Axis) -> str:
    """Return lines over two axes, with a legend below the title."""
    left, right, top, bottom = 64, WIDTH - 24, _TOP + 18 * len(some) + 10, _HEIGHT + 18 * len(some)
    out = []
    for value, label in x.ticks:
        at = round(left + (right - left) * x.place(value), 1)
        out.append(f'<path d="M{at} {top}V{bottom}" stroke="#ddd"/>')
        out.append(f'<text x="{at}" y="{bottom + 16}" text-anchor="middle">{escape(label)}</text>')
    for value, label in y.ticks:
        at = round(bottom - (bottom - top) * y.place(value), 1)
        out.append(f'<path d="M{left} {at}H{right}" stroke="#ddd"/>')
        out.append(f'<text x="{left - 6}" y="{at + 4}" text-anchor="end">{escape(label)}</text>')
    for number, line in enumerate(some):
        colour = COLOURS[number % len(COLOURS)]
        places = " ".join(
            f"{left + (right - left) * x.place(a):.1f},{bottom - (bottom - top) * y.place(b):.1f}"
            for a, b in line.points
        )
        legend = _TOP + 18 * number
        out += [
            f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"/>',
            f'<rect x="{left}" y="{legend - 8}" width="14" height="8" fill="{colour}"/>',
            f'<text x="{left + 20}" y="{legend}">{escape(line.label)}</text>',
        ]
    out.append(f'<text x="{right}" y="{bottom + 34}" text-anchor="end">{escape(x.name)}</text>')
    return _whole(title, bottom + 46, out)


def linear(most: float, *, name: str = "", form: str = ",.0f") -> Axis:
    """Return a scale from zero to a round number of at least *most*."""
    step = _round_up(most / 5 or 1.0)
    end = step * math.ceil(most / step) or step
    count = round(end / step)
    return Axis(lambda value: value / end, [(step * n, f"{step * n:{form}}") for n in range(count + 1)], name)


def logarithmic(least: float, most: float, *, name: str = "") -> Axis:
    """Return a scale of powers of ten around *least* and *most*, both above zero."""
    low = math.floor(math.log10(least))
    high = max(low + 1, math.ceil(math.log10(most)))
    ticks = [(10.0**power, f"{10.0**power:,.10g}") for power in range(low, high + 1)]
    return Axis(lambda value: (math.log10(max(value, 10.0**low)) - low) / (high - low), ticks, name)


def nines() -> Axis:
    """Return a scale of percentages below 100 on which 90, 99 and 99.9 are equally far apart."""
    return Axis(
        lambda percent: -math.log10(1 - percent / 100) / 3,
        [(percent, f"{percent:g} %") for percent in (0, 50, 90, 99, 99.9)],
    )


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def _whole(title: str, height: float, inside: Sequence[str]) -> str:
    return "".join(_pieces(title, height, inside))


def _pieces(title: str, height: float, inside: Sequence[str]) -> Iterator[str]:
    yield _HEAD.format(width=WIDTH, height=round(height), title=escape(title))
    for piece in inside:
        yield f"{piece}\n"
    yield "</svg>\n"


# ------------------------------------------------------------------------------------------- within a page
@dataclass(frozen=True)
class Layer:
    """One row of values for ``columns`` or ``curves``; *name* is also its CSS class, which has its colour."""

    name: str
    label: str
    #: None where there is nothing to draw
    values: Sequence[float | None]


_SMALL_HEIGHT, _SMALL_LEFT, _SMALL_BOTTOM, _SMALL_TOP = 200, 56, 22, 10


def columns(title: str, at: Sequence[str], layers: Sequence[Layer], *, form: str = ",.0f") -> str:
    """Return stacked columns, one for each of *at*, as SVG within a page, whose style sheet has the colours."""
    highest = max((sum(layer.values[n] or 0 for layer in layers) for n in range(len(at))), default=0)
    axis = linear(highest or 1.0, form=form)
    room, step = _room(len(at))
    out = []
    for n, label in enumerate(at):
        below = 0.0
        for layer in layers:
            value = layer.values[n] or 0
            if not value:
                continue
            top, bottom = _height(axis, below + value), _height(axis, below)
            out.append(
                f'<rect class="{layer.name}" x="{_SMALL_LEFT + n * step:.1f}" y="{top:.1f}" width="{room:.1f}" '
                f'height="{max(bottom - top, 0.5):.1f}"><title>{escape(f"{label}: {layer.label} {value:{form}}")}'
                "</title></rect>"
            )
            below += value
    return _within(title, at, axis, out)


def curves(title: str, at: Sequence[str], layers: Sequence[Layer], *, form: str = ",.1f") -> str:
    """Return lines over *at*, with gaps where there is no value; otherwise like ``columns``."""
    highest = max((value for layer in layers for value in layer.values if value is not None), default=0)
    axis = linear(highest or 1.0, form=form)
    _, step = _room(len(at))
    out = []
    for layer in layers:
        path, is_open = [], False
        for n, value in enumerate(layer.values):
            if value is not None:
                path.append(f"{'L' if is_open else 'M'}{_SMALL_LEFT + (n + 0.5) * step:.1f} {_height(axis, value):.1f}")
                if not is_open and (n + 1 == len(layer.values) or layer.values[n + 1] is None):
                    # a value between two gaps
                    x, y = _SMALL_LEFT + (n + 0.5) * step, _height(axis, value)
                    out.append(f'<circle class="dot {layer.name}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
            is_open = value is not None
        if path:
            out.append(
                f'<path class="line {layer.name}" d="{"".join(path)}"><title>{escape(layer.label)}</title></path>'
            )
    return _within(title, at, axis, out)


def _room(count: int) -> tuple[float, float]:
    step = (WIDTH - _SMALL_LEFT - 8) / max(count, 1)
    return max(step - 1, step * 0.8), step


def _height(axis: Axis, value: float) -> float:
    bottom = _SMALL_HEIGHT - _SMALL_BOTTOM
    return bottom - (bottom - _SMALL_TOP) * axis.place(value)


def _within(title: str, at: Sequence[str], axis: Axis, inside: Sequence[str]) -> str:
    _, step = _room(len(at))
    out = [
        (
            f'<svg class="plot" viewBox="0 0 {WIDTH} {_SMALL_HEIGHT}" role="img" aria-label="{escape(title)}" '
            f'preserveAspectRatio="xMidYMid meet"><title>{escape(title)}</title>'
        )
    ]
    for value, label in axis.ticks:
        y = _height(axis, value)
        out.append(f'<path class="grid" d="M{_SMALL_LEFT} {y:.1f}H{WIDTH - 8}"/>')
        out.append(f'<text x="{_SMALL_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>')
    every = max(1, math.ceil(len(at) / 8))
    out += [
        f'<text x="{_SMALL_LEFT + (n + 0.5) * step:.1f}" y="{_SMALL_HEIGHT - 6}" text-anchor="middle">'
        f"{escape(label)}</text>"
        for n, label in enumerate(at)
        if n % every == 0
    ]
    return "".join([*out, *inside, "</svg>"])
