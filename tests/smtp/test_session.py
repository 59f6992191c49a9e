"""Sessions that end badly: clients that go, stall or never read, receptions that fail, doors that close."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from mailbridge.errors import Rejected, StoreDamaged, StoreError, StoreFull, TryLater
from mailbridge.model import reply
from mailbridge.model.mail import ReceivedMail
from mailbridge.model.reply import Reply
from mailbridge.smtp.site import Limits
from tests.support.door import TestDoor, connect, hear, open_door, say, unix_listener, until

MAIL = "Subject: x\r\n\r\ny\r\n."
ENVELOPE = ("EHLO client", "MAIL FROM:<a@example.org>", "RCPT TO:<79991234567@sms.local>", "DATA")


async def begin_mail(door: TestDoor) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect and go as far as 354."""
    reader, writer = await door.connect()
    await hear(reader)
    assert (await say(reader, writer, *ENVELOPE)).startswith("354")
    return reader, writer


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with an RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


@pytest.mark.parametrize("how", ["reset", "close", "half-close", "quit pipelined"])
async def test_a_client_that_drops_at_the_dot_does_not_cancel_the_reception(how: str) -> None:
    """Once the end of the mail has come, it is taken whatever the client does."""
    async with open_door() as door:
        door.reception.gate.clear()
        reader, writer = await begin_mail(door)
        writer.write(MAIL.encode() + b"\r\n" + (b"QUIT\r\n" if how == "quit pipelined" else b""))
        await until(lambda: door.reception.started == 1)
        if how == "reset":
            reset(writer)
        elif how == "half-close":
            writer.write_eof()
        else:
            writer.close()
        if how == "reset":
            await until(lambda: door.door.sessions_count == 0)
        door.reception.gate.set()
        await until(lambda: len(door.reception.mails) == 1)
        if how == "half-close":
            assert (await hear(reader)).startswith("250 2.0.0 Ok: queued as")
        assert door.reception.cancelled == 0
        writer.close()


