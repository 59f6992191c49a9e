"""From JSON that may have any shape at all to the values of ``values``. Pure, and nothing here raises.

Names that are marked uncertain in the reference are read under each known name.
Source: smsc-api.md 2.4, 4.2 to 4.4, 6 and 8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TypeVar

from mailbridge.gateway.smsc.answers import Json, as_currency, as_id, as_int, as_money
from mailbridge.gateway.smsc.api.values import (
    Contact,
    Fields,
    Group,
    Hlr,
    Inbound,
    Link,
    Mailing,
    Operator,
    PhoneResult,
    RentedNumber,
    Sender,
    Sent,
    Spend,
    Status,
    SubAccount,
    Tariff,
    Template,
    WaitCall,
)
from mailbridge.gateway.smsc.verdict import time_of

#: smsc.ru tells local times in Moscow's (smsc-api.md 4.2, 6.2)
MOSCOW = timezone(timedelta(hours=3))
_DATE_FORMATS = ("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y")
_T = TypeVar("_T")


def text_of(fields: Fields, *names: str) -> str:
    """Return the first of *names* that is text or a number, as text."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return as_id(value) or str(value)
    return ""


def int_of(fields: Fields, *names: str) -> int | None:
    """Return the first of *names* that is a whole number."""
    return next((number for name in names if (number := as_int(fields.get(name))) is not None), None)


def money_of(fields: Fields, *names: str) -> Decimal | None:
    """Return the first of *names* that is a sum."""
    return next((money for name in names if (money := as_money(fields.get(name))) is not None), None)


def moment_of(fields: Fields, stamp: str, date: str) -> datetime | None:
    """Return a moment by its Unix time, or else by its date in Moscow's time."""
    if (moment := time_of(fields.get(stamp))) is not None:
        return moment
    text = text_of(fields, date).strip()
    for form in _DATE_FORMATS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=MOSCOW).astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    return None


def items_of(parsed: Json) -> list[Fields]:
    """Return the objects of a list; a single object is a list of one."""
    if isinstance(parsed, Mapping):
        return [parsed]
    if isinstance(parsed, Sequence) and not isinstance(parsed, str):
        return [item for item in parsed if isinstance(item, Mapping)]
    return []


def read_all(parsed: Json, read: Callable[[Fields], _T]) -> list[_T]:
    """Read each object of a list."""
    return [read(item) for item in items_of(parsed)]


def read_phone(fields: Fields) -> PhoneResult:
    """Read an item of ``phones[]``."""
    return PhoneResult(
        phone=text_of(fields, "phone"), mccmnc=text_of(fields, "mccmnc"), cost=money_of(fields, "cost"),
        status=int_of(fields, "status"), err=int_of(fields, "error", "err") or 0, raw=fields,
    )  # fmt: skip


def read_sent(fields: Fields) -> Sent:
    """Read the answer to what was accepted."""
    return Sent(
        id=text_of(fields, "id"), parts=int_of(fields, "cnt"), cost=money_of(fields, "cost"),
        balance=money_of(fields, "balance"), code=text_of(fields, "code"),
        phones=tuple(read_all(fields.get("phones"), read_phone)), raw=fields,
    )  # fmt: skip


def read_status(fields: Fields) -> Status:
    """Read a message's status; a status that is no number is "not found"."""
    is_hlr = any(name in fields for name in ("imsi", "msc", "cn", "net"))
    status = int_of(fields, "status")
    return Status(
        status=-3 if status is None else status, err=int_of(fields, "err") or 0,
        changed_at=moment_of(fields, "last_timestamp", "last_date"),
        sent_at=moment_of(fields, "send_timestamp", "send_date"), id=text_of(fields, "id"),
        phone=text_of(fields, "phone", "email"), flag=int_of(fields, "flag") or 0, name=text_of(fields, "status_name"),
        text=text_of(fields, "message"), comment=text_of(fields, "comment"),
        sender=text_of(fields, "sender_id", "sender"), cost=money_of(fields, "cost"), parts=int_of(fields, "sms_cnt"),
        kind=int_of(fields, "type"), mccmnc=text_of(fields, "mccmnc"), country=text_of(fields, "country"),
        operator=text_of(fields, "operator"), operator_before=text_of(fields, "operator_orig"),
        region=text_of(fields, "region"), hlr=_read_hlr(fields) if is_hlr else None, int_id=text_of(fields, "int_id"),
        raw=fields,
    )  # fmt: skip


def _read_hlr(fields: Fields) -> Hlr:
    return Hlr(
        imsi=text_of(fields, "imsi"), msc=text_of(fields, "msc"),
        mcc=text_of(fields, "mcc"), mnc=text_of(fields, "mnc"),
        country=text_of(fields, "cn"), operator=text_of(fields, "net"), roaming_country=text_of(fields, "rcn"),
        roaming_operator=text_of(fields, "rnet"),
    )  # fmt: skip


