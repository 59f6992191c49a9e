"""Delivery reports as two independent parsers and the RFCs read them."""

from __future__ import annotations

import re
from email import message_from_bytes

import pytest
from flufl.bounce import all_failures
from hypothesis import example, given
from hypothesis import strategies as st

from mailbridge.queue.contract import Report
from mailbridge.report.dsn import build_report, report_message_id
from tests.support.reports import NOW, SETTINGS, assert_all_ours, due_report, parse, report_item, status_groups


def build(due, **kwargs) -> bytes:
    """Build the report with the usual settings."""
    return build_report(due, settings=SETTINGS, now=NOW, **kwargs)


def text_of(content: bytes) -> str:
    """Return the first part as a person reads it."""
    return parse(content).get_payload(0).get_content()


def test_a_failure_report_has_the_three_parts_and_headers_of_rfc_3464():
    """A refused number gives a multipart/report that says so to people and to machines."""
    content = build(due_report(), phones={"K7Q2M9ZC4T.1": "+79991234561"})
    mail = parse(content)
    assert mail.get_content_type() == "multipart/report"
    assert mail["Content-Type"].params["report-type"] == "delivery-status"
    assert [part.get_content_type() for part in mail.iter_parts()] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    assert mail["Subject"] == "Undelivered SMS to +79991234561: Disk full"
    assert mail["To"] == "nagios@example.org"
    assert mail["From"].addresses[0].addr_spec == "mailer-daemon@sms.example.org"
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["In-Reply-To"] == mail["References"] == "<1@example.org>"
    assert mail["X-Mailbridge-Id"] == "K7Q2M9ZC4T"
    assert not mail.defects
    of_mail, of_recipient = status_groups(content)
    assert dict(of_mail) == {
        "Reporting-MTA": "dns; sms.example.org",
        "Arrival-Date": "Mon, 02 Mar 2026 08:59:00 +0000",
    }
    assert dict(of_recipient) == {
        "Final-Recipient": "rfc822; 79991234561@sms.local",
        "Action": "failed",
        "Status": "5.1.3",
        "Diagnostic-Code": "x-smsc; 7 invalid number",
        "Last-Attempt-Date": "Mon, 02 Mar 2026 09:00:00 +0000",
        "Final-Log-Id": "K7Q2M9ZC4T.1",
    }


def test_the_text_tells_a_person_what_happened_and_what_to_do():
    """The first part names mail, number, the gateway's words and the next step."""
    text = text_of(build(due_report(), phones={"K7Q2M9ZC4T.1": "+79991234561"}))
    for wanted in (
        '"Disk full"',
        "K7Q2M9ZC4T",
        "SMS to +79991234561",
        "valid phone number",
        "7 invalid number",
        "Correct",
    ):
        assert wanted in text


def test_an_alias_is_named_beside_its_number():
    """A sender who wrote to a name sees both the number and the name."""
    due = due_report(report_item(recipient="anna@sms.local"))
    assert "+79991234567 (anna@sms.local)" in text_of(build(due, phones={"K7Q2M9ZC4T.1": "+79991234567"}))


def test_flufl_bounce_finds_each_failed_recipient():
    """An independent bounce parser extracts exactly the failed addresses."""
    due = due_report(
        report_item(1), report_item(2), report_item(3, action=Report.DELIVERED, status="2.0.0", diagnostic="")
    )
    assert all_failures(message_from_bytes(build(due)))[1] == {b"79991234561@sms.local", b"79991234562@sms.local"}


@pytest.mark.parametrize(
    ("action", "status", "title", "retry"),
    [
        (Report.FAILED, "5.1.1", "Undelivered SMS", False),
        (Report.FAILED, "4.4.7", "Undelivered SMS", False),
        (Report.DELAYED, "4.4.1", "Delayed SMS", True),
        (Report.DELIVERED, "2.1.5", "Delivered SMS", False),
        (Report.RELAYED, "2.1.9", "SMS handed over", False),
    ],
)
def test_each_action_has_its_own_words_and_fields(action, status, title, retry):
    """Action, Status, subject and Will-Retry-Until agree for every kind of report."""
    content = build(due_report(report_item(action=action, status=status)))
    assert parse(content)["Subject"].startswith(f"{title} to ")
    group = status_groups(content)[1]
    assert (group["Action"], group["Status"], "Will-Retry-Until" in group) == (action.value, status, retry)


