"""Content-Transfer-Encoding undone, as declared where that is believable, else as the bytes themselves show.

Used by ``parts`` for the texts of a mail and by ``headers`` for encoded words; pure.
It must not raise for any bytes, and every pattern passes over them a bounded number of times.
"""

from __future__ import annotations

import binascii
import codecs
import re

_BASE64 = frozenset({"base64", "b"})
_UUENCODE = frozenset({"xuuencode", "uuencode", "xuue", "uue"})
#: four words in a row are no base64
_SENTENCE = re.compile(rb"\S [^\s]{1,40} [^\s]{1,40} \S")
_FOOTER = re.compile(rb"\n[-_*#]")
#: a line of words, where a virus scanner adds one without ruling it off
_WORDS = re.compile(rb"\n[ \t]{0,8}[^\s]{1,40} [^\s]{1,40} [^\s]{1,40} \S")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]")
#: the same as octets: to leave them out by table takes a twentieth of the time
_FOREIGN = bytes(octet for octet in range(256) if _NOT_BASE64.match(bytes((octet,))))
_BASE64_BODY = re.compile(rb"\s*+[A-Za-z0-9+/]{24,}+(?:\r?\n[A-Za-z0-9+/]{1,76}+)*+={0,2}\s*+")
_QP_BAD = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*\r?(?:\n|\Z))")
_QP_GOOD = re.compile(rb"=(?:3D|[ \t]*\r?\n|[C-F][0-9A-F])", re.IGNORECASE)
_QP_UTF8 = re.compile(rb"=(?:[CD][0-9A-F]=[89AB][0-9A-F]|E[0-9A-F](?:=[89AB][0-9A-F]){2})", re.IGNORECASE)
_QP_BLANKS = re.compile(rb"=[ \t]+(?=\r?\n)")
#: a line cut after so many characters, whatever stood there
_QP_TORN = re.compile(rb"=(?:=\r?\n([0-9A-Fa-f]{2})|([0-9A-Fa-f])=\r?\n([0-9A-Fa-f]))")
_UU_BEGIN = re.compile(rb"^begin(?:-base64)? [0-7]{3,4} ([^\r\n]{1,200})\r?\n", re.MULTILINE)
_UU_END = re.compile(rb"^(?:end|====)[ \t]*\r?$", re.MULTILINE)
_YENC_BEGIN = re.compile(rb"^=ybegin [^\r\n]{0,400}? name=([^\r\n]{1,200})\r?\n", re.MULTILINE)
_YENC_END = re.compile(rb"^=yend [^\r\n]*\r?$", re.MULTILINE)
_MAX_FILES = 20
_Utf8 = codecs.getincrementaldecoder("utf-8")


def decode_transfer(raw: bytes, encoding: str, notes: list[str]) -> bytes:
    """Return the bytes of a text part; *encoding* is the declared one in lower case, empty where there is none.

    Files that stand in the text as uuencode or yEnc are left out. What was not as declared is added to *notes*.
    Source: RFC 2045 section 6.
    """
    name = re.sub(r"[^a-z0-9]", "", encoding)
    if name == "quotedprintable":
        return _quoted_printable(raw, notes)
    if name in _BASE64:
        return _base64(raw, notes)
    if name in _UUENCODE:
        return _uudecoded(raw)
    if b"\nbegin" in raw or b"=ybegin " in raw:
        return _without_files(raw, notes)
    return _undeclared(raw, notes)


def base64_bytes(raw: bytes) -> bytes:
    """Decode base64 as far as it goes: foreign characters skipped, padding missing or in the middle."""
    try:
        # the library stops at padding, where some encode line by line
        if b"=" not in raw.rstrip(b"= \t\r\n"):
            return binascii.a2b_base64(raw)
    except binascii.Error:
        pass
    pieces = []
    for piece in filter(None, raw.translate(None, _FOREIGN).split(b"=")):
        usable = piece[: len(piece) - 1] if len(piece) % 4 == 1 else piece
        pieces.append(binascii.a2b_base64(usable + b"=" * (-len(usable) % 4)))
    return b"".join(pieces)


