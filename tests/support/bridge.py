"""The whole program, ``python -m mailbridge serve``, as a child process against a simulator inside the test."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml

from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import SimulatorSettings
from tests.support.programs import Ended, run_program, until

#: how long a bridge may take from start to ready, and from SIGTERM to its end
START_S = 30.0
STOP_S = 30.0


class Bridge:
    """A running bridge: its addresses, its log so far, and what the simulated gateway got."""

    def __init__(self, folder: Path, simulator: Simulator | None, *, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.config_file = folder / "config.yaml"
        self._simulator = simulator
        #: what its environment holds beside the test's own
        self.env = dict(env or {})
        #: the JSON lines of its stdout
        self.events: list[dict[str, Any]] = []
        self.other_output: list[str] = []
        #: every byte of its stdout and stderr, over all its starts
        self.output = bytearray()
        self.process: asyncio.subprocess.Process | None = None

    @property
    def simulator(self) -> Simulator:
        """The simulated gateway, where the test brought none of its own."""
        assert self._simulator is not None
        return self._simulator

    async def launch(self, *, environ: Mapping[str, str] | None = None, before: Sequence[str] = ()) -> None:
        """Start it, with *environ* laid over its environment and *before* in front of its command, and go on."""
        self.events.clear()
        self.process = await asyncio.create_subprocess_exec(
            *before, sys.executable, "-m", "mailbridge", "serve", "--config", str(self.config_file),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=self.folder,
            env={**os.environ, **self.env, **(environ or {})},
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read(self.process), name="bridge output")

    async def start(self, *, environ: Mapping[str, str] | None = None, before: Sequence[str] = ()) -> None:
        """Start it and wait until it says it is ready."""
        await self.launch(environ=environ, before=before)
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

    async def kill(self) -> None:
        """End it as ``kill -9`` does, if it still runs."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reading

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The TCP addresses it listens on for mail, in the order of the configuration."""
        listed = self.events_called("ready")[0]["smtp"]
        tcp = (text.rpartition(":") for text in listed if not text.startswith("unix:"))
        return [(host.strip("[]"), int(port)) for host, _, port in tcp]

    @property
    def port(self) -> int:
        """The port of the first listener."""
        return self.addresses[0][1]

    @property
    def web(self) -> str:
        """The address of its web listener."""
        return f"http://127.0.0.1:{self.events_called('ready')[0]['web']}"

    def page(self, name: str) -> str:
        """Return a page of its web listener; to be asked in a thread."""
        with urlopen(f"{self.web}/{name}", timeout=5) as answer:
            return answer.read().decode()

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
            sys.executable, "-m", "mailbridge", verb, *rest, "--config", self.config_file, text=text, env=self.env
        )

    async def data(self, *arguments: str, text: bytes = b"") -> Any:
        """Run ``mailbridge VERB --json``, which must succeed, and return what it printed."""
        ended = await self.verb(*arguments, "--json", text=text)
        assert ended.code == 0, ended
        return json.loads(ended.output)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            self.output += line
            try:
                event = json.loads(line)
            except ValueError:
                event = None
            if isinstance(event, dict):
                self.events.append(event)
            else:
                self.other_output.append(line.decode("utf-8", "replace").rstrip())


def base_config(folder: Path, url: str) -> dict[str, Any]:
    """Return the smallest configuration of a bridge with that gateway."""
    return {
        "smtp": {"hostname": "sms.example.org", "listen": [{"address": "127.0.0.1:0"}], "reply": "queued"},
        "gateways": {"main": {"type": "smsc", "url": [url], "login": "demo", "password": "demo", "poll": "1s"}},
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
    folder: Path,
    changes: Mapping[str, Any] | None = None,
    *,
    simulator: SimulatorSettings | None = None,
    url: str | None = None,
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[Bridge]:
    """Run a bridge with a configuration in *folder*, *changes* laid over the smallest one, until the block ends.

    *url*: a gateway of the test's own, instead of the simulator.
    """
    async with AsyncExitStack() as stack:
        gateway = None if url else await stack.enter_async_context(Simulator(simulator))
        bridge = Bridge(folder, gateway, env=env)
        config = merged(base_config(folder, url or bridge.simulator.url), changes or {})
        bridge.config_file.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
        code = 0
        try:
            await bridge.start()
            yield bridge
        finally:
            if bridge.process is not None:
                code = await bridge.stop()
        assert code == 0, bridge.what_it_said()
