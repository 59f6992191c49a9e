"""Build the mail that tells a sender who has answered his alert, or that nobody has.

Place in the flow: beside ``dsn``, handed to the same mailer. Pure. It answers a mail by a program, so it is marked as
one (RFC 3834) and goes out with the null sender; whether it may go at all was decided when the mail came in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from mailbridge.queue.contract import StoredMail
from mailbridge.report import mime
from mailbridge.report.dsn import ReportSettings, is_plain_address


def build_answered(
    mail: StoredMail, *, by: str, number: str, told: Sequence[str], settings: ReportSettings, at: datetime
) -> bytes:
    """Return the mail, complete, CRLF line ends; *by* is empty where nobody has answered.

    *told*: who was told after the first, a line each. The same news gives the same Message-ID.
    Raises: ValueError where the sender has no plain address.
    """
    if not is_plain_address(mail.sender):
        raise ValueError("the sender's address is not a plain mail address")
    title = "Acknowledged" if by else "Nobody has answered"
    subject = mime.one_line(mail.subject, 200)
    digest = hashlib.sha256(f"{title}\n{number}\n{by}".encode("utf-8", "replace")).hexdigest()[:16]
    header = [
        ("From", f"Mail-to-SMS gateway <{mime.plain_token(settings.from_address)}>"),
        ("To", mail.sender),
        ("Subject", mime.unstructured("Subject", f"{title}: {subject}" if subject else title)),
        ("Date", mime.date(at)),
        ("Message-ID", f"<{mail.id}.{digest}@{mime.plain_token(settings.hostname)}>"),
        ("Auto-Submitted", "auto-replied"),
        ("X-Mailbridge-Id", mime.plain_token(mail.id)),
        ("MIME-Version", "1.0"),
    ]
    if (original := mime.message_id(mail.message_id)) is not None:
        header += [("In-Reply-To", original), ("References", original)]
    about = f'Your mail "{subject}"' if subject else "Your mail without a subject"
    happened = f"{by} has answered it on {mime.date(at)}." if by else "Nobody has answered it, and nobody else is told."
    lines = [
        f"This is the mail-to-SMS gateway at {settings.hostname}.",
        "",
        f"{about} of {mime.date(mail.received_at)} has the id {mail.id}, its SMS the number {number}.",
        happened,
        *(["", "Told after the first:", *(f"  {line}" for line in told)] if told else []),
    ]
    body = "\n".join(mime.one_line(line, mime.MAX_LINE) for line in lines)
    return (mime.join_header(header).removesuffix("\r\n") + mime.text_part(body + "\n")).encode("ascii")
