"""Runs an SMTP dialog kept as a file, one step a line.

    # what the dialog shows            the first line
    only smtp | lmtp                   on that kind of listener alone
    set KEY VALUE                      a key of the smtp: section
    begin greeted | mail | rcpt | data  the usual beginning, up to there
    c -> TEXT                          send a line
    c ~> EXPRESSION                    send the octets of a Python string expression, in one packet
    c bytewise EXPRESSION              send them octet by octet
    c shutdown                         close the sending side
    c <- LINE                          expect exactly that line
    c <~ PATTERN                       expect a line the pattern matches from its beginning
    c <... START                       read lines until one begins so
    c repeat N STEP                    a step N times; ``repeat-lmtp`` once on SMTP
    c <eof                             expect the end of the connection
    stored N                           so many mails reached the reception
    content | sender | recipients | dsn EXPRESSION   what the last of them was

Every reply line is checked for its hygiene, whatever the dialog expects of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from typing import Any

from tests.support.door import TestDoor, until

_BEGINNINGS = {
    "greeted": ["c <~ 220", "c -> EHLO client.example", "c <... 250 DSN"],
    "mail": ["c -> MAIL FROM:<sender@example.org>", "c <~ 250 2\\.1\\.0"],
    "rcpt": ["c -> RCPT TO:<79991234567@sms.local>", "c <~ 250 2\\.1\\.5"],
    "data": ["c -> DATA", "c <~ 354"],
}
_EHLO_LINE = re.compile(rb"250[ -](sms\.example\.org|PIPELINING|SIZE \d+|8BITMIME|STARTTLS|AUTH PLAIN LOGIN|DSN)\r\n")
_PLAIN_LINE = re.compile(rb"250-ENHANCEDSTATUSCODES\r\n|(220 sms|354 |334 ).*\r\n")
_REPLY_LINE = re.compile(rb"([245])\d\d[ -]\1\.\d{1,3}\.\d{1,3} [\x20-\x7e]+\r\n")
_PROGRAM_TEXT = re.compile(rb"Error:|Traceback|Exception|Python|\(\w+Error\)|mailbridge/|\.py\b|0x[0-9a-f]{6}")


def check_hygiene(line: bytes) -> None:
    """Assert what holds of every reply line (RFC 5321 4.5.3.1.5, RFC 2034)."""
    assert len(line) <= 512, line
    assert not _PROGRAM_TEXT.search(line), line
    assert _EHLO_LINE.fullmatch(line) or _PLAIN_LINE.fullmatch(line) or _REPLY_LINE.fullmatch(line), line


class Dialog:
    """One dialog file."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.lines = path.read_text(encoding="ascii").splitlines()
        self.only = next((line.split()[1] for line in self.lines if line.startswith("only ")), None)
        self.settings: dict[str, Any] = {"max_message_size": 20_000}
        for line in self.lines:
            if line.startswith("set "):
                _, key, value = line.split()
                self.settings[key] = int(value)

    async def run(self, door: TestDoor, *, lmtp: bool) -> None:
        reader, writer = await door.connect()
        try:
            await _Run(door, reader, writer, lmtp=lmtp).run(self.lines)
        finally:
            writer.close()


class _Run:
    def __init__(self, door: TestDoor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, lmtp: bool):
        self.door, self.reader, self.writer, self.lmtp = door, reader, writer, lmtp

    async def run(self, lines: list[str]) -> None:
        for line in lines:
            word, _, rest = line.partition(" ")
            if word in {"#", "only", "set"}:
                continue
            try:
                await self._step(word, rest)
            except (AssertionError, TimeoutError) as error:
                raise AssertionError(f"at {line[:200]!r}: {error!r}") from error

    async def _step(self, word: str, rest: str) -> None:
        if word == "c":
            await self._client(*rest.partition(" ")[::2])
        elif word == "begin":
            for beginning, steps in _BEGINNINGS.items():
                for step in steps:
                    await self._client(*step.removeprefix("c ").partition(" ")[::2])
                if beginning == rest:
                    return
        elif word == "stored":
            await self._expect_stored(int(rest))
        else:
            mail = self.door.reception.mails[-1]
            first = mail.recipients[0]
            found = {
                "content": mail.content.decode("latin-1"),
                "sender": mail.sender,
                "recipients": [recipient.address for recipient in mail.recipients],
                "dsn": (mail.envid, mail.ret, sorted(first.notify or ()), first.orcpt),
            }[word]
            assert found == eval(rest, {"__builtins__": {}}), found

    async def _expect_stored(self, count: int) -> None:
        if count == 0:
            # what was sent has been read when a last exchange, on its own connection, is over
            reader, writer = await self.door.connect()
            await asyncio.wait_for(reader.readline(), 5)
            writer.close()
        else:
            await until(lambda: len(self.door.reception.mails) >= count)
        assert len(self.door.reception.mails) == count, len(self.door.reception.mails)

    async def _client(self, verb: str, rest: str) -> None:
        match verb:
            case "->":
                await self._send(rest.encode("ascii") + b"\r\n")
            case "~>":
                await self._send(eval(rest, {"__builtins__": {}}).encode("latin-1"))
            case "bytewise":
                for octet in eval(rest, {"__builtins__": {}}).encode("latin-1"):
                    await self._send(bytes([octet]))
                    await asyncio.sleep(0)
            case "shutdown":
                self.writer.write_eof()
            case "<-":
                line = await self._hear()
                if self.lmtp and line.startswith(b"250 sms"):
                    line = b"250-" + line[4:]
                assert line == rest.encode("ascii") + b"\r\n", line
            case "<~":
                line = await self._hear()
                assert re.match(rest.encode("ascii"), line), line
            case "<...":
                while not (line := await self._hear()).startswith(rest.encode("ascii")):
                    assert line, "the connection ended"
            case "<eof":
                async with asyncio.timeout(5):
                    with contextlib.suppress(ConnectionError):
                        assert await self.reader.read() == b""
            case "repeat" | "repeat-lmtp":
                count, _, step = rest.partition(" ")
                for _ in range(1 if verb == "repeat-lmtp" and not self.lmtp else int(count)):
                    await self._client(*step.partition(" ")[::2])
            case _:
                raise AssertionError(f"unknown step {verb!r}")

    async def _send(self, octets: bytes) -> None:
        if self.lmtp and octets.upper().startswith(b"EHLO"):
            octets = octets.replace(b"EHLO", b"LHLO")
        self.writer.write(octets)
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(self.writer.drain(), 5)

    async def _hear(self) -> bytes:
        line = await asyncio.wait_for(self.reader.readline(), 5)
        if line:
            check_hygiene(line)
        return line
