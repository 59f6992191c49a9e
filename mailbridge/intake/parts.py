"""Which parts of a mail are its text, and which are files.

Third step of ``parse``, between the structure and the tidying; pure.
It must not open a file, and must not lose the alarm where a part that should hold it holds a stopgap.
"""

from __future__ import annotations

import re

from mailbridge.intake import charset
from mailbridge.intake.clean import clean_line, clean_text
from mailbridge.intake.headers import decode_value
from mailbridge.intake.html import html_to_text
from mailbridge.intake.mime import Part
from mailbridge.intake.text import calendar_text, enriched_text, is_page, is_stopgap
from mailbridge.intake.tidy import unflow
from mailbridge.intake.transfer import decode_transfer
from mailbridge.model.mail import Attachment

#: a text part is read up to here; twenty parts of SMS hold 3 kB
MAX_TEXT_BYTES = 256_000
#: the text of a page may stand behind its style sheets
MAX_HTML_BYTES = 512_000
#: pages read in one mail; each may take a good part of a second where somebody means it to
_MAX_PAGES = 3
_PAGES = frozenset({"text/html", "application/xhtml+xml", "text/x-amp-html"})
_ENRICHED = frozenset({"text/enriched", "text/richtext"})
#: text to a machine only
_UNREADABLE = frozenset({"text/rtf", "text/css", "text/javascript"})
#: what programs that post elsewhere call their alerts
_DATA = frozenset({"application/json", "application/xml", "application/octet-stream", "application/text"})
_CONTROL = re.compile("[\\x00-\\x08\\x0e-\\x1f\\x7f]")
#: their first part is the text, the others belong to it
_LED = frozenset({"multipart/related", "multipart/signed", "multipart/report", "multipart/encrypted"})
_META_CHARSET = re.compile(rb"<meta[^>]{1,200}charset\s*=\s*[\"']?([\w-]{2,30})", re.IGNORECASE)


def read_parts(content: bytes, root: Part, notes: list[str]) -> tuple[str, tuple[Attachment, ...]]:
    """Return the text of a mail, not yet tidied, and its files; oddities are added to *notes*."""
    reader = _Reader(content, notes)
    text = (reader.data_of(root) or reader.text_of(root))[:MAX_TEXT_BYTES]
    return text, tuple(reader.attachments)