@pytest.mark.parametrize(
    ("action", "status", "wanted"),
    [
        (Report.FAILED, "", "5.0.0"),
        (Report.FAILED, "2.0.0", "5.0.0"),
        (Report.DELAYED, "5.1.1", "4.0.0"),
        (Report.DELIVERED, "x", "2.0.0"),
        (Report.RELAYED, "5.1.1\r\nX: y", "2.0.0"),
    ],
)
def test_a_status_that_contradicts_its_action_is_replaced(action, status, wanted):
    """Status always has the class its Action demands (RFC 3464 2.3.4)."""
    assert status_groups(build(due_report(report_item(action=action, status=status))))[1]["Status"] == wanted


def test_the_worst_news_names_the_subject():
    """A report on several recipients is titled by its failures."""
    due = due_report(report_item(1, action=Report.DELIVERED, status="2.0.0"), report_item(2))
    assert parse(build(due))["Subject"] == "Undelivered SMS to 79991234562 and 1 more: Disk full"


def test_a_repeated_report_is_the_same_mail():
    """A report built again after a crash has the same Message-ID; other news have another."""
    due = due_report()
    assert build(due) == build(due)
    assert report_message_id(due, SETTINGS) != report_message_id(
        due_report(report_item(action=Report.DELAYED)), SETTINGS
    )
    assert report_message_id(due, SETTINGS) != report_message_id(due_report(report_item(2)), SETTINGS)


@pytest.mark.parametrize(
    ("orcpt", "shown"),
    [
        ("rfc822;79991234567@sms.local", "rfc822; 79991234567@sms.local"),
        ("rfc822;+2B79991234567@sms.local", "rfc822; +79991234567@sms.local"),
        ("RFC822;a+2Bb+3Dc@d", "RFC822; a+b=c@d"),
        ("x400;/G+3DA+2FB", "x400; /G=A/B"),
        # a client that forgot to encode: +79 is no xtext for y here
        ("rfc822;+79991234561@sms.local", "rfc822; +79991234561@sms.local"),
        ("rfc822;a+0D+0AX-Evil: 1@d", "rfc822; a+0D+0AX-Evil: 1@d"),
        ("rfc822;a+0D+0AX@d", "rfc822; a+0D+0AX@d"),
        ("rfc822;\r\nX-Evil: 1", "rfc822; X-Evil: 1"),
        ("rfc822;тест@d", "rfc822; +D1+82+D0+B5+D1+81+D1+82@d"),
        ("nosemicolon", "rfc822; nosemicolon"),
    ],
)
def test_original_recipient_is_orcpt_decoded_and_harmless(orcpt, shown):
    """ORCPT comes back decoded from xtext, and what would not print stays encoded."""
    due = due_report(report_item(recipient="+79991234561@sms.local", orcpt=orcpt))
    assert status_groups(build(due))[1]["Original-Recipient"] == shown


def test_the_envelope_id_comes_back():
    """ENVID is returned as the sender gave it."""
    assert status_groups(build(due_report(envid="QQ 314")))[0]["Original-Envelope-Id"] == "QQ 314"


def test_a_diagnostic_in_russian_is_an_encoded_word():
    """The machine-read part stays ASCII and loses nothing."""
    content = build(due_report(report_item(diagnostic="x-smsc; 7 неверный номер")))
    assert content.isascii()
    group = parse(content).get_payload(1).get_payload(1)
    assert str(group["Diagnostic-Code"]) == "x-smsc; 7 неверный номер"


def test_a_russian_subject_reads_the_same():
    """Subject and text keep letters beyond ASCII, in a mail that is ASCII on the wire."""
    content = build(due_report(subject="Диск заполнен 😀"))
    assert content.isascii()
    assert parse(content)["Subject"] == "Undelivered SMS to 79991234561: Диск заполнен 😀"
    assert "Диск заполнен 😀" in text_of(content)


