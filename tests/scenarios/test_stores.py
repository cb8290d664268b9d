"""Graphs with a long-term store: who gets it, and that it works from wherever it is asked."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypedDict

import pytest

from aiograph.config import get_store
from aiograph.errors import SyncCallError
from aiograph.func import entrypoint
from aiograph.graph import START, StateGraph
from aiograph.pregel import Pregel
from aiograph.runtime import Runtime
from aiograph.store.base import BaseStore, Op, Result
from aiograph.store.memory import InMemoryStore
from aiograph.types import Send

USER = ("users", "ann")


class State(TypedDict, total=False):
    said: str
    seen: Any


def graph(node: Callable[..., Any], store: BaseStore | None = None) -> Any:
    return StateGraph(State).add_node("node", node).add_edge(START, "node").compile(store=store)


async def test_what_one_run_puts_another_one_finds() -> None:
    async def remember(state: State, store: BaseStore) -> State:
        before = await store.aget(USER, "said")
        await store.aput(USER, "said", {"text": state["said"]})
        return {"seen": before and before.value["text"]}

    talk = graph(remember, InMemoryStore())
    assert (await talk.ainvoke({"said": "hello"}))["seen"] is None
    assert (await talk.ainvoke({"said": "again"}))["seen"] == "hello"


async def test_every_way_to_ask_gives_the_graphs_store() -> None:
    store = InMemoryStore()

    async def node(state: State, store: BaseStore, runtime: Runtime[Any]) -> State:
        return {"seen": [store, runtime.store, get_store()]}

    assert (await graph(node, store).ainvoke({"said": ""}))["seen"] == [store] * 3
    assert (await graph(node).ainvoke({"said": ""}))["seen"] == [None] * 3


async def test_routers_and_sent_tasks_get_it_too() -> None:
    store = InMemoryStore()

    def fan_out(state: State, store: BaseStore) -> list[Send]:
        return [Send("node", {"said": f"{number} {store is not None}"}) for number in range(3)]

    async def node(state: State, store: BaseStore) -> None:
        await store.aput(USER, state["said"], {})

    builder = StateGraph(State).add_node("node", node).add_conditional_edges(START, fan_out, ["node"])
    await builder.compile(store=store).ainvoke({"said": ""})
    assert sorted(item.key for item in store.search(USER)) == ["0 True", "1 True", "2 True"]


def test_synchronous_nodes_use_the_synchronous_verbs() -> None:
    def node(state: State, store: BaseStore) -> State:
        store.put(USER, "k", {"text": state["said"]})
        return {"seen": [item.value for item in store.search(("users",))]}

    assert graph(node, InMemoryStore()).invoke({"said": "x"})["seen"] == [{"text": "x"}]


async def test_so_do_synchronous_nodes_of_an_asynchronous_run() -> None:
    def node(state: State, store: BaseStore) -> State:
        store.put(USER, "k", {"n": 1})
        found = store.get(USER, "k")
        return {"seen": found and found.value}

    for store in (InMemoryStore(), InMemoryStore(index={"dims": 1, "embed": one_number})):
        assert (await graph(node, store).ainvoke({"said": ""}))["seen"] == {"n": 1}


async def one_number(texts: list[str]) -> list[list[float]]:
    await asyncio.sleep(0)
    return [[1.0] for _ in texts]


# -- synchronous verbs in asynchronous nodes -------------------------------------------------------------


async def forgetful(state: State, store: BaseStore) -> State:
    store.put(USER, "k", {"n": 1})  # where `await store.aput` belongs
    found = store.get(USER, "k")
    return {"seen": found and found.value}


def test_a_store_in_memory_never_waits_so_its_synchronous_verbs_work_there() -> None:
    assert graph(forgetful, InMemoryStore()).invoke({"said": ""})["seen"] == {"n": 1}
    assert asyncio.run(graph(forgetful, InMemoryStore()).ainvoke({"said": ""}))["seen"] == {"n": 1}


class Waiting(BaseStore):
    """A store that asks another one, and waits for it."""

    def __init__(self) -> None:
        self.inner = InMemoryStore()

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        await asyncio.sleep(0)
        return await self.inner.abatch(ops)


def test_where_a_synchronous_verb_would_hang_the_error_names_the_other_one() -> None:
    with pytest.raises(SyncCallError, match="aput"):
        graph(forgetful, Waiting()).invoke({"said": ""})


# -- nested graphs ---------------------------------------------------------------------------------------


async def tell_store(state: State) -> State:
    return {"seen": get_store()}


async def test_a_nested_graph_inherits_the_store() -> None:
    store = InMemoryStore()
    inner = graph(tell_store)
    assert (await graph(inner, store).ainvoke({"said": ""}))["seen"] is store
    assert (await graph(lambda state: inner.invoke(state), store).ainvoke({"said": ""}))["seen"] is store


async def test_a_nested_graph_keeps_a_store_of_its_own() -> None:
    own = InMemoryStore()
    inner = graph(tell_store, own)
    assert (await graph(inner, InMemoryStore()).ainvoke({"said": ""}))["seen"] is own


# -- what is no store ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["a store", {}, InMemoryStore, object()])
def test_what_is_no_store_is_refused(wrong: Any) -> None:
    builder = StateGraph(State).add_node("node", tell_store).add_edge(START, "node")
    with pytest.raises(TypeError, match="store"):
        builder.compile(store=wrong)
    with pytest.raises(TypeError, match="store"):
        Pregel(nodes={}, channels={}, input_channels=[], output_channels=[], store=wrong)
    with pytest.raises(TypeError, match="store"):
        entrypoint(store=wrong)
