"""``mailbridge-sendmail``: drop-in for ``/usr/sbin/sendmail``; hands the mail on stdin to the bridge's SMTP door.

Any user may run it: it needs ``$MAILBRIDGE_SMTP`` (``host:port``) or the world-readable
``/etc/mailbridge/sendmail.yaml`` (``smtp: host:port``, ``domain: sms.local``), never the bridge's own configuration
with its secrets.
Classic flags that mean nothing here are accepted and ignored. Exit codes are those of all verbs; 75, EX_TEMPFAIL, is
the one that callers of sendmail look at.
"""

from __future__ import annotations

import getpass
import os
import re
import smtplib
import socket
import sys
from dataclasses import dataclass
from email import policy
from email.parser import BytesHeaderParser
from email.utils import getaddresses
from pathlib import Path
from typing import NoReturn

import click

SETTINGS_FILE = Path("/etc/mailbridge/sendmail.yaml")
DEFAULT_SMTP = "127.0.0.1:2525"

_OK, _FAILED, _USAGE, _TEMPFAIL = 0, 1, 2, 75
_TIMEOUT_S = 60.0
_BARE_LF = re.compile(rb"(?<!\r)\n")
#: flags with a value of their own, glued or following (sendmail(8) of Sendmail and Postfix); the rest stand alone
_WITH_VALUE = "BCFLNOQRVXbdhorfp"
_ALWAYS_GLUED = "bdoqB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the command line asks for."""

    recipients: tuple[str, ...] = ()
    sender: str | None = None
    from_headers: bool = False
    #: a line with a single dot does not end the mail
    ignore_dots: bool = False
    #: speak SMTP on stdin and stdout (``-bs``)
    smtp_on_stdin: bool = False


def parse_call(arguments: list[str]) -> Call:
    """Read sendmail's command line. Raises ValueError for a mode that can't be had here (``-bp``, ``-bi``, ``-q``)."""
    sender, from_headers, dots, smtp = None, False, False, False
    rest = list(arguments)
    recipients: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            recipients += rest
            break
        if not word.startswith("-") or word == "-":
            recipients.append(word)
            continue
        if word.partition("=")[0] == "--config":
            # every verb takes it; nothing of it is this one's to know
            del rest[: "=" not in word]
            continue
        flag, value = word[1], word[2:]
        if flag in "fr":
            sender = value or (rest.pop(0) if rest else "")
        elif flag == "b":
            if value not in {"m", "s"}:
                raise ValueError(f"-b{value} is not available")
            smtp = value == "s"
        elif flag == "t":
            from_headers = True
        elif flag == "i" or (flag == "o" and value == "i"):
            dots = True
        elif flag in _WITH_VALUE and not value and flag not in _ALWAYS_GLUED and rest:
            rest.pop(0)
    return Call(
        recipients=tuple(recipients), sender=sender, from_headers=from_headers, ignore_dots=dots, smtp_on_stdin=smtp
    )


def read_settings() -> tuple[str, int, str]:
    """Return host, port and the domain for bare recipients. Raises ValueError."""
    where, domain = os.environ.get("MAILBRIDGE_SMTP", ""), os.environ.get("MAILBRIDGE_DOMAIN", "sms.local")
    if not where and SETTINGS_FILE.exists():
        import yaml

        try:
            data = yaml.safe_load(SETTINGS_FILE.read_text(encoding="utf-8")) or {}
            where, domain = str(data.get("smtp", "")), str(data.get("domain", domain))
        except (OSError, yaml.YAMLError, AttributeError) as error:
            raise ValueError(f"{SETTINGS_FILE} cannot be read") from error
    host, _, port = (where or DEFAULT_SMTP).rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"MAILBRIDGE_SMTP: {where}: write host:port")
    return host.strip("[]"), int(port), domain


