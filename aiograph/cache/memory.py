"""`InMemoryCache`: values in this process's memory, for as long as it lives."""

import heapq
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import NamedTuple

from aiograph import _ids
from aiograph.cache.base import BaseCache, FullKey, Namespace, ValueT, expiry
from aiograph.checkpoint.serde.base import SerializerProtocol

__all__ = ["InMemoryCache"]


class _Entry(NamedTuple):
    blob: tuple[str, bytes]
    expires_at: int | None


class InMemoryCache(BaseCache[ValueT]):
    """Keeps values in memory, as bytes, so that what is found is never what somebody else still changes.

    Works from any thread and any event loop. What has expired is removed when the next value is set.

    Args:
        serde: How values become bytes.
    """

    def __init__(self, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde)
        self._lock = Lock()
        self._entries: dict[FullKey, _Entry] = {}
        self._expiring: list[tuple[int, FullKey]] = []
        """A heap: what expires first is first."""

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        now = _ids.wall_ns()
        with self._lock:
            found = {key: entry for key in keys if (entry := self._entries.get(key)) is not None}
        return self.decoded({key: entry.blob for key, entry in found.items() if _is_fresh(entry, now)})

    async def aset(self, pairs: Mapping[FullKey, tuple[ValueT, float | None]]) -> None:
        new = {key: _Entry(self.serde.dumps_typed(value), expiry(ttl)) for key, (value, ttl) in pairs.items()}
        with self._lock:
            self._entries.update(new)
            for key, entry in new.items():
                if entry.expires_at is not None:
                    heapq.heappush(self._expiring, (entry.expires_at, key))
            self._purge(_ids.wall_ns())

    def _purge(self, now: int) -> None:
        while self._expiring and self._expiring[0][0] <= now:
            _, key = heapq.heappop(self._expiring)
            entry = self._entries.get(key)
            if entry is not None and not _is_fresh(entry, now):  # it may have been set anew
                del self._entries[key]

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        with self._lock:
            self._entries = {
                key: entry
                for key, entry in self._entries.items()
                if namespaces is not None and not any(_is_within(key[0], each) for each in namespaces)
            }
            self._expiring = [(at, key) for at, key in self._expiring if key in self._entries]
            heapq.heapify(self._expiring)


def _is_fresh(entry: _Entry, now: int) -> bool:
    return entry.expires_at is None or entry.expires_at > now


def _is_within(namespace: Namespace, other: Namespace) -> bool:
    return namespace[: len(other)] == other
