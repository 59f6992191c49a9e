"""Hand our own mails, reports and notices, to the smarthost, again and again until one is taken or too old.

Place in the flow: the last station, fed by ``reporter`` through the store. A crash after the smarthost's 250 and
before the store knows sends the same mail once more, with the same Message-ID.
It must not report about a report: what fails here is logged and dropped (RFC 5321 6.1).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from mailbridge.clock import Clock
from mailbridge.errors import RelayRefused, RelayUnavailable
from mailbridge.queue.contract import OutgoingMail, Store
from mailbridge.report.relay import Relay

RETRY_MIN_S = 30.0
RETRY_MAX_S = 3600.0
_BATCH = 50

log = structlog.get_logger()


def decide_retry(mail: OutgoingMail, *, now: datetime, lifetime_s: float, jitter: float) -> datetime | None:
    """Return when *mail* is tried again after a failed attempt, or None when its time is over.

    30 s doubling to an hour, lengthened by up to a quarter: *jitter* is from 0 to 1.
    """
    # 2**7 * 30 s is more than an hour; a larger exponent only makes large numbers
    pause_s = min(RETRY_MIN_S * 2 ** min(mail.attempts, 7), RETRY_MAX_S) * (1 + jitter / 4)
    if now - mail.created_at >= timedelta(seconds=lifetime_s):
        return None
    # the last try comes with the end of the lifetime, not before it
    return min(now + timedelta(seconds=pause_s), mail.created_at + timedelta(seconds=lifetime_s))


class Mailer:
    """Sends what the store holds for the smarthost; several mails share a connection."""

    idle_s = 5.0

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        open_relay: Callable[[], Relay],
        jitter: Callable[[], float],
        lifetime_s: float,
        failpoint: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._open_relay = open_relay
        self._jitter = jitter
        self._lifetime_s = lifetime_s
        self._failpoint = failpoint
        #: what became of mails that were tried, until the store knows: they must not be tried again because of its
        #: trouble (mail id -> next attempt, error)
        self._untold: dict[int, tuple[datetime | None, str]] = {}

    async def step(self) -> int:
        """Try each mail that is due once; return how many."""
        for id_ in list(self._untold):
            await self._tell_store(id_)
        due = await self._store.due_outgoing(now=self._clock.now(), limit=_BATCH)
        if not due:
            return 0
        async with self._open_relay() as relay:
            for mail in due:
                await self._try(relay, mail)
        return len(due)

    async def _try(self, relay: Relay, mail: OutgoingMail) -> None:
        fields = {"mail": mail.mail_id or "notice", "to": mail.recipient, "attempt": mail.attempts + 1}
        self._failpoint("before report")
        try:
            words = await relay.send(mail)
        except RelayRefused as error:
            log.warning("report_refused", error=str(error), **fields)
            await self._settle(mail, None, str(error))
        except RelayUnavailable as error:
            again_at = decide_retry(mail, now=self._clock.now(), lifetime_s=self._lifetime_s, jitter=self._jitter())
            event = "report_given_up" if again_at is None else "report_deferred"
            log.warning(event, error=str(error), next_attempt_at=again_at, **fields)
            await self._settle(mail, again_at, str(error))
        else:
            self._failpoint("after report")
            log.info("report_sent", reply=words, **fields)
            await self._settle(mail, None, "")

    async def _settle(self, mail: OutgoingMail, again_at: datetime | None, error: str) -> None:
        self._untold[mail.id] = (again_at, error)
        await self._tell_store(mail.id)

    async def _tell_store(self, id_: int) -> None:
        again_at, error = self._untold[id_]
        await self._store.settle_outgoing(id_, done=again_at is None, next_attempt_at=again_at, error=error)
        del self._untold[id_]
