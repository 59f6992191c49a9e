"""Where the door's mail becomes messages on disk, and the answer to DATA is found.

    ReceivedMail -> parse -> plan -> (is there room) -> Store.put -> (wait for the verdict) -> Reply

The answer is given only after the mail is committed. Whoever calls may be cancelled; the commit happens whole or not.
The reading and deciding is intake's, the keeping is the queue's, the sending is delivery's; here they meet.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice

import structlog

from mailbridge.clock import Clock
from mailbridge.delivery.watch import Verdicts, Watch
from mailbridge.errors import Rejected
from mailbridge.model import reply as replies
from mailbridge.model.ids import message_id
from mailbridge.model.limits import DoorRates
from mailbridge.model.mail import Mail, ReceivedMail
from mailbridge.model.outcome import Accepted, Outcome, Refused
from mailbridge.model.phone import Phone
from mailbridge.model.price import PartPrice
from mailbridge.model.reading import CODE
from mailbridge.model.reply import Reply
from mailbridge.model.state import State
from mailbridge.planner import Planned
from mailbridge.pressure import Pressure
from mailbridge.queue.contract import DedupeKey, Detail, Json, NewMail, NewMessage, PutResult, Store
from mailbridge.queue.kept import Gather
from mailbridge.rules.engine import Action

log = structlog.get_logger()

#: what a rule wants done -> the state a message begins in; a digest is gathered while it is queued
_STATES = {
    Action.SEND: State.QUEUED, Action.DIGEST: State.QUEUED, Action.HOLD: State.HELD, Action.DROP: State.SUPPRESSED,
}  # fmt: skip
#: how long a mail repeated by its client is known, by its Message-ID and by its bytes (docs/explain/durability.md)
_KNOWN_BY_ID_S = 86400.0
_KNOWN_BY_BYTES_S = 60.0
#: a header field with the lines it is folded onto
_TRACE = re.compile(rb"^(?:date|received)[ \t]*:.*?(?:\n(?![ \t])|\Z)", re.IGNORECASE | re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the configuration says about taking mails in."""

    #: wait for the gateway's answer before answering DATA
    verdict: bool
    verdict_wait_s: float
    lifetime_s: float
    keep_original_bytes: int
    #: this node's name, where several share the queue
    node: str | None = None
    #: how much a client, a user and a sender may send
    rates: DoorRates = field(default_factory=DoorRates)
    #: users whose messages wait for others' of their own alone
    apart: frozenset[str] = frozenset()


#: what becomes of a mail: its messages in one group for each recipient, in order; raises errors.Rejected
Plan = Callable[[ReceivedMail, Mail], Sequence[Sequence[Planned]]]
#: what a message may have to wait for; None: it goes out by itself
Gathers = Callable[[Mail, Planned, datetime], Gather | None]


class Reader:
    """Makes of a mail what is to be stored; it waits for nothing, so it runs wherever the door does."""

    def __init__(
        self,
        *,
        settings: Settings,
        parse: Callable[[bytes], Mail],
        plan: Plan,
        is_reportable: Callable[[str, Mail], bool],
        gathers: Gathers | None = None,
    ) -> None:
        """*gathers* is None where nothing ever waits."""
        self._gathers = gathers
        self._settings = settings
        self._parse = parse
        self._plan = plan
        self._is_reportable = is_reportable

    def read(self, received: ReceivedMail) -> tuple[NewMail, tuple[int, ...]]:
        """Return what is to be stored of *received*, and how many of its messages belong to each recipient, in order.

        Raises: IntakeError with the reply to give.
        """
        mail = with_sender(self._parse(received.content), received.sender)
        log.info(
            "received", id=received.id, client=received.client.address, user=received.client.user,
            sender=received.sender, recipients=len(received.recipients), size_bytes=len(received.content),
        )  # fmt: skip
        groups = self._plan(received, mail)
        planned = [one for group in groups for one in group]
        reportable = self._is_reportable(received.sender, mail)
        new = prepare(
            received, mail, planned, settings=self._settings, reportable=reportable, gathers=self._gathers
        )  # fmt: skip
        return new, tuple(len(group) for group in groups)


