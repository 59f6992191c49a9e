"""One simulator for each test."""

import pytest

from mailbridge.simulator.settings import SimulatorSettings
from tests.support.simulator import running


@pytest.fixture
async def client():
    """A client of a simulator without limits, whose clock stands still."""
    async with running() as ready:
        yield ready


@pytest.fixture
async def strict():
    """A client of a simulator with the gateway's own limits."""
    async with running(SimulatorSettings()) as ready:
        yield ready
