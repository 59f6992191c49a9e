"""Envelope addresses: a strict grammar for MAIL FROM and RCPT TO, and what a recipient address means.

First step of the flow, at RCPT TO, so that a wrong address costs nothing. Pure. Must not decode anything: an encoded
word, a control character or a non-ASCII byte in an address is refused, never interpreted.

Grammar: RFC 5321 section 4.1.2, less source routes, more lenient with dots.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mailbridge.errors import Rejected
from mailbridge.intake.numbers import NumberPolicy, looks_like_phone
from mailbridge.intake.options import normal_name, read_address
from mailbridge.intake.rights import Rights
from mailbridge.model.mail import Client, Recipient
from mailbridge.model.phone import Phone
from mailbridge.model.reply import (
    BAD_ADDRESS,
    BAD_OPTION,
    BAD_SENDER,
    COUNTRY_NOT_ALLOWED,
    NOBODY_ON_DUTY,
    NON_ASCII_ADDRESS,
    NOT_A_PHONE,
    PREFIX_NOT_YOURS,
    UNKNOWN_DOMAIN,
    Reply,
)

#: RFC 5321 4.5.3.1 asks for at least 256 for a path and 64 for a local part; ours carry options, others' carry VERP
MAX_PATH_CHARS = 512
MAX_LOCAL_CHARS = 256
MAX_DOMAIN_CHARS = 255

_ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~.]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_DOMAIN = r"[A-Za-z0-9_](?:[A-Za-z0-9_\-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_\-]*[A-Za-z0-9_])?)*\.?"
_LITERAL = r"\[[A-Za-z0-9.:\-]{1,60}\]"
_ADDRESS = re.compile(rf"(?P<local>{_ATOM}|{_QUOTED})(?:@(?P<domain>{_DOMAIN}|{_LITERAL}))?")
#: `@a:b@c` and `a@b@c` ask to be passed on
_ROUTE = re.compile(r'@[^<>"]*:[^<>"]*|[^<>"@:]*@[^<>"@:]*@[^<>":]*')
_QUOTED_PAIR = re.compile(r"\\(.)")
#: characters by which old mailers route mail onwards: ``user%there@here``, ``there!user@here``, ``"user@there"@here``
_RELAY_MARKS = frozenset("@%!")


#: the numbers a lower-case name stands for now: None where nobody has it, empty where nobody is on duty
Aliases = Callable[[str], tuple[Phone, ...] | None]
#: asked for a name that is neither an alias nor written like a number
CATCH_ALL = "*"


@dataclass(frozen=True, slots=True)
class Path:
    """An envelope address, but for the null sender."""

    #: without quotes and backslashes
    local: str
    #: as written; empty where none was
    domain: str = ""
    #: the address as given, without angle brackets
    text: str = ""


class Addresses:
    """Which addresses are taken, as the configuration has it; the door's ``smtp.contract.Doorman``."""

    def __init__(
        self,
        *,
        domains: Mapping[str, str],
        numbers: NumberPolicy,
        aliases: Aliases | None = None,
        rights: Mapping[str, Rights] | None = None,
    ) -> None:
        """*rights* are those of the users who have some of their own, by name."""
        self._domains = {domain.lower().removesuffix("."): channel for domain, channel in domains.items()}
        self._aliases = aliases
        self._numbers = numbers
        self._rights = rights or {}

    def sender(self, address: str, client: Client) -> str:  # noqa: ARG002 - the port's form
        """Return the sender of a MAIL command as given. Raises: Rejected."""
        return parse_address(address, syntax=BAD_SENDER, relay=BAD_SENDER).text

    def recipient(self, address: str, client: Client) -> Recipient:
        """Return the recipient of a RCPT command, as far as *client* may write to it. Raises: Rejected."""
        own = self._rights.get(client.user) if client.user is not None else None
        if own is None:
            return parse_recipient(address, domains=self._domains, numbers=self._numbers, aliases=self._aliases)
        try:
            found = parse_recipient(
                address, domains=self._domains, numbers=own.numbers or self._numbers, aliases=self._aliases
            )
        except Rejected as refusal:
            if own.numbers is not None and refusal.reply is COUNTRY_NOT_ALLOWED:
                raise Rejected(PREFIX_NOT_YOURS) from refusal
            raise
        options = ((name, own.sender(value) if name == "sender" else value) for name, value in found.options)
        return replace(found, options=tuple(options)) if found.options else found


