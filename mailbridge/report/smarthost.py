"""Read ``bounce.smarthost``: where our own mail goes, and how safely.

Place in the flow: read once from the configuration, used by ``relay``. Pure.
It must not let the password into a repr or an error.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import SecretStr

_DEFAULT_PORTS = {"smtp": 25, "smtps": 465}


class StartTls(StrEnum):
    """What ``?starttls=`` says; of no meaning for ``smtps``."""

    #: never
    OFF = "off"
    #: where offered, without checking the certificate (RFC 7435): Debian's own Postfix offers a self-signed one
    AUTO = "auto"
    #: always, with a certificate that holds
    REQUIRED = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class Smarthost:
    """The mail server that takes our reports and notices."""

    host: str
    port: int
    #: TLS from the first byte (``smtps``), certificate checked
    implicit_tls: bool = False
    starttls: StartTls = StartTls.AUTO
    user: str | None = None
    password: SecretStr | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_smarthost(url: str) -> Smarthost:
    """Read ``smtp://host:port``, ``smtps://user:password@host`` with ``?starttls=off|auto|required``.

    With a user and a host that is not this machine, STARTTLS is required unless TLS is there already.
    Raises: ValueError in plain words, without the password, when it is not of that form or would travel unprotected.
    """
    parts = _split(url)
    user = unquote(parts.username) if parts.username else None
    password = SecretStr(unquote(parts.password)) if parts.password else None
    if (user is None) != (password is None):
        raise ValueError("give both a user and a password, as in smtp://user:password@host, or neither")
    host = parts.hostname or ""
    implicit = parts.scheme == "smtps"
    starttls = _starttls(parts.query, implicit=implicit, needed=user is not None and not _is_loopback(host))
    return Smarthost(
        host=host,
        port=parts.port or _DEFAULT_PORTS[parts.scheme],
        implicit_tls=implicit,
        starttls=starttls,
        user=user,
        password=password,
    )


def _split(url: str) -> SplitResult:
    if not url.isprintable() or " " in url:
        raise ValueError("a smarthost is a URL without spaces, such as smtp://127.0.0.1:25")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # urllib's own words may quote the URL, and the password with it
        raise ValueError(
            "host or port are not valid; write smtp://host:port, and '/', '#', '?' in a password as %2F, %23, %3F"
        ) from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("a smarthost begins with smtp:// or smtps://, such as smtp://127.0.0.1:25")
    if not parts.hostname or port == 0:
        raise ValueError("the smarthost needs a host and a port from 1, such as smtp://127.0.0.1:25")
    if parts.path not in ("", "/") or parts.fragment:
        raise ValueError("a smarthost has no path; a '/', '#' or '?' in the password is written %2F, %23 or %3F")
    return parts


def _starttls(query: str, *, implicit: bool, needed: bool) -> StartTls:
    options = dict(parse_qsl(query, keep_blank_values=True))
    word = options.pop("starttls", None)
    if options:
        raise ValueError(f"unknown smarthost option '{next(iter(options))}'; write starttls=off, auto or required")
    if word is None:
        return StartTls.REQUIRED if needed and not implicit else StartTls.AUTO
    if implicit:
        raise ValueError("smtps:// is TLS from the start; leave starttls= out or write smtp://")
    if word not in set(StartTls):
        raise ValueError("starttls= is off, auto or required")
    if needed and word != StartTls.REQUIRED:
        raise ValueError("a password goes to another machine over TLS only; write starttls=required or smtps://")
    return StartTls(word)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
