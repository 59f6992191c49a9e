"""Sockets from systemd, and certificates: made by us, looked at and renewed under OpenSSL's own client."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailbridge.cli.tls import tls
from mailbridge.smtp.activation import inherited_sockets
from tests.support.door import connect, hear, open_door, say

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")


@pytest.mark.parametrize("family", ["tcp", "unix"])
async def test_a_listener_takes_the_socket_that_was_handed_over(family: str, tmp_path: Path) -> None:
    """It serves there, leaves the socket to the next door, and a connection in between is not refused."""
    if family == "tcp":
        handed = socket.create_server(("127.0.0.1", 0))
        address = f"127.0.0.1:{handed.getsockname()[1]}"
    else:
        handed = socket.socket(socket.AF_UNIX)
        handed.bind(str(tmp_path / "smtp.sock"))
        handed.listen()
        address = f"unix:{tmp_path / 'smtp.sock'}"
    with handed:
        async with open_door({"address": address}, inherited={address: handed}) as door:
            assert door.door.addresses == (address,)
            reader, writer = await door.connect()
            assert (await hear(reader)).startswith("220")
            writer.close()
        waiting, writer = await connect(address)
        async with open_door({"address": address}, inherited={address: handed}):
            assert (await hear(waiting)).startswith("220")
            writer.close()


def test_sockets_are_named_by_their_addresses() -> None:
    """A process that was handed sockets finds them by address; one that was not, finds none."""
    program = (
        "import os; from mailbridge.smtp.activation import inherited_sockets as f;"
        "os.environ['LISTEN_PID'] = str(os.getpid()); print(sorted(f(os.environ, os.getpid())))"
    )
    with socket.create_server(("127.0.0.1", 0)) as handed:
        # systemd's first descriptor is 3
        command = f'exec {sys.executable} -c "{program}" 3<&{handed.fileno()}'
        done = subprocess.run(
            ["bash", "-c", command],
            env={**os.environ, "LISTEN_FDS": "1"},
            pass_fds=[handed.fileno()],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == f"['127.0.0.1:{handed.getsockname()[1]}']"
    assert inherited_sockets({"LISTEN_FDS": "1", "LISTEN_PID": "1"}, os.getpid()) == {}
    assert inherited_sockets({"LISTEN_FDS": "x", "LISTEN_PID": str(os.getpid())}, os.getpid()) == {}


def make(folder: Path, *arguments: str) -> None:
    """Run ``tls self-signed`` for this machine."""
    done = CliRunner().invoke(tls, ["self-signed", "localhost", "127.0.0.1", "--folder", str(folder), *arguments])
    assert done.exit_code == 0, done.output


@needs_openssl
@pytest.mark.parametrize("kind", [(), ("--rsa",)])
async def test_a_self_signed_certificate_is_good_for_a_listener(kind: tuple[str, ...], tmp_path: Path) -> None:
    """A client that trusts it connects by name and by address; the key is its owner's alone."""
    make(tmp_path, *kind)
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    keys = {"certificate": str(tmp_path / "cert.pem"), "private_key": str(tmp_path / "key.pem")}
    async with open_door({"tls": "implicit", **keys}) as door:
        for name in ("localhost", "127.0.0.1"):
            reader, writer = await door.connect(ssl=context, server_hostname=name)
            assert (await hear(reader)).startswith("220")
            writer.close()


@needs_openssl
def test_a_certificate_is_not_written_over_and_names_are_checked(tmp_path: Path) -> None:
    """What is in use stays unless told otherwise; a name is no place for OpenSSL's syntax."""
    make(tmp_path)
    before = (tmp_path / "cert.pem").read_bytes()
    assert CliRunner().invoke(tls, ["self-signed", "localhost", "--folder", str(tmp_path)]).exit_code == 1
    assert (tmp_path / "cert.pem").read_bytes() == before
    make(tmp_path, "--force")
    assert (tmp_path / "cert.pem").read_bytes() != before
    assert CliRunner().invoke(tls, ["self-signed", "a,DNS:b", "--folder", str(tmp_path)]).exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cert.pem", "key.pem"]


@needs_openssl
@pytest.mark.parametrize("kind", ["starttls", "implicit"])
async def test_a_renewed_certificate_is_shown_and_no_session_is_dropped(kind: str, tmp_path: Path) -> None:
    """OpenSSL's client sees the new one; a session begun with the old one goes on."""
    assert OPENSSL is not None
    make(tmp_path)
    keys = {"certificate": str(tmp_path / "cert.pem"), "private_key": str(tmp_path / "key.pem")}
    async with open_door({"tls": kind, **keys}) as door:
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        reader, writer = await door.connect(**({"ssl": context} if kind == "implicit" else {}))
        await hear(reader)
        if kind == "starttls":
            await say(reader, writer, "EHLO x", "STARTTLS")
            await writer.start_tls(context, server_hostname="127.0.0.1")
        await say(reader, writer, "EHLO x", "MAIL FROM:<a@b.c>")
        make(tmp_path, "--force")
        door.door.reload_certificates()
        process = await asyncio.create_subprocess_exec(
            *(OPENSSL, "s_client", "-connect", f"127.0.0.1:{door.port}", "-CAfile", keys["certificate"]),
            *(() if kind == "implicit" else ("-starttls", "smtp")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(b"QUIT\r\n"), 20)
        assert b"Verify return code: 0 (ok)" in output, output
        answer = await say(reader, writer, "RCPT TO:<79991234567@sms.local>", "DATA", "Subject: x\r\n\r\ny\r\n.")
        assert answer.startswith("250")
        writer.close()
