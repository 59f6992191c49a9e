"""send.php: the order of checks is smsc-api.md section 10's, the answers are section 2's."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from mailbridge.simulator.answers import TOO_MANY, TOO_OFTEN, Answer, failure, id_value, money, short_money
from mailbridge.simulator.calls import Call, Reply
from mailbridge.simulator.magic import (
    CONCURRENCY,
    ODD,
    ORDINARY,
    REFUSAL_CODE,
    STAYS_QUEUED,
    USUAL_ERR,
    WIRE,
    Fate,
    Series,
    fate_of,
)
from mailbridge.simulator.messages import Step, Stored, life_of
from mailbridge.simulator.params import BadParameters
from mailbridge.simulator.phones import operator_of
from mailbridge.simulator.schedule import BadDate
from mailbridge.simulator.submission import Item, Submission, parse_submission

#: what does not make two sends different; ``id`` joins it by default
_NOT_COMPARED = frozenset({"login", "psw", "apikey", "fmt", "charset", "pp"})
_SENDER = re.compile(r"\d{1,15}|[A-Za-z0-9 ._\-&!+]{1,11}", re.ASCII)
_MAX_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class _Ruled:
    """An item and what is to become of it; *refusal* is a status of ``phones[]``."""

    item: Item
    fate: Fate
    refusal: int | None

    @property
    def err(self) -> int:
        return USUAL_ERR.get(self.refusal or 0, 0)


def answer(call: Call) -> Reply:
    """Answer one request of send.php."""
    settings = call.settings
    try:
        submission = parse_submission(
            call.params, now=call.now, zone_h=call.account.settings.tz_h, max_chars=settings.max_text_chars
        )
    except BadParameters:
        return Reply(answer=failure(1))
    except BadDate:
        return Reply(answer=failure(5))
    ruled = [_rule(item, magic=settings.magic) for item in submission.items]
    if (reply := _whole_request_fault(call, submission, ruled)) is not None:
        return reply
    if (late := _first(ruled, Series.LATE)) and submission.cost != 1:
        return Reply(
            answer=failure(1),
            wire="close",
            later=lambda now: _forget_answer(call, submission, ruled, now),
            later_s=float(late.argument),
        )
    result = _take(call, submission, ruled, call.now)
    if result.code or submission.cost == 1:
        return Reply(answer=result)
    return _dressed(result, ruled)


def _rule(item: Item, *, magic: bool) -> _Ruled:
    """Return what the number of *item* asks for."""
    if not item.number.good:
        return _Ruled(item, ORDINARY, 22)
    fate = fate_of(item.number.digits) if magic else ORDINARY
    return _Ruled(item, fate, fate.argument if fate.series is Series.REFUSED else None)


def _first(ruled: Sequence[_Ruled], *series: Series) -> Fate | None:
    """Return the first number's fate that is of one of *series*."""
    return next((one.fate for one in ruled if one.fate.series in series), None)


def _id_of(call: Call, submission: Submission) -> str | None:
    """Return the id an error carries: pricing has none."""
    if submission.cost == 1:
        return None
    return submission.message_id or call.account.next_id()


def _error(call: Call, submission: Submission, code: int) -> Answer:
    """Return error *code* of a magic number."""
    if code == CONCURRENCY:
        return failure(9, TOO_MANY)
    return failure(code, None, _id_of(call, submission))


def _whole_request_fault(call: Call, submission: Submission, ruled: Sequence[_Ruled]) -> Reply | None:
    """Return the reply a magic number forces on the whole request before it is taken."""
    if fate := _first(ruled, Series.ERROR, Series.PLAIN_ERROR):
        return Reply(
            answer=_error(call, submission, fate.argument),
            plain=fate.series is Series.PLAIN_ERROR,
        )
    for one in ruled:
        if one.fate.series is Series.ONCE:
            phone = one.item.number.digits
            if phone not in call.once and len(call.once) < _MAX_ONCE:
                call.once.add(phone)
                return Reply(answer=_error(call, submission, one.fate.argument))
            call.once.discard(phone)
    if (fate := _first(ruled, Series.WIRE_BEFORE)) and fate.argument in WIRE:
        return Reply(answer=failure(1), wire=WIRE[fate.argument][0])
    return None


def _dressed(result: Answer, ruled: Sequence[_Ruled]) -> Reply:
    """Return the reply to an accepted request, spoilt as its numbers ask."""
    slow, wire, odd = _first(ruled, Series.SLOW), _first(ruled, Series.WIRE_AFTER), _first(ruled, Series.ODD)
    return Reply(
        answer=result,
        delay_s=float(slow.argument) if slow else 0.0,
        wire=WIRE[wire.argument][0] if wire and wire.argument in WIRE else None,
        odd=ODD[odd.argument][0] if odd and odd.argument in ODD else None,
    )


def _duplicate_key(call: Call) -> bytes:
    """Return what makes two sends identical."""
    left_out = _NOT_COMPARED if call.settings.limits.duplicate_counts_id else _NOT_COMPARED | {"id"}
    compared = sorted((name, value) for name, value in call.params.values.items() if name not in left_out)
    return hashlib.sha256(repr((call.account.login, compared)).encode("utf-8", "surrogatepass")).digest()


def _sender_of(call: Call, item: Item) -> str | None:
    """Return the sender name an item goes out under; None: it is not allowed."""
    asked, own = item.sender, call.account.settings
    if asked is None:
        return own.sender
    asked = asked.strip()
    if asked in {"", "."}:
        return ""
    if item.text.kind == "mail":
        return asked
    if not _SENDER.fullmatch(asked) or (own.senders is not None and asked not in own.senders):
        return None
    return asked