def read_mail(call: Call, content: bytes) -> tuple[bytes, list[str]]:
    """Return the mail as it is to be sent, CRLF line ends, and the recipients; Bcc is taken out."""
    lines = re.split(rb"\r\n|\r|\n", content)
    if not call.ignore_dots and b"." in lines:
        lines = lines[: lines.index(b".")]
    recipients = list(call.recipients)
    body = b"\r\n".join(lines)
    if call.from_headers:
        headers = BytesHeaderParser(policy=policy.compat32).parsebytes(body)
        named = [str(v) for name in ("To", "Cc", "Bcc") for v in headers.get_all(name, [])]
        recipients += [address for _, address in getaddresses(named) if address]
        body = _without_bcc(lines)
    return body.rstrip(b"\r\n") + b"\r\n", list(dict.fromkeys(recipients))


def _without_bcc(lines: list[bytes]) -> bytes:
    end = lines.index(b"") if b"" in lines else len(lines)
    kept, dropping = [], False
    for line in lines[:end]:
        dropping = line.lower().startswith(b"bcc:") or (dropping and line[:1] in b" \t" and line != b"")
        if not dropping:
            kept.append(line)
    return b"\r\n".join([*kept, *lines[end:]])


def submit(call: Call, content: bytes) -> int:
    """Hand *content* to the bridge; return the exit code, words on stderr."""
    try:
        host, port, domain = read_settings()
    except ValueError as error:
        return _say(str(error), _USAGE)
    mail, recipients = read_mail(call, content)
    recipients = [address if "@" in address else f"{address}@{domain}" for address in recipients]
    if not recipients:
        return _say("no recipients", _USAGE)
    sender = call.sender if call.sender is not None else _own_address()
    try:
        with smtplib.SMTP(host, port, timeout=_TIMEOUT_S) as smtp:
            refused = smtp.sendmail("" if sender == "<>" else sender, recipients, mail)
    except smtplib.SMTPRecipientsRefused as error:
        return _refused(error.recipients)
    except smtplib.SMTPResponseException as error:
        words = f"{error.smtp_code} {_text(error.smtp_error)}"
        return _say(words, _TEMPFAIL if 400 <= error.smtp_code < 500 else _FAILED)
    except (OSError, smtplib.SMTPException):
        return _say(f"the bridge at {host}:{port} cannot be reached", _TEMPFAIL)
    return _refused(refused) if refused else _OK


def _refused(recipients: dict[str, tuple[int, bytes]]) -> int:
    for address, (number, text) in recipients.items():
        _say(f"{address}: {number} {_text(text)}", _FAILED)
    return _TEMPFAIL if all(400 <= number < 500 for number, _ in recipients.values()) else _FAILED


def _text(words: bytes | str) -> str:
    return words if isinstance(words, str) else words.decode("ascii", "replace")


def _own_address() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _say(words: str, code: int) -> int:
    print(f"sendmail: {words}", file=sys.stderr)
    return code


def relay_session() -> int:
    """``-bs``: pass an SMTP session on stdin and stdout through to the bridge."""
    import threading

    try:
        host, port, _ = read_settings()
        connection = socket.create_connection((host, port), timeout=_TIMEOUT_S)
    except ValueError as error:
        return _say(str(error), _USAGE)
    except OSError:
        return _say("the bridge cannot be reached", _TEMPFAIL)

    def upstream() -> None:
        last = b""
        while data := os.read(0, 65536):
            # a pipe's lines end with LF, SMTP's with CRLF
            connection.sendall(_BARE_LF.sub(b"\r\n", last + data)[len(last) :])
            last = b"\r" if data.endswith(b"\r") else b""
        connection.shutdown(socket.SHUT_WR)

    with connection:
        # a session piped in does not wait for the greeting, and the bridge sends away who speaks before it
        os.write(1, connection.recv(65536))
        threading.Thread(target=upstream, daemon=True).start()
        while data := connection.recv(65536):
            os.write(1, data)
    return _OK


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run as ``sendmail``."""
    try:
        call = parse_call(sys.argv[1:] if arguments is None else arguments)
    except ValueError as error:
        sys.exit(_say(str(error), _USAGE))
    sys.exit(relay_session() if call.smtp_on_stdin else submit(call, sys.stdin.buffer.read()))


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": ["--help"]},
    add_help_option=True,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sendmail(arguments: tuple[str, ...]) -> None:
    """Drop-in for /usr/sbin/sendmail (-t -f -i -oi -F -bs); reads the mail on stdin."""
    main(list(arguments))
