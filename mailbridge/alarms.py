"""Being heard, put together from the configuration: escalations, answers, SMS that come in, signs of life.

``app`` builds it and runs its duties. Decisions stand in ``escalation``, ``inbound`` and ``vitals``; here they meet
the store, the gateways and the mailer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from mailbridge.clock import Clock
from mailbridge.config.model import Config
from mailbridge.delivery.board import Board
from mailbridge.delivery.dispatcher import Dispatcher
from mailbridge.delivery.membership import ForTheFirst
from mailbridge.escalation.answers import Answers
from mailbridge.escalation.chains import Chains
from mailbridge.escalation.escalator import Escalator, EscalatorSettings
from mailbridge.front import address_of, build_doorman, prepare_text
from mailbridge.inbound import Inbox
from mailbridge.loops import Duty
from mailbridge.meter import Meter
from mailbridge.model.ids import new_mail_id
from mailbridge.model.mail import Client
from mailbridge.operator import OperatorNotices
from mailbridge.people.directory import Directory
from mailbridge.people.rota import Calendar
from mailbridge.queue.contract import NewMail, OutgoingMail, Store
from mailbridge.queue.escalations import Escalation, FoundEscalation, Status
from mailbridge.report.answered import build_answered
from mailbridge.report.dsn import ReportSettings, is_plain_address
from mailbridge.report.reporter import DailyLimit
from mailbridge.vitals import Heartbeat, SelfTest, Vitals, can_write

#: how often an inbox is asked where the configuration does not say
_POLL_S = 60.0


def polled_inboxes(config: Config) -> Mapping[str, float]:
    """Return the gateways whose inboxes are asked, and the seconds between two looks."""
    usual = _POLL_S if config.escalation else 0.0
    every_s = usual if config.inbound.poll is None else config.inbound.poll
    is_called = config.web.listen is not None
    return {
        name: every_s
        for name, gateway in config.gateways.items()
        if every_s > 0 and gateway.type == "smsc" and not (is_called and gateway.callback_path)
    }


class Alarms:
    """Who has to be heard, and who is."""

    def __init__(
        self,
        config: Config,
        *,
        store: Store,
        clock: Clock,
        board: Board,
        meter: Meter,
        notices: OperatorNotices,
        report_settings: ReportSettings,
        limit: DailyLimit,
        is_first: Callable[[], bool],
        dispatcher: Dispatcher,
        wake: Callable[[], None],
        failpoint: Callable[[str], None],
    ) -> None:
        """*limit* is shared with the reporter; *wake* is rung where messages or mails were made."""
        self._config = config
        self._calendars: Mapping[str, Calendar] = {}
        self._store, self._board, self._clock, self._dispatcher = store, board, clock, dispatcher
        self._is_first = is_first
        self._report_settings = report_settings
        self._by_mail = config.bounce.mode == "mail"
        self._limit = limit
        self._chains = Chains(config, Directory(config, {}))
        self.escalator = Escalator(
            store=store, clock=clock, settings=EscalatorSettings(chains=self._chains, lifetime_s=config.queue.lifetime),
            new_id=new_mail_id, tell=self._tell, wake=wake, alarm=notices.nobody_answered,
            count=lambda event: meter.escalations.labels(event).inc(), failpoint=failpoint,
        )  # fmt: skip
        answers = Answers(
            store=store, clock=clock, chains=lambda: self._chains, answered=self.escalator.something_escalates
        )
        self.inbox = Inbox(
            store=store, board=board, clock=clock, handlers=(answers.take,), is_first=is_first,
            count=lambda gateway, result: meter.inbound.labels(gateway, result).inc(), failpoint=failpoint,
        )  # fmt: skip

        self.self_test = SelfTest(store=store, board=board, clock=clock, prepare=self._prepare, wake=wake)
        self.heartbeat = Heartbeat(
            store=store, clock=clock, look=self._look, count=lambda result: meter.heartbeats.labels(result).inc()
        )

    def configure(self, config: Config, calendars: Mapping[str, Calendar]) -> None:
        """Put *config* in force; *calendars* are those of its rotas."""
        self._config, self._calendars = config, calendars
        self._chains = Chains(config, Directory(config, calendars))
        self.escalator.settings = EscalatorSettings(chains=self._chains, lifetime_s=config.queue.lifetime)
        self.inbox.polled = polled_inboxes(config)
        self.self_test.settings, self.heartbeat.settings = config.self_test, config.heartbeat

    def duties(self) -> dict[str, Duty]:
        """Return what is to be done now and then."""
        return {
            "escalator": self.escalator,
            "inbox": self.inbox,
            "self-test": ForTheFirst(self.self_test, self._is_first),
            "heartbeat": ForTheFirst(self.heartbeat, self._is_first),
        }

    def _prepare(self, text: str, words: Sequence[str], now: datetime) -> NewMail:
        """Return the messages of a self-test. Raises: IntakeError."""
        client = Client(address="local", user="self-test")
        doorman = build_doorman(self._config, calendars=self._calendars, clock=self._clock)
        recipients = [doorman.recipient(address_of(self._config, word), client) for word in words]
        return prepare_text(self._config, (("X-SMS-Text", text),), recipients, text=text, client=client, now=now)

    async def _look(self) -> Vitals:
        """Return what is seen of the bridge now. Raises: StoreError."""
        return Vitals(
            is_open=await can_write(self._store), beat_at=self._dispatcher.beat_at,
            takes_messages=self._dispatcher.takes_messages(),
            next_due_at=await self._store.next_due_at(frozenset(self._board.carriers)),
        )  # fmt: skip

    def _tell(self, found: FoundEscalation, then: Escalation, now: datetime) -> OutgoingMail | None:
        """Return the mail for the sender of an alert that has ended; None where he may not or cannot be told."""
        mail = found.mail
        if mail is None or not self._by_mail or not mail.reportable or not is_plain_address(mail.sender):
            return None
        if not self._limit.take(mail.sender, now):
            return None
        by = self._chains.name_of(then.by) if then.status is Status.ACKNOWLEDGED else ""
        told = [
            f"step {entry.step}: {'call to' if entry.message.message.channel == 'call' else 'SMS to'} "
            f"{self._chains.name_of(entry.message.message.phone)}, {entry.message.state.value}"
            for entry in found.messages
            if entry.step
        ]
        content = build_answered(
            mail, by=by, number=then.number, told=told, settings=self._report_settings, at=then.ended_at or now
        )
        return OutgoingMail(
            id=0, mail_id=mail.id, sender="", recipient=mail.sender, content=content, attempts=0, created_at=now,
            next_attempt_at=now,
        )  # fmt: skip
