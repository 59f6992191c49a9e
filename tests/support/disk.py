"""Makes the k-th write, sync or other call of the whole program fail with ``strace -e inject``, and keeps count.

A *case* is one fault: which call, which error, the how-manieth, once or from there on for ever. It is set in the start,
in the service or in the stop of a bridge; k grows until a run meets no fault. Used by ``scripts/disk-test`` and its
short test.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import smtplib
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from mailbridge.simulator.faults import parse_fault
from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import AccountSettings, Limits, SimulatorSettings
from tests.support.bridge import Bridge, base_config, merged
from tests.support.programs import need, until

CALLS = ("pwrite64", "fdatasync", "fsync", "ftruncate", "openat", "unlink", "link", "pread64")
ERRORS = ("EIO", "ENOSPC")
STAGES = ("first start", "start", "service", "stop")
#: how soon mail must go again when the fault is over
RECOVERY_S = 10.0
#: an end to the search for the k that meets no fault
MOST = 400
#: faults that one queue meets before the next start without one
_AT_ONCE = 15
#: a start that a disk fault refuses may be tried again
TRY_AGAIN = 75

CONFIG: dict[str, Any] = {
    "message": {"text": "{{ body }}"},
    "gateways": {"main": {"timeout": "2s", "quarantine": "3s", "poll": "1s"}},
    "queue": {"retry_min": "200ms", "retry_max": "1s"},
}
#: what a log may say of a disk that does not work; anything else at "error" has no explanation
_EXPLAINED = frozenset({"store trouble", "store_full", "cannot start"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault: the *k*-th *call* on the queue's files fails with *error*, once or from there on for ever."""

    call: str
    error: str
    k: int
    for_ever: bool

    def __str__(self) -> str:
        return f"{self.call} {self.error} {self.k}{'+' if self.for_ever else ''}"

    def options(self) -> list[str]:
        """Return it as strace reads it."""
        when = f"{self.k}{'+' if self.for_ever else ''}"
        return ["-e", f"trace={self.call}", "-e", f"inject={self.call}:error={self.error}:when={when}"]