async def test_a_reset_before_the_dot_stores_nothing() -> None:
    """A connection reset after CR LF dot leaves no mail."""
    async with open_door() as door:
        _, writer = await begin_mail(door)
        writer.write(b"Subject: x\r\n\r\n.")
        await writer.drain()
        reset(writer)
        await until(lambda: door.door.sessions_count == 0)
        assert door.reception.started == 0


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (StoreFull(), "452 4.3.1"),
        (StoreDamaged("secret path /var/lib"), "451 4.3.0"),
        (OSError(5, "Input/output error: secret"), "451 4.3.0"),
        (ValueError("secret"), "451 4.3.0"),
        (Rejected(reply.UNUSABLE_MAIL), "554 5.6.0"),
        (TryLater(reply.OVER_LIMIT), "450 4.7.1"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
async def test_a_failing_reception_gets_fixed_words(failure: Exception, expected: str) -> None:
    """What goes wrong behind the door is our trouble, never the mail's, and its text stays inside."""
    async with open_door() as door:
        door.reception.answer = failure
        reader, writer = await begin_mail(door)
        answer = await say(reader, writer, MAIL)
        assert answer.startswith(expected)
        assert "secret" not in answer
        assert (await say(reader, writer, "NOOP")).startswith("250")
        writer.close()


async def test_a_mail_refused_for_what_it_says_is_in_the_log() -> None:
    """Like every other refusal: the reply, the client, and the id the mail would have had."""
    async with open_door() as door:
        door.reception.answer = Rejected(reply.UNUSABLE_MAIL)
        reader, writer = await begin_mail(door)
        await say(reader, writer, MAIL)
        (fields,) = door.log.named("rejected")
        assert fields.pop("id")
        assert fields == {"stage": "data", "reply": str(reply.UNUSABLE_MAIL), "client": "127.0.0.1"}
        writer.close()


async def test_a_queue_in_trouble_is_no_bug_of_the_door() -> None:
    """The log says in the queue's own words what is wrong with it, and which mail was put off for it."""
    async with open_door() as door:
        door.reception.answer = StoreError("the queue is locked by another process")
        _, writer = await begin_mail(door)
        writer.write(MAIL.encode() + b"\r\n")
        await until(lambda: door.log.named("store trouble"))
        (fields,) = door.log.named("store trouble")
        assert fields["because"] == "the queue is locked by another process"
        assert fields["id"]
        assert not door.log.named("reception_failed")
        writer.close()


async def test_lmtp_repeats_a_failure_for_each_recipient() -> None:
    """A reception that fails is told to each LMTP recipient."""
    async with open_door({"protocol": "lmtp"}) as door:
        door.reception.answer = StoreFull()
        reader, writer = await door.connect()
        await hear(reader)
        rcpt = "RCPT TO:<79991234567@sms.local>"
        await say(reader, writer, "LHLO x", "MAIL FROM:<>", rcpt, rcpt, "DATA")
        assert [await say(reader, writer, MAIL), await hear(reader)] == [str(reply.QUEUE_FULL)] * 2
        writer.close()


async def test_a_doorman_that_fails_is_local_trouble() -> None:
    """An exception nobody foresaw is answered 451 and the session goes on."""

    class Broken:
        def sender(self, address: str, client: object) -> str:
            raise RuntimeError("secret")

        recipient = sender

    async with open_door(doorman=Broken()) as door:
        reader, writer = await door.connect()
        await hear(reader)
        assert await say(reader, writer, "EHLO x", "MAIL FROM:<a@b.c>") == str(reply.LOCAL_ERROR)
        assert (await say(reader, writer, "NOOP")).startswith("250")
        assert door.log.named("session_failed")
        writer.close()


async def test_an_idle_client_is_told_so_and_closed() -> None:
    """Silence is answered 421 4.4.2."""
    async with open_door(timeout=0.1) as door:
        reader, writer = await door.connect()
        await hear(reader)
        assert await hear(reader) == str(reply.TIMED_OUT)
        assert await reader.read() == b""
        writer.close()


async def test_a_stalled_mail_is_closed() -> None:
    """Silence inside DATA is answered 421 4.4.2 and nothing is stored."""
    async with open_door(timeout=0.1) as door:
        reader, writer = await begin_mail(door)
        writer.write(b"Subject: x\r\n")
        assert await hear(reader) == str(reply.TIMED_OUT)
        assert door.reception.started == 0
        writer.close()


async def test_a_dripping_mail_is_cut_at_its_deadline() -> None:
    """Octets that trickle in keep the idle timer quiet, but not the deadline of the whole mail."""
    async with open_door(timeout=5, data_timeout=0.2) as door:
        reader, writer = await begin_mail(door)

        async def drip() -> None:
            while not writer.is_closing():
                writer.write(b"a")
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        assert await hear(reader) == str(reply.TIMED_OUT)
        writer.close()
        await dripping
        await until(lambda: door.door.sessions_count == 0)


async def test_a_slow_reception_is_waited_for() -> None:
    """The idle timer does not cut a client that waits for us."""
    async with open_door(timeout=0.1) as door:
        door.reception.gate.clear()
        reader, writer = await begin_mail(door)
        asyncio.get_running_loop().call_later(0.3, door.reception.gate.set)
        assert (await say(reader, writer, MAIL)).startswith("250 2.0.0 Ok: queued as")
        writer.close()


async def test_a_client_that_never_reads_is_cut_off(tmp_path: Path) -> None:
    """Replies nobody reads fill the buffers; the connection is aborted, not closed politely for ever."""
    async with open_door(unix_listener(tmp_path), timeout=0.2) as door:
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, door.address.removeprefix("unix:"))
        flood = (
            b"EHLO x\r\nMAIL FROM:<a@b.c>\r\n" + b"RCPT TO:<79991234567@sms.local>\r\n" * 100 + b"DATA\r\nx\r\n.\r\n"
        )

        async def push() -> None:
            while True:
                await loop.sock_sendall(sock, flood)

        pushing = asyncio.create_task(push())
        await until(lambda: door.door.sessions_count == 1)
        await until(lambda: door.door.sessions_count == 0)
        pushing.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await pushing
        sock.close()


