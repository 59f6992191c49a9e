"""A mail's bytes to a ``Mail`` as a person would read it.

First step behind the door: ReceivedMail.content -> ``parse_mail`` -> Mail -> route.
Pure, total and bounded: it must not raise for any bytes, open an attachment, or do more work than the limits below.
"""

from __future__ import annotations

import re

from mailbridge.intake import mime
from mailbridge.intake.headers import Field, decode_value, parse_fields, parse_from
from mailbridge.intake.parts import read_parts
from mailbridge.intake.tidy import tidy_body
from mailbridge.model.mail import Attachment, Mail

#: a text is kept up to here; twenty parts of SMS hold 3 kB
MAX_BODY_CHARS = 64_000
_MAX_NOTES = 20
_REPLY_SUBJECT = re.compile(r"(?i)\s*(?:re|aw|отв|на|fwd?|пересл)(?:\[\d+\])?:")


def parse_mail(content: bytes) -> Mail:
    """Read *content* as a person would.

    Shape: every string is readable text; ``body`` is text/plain unless blank, else the HTML as text, else empty.
    A structure past the limits of ``mime`` gives the header alone and a note that begins ``text unreadable:``.
    Source: RFC 5322, 2045 to 2047, 2231, 3676, and what devices make of them.
    """
    notes: list[str] = []
    if b"\n" not in content:
        # the line ends of devices that learned mail from a terminal
        content = content.replace(b"\r", b"\n")
    try:
        root = mime.parse_structure(content, notes)
    except mime.Unreadable as error:
        notes.append(f"text unreadable: {error}")
        start, end = mime.header_span(content)
        fields = parse_fields(content[start : min(end, start + mime.MAX_HEADER_BYTES)])[: mime.MAX_HEADER_LINES]
        return _mail(fields, "", (), notes)
    text, attachments = read_parts(content, root, notes)
    return _mail(root.fields, text, attachments, notes, hint=root.content_type.parameters.get("charset", ""))


def _mail(
    fields: list[Field], body: str, attachments: tuple[Attachment, ...], notes: list[str], *, hint: str = ""
) -> Mail:
    headers: list[tuple[str, str]] = []
    first: dict[str, str] = {}
    raw_from, received = b"", 0
    for field in fields:
        name = field.name.lower()
        value = decode_value(field.raw, hint, notes if name == "subject" else None)
        headers.append((field.name, value))
        if name == "received":
            received += 1
        elif name not in first:
            first[name] = value
            if name == "from":
                raw_from = field.raw
    from_name, from_address = parse_from(raw_from, hint)
    subject = first.get("subject", "")
    reply = "in-reply-to" in first or "references" in first or _REPLY_SUBJECT.match(subject) is not None
    return Mail(
        subject=subject,
        body=tidy_body(body, reply=reply)[:MAX_BODY_CHARS].rstrip() if body else "",
        from_address=from_address,
        from_name=from_name,
        to=first.get("to", ""),
        message_id=first.get("message-id", ""),
        headers=tuple(headers),
        attachments=attachments,
        received_count=received,
        auto_submitted=first.get("auto-submitted", "").partition(";")[0].partition("(")[0].strip().lower(),
        notes=tuple(dict.fromkeys(notes))[:_MAX_NOTES],
    )