def read_inbound(fields: Fields) -> Inbound:
    """Read an inbound message."""
    return Inbound(
        id=text_of(fields, "id"), phone=text_of(fields, "phone"), text=text_of(fields, "message", "mes"),
        to=text_of(fields, "to_phone", "to"), received_at=moment_of(fields, "ts", "received"),
        sent_at=moment_of(fields, "sent_timestamp", "sent"), raw=fields,
    )  # fmt: skip


def read_spend(fields: Fields) -> Spend:
    """Read a row of the statistics; the count's name is uncertain."""
    return Spend(
        login=text_of(fields, "login", "user"), messages=int_of(fields, "sms", "cnt", "sms_cnt"),
        credit=money_of(fields, "credit"), debit=money_of(fields, "debit"),
        currency=as_currency(fields.get("currency")), raw=fields,
    )  # fmt: skip


def read_tariff(fields: Fields) -> Tariff:
    """Read a row of the prices; its shape is uncertain."""
    return Tariff(
        country=text_of(fields, "country", "cn"), operator=text_of(fields, "operator", "net"),
        mccmnc=text_of(fields, "mccmnc") or text_of(fields, "mcc") + text_of(fields, "mnc"),
        price=money_of(fields, "price", "cost"), currency=as_currency(fields.get("currency")), raw=fields,
    )  # fmt: skip


def read_operator(fields: Fields) -> Operator:
    """Read whose a number is."""
    return Operator(
        phone=text_of(fields, "phone"), country=text_of(fields, "country"), operator=text_of(fields, "operator"),
        region=text_of(fields, "region"), mcc=text_of(fields, "mcc"), mnc=text_of(fields, "mnc"),
        tz=int_of(fields, "tz"), raw=fields,
    )  # fmt: skip


def read_contact(fields: Fields) -> Contact:
    """Read a person."""
    full = " ".join(filter(None, (text_of(fields, "lnm"), text_of(fields, "fnm"), text_of(fields, "mnm"))))
    return Contact(
        id=text_of(fields, "id"), phone=text_of(fields, "phone"), mail=text_of(fields, "mail", "email"),
        name=text_of(fields, "name", "fio") or full, groups=text_of(fields, "grp", "groups"),
        birthday=text_of(fields, "bd"), comment=text_of(fields, "cmt"), tags=text_of(fields, "tags"), raw=fields,
    )  # fmt: skip


def read_group(fields: Fields) -> Group:
    """Read a group."""
    return Group(
        id=text_of(fields, "id"), name=text_of(fields, "name"), number=text_of(fields, "number", "num"),
        contacts=int_of(fields, "cnt"), raw=fields,
    )  # fmt: skip


def read_template(fields: Fields) -> Template:
    """Read a template of either kind."""
    return Template(
        id=text_of(fields, "id"), name=text_of(fields, "name"), format=text_of(fields, "format"),
        text=text_of(fields, "message", "msg"), sender=text_of(fields, "sender"), flag=int_of(fields, "flag") or 0,
        raw=fields,
    )  # fmt: skip


def read_sender(fields: Fields) -> Sender:
    """Read a sender name."""
    return Sender(
        name=text_of(fields, "sender", "name"), id=text_of(fields, "id"), state=text_of(fields, "status", "state"),
        comment=text_of(fields, "cmt", "comment"), raw=fields,
    )  # fmt: skip


def read_mailing(fields: Fields) -> Mailing:
    """Read a mailing."""
    return Mailing(
        id=text_of(fields, "id"),
        name=text_of(fields, "name"),
        status=text_of(fields, "status", "status_name"),
        raw=fields,
    )


def read_subaccount(fields: Fields) -> SubAccount:
    """Read a sub-account's figures."""
    return SubAccount(
        login=text_of(fields, "login", "user"), balance=money_of(fields, "balance"),
        messages=int_of(fields, "sms", "cnt", "sms_cnt"), credit=money_of(fields, "credit"),
        debit=money_of(fields, "debit"), currency=as_currency(fields.get("currency")), raw=fields,
    )  # fmt: skip


def read_link(fields: Fields) -> Link:
    """Read a short link."""
    return Link(
        id=text_of(fields, "id"), link=text_of(fields, "link", "tinyurl"), url=text_of(fields, "url"),
        clicks=int_of(fields, "cnt", "clicks"), raw=fields,
    )  # fmt: skip


def read_rented(fields: Fields) -> RentedNumber:
    """Read a rented number."""
    stays = int_of(fields, "noprolong")
    return RentedNumber(
        phone=text_of(fields, "phone"), cost=money_of(fields, "cost", "price"),
        until=text_of(fields, "end", "end_date", "until"), prolonged=None if stays is None else not stays, raw=fields,
    )  # fmt: skip


def read_wait_call(fields: Fields) -> WaitCall:
    """Read the numbers to call."""
    given = fields.get("all_phones")
    listed = given if isinstance(given, Sequence) and not isinstance(given, str) else ()
    phones = tuple(filter(None, map(as_id, listed)))
    return WaitCall(phone=text_of(fields, "phone") or next(iter(phones), ""), all_phones=phones, raw=fields)
