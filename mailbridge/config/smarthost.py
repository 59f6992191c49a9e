"""Read ``bounce.smarthost``: where our own mail goes, and how safely.

Checked when the configuration is loaded and read by ``report/relay.py``: one grammar for both. Pure.
It must not let the password, or any part of the URL, into a repr or an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from mailbridge.config.addresses import is_hostname, is_ip, is_loopback_host

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
    """Read ``smtp[s]://[user:password@]host[:port][?starttls=off|auto|required]``.

    With a user and a host that is not this machine, STARTTLS is required unless TLS is there already.
    Raises: ValueError with "what is wrong; what to write instead", never with a part of *url*.
    """
    parts = _split(url)
    user = unquote(parts.username) if parts.username else None
    password = SecretStr(unquote(parts.password)) if parts.password else None
    if (user is None) != (password is None):
        raise ValueError("a user without a password, or the reverse; write smtp://user:password@mail.example.org")
    host = parts.hostname or ""
    return Smarthost(
        host=host,
        port=parts.port or _DEFAULT_PORTS[parts.scheme],
        implicit_tls=parts.scheme == "smtps",
        starttls=_starttls(parts, is_protected=user is None or is_loopback_host(host)),
        user=user,
        password=password,
    )


def _split(url: str) -> SplitResult:
    if not url.isprintable() or " " in url:
        raise ValueError("not a URL without spaces; write smtp://mail.example.org:25")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # urllib's own words may quote the URL, and the password with it
        raise ValueError(
            "no valid host and port in it; write smtp://mail.example.org:25, and #, ? and / of a password "
            "as %23, %3F and %2F"
        ) from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("not an smtp:// or smtps:// URL; write smtp://mail.example.org:25")
    host = parts.hostname or ""
    if not (is_hostname(host) or is_ip(host, version=6)) or port == 0:
        raise ValueError("no usable host and port in it; write smtp://mail.example.org:25")
    if parts.path not in {"", "/"} or parts.fragment:
        raise ValueError("a path follows the host; write #, ? and / of a password as %23, %3F and %2F")
    return parts


def _starttls(parts: SplitResult, *, is_protected: bool) -> StartTls:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    word = options.pop("starttls", None)
    if options or (word is not None and word not in set(StartTls)):
        raise ValueError("an unknown option after the ?; write ?starttls=required, ?starttls=auto or ?starttls=off")
    is_implicit = parts.scheme == "smtps"
    if word is None:
        return StartTls.AUTO if is_protected or is_implicit else StartTls.REQUIRED
    if is_implicit:
        raise ValueError("smtps:// is TLS already; drop ?starttls=, or write smtp://")
    if word != StartTls.REQUIRED and not is_protected:
        raise ValueError("the password would travel readable by all; write ?starttls=required, or smtps://")
    return StartTls(word)
