"""docs/explain/performance.md shows what was measured, and the figures are put together rightly."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import page
from bench.figures import Figure, figure, ratio, taken_rate
from mailbridge import plots

ROOT = Path(__file__).parents[2]
HEAD = {
    "date": "2026-01-02", "machine": "2 cores", "versions": "Python 3", "load": 0.1, "sessions": 32,
    "client": "smtp-source",
}  # fmt: skip


def turn(mails: int, accepted_s: float, sent_s: float | None = None, requests: int | None = None) -> dict[str, Any]:
    """Return one turn as the results keep it."""
    return {
        "mails": mails, "accepted_s": accepted_s, "sent_s": sent_s, "cpu_s": 0.5, "requests": requests, "rss_mb": 80.0,
    }  # fmt: skip


OURS = [turn(1000, 1.0, 2.0, 20), turn(1000, 2.0, 4.0, 40), turn(1000, 4.0, 8.0, 80)]
THEIRS = [turn(1000, 0.5), turn(1000, 0.5), turn(1000, 0.5)]
ACCEPT = {**HEAD, "turns": {"a connection each": {"aiosmtpd": THEIRS, "mailbridge": OURS},
                            "kept connections": {"aiosmtpd": OURS, "mailbridge": OURS}}}  # fmt: skip


@pytest.mark.parametrize("name", sorted(page.made()))
def test_the_page_and_its_plots_are_made_from_the_figures_kept(name: str) -> None:
    """What scripts/generate would write from bench/results/published.json is what stands in the tree."""
    assert (ROOT / name).read_text(encoding="utf-8") == page.made()[name]


def test_no_plot_is_left_over() -> None:
    """Every plot in the page's folder belongs to a part that is shown."""
    there = {f"{page.PLOTS}/{file.name}" for file in (ROOT / page.PLOTS).glob("*")}
    assert there == set(page.made()) - {page.PAGE}


def test_a_ratio_is_that_of_each_round() -> None:
    """The median of the rounds' ratios, not the ratio of the medians."""
    ours = [turn(100, 1.0), turn(100, 2.0), turn(100, 4.0)]
    theirs = [turn(100, 2.0), turn(100, 1.0), turn(100, 1.0)]
    assert ratio(ours, theirs, taken_rate) == Figure(0.5, 0.25, 2.0)


def test_a_figure_is_a_median_with_its_range() -> None:
    """One value has no range to show."""
    assert figure([3, 1, 2]).shown(".1f") == "2.0 (1.0 to 3.0)"
    assert figure([2]).shown(".1f") == "2.0"


def test_a_table_sets_each_server_beside_the_bare_one() -> None:
    """Rates with their range, the ratio of the rounds, CPU for a thousand mails."""
    shown = page.page("<!-- bench: accept -->\nold\n<!-- /bench -->\nwords\n", {"accept": ACCEPT})
    assert "| a connection each | mailbridge | 500 (250 to 1000) | 0.25 (0.12 to 0.50) | 0.50 |" in shown
    assert "| a connection each | aiosmtpd | 2000 |  | 0.50 |" in shown
    assert "old" not in shown
    assert shown.endswith("<!-- /bench -->\nwords\n")


def test_aims_say_whether_they_were_reached() -> None:
    """An aim that was missed is shown as one that was missed; one that was not measured is not shown."""
    shown = "\n".join(page.text_of({"accept": ACCEPT}))
    assert "| taken, against bare aiosmtpd, a connection each | ≥ 1 | 0.25 | **no** |" in shown
    assert "| taken, against bare aiosmtpd, kept connections | ≥ 0.8 | 1.00 | yes |" in shown
    assert "mailrise" not in shown


@pytest.mark.parametrize("part", [{**HEAD, "error": "boom"}, {**HEAD, "skipped": "no such program"}])
def test_what_was_not_measured_is_said(part: dict[str, Any]) -> None:
    """A part that failed or could not run gives its reason and no plot."""
    shown = "\n".join(page.text_of({"accept": part}))
    assert f"Not measured: {part.get('error') or part.get('skipped')}." in shown
    assert page.drawn({"accept": part}) == {}


def test_a_part_that_failed_keeps_the_figures_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run replaces the parts it has measured and no others."""
    (tmp_path / page.PLOTS).mkdir(parents=True)
    (tmp_path / page.PAGE).write_text("<!-- bench: accept -->\n<!-- /bench -->\n", encoding="utf-8")
    monkeypatch.setattr(page, "ROOT", tmp_path)
    monkeypatch.setattr(page, "PUBLISHED", tmp_path / "published.json")
    page.publish({"accept": ACCEPT})
    first = (tmp_path / page.PAGE).read_text(encoding="utf-8")
    page.publish({"accept": {**HEAD, "error": "boom"}, "nodes": {**HEAD, "skipped": "no server"}})
    assert (tmp_path / page.PAGE).read_text(encoding="utf-8") == first
    assert list(json.loads((tmp_path / "published.json").read_text(encoding="utf-8"))) == ["accept"]
    assert [file.name for file in (tmp_path / page.PLOTS).iterdir()] == ["accept.svg"]


# ---------------------------------------------------------------------------------------------------- plots
SVG = "{http://www.w3.org/2000/svg}"
values = st.floats(0, 1e6)


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=9), values), max_size=9))
def test_bars_stay_within_the_picture(some: list[tuple[str, float]]) -> None:
    """Whatever the values, and whatever the labels hold, the text is SVG and no bar leaves it."""
    text = plots.bars("<&>", [("group", [plots.Bar(label, value, value, value) for label, value in some])])
    root = ET.fromstring(text)
    rects = root.findall(f"{SVG}rect")[1:]
    assert len(rects) == len(some)
    assert all(float(r.get("x", 0)) + float(r.get("width", -1)) <= plots.WIDTH for r in rects)
    assert all(float(r.get("y", 0)) + float(r.get("height", 0)) <= float(root.get("height", 0)) for r in rects)


@given(st.floats(0, 1e9))
def test_a_scale_from_zero_holds_its_values(most: float) -> None:
    """The largest value has a place, and the names of the scale are few and round."""
    axis = plots.linear(most)
    assert 0 <= axis.place(most) <= 1 + 1e-9
    assert 2 <= len(axis.ticks) <= 7


@given(st.floats(1e-3, 1e6), st.floats(1, 1e6))
def test_a_scale_of_powers_holds_its_values(least: float, times: float) -> None:
    """Both ends have a place between 0 and 1."""
    axis = plots.logarithmic(least, least * times)
    assert -1e-9 <= axis.place(least) <= axis.place(least * times) <= 1 + 1e-9


def test_nines_are_equally_far_apart() -> None:
    """90, 99 and 99.9 percent stand at one, two and three thirds."""
    axis = plots.nines()
    assert [round(axis.place(percent), 6) for percent in (0, 90, 99, 99.9)] == [0, 0.333333, 0.666667, 1]


def test_lines_have_a_legend() -> None:
    """Each line of a plot is named."""
    some = [plots.Line("first", [(0, 0), (1, 1)]), plots.Line("second", [(0, 1), (1, 0)])]
    root = ET.fromstring(plots.lines("Title", some, x=plots.linear(1), y=plots.linear(1)))
    assert {"first", "second", "Title"} <= {node.text for node in root.findall(f"{SVG}text")}
    assert len(root.findall(f"{SVG}polyline")) == 2
