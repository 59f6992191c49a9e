"""``legacy: true``: each leniency works there, and nowhere else."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.smtp.content import BareLfReader
from tests.support.door import TestDoor, greet, hear, open_door, say, until

LEGACY: dict[str, Any] = {"legacy": True}


async def reply_to(door: TestDoor, *octets: str) -> list[str]:
    """Send each text as it stands and return the last line of each reply."""
    reader, writer = await door.connect()
    await hear(reader)
    replies = []
    for text in octets:
        writer.write(text.encode("latin-1"))
        replies.append((await hear(reader)).splitlines()[-1])
    writer.close()
    return replies


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        (["HELO Front Desk Printer\r\n"], "501"),
        (["EHLO x\r\n", "MAIL FROM:a@b.c\r\n"], "553"),
        (["EHLO x\r\n", "MAIL FROM: a@b.c SIZE=100\r\n"], "553"),
        (["EHLO x\r\n", "MAIL FROM:<a@b.c>\r\n", "RCPT TO: 79991234567@sms.local\r\n"], "553"),
        (["HELO x\n"], "500"),
    ],
)
async def test_a_leniency_is_legacy_alone(lines: list[str], refused: str) -> None:
    """A legacy listener takes it, any other refuses it."""
    async with open_door(LEGACY) as door:
        assert (await reply_to(door, *lines))[-1].startswith("250")
    async with open_door() as door:
        assert (await reply_to(door, *lines))[-1].startswith(refused)


@pytest.mark.parametrize("argument", ["a b@c.d", "<a@b.c", "a@b.c>", '"a"@b.c"', "", "a@b.c\\"])
async def test_legacy_is_not_careless(argument: str) -> None:
    """Without brackets an address still has a grammar."""
    async with open_door(LEGACY) as door:
        assert (await reply_to(door, "EHLO x\r\n", f"MAIL FROM:{argument}\r\n"))[-1][0] == "5"


async def test_an_underscore_in_a_name_is_no_leniency() -> None:
    """Names of containers and Windows machines have them; Postfix takes them, too."""
    async with open_door() as door:
        assert (await reply_to(door, "HELO front_desk\r\n"))[-1].startswith("250")


@pytest.mark.parametrize("bytewise", [False, True])
async def test_a_mail_of_bare_line_feeds_is_taken_and_mended(bytewise: bool) -> None:
    """A device that knows no CR says everything with LF alone."""
    async with open_door(LEGACY) as door:
        reader, writer = await door.connect()
        await hear(reader)
        mail = "Subject: x\n\n..a\nb\n.\n"
        for text in ("HELO x\n", "MAIL FROM:a@b.c\n", "RCPT TO:79991234567@sms.local\n", "DATA\n", mail, "QUIT\n"):
            pieces = list(text) if bytewise else [text]
            for piece in pieces:
                writer.write(piece.encode())
                await asyncio.sleep(0)
            answer = await hear(reader)
            assert answer[0] in "23", (text, answer)
        assert [mail.content for mail in door.reception.mails] == [b"Subject: x\r\n\r\n.a\r\nb\r\n"]
        writer.close()


@pytest.mark.parametrize(
    ("data", "mail"),
    [
        ("DATA\n", "x\n.\nMAIL FROM:<evil@b.c>\n"),
        ("DATA\n", "x\r\n.\n"),
        ("DATA\n", "x\n.\nMAIL FROM:<evil@b.c>\r\n.\r\n"),
        ("DATA\n", "x\r\ny\n.\n"),
        ("DATA\r\n", "x\n.\nMAIL FROM:<evil@b.c>\r\n.\r\n"),
        ("DATA\r\n", "x\r\n.\nMAIL FROM:<evil@b.c>\r\n.\r\n"),
    ],
)
async def test_a_second_mail_cannot_hide_behind_bare_line_feeds(data: str, mail: str) -> None:
    """What follows an LF end at once, or mixes line ends, is refused and ends the session."""
    async with open_door(LEGACY) as door:
        envelope = ("EHLO x\r\n", "MAIL FROM:<a@b.c>\r\n", "RCPT TO:<79991234567@sms.local>\r\n", data)
        replies = await reply_to(door, *envelope, mail)
        assert replies[-1].startswith("550 5.5.2")
        await until(lambda: door.door.sessions_count == 0)
        assert door.reception.mails == []


@given(body=st.text("a.\n\r", max_size=30), cuts=st.lists(st.integers(1, 5), max_size=30))
def test_an_end_of_bare_line_feeds_is_one_only_without_any_cr(body: str, cuts: list[int]) -> None:
    """However it is cut: a mail taken over LF holds no CR of its own, and no LF.LF before its end."""
    octets, reader, consumed = body.encode() + b"\n.\n", BareLfReader(1000), b""
    for cut in [*cuts, len(octets)]:
        chunk = octets[len(consumed) : len(consumed) + cut]
        consumed += chunk
        if reader.feed(chunk):
            break
    if b"\r\n.\r\n" not in b"\r\n" + consumed and reader.settle_line_ends():
        assert b"\r" not in consumed
        assert (b"\n" + consumed).index(b"\n.\n") == len(consumed) - 2


async def test_old_clients_find_auth_where_they_look() -> None:
    """``AUTH=LOGIN`` stands beside ``AUTH LOGIN``, and both forms of LOGIN work."""
    async with open_door({**LEGACY, "any_login": True}) as door:
        reader, writer = await door.connect()
        await hear(reader)
        offers = await greet(reader, writer)
        assert "250-AUTH PLAIN LOGIN\r\n250-AUTH=PLAIN LOGIN\r\n" in offers
        word = b64encode(b"who").decode()
        assert (await say(reader, writer, f"AUTH LOGIN {word}", word)).startswith("235")
        assert (await say(reader, writer, "MAIL FROM:<a@b.c>", "RCPT TO:<79991234567@sms.local>", "DATA"))[:3] == "354"
        await say(reader, writer, "Subject: x\r\n\r\ny\r\n.")
        assert door.reception.mails[0].client.user is None
        writer.close()
