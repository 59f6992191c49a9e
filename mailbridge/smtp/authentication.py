"""AUTH PLAIN, LOGIN and CRAM-MD5 (RFC 4954, 4616, 2195) against the users of the configuration.

aiosmtpd reads the credentials; whether they are right is asked of the ``Passwords`` port. No credential is logged.
"""

# ruff: noqa: N802, ARG002  names and signatures are aiosmtpd's

from __future__ import annotations

import asyncio
import secrets
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import replace
from typing import Any, cast

from aiosmtpd.smtp import MISSING, AuthResult, LoginPassword

from mailbridge.model import reply
from mailbridge.smtp.conversation import Conversation
from mailbridge.smtp.site import Site


class Authentication(Conversation):
    """The AUTH command."""

    def __init__(self, site: Site, loop: asyncio.AbstractEventLoop) -> None:
        self._auth_failures = 0
        self._refusals = 0
        self._idle_commands = 0
        self._is_between_mails = True
        self._quit = False
        #: TLS began without a word
        self._is_implicit = False
        #: the last command ended with LF alone, on a legacy listener
        self._ends_lines_bare = False
        super().__init__(site, loop)

    @property
    def offers_auth(self) -> bool:
        """True where the listener has it, and nobody can listen on the way or the listener allows that."""
        listener = self.site.listener
        return (listener.auth != "off" or listener.any_login) and (
            self.is_encrypted or self.is_local or listener.auth_without_tls
        )

    @property
    def mechanisms(self) -> str:
        """The mechanisms as EHLO names them."""
        return "PLAIN LOGIN CRAM-MD5" if self.site.passwords.offers_cram else "PLAIN LOGIN"

    async def smtp_AUTH(self, arg: str) -> None:
        """Sign in."""
        if self.site.listener.auth == "off" and not self.site.listener.any_login:
            return await self.fault(reply.NOT_IMPLEMENTED)
        if not self.session.host_name or self.client.user is not None or self.envelope.sender is not None:
            return await self.fault(reply.BAD_SEQUENCE)
        if not self.offers_auth:
            return await self.fault(reply.AUTH_NEEDS_TLS)
        if self.site.bans.is_banned(self.client.address, self.loop.time()):
            self.log_refusal("auth", reply.AUTH_BANNED)
            return await self.answer(reply.AUTH_BANNED)
        words = arg.split()
        if len(words) not in {1, 2}:
            return await self.fault(reply.BAD_ARGUMENT)
        mechanisms = {"PLAIN": self.auth_PLAIN, "LOGIN": self.auth_LOGIN}
        if words[0].upper() == "CRAM-MD5" and self.site.passwords.offers_cram:
            return await self._sign_in_by_challenge() if len(words) == 1 else await self.fault(reply.BAD_ARGUMENT)
        mechanism = mechanisms.get(words[0].upper())
        if mechanism is None:
            return await self.fault(reply.UNKNOWN_MECHANISM)
        # an empty initial response is written "=" (RFC 4954 4), which aiosmtpd does not know
        result = await mechanism(self, [words[0], *("" if word == "=" else word for word in words[1:])])
        if result.success:
            return await self._sign_in(cast(LoginPassword, result.auth_data))
        return await self._count_failure()

    def _authenticate(self, mechanism: str, auth_data: Any) -> AuthResult:
        """Only pass the credentials on: checking them takes time that the event loop does not have."""
        return AuthResult(success=True, auth_data=auth_data)

    async def _sign_in(self, credentials: LoginPassword) -> None:
        try:
            name, password = credentials.login.decode(), credentials.password.decode()
        except UnicodeDecodeError:
            name = password = ""
        self._patience_until = None
        is_right = bool(name) and await self.site.passwords.verify(name, password)
        self._reset_timeout()
        return await self._conclude(name, is_right=is_right)

    async def _sign_in_by_challenge(self) -> None:
        challenge = f"<{secrets.token_hex(16)}@{self.hostname}>".encode("ascii", "replace")
        answer = await self.challenge_auth(challenge)
        if answer is MISSING:
            return await self._count_failure()
        name, _, digest = answer.decode("utf-8", "replace").rpartition(" ")
        return await self._conclude(name, is_right=self.site.passwords.verify_cram(name, challenge, digest))

    async def _conclude(self, name: str, *, is_right: bool) -> None:
        """Let the client in as *name*, or slow it down and count it."""
        if is_right:
            self.client = replace(self.client, user=name)
            return await self.answer(reply.SIGNED_IN)
        if self.site.listener.any_login:
            return await self.answer(reply.SIGNED_IN)
        self.log_refusal("auth", reply.AUTH_FAILED)
        # whoever is on this machine is found otherwise, and banning a tunnel's end would ban everybody in it
        if not self.is_local and self.site.bans.count(self.client.address, self.loop.time()):
            self.site.log.warning("banned", client=self.client.address, seconds=self.site.smtp.auth_ban)
        await asyncio.sleep(self.limits.auth_delay_s * (self._auth_failures + 1))
        await self.answer(reply.AUTH_FAILED)
        return await self._count_failure()

    async def _count_failure(self) -> None:
        self._auth_failures += 1
        if self._auth_failures >= self.limits.max_auth_failures and not self._is_leaving:
            await self.answer(reply.TOO_MANY_AUTH_FAILURES)

    async def challenge_auth(
        self, challenge: str | bytes, encode_to_b64: bool = True, log_client_response: bool = False
    ) -> Any:
        """Ask for the next part of the credentials and return it decoded, or MISSING when it was answered already."""
        text = challenge.encode() if isinstance(challenge, str) else challenge
        await self.push(b"334 " + (b64encode(text) if encode_to_b64 else text))
        line = await self.read_line()
        if line is None:
            self._is_leaving = True
            return MISSING
        blob = line.strip()
        if blob == b"*":
            await self.answer(reply.AUTH_ABORTED)
            return MISSING
        if len(line) > self.limits.command_bytes:
            await self.answer(reply.LINE_TOO_LONG)
            return MISSING
        try:
            return b64decode(blob, validate=True)
        except Base64Error:
            await self.answer(reply.BAD_BASE64)
            return MISSING
