"""Answers to alerts: by SMS from the people of the chain, or by a person at the command line or the desk.

Whoever answers first ends the escalation, once: the store lets one decision through. It must not wait for anything but
the store, so that a callback is answered quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from mailbridge.clock import Clock
from mailbridge.errors import NotFound, WrongState
from mailbridge.escalation.answer import Answer, parse_answer
from mailbridge.escalation.chains import Chains
from mailbridge.escalation.decide import acknowledge
from mailbridge.model.ids import as_written
from mailbridge.model.inbound import InboundSms
from mailbridge.queue.contract import Store
from mailbridge.queue.escalations import ANSWERABLE, KEPT_FOR, FoundEscalation, Status, Wanted

#: what is made of an SMS; those that end in no acknowledgement say why
ACKNOWLEDGED = "acknowledged"
KNOWN = "acknowledged before"
STRANGER = "not of the chain"
NO_NUMBER = "no such number"
NOTHING_OPEN = "nothing to answer"
AMBIGUOUS = "which one"
RESULTS = (ACKNOWLEDGED, KNOWN, STRANGER, NO_NUMBER, NOTHING_OPEN, AMBIGUOUS)

_RECENT = frozenset({*ANSWERABLE, Status.ACKNOWLEDGED})


class Answers:
    """Takes SMS that answer alerts; *chains* are those of the configuration in force."""

    def __init__(
        self, *, store: Store, clock: Clock, chains: Callable[[], Chains], answered: Callable[[], None] = lambda: None
    ) -> None:
        """*answered* is rung where somebody is to be told of an answer."""
        self._store = store
        self._clock = clock
        self._chains = chains
        self._answered = answered

    async def take(self, sms: InboundSms) -> str:
        """Do what *sms* asks for and return one of ``RESULTS``; empty: it is no answer. Raises StoreError.

        The same SMS again does nothing further.
        """
        answer = parse_answer(sms.text)
        if answer is None:
            return ""
        chains = self._chains()
        while True:
            now = self._clock.now()
            found = await self._find(answer, sms, now)
            result, one = choose(found, answer, sms.phone, chains, now=now)
            if one is None:
                return result
            words = chains.name_of(sms.phone)
            if await self._store.advance(acknowledge(one, by=sms.phone, words=words, now=now)):
                self._answered()
                return ACKNOWLEDGED
            # it has moved on in between: look again

    async def _find(self, answer: Answer, sms: InboundSms, now: datetime) -> Sequence[FoundEscalation]:
        since = now - KEPT_FOR
        if answer.number is not None:
            return await self._store.find_escalations(Wanted(number=answer.number, ended_after=since, statuses=_RECENT))
        return await self._store.find_escalations(Wanted(phone=sms.phone, ended_after=since, statuses=_RECENT))


def choose(
    found: Sequence[FoundEscalation], answer: Answer, phone: str, chains: Chains, *, now: datetime
) -> tuple[str, FoundEscalation | None]:
    """Decide which of *found*, newest first, *answer* from *phone* means; None with the reason where it means none.

    Only whom a message of it went to, or the chain names, may answer it. Without a number it must be the only one.
    """
    if not found:
        return (NO_NUMBER if answer.number is not None else NOTHING_OPEN), None
    own = [one for one in found if phone in _people(one, chains, now)]
    if not own:
        return STRANGER, None
    still = [one for one in own if one.escalation.is_answerable(now)]
    if not still:
        return KNOWN, None
    if answer.number is None and len(still) > 1:
        return AMBIGUOUS, None
    return ACKNOWLEDGED, still[0]


def _people(found: FoundEscalation, chains: Chains, now: datetime) -> frozenset[str]:
    chain = chains.get(found.escalation.chain)
    members = chains.members(chain, now) if chain is not None else frozenset()
    return members | {entry.message.message.phone for entry in found.messages}


async def acknowledge_by_hand(store: Store, id_: str, *, by: str, clock: Clock) -> tuple[FoundEscalation, ...]:
    """Acknowledge what *id_* names: a mail, one of its messages, or the number in the text; return it as it was.

    A mail's id means all that is open of it. Used by ``mailbridge ack``, the desk and the API.
    Raises: NotFound; WrongState where it was acknowledged before, or is over.
    """
    wanted = as_written(id_)
    while True:
        now = clock.now()
        by_number = wanted.isascii() and wanted.isdigit()
        asked = Wanted(number=wanted, ended_after=now - KEPT_FOR) if by_number else Wanted(id=wanted)
        found = await store.find_escalations(asked)
        if not found:
            raise NotFound(f"nothing has to be answered that is called {id_}")
        still = [one for one in found if one.escalation.status in ANSWERABLE]
        if not still:
            over = found[0].escalation
            who = f" by {over.by}" if over.by else ""
            raise WrongState(f"{over.mail_id} ({over.chain}) is {over.status.value}{who}")
        took = [await store.advance(acknowledge(one, by=by, words=by, now=now)) for one in still]
        if all(took):
            return tuple(still)
