"""What the methods answer, as values; ``reading`` makes them.

Money is ``Decimal``, moments are aware UTC, ids are text. What an answer leaves out, or says in a shape nobody
documents, is None or empty. ``raw`` keeps the whole object, for fields that appear over time.
Source: smsc-api.md 2.4, 4.2 to 4.4, 6 and 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from mailbridge.gateway.smsc.answers import Json
from mailbridge.gateway.smsc.codes import Meaning, meaning_of

Fields = Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Whatever the gateway answered, as a value."""

    #: the whole object as it came
    raw: Fields = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Answer):
    """A command was carried out."""

    #: False: the answer was empty, which some clients have seen for a success (smsc-api.md 1.6)
    confirmed: bool = True
    #: of what was created, where the answer names it
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneResult(Answer):
    """One number of a request (``op=1``)."""

    phone: str
    mccmnc: str = ""
    cost: Decimal | None = None
    #: for a refused number: codes of smsc-api.md 4.5 and 4.6
    status: int | None = None
    err: int = 0

    @property
    def refused(self) -> bool:
        """True where this number gets nothing."""
        return self.status is not None and self.status >= 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent(Answer):
    """The gateway accepted a request, which does not say that it can deliver it."""

    id: str
    #: parts over all recipients; seconds for calls
    parts: int | None = None
    cost: Decimal | None = None
    balance: Decimal | None = None
    #: of a call that dictates a code: the last digits of the number that calls
    code: str = ""
    phones: tuple[PhoneResult, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote(Answer):
    """What a request would cost."""

    cost: Decimal
    parts: int | None = None
    phones: tuple[PhoneResult, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Money(Answer):
    """What is on the account."""

    balance: Decimal
    currency: str = ""
    credit: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hlr:
    """What an HLR query found; empty where it found nothing."""

    imsi: str = ""
    #: service centre
    msc: str = ""
    mcc: str = ""
    mnc: str = ""
    country: str = ""
    operator: str = ""
    #: where the subscriber is abroad
    roaming_country: str = ""
    roaming_operator: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Answer):
    """What became of one message, as much of it as was asked for."""

    #: code of smsc-api.md 4.5; -3 is "not found", which is an answer and no error
    status: int
    #: code of 4.6
    err: int = 0
    changed_at: datetime | None = None
    sent_at: datetime | None = None
    id: str = ""
    phone: str = ""
    flag: int = 0
    name: str = ""
    text: str = ""
    comment: str = ""
    sender: str = ""
    cost: Decimal | None = None
    parts: int | None = None
    kind: int | None = None
    mccmnc: str = ""
    country: str = ""
    operator: str = ""
    #: before the number was ported
    operator_before: str = ""
    region: str = ""
    hlr: Hlr | None = None
    #: only in the history: the global number to page by
    int_id: str = ""

    @property
    def found(self) -> bool:
        """False where the gateway knows no such message (yet)."""
        return self.status != -3

    @property
    def meaning(self) -> Meaning:
        """What status and err mean together."""
        return meaning_of(self.status, self.err)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound(Answer):
    """An SMS somebody sent to one of the account's numbers."""

    id: str
    phone: str
    text: str
    #: our number or short code
    to: str = ""
    received_at: datetime | None = None
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend(Answer):
    """One row of the statistics."""

    login: str = ""
    messages: int | None = None
    #: spent
    credit: Decimal | None = None
    #: paid in
    debit: Decimal | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff(Answer):
    """The price of a part for one operator."""

    country: str = ""
    operator: str = ""
    mccmnc: str = ""
    price: Decimal | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator(Answer):
    """Whose a number is."""

    phone: str = ""
    country: str = ""
    operator: str = ""
    region: str = ""
    mcc: str = ""
    mnc: str = ""
    #: hours east of Moscow
    tz: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact(Answer):
    """A person in the address book."""

    id: str = ""
    phone: str = ""
    mail: str = ""
    name: str = ""
    groups: str = ""
    birthday: str = ""
    comment: str = ""
    tags: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(Answer):
    """A group of contacts; ``G<number>`` among the phones of a message addresses it."""

    id: str = ""
    name: str = ""
    number: str = ""
    contacts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Template(Answer):
    """A text kept by the gateway."""

    id: str = ""
    name: str = ""
    format: str = ""
    text: str = ""
    sender: str = ""
    flag: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender(Answer):
    """A sender name and how far it is."""

    name: str = ""
    id: str = ""
    #: the gateway's word or number for it; what they are is not documented
    state: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailing(Answer):
    """A mailing to many."""

    id: str = ""
    name: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubAccount(Answer):
    """A sub-account's figures."""

    login: str = ""
    balance: Decimal | None = None
    messages: int | None = None
    credit: Decimal | None = None
    debit: Decimal | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link(Answer):
    """How often a short link was followed."""

    id: str = ""
    link: str = ""
    url: str = ""
    clicks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RentedNumber(Answer):
    """A number that receives SMS for the account."""

    phone: str = ""
    cost: Decimal | None = None
    until: str = ""
    prolonged: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitCall(Answer):
    """The numbers a person may call to prove that a phone is theirs."""

    phone: str
    all_phones: tuple[str, ...] = ()
