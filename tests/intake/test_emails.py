"""Mails as devices and people send them, and the SMS each becomes; every pair was read by a person."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailbridge.config.model import MessageDefaults
from mailbridge.intake.compose import compose
from mailbridge.intake.parse import parse_mail
from mailbridge.model.mail import Recipient
from mailbridge.model.phone import Phone

EMAILS = Path(__file__).parent.parent / "data" / "emails"
RECIPIENT = Recipient(address="79991234567@sms.local", channel="sms", phone=Phone("+79991234567"))
PATHS = sorted(EMAILS.glob("*.eml"))


def test_there_are_many():
    """Each mail has its expectation and none is left over."""
    assert len(PATHS) >= 75
    assert {path.stem for path in PATHS} == {path.stem for path in EMAILS.glob("*.json")}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_mail_becomes_the_sms_a_person_wants(path):
    """Sender, subject, body, attachments and the SMS with the default template are as recorded."""
    expected = json.loads(path.with_suffix(".json").read_text("utf-8"))
    mail = parse_mail(path.read_bytes())
    message = compose(mail, RECIPIENT, MessageDefaults(), datetime(2026, 1, 12, tzinfo=UTC))
    assert {
        "subject": mail.subject,
        "body": mail.body,
        "from_name": mail.from_name,
        "from_address": mail.from_address,
        "attachments": [attachment.name for attachment in mail.attachments],
        "notes": list(mail.notes),
        "sms": {"text": message.text, "alphabet": str(message.alphabet), "parts": message.parts},
    } == expected


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_line_ends_do_not_matter(path):
    """A mail with bare LF or bare CR line ends reads the same."""
    mail = parse_mail(path.read_bytes())
    for line_end in (b"\n", b"\r"):
        content = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", line_end)
        other = parse_mail(content)
        assert (other.subject, other.body) == (mail.subject, mail.body)
