"""Addresses of listeners and mail servers as the configuration writes them; pure, nothing is looked up."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAX_HOSTNAME = 253
#: sun_path has 108 bytes with its closing NUL (Linux unix(7))
_MAX_UNIX_PATH_BYTES = 107


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpAddress:
    """Where to listen; *port* 0 lets the system choose."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True where only this machine can connect."""
        return is_loopback_host(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixAddress:
    """A unix socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


ListenAddress = TcpAddress | UnixAddress


def parse_listen(text: str, *, usual_port: int = 2525) -> ListenAddress:
    """Read ``host:port``, ``[v6]:port`` or ``unix:/path``.

    Raises: ValueError with "what is wrong; what to write instead", where *usual_port* stands for a missing one.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not PurePosixPath(path).is_absolute() or not path.isprintable():
            raise ValueError("a unix socket needs an absolute path; write unix:/run/mailbridge/smtp.sock")
        if len(path.encode()) > _MAX_UNIX_PATH_BYTES:
            raise ValueError(f"the socket's path is longer than {_MAX_UNIX_PATH_BYTES} bytes; choose a shorter one")
        return UnixAddress(path=path)
    host, colon, port = text.rpartition(":")
    if not colon and text.isascii() and text.isdigit():
        raise ValueError(f"a port alone; write 127.0.0.1:{text}, or 0.0.0.0:{text} for every interface")
    if not colon:
        raise ValueError(f"no port; write {text or '127.0.0.1'}:{usual_port}")
    if host in ("", "*"):
        raise ValueError(f"no host; write 127.0.0.1:{port}, or 0.0.0.0:{port} for every interface")
    return TcpAddress(host=_parse_host(host, text), port=parse_port(port))


def _parse_host(host: str, text: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        if not is_ip(host[1:-1], version=6):
            raise ValueError("not an IPv6 address between the brackets; write [::1]:2525")
        return host[1:-1]
    if ":" in host:
        fix = f"[{host}]:{text.rpartition(':')[2]}" if is_ip(host, version=6) else "[::1]:2525"
        raise ValueError(f"an IPv6 address needs brackets; write {fix}")
    if not is_hostname(host) or (re.fullmatch(r"[0-9.]+", host) and not is_ip(host, version=4)):
        raise ValueError("not a host name or an IP address; write 127.0.0.1:2525, [::1]:2525 or unix:/path")
    return host


def parse_port(text: str) -> int:
    """Read a port from 0 to 65535. Raises: ValueError with "what is wrong; what to write instead"."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise ValueError("not a port; write a number from 1 to 65535")
    return int(text)


def is_hostname(text: str) -> bool:
    """Tell whether *text* can be a host name or an IPv4 address (RFC 1123 2.1; underscores are let pass)."""
    return len(text) <= _MAX_HOSTNAME and _HOSTNAME.fullmatch(text) is not None


def is_loopback_host(host: str) -> bool:
    """Tell whether *host* is this machine."""
    return host.lower() == "localhost" or (is_ip(host) and ipaddress.ip_address(host).is_loopback)


def reachable_host(host: str) -> str:
    """Return where somebody on this machine reaches what listens on *host*: every interface has this machine's own."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared with, not bound to


def is_private_host(host: str) -> bool:
    """Tell whether *host* is this machine, a private address, or a name without dots (of a container)."""
    if is_ip(host):
        address = ipaddress.ip_address(host)
        return address.is_loopback or (address.is_private and not address.is_link_local and not address.is_unspecified)
    return "." not in host or host.lower().endswith(".localhost")


def is_ip(text: str, version: int | None = None) -> bool:
    """Tell whether *text* is an IP address, of that version where one is named."""
    try:
        return version in (None, ipaddress.ip_address(text).version)
    except ValueError:
        return False
