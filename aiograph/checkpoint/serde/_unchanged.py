"""Proof that items are as they were, for less than it takes to encode them.

That an item is the same object proves nothing: messages and dicts may be changed in place. But a text or a
number cannot be. So what is compared is the fields of messages, by identity; and what may have changed inside
of lists and dicts shows in how the packer packs them, which it does without asking anybody. Where there are
no messages, that is all of it.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import chain, filterfalse
from operator import attrgetter, is_
from typing import Any, NamedTuple

import msgpack  # type: ignore[import-untyped]  # has no annotations

from aiograph.checkpoint.serde._messages import attributes_of

_FIXED = frozenset({type(None), bool, int, float, str, bytes})
"""Types of what nobody can change."""

_CONTAINERS = frozenset({list, dict})
_PROVABLE = _FIXED | _CONTAINERS
_READABLE = _PROVABLE | {set}
"""A model has a set of the names of the fields that were set."""

_NAMES = frozenset({str})

_BYTES = frozenset({bytes, bytearray, memoryview})
_BYTES_HEADERS = (b"\xc4", b"\xc5", b"\xc6")
"""What begins bytes. The packer does not tell `bytes` from a `bytearray`."""

_Reader = Callable[[Any], Iterable[Any]]


class Snapshot(NamedTuple):
    """What some items were."""

    kinds: list[type]
    """Their types."""
    packed: bytes
    """What is in them, or in the lists and dicts in their fields, one after the other."""
    fields: "_Fields | None"
    """Their fields, if there are messages among them."""

    def holds(self, items: Sequence[Any]) -> bool:
        """Whether as many items are what these were, so that they are encoded alike."""
        if not all(map(is_, map(type, items), self.kinds)):  # an instance may be given another class
            return False
        if self.fields is None:
            return _packed(items) == self.packed
        return self.fields.hold(items) and _packed(self.fields.filled) == self.packed

    def items(self) -> list[Any]:
        """The items once more, as nobody has them; only where there are no messages among them."""
        header = b"\xdd" + len(self.kinds).to_bytes(4, "big")
        found: list[Any] = msgpack.unpackb(header + self.packed, strict_map_key=False)
        return found

    def followed_by(self, other: "Snapshot") -> "Snapshot | None":
        """The snapshot of these items and others; `None` if only on one side there are messages."""
        kinds, packed = self.kinds + other.kinds, self.packed + other.packed
        if self.fields is None or other.fields is None:
            return Snapshot(kinds, packed, None) if self.fields is other.fields else None
        return Snapshot(kinds, packed, self.fields.followed_by(other.fields))


class _Fields(NamedTuple):
    """What the fields of some messages were. It keeps that alive, so that nothing else gets its identity."""

    readers: list[_Reader]
    """What takes the messages apart."""
    values: list[Any]
    """Their fields, one after the other; an item that is no message stands for itself."""
    filled: list[Any]
    """Those of the values that are lists and dicts with something inside."""
    empty: list[Any]
    """The other lists and dicts."""
    sets: list[set[Any]]
    """Those of the values that are sets."""
    members: list[frozenset[Any]]
    """What was in these."""

    def hold(self, items: Sequence[Any]) -> bool:
        values = _values(self.readers, items)
        return (
            values is not None
            and all(map(is_, values, self.values))
            and not any(self.empty)
            and self.sets == self.members
        )

    def followed_by(self, other: "_Fields") -> "_Fields":
        pairs: Iterable[tuple[Any, Any]] = zip(self, other, strict=True)
        return _Fields._make(one + another for one, another in pairs)


def snapshot(items: Sequence[Any]) -> Snapshot | None:
    """What some items are; `None` if that cannot be told for sure. Take it before they are encoded."""
    kinds = list(map(type, items))
    if _PROVABLE.issuperset(kinds):
        fields, inside = None, items
    elif (fields := _fields(items, kinds)) is not None:
        inside = fields.filled
    else:
        return None
    packed = _packed_for_sure(inside)
    return None if packed is None else Snapshot(kinds, packed, fields)


def _fields(items: Sequence[Any], kinds: Sequence[type]) -> _Fields | None:
    readers = [reader for reader in map(_reader, kinds) if reader is not None]
    values = _values(readers, items) if len(readers) == len(kinds) else None
    if values is None or not _READABLE.issuperset(map(type, values)):
        return None
    containers = [value for value in values if type(value) in _CONTAINERS]
    sets = [value for value in values if type(value) is set]
    members = list(map(frozenset, sets))
    if not _NAMES.issuperset(map(type, chain.from_iterable(members))):
        return None
    filled, empty = list(filter(None, containers)), list(filterfalse(None, containers))
    return _Fields(readers, values, filled, empty, sets, members)


def _values(readers: Sequence[_Reader], items: Sequence[Any]) -> list[Any] | None:
    try:
        return list(chain.from_iterable([read(item) for read, item in zip(readers, items, strict=True)]))
    except AttributeError:  # somebody has deleted a field
        return None


@lru_cache(maxsize=64)
def _reader(cls: type) -> _Reader | None:
    """What takes an item apart; `None` if what its encoding follows from is not known here."""
    if cls in _PROVABLE:
        return _alone
    names = attributes_of(cls)
    return None if names is None else attrgetter(*names)


def _alone(item: Any) -> Iterable[Any]:
    return (item,)


def _packed(things: Sequence[Any]) -> bytes | None:
    """What some things are; `None` if there are other types than the packer knows."""
    packer = msgpack.Packer(strict_types=True, autoreset=False)
    try:
        for thing in things:
            packer.pack(thing)
    except (TypeError, ValueError, OverflowError):
        return None
    packed: bytes = packer.bytes()
    return packed


def _packed_for_sure(things: Sequence[Any]) -> bytes | None:
    """The same, if there are no bytes of any kind. What packs like something without them has none either."""
    packed = _packed(things)
    if packed is None or not any(map(packed.__contains__, _BYTES_HEADERS)):
        return packed
    return None if _have_bytes(things) else packed  # letters of some languages look like a header


def _have_bytes(things: Sequence[Any]) -> bool:
    left = things
    while left:
        if not _BYTES.isdisjoint(map(type, left)):
            return True
        left = [inner for each in left if type(each) in _CONTAINERS for inner in _inside(each)]
    return False


def _inside(container: "list[Any] | dict[Any, Any]") -> Iterable[Any]:
    return chain(container, container.values()) if isinstance(container, dict) else container