def _take(call: Call, submission: Submission, ruled: Sequence[_Ruled], now: float) -> Answer:
    """Price or accept a request: duplicate, numbers, sender, money."""
    key = _duplicate_key(call)
    if submission.cost == 1:
        if not call.rates.prices.take(key, call.tick):
            return failure(9, TOO_OFTEN)
    elif call.rates.duplicates.full(key, call.tick):
        return failure(9)
    good = [one for one in ruled if one.refusal is None]
    if not good:
        return failure(REFUSAL_CODE[ruled[0].refusal or 22], None, _id_of(call, submission))
    senders = [_sender_of(call, one.item) for one in ruled]
    if None in senders:
        return failure(6, None, _id_of(call, submission))
    price = Decimal(0) if call.account.settings.virtual else call.settings.price
    parts = sum(one.item.text.parts for one in good)
    if submission.cost == 1:
        return _priced(submission, ruled, price, parts)
    if not call.account.can_pay(price * parts):
        return failure(3, None, _id_of(call, submission))
    message_id = submission.message_id or call.account.next_id()
    call.rates.duplicates.add(key, call.tick)
    call.account.pay(price * parts, parts)
    for one, sender in zip(ruled, senders, strict=True):
        message = _stored(call, submission, one, message_id, sender or "", price, now)
        call.store.add(message)
        call.on_accepted(message)
    return _accepted(call, submission, ruled, price, parts, message_id)


def _forget_answer(call: Call, submission: Submission, ruled: Sequence[_Ruled], now: float) -> None:
    """Accept a request whose client has gone."""
    _take(call, submission, ruled, now)


def _stored(
    call: Call, submission: Submission, one: _Ruled, message_id: str, sender: str, price: Decimal, now: float
) -> Stored:
    """Return the message to remember."""
    item, fate, settings = one.item, one.fate, call.settings
    send_at = max(item.send_at, now)
    if one.refusal is not None:
        steps: tuple[Step, ...] = (Step(0.0, one.refusal, one.err),)
    else:
        lingering = float(fate.argument) if fate.series is Series.LINGERING else settings.final_after_s
        virtual = call.account.settings.virtual and fate.series is Series.NORMAL
        steps = life_of(
            send_at,
            final_status=20 if virtual else fate.final_status,
            err=200 if virtual else fate.err,
            handed_after_s=min(settings.handed_after_s, lingering),
            final_after_s=lingering,
            stays_queued=fate.series is Series.STATUS and fate.argument == STAYS_QUEUED,
        )
    return Stored(
        serial=call.store.next_serial(),
        login=call.account.login,
        message_id=message_id,
        phone=item.number.digits,
        kind=item.text.kind,
        sender=sender,
        text=item.text.shown,
        mes=item.mes,
        comment=item.text.comment,
        translit=submission.translit,
        alphabet=item.text.alphabet,
        parts=item.text.parts,
        cost=Decimal(0) if one.refusal is not None else price * item.text.parts,
        received_at=now,
        send_at=send_at,
        valid_s=submission.valid_s,
        steps=steps,
        unseen_until=now + fate.argument if fate.series is Series.UNSEEN else 0.0,
    )


def _phones(submission: Submission, ruled: Sequence[_Ruled], price: Decimal) -> list[dict[str, str]]:
    """Return ``phones[]``: all numbers for op=1, else those err=1 tells of."""
    rows: list[dict[str, str]] = []
    for one in ruled:
        if one.refusal is None and not submission.op:
            continue
        row = {"phone": one.item.number.digits, "mccmnc": operator_of(one.item.number.digits).mccmnc}
        if price:
            row["cost"] = "0" if one.refusal is not None else short_money(price * one.item.text.parts)
        if one.refusal is not None:
            row |= {"status": str(one.refusal), "error": str(one.err)}
            if one.refusal == 22:
                row["mccmnc"] = ""
        rows.append(row)
    return rows


def _with_phones(
    data: dict[str, Any], submission: Submission, ruled: Sequence[_Ruled], price: Decimal
) -> dict[str, Any]:
    """Return *data* with ``phones`` where they were asked for."""
    if (submission.op or submission.err) and (rows := _phones(submission, ruled, price)):
        data["phones"] = rows
    return data


def _priced(submission: Submission, ruled: Sequence[_Ruled], price: Decimal, parts: int) -> Answer:
    """Return the answer to cost=1."""
    cost = price * parts
    return Answer(
        text=f"{money(cost)} ({parts} SMS)",
        rows=[(money(cost), parts)],
        data=_with_phones({"cost": short_money(cost), "cnt": parts}, submission, ruled, price),
    )


def _accepted(
    call: Call, submission: Submission, ruled: Sequence[_Ruled], price: Decimal, parts: int, message_id: str
) -> Answer:
    """Return the answer to an accepted request."""
    cost, balance = price * parts, call.account.balance
    text = f"OK - {parts} SMS, ID - {message_id}"
    row: list[object] = [id_value(message_id), parts]
    data: dict[str, Any] = {"id": id_value(message_id), "cnt": parts}
    if submission.cost >= 2:
        text += f", COST - {money(cost)}"
        row.append(money(cost))
        data["cost"] = short_money(cost)
    if submission.cost == 3:
        text += f", BALANCE - {money(balance)}"
        row.append(money(balance))
        data["balance"] = short_money(balance)
    if submission.wants_code:
        code = f"{call.random.randrange(1_000_000):06}"
        row.append(code)
        data["code"] = code
    return Answer(text=text, rows=[row], data=_with_phones(data, submission, ruled, price))
