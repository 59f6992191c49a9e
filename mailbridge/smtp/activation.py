"""Sockets handed over by systemd (sd_listen_fds(3)): a listener with such an address takes it instead of binding.

So the bridge gets port 25 without a privilege, and no connection is refused while it restarts.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Mapping

_FIRST_FD = 3


def inherited_sockets(environ: Mapping[str, str], pid: int) -> dict[str, socket.socket]:
    """Return the stream sockets that were handed to process *pid*, by address as ``Door.addresses`` has it."""
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(pid) or not count.isascii() or not count.isdigit():
        return {}
    sockets: dict[str, socket.socket] = {}
    for number in range(_FIRST_FD, _FIRST_FD + int(count)):
        with contextlib.suppress(OSError):
            handed = socket.socket(fileno=number)
            handed.set_inheritable(False)
            if handed.type == socket.SOCK_STREAM:
                sockets[name_of(handed.getsockname())] = handed
            else:
                handed.detach()
    return sockets


def name_of(sockname: str | tuple[str, int] | tuple[str, int, int, int]) -> str:
    """Return a socket's own name as ``host:port``, ``[v6]:port`` or ``unix:/path``."""
    if isinstance(sockname, str):
        return f"unix:{sockname}"
    host, port = sockname[:2]
    with contextlib.suppress(ValueError):
        host = str(ipaddress.ip_address(host))
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
