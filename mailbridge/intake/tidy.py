"""A mail's text without what a reader of an SMS can do without: white space, signatures, quoted mails, ruled lines.

Last step of ``parse``; pure.
It must not leave nothing where there was something: a cut that would empty the text is not made.
"""

from __future__ import annotations

import re

from mailbridge.intake.clean import clean_text

#: a line drawn with signs; ``~`` is left alone: the gateway gives it a meaning and a text may be about it
_RULE = re.compile(r"[-=_*#+|—–─═━·.]{5,}|(?:[-=_*] ){4,}[-=_*]")
#: what each line of the kinds looked for in ``_undrawn`` begins with
_DRAWN = frozenset("-=_*#+|—–─═━·.")
_SIGNATURE = "-- "
#: a signature whose blank was lost is no longer than this
_SIGNATURE_LINES = 5
_PHONE_SIGNATURE = re.compile(
    r"(?i)(?:sent from (?:my |mail for |yahoo |outlook|the |gmail |proton|samsung|huawei|xiaomi|a )|get outlook for "
    r"|sent via |отправлено (?:с|со) (?:моего |мобильного |моей )?"
    r"(?:iphone|ipad|android|айфон|смартфон|телефон|устройств|планшет|samsung|huawei|xiaomi|honor|redmi|почты)"
    r"|отправлено из (?:мобильной |приложения |почты |outlook|яндекс|mail|мобильного )"
    r"|отправлено (?:через|с помощью) (?:почту|outlook|bluemail|яндекс|mail)|--\s*отправлено из )"
)
_INTRO = re.compile(
    r"(?i)(?:on|am|le|el) .{6,200}(?:wrote|schrieb|écrit|escribió) ?:"
    r"|.{3,200}(?:<[^<>]*@[^<>]*>|\d).{0,40}\b(?:пишет|писал|писала|писал\(а\)|написал|написала|написал\(а\)|wrote):"
    r"|.{3,120}\b(?:пишет|писал\(а\)|написал\(а\)|wrote):"
    r"|.{0,60}\d{1,2}:\d{2}.{0,120}<[^<>]*@[^<>]*> ?:"
)
#: how an introduction broken over two or three lines begins
_INTRO_BEGINS = re.compile(r"(?i)(?:on|am|le|el) .{6,}|(?:\w{2,12},? )?\d{1,4}[. -].{4,}")
_FRAMED = re.compile(r"([-=_*#])\1{9,} *(\S.*?\S) *\1{9,}")
_ORIGINAL = re.compile(
    r"(?i)-{2,} ?(?:original message|original appointment|forwarded message|исходное сообщение|пересылаемое сообщение"
    r"|пересланное сообщение|конец пересылаемого сообщения|ursprüngliche nachricht|message d'origine) ?-{2,}"
    r"|begin forwarded message:|начало переадресованного сообщения:"
)
_FROM_LINE = re.compile(r"(?i)[*]?(?:from|от|от кого|von|de) ?:[*]? ?.+")
_BLOCK_LINE = re.compile(
    r"(?i)[*]?(?:sent|date|to|cc|subject|reply-to|importance"
    r"|отправлено|дата|кому|копия|тема|важность|gesendet|an|betreff) ?:[*]?.*"
)
_DATE_LINE = re.compile(r"(?i)[*]?(?:sent|date|отправлено|дата) ?:")
_SUBJECT_LINE = re.compile(r"(?i)[*]?(?:subject|тема|to|кому|sent|date|отправлено|дата) ?:")
#: without any of these no earlier mail begins anywhere: a rule of dashes, a line that ends in a colon, a ``From:`` line
_HISTORY_HINT = re.compile(r"(?im)--|:[ \t]*$|^[ \t]*[*]?(?:from|от|от кого|von|de) ?:")
_PGP_HEAD = re.compile(r"-----BEGIN PGP SIGNED MESSAGE-----\n(?:[A-Za-z]+: [^\n]*\n)*\n?")
_PGP_SIGNATURE = re.compile(r"\n?-----BEGIN PGP SIGNATURE-----[^\0]*?(?:-----END PGP SIGNATURE-----|\Z)")


def tidy_body(text: str, *, reply: bool = False) -> str:
    """Return *text* as it goes into a message: no quoted mail, no signature, white space folded.

    Shape: lines without blanks at their ends, no two blank lines together, none at the ends.
    *reply* says that the mail's header calls it a reply, so a single ``>`` line is a quotation.
    """
    text = clean_text(text)
    if "-----BEGIN PGP SIG" in text:
        text = _PGP_SIGNATURE.sub("\n", _PGP_HEAD.sub("", text, count=1))
    # the blank of "-- " tells a signature from a separator
    lines = [line if line == _SIGNATURE else line.strip() for line in text.split("\n")]
    if ("--" in text or ":" in text) and _HISTORY_HINT.search(text) is not None:
        lines = _cut_history(lines)
    if "--" in text:
        lines = _cut_signature(lines)
    if ">" in text:
        lines = _cut_quotes(lines, reply=reply)
    lines = _cut_phone_signature(lines)
    kept = _undrawn(lines)
    return _fold(kept if any(kept) else lines)


