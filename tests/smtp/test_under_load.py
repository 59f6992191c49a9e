"""Many clients at once: stopping among them, and clients that vanish at the dot."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections import Counter

from tests.support.door import TestDoor, hear, open_door, until

SESSION = (
    "EHLO c\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<79991234567@sms.local>\r\n"
    "DATA\r\nSubject: {name}\r\n\r\nx\r\n.\r\n"
)  # fmt: skip


async def deliver_until_sent_away(door: TestDoor, name: str) -> tuple[list[str], str]:
    """Send mails over one connection until the server ends it; return the ids acknowledged and the last words."""
    acknowledged: list[str] = []
    last = ""
    reader, writer = await door.connect()
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(SESSION.format(name=name).encode())
            while line := await hear(reader):
                last = line
                if line.startswith("250 2.0.0 Ok: queued as "):
                    acknowledged.append(line.rpartition(" ")[2])
                    break
                if line.startswith("421"):
                    break
            if not line or line.startswith("421"):
                break
    writer.close()
    return acknowledged, last


async def test_stopping_under_load_loses_nothing() -> None:
    """Every mail acknowledged was taken, every client hears 421 at the end, and nobody is left."""
    async with open_door() as door:
        clients = [asyncio.create_task(deliver_until_sent_away(door, f"c{number}")) for number in range(30)]
        await until(lambda: len(door.reception.mails) >= 100)
        await door.door.stop(5)
        assert door.door.sessions_count == 0
        results = await asyncio.gather(*clients)
        taken = Counter(mail.id for mail in door.reception.mails)
        assert all(taken[mail_id] == 1 for acknowledged, _ in results for mail_id in acknowledged)
        assert {last[:9] for _, last in results} == {"421 4.3.2"}


async def test_clients_that_vanish_at_the_dot() -> None:
    """However a client goes at the end of its mail, the mail is taken whole or not at all, and never halfway."""
    chance = random.Random(7)
    async with open_door() as door:
        whole = 0

        async def vanish(number: int) -> None:
            nonlocal whole
            reader, writer = await door.connect()
            text = SESSION.format(name=number).encode()
            cut = chance.choice([0, 1, 2, 5])
            whole += cut == 0
            writer.write(text[: len(text) - cut])
            # half-closed, or gone once what was sent has been read: a reset would throw unread octets away
            if chance.random() < 0.5:
                writer.write_eof()
                while await hear_quietly(reader):
                    pass
            else:
                await asyncio.sleep(chance.random() * 0.02)
            sock: socket.socket = writer.get_extra_info("socket")
            if cut and chance.random() < 0.5:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            writer.close()

        async def hear_quietly(reader: asyncio.StreamReader) -> bytes:
            try:
                return await asyncio.wait_for(reader.read(1000), 5)
            except ConnectionError:
                return b""

        await asyncio.gather(*(vanish(number) for number in range(100)))
        await until(lambda: door.door.sessions_count == 0)
        assert len(door.reception.mails) <= whole
        assert door.reception.started == len(door.reception.mails)
        assert door.reception.cancelled == 0
        assert all(mail.content.endswith(b"\r\n\r\nx\r\n") for mail in door.reception.mails)
