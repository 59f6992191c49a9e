"""Decide about which mails a report may be sent at all: no loops, no answers to answers (RFC 5321 6.1, RFC 3834 2).

Place in the flow: asked by the intake when a mail is queued (``NewMail.reportable``). Pure.
What is not reportable is still logged, counted and kept in the history.

A report is not the automatic *reply* RFC 3834 forbids for every automatic mail: it is what SMTP owes a sender whose
mail was taken. Monitoring and cron mark their mails ``auto-generated``, and for them this bridge exists.
So ``auto-generated`` gets its report, ``auto-replied`` and ``auto-notified`` (RFC 5436 2.7.1) do not.
"""

from __future__ import annotations

import re

from mailbridge.model.mail import Mail
from mailbridge.queue.contract import ReportItem
from mailbridge.queue.rules import is_report_wanted
from mailbridge.report.dsn import is_plain_address

_AUTO_SUBMITTED_WELCOME = frozenset({"", "no", "auto-generated"})
_PRECEDENCE_OF_CROWDS = frozenset({"bulk", "junk", "list"})
#: Message-IDs of reports and notices, ours or another bridge's: an automatic answer that does not say that it is one
_OUR_REPORT = re.compile(r"<(?:[0-9A-Z]{10}|notice)\.[0-9a-f]{16}@")
#: fields that tell of an automatic mail
_TELLING = frozenset({"precedence", "list-id", "content-type", "return-path", "in-reply-to", "references"})
_PARENTHESES = re.compile(r"([()])")
_DAEMONS = frozenset({"mailer-daemon", "mailer_daemon"})


def is_reportable(sender: str, mail: Mail, *, bounce_from: str = "") -> bool:
    """Tell whether *sender* (the envelope sender, empty for the null sender) may ever get a report about *mail*."""
    return why_unreportable(sender, mail, bounce_from=bounce_from) is None


def why_unreportable(sender: str, mail: Mail, *, bounce_from: str = "") -> str | None:
    """Return in words why no report may be sent about *mail*, for the history and ``explain``; None where it may."""
    if not sender or sender == "<>":
        return "the null sender gets no reports (RFC 5321 4.5.5)"
    if not is_plain_address(sender):
        return "the sender's address cannot be written to"
    if sender.lower() == bounce_from.lower() or sender.lower().partition("@")[0] in _DAEMONS:
        return "the sender is a mail daemon"
    if bounce_from and bounce_from.lower() in mail.to.lower():
        return "the mail is addressed to where our reports come from"
    return _why_automatic(mail)


def why_untold(item: ReportItem, *, reportable: bool) -> str | None:
    """Return in words why the sender is not to hear of *item*; None where he is."""
    if is_report_wanted(item.action, reportable=reportable, notify=item.notify):
        return None
    return f"NOTIFY={','.join(sorted(item.notify))}" if reportable and item.notify else "this sender gets no reports"


def _why_automatic(mail: Mail) -> str | None:
    if _keyword(mail.auto_submitted) not in _AUTO_SUBMITTED_WELCOME:
        return "the mail is an automatic answer (Auto-Submitted)"
    # backwards, so that the first field of a name is the one that counts
    fields = {known: value for name, value in reversed(mail.headers) if (known := name.lower()) in _TELLING}
    if not fields:
        return None
    if _keyword(fields.get("precedence")) in _PRECEDENCE_OF_CROWDS:
        return "the mail was sent to many (Precedence)"
    if "list-id" in fields:
        return "the mail came over a mailing list (List-Id)"
    if _keyword(fields.get("content-type")) == "multipart/report":
        return "the mail is a report itself"
    if fields.get("return-path", "").strip() == "<>":
        return "the mail came from the null sender (Return-Path)"
    if _OUR_REPORT.search(f"{fields.get('in-reply-to', '')} {fields.get('references', '')}"):
        return "the mail answers a report of ours (In-Reply-To)"
    return None


def _keyword(value: str | None) -> str:
    """Return the first word of a structured field, without parameters and comments, in lower case."""
    return _without_comments(value or "").partition(";")[0].strip().lower()


def _without_comments(value: str) -> str:
    """Return *value* without its comments (RFC 5322 3.2.2), which nest and may stand anywhere, in front, too."""
    if "(" not in value and ")" not in value:
        return value
    out, depth = [], 0
    for piece in _PARENTHESES.split(value):
        if piece == "(":
            depth += 1
        elif piece == ")":
            depth = max(0, depth - 1)
        elif not depth:
            out.append(piece)
    return "".join(out)
