"""Contract of every store: what senders are to be told, and our own mails."""

from datetime import timedelta

import pytest

from mailbridge.model.state import State
from mailbridge.queue.contract import OutgoingMail, Report
from tests.support.queue import DAY, NOW, SECOND, change, claim, failed, new_mail, new_message, one

S = State
PHONES = ("+79990000001", "+79990000002")


async def put_sending(store, *, notify=None, phones=PHONES[:1], **fields):
    """Put M1 with a message for each phone and claim them."""
    messages = (new_message(f"M1.{n}", phone=p, notify=notify, orcpt="rfc822;o") for n, p in enumerate(phones, start=1))
    await store.put(new_mail("M1", *messages, **fields))
    await claim(store)


async def due(store, now=NOW):
    """Return what is due as (message id, action) pairs by mail."""
    found = await store.due_reports(now=now, limit=10)
    return {report.mail.id: [(item.message_id, item.action) for item in report.items] for report in found}


def outgoing(**fields):
    """Build a report on its way to the smarthost."""
    defaults = {
        "id": 0, "mail_id": "M1", "sender": "", "recipient": "nagios@example.org", "content": b"\0\xff",
        "attempts": 0, "created_at": NOW, "next_attempt_at": NOW,
    }  # fmt: skip
    return OutgoingMail(**(defaults | fields))


