"""Load, ``kill -9``, restart, again and again; at the end the mails acknowledged are compared with what handsets got.

The whole program runs as a child on one SQLite queue, the simulated gateway in this process with a ledger nobody kills;
between them a proxy spoils requests and answers, and the bridge dies at any moment or at a named point of its code.
Every text is unique, so what is lost or doubled has a name. Used by ``scripts/crash-test`` and its short test.
"""

from __future__ import annotations

import asyncio
import email
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import yaml

from mailbridge import failpoints
from mailbridge.simulator.faults import parse_fault
from mailbridge.simulator.messages import REFUSALS
from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import AccountSettings, Limits, SimulatorSettings
from tests.support.bridge import START_S, Bridge, base_config, merged
from tests.support.fault_proxy import FaultProxy, Request, WireFault, fault_proxy
from tests.support.programs import free_port, until
from tests.support.smarthost import FakeSmarthost, running_smarthost

CLIENTS = 6
#: in so many cycles it dies at a named point rather than at any moment
AT_POINT_PROBABILITY = 0.4
#: a process comes there once
PASSED_ONCE = frozenset({"after recovery", "draining"})
CALLBACK_PATH = "crash-test-callbacks"
#: the gateway takes what it takes late within this time after the cut, and hides it from status.php for that long
LATEST_ARRIVAL_S, STATUS_LAG_S = 2, 1
#: longer than both together
QUARANTINE_S = 6
#: how long the end may stand still: an identical text waits 61 s after error 9, a few times at worst
SETTLE_S = 240.0

CONFIG: dict[str, Any] = {
    "message": {"text": "{{ body }}"},
    "gateways": {"main": {"timeout": "1s", "quarantine": f"{QUARANTINE_S}s", "poll": "3s"}},
    "queue": {"lifetime": "1d", "retry_min": "200ms", "retry_max": "2s"},
}
#: so many send requests are spoilt on their way to the gateway or back
WIRE_PROBABILITY = 0.15
#: in a hundred send requests so many fail in each of these ways, before or after the gateway took them
FAULTS: tuple[dict[str, Any], ...] = tuple(
    {"wire": wire, "stage": stage, "methods": ["send"], "probability": 0.01}
    for wire in ("hang", "close", "reset", "cut", "empty", "garbage", "http-500")
    for stage in ("before", "after")
)
#: states in which the sender was told or a person is asked
_TOLD = frozenset({"failed", "expired", "undelivered", "held"})
_OPEN = ("queued", "sending", "unknown")
#: what is still open at the end is a failure of its own, not a loss
_ACCOUNTED_FOR = _TOLD.union(_OPEN)


@dataclass
class Mail:
    """A mail a client wants to be rid of."""

    name: str
    phones: tuple[str, ...]
    acknowledged: bool = False
    #: how often it was handed over whole
    tries: int = 0

    def lines(self) -> list[bytes]:
        """Return the commands of its transaction."""
        rcpt = [f"RCPT TO:<{phone}@sms.local>\r\n".encode() for phone in self.phones]
        return [b"MAIL FROM:<nagios@example.org>\r\n", *rcpt, b"DATA\r\n"]

    def content(self) -> bytes:
        """Return its content: the text is its name, so the ledger can be read."""
        head = f"From: nagios@example.org\r\nMessage-ID: <{self.name}@example.org>\r\nSubject: x\r\n\r\n"
        return f"{head}{self.name}\r\n.\r\n".encode()


