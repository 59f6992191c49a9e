"""One mail and one recipient become one message: text, alphabet, parts, sender and the rest.

Last step of the intake, between the mail as read and the queue. Pure: the time is passed in.
A ``Composer`` holds what the configuration says, compiled once; recipients of one mail that ask for the same share
the text.
Must not refuse a mail for an option that is merely odd: the alert goes out, with a note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from mailbridge.config.model import MessageDefaults
from mailbridge.errors import Rejected
from mailbridge.intake.fold import fold, gateway_translit, transliterate
from mailbridge.intake.options import NOTHING, Options, read_address, read_headers, sender_note
from mailbridge.intake.rights import Rights
from mailbridge.intake.segments import MAX_TEXT_CHARS, count_segments
from mailbridge.intake.segments import fit as fit_parts
from mailbridge.intake.shorten import abbreviate
from mailbridge.intake.template import MAX_VALUE_CHARS, Template, compile_template, fold_blanks
from mailbridge.model import reply
from mailbridge.model.mail import Mail, Recipient
from mailbridge.model.message import Alphabet, Message
from mailbridge.model.reading import UNREAD, Reading

AUTO = "auto"
NO_TEXT = "(no text)"
#: parts with a name that nobody looks for: what programs add, and what was read as text
_NOBODYS = frozenset({
    "application/ics", "application/ms-tnef", "application/pgp-signature", "application/pkcs7-signature",
    "application/x-pkcs7-signature", "message/delivery-status", "text/calendar", "text/rfc822-headers",
})  # fmt: skip
_MAX_NAMES = 3
#: the ways to write a text, most faithful first
_WAYS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("faithful", str), ("folded", fold), ("transliterated", transliterate), ("abbreviated", abbreviate),
)  # fmt: skip
#: ``message.fit``, or ``translit: auto`` -> the ways it allows
_ALLOWED = {
    "faithful": {"faithful"},
    "folded": {"faithful", "folded"},
    AUTO: {"faithful", "folded", "transliterated"},
    "cheapest": {"faithful", "folded", "transliterated", "abbreviated"},
}
_MAX_NAME_CHARS = 24
_MAX_ENDING_CHARS = 5
#: of whoever has not signed in
EVERYBODYS = Rights()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to write a text; *parts* is before any cutting."""

    #: ``faithful``, ``folded``, ``transliterated`` or ``abbreviated``
    name: str
    text: str
    alphabet: Alphabet
    parts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """A text as it goes to the gateway."""

    text: str
    translit: int
    alphabet: Alphabet
    parts: int
    notes: tuple[str, ...] = ()
    is_cut: bool = False