def unflow(text: str, *, delete_space: bool) -> str:
    """Join the soft line breaks of ``format=flowed`` (RFC 3676 section 4); *delete_space* is its ``delsp=yes``."""
    paragraphs: list[list[str]] = []
    soft_depth: int | None = None
    for line in text.replace("\r\n", "\n").split("\n"):
        depth = len(line) - len(line.lstrip(">"))
        content = line[depth:].removeprefix(" ")
        is_signature = content == "-- "
        if soft_depth is None or soft_depth != depth or is_signature:
            paragraphs.append(["> "] if depth else [])
        soft = content.endswith(" ") and not is_signature
        paragraphs[-1].append(content[:-1] if soft and delete_space else content)
        soft_depth = depth if soft else None
    return "\n".join("".join(pieces) for pieces in paragraphs)


def _fold(lines: list[str]) -> str:
    out: list[str] = []
    for line in lines:
        if line or (out and out[-1]):
            out.append(line.rstrip())
    while out and not out[-1]:
        out.pop()
    return "\n".join(out)


def _undrawn(lines: list[str]) -> list[str]:
    """Return *lines* without ruled and underlining ones, and without frames around words."""
    kept = []
    for number, line in enumerate(lines):
        if line[:1] not in _DRAWN:
            kept.append(line)
        elif not (_RULE.fullmatch(line) or (number and _is_underline(line, lines[number - 1]))):
            kept.append(_unframed(line))
    return kept


def _is_underline(line: str, above: str) -> bool:
    """Tell whether *line* is drawn below a heading, as long as that is."""
    return 3 <= len(line) == len(above) and line[0] in "=-" and line == line[0] * len(line)


def _unframed(line: str) -> str:
    framed = _FRAMED.fullmatch(line) if len(line) > 20 else None
    return framed[2] if framed is not None else line


def _has_text(lines: list[str]) -> bool:
    return any(line and not line.startswith(">") and not _RULE.fullmatch(line) for line in lines)


def _cut_history(lines: list[str]) -> list[str]:
    """Cut where the earlier mail begins; a mail that is nothing else loses only the head of what it forwards."""
    for number, line in enumerate(lines):
        if not line or line.startswith(">"):
            continue
        end = _history_head(lines, number)
        if end is None:
            continue
        following = next((text for text in lines[end:] if text), "")
        if following.startswith(">") or not _has_text(lines[:number]):
            # an answer may stand below or between the quoted lines, which go on their own
            rest = [*lines[:number], *lines[end:]]
            return rest if _has_text(rest) else lines
        return lines[:number]
    return lines


def _history_head(lines: list[str], number: int) -> int | None:
    """Return the line after the introduction of an earlier mail that begins at *number*, or None."""
    line = lines[number]
    if _ORIGINAL.fullmatch(line) is not None:
        return _past_block(lines, number + 1)
    if _FROM_LINE.fullmatch(line) is not None:
        following = [text for text in lines[number + 1 : number + 7] if text]
        found = 0
        for text in following:
            if _BLOCK_LINE.fullmatch(text) is None:
                break
            found += _SUBJECT_LINE.match(text) is not None
        end = _past_block(lines, number)
        # the head of a mail has a date or ends with a blank line; an alarm about a mail goes on
        dated = any(_DATE_LINE.match(text) for text in following)
        return end if found >= 2 and (dated or not lines[end - 1]) else None
    return _past_intro(lines, number)


def _past_block(lines: list[str], number: int) -> int:
    limit = min(len(lines), number + 12)
    while number < limit and (
        not lines[number] or _FROM_LINE.fullmatch(lines[number]) or _BLOCK_LINE.fullmatch(lines[number])
    ):
        number += 1
    return number


def _past_intro(lines: list[str], number: int) -> int | None:
    """Return the line after ``On Monday, Anna wrote:``, on one to three lines, or None where there is none."""
    whole = lines[number]
    if len(whole) > 300:
        return None
    for after in range(number + 1, min(number + 4, len(lines) + 1)):
        if whole.endswith(":") and _INTRO.fullmatch(whole) is not None:
            following = next((text for text in lines[after : after + 4] if text), "")
            # somebody may write so in a text of his own: what is introduced must be quoted, or come from a mail
            quoted = following.startswith(">") or not following or "@" in whole
            return after if quoted else None
        if _INTRO_BEGINS.match(whole) is None or after >= len(lines) or not lines[after] or len(whole) > 300:
            return None
        whole = f"{whole} {lines[after]}"
    return None


def _cut_signature(lines: list[str]) -> list[str]:
    has_text = False
    following = sum(bool(line) for line in lines)
    for number, line in enumerate(lines):
        following -= bool(line)
        if has_text and (line == _SIGNATURE or (line == "--" and following <= _SIGNATURE_LINES)):
            return lines[:number]
        has_text = has_text or _has_text([line])
    return lines


def _cut_quotes(lines: list[str], *, reply: bool) -> list[str]:
    quoted = [line.startswith(">") for line in lines]
    if not any(quoted):
        return lines
    kept = [line for line, is_quote in zip(lines, quoted, strict=True) if not is_quote]
    if not _has_text(kept):
        return [line.lstrip("> ") for line in lines]
    # a lone line with a sign before it may be a measurement: "> 90 %"
    sure = reply or sum(quoted) > 1 or any(line.startswith("> ") and not line[2:3].isdigit() for line in lines)
    return kept if sure else lines


def _cut_phone_signature(lines: list[str]) -> list[str]:
    last = next((n for n in range(len(lines) - 1, -1, -1) if lines[n]), None)
    if last is not None and len(lines[last]) < 120 and _PHONE_SIGNATURE.match(lines[last]) is not None:
        return _cut_signature([*lines[:last], ""])
    return lines
