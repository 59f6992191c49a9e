"""A first PostgreSQL that goes away for good, and its standby that takes its place."""

import asyncio
import time

import pytest

from mailbridge.errors import StoreError
from mailbridge.queue.connect import open_store
from tests.support.postgresql import OWNER, QUEUES, running_pair
from tests.support.queue import new_mail, one

pytest.importorskip("psycopg", reason="psycopg is not installed (pip install 'mailbridge[postgres]')")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def url_of(*servers):
    """Return the URL of the queue on whichever of *servers* takes writes."""
    hosts = ",".join(str(server.folder) for server in servers)
    ports = ",".join("5432" for _ in servers)
    return f"postgresql://{OWNER}@/{QUEUES}?host={hosts}&port={ports}&options=-csearch_path%3Dpair"


async def put_until_taken(store, name, *, limit_s):
    """Put a mail again and again, as its client does, and return how often it was refused."""
    deadline = time.monotonic() + limit_s
    for refused in range(10_000):
        try:
            await store.put(new_mail(name))
        except StoreError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        else:
            return refused
    raise AssertionError


@pytest.mark.parametrize("how", ["stop", "freeze"])
async def test_the_standby_takes_over_with_all_that_was_promised(how):
    """Whether the first one is gone or only says nothing any more: what was kept is on both, and the bridge follows."""
    with running_pair() as (first, second):
        store = open_store(url_of(first, second), exclusive=True)
        await store.open()
        await store.put(new_mail("M1"))
        assert (await one(store, "M1.1")).id == "M1.1"
        for lane in (store._writer, store._reader, store._browser):
            lane.patience_s = 1
        getattr(first, how)()
        with pytest.raises(StoreError):
            await store.put(new_mail("M2"))
        second.promote()
        second.sql("postgres", "ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf()")
        await put_until_taken(store, "M3", limit_s=40)
        assert [(await one(store, f"M{n}.1")).id for n in (1, 3)] == ["M1.1", "M3.1"]
        await store.close()
