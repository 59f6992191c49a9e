"""The one command: what a part's failure costs, and what is kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import __main__ as command
from bench import page, rig

MEMORY = {"at_rest_mb": 78.0, "course": [[100, 80.0]], "peak_mb": 81.0, "after_mb": 79.0}


@pytest.fixture
def last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the figures of the run go."""
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    monkeypatch.setattr(command, "LAST", tmp_path / "last.json")
    return tmp_path / "last.json"


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], None]:
    """Put something in a part's place: figures to return, or an exception to raise."""

    def put(name: str, found: Any) -> None:
        def measure(_options: Any, _folder: Path, say: Callable[[str], None]) -> Any:
            say("measuring")
            if isinstance(found, BaseException):
                raise found
            return found

        monkeypatch.setitem(sys.modules, f"bench.part_{name}", SimpleNamespace(measure=measure))

    return put


def test_a_part_that_fails_costs_no_other_its_figures(
    last: Path, part: Callable[[str, Any], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """The rest is measured and kept, what went wrong is told, and the command fails."""
    part("accept", RuntimeError("3 of 32 smtp-source processes failed"))
    part("memory", MEMORY)
    assert command.main(["--only", "accept", "--only", "memory"]) == 1
    kept = json.loads(last.read_text(encoding="utf-8"))
    assert kept["accept"]["error"] == "RuntimeError: 3 of 32 smtp-source processes failed"
    assert kept["memory"]["peak_mb"] == MEMORY["peak_mb"]
    assert kept["memory"]["machine"]
    shown = capsys.readouterr()
    assert "Not measured: RuntimeError: 3 of 32" in shown.out
    assert "78 MB at rest, at most 81 MB" in shown.out
    assert "measuring" in shown.err


def test_figures_are_kept_when_a_part_is_done(last: Path, part: Callable[[str, Any], None]) -> None:
    """A run that is broken off leaves what it had."""
    part("memory", MEMORY)
    part("nodes", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        command.main(["--only", "memory", "--only", "nodes"])
    assert list(json.loads(last.read_text(encoding="utf-8"))) == ["memory"]


def test_what_a_machine_does_not_have_is_no_failure(last: Path, part: Callable[[str, Any], None]) -> None:
    """A part that cannot run here says why."""
    part("nodes", rig.Unavailable("postgres is not installed"))
    assert command.main(["--only", "nodes"]) == 0
    assert json.loads(last.read_text(encoding="utf-8"))["nodes"]["skipped"] == "postgres is not installed"


def test_the_last_run_can_be_taken_over(
    last: Path, part: Callable[[str, Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """--write-last measures nothing and publishes what is there."""
    part("memory", MEMORY)
    taken: list[Any] = []
    monkeypatch.setattr(page, "publish", taken.append)
    assert command.main(["--only", "memory"]) == 0
    assert taken == []
    assert command.main(["--write-last"]) == 0
    assert taken == [json.loads(last.read_text(encoding="utf-8"))]