def quote_local(word: str) -> str:
    """Write what a person types for a phone or a name as a local part (RFC 5321 4.1.2)."""
    bare = "".join(word.split())
    return bare if bare.replace("+", "").replace("-", "").replace(".", "").isalnum() else f'"{bare}"'


def parse_address(text: str, *, syntax: Reply = BAD_ADDRESS, relay: Reply = UNKNOWN_DOMAIN) -> Path:
    """Parse ``local@domain`` as it stands between angle brackets. A domain may be missing, as in ``root``.

    *syntax* is the reply to what is no address, *relay* the one to what asks to be passed on (``@there:user@here``).
    Raises: Rejected, and nothing else.
    """
    text = _checked(text, syntax)
    if len(text) > MAX_PATH_CHARS or "=?" in text:
        raise Rejected(syntax)
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise Rejected(relay if _ROUTE.fullmatch(text) else syntax)
    local, domain = match["local"], match["domain"] or ""
    if local.startswith('"'):
        local = _QUOTED_PAIR.sub(r"\1", local[1:-1])
    if not local or len(local) > MAX_LOCAL_CHARS or len(domain) > MAX_DOMAIN_CHARS:
        raise Rejected(syntax)
    return Path(local, domain, text)


def parse_recipient(
    address: str, *, domains: Mapping[str, str], numbers: NumberPolicy, aliases: Aliases | None = None
) -> Recipient:
    """Understand a recipient's address, given without angle brackets; ``notify`` and ``orcpt`` are left to the door.

    *domains* maps lower-case domains to channels. An alias wins over a number.
    Raises: Rejected, and nothing else, with these replies: UNKNOWN_DOMAIN (also for attempts to
    relay), NOT_A_PHONE, NOBODY_ON_DUTY,
    IMPOSSIBLE_NUMBER, COUNTRY_NOT_ALLOWED, BAD_OPTION, BAD_ADDRESS, NON_ASCII_ADDRESS.
    """
    path = parse_address(address)
    # a domain's final dot is its root (RFC 1034 3.1): the same domain
    channel = domains.get(path.domain.lower().removesuffix("."))
    if channel is None or not _RELAY_MARKS.isdisjoint(_name_of(path.local)):
        raise Rejected(UNKNOWN_DOMAIN)
    name, options = _split_options(path.local)
    meant = _meant_by(name.lower(), aliases) if aliases is not None else None
    if meant is None and not looks_like_phone(name):
        raise Rejected(NOT_A_PHONE)
    if meant is not None and not meant:
        raise Rejected(NOBODY_ON_DUTY)
    phone, *others = meant if meant is not None else (numbers.read(name),)
    try:
        read_address(options)
    except ValueError as error:
        raise Rejected(BAD_OPTION) from error
    return Recipient(
        address=path.text, channel=channel, phone=phone, options=options,
        alias=name.lower() if meant is not None else "", others=tuple(others),
    )  # fmt: skip


def _meant_by(name: str, aliases: Aliases) -> tuple[Phone, ...] | None:
    found = aliases(name)
    return found if found is not None or looks_like_phone(name) else aliases(CATCH_ALL)


def _checked(raw: str | bytes, syntax: Reply) -> str:
    """Return *raw* as text that is printable ASCII, of bounded length and without encoded words."""
    text = raw.decode("latin-1") if isinstance(raw, bytes) else raw
    if len(text) > 4 * MAX_PATH_CHARS:
        raise Rejected(syntax)
    if not text.isascii():
        raise Rejected(NON_ASCII_ADDRESS)
    if not text.isprintable():
        raise Rejected(syntax)
    return text


def _name_of(local: str) -> str:
    """Return the local part without its options: the part that says who."""
    plus = "+" if local.startswith("+") else ""
    return plus + local.removeprefix("+").partition("+")[0]


def _split_options(local: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Split ``79991234567+flash+sender=NAGIOS`` into the name and its options; names in the one spelling."""
    name = _name_of(local)
    rest = local[len(name) + 1 :] if len(local) > len(name) else None
    if rest is None:
        return name, ()
    options = []
    for option in rest.split("+"):
        key, _, value = option.partition("=")
        options.append((normal_name(key), value))
    return name, tuple(options)
