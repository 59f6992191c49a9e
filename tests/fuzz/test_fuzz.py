"""Some hundred inputs for each target of ``tests/support/fuzz.py``, with every test run."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.fuzz import TARGETS, Target

#: those that open sockets cost some milliseconds each
EXAMPLES = {"session": 150, "web": 100}
USUAL = 400


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_invariant(target: Target) -> None:
    """The first line of the target's check holds for every input."""
    assert target.invariant.endswith(".")
    settings(max_examples=EXAMPLES.get(target.name, USUAL), deadline=None, suppress_health_check=list(HealthCheck))(
        given(target.inputs)(target.check)
    )()
