"""Proof that items are as they were, for less than it takes to encode them.

That an item is the same object proves nothing: messages and dicts may be changed in place. But a text or a
number cannot be. So what is compared is the fields of messages, by identity; and what may have changed inside
of lists and dicts shows in how the packer packs them, which it does without asking anybody.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from functools import lru_cache
from itertools import chain
from operator import attrgetter, is_
from typing import Any, NamedTuple

import msgpack  # type: ignore[import-untyped]  # has no annotations

from aiograph.checkpoint.serde._messages import is_ours

_FIXED = frozenset({type(None), bool, int, float, str, bytes})
"""Types of what nobody can change."""

_CONTAINERS = frozenset({list, dict})
_PROVABLE = _FIXED | _CONTAINERS

_BYTES_HEADERS = (b"\xc4", b"\xc5", b"\xc6")
"""What begins bytes. The packer does not tell `bytes` from a `bytearray`."""

_Reader = Callable[[Any], Iterable[Any]]


class Snapshot(NamedTuple):
    """What some items were. It keeps them alive, so that nothing else gets the identity of what they hold."""

    kinds: Sequence[type]
    """Their types."""
    readers: Sequence[_Reader]
    """What takes them apart."""
    values: Sequence[Any]
    """The fields of messages, one after the other; any other item stands for itself."""
    containers: Sequence[Any]
    """Those of them that may change inside."""
    packed: bytes
    """What was in these."""

    def holds(self, items: Sequence[Any]) -> bool:
        """Whether as many items are what these were, so that they are encoded alike."""
        if not all(map(is_, map(type, items), self.kinds)):  # an instance may be given another class
            return False
        values = _values(self.readers, items)
        return (
            values is not None
            and all(map(is_, values, self.values))
            and _packed(self.containers) == self.packed
        )


def snapshot(items: Sequence[Any]) -> Snapshot | None:
    """What some items are; `None` if that cannot be told for sure. Take it before they are encoded."""
    kinds = list(map(type, items))
    readers = [reader for reader in map(_reader, kinds) if reader is not None]
    if len(readers) < len(kinds):
        return None
    values = _values(readers, items)
    if values is None or not _PROVABLE.issuperset(map(type, values)):
        return None
    containers = [value for value in values if type(value) in _CONTAINERS]
    packed = _packed(containers)
    if packed is None or _has_bytes(containers, packed):
        return None
    return Snapshot(kinds, readers, values, containers, packed)


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
    return attrgetter(*(field.name for field in fields(cls))) if is_ours(cls) else None


def _alone(item: Any) -> Iterable[Any]:
    return (item,)


def _packed(containers: Sequence[Any]) -> bytes | None:
    """What is in some lists and dicts; `None` if there are other types than the packer knows."""
    try:
        return msgpack.packb(containers, strict_types=True)  # type: ignore[no-any-return]  # bytes
    except (TypeError, ValueError, OverflowError):
        return None


def _has_bytes(containers: Sequence[Any], packed: bytes) -> bool:
    """Whether there are bytes of any kind. What packs like something without them has none either."""
    if not any(header in packed for header in _BYTES_HEADERS):
        return False
    as_text: bytes = msgpack.packb(containers, strict_types=True, use_bin_type=False)
    return as_text != packed
