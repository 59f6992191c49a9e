"""The alert rules and the dashboard, read by a real Prometheus that scrapes a running bridge."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.error
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.bridge import running_bridge
from tests.support.documents import ROOT
from tests.support.pages import fetched
from tests.support.programs import free_port, need, run_program

RULES = ROOT / "contrib/prometheus/mailbridge.rules.yaml"
RULES_TEST = ROOT / "tests/data/prometheus/rules.test.yaml"
DASHBOARD = ROOT / "contrib/grafana/mailbridge.json"
PAGE = ROOT / "docs/reference/metrics.md"

#: what Grafana puts in place of its variables
_VARIABLES = {"$__rate_interval": "5m", "$instance": ".*"}
#: series that are there only after something rare has happened, or where a budget is configured
_RARE = ("mailbridge_rejected_total", "mailbridge_callbacks_total", "mailbridge_gateway_suspensions_total",
         "mailbridge_budget_", "mailbridge_inbound_total", "mailbridge_escalations_total", "mailbridge_heartbeats_total")  # fmt: skip


def rules() -> dict[str, str]:
    """Return the alerts with their expressions."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels() -> list[dict[str, Any]]:
    """Return the dashboard's panels."""
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]


def expressions() -> list[str]:
    """Return every expression of the dashboard, as Grafana asks it."""
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    for name, value in _VARIABLES.items():
        found = [expression.replace(name, value) for expression in found]
    return found


def documented() -> set[str]:
    """Return the names of the page of metrics; a histogram's with their endings."""
    rows = re.findall(r"^\| `(mailbridge_\w+)` \| (\w+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    endings = ("_bucket", "_count", "_sum")
    return {name for name, kind in rows if kind != "histogram"} | {
        name + ending for name, kind in rows if kind == "histogram" for ending in endings
    }


def test_rules_and_dashboard_name_metrics_that_exist():
    """What they ask for is on the page of metrics, which is held to what a running bridge shows."""
    used = set(re.findall(r"mailbridge_\w+", " ".join([*rules().values(), *expressions()])))
    assert used
    assert used <= documented()


def test_the_dashboard_shows_every_metric():
    """Nothing that is measured is left out of the picture."""
    shown = set(re.findall(r"mailbridge_\w+", " ".join(expressions())))
    missing = {name for name in documented() if name not in shown and not name.endswith(("_count", "_sum"))}
    assert missing == set()


def test_panels_do_not_overlap():
    """Each panel has its own place on the grid, and an id of its own."""
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)


def test_every_alert_is_tried_both_ways():
    """The file for `promtool test rules` has a case in which each alert is raised."""
    cases = yaml.safe_load(RULES_TEST.read_text(encoding="utf-8"))["tests"]
    raised = {one["alertname"] for case in cases for one in case["alert_rule_test"] if one["exp_alerts"]}
    assert raised == set(rules())


@pytest.mark.slow
async def test_promtool_finds_each_alert_raised_by_what_it_is_about():
    """Prometheus' own tool reads the rules, and runs their unit tests."""
    promtool = need("promtool")
    checked = await run_program(promtool, "check", "rules", RULES)
    assert (checked.code, f"{len(rules())} rules found" in checked.output) == (0, True), checked
    tried = await run_program(promtool, "test", "rules", RULES_TEST)
    assert tried.code == 0, tried


class Prometheus:
    """One running server."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    async def ask(self, path: str, **query: str) -> Any:
        """Return the data of one call of its API; None while it does not answer."""
        try:
            return json.loads(await fetched(f"{self._url}/{path}?{urllib.parse.urlencode(query)}"))["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None
        except OSError:
            return None


@asynccontextmanager
async def running_prometheus(folder: Path, target: str) -> AsyncIterator[Prometheus]:
    """Run a Prometheus with our rules that asks *target* every second, until the block ends."""
    program, port = need("prometheus"), free_port()
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "mailbridge", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}", stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield Prometheus(port)
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.slow
async def test_a_prometheus_that_scrapes_a_bridge_can_draw_the_dashboard(tmp_path: Path):
    """It takes every rule and every expression of the dashboard; what is always there gives a series."""
    async with (
        running_bridge(tmp_path) as bridge,
        running_prometheus(tmp_path, bridge.web.partition("//")[2]) as server,
    ):
        sent = await bridge.verb("send", "89991234567", "so that a balance is known")
        assert sent.code == 0, sent
        await bridge.messages()
        samples: list[Any] = []
        for _ in range(300):
            # two scrapes of a balance: rates need two
            answer = await server.ask("query", query="count_over_time(mailbridge_gateway_balance[1m])")
            samples = answer["result"] if answer else []
            if samples and int(samples[0]["value"][1]) >= 2:
                break
            await asyncio.sleep(0.1)
        assert samples, (tmp_path / "prometheus.log").read_text("utf-8")
        for expression in expressions():
            answer = await server.ask("query", query=expression)
            assert answer["result"] or any(name in expression for name in _RARE), expression
        loaded = [rule for group in (await server.ask("rules"))["groups"] for rule in group["rules"]]
        assert {rule["name"] for rule in loaded} == set(rules())
        assert {rule["health"] for rule in loaded} <= {"ok", "unknown"}
        assert [rule["name"] for rule in loaded if rule["state"] == "firing"] == []