async def test_clients_of_other_networks_are_refused_at_once() -> None:
    """A client outside ``allow`` is refused in the greeting, closed and logged."""
    async with open_door({"allow": ["192.0.2.0/24"]}) as door:
        reader, writer = await door.connect()
        assert await hear(reader) == str(reply.CLIENT_NOT_ALLOWED)
        assert await reader.read() == b""
        assert door.log.named("rejected")[0]["client"] == "127.0.0.1"
        writer.close()


async def test_connections_over_the_limit_are_put_off() -> None:
    """One more than ``max_connections`` is told to come later, and the others are unharmed."""
    async with open_door(max_connections=2) as door:
        kept = [await door.connect() for _ in range(2)]
        for reader, _ in kept:
            await hear(reader)
        reader, writer = await door.connect()
        assert await hear(reader) == str(reply.TOO_MANY_CONNECTIONS)
        assert await reader.read() == b""
        writer.close()
        for reader, writer in kept:
            assert (await say(reader, writer, "EHLO x")).startswith("250")
            writer.close()


@pytest.mark.slow
async def test_at_a_full_door_who_has_long_been_idle_makes_room() -> None:
    """The longest idle goes first, slowloris within a command is idle, and who is within a mail stays."""
    async with open_door(max_connections=3, limits=Limits(crowded_idle_s=3, linger_s=0.5)) as door:
        at_work, at_work_writer = await begin_mail(door)
        idle, idle_writer = await door.connect()
        await hear(idle)
        slow, slow_writer = await door.connect()
        await hear(slow)
        stranger, stranger_writer = await door.connect()
        assert await hear(stranger) == str(reply.TOO_MANY_CONNECTIONS)
        # an octet now and then does not make it less idle
        for _ in range(16):
            slow_writer.write(b"E")
            await asyncio.sleep(0.2)
        newcomers = []
        for one in (idle, slow):
            reader, writer = await door.connect()
            assert (await hear(reader)).startswith("220")
            newcomers.append(writer)
            assert await hear(one) == str(reply.TIMED_OUT)
        assert (await say(at_work, at_work_writer, MAIL)).startswith("250")
        for writer in (at_work_writer, idle_writer, slow_writer, stranger_writer, *newcomers):
            writer.close()


@pytest.mark.parametrize(("last", "answer"), [("QUIT", reply.BYE), ("RSET", reply.SHUTTING_DOWN)])
async def test_a_mail_answered_while_the_door_closes_is_followed_by_the_answer_to_quit(last, answer) -> None:
    """No unasked 421 comes between: a client would take it for the answer to its QUIT, and its mail for refused."""
    async with open_door() as door:
        reader, writer = await begin_mail(door)
        stopping = asyncio.create_task(door.door.stop(5))
        await asyncio.sleep(0)
        assert (await say(reader, writer, MAIL)).startswith("250")
        assert await say(reader, writer, last) == str(answer)
        await stopping
        writer.close()


async def test_stop_sends_idle_clients_away_and_finishes_mails() -> None:
    """At the end the idle hear 421 4.3.2, and a mail that is coming in is answered first."""
    async with open_door() as door:
        idle_reader, idle_writer = await door.connect()
        await hear(idle_reader)
        reader, writer = await begin_mail(door)
        address = door.address
        stopping = asyncio.create_task(door.door.stop(5))
        assert await hear(idle_reader) == str(reply.SHUTTING_DOWN)
        with pytest.raises(OSError):
            await connect(address)
        assert (await say(reader, writer, MAIL)).startswith("250")
        assert await hear(reader) == str(reply.SHUTTING_DOWN)
        await stopping
        assert door.door.sessions_count == 0
        assert len(door.reception.mails) == 1
        idle_writer.close()
        writer.close()


