"""Several nodes on one PostgreSQL: who lives, who is first, and what becomes of what the dead had in flight."""

import asyncio
from datetime import timedelta

import pytest

from mailbridge.model.state import State
from mailbridge.queue.connect import open_store
from tests.support.queue import NOW, change, claim, new_mail, one

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed (pip install 'mailbridge[postgres]')")
pytestmark = pytest.mark.slow

LEASE_S = 20.0
_HEARD = "SELECT 1 FROM nodes JOIN pg_stat_activity ON pid::text = split_part(heard_by, ' ', 1) WHERE nodes.name = %s"


@pytest.fixture
async def shared(queue_url):
    """Return an open store."""
    store = open_store(queue_url)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def silence(queue_url):
    """Return what lets a node have been silent for some seconds more."""

    def silent(node, seconds=60):
        with psycopg.connect(queue_url) as conn:
            conn.execute("UPDATE nodes SET lease_until = lease_until - %s WHERE name = %s", (seconds * 1_000_000, node))

    return silent


async def beat(store, node, *, take_over=True, now=NOW):
    """Give a sign of life and return (place, number of nodes, new, taken over)."""
    pulse = await store.cluster.beat(node=node, now=now, lease_s=LEASE_S, take_over=take_over)
    return pulse.place, pulse.nodes, pulse.is_new, pulse.taken_over


async def test_nodes_have_the_order_in_which_they_came(shared):
    """It does not change while all of them live."""
    assert await beat(shared, "b") == (0, 1, True, 0)
    assert await beat(shared, "a") == (1, 2, True, 0)
    assert await beat(shared, "b") == (0, 2, False, 0)
    assert await beat(shared, "a") == (1, 2, False, 0)


async def test_what_a_dead_node_had_in_flight_is_unknown_and_never_queued(shared, silence):
    """The first of the living takes it over, once, and only when it is told to."""
    await shared.put(new_mail("M1"))
    await beat(shared, "n1")
    ((row,),) = [request.messages for request in await claim(shared)]
    await beat(shared, "n2")
    silence("n1", 15)
    assert await beat(shared, "n2") == (1, 2, False, 0)
    silence("n1")
    assert await beat(shared, "n2", take_over=False) == (0, 1, False, 0)
    assert (await one(shared, "M1.1")).state is State.SENDING
    assert await beat(shared, "n2") == (0, 1, False, 1)
    taken = await one(shared, "M1.1")
    assert (taken.state, taken.attempts, taken.unknown_since) == (State.UNKNOWN, row.attempts, NOW)
    assert (await shared.history("M1.1"))[-1].detail == {"reason": "its node is gone"}
    assert await beat(shared, "n2") == (0, 1, False, 0)


async def test_a_node_that_wakes_has_lost_its_place_and_its_messages(shared, silence):
    """It stands behind the others, and its late results are refused."""
    await shared.put(new_mail("M1"))
    await beat(shared, "n1")
    ((row,),) = [request.messages for request in await claim(shared)]
    await beat(shared, "n2")
    silence("n1")
    assert await beat(shared, "n2") == (0, 1, False, 1)
    assert await shared.apply([change("M1.1", State.SENDING, State.SENT, attempt=row.attempts)]) == [False]
    assert await beat(shared, "n1") == (1, 2, True, 0)


async def test_a_node_that_ended_without_a_word_is_not_waited_for_on_its_own_machine(shared, queue_url):
    """Its connections ended with it, so whoever starts there takes over at once what it left; its lease is not over."""
    await shared.put(new_mail("M1"))
    killed = open_store(queue_url)
    await killed.open()
    await beat(killed, "here:1:a")
    await beat(shared, "elsewhere:1:a")
    await claim(shared, node="here:1:a")
    await killed.close()
    with psycopg.connect(queue_url, autocommit=True) as conn:
        # the server notices a moment later
        while conn.execute(_HEARD, ("here:1:a",)).fetchone() is not None:
            await asyncio.sleep(0.01)
    assert await beat(shared, "there:2:b") == (2, 3, True, 0)
    assert (await one(shared, "M1.1")).state is State.SENDING
    assert await beat(shared, "here:2:b", take_over=False) == (2, 3, True, 1)
    assert (await one(shared, "M1.1")).state is State.UNKNOWN


