"""One address the door listens on: parsing it, binding it, and putting a session behind each connection."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mailbridge.smtp.activation import name_of
from mailbridge.smtp.session import Session
from mailbridge.smtp.site import Site

_BACKLOG = 1024
#: a unix socket may be used by its owner and its group
_SOCKET_UMASK = 0o117


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpAddress:
    """``host:port`` or ``[v6]:port``; an empty host means all."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixAddress:
    """``unix:/path/to/socket``."""

    path: Path


def parse_address(text: str) -> TcpAddress | UnixAddress:
    """Parse the address of a listener. Raises: ValueError."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise ValueError("a unix socket needs a path: unix:/path/to/socket")
        return UnixAddress(path=Path(path))
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"not an address: {text!r}; write host:port, [v6]:port or unix:/path/to/socket")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"not an address: {text!r}; an IPv6 address stands in brackets: [::1]:25")
    return TcpAddress(host=host, port=int(port))


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundAddress:
    """Sockets that listen, for other processes to accept on: one, or one for each family of the host."""

    sockets: tuple[socket.socket, ...]
    #: as ``OpenListener.addresses`` has them
    addresses: tuple[str, ...]
    #: of a unix socket
    path: Path | None = None

    def copy(self) -> BoundAddress:
        """Return the same with sockets that are closed by themselves."""
        return replace(self, sockets=tuple(one.dup() for one in self.sockets))

    def close(self) -> None:
        """Take no more connections, once the others have closed theirs."""
        for bound in self.sockets:
            bound.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)


#: what a door that goes gives to the one that comes, by ``places_of``
Handed = Mapping[tuple[str, int], BoundAddress]


def places_of(addresses: Sequence[str]) -> list[tuple[str, int]]:
    """Return each address with its number among its equals: port 0 may be written twice, and is two ports."""
    return [(address, addresses[:place].count(address)) for place, address in enumerate(addresses)]


async def bind_address(text: str, *, inherited: Mapping[str, socket.socket] | None = None) -> BoundAddress:
    """Bind the address of a listener, unless it is *inherited*, and listen, accepting nothing.

    Raises: OSError, ValueError.
    """
    where = parse_address(text)
    if inherited and (handed := inherited.get(_name_of_address(where))) is not None:
        # a copy: the socket itself outlives a door that is closed and opened again
        return BoundAddress(sockets=(handed.dup(),), addresses=(name_of(handed.getsockname()),))
    if isinstance(where, UnixAddress):
        bound = _bind_unix(where.path)
        bound.listen(_BACKLOG)
        return BoundAddress(sockets=(bound,), addresses=(f"unix:{where.path}",), path=where.path)
    # the loop's own way of binding, so that hosts, families and words of errors are those of a door in one process
    server = await asyncio.get_running_loop().create_server(
        asyncio.Protocol, where.host or None, where.port, start_serving=False
    )
    sockets = tuple(socket.socket(fileno=os.dup(bound.fileno())) for bound in server.sockets)
    server.close()
    for bound in sockets:
        bound.listen(_BACKLOG)
    return BoundAddress(sockets=sockets, addresses=tuple(name_of(bound.getsockname()) for bound in sockets))


def _name_of_address(where: TcpAddress | UnixAddress) -> str:
    """Return the name under which a socket that listens there is inherited."""
    return f"unix:{where.path}" if isinstance(where, UnixAddress) else name_of((where.host, where.port))


class OpenListener:
    """A bound address."""

    def __init__(self, site: Site, *, inherited: Mapping[str, socket.socket] | None = None) -> None:
        self._site = site
        self._inherited = inherited or {}
        # behind a proxy its header comes first, so there the session begins TLS
        self._tls = None if site.proxies else site.implicit_tls
        self._servers: list[asyncio.Server] = []
        self._socket_path: Path | None = None
        #: False while another listener has the socket's name, too
        self.owns_path = True
        #: where clients find it, as ``host:port``, ``[v6]:port`` or ``unix:/path``
        self.addresses: tuple[str, ...] = ()

    def hand_over(self) -> BoundAddress:
        """Return copies of what it listens on, for a listener that takes its place; nothing is closed."""
        return BoundAddress(
            sockets=tuple(socket.socket(fileno=os.dup(one.fileno())) for own in self._servers for one in own.sockets),
            addresses=self.addresses,
            path=self._socket_path,
        )

    async def take_over(self, handed: BoundAddress) -> None:
        """Accept on what another listener has *handed* over, which may go on accepting meanwhile. Raises: OSError."""
        self.owns_path = False
        await self.open(handed.sockets)
        self.addresses, self._socket_path = handed.addresses, handed.path

    async def open(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Bind and listen, or accept on *sockets* that somebody else has bound. Raises: OSError, ValueError."""
        loop = asyncio.get_running_loop()
        where = parse_address(self._site.listener.address)
        handshake_s = self._site.limits.handshake_s if self._tls is not None else None

        def new_session() -> Session:
            return Session(self._site, loop)

        if sockets is not None:
            # of their own, so that to close them leaves the shared ones open
            self._servers = [
                await loop.create_server(
                    new_session, sock=bound.dup(), ssl=self._tls, backlog=_BACKLOG, ssl_handshake_timeout=handshake_s
                )
                for bound in sockets
            ]
            return
        handed = self._inherited.get(_name_of_address(where))
        if handed is not None:
            # a copy: the socket itself outlives a door that is closed and opened again, and takes connections meanwhile
            bound = handed.dup()
            bound.setblocking(False)
            open_server = loop.create_unix_server if isinstance(where, UnixAddress) else loop.create_server
            server = await open_server(
                new_session, sock=bound, ssl=self._tls, backlog=_BACKLOG, ssl_handshake_timeout=handshake_s
            )
            self._servers.append(server)
            self.addresses = (name_of(handed.getsockname()),)
            return
        if isinstance(where, UnixAddress):
            bound = _bind_unix(where.path)
            self._socket_path = where.path
            server = await loop.create_unix_server(
                new_session, sock=bound, ssl=self._tls, backlog=_BACKLOG, ssl_handshake_timeout=handshake_s
            )
            self._servers.append(server)
            self.addresses = (f"unix:{where.path}",)
            return
        server = await loop.create_server(
            new_session,
            where.host or None,
            where.port,
            ssl=self._tls,
            backlog=_BACKLOG,
            ssl_handshake_timeout=handshake_s,
        )
        self._servers.append(server)
        self.addresses = tuple(name_of(bound.getsockname()) for bound in server.sockets)

    def close(self) -> None:
        """Take no more connections; those that exist go on."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        if self._socket_path is not None and self.owns_path:
            with contextlib.suppress(FileNotFoundError):
                self._socket_path.unlink()
        self._socket_path = None


def _bind_unix(path: Path) -> socket.socket:
    """Bind a unix socket of mode 0660, in the place of one nobody listens on any more. Raises: OSError."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.stat().st_mode):
            if _is_alive(path):
                raise OSError(errno.EADDRINUSE, "another process listens on this socket", str(path))
            path.unlink()
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # from the first moment nobody else may connect, so the mode is set before the name exists
    umask = os.umask(_SOCKET_UMASK)
    try:
        bound.bind(str(path))
    except OSError:
        bound.close()
        raise
    finally:
        os.umask(umask)
    bound.setblocking(False)
    return bound


def _is_alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
