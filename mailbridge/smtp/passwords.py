"""The users of the configuration and their argon2id hashes, checked off the event loop."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from mailbridge.config.model import User


class UserPasswords:
    """Implements ``contract.Passwords``.

    A check takes tens of milliseconds and 64 MiB by design, so few run at once. What was right once is remembered
    under a key that dies with the process: a monitoring system that signs in for each mail is
    not slowed down by its own password.
    """

    def __init__(self, users: Sequence[User], *, workers: int = 2) -> None:
        self._hashes: dict[str, str] = {}
        self._hasher = PasswordHasher()
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="password")
        self._key = secrets.token_bytes(32)
        self._known: dict[str, bytes] = {}
        self.replace(users)

    def replace(self, users: Sequence[User]) -> None:
        """Know *users* from now on, and nobody else."""
        self._hashes = {user.name: user.password.get_secret_value() for user in users}
        self._cram = {user.name: user.cram_secret.get_secret_value() for user in users if user.cram_secret}
        self._known.clear()

    async def verify(self, name: str, password: str) -> bool:
        """Tell whether *password* is that of user *name*, in the same time for an unknown name."""
        seal = hmac.new(self._key, password.encode(), hashlib.sha256).digest()
        known = self._known.get(name)
        if known is not None and hmac.compare_digest(known, seal):
            return True
        asked = self._hashes
        is_right = await asyncio.get_running_loop().run_in_executor(self._pool, self._check, name, password)
        # what was right for users replaced meanwhile is not remembered for those of today
        if is_right and asked is self._hashes:
            self._known[name] = seal
        return is_right

    @property
    def offers_cram(self) -> bool:
        """True when some user has a secret for CRAM-MD5."""
        return bool(self._cram)

    def verify_cram(self, name: str, challenge: bytes, digest: str) -> bool:
        """Tell whether *digest* answers *challenge* (RFC 2195), in the same time for an unknown name."""
        secret = self._cram.get(name)
        key = secret.encode() if secret is not None else self._key
        # MD5 is the mechanism's, and as a MAC still unbroken
        wanted = hmac.new(key, challenge, "md5").hexdigest()
        is_right = hmac.compare_digest(wanted.encode(), digest.lower().encode("utf-8", "replace"))
        return is_right and secret is not None

    def _check(self, name: str, password: str) -> bool:
        stored = self._hashes.get(name)
        # an unknown name is checked against somebody's hash, so that it takes as long as a known one
        somebody = stored or next(iter(self._hashes.values()), "")
        try:
            return self._hasher.verify(somebody, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)
