"""How streams end when neither run nor consumer ends them, and what comes after the end."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypedDict

import pytest

from aiograph.config import get_stream_writer
from aiograph.graph import START, StateGraph
from aiograph.pregel import Pregel


class State(TypedDict, total=False):
    value: int


def graph_of(node: Callable[[State], Any]) -> Pregel[Any, Any, Any, Any]:
    return StateGraph(State).add_node("node", node).add_edge(START, "node").compile()


async def test_a_stream_whose_run_is_cancelled_from_outside_does_not_look_complete() -> None:
    began = asyncio.Event()

    async def wait(state: State) -> None:
        began.set()
        await asyncio.Event().wait()

    async def consume() -> list[Any]:
        return [chunk async for chunk in graph_of(wait).astream({})]

    others = asyncio.all_tasks()
    consumer = asyncio.create_task(consume())
    await began.wait()
    for task in asyncio.all_tasks() - others - {consumer}:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer


def test_a_writer_that_is_kept_beyond_its_run_and_its_loop_does_nothing() -> None:
    kept = []

    async def keep(state: State) -> None:
        kept.append(get_stream_writer())
        kept[0]("in time")

    async def consume() -> list[Any]:
        return [chunk async for chunk in graph_of(keep).astream({}, stream_mode="custom")]

    assert asyncio.run(consume()) == ["in time"]
    kept[0]("too late")


async def test_a_writer_works_from_a_thread_that_a_node_has_made() -> None:
    def tell(write: Callable[[Any], None]) -> None:
        for number in range(100):
            write(number)

    async def node(state: State) -> None:
        thread = threading.Thread(target=tell, args=(get_stream_writer(),))
        thread.start()
        await asyncio.to_thread(thread.join)

    assert [chunk async for chunk in graph_of(node).astream({}, stream_mode="custom")] == [*range(100)]


async def test_a_stream_may_be_started_in_one_task_and_ended_in_another() -> None:
    async def node(state: State) -> State:
        return {"value": 2}

    stream = graph_of(node).astream({"value": 1}, stream_mode="values")
    first: State = await asyncio.create_task(anext(stream))
    assert [first, await anext(stream)] == [{"value": 1}, {"value": 2}]
    await asyncio.create_task(stream.aclose())


async def test_a_node_may_stream_the_very_graph_it_belongs_to() -> None:
    async def node(state: State) -> State:
        depth = state["value"]
        if depth == 0:
            return {"value": 0}
        chunks = [chunk async for chunk in graph.astream({"value": depth - 1}, stream_mode="values")]
        return {"value": chunks[-1]["value"] + 1}

    graph = graph_of(node)
    assert await graph.ainvoke({"value": 20}) == {"value": 20}