class Composer:
    """Makes messages as the configuration says; built once for each configuration.

    Raises: ValueError where ``message.text`` is not a template.
    """

    def __init__(self, settings: MessageDefaults) -> None:
        self._defaults = Options(
            sender=settings.sender,
            translit=settings.translit,
            max_parts=settings.max_parts,
            time="",
            valid="",
            flash=False,
        )
        self._template = compile_template(settings.text)
        #: the administrator asks for nothing of their own: a profile's line stands in its place
        self._takes_lines = settings.text == MessageDefaults.model_fields["text"].default
        self._fit = settings.fit
        #: what holds where nobody asked for anything, which is most mails
        self._unasked = self._completed(NOTHING, NOTHING, self._defaults)

    def compose(
        self,
        mail: Mail,
        recipient: Recipient,
        now: datetime,
        *,
        set_by_rule: Options = NOTHING,
        reading: Reading = UNREAD,
    ) -> Message:
        """Compose the message for one recipient.

        *set_by_rule* stands between the recipient's own options and the defaults; *reading* is what a device
        profile made of the mail.
        Raises: Rejected for a time, validity or channel in the headers that is not understood.
        """
        return self.compose_all(mail, (recipient,), now, set_by_rule=set_by_rule, reading=reading)[0]

    def compose_all(
        self,
        mail: Mail,
        recipients: Sequence[Recipient],
        now: datetime,
        *,
        set_by_rule: Options = NOTHING,
        reading: Reading = UNREAD,
    ) -> tuple[Message, ...]:
        """Compose the messages of one mail, one for each recipient, in order.

        Raises: Rejected, as ``compose``.
        """
        return self.compose_each(mail, [(recipient, set_by_rule, reading) for recipient in recipients], now)

    def compose_each(
        self,
        mail: Mail,
        wanted: Sequence[tuple[Recipient, Options, Reading]],
        now: datetime,
        *,
        rights: Rights = EVERYBODYS,
    ) -> tuple[Message, ...]:
        """Compose one message for each recipient with what the rules set for it and how its mail is to be read.

        *rights* are those of the user who sends it.
        Raises: Rejected, as ``compose``, and for a sender name in the header that is not one of the user's.
        """
        asked, header_notes = read_headers(mail.headers, now)
        if asked.sender is not None:
            asked = replace(asked, sender=rights.sender(asked.sender))
        defaults = replace(self._defaults, sender=rights.senders[0]) if rights.senders else self._defaults
        written: dict[object, _Written] = {}
        messages = []
        for recipient, set_by_rule, reading in wanted:
            options = self._options(asked, recipient, now, set_by_rule, defaults)
            key = (
                options.text, options.template, options.translit, options.max_parts, options.fit, options.ending,
                reading.profile, *self._names_of(recipient, options),
            )  # fmt: skip
            if (text := written.get(key)) is None:
                text = written[key] = self._write(mail, recipient, options, reading)
            messages.append(_message(recipient, options, text, header_notes, reading))
        return tuple(messages)

    def candidates(
        self,
        mail: Mail,
        recipient: Recipient,
        now: datetime,
        *,
        set_by_rule: Options = NOTHING,
        reading: Reading = UNREAD,
    ) -> tuple[Candidate, ...]:
        """Return the ways to write this mail's text, most faithful first; ways that change nothing are left out."""
        asked, _ = read_headers(mail.headers, now)
        options = self._options(asked, recipient, now, set_by_rule, self._defaults)
        return candidates(self._text(mail, recipient, options, reading)[0])

    def _options(
        self, asked: Options, recipient: Recipient, now: datetime, set_by_rule: Options, defaults: Options
    ) -> Options:
        """Return what holds: header over address over rules over defaults.

        Whoever asks for a transliteration has decided how the text is written: a weaker ``fit`` says nothing then.
        A profile's line is one part unless more was asked for.
        """
        own = asked.over(_address_options(recipient, now))
        if own is NOTHING and set_by_rule is NOTHING and defaults is self._defaults:
            return self._unasked
        return self._completed(own, set_by_rule, defaults)

    def _completed(self, own: Options, set_by_rule: Options, defaults: Options) -> Options:
        said = own.over(set_by_rule)
        fit_ = said.fit
        if fit_ is None or (own.translit is not None and own.fit is None):
            fit_ = self._fit if said.translit is None else None
        is_counted = said.max_parts is not None
        return replace(said.over(defaults), fit=fit_, line_parts=said.max_parts if is_counted else 1)

    def _names_of(self, recipient: Recipient, options: Options) -> tuple[object, ...]:
        """Return what of the recipient the template can show."""
        source = self._template.source if options.template is None else options.template
        return (recipient.phone, recipient.alias) if "sms" in source else ()

    def _is_line(self, options: Options, reading: Reading) -> bool:
        return bool(reading.short) and options.text is None and options.template is None and self._takes_lines

    def _write(self, mail: Mail, recipient: Recipient, options: Options, reading: Reading) -> _Written:
        plain = self._write_one(mail, recipient, options, reading)
        named = with_names(mail)
        if named is mail or options.text is not None or self._is_line(options, reading):
            return plain
        # names of attachments stand where there is nothing else to read, and else where they cost no part
        full = self._write_one(named, recipient, options, reading)
        is_free = full.parts <= plain.parts and not full.is_cut
        return full if is_free or not mail.body.strip() else plain

    def _write_one(self, mail: Mail, recipient: Recipient, options: Options, reading: Reading) -> _Written:
        text, notes = self._text(mail, recipient, options, reading)
        max_parts = (options.line_parts if self._is_line(options, reading) else options.max_parts) or 1
        written = write(text, options.translit or "0", max_parts, fit=options.fit, ending=options.ending or "")
        return replace(written, notes=notes + written.notes) if notes else written

    def _text(
        self, mail: Mail, recipient: Recipient, options: Options, reading: Reading
    ) -> tuple[str, tuple[str, ...]]:
        """Return the text before its alphabet is decided, and notes."""
        if options.text is not None:
            return fold_blanks(options.text), ()
        if self._is_line(options, reading):
            return reading.short, ()
        template = self._template if options.template is None else compile_template(options.template)
        return render(template, mail, recipient, reading)


