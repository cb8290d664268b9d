"""`DictMerge`: a dict that tasks add keys to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from aiograph.channels._reducing import ReducingChannel
from aiograph.channels.base import MISSING, Missing

__all__ = ["DictMerge"]

K = TypeVar("K")
V = TypeVar("V")


class DictMerge(ReducingChannel[dict[K, V], Mapping[K, V]]):
    """Merges mappings key by key, in task order; the later write of a key wins, one of `None` too.

    It starts as an empty dict. A key is never taken away, except by an `Overwrite` of the whole.
    """

    __slots__ = ()

    def __init__(self, typ: Any = dict, key: str = "") -> None:
        super().__init__(typ, key)

    def _reduced(self, current: dict[K, V] | Missing, writes: Sequence[Mapping[K, V]]) -> dict[K, V]:
        merged: dict[K, V] = {} if current is MISSING else dict(current)
        for write in writes:
            merged.update(self._accepted(write))
        return merged

    def _accepted(self, replacement: Any) -> dict[K, V]:
        if not isinstance(replacement, Mapping):
            raise self._refused(f"merges mappings and got {type(replacement).__name__}: {replacement!r:.100}")
        return dict(replacement)

    def _blank(self) -> Callable[[], dict[K, V]]:
        return dict
