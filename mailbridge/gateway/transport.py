"""One bounded HTTP request: what every carrier's client stands on, and the only place that knows aiohttp's exceptions.

Between a carrier's client and the network. It follows no redirect, reads no environment, decompresses nothing, keeps no
cookie and never repeats a request. It tells exactly whether a byte of the request may have left: that is the
difference between ``NotSent`` (free to try again) and ``OutcomeUnknown``.
Must not know a carrier, look into an answer, or put a URL or a body into an exception's text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from mailbridge import __version__
from mailbridge.errors import NotSent, OutcomeUnknown

#: the largest answer to 100 messages has about 8 KB
MAX_ANSWER_BYTES = 64 * 1024
#: shorter than what servers wait (Apache: 5 s), because a connection closed under a request leaves its fate unknown
KEEPALIVE_S = 4.0
#: how long a host's addresses are believed
_DNS_TTL_S = 30
FORM = "application/x-www-form-urlencoded"
_HEADERS = {"User-Agent": f"mailbridge/{__version__}", "Accept-Encoding": "identity"}
#: ValueError and LookupError: aiohttp on hosts and answers it cannot read (bad IDN, unknown encodings)
_FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValueError, LookupError)

ConnectorFactory = Callable[[], aiohttp.BaseConnector]


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole answer of bounded size."""

    status: int
    body: bytes
    #: the Retry-After header as it came; empty when absent
    retry_after: str
    #: all headers, for carriers that are described by them
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def header(self, name: str) -> str | None:
        """Return a header in any case; None where there is none."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)


class _Progress:
    """How far one request came."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = False


def default_connector() -> aiohttp.BaseConnector:
    """Return a pool without a limit of its own (the callers have one); names are resolved off the loop."""
    return aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S, ttl_dns_cache=_DNS_TTL_S)


class HttpTransport:
    """One pool of connections. Built anywhere; the session is made within the loop, by the first request."""

    def __init__(
        self,
        *,
        timeout_s: float,
        connect_timeout_s: float,
        proxy: str | None = None,
        connector: ConnectorFactory = default_connector,
    ) -> None:
        self._timeout = aiohttp.ClientTimeout(
            total=timeout_s, connect=connect_timeout_s, sock_connect=connect_timeout_s
        )
        self._proxy = proxy
        self._connector = connector
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def post(
        self, url: str, body: bytes, *, content_type: str = FORM, max_answer_bytes: int = MAX_ANSWER_BYTES
    ) -> HttpAnswer:
        """POST *body* to *url*, once. Raises: as ``request``."""
        return await self.request(
            "POST", url, body=body, headers={"Content-Type": content_type}, max_answer_bytes=max_answer_bytes
        )

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> HttpAnswer:
        """Make one request, once, whatever its method: a GET may send an SMS, too.

        Raises: NotSent when it failed before the first byte left (name, connect, TLS, proxy);
        OutcomeUnknown when a byte may have left and no whole answer of a fair size came in time.
        """
        if self._closed:
            raise NotSent("closed")
        progress = _Progress()
        try:
            async with self._open().request(
                method,
                url,
                data=body,
                headers=headers,
                allow_redirects=False,
                proxy=self._proxy,
                trace_request_ctx=progress,
            ) as response:
                answer = await _read_bounded(response, max_answer_bytes)
                return HttpAnswer(response.status, answer, response.headers.get("Retry-After", ""), response.headers)
        except _FAILURES as error:
            kind = OutcomeUnknown if progress.left else NotSent
            raise kind(_describe(error)) from error

    async def aclose(self) -> None:
        """Close the connections; what is in flight ends as it would with the network gone."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=self._connector(),
                timeout=self._timeout,
                headers=_HEADERS,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                trace_configs=[_tracing()],
            )
            # aiohttp repeats a GET by itself when a kept connection breaks under it; its own test client stops that so
            self._session._retry_connection = False  # noqa: SLF001 - there is no public way; a test holds it
        return self._session


def _tracing() -> aiohttp.TraceConfig:
    """Return a trace that marks a request's progress: aiohttp calls it just before the header's first byte."""

    async def mark(
        _session: aiohttp.ClientSession, context: Any, _params: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        context.trace_request_ctx.left = True

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(mark)
    return trace


async def _read_bounded(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Read the whole body. Raises: OutcomeUnknown as soon as it is too long; the connection is dropped then."""
    chunks, size = [], 0
    while chunk := await response.content.read(max_bytes + 1 - size):
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            response.close()
            raise OutcomeUnknown("answer too long")
    return b"".join(chunks)


def _describe(error: BaseException) -> str:
    """Return fixed words for *error*; its own text may hold the URL."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "name not resolved"
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
            return "TLS failed"
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return "proxy not usable"
        case aiohttp.ConnectionTimeoutError():
            return "connect timed out"
        case aiohttp.ClientConnectorError():
            return "connect failed"
        case TimeoutError():
            return "timed out"
        case aiohttp.ClientPayloadError():
            return "answer cut off"
        case aiohttp.ClientResponseError():
            return "not an HTTP answer"
        case aiohttp.ClientConnectionError() | OSError():
            return "connection lost"
        case _:
            return "request failed"
