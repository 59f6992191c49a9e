"""A real Prometheus Alertmanager with the page's configuration, and the SMS an alert and its end become."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.bridge import Bridge
from tests.support.documents import ROOT, blocks
from tests.support.programs import free_port, need, until

PAGE = ROOT / "docs/howto/prometheus.md"
PHONE = "+79991234567"


async def post(url: str, value: Any) -> None:
    """Send *value* as JSON."""
    request = urllib.request.Request(url, json.dumps(value).encode(), {"Content-Type": "application/json"})
    await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=10).close())


@pytest.mark.timeout(120)
async def test_an_alert_and_its_end_become_the_lines_the_page_shows(bridge: Bridge, tmp_path: Path) -> None:
    """Only the port and the patience of the page's configuration are changed."""
    program, port = need("prometheus-alertmanager"), free_port()
    [config] = [block.text for block in blocks(PAGE, "yml") if "email_configs" in block.text]
    fired, resolved = re.findall(r"`((?:CRIT|OK) DiskFull [^`]+)`", PAGE.read_text("utf-8"))
    config = config.replace("127.0.0.1:2525", f"127.0.0.1:{bridge.port}")
    config = config.replace("group_wait: 10s", "group_wait: 0s\n  group_interval: 1s")
    (tmp_path / "alertmanager.yml").write_text(config, encoding="utf-8")
    log = tmp_path / "alertmanager.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program, f"--config.file={tmp_path}/alertmanager.yml", f"--storage.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", stdout=output, stderr=output,
        )  # fmt: skip
    try:
        await until(lambda: b"Listening" in log.read_bytes(), saying=log.read_text)
        alert = {
            "labels": {"alertname": "DiskFull", "instance": "db1:9100", "severity": "critical"},
            "annotations": {"summary": "Disk full on db1"},
            "generatorURL": "http://prometheus.example.org:9090/graph",
        }
        url = f"http://127.0.0.1:{port}/api/v2/alerts"
        await post(url, [alert])
        (problem,) = await bridge.messages()
        await post(url, [alert | {"endsAt": "2001-01-01T00:00:00Z", "startsAt": "2000-12-31T23:00:00Z"}])
        recovery = (await bridge.messages(2))[1]
    finally:
        process.terminate()
        await process.wait()
    assert [(one["phone"], one["text"], one["parts"]) for one in (problem, recovery)] == [
        (PHONE, fired, 1), (PHONE, resolved, 1)
    ]  # fmt: skip
