"""Every store under one contract."""

import pytest

from mailbridge.queue.connect import open_store


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
async def store(request, tmp_path):
    """Return each kind of store in turn, open."""
    match request.param:
        case "memory":
            url = "memory:"
        case "sqlite":
            url = f"sqlite:///{tmp_path}/queue.db"
        case _:
            url = request.getfixturevalue("queue_url")
    store = open_store(url, exclusive=True)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def sqlite(tmp_path):
    """Return an open SQLite store."""
    store = open_store(f"sqlite:///{tmp_path}/queue.db", exclusive=True)
    await store.open()
    yield store
    await store.close()
