"""How a mail that its client sends again is known for the same one."""

from __future__ import annotations

import time

import pytest

from mailbridge.reception import without_trace
from tests.support.house import House, running_house

PHONE = "+79990000001"


def dated(minute: int, *more: str) -> str:
    """Return headers of a mail without a Message-ID, as Zabbix writes them."""
    lines = ("To: <79990000001@sms.local>", f"Date: Mon, 05 Jan 2026 09:{minute:02}:00 +0300", *more)
    return "".join(f"{line}\r\n" for line in lines)


async def mails(house: House, *headers: str, apart_s: float = 30, text: str = "db1 is down") -> list[str]:
    """Send a mail with each of *headers* and return the words of the replies."""
    words = []
    for head in headers:
        words.append((await house.mail(PHONE, text=text, headers=head))[1])
        await house.pass_s(apart_s)
    return words


@pytest.mark.slow
async def test_a_try_with_a_new_date_is_the_same_mail():
    """Zabbix, whose first try got no answer, sends no second SMS."""
    async with running_house() as house:
        first, second = await mails(house, dated(1), dated(2))

        assert "duplicate of" not in first
        assert second.startswith(f"2.0.0 Ok: duplicate of {first.split('queued as ')[1][:10]}")
        assert len(house.requests()) == 1


@pytest.mark.slow
async def test_a_relay_between_may_sign_each_try():
    """Received lines, folded as they are, tell about the way, not about the mail."""
    received = ("Received: from a (a [10.0.0.1])\r\n\tby b; Mon, 05 Jan 2026 09:0{}:00 +0300", "RECEIVED: by c; {}")
    async with running_house() as house:
        words = await mails(house, *(dated(n, *(line.format(n) for line in received)) for n in (1, 2)))

        assert "duplicate of" in words[1]


@pytest.mark.slow
@pytest.mark.parametrize("change", ["later", "text", "header"])
async def test_anything_else_is_another_mail(change):
    """More than a minute later, with another word, or with another header."""
    async with running_house() as house:
        if change == "text":
            words = await mails(house, dated(1)) + await mails(house, dated(2), text="db1 is up")
        else:
            more = ("X-Event: 2",) if change == "header" else ()
            words = await mails(house, dated(1), dated(2, *more), apart_s=61 if change == "later" else 10)

        assert all("duplicate" not in line for line in words)
        assert len(house.requests()) == 2


@pytest.mark.parametrize(("content", "left"), [
    (b"Date: 1\r\nSubject: s\r\n\r\nDate: 2\r\n", b"Subject: s\r\n\r\nDate: 2\r\n"),
    (b"Subject: s\r\nDATE : 1\r\n more\r\n\tand more\r\n\r\nx", b"Subject: s\r\n\r\nx"),
    (b"X-Date: 1\r\nResent-Date: 2\r\nDated: 3\r\n\r\n", b"X-Date: 1\r\nResent-Date: 2\r\nDated: 3\r\n\r\n"),
    (b"Subject: a\r\n Date: b\r\n\r\n", b"Subject: a\r\n Date: b\r\n\r\n"),
    (b"Received: a\r\nReceived: b", b""), (b"Date:", b""), (b"", b""), (b"\r\n\r\nDate: 1", b"\r\n\r\nDate: 1"),
])  # fmt: skip
def test_what_is_left_of_a_mail(content, left):
    """Fields go with their folded lines; other fields and the body stay."""
    assert without_trace(content) == left


def test_a_hostile_header_takes_no_time():
    """Ten megabytes of a folded Date, or of many of them."""
    for content in (b"Date: x\r\n" + b" y\r\n" * 2_500_000, b"Date:\r\n" * 1_000_000, b"date" * 2_500_000):
        began = time.perf_counter()
        without_trace(content)
        assert time.perf_counter() - began < 5
