"""Values for tests about reports: a stored mail, its due items, and the report as independent parsers see it."""

from __future__ import annotations

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
