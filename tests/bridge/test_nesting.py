"""Runs inside runs, as deep and as wide as it goes: no lack of threads, no lack of stack, nothing left."""

import asyncio
import operator
import threading
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest

from aiograph._threads import thread_statistics
from tests.bridge.kit import Graph, chain, fan, promptly, settled, until


class Deep(TypedDict):
    depth: int
    leaves: Annotated[int, operator.add]


Around = Callable[[Graph], Graph]


def leaf() -> Graph:
    return chain(lambda state: {"depth": state["depth"] + 1, "leaves": 1}, schema=Deep)


def in_sync_node(graph: Graph) -> Graph:
    def node(state: Any) -> Any:
        return graph.invoke({**state, "depth": state["depth"] + 1, "leaves": 0})

    return chain(node, schema=Deep)


def in_async_node(graph: Graph) -> Graph:
    async def node(state: Any) -> Any:
        return await graph.ainvoke({**state, "depth": state["depth"] + 1, "leaves": 0})

    return chain(node, schema=Deep)


def in_sync_node_that_streams(graph: Graph) -> Graph:
    def node(state: Any) -> Any:
        *_, last = graph.stream({"depth": state["depth"] + 1, "leaves": 0}, stream_mode="values")
        return last

    return chain(node, schema=Deep)


def in_async_node_that_streams(graph: Graph) -> Graph:
    async def node(state: Any) -> Any:
        last = None
        async for values in graph.astream({"depth": state["depth"] + 1, "leaves": 0}, stream_mode="values"):
            last = values
        return last

    return chain(node, schema=Deep)


def nested(levels: int, *arounds: Around) -> Graph:
    graph = leaf()
    for level in range(levels - 1):
        graph = arounds[level % len(arounds)](graph)
    return graph


START_STATE = {"depth": 0, "leaves": 0}

KINDS: dict[str, tuple[Around, ...]] = {
    "sync": (in_sync_node,),
    "async": (in_async_node,),
    "mixed": (in_sync_node, in_async_node),
    "mixed-2": (in_async_node, in_async_node, in_sync_node),
    "streams": (in_sync_node_that_streams,),
    "async-streams": (in_async_node_that_streams,),
    "all": (in_sync_node, in_async_node_that_streams, in_async_node, in_sync_node_that_streams),
}


@pytest.mark.parametrize("kind", KINDS)
def test_sixty_four_levels_of_synchronous_calls(kind: str) -> None:
    graph = nested(64, *KINDS[kind])
    assert promptly(lambda: graph.invoke(START_STATE)) == {"depth": 64, "leaves": 1}
    assert settled().abandoned == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_sixty_four_levels_below_an_asynchronous_call(kind: str) -> None:
    graph = nested(64, *KINDS[kind])
    assert await graph.ainvoke(START_STATE) == {"depth": 64, "leaves": 1}


@pytest.mark.parametrize("kind", ["sync", "async", "mixed"])
def test_two_hundred_levels(kind: str) -> None:
    graph = nested(200, *KINDS[kind])
    assert promptly(lambda: graph.invoke(START_STATE)) == {"depth": 200, "leaves": 1}


@pytest.mark.parametrize("kind", ["sync", "mixed"])
def test_sixty_four_levels_under_a_timeout_which_take_a_thread_each(kind: str) -> None:
    graph = nested(64, *KINDS[kind])
    assert promptly(lambda: graph.invoke(START_STATE, timeout=100)) == {"depth": 64, "leaves": 1}


@pytest.mark.parametrize("kind", ["sync", "async", "mixed"])
def test_sixty_four_siblings_that_nest(kind: str) -> None:
    below = nested(2, *KINDS[kind])

    class Wide(TypedDict):
        leaves: Annotated[int, operator.add]

    def node(state: Any) -> Any:
        return {"leaves": below.invoke(START_STATE)["leaves"]}

    async def anode(state: Any) -> Any:
        return {"leaves": (await below.ainvoke(START_STATE))["leaves"]}

    graph = fan(*[anode if kind == "async" else node] * 64, schema=Wide)
    assert promptly(lambda: graph.invoke({"leaves": 0})) == {"leaves": 64}


def test_sixty_four_siblings_at_the_bottom_all_at_once() -> None:
    """Each holds a thread until the last one has come, each below a nested call of its own."""
    together = threading.Barrier(64)

    class Wide(TypedDict):
        leaves: Annotated[int, operator.add]

    def meet(state: Any) -> Any:
        together.wait(60)
        return {"depth": 1, "leaves": 1}

    bottom = chain(meet, schema=Deep)
    graph = fan(*[lambda state: {"leaves": bottom.invoke(START_STATE)["leaves"]}] * 64, schema=Wide)
    assert promptly(lambda: graph.invoke({"leaves": 0})) == {"leaves": 64}


def test_siblings_at_each_of_sixty_four_levels() -> None:
    """At each level three siblings run, one of them the rest of the chain."""
    graph = leaf()
    for _ in range(63):
        graph = level_of_three(graph)
    assert promptly(lambda: graph.invoke(START_STATE))["leaves"] == 1 + 63 * 2


def level_of_three(graph: Graph) -> Graph:
    def below(state: Any) -> Any:
        return {"leaves": graph.invoke(START_STATE)["leaves"]}

    def beside(state: Any) -> Any:
        return {"leaves": 1}

    async def abeside(state: Any) -> Any:
        return {"leaves": 1}

    return fan(beside, below, abeside, schema=Deep)


def test_threads_are_used_again_and_none_is_lost() -> None:
    graph = nested(64, in_sync_node)
    promptly(lambda: graph.invoke(START_STATE))
    before = settled().alive
    for _ in range(5):
        promptly(lambda: graph.invoke(START_STATE))
    assert settled().alive <= before


def test_nesting_takes_few_threads_as_each_serves_what_it_waits_for() -> None:
    seen: list[int] = []

    def note(state: Any) -> Any:
        seen.append(threading.get_ident())
        return {"depth": 0, "leaves": 1}

    graph = chain(note, schema=Deep)
    for _ in range(63):
        graph = in_sync_node(graph)
    before = settled().alive
    promptly(lambda: graph.invoke(START_STATE))
    assert thread_statistics().alive - before <= 64 // 8


def test_an_error_at_the_bottom_of_sixty_four_levels_comes_up_as_it_was() -> None:
    class Bottom(Exception): ...

    def fail(state: Any) -> Any:
        raise Bottom("here")

    graph = chain(fail, schema=Deep)
    for level in range(63):
        graph = (in_sync_node, in_async_node)[level % 2](graph)
    with pytest.raises(Bottom, match="here"):
        promptly(lambda: graph.invoke(START_STATE))


def test_cancelling_the_outermost_of_many_levels_ends_all_of_them() -> None:
    begun, cleaned = threading.Event(), threading.Event()

    async def wait(state: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    graph = chain(wait, schema=Deep)
    for level in range(40):
        graph = (in_sync_node, in_async_node)[level % 2](graph)

    async def main() -> None:
        run = asyncio.create_task(graph.ainvoke(START_STATE))
        await asyncio.to_thread(begun.wait)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert cleaned.is_set()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    promptly(lambda: asyncio.run(main()))
    until(lambda: thread_statistics().busy == 0)