@dataclass
class Figures:
    """What a sweep showed."""

    cases: Counter[str] = field(default_factory=Counter)
    #: cases in which the fault was met
    faults: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    #: starts that ended with an exit code
    refused: Counter[int] = field(default_factory=Counter)
    slowest_s: float = 0.0
    #: answered 250 and in no queue
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    #: anything else that must not be
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Tell whether every promise was kept."""
        return not (self.lost or self.doubled or self.problems)

    def table(self) -> str:
        """Return the figures as lines for a person."""
        rows = [(f"cases in the {stage}", self.cases[stage]) for stage in STAGES if self.cases[stage]]
        rows.append(("of these met by a fault", self.faults))
        rows += [(f"mails answered {code}", count) for code, count in sorted(self.answers.items())]
        rows += [(f"starts refused with exit code {code}", count) for code, count in sorted(self.refused.items())]
        rows += [
            ("slowest recovery, ms", round(self.slowest_s * 1000)),
            ("LOST after a 250", len(self.lost)),
            ("DOUBLED", len(self.doubled)),
            ("OTHER PROBLEMS", len(self.problems)),
            ("seconds", round(self.seconds)),
        ]
        return "\n".join(f"{name:<38}{value:>8}" for name, value in rows)


class DiskTest:
    """One sweep: *folder* keeps the queues; *say* hears of the progress."""

    def __init__(self, folder: Path, *, say: Callable[[str], None] = lambda _line: None) -> None:
        self.folder = folder
        self.say = say
        self.figures = Figures()
        self._strace = need("strace")
        self._count = 0
        self._kept: list[str] = []
        self._like = ""
        limits = Limits(duplicate_s=None, status_per_minute=None, balance_per_minute=None)
        account = AccountSettings(balance=Decimal(10**9))
        self.simulator = Simulator(SimulatorSettings(accounts=(account,), limits=limits, keep=100_000))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[DiskTest]:
        """Have the gateway up, and as ``old`` a queue whose last bridge died with a request on its way."""
        began = time.monotonic()
        async with self.simulator:
            async with self._bridge("old") as bridge:
                await bridge.start()
                await self._mail(bridge)
                await self._settled(bridge)
                hang = {"wire": "hang", "stage": "after", "methods": ["send"], "times": 1}
                self.simulator.carrier.faults.add(parse_fault(hang))
                await self._mail(bridge)
                await self._settled(bridge)
                await bridge.kill()
            yield self
        self.figures.seconds = time.monotonic() - began

    async def sweep(
        self, stage: str, call: str, error: str, *, for_ever: bool, ks: Sequence[int] = range(1, MOST)
    ) -> int:
        """Try k = 1, 2, 3 … (or *ks*) until one meets no fault, whatever the ones before it showed; return how many."""
        began, met, clean = time.monotonic(), 0, False
        faults = [Fault(call=call, error=error, k=k, for_ever=for_ever) for k in ks]
        at_once = 1 if stage == "stop" else _AT_ONCE
        while faults and not clean:
            here, clean = await self._cases(stage, faults[:at_once])
            met += here
            # a case that shows a problem ends its queue, and the next one begins with the fault after it
            faults = faults[max(here, 1) :]
        self.say(
            f"{stage}: {call} {error} {_how(for_ever)}: {met} faults in {time.monotonic() - began:.0f} s, "
            f"{len(self.figures.problems)} problems so far"
        )
        return met

    async def _cases(self, stage: str, faults: Sequence[Fault]) -> tuple[int, bool]:
        """Set *faults* in *stage* of one bridge, one after the other, and start it again on a good disk.

        Return how many were met, and whether it ended with one that was not.
        """
        run = {"first start": self._start, "start": self._start, "service": self._serve, "stop": self._stop}[stage]
        self._like = "" if stage == "first start" else "old"
        async with self._bridge("case", like=self._like) as bridge:
            where = f"{stage}, {faults[0]}"
            met, clean = 0, False
            trace = bridge.folder / "trace"
            try:
                if stage in {"service", "stop"}:
                    await bridge.start()
                for fault in faults:
                    where = f"{stage}, {fault}"
                    self.figures.cases[stage] += 1
                    trace.unlink(missing_ok=True)
                    try:
                        await run(bridge, fault, trace)
                    finally:
                        clean = not _was_met(trace)
                        met += not clean
                    if clean:
                        break
                await self._again(bridge)
            except (AssertionError, TimeoutError, OSError, smtplib.SMTPException) as error:
                self.figures.problems.append(f"{where}: {type(error).__name__} {error}"[:4000])
                self.say(self.figures.problems[-1])
        self.figures.faults += met
        return met, clean

    async def die(self, call: str, *, k: int) -> None:
        """Kill a bridge in its stop at the *k*-th *call* on the queue's own file or its log."""
        async with self._bridge("case", like="old") as bridge:
            await bridge.start()
            await self._mail(bridge)
            await self._settled(bridge)
            names = ("queue.db", "queue.db-wal")
            paths = [option for name in names for option in ("-P", str(bridge.folder / name))]
            kill = [*paths, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={k}"]
            async with self._attached(bridge, kill, bridge.folder / "trace"):
                code = await bridge.stop()
            assert code == -signal.SIGKILL, code
            await self._again(bridge)

    # -- stages
    async def _start(self, bridge: Bridge, fault: Fault, trace: Path) -> None:
        """The fault meets a start; one that is refused says so in a line and can be repeated."""
        bridge.other_output.clear()
        await bridge.launch(before=[self._strace, "-D", "-I2", "-f", "-qq", "-o", str(trace), *self._on(bridge, fault)])
        process = bridge.process
        assert process is not None
        await until(lambda: bridge.events_called("ready") or process.returncode is not None)
        if process.returncode is None:
            if fault.for_ever:
                await self._detach(bridge)
            await self._recovered(bridge)
            self._look_at_log(bridge)
            await self._again(bridge)
            self._renew(bridge)
            return
        await bridge.kill()
        self.figures.refused[process.returncode] += 1
        assert process.returncode == TRY_AGAIN, f"exit code {process.returncode}\n{bridge.what_it_said()}"
        self._look_at_log(bridge, lines=1)

    async def _serve(self, bridge: Bridge, fault: Fault, trace: Path) -> None:
        """The fault meets a bridge at work; it goes on by itself, or as soon as the fault is over."""
        async with self._attached(bridge, self._on(bridge, fault), trace):
            await self._mail(bridge)
            await self._settled(bridge, limit_s=0.3 if fault.for_ever else RECOVERY_S)
            if not fault.for_ever:
                await self._recovered(bridge)
        if fault.for_ever:
            await self._recovered(bridge)
        await self._settled(bridge)
        self._look_at_log(bridge)

    async def _stop(self, bridge: Bridge, fault: Fault, trace: Path) -> None:
        """The fault meets a bridge that was told to stop: it does, and leaves a queue the next one can open."""
        await self._mail(bridge)
        await self._settled(bridge)
        async with self._attached(bridge, self._on(bridge, fault), trace):
            code = await bridge.stop()
        assert code == 0, f"exit code {code}\n{bridge.what_it_said()}"
        self._look_at_log(bridge)

    async def _again(self, bridge: Bridge) -> None:
        """After a ``kill -9`` the next start on a good disk has all that was promised, and the file is whole."""
        await bridge.kill()
        bridge.other_output.clear()
        await bridge.start()
        await self._recovered(bridge)
        await self._settled(bridge)
        assert await bridge.stop() == 0, bridge.what_it_said()
        self._look_at_log(bridge)
        database = sqlite3.connect(bridge.folder / "queue.db")
        verdict = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
        texts = {text for (text,) in database.execute("SELECT text FROM messages")}
        database.close()
        assert verdict == "ok", verdict
        sent = self._sent()
        self.figures.lost += [text for text in self._kept if text not in texts or not sent[text]]
        self.figures.doubled += [text for text, count in sent.items() if count > 1 and text not in self.figures.doubled]

    # -- parts
    @asynccontextmanager
    async def _bridge(self, name: str, *, like: str = "") -> AsyncIterator[Bridge]:
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        if like:
            shutil.copytree(self.folder / like, folder)
        else:
            folder.mkdir(parents=True)
        self._kept = []
        bridge = Bridge(folder, self.simulator)
        config = merged(base_config(folder, self.simulator.url), CONFIG)
        bridge.config_file.write_text(yaml.safe_dump(config), encoding="utf-8")
        try:
            yield bridge
        finally:
            if bridge.process is not None:
                await bridge.kill()

    def _renew(self, bridge: Bridge) -> None:
        """Put the queue back as it was before the first fault."""
        for path in bridge.folder.glob("queue.db*"):
            path.unlink()
        if self._like:
            for path in (self.folder / self._like).glob("queue.db*"):
                shutil.copy(path, bridge.folder)
        self._kept = []

    def _on(self, bridge: Bridge, fault: Fault) -> Sequence[str]:
        """Return the fault's options; calls that a program makes elsewhere, too, fail on the queue's files only."""
        if fault.call not in {"openat", "pread64"}:
            return fault.options()
        names = ("queue.db", "queue.db-wal", "queue.db-shm", "queue.db-journal")
        paths = [option for name in names for option in ("-P", str(bridge.folder / name))]
        return [*paths, *fault.options()]

    @asynccontextmanager
    async def _attached(self, bridge: Bridge, options: Sequence[str], trace: Path) -> AsyncIterator[None]:
        assert bridge.process is not None
        pid = bridge.process.pid
        # the shell leaves at once: a tracer that is our child, too, would take the bridge's exit code away from us
        command = [self._strace, "-f", "-qq", "-o", str(trace), *options, "-p", str(pid)]
        shell = await asyncio.create_subprocess_exec("/bin/sh", "-c", '"$@" &', "sh", *command)
        await shell.wait()
        await until(lambda: tracers_of(pid) and all(tracers_of(pid)), saying=bridge.what_it_said)
        (tracer,) = set(tracers_of(pid))
        try:
            yield
        finally:
            await _end(tracer)

    async def _detach(self, bridge: Bridge) -> None:
        """End the strace that a bridge was started under."""
        assert bridge.process is not None
        for tracer in set(tracers_of(bridge.process.pid)) - {0}:
            await _end(tracer)

    async def _mail(self, bridge: Bridge) -> int:
        """Hand one mail over and note what was promised."""
        self._count += 1
        text = f"text number {self._count}"
        code = await asyncio.to_thread(hand_over, bridge.port, text)
        self.figures.answers[code] += 1
        assert code in {250, 451, 452}, code
        if code == 250:
            self._kept.append(text)
        return code

    async def _recovered(self, bridge: Bridge) -> None:
        """Mail is taken again within the time allowed."""
        began = time.monotonic()
        while await self._mail(bridge) != 250:
            assert time.monotonic() - began < RECOVERY_S, f"no 250\n{bridge.what_it_said()}"
            await asyncio.sleep(0.05)
        self.figures.slowest_s = max(self.figures.slowest_s, time.monotonic() - began)

    async def _settled(self, bridge: Bridge, *, limit_s: float = 30.0) -> None:
        """Wait until the gateway has all that was promised; a short limit may pass without that."""
        ends = time.monotonic() + limit_s
        while not set(self._kept) <= self._sent().keys():
            if time.monotonic() > ends:
                assert limit_s < RECOVERY_S, f"not sent\n{bridge.what_it_said()}"
                return
            await asyncio.sleep(0.02)

    def _sent(self) -> Counter[str]:
        """Return how often the gateway got each text of late."""
        return Counter(message.text for message in self.simulator.carrier.store.newest(200))

    def _look_at_log(self, bridge: Bridge, *, lines: int = 0) -> None:
        """Every line is an event, but for the *lines* in which a refused start says why; no error is unexplained."""
        wrong = [event for event in bridge.events if event["level"] == "error" and event["event"] not in _EXPLAINED]
        wrong += [event for event in bridge.events if event["event"] == "library"]
        said = [line for line in bridge.other_output if line]
        assert not wrong, wrong
        assert len(said) == lines, said


def _was_met(trace: Path) -> bool:
    try:
        return "INJECTED" in trace.read_text(errors="replace")
    except FileNotFoundError:
        return False


def _how(for_ever: bool) -> str:
    return "for ever" if for_ever else "once"


async def _end(tracer: int) -> None:
    """End a strace and wait until what it saw is on disk."""
    with suppress(ProcessLookupError):
        os.kill(tracer, signal.SIGTERM)
    await until(lambda: not _is_running(tracer))


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def tracers_of(pid: int) -> list[int]:
    """Return the process that traces each thread of *pid*, 0 where there is none."""
    found = []
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        try:
            text = status.read_text()
        except OSError:  # a thread that has just ended
            continue
        found.append(int(text.partition("TracerPid:")[2].split()[0]))
    return found


def hand_over(port: int, text: str) -> int:
    """Send one mail and return the code of the answer to DATA."""
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.ehlo("client.example.org")
        client.mail("nagios@example.org")
        client.rcpt("79161234567@sms.local")
        return client.data(f"From: n@example.org\r\nMessage-ID: <{text.replace(' ', '-')}@x>\r\n\r\n{text}\r\n")[0]
