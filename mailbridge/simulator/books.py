"""What an account keeps at the gateway beside its messages: people, groups, templates, names, links, numbers.

One book for each login, in memory only. Records are plain fields under the gateway's own names, for that is how they
are answered. Knows no method and no error code.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

Record = dict[str, object]

#: the number every account has from the start
OWN_NUMBER = "79037672215"


class Shelf:
    """Records of one kind, numbered from *first* on; the oldest go when there are more than *keep*."""

    def __init__(self, keep: int, first: int = 1) -> None:
        self._keep = keep
        self._next = first
        self._all: OrderedDict[int, Record] = OrderedDict()

    def add(self, **fields: object) -> Record:
        """Keep a record under a new id."""
        record: Record = {"id": self._next, **fields}
        self._all[self._next] = record
        self._next += 1
        while len(self._all) > self._keep:
            self._all.popitem(last=False)
        return record

    def get(self, number: str) -> Record | None:
        """Return the record of an id, as a request names it."""
        plain = number.isascii() and number.isdigit() and len(number) <= 9
        return self._all.get(int(number)) if plain else None

    def find(self, **wanted: object) -> Record | None:
        """Return the first record in which every one of *wanted* is so."""
        return next((r for r in self if all(r.get(name) == value for name, value in wanted.items())), None)

    def remove(self, record: Record) -> None:
        """Forget a record."""
        number = record["id"]
        if isinstance(number, int):
            self._all.pop(number, None)

    def __iter__(self) -> Iterator[Record]:
        return iter(tuple(self._all.values()))

    def __len__(self) -> int:
        return len(self._all)


class Book:
    """Everything of one account."""

    def __init__(self, keep: int) -> None:
        self.contacts = Shelf(keep)
        self.groups = Shelf(keep)
        self.templates = Shelf(keep)
        self.op_templates = Shelf(keep)
        self.senders = Shelf(keep)
        self.jobs = Shelf(keep)
        self.links = Shelf(keep)
        self.numbers = Shelf(keep)
        self.documents = Shelf(keep)
        #: phones that get nothing
        self.black: set[str] = set()
        #: phone -> code that was sent to it
        self.codes: dict[str, str] = {}
        #: logins of the sub-accounts, oldest first
        self.users: list[str] = []


class Books:
    """The books of all accounts."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._books: dict[str, Book] = {}

    def of(self, login: str) -> Book:
        """Return one account's book; a new one has one rented number in it."""
        if login not in self._books:
            book = self._books[login] = Book(self._keep)
            book.numbers.add(phone=OWN_NUMBER, noprolong=0)
        return self._books[login]