class Reception:
    """Takes mails in; implements the door's ``smtp.contract.Reception``."""

    def __init__(
        self,
        *,
        settings: Settings,
        reader: Reader,
        store: Store,
        watch: Watch,
        pressure: Pressure,
        clock: Clock,
        wake: Callable[[], None],
        takes_messages: Callable[[str | None], bool],
        learn: Callable[[PutResult], None] = lambda _result: None,
        failpoint: Callable[[str], None] = lambda _name: None,
        something_waits: Callable[[], None] = lambda: None,
        something_escalates: Callable[[], None] = lambda: None,
        price_of: Callable[[Phone], PartPrice | None] = lambda _phone: None,
    ) -> None:
        """*something_waits* is rung where something may wait for others now, *something_escalates* for an answer.

        *price_of* says what a part costs, where that is known.
        """
        self._price_of = price_of
        self._settings = settings
        self._reader = reader
        self._something_waits = something_waits
        self._something_escalates = something_escalates
        self._store = store
        self._watch = watch
        self._pressure = pressure
        self._clock = clock
        self._wake = wake
        self._takes_messages = takes_messages
        self._learn = learn
        self._failpoint = failpoint

    async def receive(self, received: ReceivedMail, *, each: bool = False) -> Sequence[Reply]:
        """Keep *received* and return the reply to DATA; *each*: one reply for each recipient (LMTP).

        Raises: IntakeError with the reply to give; StoreError when the queue cannot promise anything now.
        """
        new, counts = self._reader.read(received)
        return await self.keep(new, each=counts if each else None)

    async def keep(self, new: NewMail, *, each: Sequence[int] | None = None) -> Sequence[Reply]:
        """Commit *new*, then wait for its verdict where the configuration says so, and return the replies.

        *each*: one reply for each recipient, to whom belong so many of the messages in their order.
        Raises: Rejected where a limit has no room for it: nothing is kept, and the client is to try again;
        TryLater when too many messages wait; StoreError when the queue cannot promise anything now.
        """
        if self._settings.verdict and self._settings.node is not None:
            # its client waits here, and only the node that sends it hears the verdict
            new = replace(new, taken_by=self._settings.node)
        ids = [message.id for message in new.messages]
        delay_s = await self._pressure.admit(len(ids))
        self._failpoint("before commit")
        with self._watch.expect(ids) if self._settings.verdict else nullcontext() as verdicts:
            result = await self._put(new)
            self._failpoint("after commit")
            if new.allowances:
                self._learn(result)
            if (over := result.over) is not None:
                log.warning("rejected", id=new.id, client=new.client, because=over.limit, config=over.config)
                raise Rejected(replies.OVER_LIMIT)
            if verdicts is not None:
                verdicts.drop(result.duplicates)
                verdicts.drop(result.waiting)
                # what a rule keeps back gets no answer to wait for
                verdicts.drop([message.id for message in new.messages if message.state is not State.QUEUED])
            for message in new.messages:
                _log_queued(message, result, self._price_of(message.message.phone))
            self._wake()
            if any(message.gather is not None for message in new.messages):
                self._something_waits()
            if any(message.escalate is not None for message in new.messages):
                self._something_escalates()
            awaited = verdicts if self._takes_messages(new.user) else None
            outcomes = await self._verdict(awaited, at_least_s=delay_s)
        answers = verdict_replies(new.id, ids, result, outcomes, each=each)
        if any(isinstance(outcome, Refused) for outcome in outcomes.values()):
            # what the client has heard in a 5xx, no bounce says again; what it has not may go out now
            told = ids if each is None and answers[0].is_permanent else _refused_alone(ids, answers, each)
            await self._store.release_reports(new.id, told=told)
        return answers

    async def _put(self, new: NewMail) -> PutResult:
        kept = 0
        try:
            result = await self._store.put(new)
            kept = 0 if result.over is not None else len(new.messages) - len(result.duplicates)
        finally:
            self._pressure.settle(admitted=len(new.messages), stored=kept)
        return result

    async def _verdict(self, verdicts: Verdicts | None, *, at_least_s: float) -> Mapping[str, Outcome]:
        """Wait for what is to be told, and *at_least_s*: a client that is put off, while its messages leave."""
        if at_least_s > 0:
            _, outcomes = await asyncio.gather(self._clock.sleep(at_least_s), self._verdict(verdicts, at_least_s=0))
            return outcomes
        if verdicts is None:
            return {}
        return await verdicts.wait(self._settings.verdict_wait_s)