class TestDue:
    async def test_a_failure_is_told_with_all_that_a_report_needs(self, store):
        await put_sending(store)
        await store.apply([failed("M1.1", at=NOW + SECOND)])
        (report,) = await store.due_reports(now=NOW + SECOND, limit=10)
        (item,) = report.items
        assert report.mail == await store.get_mail("M1")
        assert (item.message_id, item.recipient, item.orcpt) == ("M1.1", "+79990000001@sms.local", "rfc822;o")
        assert (item.action, item.status, item.diagnostic) == (Report.FAILED, "5.1.3", "x-smsc; 7")
        assert (item.at, item.expires_at) == (NOW + SECOND, NOW + DAY)

    @pytest.mark.parametrize(
        ("action", "notify", "told"),
        [
            (Report.FAILED, None, True),
            (Report.FAILED, {"FAILURE"}, True),
            # the reporter has to log what it may not mail
            (Report.FAILED, {"SUCCESS"}, True),
            (Report.FAILED, {"NEVER"}, True),
            (Report.DELAYED, None, True),
            (Report.DELAYED, {"FAILURE"}, False),
            (Report.DELIVERED, None, False),
            (Report.DELIVERED, {"SUCCESS", "FAILURE"}, True),
            (Report.RELAYED, {"SUCCESS"}, True),
        ],
    )
    async def test_notify_decides(self, store, action, notify, told):
        await put_sending(store, notify=None if notify is None else frozenset(notify))
        await store.apply([change("M1.1", S.SENDING, S.FAILED, report=action)])
        assert bool(await due(store)) is told

    @pytest.mark.parametrize(
        ("action", "kept"), [(Report.FAILED, True), (Report.DELAYED, False), (Report.DELIVERED, False)]
    )
    async def test_of_a_mail_without_a_sender_only_failures_are_kept(self, store, action, kept):
        """They reach the log; nobody asked for the rest."""
        await put_sending(store, sender="", reportable=False, notify=frozenset({"SUCCESS", "DELAY"}))
        await store.apply([change("M1.1", S.SENDING, S.FAILED, report=action)])
        (found,) = await store.due_reports(now=NOW + DAY, limit=9) or (None,)
        assert (found is not None) is kept
        assert found is None or (found.mail.reportable, found.items[0].notify) == (False, {"SUCCESS", "DELAY"})

    async def test_a_thing_is_told_once(self, store):
        """Also when the message fails again after a retry, and when one call says it twice."""
        await put_sending(store)
        again = [failed("M1.1"), change("M1.1", S.FAILED, S.QUEUED), failed("M1.1", S.QUEUED)]
        assert await store.apply(again) == [True] * 3
        (report,) = await store.due_reports(now=NOW, limit=9)
        (item,) = report.items
        await store.put_outgoing(None, items={item.item_id: {}}, now=NOW)
        assert await store.apply([change("M1.1", S.FAILED, S.QUEUED), failed("M1.1", S.QUEUED)]) == [True] * 2
        assert await due(store, NOW + DAY) == {}

    async def test_a_refused_change_tells_nothing(self, store):
        await put_sending(store)
        assert await store.apply([failed("M1.1", attempt=7)]) == [False]
        assert await due(store, NOW + DAY) == {}

    async def test_a_report_waits_for_the_other_recipients_but_not_for_long(self, store):
        await put_sending(store, phones=PHONES)
        await store.apply([failed("M1.1")])
        assert await due(store, NOW + 29 * SECOND) == {}
        assert await due(store, NOW + 30 * SECOND) == {"M1": [("M1.1", Report.FAILED)]}
        await store.apply([failed("M1.2", at=NOW + SECOND)])
        assert await due(store, NOW + SECOND) == {"M1": [("M1.1", Report.FAILED), ("M1.2", Report.FAILED)]}

    async def test_a_report_waits_less_for_receipts_of_the_others(self, store):
        """What was sent may still fail; the first two questions about it are asked within 20 s."""
        await put_sending(store, phones=PHONES)
        await store.apply([failed("M1.1"), change("M1.2", S.SENDING, S.SENT)])
        assert await due(store, NOW + 19 * SECOND) == {}
        assert await due(store, NOW + 20 * SECOND) == {"M1": [("M1.1", Report.FAILED)]}
        await store.apply([change("M1.2", S.SENT, S.DELIVERED)])
        assert await due(store, NOW + SECOND) == {"M1": [("M1.1", Report.FAILED)]}

    async def test_a_report_does_not_wait_till_a_clock_set_back_is_there_again(self, store):
        """The news came up an hour ahead of the clock as it is now: the others have been waited for long enough."""
        await put_sending(store, phones=PHONES)
        await store.apply([failed("M1.1", at=NOW + 3600 * SECOND), change("M1.2", S.SENDING, S.SENT)])
        assert await due(store, NOW + SECOND) == {"M1": [("M1.1", Report.FAILED)]}

    @pytest.mark.parametrize(("end", "then"), [(S.UNDELIVERED, S.DELIVERED), (S.FAILED, S.QUEUED)])
    async def test_a_failure_that_is_none_any_more_is_not_told(self, store, end, then):
        """A receipt overrides an earlier one, or a person sent it again, before the report was made."""
        await put_sending(store)
        await store.apply([failed("M1.1") if end is S.FAILED else change("M1.1", S.SENDING, end, report=Report.FAILED)])
        await store.apply([change("M1.1", end, then, report=None)])
        assert await due(store, NOW + DAY) == {}

    async def test_what_was_told_is_not_taken_back(self, store):
        """The report that went out stays in the history, with how it went out."""
        await put_sending(store)
        await store.apply([change("M1.1", S.SENDING, S.UNDELIVERED, report=Report.FAILED, report_status="5.1.1")])
        (report,) = await store.due_reports(now=NOW, limit=9)
        for _ in range(2):
            await store.put_outgoing(None, items={report.items[0].item_id: {"by": "log"}}, now=NOW + SECOND)
        await store.apply([change("M1.1", S.UNDELIVERED, S.DELIVERED)])
        lines = [(line.event, line.state, line.detail) for line in await store.history("M1.1")]
        assert lines[-2:] == [
            ("bounced", S.UNDELIVERED, {"action": "failed", "status": "5.1.1", "by": "log"}),
            ("delivered", S.DELIVERED, {}),
        ]
        assert [event for event, _, _ in lines].count("bounced") == 1

    async def test_a_report_waits_while_the_client_may_still_hear_it(self, store):
        await put_sending(store, hold_reports_until=NOW + 10 * SECOND)
        await store.apply([failed("M1.1")])
        assert await due(store, NOW + 9 * SECOND) == {}
        assert await due(store, NOW + 10 * SECOND) != {}

    async def test_what_the_client_was_told_is_dropped_and_the_rest_goes_out(self, store):
        await put_sending(store, phones=PHONES, hold_reports_until=NOW + DAY)
        await store.apply([failed("M1.1"), failed("M1.2")])
        await store.release_reports("M1", told={"M1.1"})
        assert await due(store) == {"M1": [("M1.2", Report.FAILED)]}

    async def test_the_longest_waiting_come_first(self, store):
        for n in range(3):
            await store.put(new_mail(f"M{n}"))
        await claim(store)
        await store.apply([failed(f"M{n}.1", at=NOW - n * SECOND) for n in range(3)])
        found = await store.due_reports(now=NOW, limit=2)
        assert [report.mail.id for report in found] == ["M2", "M1"]

    async def test_a_mail_is_not_pruned_before_its_sender_heard(self, store):
        await put_sending(store)
        await store.apply([failed("M1.1")])
        assert await store.prune(before=NOW + DAY, sent_before=NOW, limit=9) == 0
        (report,) = await store.due_reports(now=NOW, limit=9)
        await store.put_outgoing(outgoing(), items={report.items[0].item_id: {}}, now=NOW)
        assert await store.prune(before=NOW + DAY, sent_before=NOW, limit=9) == 1
        assert len(await store.due_outgoing(now=NOW, limit=9)) == 1


