"""The structure of a mail: header block, body, nested parts, as offsets into its bytes.

Second step of ``parse``: nothing is decoded and nothing copied, so a mail of 10 MB costs no second 10 MB.
It must not raise anything but ``Unreadable``, which says that the structure is past what an honest mail has.
Work is bounded: each level looks through its bytes once, levels and parts are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from mailbridge.intake.headers import Field, Parameters, parse_fields, parse_parameters

MAX_LEVELS = 20
MAX_PARTS = 200
MAX_HEADER_LINES = 1000
MAX_HEADER_BYTES = 256_000
_MAX_PART_HEADER_BYTES = 64_000
_PLAIN = Parameters(value="text/plain", parameters={})
_NONE = Parameters(value="", parameters={})
_MBOX_LINE = re.compile(rb"\s*From [^\r\n]{0,500}\r*\n")
_FIELD_START = re.compile(rb"[!-9;-~]{1,100}[ \t]*:")
#: names a header is known by where it begins in the wrong place
_KNOWN_FIELD = re.compile(
    rb"(?i)(?:from|to|subject|date|message-id|mime-version|content-(?:type|transfer-encoding|disposition)|received"
    rb"|return-path|reply-to|x-[\w-]+)[ \t]*:"
)
_KNOWN_NAME = re.compile(
    r"(?i)from|to|cc|bcc|subject|date|sender|message-id|mime-version|content-.+|received|return-path|reply-to|in-reply-to"
    r"|references|auto-submitted|priority|importance|delivered-to|errors-to|precedence|user-agent|list-.+|resent-.+|x-.+"
)
_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+")
_BROKEN_TYPE = re.compile(rb"\s*([A-Za-z]{1,20}/[\w.+-]{1,60})[\s,;]*(?:\([^()]{0,100}\))?[\s,;]*")
#: what follows a line of the header that lost its blank
_GOES_ON = re.compile(rb"(?i)(?:from|to|subject|date|message-id|mime-version|content-[a-z-]{2,30}):[ \t]")
_MAX_BROKEN = 10
_MIME_FIELD = re.compile(rb"(?i)(?:mime-version|content-(?:type|transfer-encoding|disposition))[ \t]*:")
_FIRST_DASHES = re.compile(rb"\s*+(?:[^\s-][^\r\n]{0,200}+\s++)?--(-*+[^\r\n-][^\r\n]{0,250}?)[ \t]{0,20}\r?\n")
_GUESSED_BOUNDARY = re.compile(rb"(?:^|\n)--(\S[^\r\n]{0,199}?)[ \t]{0,20}\r?\n(?=content-)", re.IGNORECASE)


class Unreadable(Exception):
    """The structure of the mail is past the limits of an honest one."""


@dataclass(slots=True, kw_only=True)
class Part:
    """One node of the tree; *start* and *end* mark its body in the mail's bytes."""

    fields: list[Field]
    start: int
    end: int
    content_type: Parameters = _PLAIN
    disposition: Parameters = _NONE
    encoding: str = ""
    children: list[Part] = field(default_factory=list)

    def raw(self, name: str) -> bytes | None:
        """Return the raw value of the first field called *name* (given in lower case)."""
        return next((f.raw for f in self.fields if f.name.lower() == name), None)


@dataclass(slots=True, kw_only=True)
class _Count:
    parts: int = 0


def parse_structure(content: bytes, notes: list[str]) -> Part:
    """Return the tree of *content*; oddities are added to *notes*.

    Raises: Unreadable past 20 levels, 200 parts, 1000 header lines or 256 kB of header.
    """
    start, end = header_span(content)
    if end - start > MAX_HEADER_BYTES:
        raise Unreadable("header larger than 256 kB")
    if content.count(b"\n", start, end) > MAX_HEADER_LINES:
        raise Unreadable("more than 1000 header lines")
    fields = parse_fields(content[start:end])
    body = _after_blank(content, end)
    if not any(_KNOWN_NAME.fullmatch(known.name) for known in fields):
        # "Warning: disk full" from something that never heard of headers
        fields, body = [], start
    if fields and (resumed := _resumed(content, body)) is not None and not _has(fields, b"content-type"):
        fields += parse_fields(content[body:resumed])
        body = _after_blank(content, resumed)
        notes.append("header: went on after a blank line")
    root = Part(fields=fields, start=body, end=len(content))
    _describe(root)
    _split(content, root, 0, _Count(), notes)
    return root


