"""The in-memory store passes the contract, from anywhere, and frees what it need not keep."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from unittest.mock import patch

import pytest

from aiograph import _ids
from aiograph.store.base import BaseStore, IndexConfig, PutOp, TTLConfig
from aiograph.store.memory import InMemoryStore
from aiograph.testing.stores import Clock, StoreContract, embed

HERE = ("a", "b")


class TestInMemoryStore(StoreContract):
    @asynccontextmanager
    async def open_store(
        self, *, index: IndexConfig | None = None, ttl: TTLConfig | None = None
    ) -> AsyncIterator[BaseStore]:
        yield InMemoryStore(index=index, ttl=ttl)


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    with patch.object(_ids, "wall_ns", clock):
        yield clock


def held(store: InMemoryStore) -> int:
    return sum(len(rows) for _, rows in store._rows.below(()))


# -- memory -----------------------------------------------------------------------------------------------


def test_nothing_is_left_of_what_was_deleted() -> None:
    store = InMemoryStore()
    store.put(HERE, "k", {}, ttl=5)
    store.put(("a", "b", "c"), "k", {})
    store.delete(("a", "b", "c"), "k")
    assert held(store) == 1
    store.delete(HERE, "k")
    assert store._rows._root.is_empty
    assert not store._rows.mortal


def test_a_put_sweeps_when_it_is_time(clock: Clock) -> None:
    store = InMemoryStore(ttl={"sweep_interval_minutes": 10})
    store.put(HERE, "short", {}, ttl=1)
    clock.advance(9)
    store.put(HERE, "k", {})
    assert held(store) == 2
    clock.advance(2)
    store.put(HERE, "k", {})
    assert held(store) == 1


def test_without_an_interval_nothing_is_swept_unasked(clock: Clock) -> None:
    store = InMemoryStore(ttl={"sweep_interval_minutes": None})
    store.put(HERE, "short", {}, ttl=1)
    clock.advance(1e6)
    store.put(HERE, "k", {})
    assert held(store) == 2
    assert store.sweep_ttl() == 1


# -- time -------------------------------------------------------------------------------------------------


def test_later_puts_are_later_even_if_the_clock_stands_still(clock: Clock) -> None:
    store = InMemoryStore()
    for key in "abc":
        store.put(HERE, key, {})
    clock.advance(-5)
    store.put(HERE, "d", {})
    assert [item.key for item in store.search(HERE)] == ["d", "c", "b", "a"]


def test_what_was_put_together_is_in_the_order_of_namespace_and_key() -> None:
    store = InMemoryStore()
    store.batch([PutOp(HERE, "b", {}), PutOp(HERE, "a", {}), PutOp(("a",), "c", {})])
    assert [item.key for item in store.search(())] == ["c", "a", "b"]


@pytest.mark.parametrize("ttl", [{"default_ttl": 0}, {"sweep_interval_minutes": -1}, {"default": 5}])
def test_a_senseless_configuration_is_refused(ttl: TTLConfig) -> None:
    with pytest.raises(ValueError, match=r"default|sweep"):
        InMemoryStore(ttl=ttl)


# -- at once ----------------------------------------------------------------------------------------------


class Gate:
    """An embedder that waits to be let through."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def embed(self, texts: list[str]) -> list[list[float]]:
        self.reached.set()
        await self.opened.wait()
        return embed(texts)


async def test_a_put_that_is_cancelled_while_it_embeds_stores_nothing() -> None:
    gate = Gate()
    store = InMemoryStore(index={"dims": 3, "embed": gate.embed})
    await store.aput(HERE, "k", {"text": "green"}, index=False)
    put = asyncio.create_task(store.aput(HERE, "k", {"text": "red"}))
    await gate.reached.wait()
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    found = await store.aget(HERE, "k")
    assert found is not None
    assert found.value == {"text": "green"}


async def test_value_and_vector_are_always_of_the_same_put() -> None:
    gate = Gate()
    store = InMemoryStore(index={"dims": 3, "embed": gate.embed})
    slow = asyncio.create_task(store.aput(HERE, "k", {"text": "red"}))
    await gate.reached.wait()
    await store.aput(HERE, "k", {"text": "green"}, index=False)
    gate.opened.set()
    await slow
    [found] = await store.asearch(HERE, query="red")
    assert found.value == {"text": "red"}
    assert found.score == pytest.approx(1.0)


def test_refreshing_does_not_bring_back_what_was_deleted_meanwhile() -> None:
    store = InMemoryStore()
    stop = threading.Event()

    def delete() -> None:
        while not stop.is_set():
            store.put(HERE, "k", {}, ttl=5)
            store.delete(HERE, "k")

    thread = threading.Thread(target=delete)
    thread.start()
    for _ in range(300):
        store.get(HERE, "k")
        store.search(HERE)
    stop.set()
    thread.join()
    assert held(store) == 0
    assert not store._rows.mortal


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_a_copy_that_works() -> None:
    store = InMemoryStore()
    store.put(HERE, "k", {"n": 1})
    child = os.fork()
    if child == 0:
        found = store.get(HERE, "k")
        store.put(HERE, "k", {"n": 2})
        os._exit(0 if found is not None and found.value == {"n": 1} else 1)
    assert os.waitpid(child, 0)[1] == 0
    found = store.get(HERE, "k")
    assert found is not None
    assert found.value == {"n": 1}