async def test_who_starts_beside_a_living_node_on_its_machine_takes_nothing_from_it(shared, queue_url):
    """Frozen or not: its connections are there."""
    await shared.put(new_mail("M1"))
    living = open_store(queue_url)
    await living.open()
    await beat(living, "here:1:a")
    await claim(shared, node="here:1:a")
    assert await beat(shared, "here:2:b") == (1, 2, True, 0)
    assert (await one(shared, "M1.1")).state is State.SENDING
    await living.close()


async def test_what_a_gateway_told_one_node_all_hear(shared):
    """With their next sign of life, until it is over; a shorter silence ends no longer one."""

    async def heard():
        return (await shared.cluster.beat(node="n2", now=NOW, lease_s=LEASE_S, take_over=False)).silences

    assert await heard() == {}
    await shared.cluster.silence(gateway="main", seconds=100)
    await shared.cluster.silence(gateway="main", seconds=5)
    await shared.cluster.silence(gateway="second", seconds=0)
    silences = await heard()
    assert list(silences) == ["main"]
    assert 90 < silences["main"] <= 100


async def test_clocks_are_held_against_that_of_the_first(shared):
    """The database's own may be any."""
    for node, ahead_s in (("n1", 0), ("n2", 100), ("n3", -3600)):
        now = NOW + timedelta(seconds=ahead_s)
        for _ in range(2):
            pulse = await shared.cluster.beat(node=node, now=now, lease_s=LEASE_S, take_over=False)
            assert abs(pulse.ahead_s - ahead_s) < 5


async def test_a_jump_of_the_databases_clock_kills_nobody(shared, silence):
    """All seem to have been silent for too long; who is heard first takes nothing from the others."""
    await shared.put(new_mail("M1"))
    for node in ("n1", "n2"):
        await beat(shared, node)
    await claim(shared)
    silence("n1", 3600)
    silence("n2", 3600)
    assert await beat(shared, "n2") == (0, 1, True, 0)
    assert await beat(shared, "n1") == (1, 2, True, 0)
    assert await beat(shared, "n2") == (0, 2, False, 0)
    assert (await one(shared, "M1.1")).state is State.SENDING


async def test_after_an_outage_one_node_is_first(shared, silence):
    """All were silent: whoever is heard first leads, whoever led before stands behind it."""
    await beat(shared, "n1")
    await beat(shared, "n2")
    silence("n1")
    silence("n2")
    assert await beat(shared, "n2", take_over=False) == (0, 1, True, 0)
    assert await beat(shared, "n1", take_over=False) == (1, 2, True, 0)
    assert await beat(shared, "n2") == (0, 2, False, 0)


async def test_what_a_living_node_has_in_flight_is_left_alone(shared):
    """However long its gateway takes to answer."""
    await shared.put(new_mail("M1"))
    await beat(shared, "n1")
    await claim(shared)
    await beat(shared, "n2")
    for _ in range(3):
        assert (await beat(shared, "n1"))[3] == (await beat(shared, "n2"))[3] == 0
    assert (await one(shared, "M1.1")).state is State.SENDING


async def test_a_node_that_leaves_is_not_waited_for(shared):
    """The next one is first at once; what it could not settle is unknown."""
    await shared.put(new_mail("M1"))
    await beat(shared, "n1")
    await beat(shared, "n2")
    await claim(shared)
    await shared.cluster.leave(node="n1", now=NOW)
    assert await beat(shared, "n2") == (0, 1, False, 0)
    assert (await one(shared, "M1.1")).state is State.UNKNOWN


async def test_a_claim_of_unknown_fate_takes_nothing_from_what_is_in_flight(shared):
    """What is known to be in flight is kept, the rest is asked about."""
    await shared.put(new_mail("M1"))
    await shared.put(new_mail("M2"))
    await claim(shared)
    assert await shared.recover(node="n1", now=NOW, keep={"M1.1"}) == 1
    assert [(await one(shared, f"M{n}.1")).state for n in (1, 2)] == [State.SENDING, State.UNKNOWN]


async def test_who_keeps_a_client_waiting_may_send_first(shared):
    """For two seconds: then a node that has not come to it is not waited for."""
    await shared.put(new_mail("M1", taken_by="n2"))
    await shared.put(new_mail("M2", taken_by="n1"))
    await shared.put(new_mail("M3"))
    claimed = [row.id for request in await claim(shared) for row in request.messages]
    assert claimed == ["M2.1", "M3.1"]
    claimed = [row.id for request in await claim(shared, NOW + timedelta(seconds=2)) for row in request.messages]
    assert claimed == ["M1.1"]