class TestOutgoing:
    async def test_a_report_is_kept_with_its_items_marked(self, store):
        await put_sending(store)
        await store.apply([failed("M1.1")])
        (report,) = await store.due_reports(now=NOW, limit=9)
        await store.put_outgoing(outgoing(), items={report.items[0].item_id: {}}, now=NOW)
        assert await due(store, NOW + DAY) == {}
        (mail,) = await store.due_outgoing(now=NOW, limit=9)
        assert (mail.mail_id, mail.recipient, mail.content, mail.attempts) == ("M1", "nagios@example.org", b"\0\xff", 0)

    async def test_two_reporters_make_one_report(self, store):
        await put_sending(store)
        await store.apply([failed("M1.1")])
        (report,) = await store.due_reports(now=NOW, limit=9)
        for _ in range(2):
            await store.put_outgoing(outgoing(), items={report.items[0].item_id: {}}, now=NOW)
        assert len(await store.due_outgoing(now=NOW, limit=9)) == 1

    async def test_a_notice_belongs_to_no_mail(self, store):
        await store.put_outgoing(outgoing(mail_id=None), items={}, now=NOW)
        (mail,) = await store.due_outgoing(now=NOW, limit=9)
        assert mail.mail_id is None

    async def test_a_failed_attempt_is_noted_and_a_finished_mail_forgotten(self, store):
        later = NOW + timedelta(minutes=5)
        await store.put_outgoing(outgoing(), items={}, now=NOW)
        (mail,) = await store.due_outgoing(now=NOW, limit=9)
        await store.settle_outgoing(mail.id, done=False, next_attempt_at=later, error="refused")
        assert await store.due_outgoing(now=NOW, limit=9) == []
        (mail,) = await store.due_outgoing(now=later, limit=9)
        assert (mail.attempts, mail.last_error, mail.next_attempt_at) == (1, "refused", later)
        await store.settle_outgoing(mail.id, done=True, next_attempt_at=None, error="")
        assert await store.due_outgoing(now=later, limit=9) == []

    async def test_the_longest_due_come_first(self, store):
        for n in (2, 0, 1):
            await store.put_outgoing(outgoing(sender=str(n), next_attempt_at=NOW + n * SECOND), items={}, now=NOW)
        assert [mail.sender for mail in await store.due_outgoing(now=NOW + DAY, limit=2)] == ["0", "1"]


async def test_a_report_uses_the_present_lifetime(store):
    """A retry may have given the message a new one."""
    await put_sending(store)
    late = change("M1.1", S.SENDING, S.QUEUED, report=Report.DELAYED)
    await store.apply([late, change("M1.1", S.QUEUED, S.QUEUED, expires_at=NOW + 9 * DAY)])
    (report,) = await store.due_reports(now=NOW + DAY, limit=9)
    assert report.items[0].expires_at == (await one(store, "M1.1")).expires_at == NOW + 9 * DAY
