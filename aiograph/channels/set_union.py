"""`SetUnion`: a set that tasks add elements to."""

from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any, TypeVar

from aiograph.channels._reducing import ReducingChannel
from aiograph.channels.base import MISSING, Missing

__all__ = ["SetUnion"]

H = TypeVar("H", bound=Hashable)


class SetUnion(ReducingChannel[set[H], H | Collection[H]]):
    """Collects distinct elements.

    A written set, frozenset, list or tuple adds its elements, anything else is an element itself. It
    starts as an empty set. Writes that bring nothing new do not count as a change. An `Overwrite`
    replaces the whole set.
    """

    __slots__ = ()

    def __init__(self, typ: Any = set, key: str = "") -> None:
        super().__init__(typ, key)

    def _reduced(self, current: set[H] | Missing, writes: Sequence[H | Collection[H]]) -> set[H] | Missing:
        before: set[H] = set() if current is MISSING else current
        union = before.union(*(self._accepted(write) for write in writes))
        return MISSING if len(union) == len(before) else union

    def _accepted(self, replacement: Any) -> set[H]:
        is_collection = isinstance(replacement, set | frozenset | list | tuple)
        try:
            return set(replacement) if is_collection else {replacement}
        except TypeError as error:
            raise self._refused(f"collects hashable elements: {error} in {replacement!r:.100}") from error

    def _blank(self) -> Callable[[], set[H]]:
        return set
