"""A real Kannel on loopback: bearerbox, smsbox, and its own fake SMS centre at the far end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from tests.support.programs import free_port, need, until

FAKE_CENTRE = Path("/usr/lib/kannel/test/fakesmsc")
_CONF = """\
group = core
admin-port = {admin}
admin-password = {password}
admin-interface = 127.0.0.1
smsbox-port = {box}
smsbox-interface = 127.0.0.1
box-allow-ip = 127.0.0.1
dlr-storage = internal

group = smsc
smsc = fake
smsc-id = fake
host = 127.0.0.1
port = {centre}
connect-allow-ip = 127.0.0.1

group = smsbox
bearerbox-host = 127.0.0.1
bearerbox-port = {box}
sendsms-port = {send}
sendsms-interface = 127.0.0.1

group = sendsms-user
username = mailbridge
password = {password}
max-messages = 5
concatenation = true
"""
_GOT = re.compile(rb"Got message \d+: <(\S+) (\S+) (\S+) (.*)>")


@dataclass(slots=True)
class Kannel:
    """Where its sendsms is, and what arrived at the fake centre."""

    url: str
    output: dict[str, bytearray] = field(default_factory=dict)

    @property
    def arrived(self) -> list[tuple[str, str, str]]:
        """(sender, phone, text) of each message, in the order it came."""
        found = _GOT.findall(bytes(self.output.get("fakesmsc", b"")))
        return [(sender.decode(), phone.decode(), _text(kind, content)) for sender, phone, kind, content in found]

    def what_it_said(self) -> str:
        """Return all output, for a failing test."""
        return "\n".join(f"== {name}\n{text.decode(errors='replace')[-4000:]}" for name, text in self.output.items())


def _text(kind: bytes, content: bytes) -> str:
    raw = unquote_to_bytes(content.replace(b"+", b" "))
    return raw.decode("utf-16-be") if kind == b"ucs-2" else raw.decode("latin-1")


def need_kannel() -> None:
    """Skip the test where Kannel, or its fake centre, is not installed."""
    need("bearerbox")
    need("smsbox")
    if not FAKE_CENTRE.exists():
        pytest.skip("Kannel's fakesmsc is not installed (scripts/install-test-programs)")


@asynccontextmanager
async def running_kannel(folder: Path, password: str) -> AsyncIterator[Kannel]:
    """Run the three until the block ends."""
    ports = {name: free_port() for name in ("admin", "box", "centre", "send")}
    conf = folder / "kannel.conf"
    conf.write_text(_CONF.format(password=password, **ports), encoding="utf-8")
    kannel = Kannel(f"http://127.0.0.1:{ports['send']}")
    async with AsyncExitStack() as stack:
        for name, command, sign in (
            ("bearerbox", [need("bearerbox"), conf], b"MAIN: Start-up done"),
            ("smsbox", [need("smsbox"), conf], b"Connected to bearerbox"),
            ("fakesmsc", [FAKE_CENTRE, "-H", "127.0.0.1", "-r", ports["centre"]], b"Connecting to"),
        ):
            await stack.enter_async_context(_running(kannel, name, command))
            said = kannel.output[name]
            await until(lambda said=said, sign=sign: sign in said, saying=kannel.what_it_said)
        await until(lambda: b"Fakesmsc client connected" in kannel.output["bearerbox"], saying=kannel.what_it_said)
        yield kannel


@asynccontextmanager
async def _running(kannel: Kannel, name: str, command: list[object]) -> AsyncIterator[None]:
    """Run one program, with an input that stays open: the fake centre ends with it."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = kannel.output[name] = bytearray()

    async def read() -> None:
        assert process.stdout is not None
        while chunk := await process.stdout.read(4096):
            said.extend(chunk)

    reading = asyncio.create_task(read(), name=f"{name} output")
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()
        await reading
