"""The way in: are the addresses to be had, do the certificates hold. Binds for a moment, connects, changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import socket
import ssl
import stat
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from mailbridge.config.addresses import ListenAddress, TcpAddress, parse_listen, reachable_host
from mailbridge.config.model import Listener
from mailbridge.doctor.check import STEP_S, Check
from mailbridge.smtp.tls import build_context

_CERTIFICATE_DAYS = 14
_REPLY = re.compile(r"[245][0-9]{2}[ -]")


async def check_listener(listener: Listener) -> Check:
    """Find the listener's address free, or a mail server behind it."""
    address = parse_listen(listener.address)
    return await _bound(f"port {address}", address, partial(_greeting, listener))


async def check_web(listen: str) -> Check:
    """Find the address of the web listener free, or the bridge behind it."""
    address = parse_listen(listen)
    return await _bound(f"web {address}", address, _liveness)


async def _bound(name: str, address: ListenAddress, ask: Callable[[ListenAddress], Awaitable[str]]) -> Check:
    """Find *address* free, or a bridge behind it."""
    trouble = await asyncio.to_thread(_bind_trouble, address)
    if trouble is None:
        return Check(name=name, ok=True, detail="free; the bridge is not running here")
    # also where it may not be opened by us: the bridge, which may, has it perhaps
    try:
        async with asyncio.timeout(STEP_S):
            found = await ask(address)
    except (OSError, TimeoutError, ValueError):
        found = ""
    if found:
        return Check(name=name, ok=True, detail=found)
    if isinstance(trouble, PermissionError):
        return Check(
            name=name, ok=False, detail="nobody answers, and it may not be opened by this user",
            fix="run the bridge by contrib/systemd/mailbridge.service, or listen on a port above 1023",
        )  # fmt: skip
    if not _is_taken(trouble):
        return Check(
            name=name, ok=False, detail=trouble.strerror or "cannot be opened", fix="write an address of this machine"
        )
    return Check(
        name=name, ok=False, detail="taken by something that is no mailbridge",
        fix="`ss -ltnp` names it; stop it, or choose another address",
    )  # fmt: skip


def _bind_trouble(address: ListenAddress) -> OSError | None:
    try:
        if isinstance(address, TcpAddress):
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind((address.host, address.port))
        else:
            _bind_unix_trouble(Path(address.path))
    except OSError as error:
        return error
    return None


def _bind_unix_trouble(path: Path) -> None:
    """Raise what opening a socket at *path* would; one that nobody listens on is replaced by the bridge."""
    if path.exists():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, contextlib.suppress(ConnectionRefusedError):
            probe.settimeout(STEP_S)
            probe.connect(str(path))
            raise FileExistsError
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(path.parent))
    if not os.access(path.parent, os.W_OK):
        raise PermissionError


def _is_taken(trouble: OSError) -> bool:
    return isinstance(trouble, FileExistsError) or "in use" in (trouble.strerror or "").lower()


async def _opened(
    address: ListenAddress, tls: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(address, TcpAddress):
        return await asyncio.open_connection(reachable_host(address.host), address.port, ssl=tls)
    hostname = "" if tls is not None else None
    return await asyncio.open_unix_connection(address.path, ssl=tls, server_hostname=hostname)


async def _greeting(listener: Listener, address: ListenAddress) -> str:
    """Return what a mail server says first, in words; a refusal of this machine is one of a mail server, too."""
    # whose certificate it is, another check asks
    tls = _believing_all() if listener.tls == "implicit" else None
    reader, writer = await _opened(address, None if listener.proxies else tls)
    try:
        if listener.proxies:
            writer.write(b"PROXY UNKNOWN\r\n")
            if tls is not None:
                await writer.start_tls(tls)
        banner = (await reader.readline()).decode("ascii", "replace").strip()
        return f"a mail server answers: {banner}" if _REPLY.match(banner) else ""
    finally:
        writer.close()


def _believing_all() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _liveness(address: ListenAddress) -> str:
    assert isinstance(address, TcpAddress)
    reader, writer = await _opened(address)
    try:
        writer.write(b"GET /livez HTTP/1.0\r\n\r\n")
        answer = await reader.read(4096)
        return "the bridge answers" if answer.startswith(b"HTTP/1.") and b'{"ok": true}' in answer else ""
    finally:
        writer.close()


def check_certificate(listener: Listener, now: datetime) -> Check:
    """Load the pair as the door does, and shake hands with ourselves: that tells dates and names by public means."""
    name = f"tls {listener.address}"
    assert listener.certificate is not None
    try:
        server = build_context(listener.certificate, listener.private_key, legacy=listener.legacy)
        key = Path(listener.private_key or listener.certificate)
        is_open = bool(key.stat().st_mode & stat.S_IROTH)
        shown = _shown_certificate(server, listener.certificate)
    except ssl.SSLCertVerificationError as error:
        return Check(name=name, ok=False, detail=error.verify_message, fix="renew the certificate, then reload")
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else "not a certificate and its key"
        return Check(name=name, ok=False, detail=words, fix=f"see {listener.certificate} and its key")
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
    days = (until - now).days
    detail = f"valid until {until:%Y-%m-%d}, for {', '.join(_names_in(shown)) or 'no name'}"
    if days < _CERTIFICATE_DAYS:
        return Check(name=name, ok=False, detail=detail, fix=f"renew it within {max(days, 0)} days, then reload")
    if is_open:
        return Check(name=name, ok=False, detail=f"{key} may be read by everybody", fix=f"chmod o-r {key}")
    return Check(name=name, ok=True, detail=detail)


def _shown_certificate(server: ssl.SSLContext, certificate: str) -> dict[str, object]:
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    # the leaf itself is what is believed: whether others do is their business
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    trusting.load_verify_locations(certificate)
    ways = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(ways[0], ways[1])
    other = server.wrap_bio(ways[1], ways[0], server_side=True)
    done: set[ssl.SSLObject] = set()
    for _ in range(10):
        for side in (client, other):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
                done.add(side)
        if len(done) == 2:
            break
    return dict(client.getpeercert() or {})


def _names_in(shown: dict[str, object]) -> list[str]:
    names = shown.get("subjectAltName", ())
    return [str(value) for _, value in names] if isinstance(names, tuple) else []
