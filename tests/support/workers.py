"""Runs of the program with its door in worker processes (``smtp.workers``)."""

from __future__ import annotations

import psutil
import pytest

from tests.support.bridge import Bridge

#: the override that lays workers over any test's configuration
VARIABLE = "MAILBRIDGE__SMTP__WORKERS"


@pytest.fixture(params=[0, 2], ids=["one-process", "workers"])
def workers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let every bridge of the test run with that many workers."""
    monkeypatch.setenv(VARIABLE, str(request.param))
    count: int = request.param
    return count


def workers_of(bridge: Bridge) -> list[psutil.Process]:
    """Return the worker processes of a running bridge."""
    assert bridge.process is not None
    return psutil.Process(bridge.process.pid).children()
