"""Build the plain mails the operator gets: a gateway is suspended or works again, messages wait for a person.

Place in the flow: beside ``dsn``, handed to the same mailer. Pure. It must not decide how often: the caller does.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from mailbridge.report import mime
from mailbridge.report.dsn import ReportSettings, is_plain_address


def build_notice(subject: str, body: str, *, to: str, settings: ReportSettings, now: datetime) -> bytes:
    """Return a mail to the operator, complete, CRLF line ends.

    Its Message-ID follows from content and time, so the same notice sent twice around a crash is seen to be one.
    Raises: ValueError when *to* is no plain address.
    """
    if not is_plain_address(to):
        raise ValueError("the operator's address is not a plain mail address")
    digest = hashlib.sha256(f"{subject}\n{body}\n{now.isoformat()}".encode("utf-8", "replace")).hexdigest()[:16]
    header = [
        ("From", f"Mail-to-SMS gateway <{mime.plain_token(settings.from_address)}>"),
        ("To", to),
        ("Subject", mime.unstructured("Subject", subject)),
        ("Date", mime.date(now)),
        ("Message-ID", f"<notice.{digest}@{mime.plain_token(settings.hostname)}>"),
        # RFC 3834 5.1: made by a program, not in answer to a mail
        ("Auto-Submitted", "auto-generated"),
        ("MIME-Version", "1.0"),
    ]
    lines = "\n".join(mime.one_line(line, mime.MAX_LINE) for line in body.splitlines())
    fields = "".join(mime.field(name, value) for name, value in header)
    return (fields + mime.text_part(lines + "\n")).encode("ascii")
