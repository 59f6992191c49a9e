"""Values for tests about reports: a stored mail, its due items, and the report as independent parsers see it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage, Message

from mailbridge.queue.contract import DueReport, Report, ReportItem, StoredMail
from mailbridge.report.dsn import ReportSettings

RECEIVED = datetime(2026, 3, 2, 8, 59, tzinfo=UTC)
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SETTINGS = ReportSettings(hostname="sms.example.org", from_address="mailer-daemon@sms.example.org")
ORIGINAL = (
    b"From: nagios@example.org\r\nTo: 79991234567@sms.local\r\nSubject: Disk full\r\n"
    b"Message-ID: <1@example.org>\r\n\r\n/var is full\r\n"
)
HEADER_NAMES = [
    "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Mailbridge-Id",
    "In-Reply-To", "References", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
]  # fmt: skip
MAIL_FIELDS = {"Reporting-MTA", "Original-Envelope-Id", "Arrival-Date"}
RECIPIENT_FIELDS = {
    "Original-Recipient", "Final-Recipient", "Action", "Status", "Diagnostic-Code", "Last-Attempt-Date", "Final-Log-Id",
    "Will-Retry-Until",
}  # fmt: skip


def stored_mail(**changes) -> StoredMail:
    """Return a mail that wants reports."""
    original = changes.pop("original", ORIGINAL)
    fields = {
        "id": "K7Q2M9ZC4T",
        "received_at": RECEIVED,
        "sender": "nagios@example.org",
        "client": "127.0.0.1",
        "user": None,
        "message_id": "<1@example.org>",
        "subject": "Disk full",
        "envid": None,
        "ret": None,
        "reportable": True,
        "original": original,
        "size_bytes": len(original),
    }
    return StoredMail(**(fields | changes))


def report_item(number: int = 1, **changes) -> ReportItem:
    """Return a failure of the mail's *number*-th message."""
    fields = {
        "item_id": number,
        "message_id": f"K7Q2M9ZC4T.{number}",
        "recipient": f"7999123456{number}@sms.local",
        "orcpt": None,
        "action": Report.FAILED,
        "status": "5.1.3",
        "diagnostic": "x-smsc; 7 invalid number",
        "at": NOW,
        "expires_at": RECEIVED + timedelta(hours=24),
    }
    return ReportItem(**(fields | changes))


def due_report(*items: ReportItem, **mail_fields) -> DueReport:
    """Return a report on *items*, one failure by default."""
    return DueReport(mail=stored_mail(**mail_fields), items=items or (report_item(),))


def parse(content: bytes) -> EmailMessage:
    """Return the mail as the standard library reads it."""
    return message_from_bytes(content, policy=policy.default)


def status_groups(content: bytes) -> list[Message]:
    """Return the groups of fields of the message/delivery-status part: one for the mail, then one a recipient."""
    parsed = message_from_bytes(content)
    return parsed.get_payload(1).get_payload()


def assert_all_ours(content: bytes) -> None:
    """Assert that a report on one message has our header fields, our three parts and our groups, and nothing else."""
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", content)
    assert max(map(len, content.split(b"\r\n"))) <= 998
    header = content.partition(b"\r\n\r\n")[0]
    assert header.isascii()
    names = [line.partition(b":")[0].decode() for line in header.split(b"\r\n") if line[:1] not in b" \t"]
    assert [name for name in HEADER_NAMES if name in names] == names
    mail = message_from_bytes(content)
    assert not mail.defects
    assert len(mail.get_payload()) == 3
    of_mail, of_recipient = status_groups(content)
    assert set(of_mail.keys()) <= MAIL_FIELDS
    assert set(of_recipient.keys()) <= RECIPIENT_FIELDS
    assert len(of_recipient.keys()) == len(set(of_recipient.keys()))