def with_sender(mail: Mail, sender: str) -> Mail:
    """Return *mail* as sent by the envelope's *sender* where its header names nobody; pure."""
    return mail if mail.from_address or mail.from_name else replace(mail, from_address=sender)


def prepare(
    received: ReceivedMail,
    mail: Mail,
    planned: Sequence[Planned],
    *,
    settings: Settings,
    reportable: bool,
    is_repeatable: bool = False,
    gathers: Gathers | None = None,
) -> NewMail:
    """Return what is to be stored of *received*, which reads as *mail* and becomes *planned*; pure.

    *is_repeatable*: the same again is meant (a person at the command line), so no duplicate is looked for.
    """
    now = received.received_at
    messages = tuple(
        NewMessage(
            id=message_id(received.id, number), message=one.message, recipient=one.recipient.address,
            notify=one.recipient.notify, orcpt=one.recipient.orcpt, state=_STATES[one.decision.action],
            detail=_detail(one), next_attempt_at=now,
            expires_at=now + timedelta(seconds=one.decision.lifetime_s or settings.lifetime_s),
            dedupe=() if is_repeatable else _dedupe_keys(received, mail, one, now),
            gather=None if gathers is None else for_user(gathers(mail, one, now), received.client.user, settings.apart),
            escalate=one.escalate,
        )
        for number, one in enumerate(planned, start=1)
    )  # fmt: skip
    verdict_ends_at = now + timedelta(seconds=settings.verdict_wait_s + 5)
    return NewMail(
        id=received.id, received_at=now, sender=received.sender, client=received.client.address,
        user=received.client.user, message_id=mail.message_id, subject=mail.subject, envid=received.envid,
        ret=received.ret, reportable=reportable, original=received.content[: settings.keep_original_bytes],
        size_bytes=len(received.content), messages=messages,
        hold_reports_until=verdict_ends_at if settings.verdict else None,
        allowances=() if is_repeatable else settings.rates.allowances(
            client=received.client.address, user=received.client.user, sender=received.sender
        ),
    )  # fmt: skip


def for_user(gather: Gather | None, user: str | None, apart: frozenset[str]) -> Gather | None:
    """Return *gather* for *user* alone, where what comes of it is theirs to pay for, or to be sent by their gateway."""
    return gather if gather is None or user not in apart else replace(gather, key=f"{gather.key}\n{user}")


def _detail(planned: Planned) -> Detail:
    """Return what the history says of a message's beginning: its notes, and who decided."""
    detail: dict[str, Json] = {"notes": list(planned.message.notes)}
    if planned.decision.rule is not None:
        detail |= {"rule": planned.decision.rule}
    if planned.decision.action is not Action.SEND:
        detail |= {"action": planned.decision.action.value}
    return detail


def _refused_alone(ids: Sequence[str], answers: Sequence[Reply], each: Sequence[int] | None) -> list[str]:
    if each is None:
        return []
    groups = zip(_of_each(ids, each), answers, strict=True)
    return [id_ for own, answer in groups if answer.is_permanent for id_ in own]


def _of_each(ids: Sequence[str], each: Sequence[int]) -> Iterator[Sequence[str]]:
    """Yield the messages of each recipient, who has so many of them."""
    rest = iter(ids)
    return (list(islice(rest, count)) for count in each)


def _log_queued(message: NewMessage, result: PutResult, price: PartPrice | None) -> None:
    original = result.duplicates.get(message.id)
    sms = message.message
    if original is None:
        named = {key: value for key, value in (("rule", sms.rule), ("profile", sms.profile)) if value is not None}
        if message.state is State.SUPPRESSED:
            log.info("rejected", id=message.id, phone=sms.phone, because="a rule drops it", **named)
            return
        if message.state is State.HELD:
            named["state"] = message.state.value
        if price is not None:
            named["price"] = str(price.cost * sms.parts)
        log.info("queued", id=message.id, phone=sms.phone, parts=sms.parts, alphabet=sms.alphabet.value, **named)
    else:
        log.info("rejected", id=message.id, phone=sms.phone, because="duplicate", duplicate_of=original)


