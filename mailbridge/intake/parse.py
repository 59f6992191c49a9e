"""A mail's bytes to a ``Mail`` as a person would read it.

First step behind the door: ReceivedMail.content -> ``parse_mail`` -> Mail -> route.
Pure, total and bounded: it must not raise for any bytes, open an attachment, or do more work than the limits below.
"""

from __future__ import annotations

import binascii
import re

from mailbridge.intake import charset, mime
from mailbridge.intake.clean import clean_line
from mailbridge.intake.headers import Field, base64_bytes, decode_value, parse_fields, parse_from
from mailbridge.intake.html import html_to_text
from mailbridge.intake.mime import Part
from mailbridge.intake.text import calendar_text
from mailbridge.intake.tidy import tidy_body, unflow
from mailbridge.model.mail import Attachment, Mail

#: a text part is read up to here; twenty parts of SMS hold 3 kB
MAX_TEXT_BYTES = 256_000
#: the text of a page may stand behind its style sheets
MAX_HTML_BYTES = 512_000
#: and kept up to here once it is text
MAX_BODY_CHARS = 64_000
_MAX_NOTES = 20
#: four words in a row are no base64
_SENTENCE = re.compile(rb"\S [^\s]{1,40} [^\s]{1,40} \S")
_FOOTER = re.compile(rb"\n[-_*#]")
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
    texts, attachments = _read(content, root, notes)
    return _mail(root.fields, texts, attachments, notes, hint=root.content_type.parameters.get("charset", ""))


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


def _read(content: bytes, root: Part, notes: list[str]) -> tuple[str, tuple[Attachment, ...]]:
    attachments: list[Attachment] = []
    text = _text_of(content, root, attachments, notes)
    return text, tuple(attachments)


def _text_of(content: bytes, part: Part, attachments: list[Attachment], notes: list[str]) -> str:
    """Return the text of *part* and of what is below it; what is no text is added to *attachments*."""
    kind = part.content_type.value
    if part.children and kind.startswith("message/"):
        return _forwarded(content, part.children[0], attachments, notes)
    if part.children:
        return _text_of_children(content, part, attachments, notes)
    if _is_attachment(part):
        attachments.append(_attachment(content, part))
        return ""
    if kind == "text/calendar":
        return calendar_text(_plain(content, part, notes))
    if kind == "text/html":
        return html_to_text(_plain(content, part, notes))
    text = _plain(content, part, notes)
    parameters = part.content_type.parameters
    if parameters.get("format", "").lower() == "flowed":
        text = unflow(text, delete_space=parameters.get("delsp", "").lower() == "yes")
    return text


def _text_of_children(content: bytes, part: Part, attachments: list[Attachment], notes: list[str]) -> str:
    kind = part.content_type.value
    if kind == "multipart/alternative":
        return _best(content, part.children, attachments, notes)
    if kind in {"multipart/related", "multipart/signed", "multipart/report", "multipart/encrypted"}:
        first, *rest = part.children
        # RFC 2387 lets another part be the root, and some put the picture first
        text = _text_of(content, first, attachments, notes)
        for child in rest:
            if text.strip():
                _name_all(content, child, attachments)
            else:
                text = _text_of(content, child, attachments, notes)
        return text
    return _mixed(content, part.children, attachments, notes, digest=kind == "multipart/digest")


def _mixed(
    content: bytes, children: list[Part], attachments: list[Attachment], notes: list[str], *, digest: bool
) -> str:
    """Join the inline texts; a forwarded mail is read where nothing else is to be read."""
    plain: list[str] = []
    html: list[Part] = []
    later: list[Part] = []
    for child in children:
        kind = child.content_type.value
        if kind.startswith("message/") and child.children and not digest:
            later.append(child)
        elif kind in {"text/html", "text/calendar"} and not _is_attachment(child):
            html.append(child)
        else:
            plain.append(_text_of(content, child, attachments, notes))
    joined = "\n\n".join(text for text in plain if text.strip())
    for child in [*html, *later]:
        if joined.strip():
            if child in later:
                attachments.append(_attachment(content, child))
        else:
            joined = _text_of(content, child, attachments, notes)
    return joined


