"""Who is signed in: sessions in memory, a cookie each, and a token in each form that no other site can know.

A restart signs everybody out. It must not know pages.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from mailbridge.clock import Clock
from mailbridge.config.model import User
from mailbridge.smtp.bans import Bans
from mailbridge.smtp.passwords import UserPasswords

Role = Literal["look", "operate", "admin"]
#: each may do what those before it may
ROLES: tuple[Role, ...] = ("look", "operate", "admin")

#: a session nobody uses, and any, ends after so many seconds
IDLE_S, LIFE_S = 8 * 3600.0, 7 * 86400.0
_MOST_SESSIONS = 1_000
#: wrong passwords from one address that ban it, and for how long; passwords that wait for their turn to be checked
_MOST_WRONG, _BAN_S, _MOST_WAITING = 10, 600.0, 20
_MAX_PASSWORD_CHARS = 1_024


class Busy(Exception):
    """Too many are signing in at once, or this address was wrong too often."""


@dataclass(slots=True)
class Session:
    """One browser that is signed in."""

    name: str
    #: fingerprint of the password's hash: another password ends the session
    secret: str = field(repr=False)
    #: stands in every form
    csrf: str = field(repr=False)
    begun_s: float
    used_s: float


class Sessions:
    """The sessions of the users in force."""

    def __init__(self, users: Sequence[User], clock: Clock) -> None:
        self._clock = clock
        self._bans = Bans(limit=_MOST_WRONG, ban_s=_BAN_S)
        self._passwords = UserPasswords([])
        self._waiting = 0
        self._sessions: dict[str, Session] = {}
        #: signs what a form for signing in carries
        self._key = secrets.token_bytes(32)
        self.replace(users)

    def replace(self, users: Sequence[User]) -> None:
        """Know *users* from now on; who is one no more is signed out."""
        mine = [user for user in users if user.role != "send"]
        self._users: Mapping[str, User] = {user.name: user for user in mine}
        self._passwords.replace(mine)

    async def sign_in(self, name: str, password: str, address: str) -> str | None:
        """Return a new session's cookie; None for a wrong name or password. Raises: Busy."""
        now_s = self._clock.monotonic()
        if self._bans.is_banned(address, now_s) or self._waiting >= _MOST_WAITING:
            raise Busy
        self._waiting += 1
        try:
            is_right = len(password) <= _MAX_PASSWORD_CHARS and await self._passwords.verify(name, password)
        finally:
            self._waiting -= 1
        user = self._users.get(name)
        if not is_right or user is None:
            self._bans.count(address, now_s)
            return None
        self._forget_old(now_s)
        cookie = secrets.token_urlsafe(32)
        self._sessions[_seal(cookie)] = Session(
            name=name, secret=_fingerprint(user), csrf=secrets.token_urlsafe(32), begun_s=now_s, used_s=now_s
        )
        return cookie

    def find(self, cookie: str) -> tuple[Session, Role] | None:
        """Return whose session *cookie* is, with the role the configuration gives; None where it is nobody's."""
        seal = _seal(cookie)
        session = self._sessions.get(seal)
        if session is None:
            return None
        now_s = self._clock.monotonic()
        user = self._users.get(session.name)
        is_over = now_s - session.used_s > IDLE_S or now_s - session.begun_s > LIFE_S
        if is_over or user is None or session.secret != _fingerprint(user):
            del self._sessions[seal]
            return None
        session.used_s = now_s
        assert user.role != "send"  # those are not known here
        return session, user.role

    def sign_out(self, cookie: str) -> None:
        """End a session."""
        self._sessions.pop(_seal(cookie), None)

    def _forget_old(self, now_s: float) -> None:
        for seal, session in list(self._sessions.items()):
            if now_s - session.used_s > IDLE_S or now_s - session.begun_s > LIFE_S:
                del self._sessions[seal]
        while len(self._sessions) >= _MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]

    # -- the form for signing in, which belongs to no session yet
    def new_visit(self) -> str:
        """Return a cookie for one who has yet to sign in."""
        return secrets.token_urlsafe(24)

    def visit_token(self, visit: str) -> str:
        """Return what the form carries for the browser with that cookie."""
        return hmac.new(self._key, visit.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def close(self) -> None:
        """Let the threads go."""
        self._passwords.close()


def is_same(given: str, wanted: str) -> bool:
    """Compare two secrets in a time that tells nothing."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode("utf-8", "replace"))


def is_from_here(headers: Mapping[str, str], host: str) -> bool:
    """Tell whether a browser says that a form comes from a page of *host*; one that says nothing is believed.

    Source: Fetch Metadata (W3C), and the Origin header field (RFC 6454).
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None and site not in {"same-origin", "none"}:
        return False
    origin = headers.get("Origin")
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()


def _seal(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "replace")).hexdigest()


def _fingerprint(user: User) -> str:
    return hashlib.sha256(user.password.get_secret_value().encode()).hexdigest()
