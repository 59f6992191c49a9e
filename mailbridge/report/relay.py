"""One connection to the smarthost, with aiosmtplib's many exceptions mapped to our two.

Place in the flow: below ``mailer``. It must not retry, nor let a server's words about a password into an error.
"""

from __future__ import annotations

import asyncio
import ssl
from types import TracebackType
from typing import Self

import aiosmtplib

from mailbridge.config.smarthost import Smarthost, StartTls
from mailbridge.errors import RelayError, RelayRefused, RelayUnavailable
from mailbridge.model.words import without_secrets
from mailbridge.queue.contract import OutgoingMail
from mailbridge.report.dsn import is_plain_address
from mailbridge.report.mime import one_line

CONNECT_TIMEOUT_S = 20.0
#: RFC 5321 4.5.3.2 would wait ten minutes for the answer to the final dot; other mails wait behind this one
COMMAND_TIMEOUT_S = 120.0
#: the server wants us to sign in, or signs us off: the configuration's fault, never the mail's
_NOT_THE_MAILS_FAULT = frozenset({521, 530, 534, 535, 538})


class Relay:
    """An SMTP connection that is opened by the first mail and kept for the next ones.

    A server that could not be reached, or hung, is not asked again by the same Relay: fifty mails waiting for the same
    dead server wait for one time-out, not for fifty.
    """

    def __init__(
        self,
        smarthost: Smarthost,
        *,
        hostname: str,
        tls_context: ssl.SSLContext | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        command_timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> None:
        self._smarthost = smarthost
        self._hostname = hostname or "localhost"
        self._tls_context = tls_context
        self._connect_timeout_s = connect_timeout_s
        self._command_timeout_s = command_timeout_s
        self._client: aiosmtplib.SMTP | None = None
        self._dead: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose(politely=kind is None)

    async def send(self, mail: OutgoingMail) -> str:
        """Hand *mail* over and return the server's words.

        Raises: RelayUnavailable when the same mail may go later, RelayRefused when it never will.
        """
        if self._dead is not None:
            raise RelayUnavailable(self._dead)
        if not is_plain_address(mail.recipient):
            # aiosmtplib would write to whatever address it can make of it
            raise RelayRefused("the recipient's address cannot be written to")
        client = await self._connected()
        options = _body_option(client, mail.content)
        try:
            _, words = await client.sendmail(mail.sender, [mail.recipient], mail.content, mail_options=options)
        except (aiosmtplib.SMTPException, OSError) as error:
            ours = self._in_our_words(error)
            if isinstance(error, TimeoutError):
                self._dead = str(ours)
            raise ours from error
        return self._words(words)

    async def greet(self) -> None:
        """Connect, with TLS and AUTH as for a mail, and send none. Raises: RelayUnavailable."""
        await self._connected()

    async def aclose(self, *, politely: bool = True) -> None:
        """Close the connection, with QUIT where *politely*. Idempotent; never raises."""
        client, self._client = self._client, None
        if client is None or not client.is_connected:
            return
        try:
            if politely:
                await client.quit(timeout=2.0)
        except (aiosmtplib.SMTPException, OSError):
            pass  # the mails are handed over; how the server says goodbye changes nothing
        finally:
            client.close()

    def _words(self, text: str) -> str:
        """Return the server's own words in one line, without our password should it repeat that."""
        password = self._smarthost.password
        return one_line(without_secrets(text, () if password is None else (password.get_secret_value(),)))

    def _in_our_words(self, error: Exception) -> RelayError:
        if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
            error = error.recipients[0]
        if isinstance(error, aiosmtplib.SMTPResponseException):
            words = f"{error.code} {self._words(error.message)}"
            is_final = 500 <= error.code <= 599 and error.code not in _NOT_THE_MAILS_FAULT
            return RelayRefused(words) if is_final else RelayUnavailable(words)
        return RelayUnavailable(self._words(str(error)) or type(error).__name__)

    async def _connected(self) -> aiosmtplib.SMTP:
        if self._client is not None and self._client.is_connected:
            return self._client
        client = self._new_client()
        try:
            # aiosmtplib limits each step; a server that answers each one just in time is cut here
            async with asyncio.timeout(3 * self._connect_timeout_s):
                await client.connect(timeout=self._connect_timeout_s)
        except aiosmtplib.SMTPAuthenticationError as error:
            # the server's words may hold what we sent
            self._dead = f"{self._smarthost} refused user or password ({error.code})"
            raise RelayUnavailable(self._dead) from error
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            self._dead = f"{self._smarthost}: {self._words(str(error)) or type(error).__name__}"
            raise RelayUnavailable(self._dead) from error
        finally:
            if not client.is_connected:
                client.close()
        self._client = client
        return client

    def _new_client(self) -> aiosmtplib.SMTP:
        host = self._smarthost
        start_tls = {StartTls.OFF: False, StartTls.AUTO: None, StartTls.REQUIRED: True}[host.starttls]
        return aiosmtplib.SMTP(
            hostname=host.host,
            port=host.port,
            username=host.user,
            password=host.password.get_secret_value() if host.password is not None else None,
            local_hostname=self._hostname,
            timeout=self._command_timeout_s,
            use_tls=host.implicit_tls,
            start_tls=False if host.implicit_tls else start_tls,
            validate_certs=host.implicit_tls or host.starttls is StartTls.REQUIRED,
            tls_context=self._tls_context,
        )


def _body_option(client: aiosmtplib.SMTP, content: bytes) -> list[str]:
    """Return BODY=8BITMIME where the content needs it and the server knows it (RFC 6152).

    A server that does not know it gets the octets all the same: that arrives nearly everywhere.
    """
    return ["BODY=8BITMIME"] if not content.isascii() and client.supports_extension("8bitmime") else []
