"""Every dialog of ``tests/data/dialogs`` on every kind of listener, as written, octet by octet and in one packet."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import trustme
import uvloop

from tests.support.dialog import Dialog
from tests.support.door import TestDoor, hear, open_door, say, unix_listener

DIALOGS = [Dialog(path) for path in sorted((Path(__file__).parents[1] / "data" / "dialogs").glob("*.cmy"))]
KINDS = ("plain", "unix", "lmtp", "starttls", "implicit", "legacy", "proxy")
PROXY_HEADER = b"PROXY TCP4 192.0.2.9 127.0.0.1 50000 25\r\n"


def _pairs(*kinds: str, whole: bool = True) -> list[Any]:
    return [
        pytest.param(kind, dialog, id=f"{kind}-{dialog.name}")
        for kind in kinds
        for dialog in DIALOGS
        if dialog.runs_on(kind) and (whole or not dialog.is_whole)
    ]


class Certificate:
    """One certificate for all dialogs."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)
        issued = authority.issue_cert("localhost")
        self.keys = {"certificate": str(folder / "cert.pem"), "private_key": str(folder / "key.pem")}
        issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
        issued.private_key_pem.write_to_path(folder / "key.pem")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The certificate of this module."""
    return Certificate(tmp_path_factory.mktemp("certificate"))


def _listener(kind: str, certificate: Certificate, folder: Path) -> dict[str, Any]:
    match kind:
        case "unix":
            return unix_listener(folder)
        case "lmtp":
            return {"protocol": "lmtp"}
        case "starttls" | "implicit":
            return {"tls": kind, **certificate.keys}
        case "legacy":
            return {"legacy": True}
        case "proxy":
            return {"proxies": ["127.0.0.1"], "allow": ["192.0.2.0/24"]}
    return {}


class KindOfDoor(TestDoor):
    """A door whose clients connect as its kind of listener wants it."""

    kind = ""
    context: ssl.SSLContext
    #: the dialog itself has the STARTTLS command
    is_upgrade_played = False

    async def shake_hands(self, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(self.context, server_hostname="localhost")

    async def connect(self, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.kind == "implicit":
            return await super().connect(ssl=self.context, server_hostname="localhost", **kwargs)
        reader, writer = await super().connect(**kwargs)
        if self.kind == "proxy":
            writer.write(PROXY_HEADER)
        elif self.kind == "starttls" and not self.is_upgrade_played:
            greeting = await hear(reader)
            assert (await say(reader, writer, "EHLO x", "STARTTLS")).startswith("220 2.0.0")
            await self.shake_hands(writer)
            # a dialog begins with the greeting, and TLS does not end with a second one
            reader.feed_data(greeting.encode() + b"\r\n")
        return reader, writer


@asynccontextmanager
async def _open(kind: str, dialog: Dialog, certificate: Certificate, folder: Path) -> AsyncIterator[KindOfDoor]:
    async with open_door(_listener(kind, certificate, folder), **dialog.settings) as door:
        kind_of_door = KindOfDoor(door.door, door.reception, door.log)
        kind_of_door.kind, kind_of_door.context = kind, certificate.client
        kind_of_door.is_upgrade_played = dialog.begins_tls
        yield kind_of_door


@pytest.mark.parametrize(("kind", "dialog"), _pairs(*KINDS))
async def test_as_written(kind: str, dialog: Dialog, certificate: Certificate, tmp_path: Path) -> None:
    """The dialog runs on the listener as its file says."""
    async with _open(kind, dialog, certificate, tmp_path) as door:
        await dialog.run(door, lmtp=kind == "lmtp")


@pytest.mark.parametrize(("kind", "dialog"), _pairs("plain", "legacy", whole=False))
@pytest.mark.parametrize("cut", ["bytewise", "one packet"])
async def test_cut_otherwise(kind: str, cut: str, dialog: Dialog, certificate: Certificate, tmp_path: Path) -> None:
    """Packets mean nothing: the answers are the same to single octets, and to everything at once after the greeting."""
    async with _open(kind, dialog, certificate, tmp_path) as door:
        await dialog.run(door, lmtp=False, cut=cut)


def test_there_are_dialogs() -> None:
    """The dialogs were found, each says in its first line what it shows, and each kind of listener has its share."""
    assert len(DIALOGS) >= 190
    assert all(dialog.lines[0].startswith("# ") for dialog in DIALOGS)
    assert all(sum(dialog.runs_on(kind) for dialog in DIALOGS) >= 120 for kind in KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "starttls", "implicit", "proxy"])
async def test_on_uvloop(kind: str) -> None:
    """Every dialog runs the same on the event loop of production."""

    async def run_all(folder: Path) -> list[str]:
        failures = []
        certificate = Certificate(folder)
        for dialog in DIALOGS:
            if not dialog.runs_on(kind):
                continue
            async with _open(kind, dialog, certificate, folder) as door:
                try:
                    await dialog.run(door, lmtp=False)
                except AssertionError as error:
                    failures.append(f"{dialog.name}: {error}")
        return failures

    with TemporaryDirectory() as folder:
        assert await asyncio.to_thread(uvloop.run, run_all(Path(folder))) == []
