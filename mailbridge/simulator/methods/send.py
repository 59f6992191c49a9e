"""send.php: the order of checks is smsc-api.md section 10's, the answers are section 2's."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from decimal import Decimal

from mailbridge.simulator.answers import TOO_MANY, TOO_OFTEN, Answer, failure
from mailbridge.simulator.calls import Call, Reply, sender_names
from mailbridge.simulator.magic import (
    CONCURRENCY,
    ODD,
    REFUSAL_CODE,
    STAYS_QUEUED,
    WIRE,
    Fate,
    Series,
)
from mailbridge.simulator.messages import Step, Stored, life_of
from mailbridge.simulator.params import BadParameters
from mailbridge.simulator.ruling import Ruled, first, rule
from mailbridge.simulator.schedule import BadDate
from mailbridge.simulator.send_answers import accepted, priced
from mailbridge.simulator.submission import Item, Submission, parse_submission

#: what does not make two sends different; ``id`` joins it by default
_NOT_COMPARED = frozenset({"login", "psw", "apikey", "fmt", "charset", "pp"})
_SENDER = re.compile(r"\+?\d{1,15}|[A-Za-z0-9 ._\-&!+]{1,11}", re.ASCII)
_MAX_ONCE = 10_000
_GROUP = re.compile(r"(?<![^,; ])G(\d{1,9})(?![^,; ])", re.ASCII)
_URL = re.compile(r"https?://[^\s<>\"]+", re.ASCII)


def answer(call: Call) -> Reply:
    """Answer one request of send.php."""
    settings = call.settings
    try:
        call = _expanded(call)
        submission = parse_submission(
            call.params, now=call.now, zone_h=call.account.settings.tz_h, max_chars=settings.max_text_chars
        )
    except BadParameters:
        return Reply(answer=failure(1))
    except BadDate:
        return Reply(answer=failure(5))
    ruled = [_ruled(call, item) for item in submission.items]
    if (reply := _whole_request_fault(call, submission, ruled)) is not None:
        return reply
    if (late := first(ruled, Series.LATE)) and submission.cost != 1:
        return Reply(
            answer=failure(1),
            wire="close",
            later=lambda now: _take_late(call, submission, ruled, now),
            later_s=float(late.argument),
        )
    result = _take(call, submission, ruled)
    if result.code or submission.cost == 1:
        return Reply(answer=result)
    return _dressed(result, ruled)


def _expanded(call: Call) -> Call:
    """Return the request with groups as their members and, where it is asked for, links as short ones."""
    phones, mes = call.params.text("phones"), call.params.text("mes")
    values = {}
    if _GROUP.search(phones):
        values["phones"] = _GROUP.sub(lambda match: _members(call, match[1]), phones)
    if call.params.flag("tinyurl") and (short := _URL.sub(lambda match: _short_link(call, match[0]), mes)) != mes:
        values["mes"] = short
    return call.with_values(**values) if values else call


def _members(call: Call, number: str) -> str:
    """Return the phones of a group as a list; of one that is not there, nothing anybody could reach."""
    group = next((one for one in call.book.groups if str(one["number"]) == number), None)
    if group is None:
        return "G" + number
    inside = [one for one in call.book.contacts if isinstance(one["grp"], list) and group["id"] in one["grp"]]
    return ",".join(f"+{one['phone']}" for one in inside if one["phone"])


def _short_link(call: Call, url: str) -> str:
    """Return the short link of *url*; the same one each time."""
    record = call.book.links.find(url=url)
    if record is None:
        record = call.book.links.add(url=url, link="", cnt=0)
        record["link"] = f"https://smsc.ru/-{record['id']}"
    return str(record["link"])


def _ruled(call: Call, item: Item) -> Ruled:
    """Return what is to become of *item*: the account's black list comes first."""
    if item.number.digits in call.book.black:
        return Ruled(item, Fate(final_status=23, err=252), None)
    return rule(item, magic=call.settings.magic)


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


def _whole_request_fault(call: Call, submission: Submission, ruled: Sequence[Ruled]) -> Reply | None:
    """Return the reply a magic number forces on the whole request before it is taken."""
    if fate := first(ruled, Series.ERROR, Series.PLAIN_ERROR):
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
    if (fate := first(ruled, Series.WIRE_BEFORE)) and fate.argument in WIRE:
        return Reply(answer=failure(1), wire=WIRE[fate.argument][0])
    return None


def _dressed(result: Answer, ruled: Sequence[Ruled]) -> Reply:
    """Return the reply to an accepted request, spoilt as its numbers ask."""
    slow, wire, odd = first(ruled, Series.SLOW), first(ruled, Series.WIRE_AFTER), first(ruled, Series.ODD)
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
    if not _SENDER.fullmatch(asked) or (own.senders is not None and asked not in sender_names(call)):
        return None
    return asked


def _take(call: Call, submission: Submission, ruled: Sequence[Ruled]) -> Answer:
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
        return priced(submission, ruled, price, parts)
    if not call.account.can_pay(price * parts):
        return failure(3, None, _id_of(call, submission))
    message_id = submission.message_id or call.account.next_id()
    call.rates.duplicates.add(key, call.tick)
    call.account.pay(price * parts, parts)
    for one, sender in zip(ruled, senders, strict=True):
        message = _stored(call, submission, one, message_id=message_id, sender=sender or "", price=price)
        call.store.add(message)
        call.on_accepted(message)
    return accepted(call, submission=submission, ruled=ruled, price=price, parts=parts, message_id=message_id)


def _take_late(call: Call, submission: Submission, ruled: Sequence[Ruled], now: float) -> None:
    """Accept a request whose client has gone; nobody hears the answer."""
    _take(dataclasses.replace(call, now=now, tick=call.tick + now - call.now), submission, ruled)


def _stored(call: Call, submission: Submission, one: Ruled, *, message_id: str, sender: str, price: Decimal) -> Stored:
    """Return the message to remember."""
    item, fate, settings = one.item, one.fate, call.settings
    now, send_at = call.now, max(item.send_at, call.now)
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
        files=call.params.files,
        unseen_until=now + fate.argument if fate.series is Series.UNSEEN else 0.0,
    )
