"""A door for tests: real listeners and the real address grammar, with a reception that remembers everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mailbridge.config.model import Listener, Numbers, Smtp
from mailbridge.errors import Rejected
from mailbridge.intake.address import Addresses
from mailbridge.intake.numbers import NumberPolicy
from mailbridge.model.mail import Client, ReceivedMail, Recipient
from mailbridge.model.reply import QUEUED, Reply
from mailbridge.smtp.server import Door
from mailbridge.smtp.site import Limits

#: short waits, so that no test is slow; the rest as in production
QUICK = Limits(linger_s=0.3, auth_delay_s=0.01, handshake_s=2.0)
HOSTNAME = "sms.example.org"


def build_doorman() -> Addresses:
    """The address grammar of the intake, with one domain and Russian numbers."""
    return Addresses(domains={"sms.local": "sms"}, numbers=NumberPolicy(Numbers()))


class RecordingReception:
    """Never fails unless told to, and always remembers everything.

    *answer* is a reply or an exception; while *gate* is cleared, mails wait.
    """

    def __init__(self) -> None:
        self.mails: list[ReceivedMail] = []
        self.answer: Reply | Exception = QUEUED
        self.gate = asyncio.Event()
        self.gate.set()
        self.started = 0
        self.cancelled = 0

    async def receive(self, mail: ReceivedMail, *, each: bool) -> Sequence[Reply]:
        self.started += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.answer, Exception):
            raise self.answer
        self.mails.append(mail)
        reply = self.answer.with_text(f"Ok: queued as {mail.id}")
        return [reply] * (len(mail.recipients) if each else 1)


class RecordingLog:
    """A structlog-like logger that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))

    warning = error = exception = debug = info

    def named(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.events if name == event]


class TestDoor:
    """A running door and what it was asked."""

    __test__ = False

    def __init__(self, door: Door, reception: RecordingReception, log: RecordingLog) -> None:
        self.door = door
        self.reception = reception
        self.log = log

    @property
    def address(self) -> str:
        return self.door.addresses[0]

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    async def connect(self, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await connect(self.address, **kwargs)


async def connect(address: str, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to an address as ``Door.addresses`` has it."""
    if address.startswith("unix:"):
        return await asyncio.open_unix_connection(address.removeprefix("unix:"), **kwargs)
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host.strip("[]"), int(port), **kwargs)


@asynccontextmanager
async def open_door(
    *listeners: dict[str, Any],
    doorman: Any = None,
    limits: Limits = QUICK,
    users: Sequence[Any] = (),
    passwords: Any = None,
    inherited: Any = None,
    **smtp: Any,
) -> AsyncIterator[TestDoor]:
    """Open a door on loopback; *smtp* are keys of the configuration's section."""
    listen = [Listener(**{"address": "127.0.0.1:0", **listener}) for listener in listeners or ({},)]
    reception, log = RecordingReception(), RecordingLog()
    door = Door(
        Smtp(**{"hostname": HOSTNAME, "listen": listen, **smtp}),
        reception=reception,
        doorman=doorman or build_doorman(),
        users=users,
        passwords=passwords,
        log=log,
        limits=limits,
        inherited=inherited,
    )
    await door.start()
    try:
        yield TestDoor(door, reception, log)
    finally:
        reception.gate.set()
        await door.stop(0.1)


def unix_listener(folder: Path, **keys: Any) -> dict[str, Any]:
    """Return the keys of a listener on a unix socket in *folder*."""
    return {"address": f"unix:{folder / 'smtp.sock'}", **keys}


class Refusing:
    """A doorman who refuses everybody with the same words."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def sender(self, address: str, client: Client) -> str:
        return address

    def recipient(self, address: str, client: Client) -> Recipient:
        raise Rejected(self._reply)


async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *lines: str) -> str:
    """Send each line and wait for its reply; return the last reply's last line."""
    answer = ""
    for line in lines:
        writer.write(line.encode() + b"\r\n")
        answer = await hear(reader)
    return answer


async def hear(reader: asyncio.StreamReader) -> str:
    """Return the last line of the next reply; empty at the end of the connection."""
    while True:
        line = (await asyncio.wait_for(reader.readline(), 5)).decode().rstrip("\r\n")
        if line[3:4] != "-":
            return line


async def until(condition: Any) -> None:
    """Wait until *condition()* is true."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """Say EHLO and return the whole answer."""
    writer.write(b"EHLO x\r\n")
    lines = b""
    while not lines.rpartition(b"\n250 ")[1]:
        line = await asyncio.wait_for(reader.readline(), 5)
        assert line, lines
        lines += line
    return lines.decode()