async def test_stop_waits_no_longer_than_it_may() -> None:
    """A mail that does not end is given up with 421 at the limit."""
    async with open_door() as door:
        reader, writer = await begin_mail(door)
        await door.door.stop(0.05)
        assert await hear(reader) == str(reply.SHUTTING_DOWN)
        assert door.door.sessions_count == 0
        assert door.reception.started == 0
        await door.door.stop(0.05)
        writer.close()


async def test_stop_never_cancels_a_reception() -> None:
    """A mail being taken when the limit is reached is left to end by itself."""
    async with open_door() as door:
        door.reception.gate.clear()
        _, writer = await begin_mail(door)
        writer.write(MAIL.encode() + b"\r\n")
        await until(lambda: door.reception.started == 1)
        await door.door.stop(0.05)
        assert door.reception.cancelled == 0
        door.reception.gate.set()
        await until(lambda: len(door.reception.mails) == 1)
        writer.close()


async def test_a_door_opens_whole_or_not_at_all() -> None:
    """An address that cannot be bound closes the listeners that were opened before it."""
    async with open_door() as taken:
        with pytest.raises(OSError):
            async with open_door({}, {"address": taken.address}):
                pass


async def test_a_unix_socket_is_for_its_group(tmp_path: Path) -> None:
    """The socket has mode 0660, takes the place of a dead one, refuses that of a live one, and goes with the door."""
    path = tmp_path / "smtp.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    async with open_door(unix_listener(tmp_path)) as door:
        assert path.stat().st_mode & 0o777 == 0o660
        with pytest.raises(OSError, match="another process"):
            async with open_door(unix_listener(tmp_path)):
                pass
        reader, writer = await door.connect()
        await hear(reader)
        await say(reader, writer, *ENVELOPE, MAIL)
        assert door.reception.mails[0].client.address == "unix"
        writer.close()
    assert not path.exists()


async def test_ipv6() -> None:
    """The door listens on IPv6 and names its address in brackets."""
    async with open_door({"address": "[::1]:0"}) as door:
        assert door.address.startswith("[::1]:")
        reader, writer = await door.connect()
        assert (await hear(reader)).startswith("220 sms.example.org ESMTP")
        writer.close()


async def test_smtplib_delivers() -> None:
    """The standard library's client gets its mail in, and what the mail says of its client is right."""
    async with open_door() as door:

        def send() -> dict[str, tuple[int, bytes]]:
            with smtplib.SMTP("127.0.0.1", door.port, local_hostname="me.example") as client:
                return client.sendmail(
                    "a@example.org", ["79991234567@sms.local", "root@sms.local"], "Subject: x\n\n.y\n"
                )

        refused = await asyncio.to_thread(send)
        mail = door.reception.mails[0]
        assert refused.keys() == {"root@sms.local"}
        assert mail.content == b"Subject: x\r\n\r\n.y\r\n"
        assert (mail.client.helo, mail.client.address, mail.client.listener) == (
            "me.example",
            "127.0.0.1",
            "127.0.0.1:0",
        )
        assert mail.recipients[0].phone == "+79991234567"


async def test_refusals_are_logged() -> None:
    """A refused recipient is logged with its stage and reply, in the field whose phones the log masks.

    The id is the one its mail has when it is taken for others.
    """
    async with open_door() as door:
        reader, writer = await door.connect()
        await hear(reader)
        await say(reader, writer, "EHLO x", "MAIL FROM:<>", "RCPT TO:<79991234567@example.org>")
        (event,) = door.log.named("rejected")
        assert event["stage"] == "rcpt"
        assert event["reply"].startswith("550 5.7.1")
        assert event["recipient"] == "<79991234567@example.org>"
        await say(reader, writer, "RCPT TO:<79991234567@sms.local>", "DATA")
        taken = await say(reader, writer, "x\r\n.")
        assert event["id"] in taken
        writer.close()


