"""Context variables travel inward only: a caller's are seen everywhere in a run, a node's nowhere else."""

import asyncio
import operator
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.cache.base import FullKey
from aiograph.cache.memory import InMemoryCache
from aiograph.checkpoint.base import Commit
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.graph import END, START, StateGraph
from aiograph.types import CachePolicy
from tests.bridge.kit import Graph

colour: ContextVar[str] = ContextVar("colour", default="none")


class Seen(TypedDict):
    seen: Annotated[list[str], operator.add]


def look(state: Any) -> dict[str, Any]:
    return {"seen": [colour.get()]}


async def alook(state: Any) -> dict[str, Any]:
    await asyncio.sleep(0)
    return look(state)


def paint(state: Any) -> dict[str, Any]:
    seen = look(state)
    colour.set("painted")
    return seen


async def apaint(state: Any) -> dict[str, Any]:
    seen = await alook(state)
    colour.set("painted")
    await asyncio.sleep(0)
    assert colour.get() == "painted"
    return seen


def route(state: Any) -> str:
    """A router that looks first, by way of the state's own list, and paints then."""
    routed.append(colour.get())
    colour.set("painted by a router")
    return "last"


async def aroute(state: Any) -> str:
    await asyncio.sleep(0)
    return route(state)


routed: list[str] = []


def graph_of(first: list[Callable[..., Any]], router: Callable[..., Any], *, inline: bool = False) -> Graph:
    """Nodes side by side, a router behind each, and one node that looks at the end."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(Seen)
    for number, node in enumerate(first):
        builder.add_node(f"first_{number}", node, inline=inline)
        builder.add_edge(START, f"first_{number}")
        builder.add_conditional_edges(f"first_{number}", router, ["last"])
    builder.add_node("last", look)
    builder.add_edge("last", END)
    return builder.compile()


GRAPHS: dict[str, Callable[[], Graph]] = {
    "sync": lambda: graph_of([paint], route),
    "async": lambda: graph_of([apaint], route),
    "inline": lambda: graph_of([paint], route, inline=True),
    "parallel sync": lambda: graph_of([paint, paint], route),
    "parallel async": lambda: graph_of([apaint, apaint], route),
    "parallel inline": lambda: graph_of([paint, paint], route, inline=True),
    "mixed": lambda: graph_of([paint, apaint], route),
    "async router": lambda: graph_of([apaint], aroute),
}


@pytest.fixture(autouse=True)
def _callers_colour() -> Any:
    token = colour.set("the caller's")
    routed.clear()
    yield
    colour.reset(token)


@pytest.mark.parametrize("kind", GRAPHS)
def test_invoke_shows_nodes_and_routers_the_callers_and_nobody_what_a_node_sets(kind: str) -> None:
    seen = GRAPHS[kind]().invoke({"seen": []})["seen"]
    assert set(seen) == {"the caller's"}
    assert colour.get() == "the caller's"


@pytest.mark.parametrize("kind", GRAPHS)
def test_stream_shows_nodes_and_routers_the_callers_and_nobody_what_a_node_sets(kind: str) -> None:
    for _ in GRAPHS[kind]().stream({"seen": []}):
        assert colour.get() == "the caller's"
    assert colour.get() == "the caller's"
    assert routed[:1] != ["none"]


@pytest.mark.parametrize("kind", GRAPHS)
async def test_ainvoke_shows_nodes_and_routers_the_callers_and_nobody_what_a_node_sets(kind: str) -> None:
    colour.set("the task's")
    seen = (await GRAPHS[kind]().ainvoke({"seen": []}))["seen"]
    assert set(seen) == {"the task's"}
    assert colour.get() == "the task's"


@pytest.mark.parametrize("kind", GRAPHS)
async def test_astream_shows_nodes_and_routers_the_callers_and_nobody_what_a_node_sets(kind: str) -> None:
    colour.set("the task's")
    async for _ in GRAPHS[kind]().astream({"seen": []}):
        assert colour.get() == "the task's"
    assert colour.get() == "the task's"


@pytest.mark.parametrize("kind", ["sync", "async", "inline", "parallel async", "mixed"])
def test_a_router_sees_the_callers_and_not_what_an_earlier_superstep_set(kind: str) -> None:
    """It belongs to the task of its node, so what that node has set it may see; nothing else."""
    GRAPHS[kind]().invoke({"seen": []})
    assert set(routed) <= {"the caller's", "painted"}


@pytest.mark.parametrize("verb", ["invoke", "ainvoke"])
def test_what_a_nested_run_sets_stays_inside_it(verb: str) -> None:
    inner = GRAPHS["async"]()

    def node(state: Any) -> dict[str, Any]:
        inner.invoke({"seen": []})
        return look(state)

    async def anode(state: Any) -> dict[str, Any]:
        await inner.ainvoke({"seen": []})
        return look(state)

    outer = graph_of([node if verb == "invoke" else anode], route)
    assert outer.invoke({"seen": []})["seen"] == ["the caller's"] * 2


async def test_what_a_saver_sets_stays_inside_the_run() -> None:
    class PaintingSaver(InMemorySaver):
        async def acommit(self, commit: Commit) -> None:
            colour.set("the saver's")
            await super().acommit(commit)

    graph = graph_of([apaint], route).with_checkpointer(PaintingSaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    assert "the saver's" in (await graph.ainvoke({"seen": []}, thread, durability="sync"))["seen"]
    assert colour.get() == "the caller's"


async def test_what_a_cache_sets_stays_inside_the_run() -> None:
    class PaintingCache(InMemoryCache[Any]):
        async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
            colour.set("the cache's")
            return await super().aget(keys)

    builder = StateGraph(Seen).add_node(apaint, cache_policy=CachePolicy()).add_edge(START, "apaint")
    assert await builder.compile(cache=PaintingCache()).ainvoke({"seen": []}) == {"seen": ["the cache's"]}
    assert colour.get() == "the caller's"


@pytest.mark.parametrize("inline", [True, False])
def test_a_node_sees_what_it_has_set_itself(inline: bool) -> None:
    def node(state: Any) -> dict[str, Any]:
        colour.set("my own")
        return look(state)

    assert graph_of([node], route, inline=inline).invoke({"seen": []})["seen"][0] == "my own"


def test_a_token_is_reset_where_it_was_set() -> None:
    async def node(state: Any) -> dict[str, Any]:
        token = colour.set("for a while")
        await asyncio.sleep(0)
        colour.reset(token)
        return look(state)

    assert graph_of([node], route).invoke({"seen": []})["seen"] == ["the caller's"] * 2


def test_each_item_of_a_stream_is_made_with_the_variables_of_its_beginning() -> None:
    stream = GRAPHS["sync"]().stream({"seen": []})
    first = next(stream)
    colour.set("changed meanwhile")
    rest = list(stream)
    assert [first, *rest] == [{"first_0": {"seen": ["the caller's"]}}, {"last": {"seen": ["the caller's"]}}]