def _best(content: bytes, children: list[Part], attachments: list[Attachment], notes: list[str]) -> str:
    """Return the first of text/plain, other structures, HTML and the rest that is not blank."""
    ranked = sorted(children, key=_rank)
    text = ""
    for child in ranked:
        if not text.strip():
            text = _text_of(content, child, attachments, notes)
        elif child.children or _is_attachment(child):
            _name_all(content, child, attachments)
    return text


def _rank(part: Part) -> int:
    kind = part.content_type.value
    if _is_attachment(part):
        return 4
    if kind == "text/plain":
        return 0
    if kind.startswith("multipart/"):
        return 1
    return 2 if kind == "text/html" else 3


def _forwarded(content: bytes, inner: Part, attachments: list[Attachment], notes: list[str]) -> str:
    raw = inner.raw("subject")
    text = _text_of(content, inner, attachments, notes)
    return f"{decode_value(raw)}\n{text}" if raw else text


def _name_all(content: bytes, part: Part, attachments: list[Attachment]) -> None:
    """Add the leaves of *part* that are files; its texts are other views of what was read already."""
    if part.children and not part.content_type.value.startswith("message/"):
        for child in part.children:
            _name_all(content, child, attachments)
    elif _is_attachment(part) or not part.content_type.value.startswith("text/"):
        attachments.append(_attachment(content, part))


def _is_attachment(part: Part) -> bool:
    kind = part.content_type.value
    if part.disposition.value == "attachment":
        return True
    if not kind.startswith("text/"):
        return True
    named = bool(part.disposition.parameters.get("filename") or part.content_type.parameters.get("name"))
    return named and kind not in {"text/plain", "text/html"}


def _attachment(content: bytes, part: Part) -> Attachment:
    name = part.disposition.parameters.get("filename") or part.content_type.parameters.get("name") or ""
    if not name:
        described = part.children[0].raw("subject") if part.children else part.raw("content-description")
        name = decode_value(described or b"")
    size = part.end - part.start
    if part.encoding == "base64":
        ends = content.count(b"\n", part.start, part.end) + content.count(b"\r", part.start, part.end)
        size = max(0, size - ends - content.count(b"=", max(part.start, part.end - 6), part.end)) * 3 // 4
    # a path in a file name is none of ours, whoever uses it later
    name = clean_line(name).replace("\\", "/").rpartition("/")[2][:200]
    return Attachment(name=name, content_type=clean_line(part.content_type.value)[:100], size_bytes=size)


def _plain(content: bytes, part: Part, notes: list[str]) -> str:
    """Return the characters of a text part, transfer encoding and charset undone."""
    limit = MAX_HTML_BYTES if part.content_type.value == "text/html" else MAX_TEXT_BYTES
    end = min(part.end, part.start + limit)
    if end < part.end:
        notes.append(f"text cut: only its first {limit // 1000} kB were read")
    raw = _transfer_decoded(content[part.start : end], part.encoding, notes)
    declared = part.content_type.parameters.get("charset", "")
    decoded = charset.decode(raw, declared)
    if decoded.note:
        notes.append(decoded.note)
    return decoded.text


def _transfer_decoded(raw: bytes, encoding: str, notes: list[str]) -> bytes:
    if encoding == "quoted-printable":
        return binascii.a2b_qp(raw)
    if encoding not in {"base64", "b"}:
        return raw
    if _SENTENCE.search(raw[:400].lstrip().partition(b"\n")[0]) is not None:
        notes.append("encoding: declared base64, read as it stands")
        return raw
    # a mailing list adds its footer in plain text below
    footer = _FOOTER.search(raw)
    return base64_bytes(raw if footer is None else raw[: footer.start()])
