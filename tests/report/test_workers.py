"""Reporter and mailer over the in-memory store: what is told, how often, and what happens when the smarthost is away."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from mailbridge.config.smarthost import parse_smarthost
from mailbridge.errors import StoreFull
from mailbridge.loops import Loop
from mailbridge.model.message import Alphabet, Message
from mailbridge.model.phone import Phone
from mailbridge.model.state import State
from mailbridge.queue.contract import Change, NewMail, NewMessage, Report
from mailbridge.queue.memory import MemoryStore
from mailbridge.report.mailer import Mailer, decide_retry
from mailbridge.report.relay import Relay
from mailbridge.report.reporter import DailyLimit, Reporter
from tests.support.clock import FakeClock
from tests.support.reports import ORIGINAL, SETTINGS, parse
from tests.support.smarthost import running_smarthost

LIFETIME_S = 5 * 86400.0


async def put_failed(store: MemoryStore, clock: FakeClock, mail_id: str = "K7Q2M9ZC4T", *, phones: int = 1, **fields):
    """Queue a mail and let its messages be refused."""
    now = clock.now()
    messages = tuple(
        NewMessage(
            id=f"{mail_id}.{number}",
            message=Message(
                phone=Phone(f"+7999123456{number}"), channel="sms", sender="", text="t", alphabet=Alphabet.GSM7, parts=1
            ),
            recipient=f"7999123456{number}@sms.local",
            next_attempt_at=now,
            expires_at=now + timedelta(days=1),
        )
        for number in range(1, phones + 1)
    )
    mail = {
        "id": mail_id,
        "received_at": now,
        "sender": "nagios@example.org",
        "client": "127.0.0.1",
        "user": None,
        "message_id": f"<{mail_id}@example.org>",
        "subject": "Disk full",
        "envid": None,
        "ret": None,
        "reportable": True,
        "original": ORIGINAL,
        "size_bytes": len(ORIGINAL),
        "messages": messages,
    }
    await store.put(NewMail(**(mail | fields)))
    await store.apply(
        [
            Change(
                message_id=message.id,
                expect=frozenset({State.QUEUED}),
                to=State.FAILED,
                at=now,
                event="refused",
                report=Report.FAILED,
                report_status="5.1.3",
                report_diagnostic="x-smsc; 7 invalid number",
            )
            for message in messages
        ]
    )


def reporter(store: MemoryStore, clock: FakeClock, *, by_mail: bool = True, **kwargs) -> Reporter:
    """Return a reporter with the usual settings."""
    return Reporter(store=store, clock=clock, settings=SETTINGS, by_mail=by_mail, **kwargs)


def mailer(store: MemoryStore, clock: FakeClock, port: int, *, jitter: float = 0.0) -> Mailer:
    """Return a mailer to a server on this machine."""
    smarthost = parse_smarthost(f"smtp://127.0.0.1:{port}")
    return Mailer(
        store=store,
        clock=clock,
        open_relay=lambda: Relay(smarthost, hostname="sms.example.org", connect_timeout_s=5),
        jitter=lambda: jitter,
        lifetime_s=LIFETIME_S,
    )


async def waiting(store: MemoryStore, clock: FakeClock):
    """Return all mails the store still holds for the smarthost."""
    return await store.due_outgoing(now=clock.now() + timedelta(days=30), limit=1000)


def bounced(logs):
    """Return the log lines about bounces."""
    return [line for line in logs if line["event"] == "bounced"]


class TestReporter:
    """From due items to a mail on disk."""

    async def test_one_mail_tells_of_all_its_failures(self):
        """Two refused recipients make one report, from the null sender, and two log lines."""
        store, clock, woken = MemoryStore(), FakeClock(), []
        await put_failed(store, clock, phones=2)
        with capture_logs() as logs:
            assert await reporter(store, clock, wake_mailer=lambda: woken.append(1)).step() == 1
        (mail,) = await waiting(store, clock)
        assert (mail.sender, mail.recipient, mail.mail_id) == ("", "nagios@example.org", "K7Q2M9ZC4T")
        assert parse(mail.content)["Subject"] == "Undelivered SMS to +79991234561 and 1 more: Disk full"
        assert [(line["id"], line["status"], line["by"]) for line in bounced(logs)] == [
            ("K7Q2M9ZC4T.1", "5.1.3", "mail"),
            ("K7Q2M9ZC4T.2", "5.1.3", "mail"),
        ]
        assert {line["diagnostic"] for line in bounced(logs)} == {"x-smsc; 7 invalid number"}
        assert woken == [1]

    async def test_nothing_is_told_twice(self):
        """A second step finds nothing due."""
        store, clock = MemoryStore(), FakeClock()
        await put_failed(store, clock)
        worker = reporter(store, clock)
        assert [await worker.step(), await worker.step()] == [1, 0]
        assert len(await waiting(store, clock)) == 1

    async def test_mode_log_sends_nothing(self):
        """With bounce.mode log the failure is in the log alone, and done with."""
        store, clock = MemoryStore(), FakeClock()
        await put_failed(store, clock)
        worker = reporter(store, clock, by_mail=False)
        with capture_logs() as logs:
            assert [await worker.step(), await worker.step()] == [1, 0]
        assert await waiting(store, clock) == []
        assert [(line["by"], line["reason"]) for line in bounced(logs)] == [("log", "bounce.mode is log")]

    @pytest.mark.parametrize("sender", ["", "a@b\r\nX: y", "тест@example.org"])
    async def test_a_sender_that_cannot_be_written_to_gets_nothing(self, sender):
        """Even when the store hands such an item out, no mail is built."""
        store, clock = MemoryStore(), FakeClock()
        await put_failed(store, clock, sender=sender)
        with capture_logs() as logs:
            await reporter(store, clock).step()
        assert await waiting(store, clock) == []
        assert [line["by"] for line in bounced(logs)] == ["log"]

    async def test_one_sender_is_not_flooded(self):
        """Beyond the daily limit reports are logged only; another sender and another day have their own count."""
        store, clock = MemoryStore(), FakeClock()
        worker = reporter(store, clock, limit=DailyLimit(2))
        for number in "234":
            await put_failed(store, clock, f"AAAAAAAAA{number}")
        await put_failed(store, clock, "BBBBBBBBB2", sender="zabbix@example.org")
        await worker.step()
        assert sorted(mail.recipient for mail in await waiting(store, clock)) == [
            "nagios@example.org",
            "nagios@example.org",
            "zabbix@example.org",
        ]
        clock.advance(86400)
        await put_failed(store, clock, "CCCCCCCCC2")
        await worker.step()
        assert len(await waiting(store, clock)) == 4


class TestMailer:
    """From the mail on disk to the smarthost."""

    async def queued(self, *mail_ids: str) -> tuple[MemoryStore, FakeClock]:
        store, clock = MemoryStore(), FakeClock()
        for mail_id in mail_ids or ("K7Q2M9ZC4T",):
            await put_failed(store, clock, mail_id)
        await reporter(store, clock).step()
        return store, clock

    async def test_what_is_taken_is_forgotten(self):
        """Two reports go over one connection, and nothing is left."""
        store, clock = await self.queued("AAAAAAAAA2", "AAAAAAAAA3")
        async with running_smarthost() as fake:
            worker = mailer(store, clock, fake.port)
            assert [await worker.step(), await worker.step()] == [2, 0]
        assert [taken.mail_from for taken in fake.mails] == ["<>", "<>"]
        assert fake.connections == 1
        assert await waiting(store, clock) == []

    async def test_a_busy_smarthost_is_asked_again_later(self):
        """After 4xx the same bytes go 30 s, then 60 s later."""
        store, clock = await self.queued()
        (mail,) = await waiting(store, clock)
        async with running_smarthost(data_reply="451 4.3.0 later") as fake:
            worker = mailer(store, clock, fake.port)
            assert await worker.step() == 1
            clock.advance(29)
            assert await worker.step() == 0
            clock.advance(1)
            assert await worker.step() == 1
            assert (await waiting(store, clock))[0].next_attempt_at == clock.now() + timedelta(seconds=60)
            fake.data_reply = None
            clock.advance(60)
            assert await worker.step() == 1
        assert [taken.content for taken in fake.mails] == [mail.content]
        assert await waiting(store, clock) == []

    async def test_a_refusal_is_logged_and_no_report_follows(self):
        """After 5xx the report is dropped: there is never a report about a report."""
        store, clock = await self.queued()
        async with running_smarthost(rcpt_reply="550 5.1.1 no such user") as fake:
            with capture_logs() as logs:
                await mailer(store, clock, fake.port).step()
        assert await waiting(store, clock) == []
        assert await store.due_reports(now=clock.now() + timedelta(days=30), limit=10) == []
        assert [line["error"] for line in logs if line["event"] == "report_refused"] == ["550 5.1.1 no such user"]

    async def test_an_absent_smarthost_is_given_up_at_the_end_of_the_lifetime(self):
        """The queue tries up to bounce.lifetime, a last time at its very end, then logs and drops."""
        store, clock = await self.queued()
        async with running_smarthost() as gone:
            port = gone.port
        worker, began, tries = mailer(store, clock, port), clock.now(), 0
        with capture_logs() as logs:
            while due := await waiting(store, clock):
                clock.advance((due[0].next_attempt_at - clock.now()).total_seconds())
                tries += await worker.step()
        assert clock.now() - began == timedelta(seconds=LIFETIME_S)
        assert 100 < tries < 140
        assert [line["event"] for line in logs].count("report_given_up") == 1

    async def test_a_report_leaves_as_soon_as_it_is_known(self):
        """The reporter rings the mailer, so nothing waits for a timer."""
        store, clock = MemoryStore(), FakeClock()
        async with running_smarthost() as fake:
            loop = Loop("mailer", mailer(store, clock, fake.port), clock=clock)
            task = asyncio.create_task(loop.run())
            await clock.sleeping()
            await put_failed(store, clock)
            await reporter(store, clock, wake_mailer=loop.ring).step()
            while not fake.mails:
                await asyncio.sleep(0.005)
            loop.stop()
            await task
        assert len(fake.mails) == 1


class TestDecideRetry:
    """The pure back-off."""

    @pytest.mark.parametrize(("attempts", "wait_s"), [(0, 30), (1, 60), (2, 120), (6, 1920), (7, 3600), (100, 3600)])
    async def test_pauses_double_up_to_an_hour(self, attempts, wait_s):
        """30 s doubling to 1 h, and jitter adds at most a quarter."""
        store, clock = await TestMailer().queued()
        (mail,) = await waiting(store, clock)
        mail = type(mail)(**{name: getattr(mail, name) for name in mail.__slots__} | {"attempts": attempts})
        for jitter in (0.0, 1.0):
            again_at = decide_retry(mail, now=clock.now(), lifetime_s=LIFETIME_S, jitter=jitter)
            assert again_at == clock.now() + timedelta(seconds=wait_s * (1 + jitter / 4))


class SickStore(MemoryStore):
    """A store that cannot write down what became of a mail, for a while."""

    sick = True

    async def settle_outgoing(self, id_, **told):
        """Fail while sick."""
        if self.sick:
            raise StoreFull
        await super().settle_outgoing(id_, **told)


async def test_a_full_disk_does_not_send_a_report_again_and_again():
    """Handed over, but not written down: the next turn writes it down and hands nothing over."""
    store, clock = SickStore(), FakeClock()
    await put_failed(store, clock)
    await reporter(store, clock).step()
    async with running_smarthost() as smarthost:
        one = mailer(store, clock, smarthost.port)
        for _ in range(3):
            with pytest.raises(StoreFull):
                await one.step()
        store.sick = False
        await one.step()
        assert len(smarthost.mails) == 1
    assert await waiting(store, clock) == []
