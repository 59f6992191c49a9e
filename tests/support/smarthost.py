"""A real SMTP server (aiosmtpd) in the place of the smarthost: takes, refuses, defers or hangs as told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass
class Taken:
    """One mail as the server saw it."""

    mail_from: str
    mail_options: list[str]
    rcpt_tos: list[str]
    content: bytes
    tls: bool
    peer_port: int
    user: str | None


@dataclass
class FakeSmarthost:
    """What it does is changed by setting its fields between mails."""

    #: reply to RCPT or to DATA; None is the usual 250
    rcpt_reply: str | None = None
    data_reply: str | None = None
    #: replies to RCPT for single addresses
    rcpt_replies: dict[str, str] = field(default_factory=dict)
    #: set to hang before answering DATA until released
    hang: asyncio.Event | None = None
    users: dict[str, str] = field(default_factory=dict)
    mails: list[Taken] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    async def handle_RCPT(self, _server, _session, envelope: Envelope, address: str, options: list[str]) -> str:
        if said := self.rcpt_replies.get(address, self.rcpt_reply):
            return said
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.hang is not None:
            await self.hang.wait()
        if self.data_reply:
            return self.data_reply
        self.mails.append(
            Taken(
                mail_from=envelope.mail_from or "",
                mail_options=list(envelope.mail_options),
                rcpt_tos=list(envelope.rcpt_tos),
                content=envelope.content,
                tls=server.transport.get_extra_info("sslcontext") is not None,
                peer_port=session.peer[1],
                user=session.auth_data.login.decode() if session.auth_data else None,
            )
        )
        return "250 2.0.0 Ok: queued as FAKE"

    def authenticate(self, _server, _session, _envelope, _mechanism, auth_data: LoginPassword) -> AuthResult:
        wanted = self.users.get(auth_data.login.decode())
        if wanted is not None and wanted.encode() == auth_data.password:
            return AuthResult(success=True, auth_data=auth_data)
        # a talkative server: its words must not reach a log
        return AuthResult(success=False, handled=False, message=f"535 no good: {auth_data.password.decode()}")


@asynccontextmanager
async def running_smarthost(
    *, tls: ssl.SSLContext | None = None, implicit: bool = False, require_tls: bool = False, **fields
) -> AsyncIterator[FakeSmarthost]:
    """Run one on a free loopback port until the block ends."""
    fake = FakeSmarthost(**fields)
    transports: list[asyncio.BaseTransport] = []

    class CountedSession(SMTP):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            fake.connections += 1
            transports.append(transport)
            super().connection_made(transport)

    def factory() -> SMTP:
        starttls = {} if implicit or tls is None else {"tls_context": tls, "require_starttls": require_tls}
        auth = {"authenticator": fake.authenticate, "auth_require_tls": False} if fake.users else {}
        return CountedSession(fake, hostname="smarthost.test", timeout=30, **starttls, **auth)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(factory, "127.0.0.1", 0, ssl=tls if implicit else None)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        if fake.hang is not None:
            fake.hang.set()
        server.close()
        for transport in transports:
            transport.abort()
        await server.wait_closed()
