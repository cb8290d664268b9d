"""Stores: what their verbs take and give, in both colours."""

# pyright: strict

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict, assert_type

from aiograph.config import get_store
from aiograph.graph import StateGraph
from aiograph.runtime import Runtime
from aiograph.store.base import BaseStore, Item, SearchItem
from aiograph.store.memory import InMemoryStore


class State(TypedDict):
    n: int


def embed(texts: list[str]) -> list[list[float]]:
    return [[1.0] for _ in texts]


async def aembed(texts: list[str]) -> Sequence[Sequence[float]]:
    return embed(texts)


class Model:
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return embed(texts)

    def embed_query(self, text: str) -> list[float]:
        return [1.0]


store = InMemoryStore(index={"dims": 1, "embed": embed}, ttl={"default_ttl": 0.5})
InMemoryStore(index={"dims": 1, "embed": aembed, "fields": ["a.b"], "distance_type": "l2"})
InMemoryStore(index={"dims": 1, "embed": Model()})
InMemoryStore(index={"dims": 1, "embed": embed, "distance_type": "far"})  # rejected
InMemoryStore(ttl={"minutes": 5})  # rejected

assert_type(store.get(("a",), "k"), Item | None)
assert_type(store.search((), query="x", limit=3), list[SearchItem])
assert_type(store.list_namespaces(prefix=("a", "*")), list[tuple[str, ...]])
assert_type(store.sweep_ttl(), int)
store.put(("a",), "k", {"n": 1}, ttl=None)
store.put(("a",), "k", {"n": 1}, index=False)
store.put(["a"], "k", {"n": 1})  # rejected
store.put(("a",), "k", [1])  # rejected


async def node(state: State, store: BaseStore, runtime: Runtime[Any]) -> State:
    item = await store.aget(("a",), "k")
    assert_type(item, Item | None)
    if item is not None:
        assert_type(item.created_at, datetime)
        item.key = "other"  # rejected
    assert_type(runtime.store, BaseStore | None)
    assert_type(get_store(), BaseStore | None)
    return {"n": 1}


StateGraph(State).add_node(node).compile(store=store)
StateGraph(State).add_node(node).compile(store="memory")  # rejected
