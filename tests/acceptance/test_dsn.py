"""Delivery status notifications through the whole bridge, as RFC 3461, 3464 and 3834 have them.

Each report is read by two independent parsers: the standard library's and flufl.bounce.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage, Message

import pytest
from flufl.bounce import all_failures
from structlog.testing import capture_logs

from mailbridge.model.state import State
from mailbridge.queue.contract import Filter
from tests.support.house import SENDER, House, id_of, running_house

GOOD, REFUSED, UNDELIVERABLE, EXPIRED = "+79990000001", "+79990000107", "+79990000225", "+79990000203"
#: stays with the operator: no receipt ever comes
SILENT = "+79990000200"

FAILED, DELAYED, DELIVERED = "failed", "delayed", "delivered"
#: NOTIFY -> what the sender wants to hear of (RFC 3461 4.1)
NOTIFIES: dict[str, set[str]] = {
    "": {FAILED, DELAYED},
    "NEVER": set(),
    "SUCCESS": {DELIVERED},
    "FAILURE": {FAILED},
    "DELAY": {DELAYED},
    "SUCCESS,FAILURE": {DELIVERED, FAILED},
    "FAILURE,DELAY": {FAILED, DELAYED},
    "success,failure,delay": {DELIVERED, FAILED, DELAYED},
}
#: a lifetime and a warning that a test can wait for
QUEUE = {"lifetime": "10m", "delay_warning": "2m"}


@dataclass(frozen=True)
class Dsn:
    """One report, taken apart."""

    whole: EmailMessage
    of_mail: Message
    recipients: list[Message]

    @property
    def actions(self) -> list[str]:
        return [group["Action"] for group in self.recipients]

    @property
    def envid(self) -> str:
        return self.of_mail["Original-Envelope-Id"]


def read(house: House) -> list[Dsn]:
    """Return what the smarthost got, each proved to be a report as the RFCs have it."""
    found = []
    for mail in house.smarthost.mails:
        assert mail.mail_from in {"", "<>"}
        assert mail.rcpt_tos == [SENDER]
        whole = message_from_bytes(mail.content, policy=policy.default)
        assert isinstance(whole, EmailMessage)
        assert not whole.defects
        assert whole.get_content_type() == "multipart/report"
        assert whole.get_param("report-type") == "delivery-status"
        assert whole["Auto-Submitted"] == "auto-replied"
        assert whole["To"] == SENDER
        assert whole["From"].addresses[0].addr_spec == "mailer-daemon@sms.example.org"
        kinds = [part.get_content_type() for part in whole.iter_parts()]
        assert kinds[:2] == ["text/plain", "message/delivery-status"]
        of_mail, *recipients = message_from_bytes(mail.content).get_payload(1).get_payload()
        assert of_mail["Reporting-MTA"] == "dns; sms.example.org"
        assert of_mail["Arrival-Date"]
        for group in recipients:
            assert group["Final-Recipient"].startswith("rfc822; ")
            wanted = {FAILED: "[45]", DELAYED: "4", DELIVERED: "2", "relayed": "2"}[group["Action"]]
            assert re.fullmatch(rf"{wanted}\.\d{{1,3}}\.\d{{1,3}}", group["Status"])
        found.append(Dsn(whole, of_mail, recipients))
        check_with_flufl(mail.content, recipients)
    return found


def check_with_flufl(content: bytes, recipients: list[Message]) -> None:
    """flufl.bounce finds the addresses that failed for good or for now, and no other."""

    def addresses(action: str) -> set[bytes]:
        named = [g["Original-Recipient"] or g["Final-Recipient"] for g in recipients if g["Action"] == action]
        return {address.partition("; ")[2].encode() for address in named}

    temporary, permanent = all_failures(message_from_bytes(content))
    assert set(temporary) == addresses(DELAYED)
    assert set(permanent) == addresses(FAILED)


async def mail_each_notify(house: House, phone: str) -> None:
    """Send *phone* one mail for each row of NOTIFIES, whose number is the ENVID."""
    for number, notify in enumerate(NOTIFIES):
        options = (f"NOTIFY={notify}",) if notify else ()
        reply = await house.mail((phone, *options), text=f"mail {number}", mail_options=(f"ENVID=E{number}",))
        assert reply[0] == 250


def told(house: House) -> dict[str, list[str]]:
    """Return the actions each NOTIFY led to, in their order."""
    result: dict[str, list[str]] = {notify: [] for notify in NOTIFIES}
    for report in read(house):
        result[list(NOTIFIES)[int(report.envid.removeprefix("E"))]] += report.actions
    return result


def wanted(*happened: str) -> dict[str, list[str]]:
    """Return what each NOTIFY is to lead to when that *happened*."""
    return {notify: [action for action in happened if action in asked] for notify, asked in NOTIFIES.items()}


class TestNotify:
    """NOTIFY against everything that can become of a message: who asked hears it once, nobody else does."""

    @pytest.mark.parametrize(
        ("phone", "happened", "state"),
        [
            (GOOD, DELIVERED, State.DELIVERED),
            (REFUSED, FAILED, State.FAILED),
            (UNDELIVERABLE, FAILED, State.UNDELIVERED),
            (EXPIRED, FAILED, State.EXPIRED),
        ],
    )
    async def test_an_outcome_is_told_as_asked(self, phone, happened, state):
        """Delivered, refused at once, undelivered later, expired at the operator."""
        async with running_house() as house:
            await mail_each_notify(house, phone)
            await house.pass_s(120)
            rows = await house.store.find(Filter())
            assert {row.state for row in rows} == {state}
            assert told(house) == wanted(happened)

    @pytest.mark.slow
    async def test_a_lifetime_that_ends_is_told_after_the_delay(self):
        """With no gateway in order: one warning after queue.delay_warning, one failure after queue.lifetime."""
        async with running_house(queue=QUEUE) as house:
            house.fault(code=3)
            await mail_each_notify(house, GOOD)
            await house.pass_s(110)
            assert house.smarthost.mails == []
            await house.pass_s(60)
            assert told(house) == wanted(DELAYED)
            await house.pass_s(600)
            assert told(house) == wanted(DELAYED, FAILED)
            for report in read(house):
                assert report.recipients[0]["Status"] == "4.4.7"
                assert report.recipients[0]["Diagnostic-Code"].startswith("x-smsc; 3 ")

    @pytest.mark.slow
    async def test_a_delay_may_end_well(self):
        """The warning is followed by the delivery, for those who asked for either."""
        async with running_house(queue=QUEUE) as house:
            house.fault(code=2)
            await mail_each_notify(house, GOOD)
            await house.pass_s(180)
            house.simulator.carrier.faults.clear()
            await house.pass_s(300)
            assert {row.state for row in await house.store.find(Filter())} == {State.DELIVERED}
            assert told(house) == wanted(DELAYED, DELIVERED)

    async def test_each_recipient_has_his_own_notify(self):
        """One report holds only the recipients whose NOTIFY asks for it; the others' failure is in log and history."""
        async with running_house() as house:
            with capture_logs() as logs:
                reply = await house.mail(
                    ("+79990000107", "NOTIFY=NEVER"), ("+79990000108", "NOTIFY=FAILURE"),
                    ("+79990000106", "NOTIFY=SUCCESS"), (GOOD, "NOTIFY=SUCCESS"),
                )  # fmt: skip
                await house.reports()
                await house.pass_s(60)
            (report,) = read(house)
            assert [(g["Final-Recipient"], g["Action"]) for g in report.recipients] == [
                ("rfc822; +79990000108@sms.local", FAILED),
                (f"rfc822; {GOOD}@sms.local", DELIVERED),
            ]
            bounced = {line["id"][-1]: line for line in logs if line["event"] == "bounced"}
            assert {n: (line["by"], line.get("reason")) for n, line in bounced.items()} == {
                "1": ("log", "NOTIFY=NEVER"), "2": ("mail", None), "3": ("log", "NOTIFY=SUCCESS"), "4": ("mail", None),
            }  # fmt: skip
            told_in_history = [
                [line.detail for line in await house.store.history(row.id) if line.event == "bounced"]
                for row in await house.rows(reply)
            ]
            assert told_in_history == [
                [{"action": FAILED, "status": "5.1.3", "by": "log", "reason": "NOTIFY=NEVER"}],
                [{"action": FAILED, "status": "5.1.1", "by": "mail", "to": SENDER}],
                [{"action": FAILED, "status": "5.7.1", "by": "log", "reason": "NOTIFY=SUCCESS"}],
                [{"action": DELIVERED, "status": "2.1.5", "by": "mail", "to": SENDER}],
            ]

    @pytest.mark.slow
    async def test_success_is_relayed_where_the_handset_never_confirms(self):
        """When nobody asks for a receipt any more, the last word is that the gateway took it (RFC 3461 5.2.2)."""
        async with running_house(gateway={"poll": "1h"}) as house:
            await house.mail((SILENT, "NOTIFY=SUCCESS"))
            await house.pass_s(2 * 86400, step_s=3600)
            assert house.smarthost.mails == []
            await house.pass_s(25 * 86400, step_s=6 * 3600)
            (report,) = read(house)
            assert (report.actions, report.recipients[0]["Status"]) == (["relayed"], "2.1.9")

    @pytest.mark.parametrize("bad", ["NOTIFY=NEVER,FAILURE", "NOTIFY=SOON", "NOTIFY=", "ORCPT=rfc822;a+4", "ORCPT=a@b"])
    async def test_what_is_no_dsn_parameter_is_refused(self, bad):
        """501, before anything was promised."""
        async with running_house() as house:
            code, _words = await house.mail((GOOD, bad))
            assert code == 501


