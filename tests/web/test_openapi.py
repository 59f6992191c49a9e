"""The OpenAPI document describes what is served, and schemathesis finds no answer that it does not describe."""

import json
import re
import sys
from pathlib import Path

import pytest

from mailbridge.web.api.handlers import OPERATIONS
from mailbridge.web.api.openapi import document
from tests.support.api import api_section, asking
from tests.support.bridge import running_bridge
from tests.support.programs import run_program

ROOT = Path(__file__).parents[2]


def test_every_operation_is_described_and_nothing_else():
    """Path, method, scope, body and problems, with every reference resolved."""
    described = document()
    pairs = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    assert pairs == {(operation.method, operation.path) for operation in OPERATIONS}
    text = json.dumps(described)
    names = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert names == set(described["components"]["schemas"])
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)


async def test_the_document_is_served_as_it_is_kept(ask):
    """docs/reference/openapi.json is what a bridge says of itself."""
    said = await ask("GET", "/openapi.json")
    assert said.json == json.loads((ROOT / "docs/reference/openapi.json").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_schemathesis_finds_nothing(tmp_path):
    """Requests made from the document, good and bad: no 5xx, no answer that is not described, no unchecked input."""
    async with running_bridge(tmp_path, {"api": api_section()}) as bridge, asking(bridge.web) as ask:
        await ask("POST", "/messages", json={"to": ["+79991234567"], "text": "disk full"})
        ended = await run_program(
            sys.executable, "-m", "schemathesis.cli", "run", f"{bridge.web}/api/v1/openapi.json", "--url", f"{bridge.web}/api/v1",
            "--header", "Authorization: Bearer operator-token", "--exclude-path", "/events", "--max-examples", "15",
            "--phases", "examples,coverage,fuzzing", "--seed", "1", "--no-color", "--checks", "all",
            # which phones are phones no schema can say; an address that tries many tokens soon hears 429
            "--exclude-checks", "positive_data_acceptance,ignored_auth", "--warnings", "off",
            env={"PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT)}, limit_s=300, cwd=tmp_path,
        )  # fmt: skip
        assert ended.code == 0, ended.output[-6000:]
        assert not bridge.events_called("web request broke")
