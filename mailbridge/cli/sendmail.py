"""``mailbridge-sendmail``: drop-in for ``/usr/sbin/sendmail``; hands the mail on stdin to the bridge's SMTP door.

Any user may run it: it needs ``$MAILBRIDGE_SMTP`` (``host:port``) or the world-readable
``/etc/mailbridge/sendmail.yaml`` (``smtp: host:port``, ``domain: sms.local``, ``spool: /folder`` or ``off``), never the
bridge's own configuration with its secrets.
Where there is a spool, a mail that the bridge cannot take now, because it is down or says 4xx, is kept there, and the
exit code is 0: it goes out with the same user's next mail, or by ``-q``, which a timer runs. Where it cannot be kept
the exit code is 75.
Classic flags that mean nothing here are accepted and ignored. Exit codes are those of all verbs; 75, EX_TEMPFAIL, is
the one that callers of sendmail look at.
"""

from __future__ import annotations

import dataclasses
import getpass
import os
import re
import socket
import sys
import time
from dataclasses import dataclass
from email import policy
from email.parser import BytesHeaderParser
from email.utils import formatdate, getaddresses, make_msgid
from typing import NoReturn

import click

from mailbridge.cli.handover import (
    FAILED,
    OK,
    TEMPFAIL,
    TIMEOUT_S,
    USAGE,
    hand_over,
    keep,
    read_settings,
    run_queue,
    say,
    send_own,
    show_queue,
)
from mailbridge.spool import Kept

_BARE_LF = re.compile(rb"(?<!\r)\n")
#: flags with a value of their own, glued or following (sendmail(8) of Sendmail and Postfix); the rest stand alone
_WITH_VALUE = "BCFLNOQRVXbdhorfp"
_ALWAYS_GLUED = "bdoqB"
_TIME = re.compile(r"(?:[0-9]{1,6}[smhdw])+|[0-9]{1,6}")
_UNIT = re.compile(r"([0-9]+)([smhdw]?)")
#: the first line of a mail that has a header (RFC 5322 2.2)
_HEADER = re.compile(rb"[!-9;-~]+[ \t]*:")


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
    #: send what waits (``-q``), again every so many seconds (``-q5m``) where there is a time
    run_queue: bool = False
    every_s: float | None = None
    #: show what waits (``-bp``)
    show_queue: bool = False


def parse_call(arguments: list[str]) -> Call:
    """Read sendmail's command line. Raises ValueError for a mode that can't be had here (``-bi``, ``-bd``)."""
    sender, from_headers, dots, mode, queue = None, False, False, "m", None
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
            if value not in {"m", "s", "p"}:
                raise ValueError(f"-b{value} is not available")
            mode = value
        elif flag == "q":
            queue = value
        elif flag == "t":
            from_headers = True
        elif flag == "i" or (flag == "o" and value == "i"):
            dots = True
        elif flag in _WITH_VALUE and not value and flag not in _ALWAYS_GLUED and rest:
            rest.pop(0)
    return Call(
        recipients=tuple(recipients), sender=sender, from_headers=from_headers, ignore_dots=dots,
        smtp_on_stdin=mode == "s", show_queue=mode == "p", run_queue=queue is not None,
        every_s=_time_of(queue) if queue else None,
    )  # fmt: skip


def _time_of(text: str) -> float | None:
    """Read sendmail's ``30m``, ``1h30m``, ``90`` (minutes); ``f`` and names of queues are a single run."""
    if not text[:1].isdigit():
        return None
    if not _TIME.fullmatch(text):
        raise ValueError(f"-q{text}: write a time such as -q5m")
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "": 60}
    return max(1.0, float(sum(int(number) * units[unit] for number, unit in _UNIT.findall(text))))


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


def identified(mail: bytes) -> bytes:
    """Return *mail* with a Message-ID, so that a repetition is known as one, and a Date; those that are there stay."""
    headers = BytesHeaderParser(policy=policy.compat32).parsebytes(mail)
    missing = [
        f"{name}: {make()}\r\n"
        for name, make in (("Message-ID", make_msgid), ("Date", formatdate))
        if name not in headers
    ]
    # a text without a header would become one
    gap = "" if _HEADER.match(mail) or not missing else "\r\n"
    return "".join([*missing, gap]).encode("ascii", "replace") + mail


def _without_bcc(lines: list[bytes]) -> bytes:
    end = lines.index(b"") if b"" in lines else len(lines)
    kept, dropping = [], False
    for line in lines[:end]:
        dropping = line.lower().startswith(b"bcc:") or (dropping and line[:1] in b" \t" and line != b"")
        if not dropping:
            kept.append(line)
    return b"\r\n".join([*kept, *lines[end:]])


def submit(call: Call, content: bytes) -> int:
    """Hand *content* to the bridge, or keep it where the bridge cannot take it now; return the exit code."""
    try:
        settings = read_settings()
    except ValueError as error:
        return say(str(error), USAGE)
    mail, recipients = read_mail(call, content)
    recipients = [address if "@" in address else f"{address}@{settings.domain}" for address in recipients]
    if not recipients:
        return say("no recipients", USAGE)
    sender = call.sender if call.sender is not None else _own_address()
    kept = Kept(
        sender="" if sender == "<>" else sender, recipients=tuple(recipients), content=identified(mail), at=time.time()
    )
    handed = hand_over(settings, kept)
    for words in handed.refused.values():
        say(words, FAILED)
    code = FAILED if handed.refused else OK
    if handed.later:
        return keep(settings, dataclasses.replace(kept, recipients=handed.later), handed.because) or code
    send_own(settings)
    return code


def _own_address() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def relay_session() -> int:
    """``-bs``: pass an SMTP session on stdin and stdout through to the bridge."""
    import threading

    try:
        settings = read_settings()
        connection = socket.create_connection((settings.host, settings.port), timeout=TIMEOUT_S)
    except ValueError as error:
        return say(str(error), USAGE)
    except OSError:
        return say("the bridge cannot be reached", TEMPFAIL)

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
    return OK


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run as ``sendmail``."""
    try:
        call = parse_call(sys.argv[1:] if arguments is None else arguments)
    except ValueError as error:
        sys.exit(say(str(error), USAGE))
    if call.run_queue:
        sys.exit(run_queue(call.every_s))
    if call.show_queue:
        sys.exit(show_queue())
    sys.exit(relay_session() if call.smtp_on_stdin else submit(call, sys.stdin.buffer.read()))


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": ["--help"]},
    add_help_option=True,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sendmail(arguments: tuple[str, ...]) -> None:
    """Drop-in for /usr/sbin/sendmail (-t -f -i -oi -F -bs); reads the mail on stdin.

    What the bridge cannot take now is kept, and sent by the next call or by -q; -bp shows what waits.
    """
    main(list(arguments))