class TestContent:
    """RET, ENVID and ORCPT, and what comes back."""

    @pytest.mark.parametrize(
        ("ret", "kind"), [("RET=FULL", "message/rfc822"), ("RET=HDRS", "text/rfc822-headers"), (None, None)]
    )
    async def test_ret_says_how_much_comes_back(self, ret, kind):
        """FULL brings the mail back whole, HDRS and nothing bring its header alone."""
        async with running_house() as house:
            await house.mail(REFUSED, text="the body", subject="Disk full", mail_options=(ret,) if ret else ())
            await house.reports()
            (report,) = read(house)
            returned = list(report.whole.iter_parts())[2]
            assert returned.get_content_type() == (kind or "text/rfc822-headers")
            assert b"Subject: Disk full" in returned.as_bytes()
            assert (b"the body" in returned.as_bytes()) is (kind == "message/rfc822")

    async def test_a_mail_larger_than_what_is_kept_comes_back_as_its_header(self):
        """RET=FULL never brings back a part of a mail as though it were all of it."""
        async with running_house(queue={"keep_original": "2KB"}) as house:
            await house.mail(REFUSED, text="line\r\n" * 1000, mail_options=("RET=FULL",))
            await house.reports()
            (report,) = read(house)
            assert list(report.whole.iter_parts())[2].get_content_type() == "text/rfc822-headers"

    async def test_envid_and_orcpt_come_back_decoded(self):
        """And the report answers the mail it is about."""
        async with running_house() as house:
            await house.mail(
                (REFUSED, "ORCPT=rfc822;Ops+2Bnight@example.org"), mail_options=("ENVID=A+2B1+3D",),
                headers="Message-ID: <m1@example.org>\r\n",
            )  # fmt: skip
            await house.reports()
            (report,) = read(house)
            assert report.envid == "A+1="
            assert report.recipients[0]["Original-Recipient"] == "rfc822; Ops+night@example.org"
            assert report.whole["In-Reply-To"] == "<m1@example.org>"

    async def test_nothing_from_outside_makes_a_line_of_the_report(self):
        """CR and LF hidden in the subject, ENVID or ORCPT stay text."""
        async with running_house() as house:
            reply = await house.mail(
                (REFUSED, "ORCPT=rfc822;a+0D+0AX-Evil:+201@x"), subject="=?utf-8?q?a=0D=0AX-Evil:_1?=",
            )  # fmt: skip
            if reply[0] == 250:
                await house.reports()
                content = house.smarthost.mails[0].content
                assert not re.search(rb"^X-Evil", content, re.MULTILINE)
            else:
                assert reply[0] == 501
            reply = await house.mail(REFUSED, subject="=?utf-8?q?a=0D=0AX-Evil:_1?=", text="2")
            assert reply[0] == 250
            await house.reports()
            assert not re.search(rb"^X-Evil", house.smarthost.mails[0].content, re.MULTILINE)