def header_span(content: bytes) -> tuple[int, int]:
    """Return where the header block begins and ends, past a byte order mark, an mbox line or stray blank lines."""
    start = 3 if content.startswith(b"\xef\xbb\xbf") else 0
    if (mbox := _MBOX_LINE.match(content, start)) is not None:
        start = mbox.end()
    elif content[start : start + 1] in {b"\r", b"\n"}:
        skipped = start
        while content[skipped : skipped + 1] in {b"\r", b"\n"} and skipped < start + 20:
            skipped += 1
        if _KNOWN_FIELD.match(content, skipped) is not None:
            start = skipped
    return start, _header_end(content, start, len(content))


def _header_end(content: bytes, start: int, end: int) -> int:
    """Return the offset of the first line that belongs to no header field; one past the last byte looked at.

    A field's second line whose blank was lost is part of the header where known fields and a blank line follow.
    """
    position, stop = start, min(end, start + MAX_HEADER_BYTES + 2)
    broken: list[int] = []
    while position < stop:
        line_end = content.find(b"\n", position, stop)
        following = stop if line_end < 0 else line_end + 1
        head = content[position : position + 1]
        # a line of blanks only is the blank line of a careless sender
        if head in {b"\r", b"\n"} or (head in {b" ", b"\t"} and not content[position:following].strip()):
            return position
        folded = head in {b" ", b"\t"} and position > start
        if not folded and _FIELD_START.match(content, position, following) is None:
            broken.append(position)
            if position == start or len(broken) > _MAX_BROKEN or _GOES_ON.match(content, following, stop) is None:
                break
        position = following
    return broken[0] if broken else position


def _after_blank(content: bytes, position: int) -> int:
    """Return where the body begins: past one blank line, or here where the header ended without one."""
    line_end = content.find(b"\n", position, position + 1000)
    if line_end >= 0 and not content[position:line_end].strip():
        return line_end + 1
    return position


def _resumed(content: bytes, body: int) -> int | None:
    """Return the end of MIME fields that stand behind a stray blank line, or None where there are none."""
    if _MIME_FIELD.match(content, body) is None:
        return None
    end = _header_end(content, body, min(len(content), body + _MAX_PART_HEADER_BYTES))
    return end if content[end : end + 1] in {b"\r", b"\n"} else None


def _has(fields: list[Field], name: bytes) -> bool:
    wanted = name.decode("ascii")
    return any(f.name.lower() == wanted for f in fields)


def _describe(part: Part, default: Parameters = _PLAIN) -> None:
    part.content_type = default
    seen: set[str] = set()
    for known in part.fields:
        name = known.name.lower()
        if not name.startswith("content-") or name in seen:
            continue
        seen.add(name)
        if name == "content-type":
            part.content_type = _content_type(known.raw)
        elif name == "content-disposition":
            part.disposition = parse_parameters(known.raw)
        elif name == "content-transfer-encoding":
            part.encoding = known.raw.decode("ascii", "ignore").partition(";")[0].strip().strip('"').lower()


def _content_type(raw: bytes) -> Parameters:
    parsed = parse_parameters(raw)
    if _TYPE.fullmatch(parsed.value) is not None:
        return parsed
    if (repaired := _BROKEN_TYPE.match(raw)) is not None:
        # "text/html, charset=utf-8", "text/html charset=utf-8", "text/plain (text)"
        return parse_parameters(repaired[1] + b"; " + raw[repaired.end() :])
    # RFC 2045 section 5.2: what cannot be read is plain text
    kind = "text/html" if parsed.value == "html" else "text/plain"
    return Parameters(value=kind, parameters=parsed.parameters)


