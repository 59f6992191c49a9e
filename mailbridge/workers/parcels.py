"""Values on their way between two processes of ours, as tuples that pickle takes without calling back into Python.

A dataclass is sent as the tuple of its fields, in their order; both ends run the same program.
What is not known here (a time, a set, a mapping) pickle sends by itself, only more slowly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from mailbridge.errors import IntakeError, Rejected, StoreError, StoreFull, TryLater
from mailbridge.model import reply
from mailbridge.model.reply import Reply

T = TypeVar("T")
#: what a parcel is made of
Parcel = tuple[Any, ...]
_Convert = Callable[[Any], Any]


class Packing(Generic[T]):
    """How values of one dataclass of two fields or more are packed; its kind of fields decides, once."""

    def __init__(self, kind: type[T]) -> None:
        hints = get_type_hints(kind)
        names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # it is a dataclass
        self._kind = kind
        self._names = names
        self._values: Callable[[T], Parcel] = attrgetter(*names)
        ways = [(place, _way_of(hints[name])) for place, name in enumerate(names)]
        self._pack = [(place, way[0]) for place, way in ways if way]
        self._unpack = [(place, way[1]) for place, way in ways if way]

    def pack(self, value: T) -> Parcel:
        """Return *value* as a tuple."""
        values = list(self._values(value))
        for place, convert in self._pack:
            values[place] = convert(values[place])
        return tuple(values)

    def unpack(self, parcel: Parcel) -> T:
        """Return the value that was packed."""
        values = list(parcel)
        for place, convert in self._unpack:
            values[place] = convert(values[place])
        return self._kind(**dict(zip(self._names, values, strict=True)))


@cache
def packing_of(kind: type[T]) -> Packing[T]:
    """Return how values of *kind* are packed."""
    return Packing(kind)


def _way_of(hint: Any) -> tuple[_Convert, _Convert] | None:
    """Return how a field of that type goes and comes, or None where it goes as it is."""
    if isinstance(hint, type) and is_dataclass(hint):
        inner = packing_of(hint)
        return inner.pack, inner.unpack
    if isinstance(hint, type) and issubclass(hint, Enum):
        return attrgetter("value"), hint
    if get_origin(hint) is tuple and len(get_args(hint)) == 2 and get_args(hint)[1] is Ellipsis:
        item = _way_of(get_args(hint)[0])
        if item is not None:
            pack, unpack = item
            return lambda items: tuple(map(pack, items)), lambda items: tuple(map(unpack, items))
    return None


# ------------------------------------------------------------------------------------------- what keeping a mail says
_REPLIES, _REFUSED, _FULL, _TROUBLE = "replies", "refused", "full", "trouble"
_REFUSALS: Mapping[str, type[IntakeError]] = {"Rejected": Rejected, "TryLater": TryLater}


def pack_replies(replies: Sequence[Reply]) -> Parcel:
    """Pack the answers to a mail that was kept."""
    return _REPLIES, [packing_of(Reply).pack(one) for one in replies]


def pack_error(error: Exception) -> Parcel:
    """Pack why a mail was not kept; of an error that is none of ours only that there was one."""
    if isinstance(error, IntakeError):
        return _REFUSED, type(error).__name__, packing_of(Reply).pack(error.reply)
    if isinstance(error, StoreFull):
        return _FULL, str(error)
    if isinstance(error, StoreError):
        return _TROUBLE, str(error)
    return _REFUSED, TryLater.__name__, packing_of(Reply).pack(reply.LOCAL_ERROR)


def unpack_answer(parcel: Parcel) -> Sequence[Reply]:
    """Return the answers that were packed. Raises: the error that was packed instead, of the same meaning."""
    kind, *rest = parcel
    if kind == _REPLIES:
        return [packing_of(Reply).unpack(one) for one in rest[0]]
    if kind == _REFUSED:
        raise _REFUSALS.get(rest[0], IntakeError)(packing_of(Reply).unpack(rest[1]))
    raise (StoreFull if kind == _FULL else StoreError)(rest[0])
