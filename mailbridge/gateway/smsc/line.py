"""The line to one account at SMSC: its hosts, its places, its secrets. Both ways to speak to the gateway stand on it.

Between the codec and the transport. A host that was not reached at all gives way to the next at once; after a byte may
have left, no other host is ever asked.
Must not know a method of the gateway's, repeat a request, or read a meaning into an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mailbridge.clock import Clock
from mailbridge.errors import NotSent, OutcomeUnknown
from mailbridge.gateway.silence import retry_after_s
from mailbridge.gateway.smsc import codec, verdict
from mailbridge.gateway.smsc.answers import parse_answer
from mailbridge.gateway.transport import (
    FORM,
    MAX_ANSWER_BYTES,
    ConnectorFactory,
    HttpAnswer,
    HttpTransport,
    default_connector,
)
from mailbridge.model.outcome import Unknown

#: with 15 requests at once under one login the gateway refuses all of them (smsc-api.md 1.7)
MAX_REQUESTS = 14
#: a host that is reached but answers nothing usable so often in a row gives way, for later requests, to the next one
_MAX_FAILURES = 5


class Line:
    """One account's hosts and credentials. Built anywhere; ``aclose`` it at the end."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        login: str | None,
        password: str | None,
        apikey: str | None,
        timeout_s: float,
        connect_timeout_s: float,
        clock: Clock,
        proxy: str | None = None,
        connector: ConnectorFactory = default_connector,
    ) -> None:
        self._clock = clock
        self._urls = [url.rstrip("/") for url in urls]
        self._secrets = tuple(secret for secret in (password, apikey) if secret)
        #: the beginning of every body
        self.prefix = codec.credentials(login=login, password=password, apikey=apikey)
        self._transport = HttpTransport(
            timeout_s=timeout_s, connect_timeout_s=connect_timeout_s, proxy=proxy, connector=connector
        )
        #: shared by all methods; the delivery's own limit is lower and adaptive
        self._slots = asyncio.Semaphore(MAX_REQUESTS)
        #: index of the host that is asked first
        self._host = 0
        #: requests in a row that reached a host and got no usable answer
        self._failures = 0

    async def post(
        self, script: str, body: bytes, *, content_type: str = FORM, max_answer_bytes: int = MAX_ANSWER_BYTES
    ) -> HttpAnswer:
        """POST to the first host, and on to the next ones as long as no byte left.

        Raises: NotSent when no host was reached; OutcomeUnknown as the transport.
        """
        async with self._slots:
            count, first = len(self._urls), self._host
            for step in range(count):
                index = (first + step) % count
                try:
                    answer = await self._transport.post(
                        f"{self._urls[index]}/sys/{script}.php",
                        body,
                        content_type=content_type,
                        max_answer_bytes=max_answer_bytes,
                    )
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

    def parse(self, answer: HttpAnswer) -> verdict.Parsed:
        """Read an answer's body; no secret of the account is left in the gateway's words."""
        return parse_answer(answer.body, self._secrets)

    def trouble(self, answer: HttpAnswer) -> Unknown | None:
        """Return the outcome of an HTTP status that says nothing about the request; None where the body is to be read.

        The gateway answers 200 to everything it read. A redirect or a front proxy's 5xx may come after the request was
        passed on. Other 4xx are judged by their body, where it is the gateway's.
        """
        if answer.status == 429:
            return verdict.unknown("http 429", "too many requests", retry_after_s(answer.retry_after, self._clock))
        if 300 <= answer.status < 400 or answer.status >= 500:
            return verdict.unknown(f"http {answer.status}", "no answer of the gateway's own")
        return None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    def _note_host(self, index: int, *, well: bool) -> None:
        """Begin with host *index* from now on, or with the one after it when it was reached in vain too often."""
        self._failures = 0 if well else self._failures + 1
        self._host = index
        if self._failures >= _MAX_FAILURES:
            self._failures = 0
            self._host = (index + 1) % len(self._urls)
