"""One connection: reading lines, answering, the timer, hanging up. What the commands mean stands in ``session.py``.

This is aiosmtpd's protocol class with its weak places taken over: it answers ``421`` before it closes, drops a
client that never reads, lets nobody cancel the taking of a mail, and builds its tables of commands once and not for
each connection. Octets go from the transport to the session and back with nothing between: aiosmtpd's stream reader and
writer are made by its constructor and not used.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import ipaddress
import math
import re
import termios
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar

import aiosmtpd.smtp
from aiosmtpd.smtp import SMTP, TLSSetupException

from mailbridge.model import reply
from mailbridge.model.mail import Client
from mailbridge.model.reply import Reply
from mailbridge.smtp.proxy import parse_proxy_header, plain_address
from mailbridge.smtp.site import UNIX_CLIENT, Site
from mailbridge.smtp.transaction import Transaction

_READ_BYTES = 65536
#: a client that is further ahead is not read from until we have caught up
_AHEAD_BYTES = 2 * _READ_BYTES
#: answers to pipelined commands are sent together up to so many octets
_OUTBOX_BYTES = 8192
#: RFC 5321 4.5.3.1.5, without the CRLF
_REPLY_MAX_BYTES = 510
_CONTROL = re.compile(rb"[\x00-\x1f\x7f-\xff]")
#: the first octet of a TLS record that holds a handshake (RFC 8446 5.1); no command begins with it
_TLS_HANDSHAKE = 0x16


class _NoHooks:
    """aiosmtpd's handler, which has nothing to add: the session calls its ports itself."""

    def __dir__(self) -> tuple[str, ...]:
        return ()


_NO_HOOKS = _NoHooks()


