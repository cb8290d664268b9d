"""What all stores have from their base class: the other colour, the other verbs, and completeness."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiograph.errors import InvalidNamespaceError, StoreQueryError, SyncCallError
from aiograph.store.base import BaseStore, GetOp, IndexConfig, Item, Op, PutOp, Result, SearchItem, TTLConfig
from aiograph.store.memory import InMemoryStore
from aiograph.testing.stores import StoreContract


class Plain(BaseStore):
    """Defines the synchronous colour alone."""

    supports_ttl = True

    def __init__(self, index: IndexConfig | None = None, ttl: TTLConfig | None = None) -> None:
        self.inner = InMemoryStore(index=index, ttl=ttl)
        self.ttl_config = ttl
        self.threads = set[threading.Thread]()

    def batch(self, ops: Iterable[Op]) -> list[Result]:  # type: ignore[override]  # a plain method is what is tested
        self.threads.add(threading.current_thread())
        return self.inner.batch(ops)

    def sweep_ttl(self) -> int:  # type: ignore[override]
        return self.inner.sweep_ttl()


class Waiting(BaseStore):
    """Defines the asynchronous colour alone, and waits."""

    def __init__(self) -> None:
        self.inner = InMemoryStore()

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        await asyncio.sleep(0)
        return await self.inner.abatch(ops)


class TestPlainStore(StoreContract):
    @asynccontextmanager
    async def open_store(
        self, *, index: IndexConfig | None = None, ttl: TTLConfig | None = None
    ) -> AsyncIterator[BaseStore]:
        yield Plain(index, ttl)


class TestWaitingStore(StoreContract):
    can_expire = False
    can_index = False

    @asynccontextmanager
    async def open_store(
        self, *, index: IndexConfig | None = None, ttl: TTLConfig | None = None
    ) -> AsyncIterator[BaseStore]:
        yield Waiting()


async def test_a_plain_store_works_on_a_thread_of_its_own() -> None:
    store = Plain()
    await store.aput(("a",), "k", {})
    assert threading.current_thread() not in store.threads


def test_a_store_without_batch_is_refused() -> None:
    class Half(BaseStore):
        async def aget(self, *args: Any, **kwargs: Any) -> Any:
            return None

    with pytest.raises(TypeError, match="Half is not a complete store; it lacks batch"):
        Half()


def test_a_verb_that_is_overridden_has_both_colours() -> None:
    class Blind(InMemoryStore):
        async def aget(self, *args: Any, **kwargs: Any) -> Item | None:
            await asyncio.sleep(0)
            return None

    store = Blind()
    store.put(("a",), "k", {})
    assert store.get(("a",), "k") is None


async def test_where_a_synchronous_verb_would_hang_it_is_refused() -> None:
    store = Waiting()

    async def within() -> None:
        with pytest.raises(SyncCallError, match="aget"):
            store.get(("a",), "k")

    class Caller(Waiting):
        async def abatch(self, ops: Iterable[Op]) -> list[Result]:
            await within()
            return await super().abatch(ops)

    assert await asyncio.to_thread(Caller().get, ("a",), "k") is None


async def test_a_store_whose_items_cannot_expire_refuses_a_time_to_live() -> None:
    store = Waiting()
    with pytest.raises(NotImplementedError, match="Waiting cannot expire"):
        await store.aput(("a",), "k", {}, ttl=5)
    with pytest.raises(NotImplementedError, match="Waiting cannot expire"):
        await store.asweep_ttl()
    await store.aput(("a",), "k", {}, ttl=None)
    assert await store.aget(("a",), "k") is not None


async def test_verbs_are_checked_whatever_the_store_checks() -> None:
    class Trusting(BaseStore):
        async def abatch(self, ops: Iterable[Op]) -> list[Result]:
            raise AssertionError("it should not get here")

    store = Trusting()
    with pytest.raises(InvalidNamespaceError):
        await store.aput(("a.b",), "k", {})
    with pytest.raises(StoreQueryError):
        await store.asearch((), limit=-1)


def test_an_item_is_a_value_that_json_can_have() -> None:
    store = InMemoryStore()
    store.put(("a", "b"), "k", {"n": 1})
    item, [hit] = store.get(("a", "b"), "k"), store.search(("a",))
    assert item is not None
    assert item.dict() == {
        "namespace": ["a", "b"],
        "key": "k",
        "value": {"n": 1},
        "created_at": item.created_at.isoformat(),
        "updated_at": item.updated_at.isoformat(),
    }
    assert hit.dict() == {**item.dict(), "score": None}
    assert len({item, store.get(("a", "b"), "k")}) == 1
    assert isinstance(hit, SearchItem)
    assert hash(hit) == hash(item)


def test_operations_are_values() -> None:
    assert GetOp(("a",), "k") == GetOp(namespace=("a",), key="k", refresh_ttl=True)
    assert PutOp(("a",), "k", None)._fields == ("namespace", "key", "value", "index", "ttl")
