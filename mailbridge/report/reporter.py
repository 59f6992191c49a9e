"""Tell senders what became of their mail: take due reports from the store, build them, queue them for the mailer.

Place in the flow: after delivery, before ``mailer``. The report is written to the store as intent, in the transaction
that marks its items as reported, so a crash before or after leaves exactly one.
It must not send anything, and must not report about a report: what may not be mailed is logged and stands in the
history all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime

import structlog

from mailbridge.clock import Clock
from mailbridge.queue.contract import Detail, DueReport, Json, OutgoingMail, ReportItem, Store
from mailbridge.report.dsn import ReportSettings, build_report, is_plain_address
from mailbridge.report.policy import why_untold

#: reports one sender gets in a day (UTC); what is more is logged only
MAX_REPORTS_PER_SENDER_PER_DAY = 100
_BATCH = 50

log = structlog.get_logger()


class DailyLimit:
    """Counts reports by sender and day. In memory: a restart forgives, which costs at most one more day's worth."""

    def __init__(self, most: int = MAX_REPORTS_PER_SENDER_PER_DAY) -> None:
        self._most = most
        self._day: date | None = None
        self._counts: Counter[str] = Counter()

    def take(self, sender: str, now: datetime) -> bool:
        """Count one report to *sender* and tell whether it is within the limit."""
        if now.date() != self._day:
            self._day = now.date()
            self._counts.clear()
        self._counts[sender.lower()] += 1
        return self._counts[sender.lower()] <= self._most


class Reporter:
    """Turns due reports into mails, or into log lines alone where *by_mail* is off (``bounce.mode: log``)."""

    idle_s = 2.0

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        settings: ReportSettings,
        by_mail: bool,
        wake_mailer: Callable[[], None] = lambda: None,
        limit: DailyLimit | None = None,
        count: Callable[[str, str], None] = lambda _action, _by: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._by_mail = by_mail
        self._wake_mailer = wake_mailer
        self._limit = limit or DailyLimit()
        self._count = count

    async def step(self) -> int:
        """Queue or log what is due now; return for how many mails."""
        due_reports = await self._store.due_reports(now=self._clock.now(), limit=_BATCH)
        for due in due_reports:
            await self._report(due)
        return len(due_reports)

    async def _report(self, due: DueReport) -> None:
        now = self._clock.now()
        messages = await self._store.get_messages(due.mail.id)
        phones: dict[str, str] = {stored.id: stored.message.phone for stored in messages}
        because = self._why_log_only(due, now)
        told = [item for item in due.items if because[item.item_id] is None]
        outgoing = self._outgoing(replace(due, items=tuple(told)), phones, now) if told else None
        how = {item.item_id: _describe(due.mail.sender, because[item.item_id]) for item in due.items}
        await self._store.put_outgoing(outgoing, items=how, now=now)
        # only what is on disk is logged as done
        for item in due.items:
            _log_bounce(item, phones, how[item.item_id])
            self._count(item.action.value, str(how[item.item_id]["by"]))
        if outgoing is not None:
            self._wake_mailer()

    def _why_log_only(self, due: DueReport, now: datetime) -> dict[int, str | None]:
        """Say for each item why it is not mailed; None where it is."""
        ids = [item.item_id for item in due.items]
        if not self._by_mail:
            return dict.fromkeys(ids, "bounce.mode is log")
        reportable = due.mail.reportable and is_plain_address(due.mail.sender)
        because = {item.item_id: why_untold(item, reportable=reportable) for item in due.items}
        if None in because.values() and not self._limit.take(due.mail.sender, now):
            return {id_: why or "the sender had its reports for today" for id_, why in because.items()}
        return because

    def _outgoing(self, due: DueReport, phones: dict[str, str], now: datetime) -> OutgoingMail:
        return OutgoingMail(
            id=0,
            mail_id=due.mail.id,
            sender="",
            recipient=due.mail.sender,
            content=build_report(due, settings=self._settings, now=now, phones=phones),
            attempts=0,
            created_at=now,
            next_attempt_at=now,
        )


def _describe(sender: str, because: str | None) -> dict[str, Json]:
    return {"by": "mail", "to": sender} if because is None else {"by": "log", "reason": because}


def _log_bounce(item: ReportItem, phones: dict[str, str], how: Detail) -> None:
    log.info(
        "bounced",
        id=item.message_id,
        phone=phones.get(item.message_id, ""),
        action=item.action.value,
        status=item.status,
        diagnostic=item.diagnostic,
        **how,
    )
