"""What the operator is told once: a gateway is suspended or well again, a message waits, a budget runs out.

In the log always; by mail where ``bounce.operator`` and a smarthost are configured.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog

from mailbridge.clock import Clock
from mailbridge.errors import StoreError
from mailbridge.queue.contract import GatewayState, OutgoingMail, Store, StoredMessage
from mailbridge.queue.escalations import FoundEscalation
from mailbridge.report.dsn import ReportSettings
from mailbridge.report.notice import build_notice

log = structlog.get_logger()

_ALL = 100


class OperatorNotices:
    """Turns events into log lines and, where there is somebody to write to, into mails."""

    def __init__(
        self, *, store: Store, clock: Clock, settings: ReportSettings, to: str, wake_mailer: Callable[[], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._to = to
        self._wake_mailer = wake_mailer
        self._tasks: set[asyncio.Task[None]] = set()

    def gateway_changed(self, before: GatewayState, after: GatewayState) -> None:
        """Tell that a gateway was suspended or resumed."""
        if after.suspended:
            log.error("gateway suspended", gateway=after.name, code=after.code, reason=after.reason)
            self._mail(
                f"Gateway {after.name} suspended: {after.code} {after.reason}",
                f"The SMS gateway {after.name} takes no messages: {after.code} {after.reason}.\n"
                "Messages wait in the queue and no attempt is spent.\n"
                "It is probed by itself; `mailbridge gateways probe` asks at once.\n",
            )
        else:
            log.warning("gateway resumed", gateway=after.name, was=before.code)
            self._mail(
                f"Gateway {after.name} works again",
                f"The SMS gateway {after.name} takes messages again; what waited is being sent.\n",
            )

    def message_held(self, row: StoredMessage) -> None:
        """Tell that nobody knows what became of a message and a person must decide."""
        log.error("message held", id=row.id, phone=row.message.phone, gateway=row.gateway, gateway_id=row.gateway_id)
        self._mail(
            f"SMS {row.id} is held: the gateway never said what became of it",
            f"Message {row.id} to {row.message.phone} may or may not have been sent (gateway {row.gateway}, "
            f"gateway id {row.gateway_id}).\nLook: mailbridge queue show {row.id}\n"
            f"Then: mailbridge queue release {row.id}, or mailbridge queue cancel {row.id}\n",
        )

    def nobody_answered(self, found: FoundEscalation) -> None:
        """Tell that all steps of a chain were taken, and nobody has answered."""
        one = found.escalation
        log.error("nobody answered", id=one.mail_id, escalation=one.chain, number=one.number)
        self._mail(
            f"Nobody has answered {one.mail_id} ({one.chain})",
            f"All steps of the escalation {one.chain} were taken, and nobody has answered mail {one.mail_id}.\n"
            f"Look: mailbridge queue show {one.mail_id}\nAn answer is still taken: OK {one.number} by SMS, or "
            f"mailbridge ack {one.mail_id}\n",
        )

    def budget_used(self, percent: int, config: str, name: str, *, spent: str, until: datetime) -> None:
        """Tell that so much of a budget is used up; *config* is its place in the configuration, *name* whose it is."""
        whose = f"{config} of {name}" if name else config
        ends = f"{until:%Y-%m-%d %H:%M} UTC"
        fields = {"of": name, "spent": spent, "until": until.isoformat(timespec="seconds")}
        if percent >= _ALL:
            log.error("budget used up", config=config, percent=percent, **fields)
            self._mail(
                f"Budget used up: {whose}",
                f"The budget {whose} is used up: {spent}.\nIts messages wait in the queue until {ends} or until their "
                "lifetime is over, and new ones are answered 450.\nTo let them go sooner: raise it and reload.\n",
            )
        else:
            log.warning("budget warning", config=config, percent=percent, **fields)
            self._mail(
                f"Budget used to {percent} per cent: {whose}",
                f"Of the budget {whose}, {percent} per cent are used: {spent}.\n"
                f"Once it is used up, messages wait until {ends}.\n",
            )

    async def aclose(self) -> None:
        """Wait until the last notice is stored."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    def _mail(self, subject: str, body: str) -> None:
        if self._to:
            task = asyncio.create_task(self._put(subject, body), name="operator notice")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _put(self, subject: str, body: str) -> None:
        now = self._clock.now()
        mail = OutgoingMail(
            id=0, mail_id=None, sender="", recipient=self._to, attempts=0, created_at=now, next_attempt_at=now,
            content=build_notice(subject, body, to=self._to, settings=self._settings, now=now),
        )  # fmt: skip
        try:
            await self._store.put_outgoing(mail, items={}, now=now)
        except StoreError as error:
            log.warning("store trouble", doing="operator notice", because=str(error))
        else:
            self._wake_mailer()
