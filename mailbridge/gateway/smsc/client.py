"""The SMSC gateway: the port of ``gateway.contract`` over HTTP.

Where a batch leaves the house: codec -> transport -> answers -> verdict. It also picks the host: one that was not
reached at all gives way to the next at once; after a byte may have left, no other host is ever asked.
Must not know the queue, wait between tries or repeat a request: that is the delivery's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime

from mailbridge.clock import Clock, SystemClock
from mailbridge.config import model as config
from mailbridge.errors import NotSent, OutcomeUnknown
from mailbridge.gateway.contract import Batch, Price, Silence, StatusAnswer, StatusMiss, StatusQuery
from mailbridge.gateway.smsc import codec, verdict
from mailbridge.gateway.smsc.answers import parse_answer
from mailbridge.gateway.transport import ConnectorFactory, HttpAnswer, HttpTransport, default_connector
from mailbridge.model.message import Message
from mailbridge.model.outcome import Balance, Deferred, ErrorClass, Outcome, SmsError, Suspended, Unknown

#: with 15 requests at once under one login the gateway refuses all of them (smsc-api.md 1.7)
MAX_REQUESTS = 14
#: a host that is reached but answers nothing usable so often in a row gives way, for later requests, to the next one
_MAX_FAILURES = 5
#: nobody is asked to be silent for longer by a Retry-After
_MAX_RETRY_AFTER_S = 3600.0


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
        self._clock = clock or SystemClock()
        self._urls = [url.rstrip("/") for url in settings.url]
        password = settings.password.get_secret_value() if settings.password else None
        apikey = settings.apikey.get_secret_value() if settings.apikey else None
        self._secrets = tuple(secret for secret in (password, apikey) if secret)
        self._prefix = codec.credentials(login=settings.login, password=password, apikey=apikey)
        self._transport = HttpTransport(
            timeout_s=settings.timeout,
            connect_timeout_s=settings.connect_timeout,
            proxy=settings.proxy,
            connector=connector,
        )
        #: shared by all methods; the delivery's own limit is lower and adaptive
        self._slots = asyncio.Semaphore(MAX_REQUESTS)
        #: index of the host that is asked first
        self._host = 0
        #: requests in a row that reached a host and got no usable answer
        self._failures = 0

    def __repr__(self) -> str:
        return f"SmscGateway({self.name!r})"

    def batch_key(self, message: Message) -> Hashable | None:
        """Messages with equal keys may share a request; None: this one goes alone. Pure."""
        return codec.batch_key(message)

    async def send(self, batch: Batch) -> Sequence[Outcome]:
        """Hand *batch* over; one outcome for each message, in the batch's order."""
        try:
            answer = await self._post("send", codec.send_body(self._prefix, batch))
        except NotSent as error:
            trouble = SmsError(code="connect", text=str(error), error_class=ErrorClass.DEFERRED)
            return [Deferred(error=trouble, left=False)] * len(batch.messages)
        except OutcomeUnknown as error:
            return [verdict.unknown(_code_of(error), str(error))] * len(batch.messages)
        if lost := _http_trouble(answer, self._clock):
            return [lost] * len(batch.messages)
        return verdict.judge_send(self._parse(answer), batch)

    async def status(self, queries: Sequence[StatusQuery]) -> Sequence[StatusAnswer] | Suspended | Silence:
        """Ask what became of messages; one answer for each query, in order. At most ``max_batch`` queries.

        Suspended: it refuses us as such, and each further question would be one more bad request.
        Silence: so would one before the time it names.
        """
        if not queries:
            return []
        parsed = await self._ask("status", codec.status_body(self._prefix, queries))
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
        parsed = await self._ask("balance", codec.balance_body(self._prefix))
        return parsed.error if isinstance(parsed, Unknown) else verdict.judge_balance(parsed, self.name)

    async def price(self, message: Message) -> Price | SmsError:
        """Ask what *message* would cost; sends nothing."""
        parsed = await self._ask("send", codec.price_body(self._prefix, message))
        return parsed.error if isinstance(parsed, Unknown) else verdict.judge_price(parsed)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def _ask(self, script: str, body: bytes) -> verdict.Parsed | Unknown:
        """Put a question, which may be put again at will; Unknown where there is no usable answer."""
        try:
            answer = await self._post(script, body)
        except NotSent as error:
            return Unknown(error=SmsError(code="connect", text=str(error), error_class=ErrorClass.DEFERRED))
        except OutcomeUnknown as error:
            return verdict.unknown(_code_of(error), str(error))
        return _http_trouble(answer, self._clock) or self._parse(answer)

    async def _post(self, script: str, body: bytes) -> HttpAnswer:
        """POST to the first host, and on to the next ones as long as no byte left.

        Raises: NotSent when no host was reached; OutcomeUnknown as the transport.
        """
        async with self._slots:
            count, first = len(self._urls), self._host
            for step in range(count):
                index = (first + step) % count
                try:
                    answer = await self._transport.post(f"{self._urls[index]}/sys/{script}.php", body)
                except NotSent:
                    if step + 1 == count:
                        raise
                except OutcomeUnknown:
                    self._note_host(index, well=False)
                    raise
                else:
                    self._note_host(index, well=answer.status < 500)
                    return answer
        raise NotSent("no host is configured")

    def _note_host(self, index: int, *, well: bool) -> None:
        """Begin with host *index* from now on, or with the one after it when it was reached in vain too often."""
        self._failures = 0 if well else self._failures + 1
        self._host = index
        if self._failures >= _MAX_FAILURES:
            self._failures = 0
            self._host = (index + 1) % len(self._urls)

    def _parse(self, answer: HttpAnswer) -> verdict.Parsed:
        return parse_answer(answer.body, self._secrets)


def _http_trouble(answer: HttpAnswer, clock: Clock) -> Unknown | None:
    """Return the outcome of an HTTP status that says nothing about the request; None where the body is to be read.

    The gateway answers 200 to everything it read. A redirect or a front proxy's 5xx may come after the request was
    passed on. Other 4xx are judged by their body, where it is the gateway's.
    """
    if answer.status == 429:
        return verdict.unknown("http 429", "too many requests", _retry_after_s(answer.retry_after, clock))
    if 300 <= answer.status < 400 or answer.status >= 500:
        return verdict.unknown(f"http {answer.status}", "no answer of the gateway's own")
    return None


def _retry_after_s(text: str, clock: Clock) -> float | None:
    """Read a Retry-After header: seconds or a date (RFC 9110 section 10.2.3)."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _MAX_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max((aware - clock.now()).total_seconds(), 0.0), _MAX_RETRY_AFTER_S)


def _code_of(error: OutcomeUnknown) -> str:
    words = str(error)
    if "timed out" in words:
        return "timeout"
    return "answer" if "too long" in words else "cut"
