"""Values on their way between two processes of ours: dataclasses as tuples of plain things, and those as ``marshal``.

Both ends are of one program and one Python. ``marshal`` knows no classes, so what a worker sends cannot become
anything but plain values in the process with the queue; it also takes a third of the time that pickle does.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Generic, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from mailbridge.errors import IntakeError, Rejected, StoreError, StoreFull, TryLater
from mailbridge.model import reply
from mailbridge.model.reply import Reply

T = TypeVar("T")
_Convert = Callable[[Any], Any]
_Way = tuple[_Convert, _Convert]
#: what marshal takes as it is
_PLAIN = frozenset({str, bytes, int, float, bool, NoneType})


class Packing(Generic[T]):
    """How the values of one frozen dataclass with slots, of two fields or more, are packed.

    Raises: TypeError for a field of a type that is not known here.
    """

    def __init__(self, kind: type[T]) -> None:
        hints = get_type_hints(kind)
        names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # it is a dataclass
        ways = [(place, way) for place, name in enumerate(names) if (way := _way_of(hints[name])) is not None]
        self._kind: Any = kind
        self._values: Callable[[T], tuple[Any, ...]] = attrgetter(*names)
        self._set = [getattr(kind, name).__set__ for name in names]
        self._pack = [(place, pack) for place, (pack, _) in ways]
        self._unpack = [(place, unpack) for place, (_, unpack) in ways]

    def pack(self, value: T) -> list[Any]:
        """Return the fields of *value*, in their order."""
        packed = list(self._values(value))
        for place, convert in self._pack:
            packed[place] = convert(packed[place])
        return packed

    def unpack(self, packed: list[Any]) -> T:
        """Return the value that was packed; *packed* is used up."""
        for place, convert in self._unpack:
            packed[place] = convert(packed[place])
        # past the constructor: the value was whole when it was packed, and this takes a third of the time
        value: T = self._kind.__new__(self._kind)
        for set_field, item in zip(self._set, packed, strict=True):
            set_field(value, item)
        return value

    def dump(self, value: T) -> bytes:
        """Return *value* as octets. Raises: ValueError where something in it is not what its type says."""
        return marshal.dumps(self.pack(value))

    def load(self, octets: bytes) -> T:
        """Return the value that was dumped."""
        return self.unpack(marshal.loads(octets))  # noqa: S302  plain values alone, of our own making


@cache
def packing_of(kind: type[T]) -> Packing[T]:
    """Return how values of *kind* are packed."""
    return Packing(kind)


def _from_timestamp(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)


def _way_of(hint: Any) -> _Way | None:
    """Return how a field of that type goes and comes, or None where it goes as it is."""
    if isinstance(hint, NewType):
        return _way_of(hint.__supertype__)
    origin, inside = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return None
    if origin is Mapping and inside[1] is datetime:
        return _mapped((datetime.timestamp, _from_timestamp))
    if origin is Mapping or origin is frozenset:
        return None
    if hint is datetime:
        # exact to the microsecond until the year 2255
        return datetime.timestamp, _from_timestamp
    if hint is Decimal:
        return str, Decimal
    if isinstance(hint, type) and is_dataclass(hint):
        return packing_of(hint).pack, packing_of(hint).unpack
    if isinstance(hint, type) and issubclass(hint, Enum):
        return attrgetter("value"), hint
    if origin in {Union, UnionType} and len(inside) == 2 and NoneType in inside:
        return _optional(_way_of(inside[0] if inside[1] is NoneType else inside[1]))
    if origin is tuple:
        ways = [_way_of(item) for item in inside if item is not Ellipsis]
        if not any(ways):
            return None
        if inside[1:] == (Ellipsis,) and ways[0] is not None:
            return _each(ways[0])
    raise TypeError(f"nobody has said how {hint} goes from one process to another")


def _optional(way: _Way | None) -> _Way | None:
    if way is None:
        return None
    pack, unpack = way
    return (lambda value: None if value is None else pack(value)), (
        lambda value: None if value is None else unpack(value)
    )


def _mapped(way: _Way) -> _Way:
    pack, unpack = way
    return (lambda items: {key: pack(item) for key, item in items.items()}), (
        lambda items: {key: unpack(item) for key, item in items.items()}
    )


def _each(way: _Way) -> _Way:
    pack, unpack = way
    return (lambda items: [pack(item) for item in items]), (lambda items: tuple([unpack(item) for item in items]))


# ------------------------------------------------------------------------------------------- what keeping a mail says
_REPLIES, _REFUSED, _FULL, _TROUBLE = "replies", "refused", "full", "trouble"
_REFUSALS: Mapping[str, type[IntakeError]] = {"Rejected": Rejected, "TryLater": TryLater}
_REPLY: Packing[Reply] = packing_of(Reply)

#: an answer as ``marshal`` takes it: what it is, and what belongs to it
Answer = tuple[str, list[Any]]


def pack_reply(one: Reply) -> list[Any]:
    """Pack one reply."""
    return _REPLY.pack(one)


def unpack_reply(packed: list[Any]) -> Reply:
    """Return the reply that was packed."""
    return _REPLY.unpack(packed)


def pack_replies(replies: Sequence[Reply]) -> Answer:
    """Pack the answers to a mail that was kept."""
    return _REPLIES, [_REPLY.pack(one) for one in replies]


def pack_error(error: Exception) -> Answer:
    """Pack why a mail was not kept; of an error that is none of ours only that there was one."""
    if isinstance(error, IntakeError):
        return _REFUSED, [type(error).__name__, _REPLY.pack(error.reply)]
    if isinstance(error, StoreFull):
        return _FULL, [str(error)]
    if isinstance(error, StoreError):
        return _TROUBLE, [str(error)]
    return _REFUSED, [TryLater.__name__, _REPLY.pack(reply.LOCAL_ERROR)]


def unpack_answer(answer: Answer) -> Sequence[Reply]:
    """Return the answers that were packed. Raises: the error that was packed instead, of the same meaning."""
    kind, rest = answer
    if kind == _REPLIES:
        return [_REPLY.unpack(one) for one in rest]
    if kind == _REFUSED:
        raise _REFUSALS.get(rest[0], IntakeError)(_REPLY.unpack(rest[1]))
    raise (StoreFull if kind == _FULL else StoreError)(rest[0])
