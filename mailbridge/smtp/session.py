"""What each SMTP and LMTP command does (RFC 5321, 2033, 1870, 2034, 2920, 3207, 3461, 4954, 6152).

A mail goes out of here as a ``ReceivedMail`` to the reception, and its replies come back. Nothing here looks at what
a mail says, but for counting its hops.
"""

# ruff: noqa: N802, ARG002  aiosmtpd finds a command by the name of its method and hands it its argument

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any

from mailbridge.errors import IntakeError
from mailbridge.model import reply
from mailbridge.model.mail import ReceivedMail
from mailbridge.model.reply import Reply
from mailbridge.smtp.authentication import Authentication
from mailbridge.smtp.content import BareLfReader, ContentReader
from mailbridge.smtp.parameters import parse_mail, parse_rcpt

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_HTTP = frozenset({"GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS", "DELETE", "PATCH", "TRACE", "PRI"})
#: RFC 3207 4: everything else waits for TLS where TLS is required
_BEFORE_TLS = frozenset({"EHLO", "LHLO", "HELO", "NOOP", "STARTTLS", "QUIT", "RSET"})
_HELO_MAX = 255
#: the second word of MAIL FROM and RCPT TO
_VERB_TAIL = re.compile(r"(?:FROM|TO):[ ]*", re.IGNORECASE)
_AFTER_PATH = re.compile(r"(?<=>)[ \t].*", re.DOTALL)


