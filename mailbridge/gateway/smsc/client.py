"""The SMSC gateway: the port of ``gateway.contract`` over HTTP.

Where a batch leaves the house: codec -> transport -> answers -> verdict. It also picks the host: one that was not
reached at all gives way to the next at once; after a byte may have left, no other host is ever asked.
Must not know the queue, wait between tries or repeat a request: that is the delivery's.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from mailbridge.clock import Clock, SystemClock
from mailbridge.config import model as config
from mailbridge.errors import NotSent, OutcomeUnknown
from mailbridge.gateway.contract import Batch, InboxPage, Price, Silence, StatusAnswer, StatusMiss, StatusQuery
from mailbridge.gateway.silence import code_of
from mailbridge.gateway.smsc import codec, verdict
from mailbridge.gateway.smsc.inbox import inbox_body, judge_inbox
from mailbridge.gateway.smsc.line import Line
from mailbridge.gateway.transport import ConnectorFactory, default_connector
from mailbridge.model.message import Message
from mailbridge.model.outcome import Balance, Deferred, ErrorClass, Outcome, SmsError, Suspended, Unknown


class SmscGateway:
    """One account at SMSC, usable as a library too; ``aclose`` it at the end."""

    def __init__(
        self,
        name: str,
        settings: config.SmscGateway,
        *,
        clock: Clock | None = None,
        connector: ConnectorFactory = default_connector,
    ) -> None:
        self.name = name
        self.max_batch = settings.batch
        self._line = Line(
            settings.url,
            login=settings.login,
            password=settings.password.get_secret_value() if settings.password else None,
            apikey=settings.apikey.get_secret_value() if settings.apikey else None,
            timeout_s=settings.timeout,
            connect_timeout_s=settings.connect_timeout,
            clock=clock or SystemClock(),
            proxy=settings.proxy,
            connector=connector,
        )

    def __repr__(self) -> str:
        return f"SmscGateway({self.name!r})"

    def batch_key(self, message: Message) -> Hashable | None:
        """Messages with equal keys may share a request; None: this one goes alone. Pure."""
        return codec.batch_key(message)

    async def send(self, batch: Batch) -> Sequence[Outcome]:
        """Hand *batch* over; one outcome for each message, in the batch's order."""
        try:
            answer = await self._line.post("send", codec.send_body(self._line.prefix, batch))
        except NotSent as error:
            trouble = SmsError(code="connect", text=str(error), error_class=ErrorClass.DEFERRED)
            return [Deferred(error=trouble, left=False)] * len(batch.messages)
        except OutcomeUnknown as error:
            return [verdict.unknown(code_of(error), str(error))] * len(batch.messages)
        if lost := self._line.trouble(answer):
            return [lost] * len(batch.messages)
        return verdict.judge_send(self._line.parse(answer), batch)

    async def status(self, queries: Sequence[StatusQuery]) -> Sequence[StatusAnswer] | Suspended | Silence:
        """Ask what became of messages; one answer for each query, in order. At most ``max_batch`` queries.

        Suspended: it refuses us as such, and each further question would be one more bad request.
        Silence: so would one before the time it names.
        """
        if not queries:
            return []
        parsed = await self._ask("status", codec.status_body(self._line.prefix, queries))
        if isinstance(parsed, Unknown):
            return Silence(parsed.retry_after_s) if parsed.retry_after_s else [StatusMiss.NO_ANSWER] * len(queries)
        if len(queries) > 1 and isinstance(parsed, Mapping):
            # a look-alike that reads no lists answers as if there were one message; nobody knows which
            return await self._status_one_by_one(queries)
        return verdict.judge_shut(parsed) or verdict.judge_status(parsed, queries, self.name)

    async def _status_one_by_one(self, queries: Sequence[StatusQuery]) -> Sequence[StatusAnswer] | Suspended | Silence:
        answers: list[StatusAnswer] = []
        for query in queries:
            answer = await self.status([query])
            if isinstance(answer, Suspended | Silence):
                return answer
            answers += answer
        return answers

    async def balance(self) -> Balance | Suspended | SmsError:
        """Ask for the money left: the cheap probe of a suspended gateway. SmsError: no usable answer."""
        parsed = await self._ask("balance", codec.balance_body(self._line.prefix))
        return parsed.error if isinstance(parsed, Unknown) else verdict.judge_balance(parsed, self.name)

    async def price(self, message: Message) -> Price | SmsError:
        """Ask what *message* would cost; sends nothing."""
        parsed = await self._ask("send", codec.price_body(self._line.prefix, message))
        return parsed.error if isinstance(parsed, Unknown) else verdict.judge_price(parsed)

    async def inbox(self, *, after_id: int | None, limit: int) -> InboxPage | Suspended | Silence | SmsError:
        """Ask for up to *limit* SMS that came in after a cursor; None: for those of the last hour."""
        parsed = await self._ask("get", inbox_body(self._line.prefix, after_id=after_id, limit=limit))
        if isinstance(parsed, Unknown):
            return Silence(parsed.retry_after_s) if parsed.retry_after_s else parsed.error
        return judge_inbox(parsed, self.name)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._line.aclose()

    async def _ask(self, script: str, body: bytes) -> verdict.Parsed | Unknown:
        """Put a question, which may be put again at will; Unknown where there is no usable answer."""
        try:
            answer = await self._line.post(script, body)
        except NotSent as error:
            return Unknown(error=SmsError(code="connect", text=str(error), error_class=ErrorClass.DEFERRED))
        except OutcomeUnknown as error:
            return verdict.unknown(code_of(error), str(error))
        return self._line.trouble(answer) or self._line.parse(answer)
