"""Several bridges on one PostgreSQL under load, while they are killed or frozen and their database restarts.

As ``crash.py``: the simulated gateway and its ledger are in this process, every text is unique, so what is lost or
doubled has a name. A client whose node is gone goes to another one, as one behind several MX would.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import yaml

from mailbridge.simulator.faults import parse_fault
from mailbridge.simulator.server import Simulator
from tests.support.bridge import Bridge, base_config, merged
from tests.support.crash import CALLBACK_PATH, CONFIG, FAULTS, CrashTest, Figures
from tests.support.postgresql import PostgreSQL

CLIENTS = 6
#: a client gives a silent node up after this
PATIENCE_S = 8.0
#: a client's pause between two sessions: all of them together give what the survivors can settle in time
PAUSE_S = 0.05
#: the same while a node is frozen, which takes long: the door would go first for all of it, and much would be left
LONG_PAUSE_S = 0.5
#: as in the default configuration
LEASE_S = 20.0
#: so long the survivor may need for what is left
SETTLE_S = 60.0
#: what may happen in a cycle
HOWS = ("kill", "freeze", "database")
_OPEN = "SELECT count(*) FROM messages WHERE state IN ('queued', 'sending', 'unknown')"


def cluster_config(folder: Path, gateway: str, url: str) -> dict[str, Any]:
    """Return the configuration of a node."""
    return merged(base_config(folder, gateway), merged(CONFIG, {"queue": {"url": url}}))


@asynccontextmanager
async def running_nodes(
    folder: Path, simulator: Simulator, url: str, *changes: Mapping[str, Any]
) -> AsyncIterator[Sequence[Bridge]]:
    """Run a bridge for each of *changes* on the queue at *url* until the block ends, whatever becomes of them."""
    nodes = []
    for number, own in enumerate(changes):
        place = folder / f"node{number}"
        place.mkdir()
        node = Bridge(place, simulator)
        config = merged(cluster_config(place, simulator.url, url), own)
        node.config_file.write_text(yaml.safe_dump(config), encoding="utf-8")
        nodes.append(node)
    try:
        for node in nodes:
            await node.start()
        yield nodes
    finally:
        for node in nodes:
            if node.process is not None and node.process.returncode is None:
                node.process.send_signal(signal.SIGCONT)
                await node.kill()


class ClusterTest(CrashTest):
    """One run of several nodes; *hows*: what may happen to them; *frozen_leases*: for how long, if they freeze."""

    def __init__(
        self, folder: Path, server: PostgreSQL, *, seed: int, hows: Sequence[str] = HOWS, lease_s: float = LEASE_S,
        frozen_leases: float = 1.4, say: Callable[[str], None] = lambda _line: None,
    ) -> None:  # fmt: skip
        super().__init__(folder, seed=seed, say=say)
        self._lease_s, self._frozen_s = lease_s, frozen_leases * lease_s
        self._server = server
        self._url = server.create_queue(f"cluster{seed}")
        self._hows = hows
        self._ports: list[int] = []
        self._is_over = False
        self._pause_s = PAUSE_S
        #: seconds from the end of each blow until nothing was left
        self.settled_s: list[float] = []
        self.blows: Counter[str] = Counter()
        #: events in the logs of the nodes that came to the end
        self.said: Counter[str] = Counter()

    async def run(self, cycles: int, *, nodes: int = 2) -> Figures:
        """Do *cycles* cycles on *nodes* nodes and return the figures."""
        started = time.monotonic()
        # the gateway calls the first of them back, whoever has sent
        called = {
            "web": {"listen": f"127.0.0.1:{self._web_port}"},
            "gateways": {"main": {"callback_path": CALLBACK_PATH}},
        }
        lease = {"queue": {"lease": f"{self._lease_s}s"}}
        own: list[Mapping[str, Any]] = [merged(called, lease), *[lease] * (nodes - 1)]
        async with self.simulator, running_nodes(self.folder, self.simulator, self._url, *own) as bridges:
            # who has just come calls nobody dead for the time of a lease
            await asyncio.sleep(self._lease_s)
            for number in range(cycles):
                await self._blow(bridges)
                self.say(f"cycle {number + 1}: {self._progress()}")
            for bridge in bridges:
                assert await bridge.stop() == 0, bridge.what_it_said()
                self.said.update(event["event"] for event in bridge.events)
                (bridge.folder / "last-log.txt").write_text(bridge.what_it_said(), encoding="utf-8")
        self.figures.cycles = cycles
        self.figures.seconds = time.monotonic() - started
        self._compare_cluster()
        return self.figures

    def _progress(self) -> str:
        taken = sum(mail.acknowledged for mail in self.mails)
        return f"{taken} mails acknowledged, settled in {self.settled_s[-1]:.1f} s"

    async def _blow(self, bridges: Sequence[Bridge]) -> None:
        how, victim = self.random.choice(self._hows), self.random.choice(bridges)
        self.blows[how] += 1
        for fault in FAULTS:
            self.simulator.carrier.faults.add(parse_fault(fault))
        self._ports, self._is_over, self._pause_s = [bridge.port for bridge in bridges], False, PAUSE_S
        clients = [asyncio.create_task(self._spread()) for _ in range(CLIENTS)]
        await asyncio.sleep(self.random.uniform(0.3, 2.0))
        await getattr(self, f"_{how}")(victim)
        struck = time.monotonic()
        await asyncio.sleep(self.random.uniform(0.3, 1.5))
        self.simulator.carrier.faults.clear()
        self._is_over = True
        await asyncio.gather(*clients)
        await self._repeat_until_heard([bridge for bridge in bridges if bridge is not victim or how != "kill"])
        while (left := self._count_open()) and time.monotonic() - struck < SETTLE_S:
            await asyncio.sleep(0.25)
        self.figures.unsettled += left
        self.settled_s.append(time.monotonic() - struck)
        if how == "kill":
            await victim.start()

    async def _kill(self, victim: Bridge) -> None:
        self._ports.remove(victim.port)
        await victim.kill()
        self.figures.kills += 1

    async def _freeze(self, victim: Bridge) -> None:
        assert victim.process is not None
        victim.process.send_signal(signal.SIGSTOP)
        self._ports.remove(port := victim.port)
        self._pause_s = LONG_PAUSE_S
        await asyncio.sleep(self._frozen_s)
        victim.process.send_signal(signal.SIGCONT)
        self._ports.append(port)

    async def _database(self, _victim: Bridge) -> None:  # type: ignore[override] # a blow, not a connection
        await asyncio.to_thread(self._server.stop)
        await asyncio.sleep(self.random.uniform(0.2, 3.0))
        await asyncio.to_thread(self._server.start)

    async def _repeat_until_heard(self, bridges: Sequence[Bridge]) -> None:
        self._ports = [bridge.port for bridge in bridges]
        while self._again:
            await self._spread(only_again=True)

    # -- clients
    async def _spread(self, *, only_again: bool = False) -> None:
        """Hand mails over to one node after the other until it is over; slowly enough to be settled in time."""
        while (only_again and self._again) or not (only_again or self._is_over):
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.random.choice(self._ports))
                    try:
                        await self._session(reader, writer, only_again=only_again)
                    finally:
                        writer.close()
            await asyncio.sleep(self._pause_s)

    # -- comparing
    def _count_open(self) -> int:
        with psycopg.connect(self._url) as conn:
            row = conn.execute(_OPEN).fetchone()
            assert row is not None
            return int(row[0])

    def _compare_cluster(self) -> None:
        with psycopg.connect(self._url) as conn:
            states = {
                (phone, text): state
                for phone, text, state in conn.execute("SELECT phone, text, state FROM messages").fetchall()
            }
            counted = dict(conn.execute("SELECT event, count(*) FROM history GROUP BY event").fetchall())
            (resent,) = conn.execute(
                "SELECT count(*) FROM history WHERE event = 'deferred' AND detail LIKE '%quarantine is over%'"
            ).fetchone() or (0,)
        self.figures.resent = resent
        self.figures.unknown = counted.get("unknown", 0)
        self.figures.refused = counted.get("refused", 0)
        self.figures.held = counted.get("held", 0)
        self.figures.mails = len(self.mails)
        self._compare_with_ledger(states)
