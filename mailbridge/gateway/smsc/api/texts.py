"""``templates.php``, ``op_templates.php`` and ``senders.php``: what may be written, and under whose name.

Part of ``client``. Source: smsc-api.md 8.4, 8.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypedDict, Unpack

from mailbridge.gateway.smsc.api import reading
from mailbridge.gateway.smsc.api.ask import Asker
from mailbridge.gateway.smsc.api.options import pairs_of
from mailbridge.gateway.smsc.api.values import Done, Sender, Template
from mailbridge.gateway.smsc.codec import File


class Templates:
    """Texts kept by the gateway."""

    def __init__(self, ask: Asker) -> None:
        self._ask = ask

    async def add(
        self, name: str, text: str, *, format_: str | None = None, sender: str | None = None, signed: bool = False
    ) -> Done:
        """Keep a text; the answer has its id.

        *format_*: ``sms``, ``flash``, ``bin``, ``push``, ``mms``, ``call``, ``mail``, ``viber``. *signed*: the
        signature is put below by itself. Raises: SavingFailed. Source: smsc-api.md 8.4 (``add``).
        """
        pairs = pairs_of(add=1, name=name, msg=text, format=format_, sender=sender)
        return await self._ask.command("templates", [*pairs, *_sign(signed)])

    async def change(
        self,
        template: str | int,
        *,
        name: str | None = None,
        text: str | None = None,
        format_: str | None = None,
        sender: str | None = None,
        signed: bool | None = None,
    ) -> Done:
        """Change a text. Raises: NothingFound, SavingFailed. Source: smsc-api.md 8.4 (``chg``)."""
        pairs = pairs_of(chg=1, id=template, name=name, msg=text, format=format_, sender=sender)
        flags = [] if signed is None else [("fl[1]", str(int(signed)))]
        return await self._ask.command("templates", [*pairs, *flags])

    async def delete(self, template: str | int) -> Done:
        """Delete a text. Raises: NothingFound. Source: smsc-api.md 8.4 (``del``)."""
        return await self._ask.command("templates", pairs_of(del_=1, id=template))

    async def list(self) -> list[Template]:
        """Return all texts. Source: smsc-api.md 8.4 (``get``)."""
        return await self._ask.list("templates", pairs_of(get=1), reading.read_template)


def _sign(signed: bool) -> list[tuple[str, str]]:
    return [("fl[1]", "1")] if signed else []


class OperatorTemplates:
    """Patterns of service and transactional texts that operators approve."""

    def __init__(self, ask: Asker) -> None:
        self._ask = ask

    async def add(self, sender: str, text: str, marks: Iterable[str] = ()) -> Done:
        """Ask for a pattern to be approved; *marks* are ``mts_srv``, ``tele2_trn`` and the like.

        Raises: SavingFailed. Source: smsc-api.md 8.4 (``op_templates.php``).
        """
        pairs = [*pairs_of(add=1, sender=sender, msg=text), *((mark, "1") for mark in marks)]
        return await self._ask.command("op_templates", pairs)

    async def list(self) -> list[Template]:
        """Return all patterns. Source: smsc-api.md 8.4 (``op_templates.php``)."""
        return await self._ask.list("op_templates", pairs_of(get=1), reading.read_template)


class SenderFields(TypedDict, total=False):
    """What is told of a sender name to have it approved."""

    comment: str
    fio: str
    inn: str
    site: str
    email: str
    address: str
    description: str
    subject: str
    id: str | int
    #: the name of an e-mail sender
    mail: str
    name: str
    #: a sub-account it is for
    user: str
    #: a document that proves it
    document: File


_NAMES = {
    "comment": "cmt", "fio": "fio", "inn": "inn", "site": "site", "email": "email", "address": "address",
    "description": "desc", "subject": "subj", "id": "id", "mail": "mail", "name": "name", "user": "user",
}  # fmt: skip


def _pairs(fields: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(_NAMES[name], str(value)) for name, value in fields.items() if name in _NAMES]


class Senders:
    """Sender names."""

    def __init__(self, ask: Asker) -> None:
        self._ask = ask

    async def list(
        self,
        *,
        everything: bool = False,
        operators: bool = False,
        since: str | None = None,
        before: str | int | None = None,
        limit: int | None = None,
    ) -> list[Sender]:
        """Return the names.

        *everything*: refused ones, too (``all``). *operators*: with each operator's verdict. *before*: ``prev_id``.
        Raises: TooManyRequests for the fourth identical question within a minute. Source: smsc-api.md 8.5 (``get``).
        """
        pairs = pairs_of(
            get=1, all=everything or None, operators=operators or None, from_date=since, prev_id=before, cnt=limit
        )
        return await self._ask.list("senders", pairs, reading.read_sender)

    async def add(self, sender: str, **fields: Unpack[SenderFields]) -> Done:
        """Ask for a name. Raises: SavingFailed. Source: smsc-api.md 8.5 (``add``)."""
        return await self._command("add", sender, fields)

    async def change(self, sender: str, **fields: Unpack[SenderFields]) -> Done:
        """Change what is told of a name. Raises: NothingFound, SavingFailed. Source: smsc-api.md 8.5 (``chg``)."""
        return await self._command("chg", sender, fields)

    async def delete(self, sender: str, **fields: Unpack[SenderFields]) -> Done:
        """Give a name up. Raises: NothingFound. Source: smsc-api.md 8.5 (``del``)."""
        return await self._command("del", sender, fields)

    async def send_code(self, phone: str, *, site_name: str | None = None) -> Done:
        """Send a code to a phone of one's own that is to be a sender. Source: smsc-api.md 8.5 (``send_code``)."""
        return await self._ask.command("senders", pairs_of(send_code=1, sender=phone, site_name=site_name))

    async def check_code(self, phone: str, code: str) -> Done:
        """Prove with the code that the phone is one's own. Raises: SavingFailed. Source: smsc-api.md 8.5."""
        return await self._ask.command("senders", pairs_of(check_code=1, sender=phone, code=code))

    async def _command(self, action: str, sender: str, fields: SenderFields) -> Done:
        files = (fields["document"],) if "document" in fields else ()
        pairs = [(action, "1"), ("sender", sender), *_pairs(fields)]
        return await self._ask.command("senders", pairs, files=files)
