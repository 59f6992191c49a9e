"""A crowd that holds connections and wants nothing: idle ones, and slow ones that send an octet now and then.

    python -m bench.crowd PORT IDLE SLOW

Prints a line when all are in. Prints how many are still in, one number a line, for each line it reads, and ends when
there is none. The slow ones are slowloris: half of them are within a command, half within a mail that never ends.
"""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import suppress

import uvloop

_PAUSE_S = 1.0
#: of all that come at the same time
_AT_ONCE = 100
_ENVELOPE = (b"MAIL FROM:<slow@example.org>\r\n", b"RCPT TO:<79990000001@sms.local>\r\n", b"DATA\r\n")


async def _greet(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    await _answer(reader, b"220")
    writer.write(b"EHLO crowd.example.org\r\n")
    await _answer(reader, b"250")
    return reader, writer


async def _answer(reader: asyncio.StreamReader, wanted: bytes) -> None:
    while True:
        line = await reader.readline()
        if line[:3] != wanted:
            raise RuntimeError(f"refused: {line!r}")
        if line[3:4] != b"-":
            return


async def _stay(reader: asyncio.StreamReader) -> None:
    """Return when the server has had enough."""
    with suppress(ConnectionError):
        while await reader.read(4096):
            pass


async def _drip(writer: asyncio.StreamWriter, chance: random.Random) -> None:
    """Send one octet of what never ends each second."""
    while not writer.is_closing():
        writer.write(b"x")
        await asyncio.sleep(_PAUSE_S * chance.uniform(0.5, 1.5))


async def _crowd(port: int, idle: int, slow: int) -> None:
    chance = random.Random(1)
    held: list[asyncio.Task[None]] = []
    drips: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []
    door = asyncio.Semaphore(_AT_ONCE)

    async def enter(number: int) -> None:
        async with door:
            reader, writer = await _greet(port)
            if number < slow and number % 2:
                for command, code in zip(_ENVELOPE, (b"250", b"250", b"354"), strict=True):
                    writer.write(command)
                    await _answer(reader, code)
        held.append(asyncio.create_task(_stay(reader)))
        writers.append(writer)
        if number < slow:
            drips.append(asyncio.create_task(_drip(writer, chance)))

    await asyncio.gather(*(enter(number) for number in range(idle + slow)))
    print("in", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(sum(not one.done() for one in held), flush=True)
    for one in drips + held:
        one.cancel()
    for writer in writers:
        writer.close()


if __name__ == "__main__":
    uvloop.run(_crowd(*(int(word) for word in sys.argv[1:])))
