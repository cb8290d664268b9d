"""What `BaseCache` does for those who write a cache: the other colour, and what is missing."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiograph.cache.base import BaseCache, FullKey, Namespace, expiry
from aiograph.testing.caches import CacheContract


class PlainCache(BaseCache[Any]):
    """A cache of plain methods, as one might write it for a service that is near."""

    def __init__(self) -> None:
        super().__init__()
        self.blobs: dict[FullKey, tuple[tuple[str, bytes], int | None]] = {}

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:  # type: ignore[override]  # without timeout=
        return self.decoded({key: self.blobs[key][0] for key in keys if key in self.blobs})

    def set(self, pairs: Mapping[FullKey, tuple[Any, float | None]]) -> None:  # type: ignore[override]
        self.blobs |= {
            key: (self.serde.dumps_typed(value), expiry(ttl)) for key, (value, ttl) in pairs.items()
        }

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:  # type: ignore[override]
        for key in list(self.blobs):
            if namespaces is None or any(key[0][: len(each)] == each for each in namespaces):
                del self.blobs[key]


class TestPlainCache(CacheContract):
    can_expire = False

    @asynccontextmanager
    async def open_cache(self) -> AsyncIterator[BaseCache[Any]]:
        yield PlainCache()


def test_a_cache_that_lacks_a_verb_is_no_cache() -> None:
    class Half(BaseCache[Any]):
        async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
            return {}

    with pytest.raises(TypeError, match=r"Half is not a complete cache; it lacks set \(or aset\), clear"):
        Half()
