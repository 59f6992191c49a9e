"""``phones.php``: people, their groups, and the black list.

Part of ``client``. Source: smsc-api.md 8.3; what creations answer is uncertain there, so an id may be missing.
"""

from __future__ import annotations

from typing import TypedDict, Unpack

from mailbridge.gateway.smsc.api import reading
from mailbridge.gateway.smsc.api.ask import Asker
from mailbridge.gateway.smsc.api.options import pairs_of
from mailbridge.gateway.smsc.api.values import Contact, Done, Group


class ContactFields(TypedDict, total=False):
    """What may be kept of a person."""

    name: str
    #: the whole name, or its three pieces below
    fio: str
    last_name: str
    first_name: str
    middle_name: str
    #: number of a group
    group: str | int
    birthday: str
    my_id: str
    comment: str
    tags: str


_NAMES = {
    "name": "name", "fio": "fio", "last_name": "lnm", "first_name": "fnm", "middle_name": "mnm", "group": "grp",
    "birthday": "bd", "my_id": "myid", "comment": "cmt", "tags": "tags",
}  # fmt: skip


def _pairs(fields: ContactFields) -> list[tuple[str, str]]:
    return [(_NAMES[name], str(value)) for name, value in fields.items()]


class Contacts:
    """The account's people."""

    def __init__(self, ask: Asker) -> None:
        self._ask = ask

    async def add(self, phone: str | None = None, mail: str | None = None, **fields: Unpack[ContactFields]) -> Done:
        """Add a person by phone, mail or both. Raises: SavingFailed. Source: smsc-api.md 8.3 (``add``)."""
        return await self._ask.command("phones", [*pairs_of(add=1, phone=phone, mail=mail), *_pairs(fields)])

    async def change(
        self,
        phone: str | None = None,
        mail: str | None = None,
        *,
        new_phone: str | None = None,
        new_mail: str | None = None,
        **fields: Unpack[ContactFields],
    ) -> Done:
        """Change the person found by *phone* or *mail*.

        Raises: NothingFound, SavingFailed. Source: smsc-api.md 8.3 (``chg``).
        """
        pairs = pairs_of(chg=1, phone=phone, mail=mail, new_phone=new_phone, new_mail=new_mail)
        return await self._ask.command("phones", [*pairs, *_pairs(fields)])

    async def move(self, phone: str, group: str | int) -> Done:
        """Put a person into *group* and out of the others. Source: smsc-api.md 8.3 (``move_group=1``)."""
        return await self._ask.command("phones", pairs_of(move_group=1, phone=phone, grp=group))

    async def put(self, phone: str, group: str | int) -> Done:
        """Put a person into *group*, too. Source: smsc-api.md 8.3 (``move_group=2``)."""
        return await self._ask.command("phones", pairs_of(move_group=2, phone=phone, grp=group))

    async def take(self, phone: str, group: str | int) -> Done:
        """Take a person out of *group*. Source: smsc-api.md 8.3 (``move_group=3``)."""
        return await self._ask.command("phones", pairs_of(move_group=3, phone=phone, grp=group))

    async def delete(self, phone: str | None = None, mail: str | None = None) -> Done:
        """Delete a person. Raises: NothingFound. Source: smsc-api.md 8.3 (``del``)."""
        return await self._ask.command("phones", pairs_of(del_=1, phone=phone, mail=mail))

    async def list(
        self,
        *,
        search: str | None = None,
        group: str | int | None = None,
        after_id: str | int | None = None,
        limit: int | None = None,
        kind: str | int | None = None,
    ) -> list[Contact]:
        """Return people; *kind* is the undocumented ``type``. Source: smsc-api.md 8.3 (``get``)."""
        pairs = pairs_of(get=1, search=search, grp=group, after_id=after_id, cnt=limit, type=kind)
        return await self._ask.list("phones", pairs, reading.read_contact)


class Groups:
    """Groups of people."""

    def __init__(self, ask: Asker) -> None:
        self._ask = ask

    async def add(self, name: str, number: int | None = None) -> Done:
        """Add a group. Raises: SavingFailed. Source: smsc-api.md 8.3 (``add_group``)."""
        return await self._ask.command("phones", pairs_of(add_group=1, name=name, num=number))

    async def change(self, group: str | int, name: str) -> Done:
        """Rename a group. Raises: NothingFound, SavingFailed. Source: smsc-api.md 8.3 (``chg_group``)."""
        return await self._ask.command("phones", pairs_of(chg_group=1, grp=group, name=name))

    async def delete(self, group: str | int) -> Done:
        """Delete a group. Raises: NothingFound. Source: smsc-api.md 8.3 (``del_group``)."""
        return await self._ask.command("phones", pairs_of(del_group=1, grp=group))

    async def list(self) -> list[Group]:
        """Return all groups. Source: smsc-api.md 8.3 (``get_group``)."""
        return await self._ask.list("phones", pairs_of(get_group=1), reading.read_group)


class BlackList:
    """Numbers that never get anything."""

    def __init__(self, ask: Asker) -> None:
        self._ask = ask

    async def add(self, phone: str) -> Done:
        """Refuse a number from now on: status 23 with err 252. Source: smsc-api.md 8.3 (``add_black``)."""
        return await self._ask.command("phones", pairs_of(add_black=1, phone=phone))

    async def delete(self, phone: str) -> Done:
        """Allow a number again. Source: smsc-api.md 8.3 (``del_black``)."""
        return await self._ask.command("phones", pairs_of(del_black=1, phone=phone))
