"""The door: all listeners of ``smtp:``, opened and closed together.

It delivers nothing: mails go to the reception that was handed in.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Collection, Mapping, Sequence

import structlog

from mailbridge.clock import Clock, SystemClock
from mailbridge.config.model import Listener, Smtp, User
from mailbridge.model.ids import new_mail_id
from mailbridge.smtp.bans import Bans
from mailbridge.smtp.contract import Doorman, Passwords, Reception
from mailbridge.smtp.listener import BoundAddress, Handed, OpenListener, places_of
from mailbridge.smtp.passwords import UserPasswords
from mailbridge.smtp.site import Limits, Log, Roll, Site, parse_networks
from mailbridge.smtp.tls import build_context, reload_context

#: from an accepted connection to its session
_ENTERING_S = 0.5


class Door:
    """Listens on every address of *smtp* and hands mails to *reception*."""

    def __init__(
        self,
        smtp: Smtp,
        *,
        reception: Reception,
        doorman: Doorman,
        users: Sequence[User] = (),
        passwords: Passwords | None = None,
        clock: Clock | None = None,
        new_id: Callable[[], str] | None = None,
        log: Log | None = None,
        limits: Limits | None = None,
        roll: Roll | None = None,
        bans: Bans | None = None,
        inherited: Mapping[str, socket.socket] | None = None,
    ) -> None:
        self._smtp = smtp
        self._reception = reception
        self._doorman = doorman
        self._own_passwords = UserPasswords(users) if passwords is None else None
        self._passwords: Passwords = passwords or self._own_passwords  # type: ignore[assignment]
        self._clock = clock or SystemClock()
        self._new_id = new_id or self._id_of_now
        self._log = log if log is not None else structlog.get_logger()
        self._limits = limits or Limits()
        # asked once: a name look-up for each connection would stop the loop when the resolver is down
        self._hostname = smtp.hostname or socket.gethostname()
        self._roll = roll if roll is not None else Roll(max_sessions=smtp.max_connections)
        self._bans = bans if bans is not None else Bans(limit=smtp.auth_failures, ban_s=smtp.auth_ban)
        self._inherited = inherited
        self._open: list[OpenListener] = []
        self._places = places_of([listener.address for listener in smtp.listen])
        self._bound: Sequence[Sequence[socket.socket]] | None = None
        self._contexts: list[tuple[ssl.SSLContext, Listener]] = []

    @property
    def addresses(self) -> tuple[str, ...]:
        """The bound addresses in the order of the configuration, ports as they are; empty while closed."""
        return tuple(address for opened in self._open for address in opened.addresses)

    @property
    def sessions_count(self) -> int:
        """Connections open at this moment."""
        return len(self._roll)

    @property
    def buffered_bytes(self) -> int:
        """Octets of mails coming in at this moment."""
        return self._roll.buffered_bytes

    async def start(
        self, bound: Sequence[Sequence[socket.socket]] | None = None, *, handed: Handed | None = None
    ) -> None:
        """Open every listener, or none. Raises: OSError (address, certificate), ValueError (address, network).

        *bound*: the sockets of each listener, where another process has bound them; it also tells where they are.
        *handed*: what the door before has handed over; whoever hands it closes it.
        """
        # aiosmtpd logs commands, passwords and whole mails below WARNING
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        self._bound = bound
        try:
            for number, (listener, place) in enumerate(zip(self._smtp.listen, self._places, strict=True)):
                opened = self._prepare(listener)
                self._open.append(opened)
                if handed and place in handed:
                    await opened.take_over(handed[place])
                else:
                    await opened.open(None if bound is None else bound[number])
        except BaseException:
            self.close()
            raise
        for opened in self._open:
            opened.owns_path = True
        if bound is None:
            self._log.info("listening", addresses=list(self.addresses))

    def hand_over(self) -> dict[tuple[str, int], BoundAddress]:
        """Return copies of what each listener has bound, for a door that takes this one's place."""
        return {place: opened.hand_over() for place, opened in zip(self._places, self._open, strict=True)}

    async def leave(self, kept: Collection[tuple[str, int]] = ()) -> None:
        """Take no more connections; *kept*: which listeners another door has taken over."""
        for place, opened in zip(self._places, self._open, strict=True):
            opened.owns_path = place not in kept
        self.close()

    async def retire(self, limit_s: float, *, drain_s: float) -> None:
        """After ``leave``: let sessions come to their own end, at most for *limit_s*, then ``stop``."""
        await self.wait_for_nobody(limit_s)
        await self.stop(drain_s)

    async def wait_for_nobody(self, limit_s: float) -> None:
        """Return when all sessions have ended, or after *limit_s*; to be called when the listeners are closed.

        Who was accepted just before has no session yet: with implicit TLS not until the handshake is done.
        """
        is_implicit = any(listener.tls == "implicit" for listener in self._smtp.listen)
        await asyncio.sleep(min(limit_s, self._limits.handshake_s if is_implicit else _ENTERING_S))
        await self._roll.wait_for_nobody(limit_s)

    def pause(self) -> None:
        """Leave new connections to the other processes that accept on the same sockets; sessions go on."""
        for opened in self._open:
            opened.close()

    async def resume(self) -> None:
        """Accept again after a pause; without effect when the door was closed meanwhile."""
        for opened, sockets in zip(tuple(self._open), self._bound or (), strict=False):
            await opened.open(sockets)
            if self._bound is None:
                opened.close()

    def _id_of_now(self) -> str:
        return new_mail_id(self._clock.now().timestamp())

    def _prepare(self, listener: Listener) -> OpenListener:
        context = None
        if listener.tls != "off":
            context = build_context(listener.certificate or "", listener.private_key, legacy=listener.legacy)
            self._contexts.append((context, listener))
        is_implicit = listener.tls == "implicit"
        site = Site(
            listener=listener,
            smtp=self._smtp,
            hostname=self._hostname,
            reception=self._reception,
            doorman=self._doorman,
            passwords=self._passwords,
            clock=self._clock,
            new_id=self._new_id,
            roll=self._roll,
            bans=self._bans,
            log=self._log,
            limits=self._limits,
            starttls=None if is_implicit else context,
            implicit_tls=context if is_implicit else None,
            allow=parse_networks(listener.allow),
            proxies=parse_networks(listener.proxies),
        )
        return OpenListener(site, inherited=self._inherited)

    def reload_certificates(self) -> None:
        """Read all certificates again, for connections that begin from now on. Raises: OSError; the old ones stay."""
        for context, listener in self._contexts:
            reload_context(context, listener.certificate or "", listener.private_key)

    def replace_users(self, users: Sequence[User]) -> None:
        """Let *users* sign in from now on; those inside stay. Without effect where ``passwords`` was handed in."""
        if self._own_passwords is not None:
            self._own_passwords.replace(users)

    async def stop(self, drain_s: float = 10.0) -> None:
        """Close the listeners, finish the mails that are coming in, and return when everybody has gone.

        Idle sessions get ``421 4.3.2`` now, those inside DATA after their answer or after *drain_s*.
        May be called again.
        """
        self.close()
        await self._roll.empty(drain_s, linger_s=self._limits.linger_s)
        if self._own_passwords is not None:
            self._own_passwords.close()

    def close(self) -> None:
        """Take no more connections; sessions go on."""
        for opened in self._open:
            opened.close()
        for bound in self._bound or ():
            for one in bound:
                one.close()
        self._bound = None
        self._open.clear()
        self._contexts.clear()
