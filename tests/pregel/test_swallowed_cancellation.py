"""A node may refuse to stop when it is cancelled, but it cannot make the run go on."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypedDict

import anyio
import pytest

from aiograph.cache.base import FullKey
from aiograph.cache.memory import InMemoryCache
from aiograph.checkpoint.base import Commit
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import NodeCancelledError
from aiograph.graph import END, START, StateGraph
from aiograph.pregel import Pregel
from aiograph.types import CachePolicy


class State(TypedDict):
    value: int


THREAD: Any = {"configurable": {"thread_id": "1"}}


def stubborn_chain(started: asyncio.Event, ran: list[str]) -> Pregel[Any, Any, Any, Any]:
    async def stubborn(state: State) -> State:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ran.append("stubborn")
        return {"value": 1}

    async def after(state: State) -> None:
        ran.append("after")

    builder = StateGraph(State).add_sequence([("stubborn", stubborn), ("after", after)])
    return builder.add_edge(START, "stubborn").compile(InMemorySaver())


async def test_the_run_ends_and_keeps_what_the_node_made_of_it() -> None:
    started, ran = asyncio.Event(), list[str]()
    graph = stubborn_chain(started, ran)
    run = asyncio.create_task(graph.ainvoke({"value": 0}, THREAD))
    await started.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert ran == ["stubborn"]
    assert (await graph.aget_state(THREAD)).next == ("after",)
    assert await graph.ainvoke(None, THREAD) == {"value": 1}
    assert ran == ["stubborn", "after"]


async def test_leaving_a_stream_ends_a_loop_of_such_nodes() -> None:
    laps = 0

    async def lap(state: State) -> State:
        nonlocal laps
        laps += 1
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        return {"value": 0}

    builder = StateGraph(State).add_node(lap).add_edge(START, "lap")
    builder.add_conditional_edges("lap", lambda state: "lap" if state["value"] == 0 else END, ["lap", END])
    stream = builder.compile().astream({"value": 0}, {"recursion_limit": 200})
    await anext(stream)
    seen = laps
    await stream.aclose()
    assert laps - seen < 30


@pytest.mark.parametrize("scope", ["asyncio", "anyio"])
async def test_a_limit_within_a_node_is_the_node_s_own_business(scope: str) -> None:
    async def hasty(state: State) -> State:
        if scope == "anyio":
            with anyio.move_on_after(0):
                await asyncio.Event().wait()
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await asyncio.Event().wait()
        return {"value": 7}

    graph = StateGraph(State).add_sequence([("a", hasty), ("b", hasty)]).add_edge(START, "a").compile()
    assert await graph.ainvoke({"value": 0}) == {"value": 7}


async def test_a_run_in_the_clean_up_of_a_cancelled_task_goes_through() -> None:
    async def node(state: State) -> State:
        await asyncio.sleep(0)
        return {"value": 7}

    graph = StateGraph(State).add_sequence([("a", node), ("b", node)]).add_edge(START, "a").compile()

    async def cleaning_up() -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            return await graph.ainvoke({"value": 0})  # noqa: B012  # the worst that can be done

    task = asyncio.create_task(cleaning_up())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == {"value": 7}


async def test_a_cancellation_of_the_node_s_own_tells_where_it_came_from() -> None:
    async def node(state: State) -> None:
        raise asyncio.CancelledError("mine")

    graph = StateGraph(State).add_node(node).add_edge(START, "node").compile()
    with pytest.raises(NodeCancelledError) as caught:
        await graph.ainvoke({"value": 0})
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


# -- task groups that fail -----------------------------------------------------------------------------


async def fail() -> None:
    await asyncio.sleep(0)
    raise OSError("broken")


async def grouped() -> None:
    """A task group that fails while it waits for its end, which is handled."""
    with suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())


def lone(node: Any) -> Pregel[Any, Any, Any, Any]:
    return StateGraph(State).add_node("node", node).add_edge(START, "node").compile()


@pytest.mark.parametrize("depth", [1, 3])
async def test_a_node_that_handles_the_failure_of_a_task_group_has_not_been_cancelled(depth: int) -> None:
    async def node(state: State) -> State:
        await grouped()
        await grouped()
        return {"value": 1}

    graph = lone(node)
    for _ in range(depth - 1):
        graph = lone(graph)
    assert await graph.ainvoke({"value": 0}) == {"value": 1}


async def test_a_cancellation_beside_the_failure_of_a_task_group_still_counts() -> None:
    started = asyncio.Event()

    async def linger() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)

    async def node(state: State) -> State:
        with suppress(BaseException):
            async with asyncio.TaskGroup() as group:
                group.create_task(linger())
                group.create_task(fail())
        return {"value": 1}

    run = asyncio.create_task(lone(node).ainvoke({"value": 0}))
    await started.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_a_cancellation_after_the_failure_of_a_task_group_still_counts() -> None:
    handled = asyncio.Event()

    async def node(state: State) -> State:
        await grouped()
        handled.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return {"value": 1}

    run = asyncio.create_task(lone(node).ainvoke({"value": 0}))
    await handled.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


class Grouping(InMemorySaver):
    async def acommit(self, commit: Commit) -> None:
        await grouped()
        await super().acommit(commit)


@pytest.mark.parametrize("verb", ["ainvoke", "astream"])
async def test_a_saver_that_handles_the_failure_of_a_task_group_has_not_cancelled_the_run(verb: str) -> None:
    async def node(state: State) -> State:
        return {"value": state["value"] + 1}

    builder = StateGraph(State).add_sequence([("first", node), ("second", node)]).add_edge(START, "first")
    graph = builder.compile(Grouping())
    if verb == "ainvoke":
        assert await graph.ainvoke({"value": 0}, THREAD, durability="sync") == {"value": 2}
    else:
        chunks = [chunk async for chunk in graph.astream({"value": 0}, THREAD, durability="sync")]
        assert chunks == [{"first": {"value": 1}}, {"second": {"value": 2}}]


class GroupingCache(InMemoryCache[Any]):
    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        await grouped()
        return await super().aget(keys)


@pytest.mark.parametrize("verb", ["ainvoke", "astream"])
async def test_neither_has_a_cache_that_does(verb: str) -> None:
    async def node(state: State) -> State:
        await asyncio.sleep(0)
        return {"value": state["value"] + 1}

    builder = StateGraph(State).add_node("first", node, cache_policy=CachePolicy()).add_node("second", node)
    graph = builder.add_edge(START, "first").add_edge("first", "second").compile(cache=GroupingCache())
    if verb == "ainvoke":
        assert await graph.ainvoke({"value": 0}) == {"value": 2}
    else:
        chunks = [chunk async for chunk in graph.astream({"value": 0})]
        assert chunks == [{"first": {"value": 1}}, {"second": {"value": 2}}]
