"""Runs an SMTP dialog kept as a file, one step a line.

    # what the dialog shows            the first line
    only KIND,KIND                     on those kinds of listener alone; ``smtp`` is all but ``lmtp``, and
                                       ``starttls`` alone begins before TLS, else it is begun beforehand
    not KIND,KIND                      on those kinds it is another story, told in a file of its own
    whole                              the cuts are the dialog's own: not also octet by octet and in one packet
    set KEY VALUE                      a key of the smtp: section
    begin greeted | mail | rcpt | data  the usual beginning, up to there
    c -> TEXT                          send a line
    c ~> EXPRESSION                    send the octets of a Python string expression, in one packet
    c bytewise EXPRESSION              send them octet by octet
    c shutdown                         close the sending side, which TLS does not know
    c starttls                         shake hands, as the client
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
#: a longer step is sent whole: it is about its length
_BYTEWISE_MAX = 2000
_EHLO_LINE = re.compile(
    rb"250[ -](sms\.example\.org|PIPELINING|SIZE \d+|8BITMIME|STARTTLS|AUTH[ =]PLAIN LOGIN|DSN)\r\n"
)
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
        self._only = self._words("only")
        self._not = self._words("not")
        #: the dialog itself has the STARTTLS command
        self.begins_tls = self._only == {"starttls"}
        self.is_whole = "whole" in self.lines
        self._knows_no_tls = "c shutdown" in self.lines
        self.settings: dict[str, Any] = {"max_message_size": 20_000}
        for line in self.lines:
            if line.startswith("set "):
                _, key, value = line.split()
                self.settings[key] = int(value)

    def _words(self, keyword: str) -> set[str]:
        return {w for line in self.lines if line.startswith(f"{keyword} ") for w in line.split()[1].split(",")}

    def runs_on(self, kind: str) -> bool:
        """Tell whether the dialog is meant for that kind of listener."""
        if kind in self._not or (self._knows_no_tls and kind in {"starttls", "implicit"}):
            return False
        return not self._only or kind in self._only or ("smtp" in self._only and kind != "lmtp")

    async def run(self, door: TestDoor, *, lmtp: bool, cut: str = "") -> None:
        """Play the client; *cut* is ``bytewise`` or ``one packet`` where the dialog is not sent as written."""
        reader, writer = await door.connect()
        try:
            run = _Run(door, reader, writer, lmtp=lmtp, is_bytewise=cut == "bytewise")
            await run.run(self.lines, at_once=cut == "one packet")
        finally:
            writer.close()


class _Run:
    def __init__(
        self,
        door: TestDoor,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        lmtp: bool,
        is_bytewise: bool = False,
    ) -> None:
        self.door, self.reader, self.writer, self.lmtp = door, reader, writer, lmtp
        self._is_bytewise = is_bytewise
        #: what is sent goes here; None: to the door
        self._packet: bytearray | None = None
        self._is_sent = False

    async def run(self, lines: list[str], *, at_once: bool) -> None:
        steps = [line for line in lines if line.partition(" ")[0] not in {"#", "only", "not", "set", "whole"}]
        if at_once:
            greeting = await self._hear()
            self._packet = bytearray()
            for line in steps:
                if line.startswith(("begin ", "c ")):
                    await self._step(*line.partition(" ")[::2])
            self.writer.write(bytes(self._packet))
            self._packet, self._is_sent = None, True
            self.reader._buffer[:0] = greeting  # type: ignore[attr-defined]  # the dialog hears it, too
        for line in steps:
            word, _, rest = line.partition(" ")
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
        if self._packet is not None and (verb.startswith("<") or verb == "shutdown"):
            return
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
            case "starttls":
                await self.door.shake_hands(self.writer)
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
        if self._packet is not None:
            self._packet += octets
        if self._packet is not None or self._is_sent:
            return
        if self._is_bytewise and len(octets) <= _BYTEWISE_MAX:
            for octet in octets[:-1]:
                self.writer.write(bytes([octet]))
                await asyncio.sleep(0)
            octets = octets[-1:]
        self.writer.write(octets)
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(self.writer.drain(), 5)

    async def _hear(self) -> bytes:
        line = await asyncio.wait_for(self.reader.readline(), 5)
        if line:
            check_hygiene(line)
        return line
