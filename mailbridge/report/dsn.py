"""Build the delivery status notification a sender gets about one mail (RFC 3461, 3462, 3464).

Place in the flow: a ``DueReport`` of the store becomes the bytes the mailer hands to the smarthost.
Pure: the same report gives the same bytes but for its Date, so a report sent twice around a crash has one Message-ID.
It must not decide whether a report is sent (``policy``, ``reporter``), and must not let foreign text into a header
other than through the encoders of ``mime``.
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mailbridge.model.phone import digits_of
from mailbridge.queue.contract import DueReport, Report, ReportItem, StoredMail
from mailbridge.report import mime
from mailbridge.report.wording import TITLES, explain_action

#: Postfix's bounce_size_limit, octets of the original that come back
MAX_RETURNED_BYTES = 50_000
_ADDRESS = re.compile(r'(?:[A-Za-z0-9!#$%&\'*+/=?^_`{|}~.-]+|"[^"\\\x00-\x1f\x7f-\uffff]*")@[A-Za-z0-9.:\[\]-]+')
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_STATUS_CLASS: dict[Report, tuple[str, ...]] = {
    Report.FAILED: ("5", "4"),
    Report.DELAYED: ("4",),
    Report.DELIVERED: ("2",),
    Report.RELAYED: ("2",),
}
_WRAP = 72


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSettings:
    """Who we are in our own mails."""

    #: the name in Reporting-MTA and behind the @ of Message-ID
    hostname: str
    #: ``bounce.from``: the From address; the envelope sender is always the null sender
    from_address: str


def build_report(
    due: DueReport, *, settings: ReportSettings, now: datetime, phones: Mapping[str, str] | None = None
) -> bytes:
    """Return the report as a complete mail, CRLF line ends.

    *phones* maps message ids to numbers; without it the recipient addresses tell them.
    Shape: ``multipart/report`` of a text for a person, ``message/delivery-status``, and the original or its header.
    8-bit octets occur only in an original that is returned whole (RET=FULL); the mailer then asks for 8BITMIME.
    """
    numbers = {
        item.message_id: mime.one_line((phones or {}).get(item.message_id) or _local_part(item), 80)
        for item in due.items
    }
    parts = [
        mime.text_part(_text_for_people(due, settings, numbers)).encode("ascii"),
        _delivery_status(due, settings).encode("ascii"),
        _returned_content(due.mail),
    ]
    boundary = _boundary(parts)
    eight_bit = not all(part.isascii() for part in parts)
    header = mime.join_header(
        [
            *_header_fields(due, settings, now, numbers),
            ("MIME-Version", "1.0"),
            ("Content-Type", f'multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"'),
            ("Content-Transfer-Encoding", "8bit" if eight_bit else "7bit"),
        ]
    )
    delimiter = f"--{boundary}\r\n".encode()
    body = b"".join(delimiter + part.rstrip(b"\r\n") + b"\r\n\r\n" for part in parts)
    return header.encode("ascii") + body + f"--{boundary}--\r\n".encode()


def report_message_id(due: DueReport, settings: ReportSettings) -> str:
    """Return the Message-ID of the report on *due*: the same for the same mail and the same news."""
    news = "\n".join(sorted(f"{item.message_id} {item.action}" for item in due.items))
    digest = hashlib.sha256(news.encode()).hexdigest()[:16]
    return f"<{due.mail.id}.{digest}@{mime.plain_token(settings.hostname)}>"


def _header_fields(
    due: DueReport, settings: ReportSettings, now: datetime, numbers: Mapping[str, str]
) -> list[tuple[str, str]]:
    original = mime.message_id(due.mail.message_id)
    fields = [
        ("From", f"Mail-to-SMS gateway <{mime.plain_token(settings.from_address)}>"),
        ("To", due.mail.sender if is_plain_address(due.mail.sender) else "undisclosed-recipients:;"),
        ("Subject", mime.unstructured("Subject", _subject(due, numbers))),
        ("Date", mime.date(now)),
        ("Message-ID", report_message_id(due, settings)),
        # RFC 3834 5.2: a report answers a mail; nobody may answer the report
        ("Auto-Submitted", "auto-replied"),
        ("X-Mailbridge-Id", mime.plain_token(due.mail.id)),
    ]
    if original is not None:
        fields += [("In-Reply-To", original), ("References", original)]
    return fields


def is_plain_address(address: str) -> bool:
    """Tell whether *address* can stand in a header and on an SMTP command line as it is."""
    return len(address) <= 320 and _ADDRESS.fullmatch(address) is not None


def _subject(due: DueReport, numbers: Mapping[str, str]) -> str:
    action = next(action for action in TITLES if any(item.action is action for item in due.items))
    first = next(item for item in due.items if item.action is action)
    others = f" and {len(due.items) - 1} more" if len(due.items) > 1 else ""
    about = mime.one_line(due.mail.subject, 120)
    return f"{TITLES[action]} to {numbers[first.message_id]}{others}" + (f": {about}" if about else "")


# ------------------------------------------------------------------------------------------ part 1: for people
def _text_for_people(due: DueReport, settings: ReportSettings, numbers: Mapping[str, str]) -> str:
    mail, subject = due.mail, mime.one_line(due.mail.subject, 200)
    about = f'Your mail "{subject}"' if subject else "Your mail without a subject"
    opening = f"{about} of {mime.date(mail.received_at)} has the id {mail.id}."
    paragraphs = [
        f"This is the mail-to-SMS gateway at {settings.hostname}.",
        _fill(opening),
        *(_item_for_people(item, numbers[item.message_id]) for item in due.items),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _item_for_people(item: ReportItem, number: str) -> str:
    happened, advice = explain_action(item.action, item.status)
    name = mime.one_line(item.recipient)
    who = number if digits_of(number) and digits_of(number) in digits_of(name) else f"{number} ({name})"
    lines = [_fill(f"SMS to {who}: {happened}.", "  ")]
    words = mime.one_line(item.diagnostic.partition(";")[2] or item.diagnostic)
    if words:
        lines.append(_fill(f"The gateway said: {words}", "  "))
    if item.action is Report.DELAYED:
        lines.append(_fill(f"It will be tried until {mime.date(item.expires_at)}.", "  "))
    if advice:
        lines.append(_fill(advice, "  "))
    return "\n".join(lines)


def _fill(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _WRAP, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _local_part(item: ReportItem) -> str:
    return item.recipient.rpartition("@")[0].partition("+sender=")[0] or item.recipient


# --------------------------------------------------------------------------------------- part 2: for machines
def _delivery_status(due: DueReport, settings: ReportSettings) -> str:
    per_message = [("Reporting-MTA", f"dns; {mime.plain_token(settings.hostname)}")]
    if due.mail.envid:
        per_message.insert(0, ("Original-Envelope-Id", mime.plain_token(due.mail.envid)))
    per_message.append(("Arrival-Date", mime.date(due.mail.received_at)))
    groups = [per_message, *(_recipient_fields(item) for item in due.items)]
    # an empty line ends each group of fields (RFC 3464 2.1)
    return mime.join_header([("Content-Type", "message/delivery-status")]) + "".join(map(mime.join_header, groups))


def _recipient_fields(item: ReportItem) -> list[tuple[str, str]]:
    fields = []
    if item.orcpt:
        fields.append(("Original-Recipient", _original_recipient(item.orcpt, item.recipient)))
    fields += [
        ("Final-Recipient", f"rfc822; {mime.plain_token(item.recipient)}"),
        ("Action", item.action.value),
        ("Status", _status(item)),
    ]
    if item.diagnostic:
        fields.append(("Diagnostic-Code", _diagnostic(item.diagnostic)))
    fields.append(("Last-Attempt-Date", mime.date(item.at)))
    fields.append(("Final-Log-Id", mime.plain_token(item.message_id)))
    if item.action is Report.DELAYED:
        fields.append(("Will-Retry-Until", mime.date(item.expires_at)))
    return fields


def _original_recipient(orcpt: str, recipient: str) -> str:
    """Return ORCPT decoded from xtext (RFC 3461 4.2).

    A client that forgot to encode wrote the RCPT address itself, whose plus must not be taken for xtext.
    """
    kind, separator, address = orcpt.partition(";")
    if not separator:
        return f"rfc822; {mime.plain_token(orcpt)}"
    if address.lower() != recipient.lower():
        address = mime.decode_xtext(address)
    return f"{mime.plain_token(kind.strip())}; {mime.plain_token(address.strip())}"


def _status(item: ReportItem) -> str:
    allowed = _STATUS_CLASS[item.action]
    if _STATUS.fullmatch(item.status) and item.status[0] in allowed:
        return item.status
    return f"{allowed[0]}.0.0"


def _diagnostic(diagnostic: str) -> str:
    kind, separator, words = diagnostic.partition(";")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", kind):
        kind, words = "x-smsc", diagnostic
    # the text is *text of RFC 822, where encoded words may stand (RFC 2047 5)
    return f"{kind}; {mime.unstructured('Diagnostic-Code: ' + kind, words)}"


# -------------------------------------------------------------------------------------- part 3: what came back
def _returned_content(mail: StoredMail) -> bytes:
    original = mime.normalise_line_ends(mail.original)
    if mail.ret == "FULL" and _can_return_whole(mail, original):
        encoding = "7bit" if original.isascii() else "8bit"
        # RFC 2046 5.2.1 allows message/rfc822 no encoding but 7bit and 8bit
        fields = [("Content-Type", "message/rfc822"), ("Content-Transfer-Encoding", encoding)]
        return mime.join_header(fields).encode("ascii") + original
    header = original.partition(b"\r\n\r\n")[0][:MAX_RETURNED_BYTES]
    return mime.octets_part("text/rfc822-headers", header).encode("ascii")


def _can_return_whole(mail: StoredMail, original: bytes) -> bool:
    is_cut = len(mail.original) < mail.size_bytes
    return (
        not is_cut
        and len(original) <= MAX_RETURNED_BYTES
        and b"\0" not in original
        and mime.longest_line(original) <= mime.MAX_LINE
    )


def _boundary(parts: list[bytes]) -> str:
    """Return a boundary no part can hold: it is the digest of the parts."""
    return "=_" + hashlib.sha256(b"\n".join(parts)).hexdigest()[:40]
