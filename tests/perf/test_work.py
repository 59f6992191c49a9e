"""What a mail costs, counted in work and not in time: a machine may be slow, the numbers stay the same."""

import asyncio

import pytest
import structlog

from mailbridge.intake import parse
from mailbridge.model.state import State
from mailbridge.queue.sqlite import SqliteStore
from tests.support.house import running_house

MAILS = 40
#: the header fields of a test mail
FIELDS = 5


@pytest.fixture
def store(tmp_path):
    """A queue in a file, as the daemon has it; the house opens it."""
    return SqliteStore(tmp_path / "queue.db", exclusive=True)


@pytest.fixture
async def house(store):
    """A running bridge on that queue, which answers without waiting for the gateway."""
    async with running_house(store=store) as house:
        yield house


async def send(house, number):
    """Send one mail over a connection of its own and return the reply to DATA."""
    host, _, port = house.bridge.door.addresses[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    content = (
        f"From: nagios@example.org\r\nTo: 7999{number:07}@sms.local\r\nSubject: PROBLEM {number}\r\n"
        f"Message-ID: <{number}@example.org>\r\nContent-Type: text/plain\r\n\r\ndb1 is DOWN\r\n.\r\n"
    )
    reply = await reader.readline()
    for step in (
        "HELO c\r\n", "MAIL FROM:<nagios@example.org>\r\n", f"RCPT TO:<7999{number:07}@sms.local>\r\n", "DATA\r\n",
        content, "QUIT\r\n",
    ):  # fmt: skip
        writer.write(step.encode())
        answer = await reader.readline()
        reply = answer if step is content else reply
    writer.close()
    await writer.wait_closed()
    return reply


async def all_sent(store, count):
    """Wait until *count* messages are sent."""
    for _ in range(2000):
        if (await store.count_states()).get(State.SENT, 0) == count:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(await store.count_states())


async def test_a_lone_mail_is_a_few_transactions_and_one_request(house, store):
    """Kept, claimed, settled: three that write; the others are looks for more that find nothing."""
    await house.quiet()
    commits, statements = store.commits, store.statements
    assert (await send(house, 1)).startswith(b"250")
    await all_sent(store, 1)
    # a transaction that wrote nothing counts too, but costs no fsync
    assert store.commits - commits <= 6
    # the statements of waiting here (count_states) are among them
    assert store.statements - statements <= 60
    assert len(house.requests()) == 1


async def test_mails_at_once_share_commits_and_requests(house, store):
    """Forty mails at once cost far fewer than forty commits and requests."""
    commits = store.commits
    replies = await asyncio.gather(*(send(house, number) for number in range(MAILS)))
    assert all(reply.startswith(b"250") for reply in replies)
    await all_sent(store, MAILS)
    assert store.commits - commits <= MAILS / 2
    assert len(house.requests()) <= MAILS / 4


async def test_each_header_field_is_decoded_once(monkeypatch):
    """From is looked at a second time, for its name and address; no other field is."""
    decoded = []
    original = parse.decode_value
    monkeypatch.setattr(parse, "decode_value", lambda *args: decoded.append(args) or original(*args))
    parse.parse_mail(
        b"From: a@example.org\r\nTo: b@example.org\r\nSubject: s\r\nMessage-ID: <1@x>\r\nX-Other: o\r\n\r\ntext\r\n"
    )
    assert len(decoded) == FIELDS


async def test_four_lines_are_logged_for_a_message(house, store):
    """Received, queued, attempt, sent: what the log has to carry for each message."""
    with structlog.testing.capture_logs() as events:
        await send(house, 7)
        await all_sent(store, 1)
        await house.quiet()
    assert [event["event"] for event in events if "id" in event] == ["received", "queued", "attempt", "sent"]
