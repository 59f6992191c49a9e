"""SIGHUP with other settings of the door: nobody at work is cut off, nobody who comes is turned away."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import smtplib
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.bridge import Bridge, running_bridge
from tests.support.certificates import Certificates
from tests.support.programs import until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("workers")]

MAIL = b"Subject: %s\r\n\r\ntext %s\r\n.\r\n"


async def reload(bridge: Bridge, event: str = "reloaded", **smtp: Any) -> None:
    """Write other settings of the door, send SIGHUP, and wait until the log has *event*."""
    config = yaml.safe_load(bridge.config_file.read_text(encoding="utf-8"))
    config["smtp"] |= smtp
    bridge.config_file.write_text(yaml.safe_dump(config), encoding="utf-8")
    seen = len(bridge.events_called(event))
    assert bridge.process is not None
    bridge.process.send_signal(signal.SIGHUP)
    await until(lambda: len(bridge.events_called(event)) > seen, saying=bridge.what_it_said)


_connections: list[asyncio.StreamWriter] = []


@pytest.fixture(autouse=True)
async def _hang_up() -> AsyncIterator[None]:
    """Close every connection of the test."""
    yield
    while _connections:
        _connections.pop().close()
    await asyncio.sleep(0)


class Client:
    """One connection, a command at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        _connections.append(writer)

    @classmethod
    async def greeted(cls, where: int | Path) -> Client:
        """Connect to a port or a unix socket, and be greeted."""
        if isinstance(where, int):
            self = cls(*await asyncio.open_connection("127.0.0.1", where))
        else:
            self = cls(*await asyncio.open_unix_connection(where))
        assert (await self.hear())[:3] == "220"
        return self

    async def hear(self) -> str:
        """Return an answer, its last line; empty when the connection has ended."""
        async with asyncio.timeout(20):
            while line := await self._reader.readline():
                if line[3:4] != b"-":
                    return line.decode()
        return ""

    def send(self, octets: bytes) -> None:
        """Send something, and hear nothing yet."""
        self._writer.write(octets)

    async def say(self, line: str) -> str:
        """Send a command and return the answer."""
        self.send(line.encode() + b"\r\n")
        return await self.hear()

    async def begin(self, number: int) -> None:
        """Say all that comes before a mail's text."""
        for line in ("EHLO c", "MAIL FROM:<nagios@example.org>", f"RCPT TO:<+7999000{number:04}@sms.local>"):
            assert (await self.say(line))[:1] == "2"
        assert (await self.say("DATA"))[:3] == "354"

    async def size_offered(self) -> str:
        """Return what EHLO says of SIZE."""
        self.send(b"EHLO c\r\n")
        lines = []
        async with asyncio.timeout(20):
            while not lines or lines[-1][3:4] == b"-":
                lines.append(await self._reader.readline())
        return next(line.decode().split()[1] for line in lines if b"SIZE" in line)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def test_sessions_at_work_go_on_as_they_began_and_new_ones_have_the_new_settings(tmp_path: Path) -> None:
    """One idle, one with a recipient, one within its text: each ends its mail, and sends another, by the old size."""
    async with running_bridge(tmp_path) as bridge:
        port = bridge.port
        idle, begun, inside = [await Client.greeted(port) for _ in range(3)]
        await inside.begin(1)
        inside.send(b"Subject: one\r\n")
        for line in ("EHLO c", "MAIL FROM:<nagios@example.org>", "RCPT TO:<+79990000002@sms.local>"):
            assert (await begun.say(line))[:1] == "2"
        await reload(bridge, max_message_size="200KB", max_recipients=1)

        young = await Client.greeted(port)
        assert await young.size_offered() == "200000"
        inside.send(b"\r\ntext\r\n.\r\n")
        assert (await inside.hear())[:3] == "250"
        assert (await begun.say("RCPT TO:<+79990000003@sms.local>"))[:3] == "250"
        assert (await begun.say("DATA"))[:3] == "354"
        begun.send(MAIL % (b"2", b"2"))
        assert (await begun.hear())[:3] == "250"
        assert await idle.size_offered() == "10000000"
        for number, client in enumerate((idle, begun, inside, young), start=10):
            await client.begin(number)
            client.send(MAIL % (b"%d" % number, b"%d" % number))
            assert (await client.hear())[:3] == "250"
            assert (await client.say("QUIT"))[:3] == "221"
            assert await client.hear() == ""
        await bridge.messages(7)


async def test_under_load_no_mail_is_lost_or_refused(tmp_path: Path) -> None:
    """Eight clients send without a pause while the door is changed five times; each mail is taken at its first try."""
    async with running_bridge(tmp_path) as bridge:
        port, sent, stop = bridge.port, [], asyncio.Event()

        def one(number: int) -> None:
            with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
                client.sendmail(
                    "nagios@example.org",
                    [f"+7999{number:07}@sms.local"],
                    f"Message-ID: <{number}@example.org>\r\nSubject: x\r\n\r\ntext {number}\r\n",
                )

        async def work(worker: int) -> None:
            number = worker * 100_000
            while not stop.is_set():
                await asyncio.to_thread(one, number)
                sent.append(number)
                number += 1

        clients = [asyncio.create_task(work(worker)) for worker in range(8)]
        for size in (1, 2, 3, 4, 5):
            before = len(sent)
            await reload(bridge, max_message_size=f"{size}MB")
            # some have come and gone under the new settings
            await until(lambda before=before: len(sent) > before + 16)
        stop.set()
        await asyncio.gather(*clients)
        assert bridge.events_called("rejected") == []
        await until(lambda: len({event["id"] for event in bridge.events_called("queued")}) == len(sent))


