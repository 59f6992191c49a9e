"""Load for an SMTP server: many sessions at once, every mail with a Message-ID of its own.

    python bench/load.py PORT [--mails 3000] [--sessions 32] [--keep] [--client auto|smtp-source|python]

``smtp-source`` (Postfix) is taken where it is installed, one process for each session, because one process can write
to one recipient only; else a protocol of our own on uvloop, which costs about three times its CPU time. No pipelining.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import shutil
import subprocess
import time
from functools import partial

import uvloop

SMTP_SOURCE = shutil.which("smtp-source", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
MAIL_BYTES = 600
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


async def _send(port: int, *, mails: int, sessions: int, keep: bool, recipients: int = 1) -> float:
    loop = asyncio.get_running_loop()
    first = time.monotonic_ns() % 10_000_000
    numbers = iter(range(first, first + mails))
    left = mails

    async def work() -> None:
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
    await asyncio.gather(*(work() for _ in range(sessions)))
    return time.monotonic() - start


def _run_source(port: int, *, mails: int, sessions: int, keep: bool) -> float:
    assert SMTP_SOURCE is not None
    each = max(1, mails // sessions)
    first = time.monotonic_ns() % 10_000_000
    start = time.monotonic()
    common = ["-s", "1", "-m", str(each), "-l", str(MAIL_BYTES - _SOURCE_HEADER_BYTES), "-f", "nagios@example.org"]
    if keep:
        common.append("-d")
    running = [
        subprocess.Popen(
            [SMTP_SOURCE, *common, "-M", "client.example.org", "-t", f"{phone(first + number)}@sms.local",
             f"inet:127.0.0.1:{port}"]
        )
        for number in range(sessions)
    ]  # fmt: skip
    failed = [process.args for process in running if process.wait() != 0]
    elapsed = time.monotonic() - start
    if failed:
        raise RuntimeError(f"{len(failed)} of {sessions} smtp-source processes failed")
    return elapsed


def run(
    port: int, *, mails: int, sessions: int, keep: bool, client: str = "auto", recipients: int = 1
) -> tuple[int, float]:
    """Send and return how many mails were accepted in how many seconds. Raises RuntimeError when one was not."""
    assert recipients == 1 or client == "python", "smtp-source writes to numbered recipients"
    if client == "smtp-source" or (client == "auto" and SMTP_SOURCE is not None):
        count = max(1, mails // sessions) * sessions
        return count, _run_source(port, mails=count, sessions=sessions, keep=keep)
    return mails, uvloop.run(_send(port, mails=mails, sessions=sessions, keep=keep, recipients=recipients))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--mails", type=int, default=3000)
    parser.add_argument("--sessions", type=int, default=32)
    parser.add_argument("--keep", action="store_true", help="many mails over each connection")
    parser.add_argument("--client", choices=("auto", "smtp-source", "python"), default="auto")
    options = vars(parser.parse_args())
    count, elapsed_s = run(options.pop("port"), **options)
    print(f"{count} mails in {elapsed_s:.2f} s: {count / elapsed_s:.0f}/s")


if __name__ == "__main__":
    main()
