"""``HttpGateway``: the port of ``gateway.contract`` for a carrier that the configuration describes.

One message, one request, never repeated. What no definition of an answer fits is ``Unknown``; whether that can ever be
cleared up depends on ``lookup``: without it nobody can be asked, and ``on_unknown`` decides after the quarantine.
Must not know the queue, or a carrier by its name.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from mailbridge.clock import Clock, SystemClock
from mailbridge.config import model as config
from mailbridge.config.model_http import HttpCall, HttpError, HttpQuestion
from mailbridge.errors import NotSent, OutcomeUnknown
from mailbridge.gateway.contract import (
    NO_QUESTION,
    Batch,
    InboxPage,
    Price,
    Silence,
    StatusAnswer,
    StatusMiss,
    StatusQuery,
)
from mailbridge.gateway.http import judge
from mailbridge.gateway.http.requests import build_request, message_values
from mailbridge.gateway.silence import code_of, retry_after_s
from mailbridge.gateway.smsc.answers import as_currency, clean_text
from mailbridge.gateway.transport import ConnectorFactory, HttpTransport, default_connector
from mailbridge.model.message import Message
from mailbridge.model.outcome import (
    Accepted,
    Balance,
    Deferred,
    ErrorClass,
    Outcome,
    Receipt,
    Refused,
    SmsError,
    Suspended,
    Unknown,
)
from mailbridge.model.phone import Phone, digits_of
from mailbridge.model.reply import GATEWAY_REFUSED, Reply

_CLASSES = {
    "refused": ErrorClass.REFUSED,
    "no_route": ErrorClass.REFUSED,
    "deferred": ErrorClass.DEFERRED,
    "suspended": ErrorClass.SUSPENDED,
    "unknown": ErrorClass.UNKNOWN,
}
_PROBE_S = 60.0
_PROBE_MAX_S = 3600.0
_SLOW_S = 61.0
_SHORTEST_SECRET = 6


class HttpGateway:
    """One account at a carrier described by *settings*; ``aclose`` it at the end."""

    #: one message a request: what a described carrier says of several cannot be told apart for certain
    max_batch = 1

    def __init__(
        self,
        name: str,
        settings: config.Gateway,
        *,
        clock: Clock | None = None,
        connector: ConnectorFactory = default_connector,
    ) -> None:
        assert settings.request is not None  # the configuration's check takes no other
        self.name = name
        self._settings = settings
        self._request = settings.request
        self._clock = clock or SystemClock()
        keys = {"login": settings.login or ""}
        for key in ("password", "apikey"):
            secret = getattr(settings, key)
            keys[key] = secret.get_secret_value() if secret else ""
        self._account = keys
        self._secrets = tuple(sorted(_secrets_of(settings, keys), key=len, reverse=True))
        self._transport = HttpTransport(
            timeout_s=settings.timeout,
            connect_timeout_s=settings.connect_timeout,
            proxy=settings.proxy,
            connector=connector,
        )

    def __repr__(self) -> str:
        return f"HttpGateway({self.name!r})"

    def batch_key(self, message: Message) -> Hashable | None:
        """None: each message goes alone."""
        del message
        return None

    async def send(self, batch: Batch) -> Sequence[Outcome]:
        """Hand the one message of *batch* over."""
        return [await self._send(message, batch.gateway_id) for message in batch.messages]

    async def _send(self, message: Message, gateway_id: str) -> Outcome:
        try:
            heard = await self._call(self._request, message_values(message, gateway_id))
        except NotSent as error:
            trouble = SmsError(code="connect", text=str(error), error_class=ErrorClass.DEFERRED)
            return Deferred(error=trouble, left=False)
        except OutcomeUnknown as error:
            return _unknown(code_of(error), str(error))
        if (refusal := judge.find_error(self._settings.errors, heard)) is not None:
            return self._refused(refusal, heard, gateway_id)
        if not judge.fits(self._settings.success, heard, default_status=("2xx",)):
            return self._not_understood(heard)
        own_id = gateway_id if self._settings.id is None else judge.id_at(self._settings.id, heard)
        if not own_id:
            return _unknown("answer", "the answer has no id")
        return Accepted(gateway_id=own_id, parts=message.parts, price=judge.money_at(self._settings.price, heard))

    def _refused(self, refusal: HttpError, heard: judge.Heard, gateway_id: str) -> Outcome:
        """Say what an answer that the definition calls an error means."""
        status = heard.answer.status
        words = clean_text(judge.word_at(self._settings.error_text, heard), self._secrets)
        error = SmsError(code=f"http {status}", text=words or refusal.class_, error_class=_CLASSES[refusal.class_])
        asked_s = retry_after_s(heard.answer.retry_after, self._clock)
        match refusal.class_:
            case "refused" | "no_route":
                no_route = refusal.class_ == "no_route"
                return Refused(error=error, reply=self._reply(refusal, words), no_route=no_route, gateway_id=gateway_id)
            case "suspended":
                first_s = refusal.wait or _PROBE_S
                return Suspended(error=error, probe_after_s=first_s, probe_max_s=max(first_s, _PROBE_MAX_S))
            case "deferred":
                wait_s = refusal.wait or asked_s or (_SLOW_S if status == 429 else None)
                return Deferred(error=error, retry_after_s=wait_s, slow_down=status == 429)
            case _:
                return Unknown(error=error, retry_after_s=asked_s)

    def _reply(self, refusal: HttpError, words: str) -> Reply:
        """Return what an SMTP client hears: the definition's code, the carrier's words."""
        code, enhanced, own = GATEWAY_REFUSED.code, GATEWAY_REFUSED.enhanced, ""
        if refusal.reply is not None:
            first, enhanced, *rest = refusal.reply.split(" ", 2)
            code, own = int(first), " ".join(rest)
        said = own or (words if words.isascii() else "") or "the carrier refused it"
        return Reply(code, enhanced, "").with_text(f"{self.name}: {said}")

    def _not_understood(self, heard: judge.Heard) -> Unknown:
        status = heard.answer.status
        if status == 429:
            asked_s = retry_after_s(heard.answer.retry_after, self._clock)
            return _unknown("http 429", "too many requests", asked_s)
        if not 200 <= status < 300:
            return _unknown(f"http {status}", "no answer the definition knows")
        return _unknown("answer", "no answer the definition knows")

    async def status(self, queries: Sequence[StatusQuery]) -> Sequence[StatusAnswer] | Suspended | Silence:
        """Ask what became of messages: by the carrier's id where it gave one, else by ours, where that can be asked."""
        answers: list[StatusAnswer] = []
        for query in queries:
            answer = await self._status(query)
            if isinstance(answer, Suspended | Silence):
                return answer
            answers.append(answer)
        return answers

    async def _status(self, query: StatusQuery) -> StatusAnswer | Suspended | Silence:
        asked, lookup = self._settings.status, self._settings.lookup
        if query.accepted and asked is not None and self._settings.id is not None:
            answer = await self._ask(asked, query)
            # the id may be ours, of an attempt that a callback spoke of
            if answer is not StatusMiss.NOT_FOUND or lookup is None:
                return answer
        if lookup is not None:
            return await self._ask(lookup, query)
        return StatusMiss.NO_ANSWER if query.accepted else StatusMiss.NOBODY_KNOWS

    async def _ask(self, question: HttpQuestion, query: StatusQuery) -> StatusAnswer | Suspended | Silence:
        values = {
            "phone": query.phone,
            "digits": digits_of(query.phone),
            "gateway_id": query.gateway_id,
            "id": query.gateway_id,
        }
        try:
            heard = await self._call(question, values)
        except (NotSent, OutcomeUnknown):
            return StatusMiss.NO_ANSWER
        if question.not_found is not None and judge.fits(question.not_found, heard):
            return StatusMiss.NOT_FOUND
        if heard.answer.status == 429:
            asked_s = retry_after_s(heard.answer.retry_after, self._clock)
            return Silence(asked_s) if asked_s else StatusMiss.NO_ANSWER
        if not 200 <= heard.answer.status < 300:
            refusal = judge.find_error(self._settings.errors, heard)
            shut = self._refused(refusal, heard, query.gateway_id) if refusal is not None else None
            return shut if isinstance(shut, Suspended) else StatusMiss.NO_ANSWER
        said = judge.state_of(question, heard)
        if said is None:
            return StatusMiss.NO_ANSWER
        own_id = judge.id_at(question.gateway_id, heard) or query.gateway_id
        return self._receipt(own_id, query.phone, *said)

    def _receipt(self, gateway_id: str, phone: Phone, state: str, word: str) -> Receipt:
        return Receipt(
            gateway=self.name, gateway_id=gateway_id, phone=phone, status=judge.STATUS_OF[state], err=0, word=word
        )

    async def balance(self) -> Balance | Suspended | SmsError:
        """Ask for the money left. A carrier that cannot be asked says so: the next message is the probe then."""
        question = self._settings.balance
        if question is None:
            text = "this carrier has no question for a probe"
            return SmsError(code=NO_QUESTION, text=text, error_class=ErrorClass.UNKNOWN)
        try:
            heard = await self._call(question, {})
        except NotSent as error:
            return SmsError(code="connect", text=str(error), error_class=ErrorClass.DEFERRED)
        except OutcomeUnknown as error:
            return _unknown(code_of(error), str(error)).error
        amount = judge.money_at(question.amount, heard)
        if 200 <= heard.answer.status < 300 and amount is not None:
            currency = as_currency(judge.word_at(question.currency, heard))
            return Balance(gateway=self.name, balance=amount, currency=currency)
        refusal = judge.find_error(self._settings.errors, heard)
        if refusal is not None and refusal.class_ == "suspended":
            shut = self._refused(refusal, heard, "")
            assert isinstance(shut, Suspended)
            return shut
        return self._not_understood(heard).error

    async def price(self, message: Message) -> Price | SmsError:
        """Nobody can be asked for a price."""
        del message
        return SmsError(code="price", text="this carrier is not asked for prices", error_class=ErrorClass.REFUSED)

    async def inbox(self, *, after_id: int | None, limit: int) -> InboxPage:
        """Return nothing: there is no question for it."""
        del after_id, limit
        return InboxPage()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def _call(self, call: HttpCall, values: Mapping[str, str]) -> judge.Heard:
        """Make one request. Raises: NotSent, OutcomeUnknown as the transport."""
        request = build_request(call, {**values, **self._account})
        answer = await self._transport.request(request.method, request.url, body=request.body, headers=request.headers)
        return judge.hear(answer)