class TestTogether:
    """Several recipients of one mail share a report."""

    async def test_failures_at_different_times_share_one_report(self):
        """One refused at once, one undeliverable and one expired by their receipts: one mail tells all three."""
        async with running_house() as house:
            await house.mail(REFUSED, GOOD, UNDELIVERABLE, EXPIRED)
            await house.reports()
            await house.pass_s(120)
            (report,) = read(house)
            assert report.actions == [FAILED] * 3

    async def test_a_report_does_not_wait_for_ever(self):
        """A recipient whose receipt never comes holds up nobody for longer than half a minute."""
        async with running_house() as house:
            await house.mail(REFUSED, SILENT)
            await house.pass_s(30, step_s=1)
            (report,) = read(house)
            assert report.actions == [FAILED]

    async def test_what_the_smtp_reply_said_no_report_says_again(self):
        """In verdict mode the refusal of all is the reply; the refusal of some is a report."""
        async with running_house(smtp={"reply": "verdict"}) as house:
            assert (await house.mail(REFUSED, "+79990000108"))[0] == 550
            assert (await house.mail(REFUSED, GOOD, text="2"))[0] == 250
            await house.reports()
            await house.pass_s(120)
            (report,) = read(house)
            assert [g["Final-Recipient"] for g in report.recipients] == [f"rfc822; {REFUSED}@sms.local"]

    async def test_a_receipt_that_overtakes_the_report_ends_it(self):
        """First undelivered, a moment later delivered: the failure was none, and nobody hears of it."""
        async with running_house() as house:
            reply = await house.mail(SILENT, "+79990000201")
            row = await house.state(f"{id_of(reply)}.1", State.SENT)
            await house.pass_s(6)
            from mailbridge.delivery.questions import Receipts
            from mailbridge.model.outcome import Receipt

            receipts = Receipts(
                store=house.store, board=house.bridge.board, clock=house.clock, audit=house.bridge._audit
            )
            for status in (20, 1):
                receipt = Receipt(
                    gateway="main", gateway_id=row.gateway_id or "", phone=row.message.phone, status=status, err=0
                )
                assert await receipts.take(receipt)
            await house.pass_s(90)
            assert (await house.rows(reply))[0].state is State.DELIVERED
            assert house.smarthost.mails == []


