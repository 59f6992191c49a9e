"""Load for an SMTP server: many sessions at once, every mail with a Message-ID of its own.

    python -m bench.load PORT… [--mails 3000] [--sessions 32] [--keep] [--client auto|smtp-source|python]

``smtp-source`` (Postfix) is taken where it is installed: a chain of processes for each session, because one process can
write to one recipient only and costs as much as ten mails. Else a protocol of our own on uvloop, which costs about
three times its CPU time. No pipelining. Several ports share the sessions evenly.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from functools import partial

import uvloop

SMTP_SOURCE = shutil.which("smtp-source", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
MAIL_BYTES = 600
#: mails of one smtp-source, and so to one phone; over a kept connection as many go through it
CHAIN_MAILS = 100
#: what smtp-source writes above its payload: From, To, Date, Message-Id, Subject
_SOURCE_HEADER_BYTES = 260
_BODY = "PROBLEM: db1/disk is CRITICAL since 10:42, 97 % of /var used, see https://icinga.example.org/db1\r\n"


def phone(number: int) -> str:
    return f"7999{number % 10_000_000:07}"


def mail(number: int) -> bytes:
    head = (
        "From: Monitoring <nagios@example.org>\r\n"
        f"To: {phone(number)}@sms.local\r\n"
        f"Subject: PROBLEM host db{number} is DOWN\r\n"
        "Date: Mon, 01 Jun 2026 10:42:00 +0300\r\n"
        f"Message-ID: <{os.getpid()}.{time.monotonic_ns()}.{number}@bench.example.org>\r\n"
        'Content-Type: text/plain; charset="utf-8"\r\n'
        "\r\n"
    )
    body = (_BODY * 6)[: MAIL_BYTES - len(head) - 2] + "\r\n"
    return (head + body + ".\r\n").encode("ascii")


class Client(asyncio.Protocol):
    """One session after the other, as long as *numbers* lasts."""

    def __init__(self, numbers, done: asyncio.Future[None], *, keep: bool, recipients: int = 1) -> None:
        self._numbers = numbers
        self.done = done
        self._keep = keep
        self._recipients = recipients
        self._steps = iter(())
        self._inbox = b""

    def connection_made(self, transport) -> None:
        self._transport = transport
        self._steps = self._dialog()

    def data_received(self, data: bytes) -> None:
        self._inbox += data
        while b"\n" in self._inbox:
            line, _, self._inbox = self._inbox.partition(b"\n")
            if line[:1] not in b"23":
                self._fail(f"refused: {line!r}")
                return
            if line[3:4] == b"-":
                continue
            if (step := next(self._steps, None)) is None:
                self._transport.close()
                return
            self._transport.write(step)

    def connection_lost(self, error) -> None:
        if not self.done.done():
            if error is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(error)

    def _fail(self, why: str) -> None:
        self.done.set_exception(RuntimeError(why))
        self._transport.abort()

    def _dialog(self):
        yield b"EHLO client.example.org\r\n"
        for number in self._numbers if self._keep else itertools.islice(self._numbers, 1):
            yield b"MAIL FROM:<nagios@example.org>\r\n"
            for place in range(self._recipients):
                yield b"RCPT TO:<%b@sms.local>\r\n" % phone(number * self._recipients + place).encode()
            yield b"DATA\r\n"
            yield mail(number)
        yield b"QUIT\r\n"


def _same(client: Client) -> Client:
    return client


async def _send(ports: Sequence[int], *, mails: int, sessions: int, keep: bool, recipients: int = 1) -> float:
    loop = asyncio.get_running_loop()
    first = time.monotonic_ns() % 10_000_000
    numbers = iter(range(first, first + mails))
    left = mails

    async def work(port: int) -> None:
        nonlocal left
        while left > 0:
            if not keep:
                left -= 1
            client = Client(numbers, loop.create_future(), keep=keep, recipients=recipients)
            await loop.create_connection(partial(_same, client), "127.0.0.1", port)
            await client.done
            if keep:
                return

    start = time.monotonic()
    await asyncio.gather(*(work(ports[n % len(ports)]) for n in range(sessions)))
    return time.monotonic() - start


def _run_source(ports: Sequence[int], *, mails: int, sessions: int, keep: bool) -> tuple[int, float]:
    assert SMTP_SOURCE is not None
    chain = max(1, round(mails / sessions / CHAIN_MAILS))
    each = max(1, mails // sessions // chain)
    first = time.monotonic_ns() % 10_000_000
    words = [SMTP_SOURCE, "-s", "1", "-m", str(each), "-l", str(MAIL_BYTES - _SOURCE_HEADER_BYTES)]
    words += ["-f", "nagios@example.org", "-M", "client.example.org", *(["-d"] if keep else [])]
    start = time.monotonic()
    running = [
        subprocess.Popen(
            ["sh", "-c", f'for to; do {shlex.join(words)} -t "$to" inet:127.0.0.1:{port} || exit; done', "sh",
             *(f"{phone(first + place * chain + link)}@sms.local" for link in range(chain))]
        )
        for place, port in zip(range(sessions), itertools.cycle(ports), strict=False)
    ]  # fmt: skip
    failed = [process.args for process in running if process.wait() != 0]
    elapsed = time.monotonic() - start
    if failed:
        raise RuntimeError(f"{len(failed)} of {sessions} smtp-source processes failed")
    return each * chain * sessions, elapsed


def run(
    *ports: int, mails: int, sessions: int, keep: bool, client: str = "auto", recipients: int = 1
) -> tuple[int, float]:
    """Send about so many mails; return how many were accepted in how many seconds.

    Raises: RuntimeError when one was not.
    """
    assert recipients == 1 or client == "python", "smtp-source writes to numbered recipients"
    if client == "smtp-source" or (client == "auto" and SMTP_SOURCE is not None):
        return _run_source(ports, mails=mails, sessions=sessions, keep=keep)
    return mails, uvloop.run(_send(ports, mails=mails, sessions=sessions, keep=keep, recipients=recipients))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ports", type=int, nargs="+")
    parser.add_argument("--mails", type=int, default=3000)
    parser.add_argument("--sessions", type=int, default=32)
    parser.add_argument("--keep", action="store_true", help="many mails over each connection")
    parser.add_argument("--client", choices=("auto", "smtp-source", "python"), default="auto")
    options = vars(parser.parse_args())
    count, elapsed_s = run(*options.pop("ports"), **options)
    print(f"{count} mails in {elapsed_s:.2f} s: {count / elapsed_s:.0f}/s")


if __name__ == "__main__":
    main()