@dataclass
class Figures:
    """What a run showed."""

    cycles: int = 0
    kills: int = 0
    #: of these at a point of ``mailbridge.failpoints``, by its name
    at_points: Counter[str] = field(default_factory=Counter)
    mails: int = 0
    acknowledged: int = 0
    #: acknowledged messages: a mail has one for each recipient
    messages: int = 0
    repeated: int = 0
    requests: int = 0
    spoilt: int = 0
    unknown: int = 0
    resent: int = 0
    held: int = 0
    refused: int = 0
    reports: int = 0
    reported_twice: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unsettled: int = 0
    damaged: int = 0
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Tell whether every promise was kept."""
        return not (self.lost or self.doubled or self.unsettled or self.damaged or self.reported_twice)

    def table(self) -> str:
        """Return the figures as lines for a person."""
        rows = (
            ("cycles of load, kill -9, restart", self.cycles),
            ("kills", self.kills),
            ("of these at a named point of the code", self.at_points.total()),
            ("different points", len(self.at_points)),
            ("mails handed over", self.mails),
            ("mails acknowledged", self.acknowledged),
            ("messages of these", self.messages),
            ("mails repeated after no answer", self.repeated),
            ("send requests at the gateway", self.requests),
            ("of these hung, cut, late or garbled", self.spoilt),
            ("outcomes unknown, then asked for", self.unknown),
            ("of these not found and sent again", self.resent),
            ("refused by the gateway, reported", self.refused),
            ("reports that came to the sender", self.reports),
            ("of these about the same message again", self.reported_twice),
            ("held for a person", self.held),
            ("still open at the end", self.unsettled),
            ("damage in the queue's file", self.damaged),
            ("LOST", len(self.lost)),
            ("DOUBLED", len(self.doubled)),
            ("seconds", round(self.seconds)),
        )
        return "\n".join(f"{name:<38}{value:>8}" for name, value in rows)


class CrashTest:
    """One run: *folder* keeps the queue; *say* hears of the progress."""

    def __init__(self, folder: Path, *, seed: int, say: Callable[[str], None] = lambda _line: None) -> None:
        self.folder = folder
        self.random = Random(seed)
        self.say = say
        self.figures = Figures()
        self.mails: list[Mail] = []
        self._again: list[Mail] = []
        self._clients: list[asyncio.Task[None]] = []
        self._is_calm = False
        limits = Limits(status_per_minute=None, balance_per_minute=None)
        self._web_port = free_port()
        account = AccountSettings(
            balance=Decimal(10**9), callback_url=f"http://127.0.0.1:{self._web_port}/callback/main/{CALLBACK_PATH}"
        )
        settings = SimulatorSettings(accounts=(account,), keep=2_000_000, limits=limits, callback_retry_s=(1.0, 5.0))
        self.simulator = Simulator(settings, random=Random(seed + 1))

    async def run(self, cycles: int) -> Figures:
        """Do *cycles* cycles, let everything settle, and return the figures."""
        started = time.monotonic()
        async with (
            self.simulator,
            fault_proxy(self.simulator.url, late_s=LATEST_ARRIVAL_S, choose=self._choose_fault) as proxy,
            running_smarthost() as smarthost,
        ):
            bridge = Bridge(self.folder, self.simulator)
            config = merged(base_config(self.folder, proxy.url), merged(CONFIG, self._addresses(smarthost.port)))
            bridge.config_file.write_text(yaml.safe_dump(config), encoding="utf-8")
            for number in range(cycles):
                await self._cycle(bridge)
                if (number + 1) % 10 == 0:
                    self.say(f"cycle {number + 1}: {sum(mail.acknowledged for mail in self.mails)} mails acknowledged")
            self._is_calm = True
            await self._settle(bridge)
            self.figures.cycles = cycles
            self.figures.seconds = time.monotonic() - started
            self._compare(proxy, smarthost)
        return self.figures

    def _addresses(self, smarthost_port: int) -> dict[str, Any]:
        return {
            "web": {"listen": f"127.0.0.1:{self._web_port}"},
            "gateways": {"main": {"callback_path": CALLBACK_PATH}},
            "bounce": {"mode": "mail", "from": "mailer-daemon@sms.example.org",
                       "smarthost": f"smtp://127.0.0.1:{smarthost_port}"},
        }  # fmt: skip

    def _choose_fault(self, request: Request) -> WireFault | None:
        if self._is_calm or not request.path.endswith("/send.php") or self.random.random() >= WIRE_PROBABILITY:
            return None
        return self.random.choice(tuple(WireFault))

    # -- one cycle
    async def _cycle(self, bridge: Bridge) -> None:
        for fault in FAULTS:
            self.simulator.carrier.faults.add(parse_fault(fault))
        point = self.random.choice(failpoints.NAMES) if self.random.random() < AT_POINT_PROBABILITY else None
        passage = 1 if point in PASSED_ONCE else self.random.randint(1, 20)
        environ = {"MAILBRIDGE_CRASH_AT": f"{point}:{passage}"} if point else {}
        await bridge.launch(environ=environ)
        assert bridge.process is not None
        ended = asyncio.create_task(bridge.process.wait())
        if self.random.random() < 0.1:
            # dies somewhere in its start: opening, recovering, listening
            await asyncio.wait({ended}, timeout=self.random.uniform(0.2, 1.5))
        else:
            await until(lambda: bridge.events_called("ready") or ended.done(), limit_s=START_S)
            await self._load(bridge, ended, point)
        if ended.done():
            assert point is not None, bridge.what_it_said()
            self.figures.at_points[point] += 1
        await bridge.kill()
        assert await ended == -signal.SIGKILL, bridge.what_it_said()
        self.figures.kills += 1
        await asyncio.gather(*self._clients)
        self.simulator.carrier.faults.clear()

    async def _load(self, bridge: Bridge, ended: asyncio.Task[int], point: str | None) -> None:
        """Have clients hand mails over for a while; they go on until the bridge is gone."""
        if ended.done():
            return
        port = bridge.port
        self._clients = [asyncio.create_task(self._client(port)) for _ in range(CLIENTS)]
        await asyncio.wait({ended}, timeout=self.random.uniform(0.05, 2.0))
        if point == "draining" and not ended.done():
            assert bridge.process is not None
            bridge.process.send_signal(signal.SIGTERM)
            await ended

    async def _settle(self, bridge: Bridge) -> None:
        """Without faults and kills now: clients repeat what was not acknowledged, the bridge finishes."""
        await bridge.start()
        while self._again:
            await self._client(bridge.port, only_again=True)
        least, deadline = self._count_open() + 1, 0.0
        while (left := self._count_open()) and (left < least or time.monotonic() < deadline):
            self.say(f"settling: {left} open")
            if left < least:
                least, deadline = left, time.monotonic() + SETTLE_S
            await asyncio.sleep(5)
        self.figures.unsettled = self._count_open()
        code = await bridge.stop()
        (self.folder / "last-log.txt").write_text(bridge.what_it_said(), encoding="utf-8")
        assert code == 0, bridge.what_it_said()

    # -- clients
    def _next_mail(self, *, only_again: bool) -> Mail | None:
        if self._again and (only_again or self.random.random() < 0.5):
            mail = self._again.pop(self.random.randrange(len(self._again)))
            self.figures.repeated += 1
            return mail
        if only_again:
            return None
        count = self.random.choice((1, 1, 1, 2, 5))
        mail = Mail(f"text number {len(self.mails)}", tuple(dict.fromkeys(self._phone() for _ in range(count))))
        self.mails.append(mail)
        return mail

    def _phone(self) -> str:
        """Return a number: mostly plain ones, some that are late, slow, hidden for a while or refused."""
        chance = self.random.random()
        if chance < 0.01:
            return f"+7999000060{self.random.randint(1, LATEST_ARRIVAL_S)}"
        if chance < 0.02:
            return f"+7999000050{self.random.randint(1, 3)}"
        if chance < 0.03:
            return f"+7999000070{STATUS_LAG_S}"
        if chance < 0.035:
            return "+79990000322"
        return f"+7916{self.random.randrange(10**7):07}"

    async def _client(self, port: int, *, only_again: bool = False) -> None:
        """Hand mails over on one connection after the other until the bridge is gone."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while not only_again or self._again:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    await self._session(reader, writer, only_again=only_again)
                finally:
                    writer.close()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, only_again: bool) -> None:
        await read_reply(reader)
        writer.write(b"EHLO client.example.org\r\n")
        await read_reply(reader)
        for _ in range(self.random.randint(1, 8)):
            mail = self._next_mail(only_again=only_again)
            if mail is None:
                return
            try:
                await hand_over(mail, reader, writer)
            finally:
                if not mail.acknowledged and (mail.tries > 1 or self.random.random() < 0.5):
                    # half of the clients repeat, as an MTA does; once begun, they do so until they are heard
                    self._again.append(mail)
        writer.write(b"QUIT\r\n")
        await read_reply(reader)

    # -- comparing
    def _database(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self.folder}/queue.db?mode=ro", uri=True, timeout=10)

    def _count_open(self) -> int:
        database = self._database()
        try:
            marks = ", ".join("?" * len(_OPEN))
            asked = f"SELECT count(*) FROM messages WHERE state IN ({marks})"
            return int(database.execute(asked, _OPEN).fetchone()[0])
        finally:
            database.close()

    def _compare(self, proxy: FaultProxy, smarthost: FakeSmarthost) -> None:
        figures, database = self.figures, self._database()
        figures.spoilt = len(proxy.played)
        try:
            (verdict,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            figures.damaged = int(verdict != "ok")
            states = {(phone, text): state for phone, text, state in database.execute(
                "SELECT phone, text, state FROM messages")}  # fmt: skip
            counted = dict(database.execute("SELECT event, count(*) FROM history GROUP BY event"))
            figures.resent = database.execute(
                "SELECT count(*) FROM history WHERE event = 'deferred' AND detail LIKE '%quarantine is over%'"
            ).fetchone()[0]
        finally:
            database.close()
        figures.unknown = counted.get("unknown", 0)
        figures.refused = counted.get("refused", 0)
        figures.held = counted.get("held", 0)
        figures.mails = len(self.mails)
        self._compare_with_ledger(states)
        self._compare_reports(smarthost)

    def _compare_with_ledger(self, states: dict[tuple[str, str], str]) -> None:
        figures = self.figures
        # a refused number is written down there too, and its mail may come again: no handset hears of either
        ledger = Counter(
            (f"+{message.phone}", message.text)
            for message in self.simulator.carrier.store.newest()
            if message.steps[0].status not in REFUSALS
        )
        for entry in self.simulator.ledger:
            figures.requests += entry.path == "/sys/send.php"
            figures.spoilt += entry.path == "/sys/send.php" and entry.fault is not None
        for mail in self.mails:
            keys = [(phone, mail.name) for phone in mail.phones]
            if mail.acknowledged:
                figures.acknowledged += 1
                figures.messages += len(keys)
                figures.lost += [str(key) for key in keys if not ledger[key] and states.get(key) not in _ACCOUNTED_FOR]
            figures.doubled += [str(key) for key in keys if ledger[key] > 1]

    def _compare_reports(self, smarthost: FakeSmarthost) -> None:
        """Count reports; the same one may come again under its own Message-ID, another one about the message may not.

        A mail that its client repeated may have failed twice, and then has two.
        """
        told: dict[tuple[str, str], set[str]] = {}
        for mail in smarthost.mails:
            report = email.message_from_bytes(mail.content)
            _, status, headers = report.get_payload()
            original = email.message_from_string(headers.get_payload())
            name = original["Message-ID"].strip("<>").partition("@")[0]
            for fields in status.get_payload()[1:]:
                told.setdefault((name, fields["Final-Recipient"]), set()).add(report["Message-ID"])
        tries = {mail.name: mail.tries for mail in self.mails}
        self.figures.reports = len(told)
        self.figures.reported_twice = sum(len(ids) > 1 and tries[name] == 1 for (name, _), ids in told.items())


async def hand_over(mail: Mail, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand *mail* over in one transaction and note whether it was taken. Raises ConnectionAbortedError for a 421."""
    mail.tries += 1
    for line in mail.lines():
        writer.write(line)
        code = await read_reply(reader)
        if code == 421:
            raise ConnectionAbortedError
        assert code in {250, 354}, code
    writer.write(mail.content())
    mail.acknowledged = await read_reply(reader) == 250


async def read_reply(reader: asyncio.StreamReader) -> int:
    """Read one whole reply and return its code. Raises IncompleteReadError when the other side is gone."""
    while True:
        line = await reader.readuntil(b"\r\n")
        if line[3:4] != b"-":
            return int(line[:3])
