"""What the benchmarks stand on: servers as child processes on loopback, their CPU time and memory, the machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import yaml

HERE = Path(__file__).parent
START_S = 30.0


@dataclass
class Server:
    """A running server: its port and its process."""

    port: int
    process: psutil.Process

    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return times.user + times.system

    def rss_mb(self) -> float:
        return self.process.memory_info().rss / 1e6


@dataclass
class Gateway(Server):
    """The fake SMSC."""

    def seen(self) -> dict[str, Any]:
        with urlopen(f"http://127.0.0.1:{self.port}/", timeout=10) as answer:
            return json.load(answer)

    def wait_for(self, messages: int, *, limit_s: float = 600.0) -> float:
        """Wait until so many messages came in; return how long it took."""
        start = time.monotonic()
        while self.seen()["messages"] < messages:
            if time.monotonic() - start > limit_s:
                raise RuntimeError(f"the gateway got {self.seen()['messages']} of {messages} messages")
            time.sleep(0.02)
        return time.monotonic() - start


@contextmanager
def _child(*args: str, **kwargs: Any) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen([sys.executable, *args], text=True, **kwargs)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(60)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def floor() -> Iterator[Server]:
    """Run the bare aiosmtpd."""
    with _child(str(HERE / "floor.py"), stdout=subprocess.PIPE) as child:
        yield Server(int(child.stdout.readline()), psutil.Process(child.pid))


@contextmanager
def gateway(delay_ms: float = 50) -> Iterator[Gateway]:
    """Run the fake SMSC."""
    with _child(str(HERE / "gateway.py"), str(delay_ms), stdout=subprocess.PIPE) as child:
        yield Gateway(int(child.stdout.readline()), psutil.Process(child.pid))


@contextmanager
def bridge(folder: Path, gateway_port: int, **smtp: Any) -> Iterator[Server]:
    """Run ``mailbridge serve`` with its queue and log in *folder*."""
    config = {
        "smtp": {"hostname": "sms.example.org", "listen": [{"address": "127.0.0.1:0"}], "reply": "queued", **smtp},
        "gateways": {"main": {"url": [f"http://127.0.0.1:{gateway_port}"], "login": "bench", "password": "bench"}},
        "queue": {"url": f"sqlite:///{folder}/queue.db"},
        "bounce": {"mode": "log"},
        "web": {"listen": "127.0.0.1:0"},
    }
    path, log = folder / "config.yaml", folder / "log.jsonl"
    path.write_text(yaml.safe_dump(config))
    with (
        log.open("w") as out,
        _child("-m", "mailbridge", "serve", "--config", str(path), stdout=out) as child,
    ):
        yield Server(_wait_until_ready(child, log), psutil.Process(child.pid))


def _wait_until_ready(child: subprocess.Popen[str], log: Path) -> int:
    give_up_at = time.monotonic() + START_S
    while time.monotonic() < give_up_at and child.poll() is None:
        for line in log.read_text().splitlines():
            if '"event": "ready"' in line and line.endswith("}"):
                return int(json.loads(line)["smtp"][0].rpartition(":")[2])
        time.sleep(0.05)
    raise RuntimeError(f"the bridge did not start: {log.read_text()}")


def describe_machine() -> str:
    """Return one line for the record: date, processor, cores, versions."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    libraries = " ".join(f"{name} {version(name)}" for name in ("aiosmtpd", "uvloop", "aiohttp", "sqlalchemy"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores of {model}, "
        f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}, {libraries}"
    )
