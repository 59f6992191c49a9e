"""A bridge with an API, in this process."""

import pytest

from tests.support.api import api_section, asking
from tests.support.house import running_house


@pytest.fixture
async def house():
    """Return a running house whose bridge has an API; mails wait for no verdict."""
    people = {"people": {"anna": {"phone": "+79991112233"}}, "aliases": {"oncall": {"rota": "ops"}}}
    rotas = {"ops": {"start": "2026-01-05 09:00", "members": ["anna"], "timezone": "UTC"}}
    async with running_house(api=api_section(), rotas=rotas, **people) as running:
        yield running


@pytest.fixture
async def ask(house):
    """Return what asks its API as a program that may do everything."""
    async with asking(f"http://127.0.0.1:{house.bridge.web.port}") as asker:
        yield asker


@pytest.fixture
async def ask_as(house):
    """Return what asks as another program, or as none."""

    async def ask(name, method, path, **more):
        async with asking(f"http://127.0.0.1:{house.bridge.web.port}", name) as asker:
            return await asker(method, path, **more)

    return ask
