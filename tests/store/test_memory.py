"""The in-memory store passes the contract, from anywhere."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiograph.store.base import BaseStore, IndexConfig, TTLConfig
from aiograph.store.memory import InMemoryStore
from aiograph.testing.stores import StoreContract


class TestInMemoryStore(StoreContract):
    @asynccontextmanager
    async def open_store(
        self, *, index: IndexConfig | None = None, ttl: TTLConfig | None = None
    ) -> AsyncIterator[BaseStore]:
        yield InMemoryStore(index=index, ttl=ttl)