class _Reader:
    """One walk over the parts of one mail."""

    def __init__(self, content: bytes, notes: list[str]) -> None:
        self._content = content
        self._notes = notes
        self._pages = 0
        self.attachments: list[Attachment] = []

    def text_of(self, part: Part) -> str:
        """Return the text of *part* and of what is below it; what is no text is added to the attachments."""
        kind = part.content_type.value
        if part.children and kind.startswith("message/"):
            return self._forwarded(part.children[0])
        if part.children:
            return self._text_of_children(part)
        if _is_attachment(part):
            self._attach(part)
            return ""
        if kind in _PAGES:
            return self._page(self._characters(part)) if self._pages < _MAX_PAGES else ""
        text = self._characters(part)
        if kind == "text/calendar":
            return calendar_text(text)
        if kind in _ENRICHED:
            return enriched_text(text)
        if is_page(text):
            return self._page(text)
        parameters = part.content_type.parameters
        if parameters.get("format", "").lower() == "flowed":
            text = unflow(text, delete_space=parameters.get("delsp", "").lower() == "yes")
        return text

    def data_of(self, root: Part) -> str:
        """Return what a whole mail without parts says in JSON, XML or nobody knows what, where that is text."""
        if root.content_type.value not in _DATA or _is_named(root) or root.disposition.value == "attachment":
            return ""
        raw = decode_transfer(self._content[root.start : min(root.end, root.start + MAX_TEXT_BYTES)], root.encoding, [])
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            return ""
        return "" if _CONTROL.search(text) else text

    def _page(self, text: str) -> str:
        self._pages += 1
        return html_to_text(text) if self._pages <= _MAX_PAGES else ""

    def _text_of_children(self, part: Part) -> str:
        kind = part.content_type.value
        if kind == "multipart/alternative":
            return self._best(part.children)
        if kind in _LED:
            first, *rest = part.children
            # RFC 2387 lets another part be the root, and some put the picture first
            text = self.text_of(first)
            for child in rest:
                if text.strip():
                    self._name_all(child)
                else:
                    text = self.text_of(child)
            return text
        return self._mixed(part.children, digest=kind == "multipart/digest")

    def _mixed(self, children: list[Part], *, digest: bool) -> str:
        """Join the inline texts; other views, texts that are files and forwarded mails only where there are none."""
        texts: list[str] = []
        pages: list[tuple[int, Part]] = []
        later: list[Part] = []
        for child in children:
            kind = child.content_type.value
            if kind.startswith("message/") and child.children and not digest:
                later.append(child)
            elif kind in _PAGES and not _is_attachment(child):
                pages.append((len(texts), child))
            elif kind.startswith("text/") and (kind != "text/plain" or _is_named(child)) and not _is_attachment(child):
                later.append(child)
            elif (text := self.text_of(child)).strip():
                texts.append(text)
        texts = self._with_page(texts, pages)
        joined = "\n\n".join(texts)
        for child in later:
            if not joined.strip():
                joined = self.text_of(child)
            elif child.content_type.value != "text/calendar":
                self._attach(child)
        return joined

    def _with_page(self, texts: list[str], pages: list[tuple[int, Part]]) -> list[str]:
        """Put the pages first where no text stands before them: what follows a page is a footer."""
        for number, (before, child) in enumerate(pages):
            if texts and before and not all(is_stopgap(text) for text in texts[:before]):
                break
            page = self.text_of(child)
            if page.strip():
                said = " ".join(page.split())
                # a page cut in two by a picture
                more = [self.text_of(other) for _, other in pages[number + 1 :]]
                return [page, *(text for text in [*more, *texts[before:]] if " ".join(text.split()) not in said)]
        return texts

    def _best(self, children: list[Part]) -> str:
        """Return the first of text/plain, other structures, HTML and the rest that is not blank, nor a stopgap."""
        text = stopgap = ""
        for child in sorted(children, key=_rank):
            if not text.strip():
                text = self.text_of(child)
                if not clean_text(text).strip():
                    text = ""
                elif is_stopgap(text):
                    text, stopgap = "", stopgap or text
            elif child.children or _is_attachment(child):
                self._name_all(child)
        return text or stopgap

    def _forwarded(self, inner: Part) -> str:
        raw = inner.raw("subject")
        text = self.text_of(inner)
        return f"{decode_value(raw)}\n{text}" if raw else text

    def _name_all(self, part: Part) -> None:
        """Add the leaves of *part* that are files; its texts are other views of what was read already."""
        if part.children and not part.content_type.value.startswith("message/"):
            for child in part.children:
                self._name_all(child)
        elif _is_attachment(part) or not part.content_type.value.startswith("text/"):
            self._attach(part)

    def _attach(self, part: Part) -> None:
        name = part.disposition.parameters.get("filename") or part.content_type.parameters.get("name") or ""
        if not name:
            described = part.children[0].raw("subject") if part.children else part.raw("content-description")
            name = decode_value(described or b"")
        size = part.end - part.start
        if part.encoding == "base64":
            ends = self._content.count(b"\n", part.start, part.end) + self._content.count(b"\r", part.start, part.end)
            padding = self._content.count(b"=", max(part.start, part.end - 6), part.end)
            size = max(0, size - ends - padding) * 3 // 4
        # a path in a file name is none of ours, whoever uses it later
        name = clean_line(name).replace("\\", "/").rpartition("/")[2][:200]
        kind = clean_line(part.content_type.value)[:100]
        is_inline = bool(part.raw("content-id")) and part.disposition.value != "attachment"
        self.attachments.append(Attachment(name=name, content_type=kind, size_bytes=size, is_inline=is_inline))

    def _characters(self, part: Part) -> str:
        """Return the characters of a text part, transfer encoding and charset undone."""
        page = part.content_type.value in _PAGES
        limit = MAX_HTML_BYTES if page else MAX_TEXT_BYTES
        end = min(part.end, part.start + limit)
        if end < part.end:
            self._notes.append(f"text cut: only its first {limit // 1000} kB were read")
        raw = decode_transfer(self._content[part.start : end], part.encoding, self._notes)
        declared = part.content_type.parameters.get("charset", "")
        if page and not declared and (meta := _META_CHARSET.search(raw, 0, 4000)) is not None:
            declared = meta[1].decode("ascii", "replace")
        decoded = charset.decode(raw, declared)
        if decoded.note:
            self._notes.append(decoded.note)
        return decoded.text


def _rank(part: Part) -> int:
    kind = part.content_type.value
    if _is_attachment(part):
        return 5
    if kind == "text/plain":
        return 0
    if kind.startswith("multipart/"):
        return 1
    # AMP is the page again, for programs that run it
    return 2 if kind == "text/html" else 4 if kind == "text/x-amp-html" else 3


def _is_named(part: Part) -> bool:
    return bool(part.disposition.parameters.get("filename") or part.content_type.parameters.get("name"))


def _is_attachment(part: Part) -> bool:
    kind = part.content_type.value
    if part.disposition.value == "attachment":
        return True
    if kind in _UNREADABLE or not (kind.startswith("text/") or kind in _PAGES):
        return True
    return _is_named(part) and kind not in {"text/plain", *_PAGES}
