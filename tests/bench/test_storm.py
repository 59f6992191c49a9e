"""A day of alerts becomes few SMS that name every problem, and docs/explain/storm-day.md shows such a day."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from bench import storm

#: SMS of a day, whatever happens in it
MOST = 60


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_day_is_few_sms_that_name_every_problem(seed):
    """A smaller day, with all that happens in a large one: nothing is lost, nothing is left unnamed."""
    day = await storm.simulate(alerts=1500, seed=seed)
    assert len(day.arrivals) > 1400
    assert len(day.sent) < MOST
    assert [problem for problem, wait in day.waits_s().items() if wait is None] == []
    assert sum(sent.of for sent in day.sent) + day.fates["over at once"] == len(day.arrivals) == day.fates.total()


@pytest.mark.slow
async def test_the_same_seed_is_the_same_day():
    """Mails and messages alike."""
    first, second = [await storm.simulate(alerts=300, seed=5) for _ in range(2)]
    assert first.sent == second.sent
    assert [one.content for one in first.arrivals] == [one.content for one in second.arrivals]


def test_the_page_shows_a_day_of_thirty_thousand():
    """The published day is a whole one, and it holds what the page says of it."""
    found = json.loads(storm.PUBLISHED.read_text("utf-8"))
    assert found["alerts"] > 29_500
    assert len(found["sent"]) < MOST
    assert found["unnamed"] == 0
    assert sum(of for _, of, _, _ in found["sent"]) + found["fates"].get("over at once", 0) == found["alerts"]
    for name, text in storm.made().items():
        assert (storm.ROOT / name).read_text("utf-8") == text
    ET.fromstring(storm.made()[storm.PLOT])


def test_names_are_read_as_a_person_reads_them():
    """What counts as named is what stands there, not what might be meant."""
    text = "+9 in 5 min: 3 CRIT web01..03/HTTP,Disk /var, db1, 1 WARN mail,erp/Load; OK now: nas1/dev/sdb (2 min); last: x/y"
    assert storm.named_in(text) == {
        *((f"web0{n}", thing) for n in (1, 2, 3) for thing in ("HTTP", "Disk /var")), ("db1", ""), ("mail", "Load"),
        ("erp", "Load"), ("nas1", "dev/sdb"),
    }  # fmt: skip
    assert storm.named_in("CRIT web01/HTTP") == frozenset()
