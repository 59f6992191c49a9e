"""What an answer means: from parsed answers to outcomes, status answers, prices and balances.

Between ``answers`` and the client. Pure, and total: every answer gives a value for every message asked about.
Must not guess in a message's favour: what is not clearly taken or clearly refused is ``Unknown``.
Source: docs/reference/error-codes.md; smsc-api.md 2.4 to 2.8, 4.2 to 4.4, 6.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import assert_never

from mailbridge.gateway.contract import Batch, Price, StatusAnswer, StatusMiss, StatusQuery
from mailbridge.gateway.smsc.answers import (
    Failure,
    Garbage,
    Json,
    as_currency,
    as_id,
    as_int,
    as_money,
    same_id,
)
from mailbridge.gateway.smsc.codes import (
    FIRST_FAILURE,
    HARMLESS_ERRS,
    NO_MONEY,
    NO_ROUTE_ERR,
    NOT_FOUND,
    SHUT_OUT,
    CodeRow,
    Verdict,
    code_row,
    meaning_of,
)
from mailbridge.model.message import Message
from mailbridge.model.outcome import (
    Accepted,
    Balance,
    Deferred,
    ErrorClass,
    Outcome,
    Receipt,
    Refused,
    SmsError,
    Suspended,
    Unknown,
)
from mailbridge.model.phone import digits_of
from mailbridge.model.reply import Reply

Parsed = Json | Failure | Garbage
_CENTS = Decimal("0.0001")
#: the newest year a time of the gateway's may lie in; what is beyond is no time
_LAST_TIMESTAMP = 253_402_300_799


def judge_send(parsed: Parsed, batch: Batch) -> list[Outcome]:
    """Say what became of each message of *batch*, in its order."""
    match parsed:
        case Failure():
            return [judge_failure(parsed, batch)] * len(batch.messages)
        case Garbage():
            return [unknown("answer", parsed.why)] * len(batch.messages)
        case Mapping():
            return _judge_success(parsed, batch)
        case _:
            return [unknown("answer", "not an object")] * len(batch.messages)


def judge_failure(failure: Failure, batch: Batch) -> Outcome:
    """Say what a refusal of the whole request means (docs/reference/error-codes.md)."""
    row = code_row(failure.code)
    error = _error(row, failure)
    match row.verdict:
        case Verdict.REFUSED:
            assert row.reply is not None
            return Refused(
                error=error,
                reply=_reply(row.reply, row, failure),
                whole_request=row.splits and len(batch.messages) > 1,
                no_route=row.no_route,
                gateway_id=batch.gateway_id,
            )
        case Verdict.SUSPENDED:
            return _suspended(row, error)
        case Verdict.DEFERRED:
            return Deferred(error=error, retry_after_s=row.retry_after_s, slow_down=row.retry_after_s is not None)
        case never:
            assert_never(never)


def judge_status(parsed: Parsed, queries: Sequence[StatusQuery], gateway: str) -> list[StatusAnswer]:
    """Find the answer to each query, by phone and id; what is not there is no answer."""
    if isinstance(parsed, Mapping) and len(queries) == 1:
        parsed = [parsed]
    if not isinstance(parsed, Sequence) or isinstance(parsed, str):
        return [StatusMiss.NO_ANSWER] * len(queries)
    entries = [entry for entry in parsed if isinstance(entry, Mapping)]
    keyed = {(_digits(entry.get("phone")), as_id(entry.get("id"))): entry for entry in entries if "phone" in entry}
    by_order = len(parsed) == len(entries) == len(queries)
    out: list[StatusAnswer] = []
    for number, query in enumerate(queries):
        entry = keyed.get((digits_of(query.phone), query.gateway_id))
        if entry is None and by_order and _fits(entries[number], query):
            entry = entries[number]
        out.append(StatusMiss.NO_ANSWER if entry is None else _status_answer(entry, query, gateway))
    return out


def judge_shut(parsed: Parsed) -> Suspended | None:
    """Say whether the answer to a question shuts us out: codes 2 and 4 mean the same in every method."""
    if not isinstance(parsed, Failure) or parsed.code not in SHUT_OUT:
        return None
    row = code_row(parsed.code)
    return _suspended(row, _error(row, parsed))


def judge_balance(parsed: Parsed, gateway: str) -> Balance | Suspended | SmsError:
    """Read the answer of ``balance.php``: codes 2 and 4 say that the account takes nothing now."""
    if isinstance(parsed, Failure):
        row = code_row(parsed.code)
        error = SmsError(code=str(parsed.code), text=parsed.text or row.text, error_class=ErrorClass.DEFERRED)
        return judge_shut(parsed) or error
    fields: Mapping[str, Json] = {"balance": parsed} if isinstance(parsed, int | Decimal) else _mapping(parsed)
    money = as_money(fields.get("balance"))
    if money is None:
        return _no_answer(parsed)
    credit = as_money(fields.get("credit"))
    return Balance(gateway=gateway, balance=money, currency=as_currency(fields.get("currency")), credit=credit)


def judge_price(parsed: Parsed) -> Price | SmsError:
    """Read the answer of ``send.php`` with ``cost=1``."""
    if isinstance(parsed, Failure):
        return _error(code_row(parsed.code), parsed)
    fields = _mapping(parsed)
    cost, parts = as_money(fields.get("cost")), as_int(fields.get("cnt"))
    if cost is None or parts is None:
        return _no_answer(parsed)
    return Price(cost=cost, parts=parts)


def unknown(code: str, text: str, retry_after_s: float | None = None) -> Unknown:
    """Return the outcome of a request that left and got no usable answer."""
    error = SmsError(code=code, text=text, error_class=ErrorClass.UNKNOWN)
    return Unknown(error=error, retry_after_s=retry_after_s)


# ---------------------------------------------------------------------------------------------- send.php, taken
def _judge_success(fields: Mapping[str, Json], batch: Batch) -> list[Outcome]:
    if not same_id(fields.get("id"), batch.gateway_id):
        return [unknown("answer", "the answer's id is not the request's")] * len(batch.messages)
    rows = fields.get("phones")
    listed = rows if isinstance(rows, Sequence) and not isinstance(rows, str) else ()
    by_phone = {_digits(row.get("phone")): row for row in listed if isinstance(row, Mapping)}
    details = [by_phone.get(message.phone[1:], {}) for message in batch.messages]
    refusals = [_refusal(row, batch.gateway_id) for row in details]
    taken = [message for message, refusal in zip(batch.messages, refusals, strict=True) if refusal is None]
    shares = _Shares(fields, taken)
    return [
        refusal or shares.accepted(message, row, batch.gateway_id)
        for message, row, refusal in zip(batch.messages, details, refusals, strict=True)
    ]


def _refusal(row: Mapping[str, Json], gateway_id: str) -> Refused | Suspended | None:
    """Return the refusal in one phone's *row* of the answer, if there is one.

    Status 24 there is code 3 by another name: the money ran out within the batch, and what is left of it must wait.
    """
    status, err = as_int(row.get("status")), as_int(row.get("error")) or 0
    if status is None:
        if err in HARMLESS_ERRS:
            return None
        status = FIRST_FAILURE
    if status < FIRST_FAILURE:
        return None
    meaning = meaning_of(status, err)
    if status == NO_MONEY:
        no_money = SmsError(code="3", text=f"{meaning.words} ({meaning.code})", error_class=ErrorClass.SUSPENDED)
        return _suspended(code_row(3), no_money)
    # the message is done with, however passing the reason: an SMTP client that waits must not be told to try again
    reply = Reply(550, f"5{meaning.enhanced[1:]}", "").with_text(f"SMSC {meaning.code}: {meaning.words}")
    error = SmsError(code=meaning.code, text=meaning.words, error_class=ErrorClass.REFUSED)
    return Refused(error=error, reply=reply, no_route=err == NO_ROUTE_ERR, gateway_id=gateway_id)


class _Shares:
    """How the answer's sums are shared out between the messages taken."""

    def __init__(self, fields: Mapping[str, Json], taken: Sequence[Message]) -> None:
        self._cnt = as_int(fields.get("cnt")) or 0
        self._cost = as_money(fields.get("cost"))
        self._balance = as_money(fields.get("balance"))
        self._parts = sum(message.parts for message in taken)
        self._count = len(taken)
        self._same_text = len({message.text for message in taken}) == 1

    def accepted(self, message: Message, row: Mapping[str, Json], gateway_id: str) -> Outcome:
        """Return what *message* got; nothing was taken where not even one part was counted."""
        if self._cnt < 1:
            return unknown("answer", "no part was counted")
        price = as_money(row.get("cost"))
        if price is None and self._cost is not None:
            price = self._cost if self._count == 1 else (self._cost * message.parts / self._parts).quantize(_CENTS)
        return Accepted(gateway_id=gateway_id, parts=self._parts_of(message), price=price, balance=self._balance)

    def _parts_of(self, message: Message) -> int:
        """The gateway's own count where it can be shared out for certain, else ours; of a call it counts seconds."""
        if message.channel == "call":
            return message.parts
        if self._same_text and self._cnt % self._count == 0:
            return self._cnt // self._count
        return message.parts