async def test_parameters_of_a_refused_sender_are_not_logged() -> None:
    """The address is what an operator looks for; what stands after it may be anything, a password even."""
    async with open_door() as door:
        reader, writer = await door.connect()
        await hear(reader)
        await say(reader, writer, "EHLO x", "MAIL FROM:<a@b.c> AUTH=me:s3cret SIZE=many")
        (event,) = door.log.named("rejected")
        assert event["sender"] == "<a@b.c>"
        writer.close()


async def test_memory_for_mails_is_bounded() -> None:
    """Mails that together need too much memory are put off with 452, not refused."""
    async with open_door(limits=Limits(buffered_bytes=5000, linger_s=0.3)) as door:
        reader, writer = await begin_mail(door)
        writer.write(b"a" * 6000)
        await until(lambda: door.door.buffered_bytes > 5000)
        assert await say(reader, writer, "\r\n.") == str(reply.QUEUE_FULL)
        assert (await say(reader, writer, *ENVELOPE[1:])).startswith("354")
        assert (await say(reader, writer, MAIL)).startswith("250")
        writer.close()


async def test_a_mail_counts_until_it_is_answered() -> None:
    """While a verdict is waited for its text is in memory: others are put off then, and taken afterwards."""
    async with open_door(limits=Limits(buffered_bytes=5000, linger_s=0.3)) as door:
        take, verdict = door.reception.receive, asyncio.Event()

        async def receive(mail: ReceivedMail, *, each: bool) -> Sequence[Reply]:
            await verdict.wait()
            return await take(mail, each=each)

        door.reception.receive = receive  # type: ignore[method-assign]
        reader, writer = await begin_mail(door)
        writer.write(b"a" * 4000 + b"\r\n.\r\n")
        await until(lambda: 4000 <= door.door.buffered_bytes < 4100)
        other_reader, other_writer = await begin_mail(door)
        other_writer.write(b"b" * 2000)
        await until(lambda: door.door.buffered_bytes > 5000)
        assert await say(other_reader, other_writer, "\r\n.") == str(reply.QUEUE_FULL)
        verdict.set()
        assert (await hear(reader)).startswith("250")
        assert door.door.buffered_bytes == 0
        for one in (writer, other_writer):
            one.close()


async def test_clients_turned_away_take_no_place() -> None:
    """Clients refused for their network do not use up the connections of the others."""
    async with open_door({"allow": ["192.0.2.0/24"]}, {}, max_connections=1) as door:
        refused, friendly = door.door.addresses
        _, refused_writer = await connect(refused)
        await until(lambda: door.door.sessions_count == 1)
        reader, writer = await connect(friendly)
        assert (await hear(reader)).startswith("220")
        refused_writer.close()
        writer.close()


async def test_a_verdict_does_not_wait_for_what_was_pipelined_behind_it() -> None:
    """The answer to a first mail is sent before a second one, pipelined, has been taken."""
    async with open_door() as door:
        reader, writer = await begin_mail(door)
        answer_second = "MAIL FROM:<>\r\nRCPT TO:<79991234567@sms.local>\r\nDATA\r\ntwo\r\n.\r\n"
        take = door.reception.receive

        async def take_one_only(mail: object, *, each: bool) -> object:
            if door.reception.mails:
                door.reception.gate.clear()
            return await take(mail, each=each)  # type: ignore[arg-type]

        door.reception.receive = take_one_only  # type: ignore[method-assign, assignment]
        writer.write(f"{MAIL}\r\n{answer_second}".encode())
        assert (await hear(reader)).startswith("250 2.0.0 Ok: queued as")
        assert [(await hear(reader))[:3] for _ in range(3)] == ["250", "250", "354"]
        await until(lambda: door.reception.started == 2)
        door.reception.gate.set()
        assert (await hear(reader)).startswith("250 2.0.0 Ok: queued as")
        writer.close()