async def test_who_is_still_shaking_hands_is_let_in(tmp_path: Path) -> None:
    """Accepted before the change, its TLS begun after it: a mail goes through, by the settings it came for."""
    certificates = Certificates(tmp_path)
    listener = certificates.listener("implicit", address="127.0.0.1:0")

    def send(sock: socket.socket) -> int:
        with (
            certificates.client.wrap_socket(sock, server_hostname="localhost") as inside,
            inside.makefile("rb") as said,
        ):
            said.readline()
            for line in (
                "EHLO c",
                "MAIL FROM:<a@example.org>",
                "RCPT TO:<+79990000001@sms.local>",
                "DATA",
                "\r\nx\r\n.",
            ):
                inside.sendall(f"{line}\r\n".encode())
                while (answer := said.readline())[3:4] == b"-":
                    pass
            return int(answer[:3])

    async with running_bridge(tmp_path, {"smtp": {"listen": [listener]}}) as bridge:
        with socket.create_connection(("127.0.0.1", bridge.port), timeout=20) as sock:
            # once the other is in, this one has been accepted
            with socket.create_connection(("127.0.0.1", bridge.port), timeout=20) as other:
                assert await asyncio.to_thread(send, other) == 250
            await reload(bridge, max_message_size="1MB")
            await asyncio.sleep(1)
            assert await asyncio.to_thread(send, sock) == 250


async def test_a_listener_that_cannot_be_opened_changes_nothing(tmp_path: Path) -> None:
    """The old door serves on, on its port and its unix socket, and takes the right settings afterwards."""
    path = tmp_path / "door"
    listen = [{"address": "127.0.0.1:0"}, {"address": f"unix:{path}"}]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with running_bridge(tmp_path, {"smtp": {"listen": listen}}) as bridge:
            held = await Client.greeted(path)
            wrong = [*listen, {"address": f"127.0.0.1:{taken.getsockname()[1]}"}]
            await reload(bridge, "reload refused", listen=wrong, max_message_size="1MB")
            for where in (bridge.port, path):
                client = await Client.greeted(where)
                assert await client.size_offered() == "10000000"
                client.close()
            await reload(bridge, listen=listen, max_message_size="2MB")
            for where in (bridge.port, path):
                client = await Client.greeted(where)
                assert await client.size_offered() == "2000000"
                client.close()
            assert await held.size_offered() == "10000000"
            held.close()
    assert not path.exists()


async def test_an_address_that_is_taken_away_takes_no_more_and_one_that_comes_does(tmp_path: Path) -> None:
    """The unix socket is gone with its name, its session goes on; the new one is another listener."""
    old, new = tmp_path / "old", tmp_path / "new"
    async with running_bridge(tmp_path, {"smtp": {"listen": [{"address": f"unix:{old}"}]}}) as bridge:
        held = await Client.greeted(old)
        await reload(bridge, listen=[{"address": f"unix:{new}", "protocol": "lmtp"}])
        await until(lambda: not old.exists())
        client = await Client.greeted(new)
        assert (await client.say("EHLO c"))[:3] == "500"
        assert (await client.say("LHLO c"))[:3] == "250"
        assert (await held.say("EHLO c"))[:3] == "250"
        for one in (client, held):
            one.close()


async def test_who_stays_too_long_is_sent_away_between_mails(tmp_path: Path) -> None:
    """Sessions of the old settings have as long as a mail may take; then they hear 421 and come again."""
    short = {"timeout": "5s", "data_timeout": "1s"}
    async with running_bridge(tmp_path, {"smtp": short}) as bridge:
        held = await Client.greeted(bridge.port)
        assert (await held.say("EHLO c"))[:3] == "250"
        await reload(bridge, max_message_size="1MB")
        answers = ["250"]
        async with asyncio.timeout(30):
            while answers[-1][:3] == "250":
                await asyncio.sleep(0.2)
                answers.append(await held.say("NOOP"))
        assert answers[-1][:9] == "421 4.3.2"
        assert len(answers) > 3
        held.close()


async def test_sigterm_does_not_wait_for_the_old_door(tmp_path: Path) -> None:
    """Who is idle behind it hears 421 like everybody, and the program ends in good order."""
    async with running_bridge(tmp_path) as bridge:
        held = await Client.greeted(bridge.port)
        await reload(bridge, max_message_size="1MB")
        young = await Client.greeted(bridge.port)
        began = time.monotonic()
        assert await bridge.stop() == 0
        assert time.monotonic() - began < 15
        for one in (held, young):
            with contextlib.suppress(ConnectionError):
                assert (await one.hear())[:9] in {"421 4.3.2", ""}
            one.close()


async def test_a_worker_more_or_none_at_all_is_no_reason_to_cut_anybody_off(tmp_path: Path) -> None:
    """``smtp.workers`` itself may change; whoever is inside ends their mail in the process they came to."""
    async with running_bridge(tmp_path) as bridge:
        for count in (1, 0):
            inside = await Client.greeted(bridge.port)
            await inside.begin(count)
            # the test's override wins over the file
            await reload(bridge, max_hops=40 + count, workers=count)
            inside.send(MAIL % (b"%d" % count, b"%d" % count))
            assert (await inside.hear())[:3] == "250"
            inside.close()
        await bridge.messages(2)