class Session(Authentication):
    """The commands, each in an ``smtp_*`` method that aiosmtpd's table finds."""

    async def obey(self, line: bytes) -> None:
        """Carry out one command line, or say why not."""
        if len(line) > self.limits.command_bytes:
            return await self.fault(reply.LINE_TOO_LONG)
        verb_bytes, _, argument = line.rstrip(b"\r\n").partition(b" ")
        verb = verb_bytes.decode("latin-1").upper()
        if verb in _HTTP:
            self.log_refusal("command", reply.NOT_HTTP)
            return await self.answer(reply.NOT_HTTP)
        end_bytes = 2
        if not line.endswith(b"\r\n"):
            if not self.site.listener.legacy:
                return await self.fault(reply.BAD_LINE_END)
            end_bytes = 1
        self._ends_lines_bare = end_bytes == 1
        if _CONTROL.search(line, 0, len(line) - end_bytes):
            return await self.fault(reply.BAD_ARGUMENT)
        if self.site.roll.is_closing and verb != "QUIT":
            return await self.answer(reply.SHUTTING_DOWN)
        command = self._commands.get(verb)
        if command is None:
            return await self.fault(reply.UNKNOWN_COMMAND if verb else reply.BAD_SYNTAX)
        if self.site.listener.tls == "required" and not self.is_encrypted and verb not in _BEFORE_TLS:
            return await self.fault(reply.TLS_REQUIRED)
        return await command(self, argument.decode("latin-1").strip(" \t"))

    # -- greetings

    async def smtp_HELO(self, hostname: str) -> None:
        """Greet without extensions."""
        if self.site.is_lmtp:
            return await self.fault(reply.UNKNOWN_COMMAND)
        return await self._greet(hostname, [self.hostname])

    async def smtp_EHLO(self, hostname: str) -> None:
        """Greet and name the extensions."""
        if self.site.is_lmtp:
            return await self.fault(reply.UNKNOWN_COMMAND)
        return await self._greet(hostname, self._offers())

    async def smtp_LHLO(self, hostname: str) -> None:
        """Greet on LMTP (RFC 2033 4.1)."""
        if not self.site.is_lmtp:
            return await self.fault(reply.UNKNOWN_COMMAND)
        return await self._greet(hostname, self._offers())

    def _offers(self) -> list[str]:
        offers = [self.hostname, "PIPELINING", f"SIZE {self.site.smtp.max_message_size}", "8BITMIME"]
        if self.site.starttls is not None and not self.is_encrypted:
            offers.append("STARTTLS")
        if self.offers_auth:
            offers.append(f"AUTH {self.mechanisms}")
            if self.site.listener.legacy:
                # what clients wrote before RFC 2554 looked for
                offers.append(f"AUTH={self.mechanisms}")
        return [*offers, "ENHANCEDSTATUSCODES", "DSN"]

    async def _greet(self, hostname: str, lines: list[str]) -> None:
        if not hostname or len(hostname) > _HELO_MAX or (" " in hostname and not self.site.listener.legacy):
            return await self.fault(reply.BAD_ARGUMENT)
        if await self._is_idle_too_long():
            return None
        self.forget_mail()
        # machines do name themselves in Cyrillic; kept readable, and not as what could break a header
        helo = hostname.encode("latin-1").decode("ascii", "backslashreplace").replace("\t", " ")
        self.client = replace(self.client, helo=helo)
        self.session.host_name = helo
        last = len(lines) - 1
        return await self.send(
            b"".join(f"250{' ' if i == last else '-'}{text}\r\n".encode("ascii") for i, text in enumerate(lines))
        )

    # -- the envelope

    async def smtp_MAIL(self, arg: str) -> None:
        """Begin a mail."""
        if not self.session.host_name or self.envelope.sender is not None:
            return await self.fault(reply.BAD_SEQUENCE)
        if self.site.listener.auth == "required" and self.client.user is None:
            return await self.fault(reply.AUTH_REQUIRED)
        try:
            command = parse_mail(_ascii(arg), legacy=self.site.listener.legacy)
            if command.size_bytes > self.site.smtp.max_message_size:
                return await self._refuse("mail", reply.TOO_BIG, sender=command.path)
            sender = self.site.doorman.sender(command.path, self.client) if command.path else ""
        except IntakeError as refusal:
            return await self._refuse("mail", refusal.reply, sender=arg)
        self.envelope.sender, self.envelope.envid, self.envelope.ret = sender, command.envid, command.ret
        return await self.answer(reply.SENDER_OK)

    async def smtp_RCPT(self, arg: str) -> None:
        """Add a recipient."""
        if self.envelope.sender is None:
            return await self.fault(reply.BAD_SEQUENCE)
        if len(self.envelope.recipients) >= self.site.smtp.max_recipients:
            return await self._refuse("rcpt", reply.TOO_MANY_RECIPIENTS, recipient=arg)
        try:
            command = parse_rcpt(_ascii(arg), legacy=self.site.listener.legacy)
            recipient = self.site.doorman.recipient(command.path, self.client)
        except IntakeError as refusal:
            return await self._refuse("rcpt", refusal.reply, recipient=arg)
        if command.notify is not None or command.orcpt is not None:
            recipient = replace(recipient, notify=command.notify, orcpt=command.orcpt)
        self.envelope.recipients.append(recipient)
        return await self.answer(reply.RECIPIENT_OK)

    async def _refuse(self, stage: str, answer: Reply, **address: str) -> None:
        """Answer and log a sender or recipient that is not taken; too many of them end the session."""
        self._refusals += 1
        self._log_mail_refusal(stage, answer, **{field: _printable(text) for field, text in address.items()})
        if answer.enhanced.startswith("5.5."):
            return await self.fault(answer)
        return await self.answer(answer if self._refusals < self.limits.max_refusals else reply.TOO_MANY_ERRORS)

    def _log_mail_refusal(self, stage: str, answer: Reply, **fields: str) -> None:
        """Log a refusal within a mail, with the id that the mail has if it is taken after all."""
        self.log_refusal(stage, answer, id=self._mail_id(), **fields)

    def _mail_id(self) -> str:
        self.envelope.id = self.envelope.id or self.site.new_id()
        return self.envelope.id

    # -- the mail

    async def smtp_DATA(self, arg: str) -> None:
        """Read a mail and hand it over."""
        if not self.envelope.recipients:
            return await self.fault(reply.BAD_SEQUENCE)
        if arg:
            return await self.fault(reply.BAD_ARGUMENT)
        self._is_between_mails = False
        kind = BareLfReader if self._ends_lines_bare else ContentReader
        reader = kind(self.site.smtp.max_message_size)
        await self.answer(reply.GO_AHEAD)
        try:
            if await self._read_content(reader):
                await self._finish_mail(reader)
        finally:
            self._is_between_mails = True
        return None

    async def _read_content(self, reader: ContentReader) -> bool:
        """Feed *reader* up to the end of the mail; False when the client went before it, or is to go."""
        roll, counted_bytes = self.site.roll, 0
        give_up_at = self.loop.time() + self.site.smtp.data_timeout
        chunk = bytes(self._inbox)
        self._inbox.clear()
        try:
            while not reader.feed(chunk):
                roll.buffered_bytes += reader.buffered_bytes - counted_bytes
                counted_bytes = reader.buffered_bytes
                if reader.is_hopeless:
                    self._log_mail_refusal("data", reply.TOO_BIG)
                    await self._answer_mail(replace(reply.TOO_BIG, close=True))
                    return False
                if roll.buffered_bytes > self.limits.buffered_bytes:
                    reader.give_up()
                self._expect_within(min(self._timeout_duration, give_up_at - self.loop.time()))
                chunk = await self.read_chunk()
                if not chunk:
                    self._is_leaving = True
                    return False
        finally:
            roll.buffered_bytes -= counted_bytes
        self._inbox += reader.rest
        return True

    async def _finish_mail(self, reader: ContentReader) -> None:
        """Judge what can be judged without reading it, and hand the mail over."""
        refusal = None
        if reader.too_big:
            refusal = reply.QUEUE_FULL if reader.was_given_up else reply.TOO_BIG
        elif not reader.settle_line_ends():
            refusal = reply.BARE_LINE_END
        elif reader.count_received() > self.site.smtp.max_hops:
            refusal = reply.MAIL_LOOP
        if refusal is not None:
            self._log_mail_refusal("data", refusal)
            return await self._answer_mail(refusal)
        envelope = self.envelope
        mail = ReceivedMail(
            id=self._mail_id(),
            sender=envelope.sender or "",
            recipients=tuple(envelope.recipients),
            content=reader.content(),
            client=self.client,
            received_at=self.site.clock.now(),
            envid=envelope.envid,
            ret=envelope.ret,
        )
        # from here on we are the ones who are slow: no timer cuts the client off
        await self.flush()
        self._patience_until = None
        taking = self.site.roll.start_reception(self.site.take(mail), size_bytes=len(mail.content))
        replies = await asyncio.shield(taking)
        self._faults = self._idle_commands = 0
        return await self._answer_mail(*replies)

    async def _answer_mail(self, *replies: Reply) -> None:
        """Answer the end of DATA; a verdict about the whole mail is repeated for each LMTP recipient."""
        if self.site.is_lmtp and len(replies) != len(self.envelope.recipients):
            replies = replies * len(self.envelope.recipients)
        self._reset_timeout()
        self.forget_mail()
        for answer in replies:
            await self.answer(answer)
        # a verdict never waits for what was pipelined behind the mail
        await self.flush()

    # -- the rest

    async def smtp_RSET(self, arg: str) -> None:
        """Forget the mail begun."""
        self.forget_mail()
        if not await self._is_idle_too_long():
            await self.answer(reply.OK)

    async def smtp_NOOP(self, arg: str) -> None:
        """Do nothing."""
        if not await self._is_idle_too_long():
            await self.answer(reply.OK)

    async def smtp_VRFY(self, arg: str) -> None:
        """Tell nothing, and the same for every address."""
        if not await self._is_idle_too_long():
            await self.answer(reply.CANNOT_VERIFY if arg else reply.BAD_ARGUMENT)

    async def smtp_HELP(self, arg: str) -> None:
        """Name the standard."""
        if not await self._is_idle_too_long():
            await self.answer(reply.HELP)

    async def smtp_EXPN(self, arg: str) -> None:
        """Expand nothing."""
        await self.fault(reply.NOT_IMPLEMENTED)

    async def smtp_QUIT(self, arg: str) -> None:
        """Part in peace."""
        if arg:
            return await self.fault(reply.BAD_ARGUMENT)
        self._quit = True
        return await self.answer(reply.BYE)

    async def smtp_STARTTLS(self, arg: str) -> None:
        """Go on inside TLS; everything said before is forgotten, and what was pipelined is thrown away."""
        if self.is_encrypted:
            return await self.fault(reply.BAD_SEQUENCE)
        if self.site.starttls is None:
            return await self.fault(reply.NOT_IMPLEMENTED)
        if arg:
            return await self.fault(reply.BAD_ARGUMENT)
        self._inbox.clear()
        self._expect_within(self.limits.handshake_s)
        await super().smtp_STARTTLS("")
        self.client = replace(self.client, helo="", user=None, tls=True)
        return None

    async def _begin_tls(self) -> None:
        handshake = bytes(self._inbox) + self._arrived
        self._inbox.clear()
        self._arrived = b""
        if handshake:
            # what came with the PROXY header; aiosmtpd sets the protocol up before it first waits
            self.loop.call_soon(self._feed_tls, handshake)
        self._is_implicit = True
        self._expect_within(self.limits.handshake_s)
        await super().smtp_STARTTLS("")
        self.client = replace(self.client, tls=True)

    def _feed_tls(self, octets: bytes) -> None:
        protocol: Any = self._tls_protocol
        while octets:
            buffer = protocol.get_buffer(len(octets))
            count = min(len(buffer), len(octets))
            buffer[:count] = octets[:count]
            protocol.buffer_updated(count)
            octets = octets[count:]

    async def push(self, status: str | bytes) -> None:
        """Send a line of aiosmtpd's own; the one that lacks its enhanced code gets it."""
        if status == "220 Ready to start TLS":
            if self._is_implicit:
                return None
            await self.answer(reply.READY_FOR_TLS)
            return await self.flush()
        return await super().push(status)

    # -- what the transport side asks

    def _has_quit(self) -> bool:
        return self._quit

    def dismiss(self) -> None:
        """Say goodbye, unless a mail is coming in or being taken: then after its answer."""
        if self._is_between_mails:
            self.hang_up(reply.SHUTTING_DOWN)

    async def _is_idle_too_long(self) -> bool:
        """Count a command that leads to no mail; True when the client was sent away for it."""
        self._idle_commands += 1
        if self._idle_commands <= self.limits.max_idle_commands:
            return False
        await self.answer(reply.TOO_MANY_ERRORS)
        return True


def _printable(argument: str) -> str:
    """Return the address in *argument* for the log, which masks the phones in it; without the parameters after it."""
    return _AFTER_PATH.sub("", _VERB_TAIL.sub("", argument))[:256].encode("ascii", "backslashreplace").decode("ascii")


def _ascii(argument: str) -> str:
    """Return *argument* if it is ASCII without tabs. Raises: IntakeError."""
    if not argument.isascii():
        raise IntakeError(reply.NON_ASCII_ADDRESS)
    if not argument.isprintable():
        raise IntakeError(reply.BAD_ARGUMENT)
    return argument
