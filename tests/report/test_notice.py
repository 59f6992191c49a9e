"""Mails to the operator."""

from __future__ import annotations

import pytest

from mailbridge.report.notice import build_notice
from tests.support.reports import NOW, SETTINGS, parse


def test_a_notice_is_a_plain_mail_nobody_answers():
    """The operator gets text, marked as made by a program."""
    content = build_notice(
        "gateway main suspended", "SMSC error 3\nнет денег\r\n.", to="ops@example.org", settings=SETTINGS, now=NOW
    )
    mail = parse(content)
    assert mail["Subject"] == "gateway main suspended"
    assert mail["To"] == "ops@example.org"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().splitlines() == ["SMSC error 3", "нет денег", "."]
    assert content.isascii()


def test_a_hostile_subject_adds_no_line():
    """Gateway words in the subject cannot begin a field."""
    content = build_notice("a\r\nBcc: x@y", "b\r\n\r\nc", to="ops@example.org", settings=SETTINGS, now=NOW)
    assert parse(content)["Bcc"] is None


def test_a_recipient_that_is_no_address_is_refused():
    """A wrong operator address is found when the notice is built, not by the smarthost."""
    with pytest.raises(ValueError, match="operator"):
        build_notice("a", "b", to="a@b\r\nBcc: c@d", settings=SETTINGS, now=NOW)