class Conversation(SMTP):
    """The transport side of a session. A subclass defines the ``smtp_*`` commands and ``obey``."""

    AuthLoginUsernameChallenge = "Username:"
    AuthLoginPasswordChallenge = "Password:"
    #: verb -> the method that carries it out, of the class
    _commands: ClassVar[dict[str, Callable[[Any, str], Awaitable[None]]]] = {}

    # never None while a command is carried out, which is the only time they are looked at
    session: aiosmtpd.smtp.Session
    envelope: Transaction
    transport: asyncio.Transport | None
    # asyncio's flow control of a stream protocol, which its types leave out
    _paused: bool
    _connection_lost: bool
    _drain_helper: Callable[[], Awaitable[None]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._commands = {n.removeprefix("smtp_"): getattr(cls, n) for n in dir(cls) if n.startswith("smtp_")}

    def __dir__(self) -> tuple[str, ...]:
        """Name nothing: aiosmtpd walks ``dir(self)`` twice for each connection to find its tables.

        The commands are looked up in a table of the class (``_commands``), built once; ``smtp_AUTH`` knows its
        mechanisms.
        """
        return ()

    def __init__(self, site: Site, loop: asyncio.AbstractEventLoop) -> None:
        self.site = site
        self.limits = site.limits
        self._alarm_at = math.inf
        #: loop time when patience ends; None while we are the ones who are slow
        self._patience_until: float | None = None
        #: from the transport, not asked for yet
        self._arrived = b""
        self._awaited: asyncio.Future[None] | None = None
        self._asked_at: float | None = None
        #: the client said its last, or is too far ahead
        self._has_ended = self._is_held_up = False
        #: asked for, not understood yet
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._faults = 0
        self._refusal: Reply | None = None
        #: the PROXY header is still to come
        self._is_proxied = False
        self._is_leaving = False
        self._has_hung_up = False
        self._is_gone = False
        self.client = Client(address=UNIX_CLIENT, listener=site.listener.address)
        super().__init__(
            _NO_HOOKS,
            data_size_limit=site.smtp.max_message_size,
            hostname=site.hostname,
            tls_context=site.starttls or site.implicit_tls,
            timeout=site.smtp.timeout,
            loop=loop,
        )

    def _create_envelope(self) -> Transaction:
        return Transaction()

    def forget_mail(self) -> None:
        """Begin anew, as after RSET."""
        self.envelope = self._create_envelope()

    # -- the connection comes and goes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the client, and whether it may stay; comes a second time when STARTTLS is done."""
        if self.transport is None:
            self.client = Client(
                address=_client_address(transport.get_extra_info("peername")),
                listener=self.site.listener.address,
                tls=transport.get_extra_info("sslcontext") is not None,
            )
            self._is_proxied = bool(self.site.proxies) and self.site.is_proxy(self.client.address)
            self._refusal = self._find_refusal()
            self.site.roll.enter(self, is_guest=self._refusal is None)
        self._arrived = b""
        super().connection_made(transport)

    def _find_refusal(self) -> Reply | None:
        if self.site.roll.is_closing:
            return reply.SHUTTING_DOWN
        # whom a proxy speaks for is not known yet
        if not self._is_proxied and not self.site.admits(self.client.address):
            return reply.CLIENT_NOT_ALLOWED
        if self.site.roll.is_full and not self._find_room():
            return reply.TOO_MANY_CONNECTIONS
        return None

    def _find_room(self) -> bool:
        """Let whoever has been idle for longest, and too long for a full door, go; tell whether somebody went."""
        now = self.loop.time()
        return self.site.roll.make_room(now, idle_before=now - self.limits.crowded_idle_s)

    @property
    def idle_since(self) -> float | None:
        """Loop time since when the client has been asked for a command; None within one, or within a mail."""
        return None if self.envelope is None or self.envelope.sender is not None else self._asked_at

    def connection_lost(self, error: Exception | None) -> None:
        """End the session; a mail that is being taken is not its business any more."""
        if self._is_gone:
            return
        self._is_gone = True
        self.site.roll.leave(self)
        super().connection_lost(error)

    def eof_received(self) -> bool:
        """Let the commands that came before the end be answered; TLS knows no half-closed connection."""
        self._has_ended = True
        self._wake()
        return not self.client.tls

    def data_received(self, data: bytes) -> None:
        """Keep what came until it is asked for; a client that is too far ahead has to wait."""
        self._arrived = self._arrived + data if self._arrived else data
        if len(self._arrived) > _AHEAD_BYTES and not self._is_held_up and self.transport is not None:
            self._is_held_up = True
            self.transport.pause_reading()
        self._wake()

    def _wake(self) -> None:
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_result(None)

    # -- the timer: one handle, moved only when it rings

    def _reset_timeout(self, duration: float | None = None) -> None:
        # a client that has its answer while the door closes gets a moment for its QUIT: an unasked 421 would be
        # taken for the answer to it
        self._expect_within(self.limits.linger_s if self.site.roll.is_closing else duration or self._timeout_duration)

    def _expect_within(self, limit_s: float) -> None:
        """Hang up unless something happens within *limit_s* seconds."""
        self._patience_until = self.loop.time() + limit_s
        if self._patience_until < self._alarm_at:
            self._set_alarm(self._patience_until)

    def _set_alarm(self, at: float) -> None:
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
        self._alarm_at = at
        self._timeout_handle = self.loop.call_at(at, self._timeout_cb)

    def _timeout_cb(self) -> None:
        if self._is_gone:
            return
        now = self.loop.time()
        self._alarm_at = math.inf
        if self._patience_until is None:
            self._set_alarm(now + self._timeout_duration)
        elif now < self._patience_until:
            self._set_alarm(self._patience_until)
        elif self._has_hung_up:
            self.abort()
        else:
            self.hang_up(reply.SHUTTING_DOWN if self.site.roll.is_closing else reply.TIMED_OUT)

    # -- hanging up

    def hang_up(self, last_words: Reply) -> None:
        """Say *last_words* and close; a client that does not read them is cut off after ``linger_s``."""
        if self._is_gone or self._has_hung_up or self.transport is None:
            return
        self._has_hung_up = self._is_leaving = True
        self.transport.write(bytes(self._outbox) + _wire(last_words))
        self._outbox.clear()
        self.transport.close()
        self._expect_within(self.limits.linger_s)
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()

    def abort(self) -> None:
        """Cut the connection, whatever is still to be written."""
        for transport in (self.transport, self._original_transport):
            if transport is not None:
                transport.abort()  # type: ignore[attr-defined]  # aiosmtpd calls both BaseTransport

    async def _linger(self) -> None:
        """Read on for a moment: closing on unread input resets the connection and takes our last words with it."""
        await self.flush()
        self._has_hung_up = True
        self._expect_within(self.limits.linger_s)
        if self.transport is None:
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
            while await self.read_chunk():
                pass
            return
        # TLS has no half-closed connection to tell the client by, so it is only read from for half as long, and closed
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.limits.linger_s / 2):
                while await self.read_chunk():
                    pass

    # -- answering

    async def push(self, status: Any) -> None:
        """Send one reply line of aiosmtpd's own making, with nothing in it but printable ASCII."""
        line = status if isinstance(status, bytes) else status.encode("ascii", "replace")
        self._outbox += _CONTROL.sub(b"?", line)[:_REPLY_MAX_BYTES] + b"\r\n"
        await self.flush()

    async def answer(self, answer: Reply) -> None:
        """Send *answer*; the session ends after it where the reply says so."""
        if answer.close:
            self._is_leaving = True
        await self.send(_wire(answer))

    async def send(self, octets: bytes) -> None:
        """Send *octets* before the next read, together with the answers to pipelined commands (RFC 2920 3.2)."""
        self._outbox += octets
        if len(self._outbox) > _OUTBOX_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Send all answers now; a client that does not read them holds up its own session here."""
        if self._outbox and self.transport is not None:
            self.transport.write(bytes(self._outbox))
            self._outbox.clear()
        if self._paused or self._connection_lost:
            await self._drain_helper()

    async def fault(self, answer: Reply) -> None:
        """Answer a command that makes no sense, and count it."""
        self._faults += 1
        await self.answer(answer if self._faults < self.limits.max_faults else reply.TOO_MANY_ERRORS)

    # -- listening

    async def read_line(self) -> bytes | None:
        """Return the next line with its end, or None when no more will come.

        A line over ``flood_bytes`` ends the session; one over ``command_bytes`` is the caller's to refuse.
        """
        inbox, scanned = self._inbox, 0
        while (end := inbox.find(b"\n", scanned)) < 0:
            scanned = len(inbox)
            if scanned > self.limits.flood_bytes:
                await self.answer(reply.LINE_TOO_LONG)
                self._is_leaving = True
                return None
            chunk = await self.read_chunk()
            if not chunk:
                return None
            inbox += chunk
            if inbox[0] == _TLS_HANDSHAKE:
                return None
        line = bytes(memoryview(inbox)[: end + 1])
        del inbox[: end + 1]
        return line

    async def read_chunk(self) -> bytes:
        """Return what has come, at least one octet; nothing at the end of the connection."""
        if self._outbox:
            await self.flush()
        while not self._arrived:
            if self._has_ended:
                return b""
            self._awaited = self.loop.create_future()
            await self._awaited
        chunk, self._arrived = self._arrived[:_READ_BYTES], self._arrived[_READ_BYTES:]
        if self._is_held_up and not self._arrived and self.transport is not None:
            self._is_held_up = False
            self.transport.resume_reading()
        return chunk

    async def _handle_client(self) -> None:
        try:
            await self._converse()
        except (ConnectionError, TLSSetupException):
            pass
        finally:
            if self._tls_protocol is not None and self.session.ssl is None:
                # no connection_lost comes from a handshake that was not finished
                self.abort()
                self.connection_lost(None)
            elif self.transport is not None:
                self.transport.close()
                self._has_hung_up = True
                self._expect_within(self.limits.linger_s)

    async def _read_proxy_header(self) -> bool:
        """Learn from the PROXY header who the client is; False when none came."""
        self._expect_within(self.limits.handshake_s)
        header = None
        while header is None:
            chunk = await self.read_chunk()
            self._inbox += chunk
            try:
                header = parse_proxy_header(bytes(self._inbox))
            except ValueError:
                chunk = b""
            if not chunk:
                self.log_refusal("connect", reply.NO_PROXY_HEADER)
                return False
        del self._inbox[: header.length_bytes]
        self._is_proxied = False
        if header.client is not None:
            self.client = replace(self.client, address=header.client)
        if self._refusal is None:
            self._refusal = self._find_refusal()
        return True

    async def _begin_tls(self) -> None:
        """Go on inside TLS. Raises: TLSSetupException."""
        raise NotImplementedError

    def _spoke_too_early(self) -> bool:
        """Tell whether the client did not wait for the greeting: programs that blast commands at a port do so."""
        if self._inbox or self._arrived:
            return True
        if self.transport is None or self.client.tls:
            return False
        connection = self.transport.get_extra_info("socket")
        waiting = bytearray(4)
        try:
            fcntl.ioctl(connection.fileno(), termios.FIONREAD, waiting)
        except OSError:
            return False
        return any(waiting)

    async def _converse(self) -> None:
        if self._is_proxied:
            if not await self._read_proxy_header():
                if self.site.implicit_tls is None:
                    await self.answer(reply.NO_PROXY_HEADER)
                return await self._linger()
            if self.site.implicit_tls is not None:
                await self._begin_tls()
        elif self.site.implicit_tls is not None and not self.client.tls:
            await self._begin_tls()
        if self._refusal is None and not self.site.listener.legacy and self._spoke_too_early():
            self._refusal = reply.SPOKE_TOO_EARLY
        if self._refusal is not None:
            self.log_refusal("connect", self._refusal)
            await self.answer(self._refusal)
            return await self._linger() if self._refusal is reply.SPOKE_TOO_EARLY else await self.flush()
        await self.push(f"220 {self.hostname} {'LMTP' if self.site.is_lmtp else 'ESMTP'}")
        while not self._is_leaving:
            self._reset_timeout()
            self._asked_at = self.loop.time()
            line = await self.read_line()
            self._asked_at = None
            if line is None:
                break
            try:
                await self.obey(line)
            except (ConnectionError, TLSSetupException):
                raise
            except Exception:
                self.site.log.exception("session_failed", client=self.client.address)
                await self.fault(reply.LOCAL_ERROR)
        if self._is_leaving and not self._has_quit() and not self.site.roll.is_closing:
            return await self._linger()
        return await self.flush()

    def _has_quit(self) -> bool:
        raise NotImplementedError

    def dismiss(self) -> None:
        """Say goodbye as soon as the mail in hand, if any, is answered."""
        raise NotImplementedError

    async def obey(self, line: bytes) -> None:
        """Carry out one command line."""
        raise NotImplementedError

    def log_refusal(self, stage: str, answer: Reply, **fields: str) -> None:
        """Log that a client was refused at *stage*: connect, mail, rcpt, data or auth."""
        if self.client.user is not None:
            fields["user"] = self.client.user
        self.site.log.info("rejected", stage=stage, reply=str(answer), client=self.client.address, **fields)

    @property
    def is_encrypted(self) -> bool:
        """True inside TLS, however it began."""
        return self.client.tls

    @property
    def is_local(self) -> bool:
        """True when nobody can listen on the way: loopback or a unix socket."""
        return self.client.address == UNIX_CLIENT or _is_loopback(self.client.address)


@lru_cache(maxsize=1024)
def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _wire(answer: Reply) -> bytes:
    return str(answer).encode("ascii")[:_REPLY_MAX_BYTES] + b"\r\n"


def _client_address(peername: Any) -> str:
    """Return the client's IP address, an IPv4 one as such even on an IPv6 socket, or ``unix``."""
    if not isinstance(peername, tuple):
        return UNIX_CLIENT
    return plain_address(str(peername[0]))