def read_callback(settings: config.Gateway, fields: Mapping[str, str], gateway: str) -> Receipt | None:
    """Read a report of the carrier's; None where it names no message or says nothing known."""
    callback = settings.callback
    if callback is None:
        return None
    said = judge.event_of(callback.state, fields)
    named = (fields.get(name, "").strip() for name in (callback.gateway_id, callback.id) if name is not None)
    gateway_id = next(filter(None, named), "")
    digits = digits_of(fields.get(callback.phone, ""))
    if said is None or not gateway_id or not 0 < len(digits) <= 15:
        return None
    state, word = said
    status = judge.STATUS_OF[state]
    return Receipt(gateway=gateway, gateway_id=gateway_id, phone=Phone(f"+{digits}"), status=status, err=0, word=word)


def _unknown(code: str, text: str, retry_after_s: float | None = None) -> Unknown:
    error = SmsError(code=code, text=text, error_class=ErrorClass.UNKNOWN)
    return Unknown(error=error, retry_after_s=retry_after_s)


def _secrets_of(settings: config.Gateway, account: Mapping[str, str]) -> set[str]:
    """Return what a carrier that repeats our request must not spread: keys, and the words of headers and forms."""
    calls = (settings.request, settings.status, settings.lookup, settings.balance)
    words = {account["password"], account["apikey"]}
    for call in filter(None, calls):
        for value in (*call.headers.values(), *call.form.values()):
            text = value.get_secret_value()
            if "{{" not in text:
                words |= {text, *text.split()}
    return {word for word in words if len(word) >= _SHORTEST_SECRET}