def compose(mail: Mail, recipient: Recipient, settings: Composer | MessageDefaults, now: datetime) -> Message:
    """Compose one message; a ``Composer`` kept by the caller saves compiling the template each time.

    Raises: Rejected, as ``Composer.compose``.
    """
    composer = settings if isinstance(settings, Composer) else Composer(settings)
    return composer.compose(mail, recipient, now)


def candidates(text: str) -> tuple[Candidate, ...]:
    """Return the ways to write *text*, most faithful first; a way that gives a text already listed is left out."""
    found: list[Candidate] = []
    for name, way in _WAYS:
        other = way(text)
        if (other or not found) and all(other != candidate.text for candidate in found):
            alphabet, parts, _ = count_segments(other)
            found.append(Candidate(name=name, text=other, alphabet=alphabet, parts=parts))
    return tuple(found)


def write(text: str, translit: str, max_parts: int, *, fit: str | None = None, ending: str = "") -> _Written:
    """Decide in which letters *text* goes out and cut it to *max_parts*.

    *fit* says how far it may be changed: ``faithful`` not at all, ``folded`` its typography, ``cheapest`` its letters
    and words, too. Of those ways the most faithful of the fewest parts is taken, ready written (``translit=0`` for
    the gateway). Where it is None *translit* decides: ``auto`` is ``cheapest`` without short forms; ``1`` and ``2``
    leave the letters to the gateway: the original text goes out, counted as the gateway will write it.
    *ending* is a line that stands last, whatever is cut.
    """
    text = f"{text}\n{ending}" if ending else text
    notes: tuple[str, ...] = ()
    mode = 0
    if fit is not None or translit == AUTO:
        ways = candidates(text)
        allowed = _ALLOWED[fit or AUTO]
        best = min((way for way in ways if way.name in allowed), key=lambda way: way.parts)
        if best is not ways[0]:
            notes = (f"{best.name} to save parts: {best.parts} instead of {ways[0].parts}",)
        chosen = best.text
    else:
        mode, chosen = int(translit), text
    alphabet, parts, _ = count_segments(gateway_translit(chosen[: MAX_TEXT_CHARS + 1], mode))
    cut = chosen
    if parts > max_parts or len(chosen) > MAX_TEXT_CHARS:
        head, line, last = chosen.rpartition("\n") if ending else (chosen, "", "")
        tail = line + last
        as_sent = (lambda part: gateway_translit(part + tail, mode)) if mode or tail else None
        cut = fit_parts(head, max_parts, as_sent=as_sent, max_chars=MAX_TEXT_CHARS - len(tail)) + tail
        alphabet, parts, _ = count_segments(gateway_translit(cut, mode))
    if cut is not chosen:
        # the gateway takes no longer text, however many parts are allowed
        by_length = count_segments(gateway_translit(chosen[:MAX_TEXT_CHARS], mode))[1] <= max_parts
        limit = f"{MAX_TEXT_CHARS} characters" if by_length else f"{max_parts} part{'s' * (max_parts != 1)}"
        notes += (f"cut from {len(chosen)} to {len(cut)} characters to fit {limit}",)
    return _Written(text=cut, translit=mode, alphabet=alphabet, parts=parts, notes=notes, is_cut=cut is not chosen)