def _split(content: bytes, part: Part, level: int, count: _Count, notes: list[str]) -> None:
    count.parts += 1
    if level > MAX_LEVELS:
        raise Unreadable("nested deeper than 20 levels")
    if count.parts > MAX_PARTS:
        raise Unreadable("more than 200 parts")
    kind = part.content_type.value
    if kind.startswith("multipart/"):
        default = Parameters(value="message/rfc822", parameters={}) if kind == "multipart/digest" else _PLAIN
        for start, end in _parts(content, part, notes):
            child = _part_at(content, start, end, default)
            part.children.append(child)
            _split(content, child, level + 1, count, notes)
        if not part.children:
            notes.append("structure: a multipart without parts, read as plain text")
            part.content_type = Parameters(value="text/plain", parameters=part.content_type.parameters)
    elif kind in {"message/rfc822", "message/global"} and part.encoding not in {"base64", "quoted-printable"}:
        child = _part_at(content, part.start, part.end, _PLAIN)
        part.children.append(child)
        _split(content, child, level + 1, count, notes)


def _part_at(content: bytes, start: int, end: int, default: Parameters) -> Part:
    header_end = start
    if content[start : start + 1] not in {b"\r", b"\n"}:
        header_end = _header_end(content, start, min(end, start + _MAX_PART_HEADER_BYTES))
    body = min(_after_blank(content, header_end), end)
    part = Part(fields=parse_fields(content[start:header_end]), start=body, end=end)
    _describe(part, default)
    return part


def _parts(content: bytes, part: Part, notes: list[str]) -> Iterator[tuple[int, int]]:
    """Yield where each part lies; a missing end, a wrong boundary or none at all is put up with."""
    boundary = part.content_type.parameters.get("boundary", "").encode("utf-8", "surrogateescape").rstrip()
    first = next(_delimiters(content, boundary, part), None) if boundary else None
    if first is None:
        guessed = _guessed_boundary(content, part)
        if guessed is None:
            return
        boundary = guessed
        notes.append("structure: the boundary declared is not the one used")
    begin = -1
    for start, end, is_last in _delimiters(content, boundary, part):
        if begin >= 0:
            yield begin, max(begin, start)
        begin = -1 if is_last else end
        if is_last:
            return
    if begin >= 0:
        notes.append("structure: the last boundary is missing")
        yield begin, part.end


def _guessed_boundary(content: bytes, part: Part) -> bytes | None:
    """Return what stands where a boundary should: before a part's header, or before all with an end somewhere below."""
    found = _GUESSED_BOUNDARY.search(content, max(0, part.start - 1), min(part.end, part.start + MAX_HEADER_BYTES))
    if found is not None:
        return found[1].removesuffix(b"--") or found[1]
    found = _FIRST_DASHES.match(content, part.start, part.end)
    if found is not None and content.find(b"\n--" + found[1] + b"--", found.end() - 1, part.end) >= 0:
        return found[1]
    return None


def _delimiters(content: bytes, boundary: bytes, part: Part) -> Iterator[tuple[int, int, bool]]:
    """Yield start (of the line end before it), end and kind of each delimiter line of *boundary*."""
    mark = b"--" + boundary
    position = part.start
    while (found := content.find(mark, position, part.end)) >= 0:
        position = found + len(mark)
        if found > part.start and content[found - 1 : found] != b"\n":
            continue
        line_end = content.find(b"\n", position, part.end)
        tail_end = part.end if line_end < 0 else line_end
        tail = content[position : min(tail_end, position + 80)].strip()
        if tail not in {b"", b"--"}:
            continue
        start = found
        if start > part.start:
            start -= 2 if content[start - 2 : start] == b"\r\n" else 1
        yield start, part.end if line_end < 0 else line_end + 1, tail == b"--"
