"""The in-memory cache passes the contract, and forgets what has expired."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiograph.cache.base import BaseCache
from aiograph.cache.memory import InMemoryCache
from aiograph.testing.caches import CacheContract, Clock


class TestInMemoryCache(CacheContract):
    @asynccontextmanager
    async def open_cache(self) -> AsyncIterator[BaseCache[Any]]:
        yield InMemoryCache()

    async def test_what_has_expired_takes_no_memory(self, clock: Clock) -> None:
        cache: InMemoryCache[int] = InMemoryCache()
        await cache.aset({(("a",), str(number)): (number, 5.0 + number) for number in range(10)})
        clock.advance(9.5)
        await cache.aset({(("z",), "z"): (1, None)})
        assert sorted(key for _, key in cache._entries) == ["5", "6", "7", "8", "9", "z"]
        assert len(cache._expiring) == 5