class TestNoReport:
    """Who must not be written to, and why nothing can go round in circles."""

    @pytest.mark.parametrize(
        ("sender", "headers"),
        [
            ("", ""),
            ("mailer-daemon@sms.example.org", ""),
            ("MAILER-DAEMON@example.net", ""),
            (SENDER, "Auto-Submitted: auto-replied\r\n"),
            (SENDER, "Auto-Submitted: auto-replied (vacation)\r\n"),
            (SENDER, "Precedence: bulk\r\n"),
            (SENDER, "List-Id: <a.example.org>\r\n"),
            (SENDER, "Return-Path: <>\r\n"),
            (SENDER, "In-Reply-To: <K7Q2M9ZC4T.0123456789abcdef@sms.example.org>\r\n"),
        ],
    )
    async def test_no_report_is_sent_but_the_failure_is_told_in_log_and_history(self, sender, headers):
        """Null sender, daemons, answers, lists, and answers to our own reports."""
        async with running_house() as house:
            with capture_logs() as logs:
                reply = await house.mail((REFUSED, "NOTIFY=FAILURE,DELAY"), sender=sender, headers=headers)
                await house.pass_s(60)
            (row,) = await house.rows(reply)
            assert house.smarthost.mails == []
            assert row.state is State.FAILED
            (line,) = [line for line in logs if line["event"] == "bounced"]
            assert (line["by"], line["reason"], line["status"]) == ("log", "this sender gets no reports", "5.1.3")
            assert (await house.store.history(row.id))[-1].event == "bounced"

    @pytest.mark.parametrize("headers", ["", "Auto-Submitted: auto-generated\r\n", "Auto-Submitted: no\r\n"])
    async def test_people_and_machines_that_began_it_are_told(self, headers):
        """Cron, Nagios and Zabbix mark their mail auto-generated."""
        async with running_house() as house:
            await house.mail(REFUSED, headers=headers)
            await house.reports()
            assert [report.actions for report in read(house)] == [[FAILED]]

    async def test_a_report_that_is_refused_is_dropped(self):
        """There is no report about a report: one log line, and nothing is tried again."""
        async with running_house() as house:
            house.smarthost.rcpt_reply = "550 5.1.1 no such user"
            with capture_logs() as logs:
                await house.mail(REFUSED)
                await house.pass_s(600)
            assert [line["event"] for line in logs].count("report_refused") == 1
            assert house.smarthost.mails == []
            assert len(await house.store.find(Filter())) == 1

    @pytest.mark.slow
    async def test_a_report_survives_an_absent_smarthost(self):
        """It is tried until the smarthost takes it, and told once."""
        async with running_house() as house:
            house.smarthost.data_reply = "451 4.3.0 later"
            await house.mail(REFUSED)
            await house.pass_s(600)
            house.smarthost.data_reply = None
            await house.pass_s(3600)
            assert [report.actions for report in read(house)] == [[FAILED]]

    async def test_a_mail_that_went_round_is_refused(self):
        """More Received fields than smtp.max_hops is a loop: 554 5.4.6, and one less is none."""
        async with running_house(smtp={"max_hops": 5}) as house:
            hop = "Received: from a by b; Mon, 2 Mar 2026 09:00:00 +0000\r\n"
            refused = await house.mail(GOOD, headers=hop * 6)
            taken = await house.mail(GOOD, headers=hop * 5)
            assert (refused[0], refused[1][:5]) == (554, "5.4.6")
            assert taken[0] == 250

    async def test_mode_log_mails_nothing(self):
        """bounce.mode log: every failure is a line of the log and of the history."""
        async with running_house(bounce={"mode": "log"}) as house:
            with capture_logs() as logs:
                await house.mail((UNDELIVERABLE, "NOTIFY=SUCCESS,FAILURE"))
                await house.pass_s(60)
            assert house.smarthost.mails == []
            bounced = [(line["by"], line["reason"]) for line in logs if line["event"] == "bounced"]
            assert bounced == [("log", "bounce.mode is log")]
