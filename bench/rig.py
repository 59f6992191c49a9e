"""What the benchmarks stand on: servers as child processes on loopback, their CPU time and memory, the machine."""

from __future__ import annotations

import json
import os
import platform
import shutil
import smtplib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import yaml

from bench import load

HERE = Path(__file__).parent
ROOT = HERE.parent
START_S = 60.0


class Unavailable(Exception):
    """What a benchmark needs is not on this machine, or not in this version; the words say what."""


@dataclass
class Server:
    """A running server: its port, and the process it began with, whose children are counted with it."""

    port: int
    process: psutil.Process
    #: from its start until it took connections
    started_s: float = 0.0

    def cpu_s(self) -> float:
        """Return the CPU seconds of all its processes so far; those that have ended count through their parents."""
        total = 0.0
        for process in self._family():
            with suppress(psutil.NoSuchProcess):
                total += sum(process.cpu_times()[:4])
        return total

    def rss_mb(self) -> float:
        """Return the resident memory of all its processes."""
        total = 0.0
        for process in self._family():
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss / 1e6
        return total

    def _family(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@dataclass
class Gateway(Server):
    """The fake SMSC."""

    def seen(self) -> dict[str, int]:
        return self._ask("/")

    def arrivals(self) -> dict[str, float]:
        """Return when each phone's first message came since this was asked last; the first time, begin to keep that."""
        return self._ask("/arrivals")

    def wait_for(self, messages: int, *, limit_s: float = 180.0) -> float:
        """Wait until so many messages came in; return how long it took."""
        start = time.monotonic()
        while (got := self.seen()["messages"]) < messages:
            if time.monotonic() - start > limit_s:
                raise RuntimeError(f"the gateway got {got} of {messages} messages")
            time.sleep(0.02)
        return time.monotonic() - start

    def _ask(self, path: str) -> dict[str, Any]:
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return json.load(answer)


@contextmanager
def child(*command: str | Path, **kwargs: Any) -> Iterator[subprocess.Popen[str]]:
    """Run *command* until the block ends; SIGTERM must be enough within a minute."""
    process = subprocess.Popen([str(word) for word in command], text=True, **kwargs)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def script(name: str, *words: str) -> Iterator[Server]:
    """Run a script of this folder that prints its port."""
    start = time.monotonic()
    with child(sys.executable, HERE / name, *words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield Server(port, psutil.Process(process.pid), time.monotonic() - start)


def floor() -> Any:
    """Run the bare aiosmtpd."""
    return script("floor.py")


@contextmanager
def gateway(delay_ms: float = 50) -> Iterator[Gateway]:
    """Run the fake SMSC."""
    with script("gateway.py", str(delay_ms)) as server:
        yield Gateway(server.port, server.process)


@contextmanager
def bridge(
    folder: Path, gateway_port: int, *, queue_url: str = "", workers: int = 0, max_connections: int = 1000,
    more: Mapping[str, Any] | None = None,
) -> Iterator[Server]:  # fmt: skip
    """Run ``mailbridge serve`` with its log in *folder*, and its queue unless *queue_url* says where that is.

    *more*: other sections of the configuration.
    """
    config = {
        "smtp": {
            "hostname": "sms.example.org",
            "listen": [{"address": "127.0.0.1:0"}],
            "reply": "queued",
            "workers": workers,
            "max_connections": max_connections,
        },
        "gateways": {"main": {"url": [f"http://127.0.0.1:{gateway_port}"], "login": "bench", "password": "bench"}},
        # a backlog of millions is what is measured, not how the door leans against it
        "queue": {"url": queue_url or f"sqlite:///{folder}/queue.db", "max_waiting": 0},
        "bounce": {"mode": "log"},
        "web": {"listen": "127.0.0.1:0"},
        **(more or {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path, log = folder / "config.yaml", folder / "log.jsonl"
    path.write_text(yaml.safe_dump(config))
    start = time.monotonic()
    with (
        log.open("w") as out,
        child(sys.executable, "-m", "mailbridge", "serve", "--config", path, stdout=out) as process,
    ):
        port = _wait_until_ready(process, log)
        yield Server(port, psutil.Process(process.pid), time.monotonic() - start)


def _wait_until_ready(process: subprocess.Popen[str], log: Path) -> int:
    give_up_at = time.monotonic() + START_S
    with log.open() as lines:
        begun = ""
        while time.monotonic() < give_up_at and process.poll() is None:
            begun += lines.readline()
            if not begun.endswith("\n"):
                time.sleep(0.005)
                continue
            event, begun = json.loads(begun), ""
            if event["event"] == "ready":
                return int(event["smtp"][0].rpartition(":")[2])
    raise RuntimeError(f"the bridge did not start: {log.read_text()[-2000:]}")


def wait_until_greeted(process: subprocess.Popen[Any], port: int, log: Path) -> None:
    """Wait until a mail server greets on *port*. Raises: RuntimeError with the end of its *log*."""
    give_up_at = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < give_up_at:
        with suppress(OSError, smtplib.SMTPException), smtplib.SMTP("127.0.0.1", port, timeout=10):
            return
        time.sleep(0.05)
    raise RuntimeError(f"no greeting: {log.read_text('utf-8', 'replace')[-2000:]}")


def need_program(name: str) -> str:
    """Return where *name* is. Raises: Unavailable."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Unavailable(f"{name} is not installed")
    return found


def describe_machine() -> dict[str, str]:
    """Return what the figures depend on: date, machine, versions."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    libraries = [f"{name} {version(name)}" for name in ("aiosmtpd", "uvloop", "aiohttp", "sqlalchemy")]
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{os.cpu_count()} cores of {model}, {psutil.virtual_memory().total / 2**30:.0f} GB, "
        f"Linux {platform.release().partition('-')[0]}",
        "versions": ", ".join(
            [f"Python {platform.python_version()}", *libraries, f"SQLite {sqlite3.sqlite_version}", *_foreign()]
        ),
    }


def _foreign() -> Iterator[str]:
    with suppress(Unavailable, subprocess.SubprocessError):
        asked = [need_program("postconf"), "-hd", "mail_version"]
        yield f"Postfix {subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()}"


def load_average() -> float:
    """Return how many processes wanted a core during the last minute."""
    return round(os.getloadavg()[0], 2)


def name_of_client(wanted: str) -> str:
    """Return what the load comes from."""
    return "smtp-source" if wanted != "python" and load.SMTP_SOURCE else "bench/load.py"