class TestReturnedContent:
    """RET and what may come back."""

    BODY = b"Subject: a\r\nX-Secretless: 1\r\n\r\nline one\r\nline two\r\n"

    def third(self, **fields):
        return parse(build(due_report(**fields))).get_payload(2)

    def test_full_returns_the_mail(self):
        """RET=FULL brings the whole mail back."""
        part = self.third(ret="FULL", original=self.BODY)
        assert part.get_content_type() == "message/rfc822"
        assert part.get_payload(0)["Subject"] == "a"
        assert part.get_payload(0).get_content().splitlines() == ["line one", "line two"]

    @pytest.mark.parametrize("ret", ["HDRS", None])
    def test_headers_are_the_default(self, ret):
        """RET=HDRS, or none, brings the header alone back."""
        part = self.third(ret=ret, original=self.BODY)
        assert part.get_content_type() == "text/rfc822-headers"
        assert part.get_content().splitlines() == ["Subject: a", "X-Secretless: 1"]

    @pytest.mark.parametrize(
        ("original", "size"),
        [
            (b"Subject: a\r\n\r\ncut he", 9999),
            (b"Subject: a\r\n\r\n" + b"x" * 70 + b"\r\n" * 30_000, None),
            (b"Subject: a\r\n\r\n" + b"x" * 999, None),
            (b"Subject: a\r\n\r\nnul \0", None),
        ],
        ids=["cut", "large", "long line", "nul"],
    )
    def test_a_mail_that_cannot_travel_comes_back_as_its_header(self, original, size):
        """What was cut when stored, is large, or breaks SMTP's rules is not returned whole."""
        part = self.third(ret="FULL", original=original, size_bytes=size or len(original))
        assert part.get_content_type() == "text/rfc822-headers"
        assert part.get_content().splitlines() == ["Subject: a"]

    def test_eight_bit_headers_become_quoted_printable(self):
        """A broken 8-bit header comes back octet for octet in an ASCII mail."""
        content = build(due_report(original="Subject: тест\r\n\r\nx".encode()))
        assert content.isascii()
        part = message_from_bytes(content).get_payload(2)
        assert part.get_payload(decode=True).strip() == "Subject: тест".encode()

    def test_an_eight_bit_mail_returned_whole_is_declared_so(self):
        """8bit stands at the part and at the whole, as RFC 2045 6.4 demands."""
        mail = parse(build(due_report(ret="FULL", original="Subject: a\r\n\r\nтест\r\n".encode())))
        assert mail["Content-Transfer-Encoding"] == "8bit"
        assert mail.get_payload(2)["Content-Transfer-Encoding"] == "8bit"

    def test_returned_bare_line_ends_cannot_end_the_report(self):
        """A smuggled end of data in the original is harmless: every line end is CRLF."""
        evil = b"Subject: a\r\n\r\nx\n.\nMAIL FROM:<>\r.\rQUIT\r\n"
        content = build(due_report(ret="FULL", original=evil))
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)", content)

    def test_a_boundary_in_the_original_splits_nothing(self):
        """A returned mail that quotes the boundary of an earlier report stays one part."""
        first = build(due_report(ret="FULL", original=self.BODY))
        again = parse(build(due_report(ret="FULL", original=first)))
        assert len(list(again.iter_parts())) == 3


hostile = st.one_of(
    st.text(),
    st.text(alphabet='\r\n \t:;=?utf-8Qb\0\x1b\x85\u2028\u202eX-Evil<>@",+0D\ud800é'),
    st.sampled_from(
        [
            "a\r\nBcc: evil@example.org",
            "=?utf-8?Q?a=0D=0ABcc:_v?=",
            "a\n\nBody",
            "x" * 5000,
            "\r\n.\r\nMAIL FROM:<>",
            "a\u2028b\x0bc\x0cd\x1ce",
            "; ; ;",
        ]
    ),
)


@given(
    subject=hostile,
    sender=hostile,
    message_id=hostile,
    envid=hostile,
    orcpt=hostile,
    recipient=hostile,
    diagnostic=hostile,
    status=hostile,
    phone=hostile,
    original=st.binary(),
    ret=st.sampled_from(["FULL", "HDRS"]),
    action=st.sampled_from(Report),
)
@example(
    subject="=?utf-8?q?=0d=0aX:_y?=",
    sender="a@b\r\nX: y",
    message_id="<a@b>\r\nX: y",
    envid="a\r\n\r\nX: y",
    orcpt="rfc822;a+0D+0AX: y",
    recipient="a\r\nX: y",
    diagnostic="x-smsc; a\r\nX: y",
    status="5.1.1\r\nX: y",
    phone="+7\r\nX: y",
    original=b"a\n.\n",
    ret="FULL",
    action=Report.FAILED,
)
def test_no_foreign_text_ever_adds_a_line(
    *, subject, sender, message_id, envid, orcpt, recipient, diagnostic, status, phone, original, ret, action
):
    """Whatever senders, clients and the gateway write, the report has exactly our header fields and our three parts."""
    item = report_item(recipient=recipient, orcpt=orcpt, diagnostic=diagnostic, status=status, action=action)
    due = due_report(
        item, subject=subject, sender=sender, message_id=message_id, envid=envid, original=original, ret=ret
    )
    assert_all_ours(build(due, phones={item.message_id: phone}))


@given(subject=st.text(alphabet=st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=110))
def test_subjects_survive_encoding(subject):
    """A subject reads in the report as it read in the mail, spaces apart."""
    shown = str(parse(build(due_report(subject=subject)))["Subject"])
    wanted = " ".join(subject.split())
    assert "".join(shown.split()) == "".join(f"Undelivered SMS to 79991234561{': ' if wanted else ''}{wanted}".split())