def _base64(raw: bytes, notes: list[str]) -> bytes:
    if _SENTENCE.search(raw[:400].lstrip().partition(b"\n")[0]) is not None:
        notes.append("encoding: declared base64, read as it stands")
        return raw
    encoded = _without_footer(raw)
    decoded = base64_bytes(encoded)
    if _is_plain(encoded.strip(), decoded):
        notes.append("encoding: declared base64, read as it stands")
        return raw
    return decoded


def _without_footer(raw: bytes) -> bytes:
    """Return *raw* without what a mailing list or a virus scanner added below it in plain text."""
    ruled = _FOOTER.search(raw)
    if ruled is not None:
        return raw[: ruled.start()]
    words = _WORDS.search(raw)
    above = raw if words is None else raw[: words.start()]
    return above if _BASE64_BODY.fullmatch(above) is not None or _is_text(base64_bytes(above)) else raw


def _is_plain(encoded: bytes, decoded: bytes) -> bool:
    """Tell whether what was declared base64 never was: letters it has not, or words that decode to no text."""
    head = b"".join(encoded[:4000].split(b"\n")).replace(b"\r", b"")
    foreign = len(_NOT_BASE64.findall(head))
    if foreign * 5 > len(head):
        return True
    if len(head) > 200 or (len(head) % 4 == 0 and not foreign):
        return False
    return bool(head) and not _is_text(decoded, is_cut=True)


def _is_text(decoded: bytes, *, is_cut: bool = False) -> bool:
    """Tell whether *decoded* is UTF-8 without control characters; *is_cut*: its last character may be half."""
    try:
        text = _Utf8().decode(decoded, final=not is_cut)
    except UnicodeDecodeError:
        return False
    return bool(text) and _CONTROL.search(text) is None


def _quoted_printable(raw: bytes, notes: list[str]) -> bytes:
    if _QP_BAD.search(raw) is not None and _QP_GOOD.search(raw) is None:
        # every honest encoder writes its sign as =3D
        notes.append("encoding: declared quoted-printable, read as it stands")
        return raw
    if b"= " in raw or b"=\t" in raw:
        raw = _QP_BLANKS.sub(b"=", raw)
    return binascii.a2b_qp(_QP_TORN.sub(rb"=\1\2\3", raw))


def _undeclared(raw: bytes, notes: list[str]) -> bytes:
    """Return *raw*, decoded where it is one piece of base64 or has escapes that make UTF-8 letters."""
    if b"=" in raw and _QP_UTF8.search(raw) is not None and raw.isascii() and _QP_BAD.search(raw) is None:
        decoded = binascii.a2b_qp(raw)
        if _is_text(decoded):
            notes.append("encoding: quoted-printable without saying so")
            return decoded
    elif _BASE64_BODY.fullmatch(raw) is not None:
        compact = b"".join(raw.split())
        decoded = base64_bytes(compact)
        if len(compact) % 4 == 0 and _is_text(decoded) and (b" " in decoded or not decoded.isascii()):
            notes.append("encoding: base64 without saying so")
            return decoded
    return raw


def _without_files(raw: bytes, notes: list[str]) -> bytes:
    for begins, ends in ((_UU_BEGIN, _UU_END), (_YENC_BEGIN, _YENC_END)):
        for _ in range(_MAX_FILES):
            begin = begins.search(raw)
            end = ends.search(raw, begin.end()) if begin is not None else None
            if begin is None or end is None:
                break
            name = re.sub(rb"[^\w.() -]", b"_", begin[1][:60]).decode("ascii", "replace")
            notes.append(f"file in the text left out: {name}")
            raw = raw[: begin.start()] + raw[end.end() :]
    return raw


def _uudecoded(raw: bytes) -> bytes:
    begin = _UU_BEGIN.search(raw)
    if begin is None:
        return raw
    pieces = []
    for line in raw[begin.end() :].splitlines():
        if line == b"end":
            break
        try:
            pieces.append(binascii.a2b_uu(line))
        except binascii.Error:
            # a last line shorter than it says, and what is no line at all
            continue
    return b"".join(pieces)
