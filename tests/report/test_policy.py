"""Who may get a report: everybody who sent a mail by hand or by machine, nobody who answers or multiplies."""

from __future__ import annotations

import pytest

from mailbridge.model.mail import Mail
from mailbridge.report.policy import is_reportable, why_unreportable

OWN = "mailer-daemon@sms.example.org"


def mail(*headers: tuple[str, str], auto_submitted: str = "", to: str = "") -> Mail:
    """Return a mail with these header fields."""
    return Mail(
        subject="s",
        body="b",
        from_address="a@example.org",
        from_name="",
        to=to,
        message_id="",
        headers=headers,
        auto_submitted=auto_submitted,
    )


@pytest.mark.parametrize(
    "content",
    [
        mail(),
        mail(auto_submitted="no"),
        mail(auto_submitted="auto-generated"),
        mail(auto_submitted="auto-generated; type=nagios"),
        mail(auto_submitted="(from (a) cron;) auto-generated (daily)"),
        mail(("Precedence", "first-class")),
        mail(("Content-Type", "multipart/mixed; boundary=x")),
        mail(("Return-Path", "<a@example.org>")),
    ],
)
def test_ordinary_and_machine_made_mail_gets_its_report(content):
    """Cron, Nagios and Zabbix mark their mails auto-generated and want to hear of failures."""
    assert is_reportable("nagios@example.org", content, bounce_from=OWN)


@pytest.mark.parametrize(
    ("sender", "content"),
    [
        ("", mail()),
        ("<>", mail()),
        (OWN, mail()),
        (OWN.upper(), mail()),
        ("MAILER-DAEMON@elsewhere.example", mail()),
        ("a@b\r\nBcc: c@d", mail()),
        ("тест@example.org", mail()),
        ("no-domain", mail()),
        ("a@b.c", mail(auto_submitted="auto-replied")),
        ("a@b.c", mail(auto_submitted="auto-notified; owner-email=a@b.c")),
        ("a@b.c", mail(auto_submitted="auto-replied (vacation)")),
        ("a@b.c", mail(auto_submitted="(by (a) robot) auto-replied")),
        ("a@b.c", mail(("Precedence", "(many)\r\n bulk"))),
        ("a@b.c", mail(auto_submitted="something-new")),
        ("a@b.c", mail(("Precedence", "Bulk"))),
        ("a@b.c", mail(("precedence", " junk "))),
        ("a@b.c", mail(("PRECEDENCE", "list"))),
        ("a@b.c", mail(("List-Id", "<x.example.org>"))),
        ("a@b.c", mail(("Content-Type", "Multipart/Report; report-type=delivery-status"))),
        ("a@b.c", mail(("Return-Path", " <> "))),
        ("a@b.c", mail(("In-Reply-To", "<K7Q2M9ZC4T.0123456789abcdef@sms.example.org>"))),
        ("a@b.c", mail(("References", "<x@y> <notice.0123456789abcdef@sms.example.org>"))),
        ("a@b.c", mail(to=f"Gateway <{OWN.upper()}>")),
    ],
)
def test_answers_crowds_and_daemons_get_none(sender, content):
    """Each reason against a report is found, and told in words."""
    assert not is_reportable(sender, content, bounce_from=OWN)
    assert why_unreportable(sender, content, bounce_from=OWN)
