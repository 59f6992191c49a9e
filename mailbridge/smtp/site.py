"""What a session knows of the place it runs in: its listener, the limits, the ports behind the door, who else is there.

One ``Site`` for each listener, one ``Roll`` for the whole door. Neither reads or writes a socket.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from mailbridge.clock import Clock
from mailbridge.config.model import Listener, Smtp
from mailbridge.errors import IntakeError, StoreError, StoreFull
from mailbridge.model import reply
from mailbridge.model.mail import ReceivedMail
from mailbridge.model.reply import Reply
from mailbridge.smtp.bans import Bans
from mailbridge.smtp.contract import Doorman, Passwords, Reception

#: after a look for somebody idle that found nobody
_LOOK_AGAIN_S = 0.5
#: structlog's bound loggers are typed as Any by their authors
Log = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client may do before it is sent away."""

    #: commands we could not make sense of (Postfix smtpd_hard_error_limit: 20)
    max_faults: int = 10
    #: senders and recipients refused; high, for a mail to a thousand recipients is answered for each
    max_refusals: int = 2000
    #: NOOP, RSET, EHLO and the like since the last mail (Postfix smtpd_junk_command_limit: 100)
    max_idle_commands: int = 100
    max_auth_failures: int = 3
    #: RFC 5321 4.5.3.1.4 asks for 512; RFC 3461 5.1 adds 500 for ORCPT
    command_bytes: int = 2048
    #: a line without end is read so far and no further
    flood_bytes: int = 65536
    #: at a full door, who has been idle for so long makes room for who comes (Postfix smtpd_timeout under stress: 10)
    crowded_idle_s: float = 10.0
    #: how long a client may take to read our last words
    linger_s: float = 2.0
    handshake_s: float = 30.0
    #: wait after a wrong password, times the number of wrong ones
    auth_delay_s: float = 1.0
    #: mail content in memory, all sessions together; beyond it mails are put off with 452
    buffered_bytes: int = 128 * 1024 * 1024


class Member(Protocol):
    """A session as the roll sees it."""

    @property
    def idle_since(self) -> float | None:
        """Loop time since when the client has said nothing between two mails; None while it is at work."""
        ...

    def dismiss(self) -> None:
        """Say goodbye as soon as the mail in hand, if any, is answered."""
        ...

    def hang_up(self, last_words: Reply) -> None:
        """Say goodbye at once."""
        ...

    def abort(self) -> None:
        """Cut the connection."""
        ...