def with_names(mail: Mail) -> Mail:
    """Return *mail* with the names of its attachments as the last line of its body, or itself where it has none.

    Only what a person would look for: not the pictures of its layout, nor what programs add.
    """
    names = dict.fromkeys(
        file.name for file in mail.attachments if file.name and not file.is_inline and file.content_type not in _NOBODYS
    )
    if not names:
        return mail
    more = ", ..." if len(names) > _MAX_NAMES else ""
    line = f"[{', '.join(_short_name(name) for name in list(names)[:_MAX_NAMES])}{more}]"
    return replace(mail, body=f"{mail.body}\n{line}" if mail.body.strip() else line)


def _short_name(name: str) -> str:
    if len(name) <= _MAX_NAME_CHARS:
        return name
    stem, dot, ending = name.rpartition(".")
    tail = f"{dot}{ending}" if stem and len(ending) <= _MAX_ENDING_CHARS else ""
    return f"{name[: _MAX_NAME_CHARS - len(tail) - 2]}..{tail}"


def render(
    template: Template, mail: Mail, recipient: Recipient, reading: Reading = UNREAD
) -> tuple[str, tuple[str, ...]]:
    """Fill *template* from *mail*; return the text, never empty, and notes.

    A template that breaks on this mail gives subject and body.
    An empty mail gives its sender's address and ``(no text)``.
    """
    notes: tuple[str, ...] = ()
    values = _values(mail, recipient, reading)
    text = template.render(values)
    if text is None:
        text = _PLAIN.render(values)
        notes = ("the template failed on this mail: subject and body instead",)
    if not text:
        sender = mail.from_address or mail.from_name
        text = f"{sender} {NO_TEXT}" if sender else NO_TEXT
    return text, notes


def _values(mail: Mail, recipient: Recipient, reading: Reading) -> Mapping[str, Any]:
    subject = mail.subject[:MAX_VALUE_CHARS]
    body = mail.body[:MAX_VALUE_CHARS]
    return {
        "subject": subject,
        "body": body,
        "from": mail.from_address,
        "from_name": mail.from_name,
        "to": mail.to,
        "headers": _Headers(mail),
        "short": reading.short or subject or body.strip().partition("\n")[0],
        "host": reading.host,
        "service": reading.service,
        "state": reading.state,
        "severity": reading.severity,
        "info": reading.info,
        "event": reading.event,
        "time": reading.time,
        "sms": MappingProxyType({"phone": recipient.phone, "alias": recipient.alias}),
    }


class _Headers(Mapping[str, str]):
    """A mail's headers for templates: ``headers['X-Host']`` and ``headers.subject``, in any case; first of a name."""

    def __init__(self, mail: Mail) -> None:
        self._mail = mail

    def __getitem__(self, name: str) -> str:
        value = self._mail.header(str(name))
        if value is None:
            raise KeyError(name)
        return value[:MAX_VALUE_CHARS]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self._mail.headers))

    def __len__(self) -> int:
        return len(list(iter(self)))


def _address_options(recipient: Recipient, now: datetime) -> Options:
    if not recipient.options:
        return NOTHING
    try:
        return read_address(recipient.options, now)
    except ValueError as error:
        raise Rejected(reply.BAD_OPTION, f"{recipient.address}: {error}") from error


def _message(
    recipient: Recipient, options: Options, written: _Written, notes: tuple[str, ...], reading: Reading
) -> Message:
    channel = options.channel or recipient.channel
    sender = options.sender or ""
    if odd := sender_note(sender):
        notes = (*notes, odd)
    return Message(
        phone=recipient.phone,
        channel=channel,
        sender=sender,
        text=written.text,
        translit=written.translit,
        alphabet=written.alphabet,
        parts=written.parts,
        flash=bool(options.flash) or channel == "flash",
        time=options.time or "",
        valid=options.valid or "",
        wanted_id=options.wanted_id,
        profile=reading.profile or None,
        notes=notes + written.notes,
    )


_PLAIN = compile_template("{{ subject }}: {{ body }}")
