"""The whole program, ``python -m mailbridge serve``, as a child process against a simulator inside the test."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import SimulatorSettings
from tests.support.programs import Ended, run_program, until

#: how long a bridge may take from start to ready, and from SIGTERM to its end
START_S = 30.0
STOP_S = 30.0


class Bridge:
    """A running bridge: its addresses, its log so far, and what the simulated gateway got."""

    def __init__(self, folder: Path, simulator: Simulator) -> None:
        self.folder = folder
        self.config_file = folder / "config.yaml"
        self.simulator = simulator
        #: the JSON lines of its stdout
        self.events: list[dict[str, Any]] = []
        self.other_output: list[str] = []
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it says it is ready."""
        self.events.clear()
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mailbridge", "serve", "--config", str(self.config_file),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=self.folder,
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read(self.process), name="bridge output")
        await until(
            lambda: self.events_called("ready") or self._reading.done(), limit_s=START_S, saying=self.what_it_said
        )
        if not self.events_called("ready"):
            raise AssertionError(f"the bridge did not start\n{self.what_it_said()}")

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its exit code; SIGTERM must be enough."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(how)
        try:
            async with asyncio.timeout(STOP_S):
                code = await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise AssertionError(f"the bridge did not stop\n{self.what_it_said()}") from None
        finally:
            await self._reading
        return code

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The addresses it listens on for mail, in the order of the configuration."""
        listed = self.events_called("ready")[0]["smtp"]
        return [(host.strip("[]"), int(port)) for host, _, port in (text.rpartition(":") for text in listed)]

    @property
    def port(self) -> int:
        """The port of the first listener."""
        return self.addresses[0][1]

    def events_called(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines with that event."""
        return [event for event in self.events if event.get("event") == name]

    def what_it_said(self) -> str:
        """Return its whole output, for a failing test."""
        return "\n".join([*map(json.dumps, self.events), *self.other_output])

    async def messages(self, count: int = 1) -> list[dict[str, Any]]:
        """Wait until the gateway got *count* messages and return them all, oldest first."""
        await until(lambda: len(self.simulator.inbox) >= count, saying=self.what_it_said)
        return self.simulator.inbox[::-1]

    async def verb(self, *arguments: str, text: bytes = b"") -> Ended:
        """Run ``mailbridge VERB`` with the same configuration."""
        verb, *rest = arguments
        return await run_program(
            sys.executable, "-m", "mailbridge", verb, *rest, "--config", self.config_file, text=text
        )

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            try:
                event = json.loads(line)
            except ValueError:
                event = None
            if isinstance(event, dict):
                self.events.append(event)
            else:
                self.other_output.append(line.decode("utf-8", "replace").rstrip())


def base_config(folder: Path, simulator: Simulator) -> dict[str, Any]:
    """Return the smallest configuration of a bridge with that gateway."""
    return {
        "smtp": {"hostname": "sms.example.org", "listen": [{"address": "127.0.0.1:0"}], "reply": "queued"},
        "gateways": {
            "main": {"type": "smsc", "url": [simulator.url], "login": "demo", "password": "demo", "poll": "1s"}
        },
        "queue": {"url": f"sqlite:///{folder}/queue.db"},
        "bounce": {"mode": "log"},
        "web": {"listen": "127.0.0.1:0"},
    }


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return *base* with *changes* laid over it, mapping by mapping."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


@asynccontextmanager
async def running_bridge(
    folder: Path, changes: Mapping[str, Any] | None = None, *, simulator: SimulatorSettings | None = None
) -> AsyncIterator[Bridge]:
    """Run a bridge with a configuration in *folder*, *changes* laid over the smallest one, until the block ends."""
    async with Simulator(simulator) as gateway:
        bridge = Bridge(folder, gateway)
        config = merged(base_config(folder, gateway), changes or {})
        bridge.config_file.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
        try:
            await bridge.start()
            yield bridge
        finally:
            if bridge.process is not None:
                code = await bridge.stop()
        assert code == 0, bridge.what_it_said()