# ------------------------------------------------------------------------------------------------------ details
def _error(row: CodeRow, failure: Failure) -> SmsError:
    classes = {
        Verdict.REFUSED: ErrorClass.REFUSED,
        Verdict.SUSPENDED: ErrorClass.SUSPENDED,
        Verdict.DEFERRED: ErrorClass.DEFERRED,
    }
    return SmsError(code=str(failure.code), text=failure.text or row.text, error_class=classes[row.verdict])


def _reply(template: Reply, row: CodeRow, failure: Failure) -> Reply:
    """Complete a reply with the gateway's own words, where SMTP can carry them."""
    words = failure.text if failure.text.isascii() and failure.text else row.text
    return template.with_text(f"SMSC error {failure.code}: {words}")


def _suspended(row: CodeRow, error: SmsError) -> Suspended:
    return Suspended(error=error, probe_after_s=row.probe_after_s, probe_max_s=row.probe_max_s)


def _status_answer(entry: Mapping[str, Json], query: StatusQuery, gateway: str) -> StatusAnswer:
    status = as_int(entry.get("status"))
    if status is None:
        return StatusMiss.NO_ANSWER
    if status == NOT_FOUND:
        return StatusMiss.NOT_FOUND
    return Receipt(
        gateway=gateway,
        gateway_id=query.gateway_id,
        phone=query.phone,
        status=status,
        err=as_int(entry.get("err")) or 0,
        changed_at=time_of(entry.get("last_timestamp")),
        price=as_money(entry.get("cost")),
        parts=as_int(entry.get("sms_cnt")),
    )


def time_of(value: object) -> datetime | None:
    """Return a Unix time as aware UTC; None where there is none (0 and empty stand for that)."""
    seconds = as_int(value)
    return datetime.fromtimestamp(seconds, UTC) if seconds and 0 < seconds <= _LAST_TIMESTAMP else None


def _fits(entry: Mapping[str, Json], query: StatusQuery) -> bool:
    """Tell whether *entry*, found in the query's place, says nothing against being its answer."""
    phone, id_ = entry.get("phone"), entry.get("id")
    phone_fits = not phone or _digits(phone) == digits_of(query.phone)
    return phone_fits and (not id_ or same_id(id_, query.gateway_id))


def _digits(value: object) -> str:
    """Return a phone of the gateway's as digits; those are what it sends, so that is looked at first."""
    if isinstance(value, str):
        return value if value.isascii() and value.isdigit() else digits_of(value)
    return as_id(value)


def _mapping(parsed: Parsed) -> Mapping[str, Json]:
    return parsed if isinstance(parsed, Mapping) else {}


def _no_answer(parsed: Parsed) -> SmsError:
    why = parsed.why if isinstance(parsed, Garbage) else "not a known answer"
    return SmsError(code="answer", text=why, error_class=ErrorClass.UNKNOWN)
