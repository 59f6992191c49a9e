"""The duty of alerts that nobody has answered: when their time has come, the next of their chain is told.

Decides between the store's rows and the chains of the configuration; what it decided is one transaction, so a bridge
that dies on the way finds the escalation as it was, or the step taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from mailbridge.clock import Clock
from mailbridge.escalation.chains import Chains
from mailbridge.escalation.decide import Decided, decide, wants_mail
from mailbridge.queue.contract import OutgoingMail, Store
from mailbridge.queue.escalations import Escalation, FoundEscalation, Status

log = structlog.get_logger()

_AT_ONCE = 50
#: what another node took in is found after this
_LOOK_AGAIN_S = 30.0
_FIRST_LOOK_S = 1.0

#: the mail that tells the sender how it ended; None: he gets none
Tell = Callable[[FoundEscalation, Escalation, datetime], OutgoingMail | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalatorSettings:
    """What the configuration in force says."""

    chains: Chains
    lifetime_s: float


class Escalator:
    """Takes the steps that are due; looks each second while anything may be, now and then while nothing is.

    Of several nodes each takes what is due: the store lets the first one do it.
    """

    idle_s = 1.0

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        settings: EscalatorSettings,
        new_id: Callable[[float], str],
        tell: Tell,
        wake: Callable[[], None],
        alarm: Callable[[FoundEscalation], None] = lambda _found: None,
        count: Callable[[str], None] = lambda _event: None,
        failpoint: Callable[[str], None] = lambda _name: None,
    ) -> None:
        """*wake* is rung where messages or mails were made; *alarm* hears of what nobody has answered to the end."""
        self._store = store
        self._clock = clock
        #: exchanged by a reload
        self.settings = settings
        self._new_id = new_id
        self._tell = tell
        self._wake = wake
        self._alarm = alarm
        self._count = count
        self._failpoint = failpoint
        #: what the last run left is looked for once the bridge has started
        self._is_empty = True
        self._look_again_s = clock.monotonic() + _FIRST_LOOK_S

    def something_escalates(self) -> None:
        """Say that there may be something to look at now."""
        self._is_empty = False

    async def step(self) -> int:
        """Take what is due; return how many steps that were."""
        if self._is_empty and self._clock.monotonic() < self._look_again_s:
            return 0
        due = await self._store.due_escalations(now=self._clock.now(), limit=_AT_ONCE)
        if not due:
            # said before it is asked, so that one who comes meanwhile is not forgotten
            self._is_empty = True
            self._look_again_s = self._clock.monotonic() + _LOOK_AGAIN_S
            self._is_empty = not await self._store.is_anything_escalating() and self._is_empty
            return 0
        taken = 0
        for found in due:
            taken += await self._take(found)
        if taken:
            self._wake()
        return taken

    async def _take(self, found: FoundEscalation) -> bool:
        now, chains = self._clock.now(), self.settings.chains
        decided = decide(
            found, chains.get(found.escalation.chain), now=now, numbers=chains.numbers, new_id=self._new_id,
            lifetime_s=self.settings.lifetime_s,
        )  # fmt: skip
        advance = decided.advance
        if decided.tells and wants_mail(found):
            advance = replace(advance, outgoing=self._tell(found, advance.then, now))
        self._failpoint("before an escalation step")
        if not await self._store.advance(advance):
            return False
        self._failpoint("after an escalation step")
        self._log(decided)
        if advance.then.status is Status.EXHAUSTED:
            self._alarm(found)
        return True

    def _log(self, decided: Decided) -> None:
        then, notes = decided.advance.then, decided.advance.notes
        fields: dict[str, object] = {"id": then.mail_id, "escalation": then.chain, "number": then.number}
        if then.status is Status.ACKNOWLEDGED:
            # by a phone, or by a verb or the desk: those tell nobody
            who = {"via": "sms", "phone": then.by} if then.by.startswith("+") else {"via": "hand", "by": then.by}
            self._count("acknowledged")
            log.info("acknowledged", steps=then.steps, **who, **fields)
        if not decided.event:
            return
        self._count(decided.event)
        if decided.advance.mail is None:
            because = notes[-1].detail.get("because") if notes else None
            log.warning("escalation ended", because=because, status=then.status.value, **fields)
            return
        log.warning("escalated", step=then.steps, to=notes[-1].detail["to"], **fields)
        for new in decided.advance.mail.messages:
            log.info(
                "queued", id=new.id, phone=new.message.phone, parts=new.message.parts,
                alphabet=new.message.alphabet.value, channel=new.message.channel, escalates=then.mail_id,
            )  # fmt: skip