def _dedupe_keys(received: ReceivedMail, mail: Mail, planned: Planned, now: datetime) -> tuple[DedupeKey, ...]:
    """Return the keys under which a repetition of this message is recognised.

    A one-time code that reads like the one before is one that somebody asked for again.
    """
    keys, message = [], planned.message
    if message.wanted_id is not None:
        keys.append(_key("x-sms-id", message.wanted_id, message.phone, now=now, known_s=_KNOWN_BY_ID_S))
    if mail.message_id:
        keys.append(_key("message-id", mail.message_id, message.phone, now=now, known_s=_KNOWN_BY_ID_S))
    elif message.wanted_id is None and planned.reading.event != CODE:
        digest = hashlib.sha256(without_trace(received.content)).hexdigest()
        keys.append(_key("bytes", received.sender, digest, message.phone, now=now, known_s=_KNOWN_BY_BYTES_S))
    return tuple(keys)


def without_trace(content: bytes) -> bytes:
    """Return a mail without what differs between two tries of the same one: ``Date`` and ``Received``.

    Zabbix writes no Message-ID and builds the mail anew for each try, with the date of that moment; a relay
    between adds a line of its own each time.
    """
    end = content.find(b"\r\n\r\n")
    head, body = (content, b"") if end < 0 else (content[: end + 2], content[end + 2 :])
    return _TRACE.sub(b"", head) + body


def _key(*pieces: str, now: datetime, known_s: float) -> DedupeKey:
    digest = hashlib.sha256("\0".join(pieces).encode("utf-8", "surrogatepass")).hexdigest()
    return DedupeKey(key=digest[:32], until=now + timedelta(seconds=known_s))


# ------------------------------------------------------------------------------------------------- replies
def verdict_replies(
    mail_id: str,
    ids: Sequence[str],
    result: PutResult,
    outcomes: Mapping[str, Outcome],
    *,
    each: Sequence[int] | None = None,
) -> list[Reply]:
    """Return the reply to DATA from what is known of the messages *ids* by now; pure.

    *each*: one reply for each recipient, to whom belong so many of *ids* in their order.
    """
    # one phone named twice is one SMS: its twins hear of it, and are not counted
    own = frozenset(ids)
    twins = {id_: first for id_, first in result.duplicates.items() if first != id_ and first in own}
    if each is not None:
        return [
            _one_reply(mail_id, list(dict.fromkeys(twins.get(id_, id_) for id_ in own)), result, outcomes)
            for own in _of_each(ids, each)
        ]
    return [_one_reply(mail_id, [id_ for id_ in ids if id_ not in twins], result, outcomes)]


def _one_reply(mail_id: str, ids: Sequence[str], result: PutResult, outcomes: Mapping[str, Outcome]) -> Reply:
    duplicates = [result.duplicates[id_] for id_ in ids if id_ in result.duplicates]
    if len(duplicates) == len(ids):
        return replies.QUEUED.with_text(f"Ok: duplicate of {duplicates[0].partition('.')[0]}")
    known = [outcomes[id_] for id_ in ids if id_ in outcomes]
    refused = [outcome for outcome in known if isinstance(outcome, Refused)]
    if len(refused) == len(ids) - len(duplicates):
        return refused[0].reply if not duplicates else replies.QUEUED.with_text(f"Ok: queued as {mail_id}")
    text = f"Ok: queued as {mail_id}"
    accepted = [outcome for outcome in known if isinstance(outcome, Accepted)]
    if accepted and len(ids) == 1:
        text += f"; sent, gateway id {accepted[0].gateway_id}, parts {accepted[0].parts}"
    elif accepted:
        text += f"; sent {len(accepted)} of {len(ids)}, parts {sum(outcome.parts for outcome in accepted)}"
    return replies.QUEUED.with_text(text)
