"""Who asks: bearer tokens (RFC 6750), whose argon2id hashes the configuration has.

A token that was right is remembered under a key that dies with the process, so that each request costs no hashing. One
that is wrong costs an address its turn after some tries.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from mailbridge.clock import Clock
from mailbridge.config.model import User
from mailbridge.config.model_api import Scope, Token
from mailbridge.smtp.bans import Bans
from mailbridge.smtp.passwords import UserPasswords
from mailbridge.web.api.problem import Refused

#: wrong tokens from one address that ban it, and for how long
_MOST_WRONG = 10
_BAN_S = 600.0
_MAX_CHARS = 512


class Tokens:
    """The tokens of the configuration in force."""

    def __init__(self, tokens: Sequence[Token], clock: Clock) -> None:
        self._clock = clock
        self._bans = Bans(limit=_MOST_WRONG, ban_s=_BAN_S)
        self._key = secrets.token_bytes(32)
        self._hashes = UserPasswords([])
        self.replace(tokens)

    def replace(self, tokens: Sequence[Token]) -> None:
        """Know *tokens* from now on, and nobody else."""
        self._tokens = {token.name: token for token in tokens}
        self._hashes.replace([User(name=token.name, password=token.token) for token in tokens])
        self._known: dict[bytes, Token] = {}

    async def admit(self, authorization: str, address: str, scope: Scope) -> Token:
        """Return the token that *authorization* carries; it must have *scope*. Raises: Refused."""
        scheme, _, secret = authorization.partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret or len(secret) > _MAX_CHARS:
            raise Refused(401, "a bearer token is needed", headers=_challenge())
        token = await self._find(secret, address)
        if token is None:
            raise Refused(401, "this token is not known", headers=_challenge("invalid_token"))
        if scope not in token.scopes:
            raise Refused(403, f"this token may not {scope}", headers=_challenge("insufficient_scope", scope))
        return token

    async def _find(self, secret: str, address: str) -> Token | None:
        seal = hmac.new(self._key, secret.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
        known = self._known
        # each is compared, however many: the time tells nothing
        found = [token for own, token in known.items() if hmac.compare_digest(own, seal)]
        if found:
            return found[0]
        if self._bans.is_banned(address, self._clock.monotonic()):
            raise Refused(429, "too many wrong tokens from this address", headers={"Retry-After": str(int(_BAN_S))})
        for token in self._tokens.values():
            if await self._hashes.verify(token.name, secret):
                # what was right for tokens replaced meanwhile is not remembered for those of today
                known[seal] = token
                return token
        self._bans.count(address, self._clock.monotonic())
        return None

    def close(self) -> None:
        """Let the threads go."""
        self._hashes.close()


def _challenge(error: str = "", scope: str = "") -> dict[str, str]:
    words = ['Bearer realm="mailbridge"']
    words += [f'{name}="{value}"' for name, value in (("error", error), ("scope", scope)) if value]
    return {"WWW-Authenticate": ", ".join(words)}