class Roll:
    """Who is inside: the sessions, and the mails being taken, which outlive their sessions."""

    def __init__(self, *, max_sessions: int) -> None:
        self._max_sessions = max_sessions
        self._members: set[Member] = set()
        self._guests: set[Member] = set()
        self._look_again_at = 0.0
        self._receptions: set[asyncio.Task[Sequence[Reply]]] = set()
        self._nobody = asyncio.Event()
        self._nobody.set()
        #: mail content in memory at this moment
        self.buffered_bytes = 0
        #: the door is being closed
        self.is_closing = False

    def __len__(self) -> int:
        return len(self._members)

    @property
    def is_full(self) -> bool:
        """True when one more is too many."""
        return len(self._guests) >= self._max_sessions

    def enter(self, member: Member, *, is_guest: bool) -> None:
        """Note a new session; one that is no guest is only there to be told so."""
        self._members.add(member)
        if is_guest:
            self._guests.add(member)
        self._nobody.clear()

    def make_room(self, now: float, *, idle_before: float) -> bool:
        """Send away the guest that has been idle for longest, if since *idle_before*; tell whether there was one."""
        if now < self._look_again_at:
            return False
        idle = [(since, id(one), one) for one in self._guests if (since := one.idle_since) is not None]
        since, _, longest = min(idle, default=(now, 0, None))
        if longest is None or since > idle_before:
            # a flood of connections is not answered by as many looks at everybody
            self._look_again_at = now + _LOOK_AGAIN_S
            return False
        self.give_up_place(longest)
        longest.hang_up(reply.TIMED_OUT)
        return True

    def give_up_place(self, member: Member) -> None:
        """Let *member*, who is about to go, count no more."""
        self._guests.discard(member)

    def leave(self, member: Member) -> None:
        """Note that a session's connection is gone."""
        self._members.discard(member)
        self._guests.discard(member)
        if not self._members:
            self._nobody.set()

    def start_reception(self, coroutine: Any, *, size_bytes: int) -> asyncio.Task[Sequence[Reply]]:
        """Run the taking of a mail of that size so that nothing that befalls its session cancels it."""
        task: asyncio.Task[Sequence[Reply]] = asyncio.get_running_loop().create_task(coroutine)
        self._receptions.add(task)
        # it stays in memory until it is answered, however long that is put off
        self.buffered_bytes += size_bytes

        def done(task: asyncio.Task[Sequence[Reply]]) -> None:
            self._receptions.discard(task)
            self.buffered_bytes -= size_bytes

        task.add_done_callback(done)
        return task

    async def empty(self, drain_s: float, *, linger_s: float) -> None:
        """Send everybody away: the idle now, the rest when their mail is answered, all after *drain_s*.

        Waits for the mails being taken as well, a little longer if need be, and never cancels them.
        """
        self.is_closing = True
        for member in list(self._members):
            member.dismiss()
        if not await self.wait_for_nobody(drain_s):
            for member in list(self._members):
                member.hang_up(reply.SHUTTING_DOWN)
            if not await self.wait_for_nobody(linger_s):
                for member in list(self._members):
                    member.abort()
                await self.wait_for_nobody(linger_s)
        if self._receptions:
            await asyncio.wait(list(self._receptions), timeout=linger_s)

    async def wait_for_nobody(self, limit_s: float) -> bool:
        """Return when nobody is left, or after *limit_s*; tell which."""
        try:
            async with asyncio.timeout(limit_s):
                await self._nobody.wait()
        except TimeoutError:
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything the sessions of one listener share."""

    listener: Listener
    smtp: Smtp
    hostname: str
    reception: Reception
    doorman: Doorman
    passwords: Passwords
    clock: Clock
    new_id: Callable[[], str]
    roll: Roll
    bans: Bans
    log: Log
    limits: Limits = field(default_factory=Limits)
    #: for STARTTLS; None on a plain or implicit-TLS listener
    starttls: ssl.SSLContext | None = None
    #: for a listener that begins with TLS
    implicit_tls: ssl.SSLContext | None = None
    allow: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    #: who begins with a PROXY header
    proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @property
    def is_lmtp(self) -> bool:
        """True when each recipient is answered by itself (RFC 2033)."""
        return self.listener.protocol == "lmtp"

    def admits(self, address: str) -> bool:
        """Tell whether a client of that IP address may come in; a unix socket's mode has decided already."""
        if address == UNIX_CLIENT:
            return True
        return _is_within(address, self.allow)

    def is_proxy(self, address: str) -> bool:
        """Tell whether a connection from there begins with a PROXY header."""
        return address != UNIX_CLIENT and _is_within(address, self.proxies)

    async def take(self, mail: ReceivedMail) -> Sequence[Reply]:
        """Hand *mail* over and return the replies: one, or on LMTP one for each recipient. Never raises."""
        count = len(mail.recipients) if self.is_lmtp else 1
        try:
            replies = await self.reception.receive(mail, each=self.is_lmtp)
            if len(replies) == count:
                return replies
            self.log.error("reception_miscounted", id=mail.id, replies=len(replies), wanted=count)
            return [reply.LOCAL_ERROR] * count
        except IntakeError as refusal:
            answer = refusal.reply
            named = {} if mail.client.user is None else {"user": mail.client.user}
            self.log.info("rejected", stage="data", reply=str(answer), client=mail.client.address, id=mail.id, **named)
            return [answer] * count
        except StoreFull:
            self.log.error("store_full", id=mail.id)  # noqa: TRY400  the kind says it all
            return [reply.QUEUE_FULL] * count
        except StoreError as trouble:
            self.log.error("store trouble", doing="reception", because=str(trouble), id=mail.id)  # noqa: TRY400  as above
            return [reply.LOCAL_ERROR] * count
        except Exception:
            self.log.exception("reception_failed", id=mail.id)
            return [reply.LOCAL_ERROR] * count


#: ``Client.address`` of a client on a unix socket
UNIX_CLIENT = "unix"


@lru_cache(maxsize=4096)
def _is_within(address: str, networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> bool:
    """Tell whether *address* lies in one of *networks*; the same few clients come again and again."""
    ip = ipaddress.ip_address(address)
    return any(ip in network for network in networks if network.version == ip.version)


def parse_networks(texts: Sequence[str]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Parse the networks of ``allow``; host bits may be set. Raises: ValueError."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)
