"""What a node leaves running does not keep the state of its run alive, and is told its ids all the same."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.config import get_config
from aiograph.func import entrypoint, task
from aiograph.graph import START, StateGraph
from aiograph.runtime import get_runtime
from aiograph.types import Send


class Big:
    """Stands for a state of megabytes."""


class State(TypedDict):
    value: Any


class Background:
    """Work that a node starts and that outlives its run, as a pool of connections may."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.task: asyncio.Task[list[str]] | None = None
        self.foreseen: list[str] = []

    async def node(self, state: State) -> None:
        self.foreseen = ids()
        self.task = asyncio.create_task(self.work())

    async def lazy_node(self, state: State) -> None:
        self.task = asyncio.create_task(self.work())

    async def failing_node(self, state: State) -> None:
        self.task = asyncio.create_task(self.work())
        raise ValueError("as planned")

    async def work(self) -> list[str]:
        await self.release.wait()
        return ids()


def ids() -> list[str]:
    return [get_runtime().execution_info.task_id, get_config()["configurable"]["checkpoint_ns"]]


async def run(node: Callable[[State], Any], value: Any, *, by_send: bool = False) -> None:
    builder = StateGraph(State).add_node("node", node)
    if by_send:
        builder.add_conditional_edges(START, lambda state: [Send("node", state)], ["node"])
    else:
        builder.add_edge(START, "node")
    await builder.compile().ainvoke({"value": value})


@pytest.mark.parametrize("by_send", [False, True])
async def test_the_state_is_freed_and_ids_stay_the_same(by_send: bool) -> None:
    background, value = Background(), Big()
    watch = weakref.ref(value)
    await run(background.node, value, by_send=by_send)
    del value
    gc.collect()
    assert watch() is None
    background.release.set()
    assert background.task is not None
    assert await background.task == background.foreseen


async def test_an_id_that_was_never_asked_for_can_still_be_made() -> None:
    background = Background()
    await run(background.lazy_node, 1)
    background.release.set()
    assert background.task is not None
    task_id, namespace = await background.task
    assert namespace == f"node:{task_id}"


async def test_a_run_that_failed_is_freed_with_its_error() -> None:
    background, value = Background(), Big()
    watch = weakref.ref(value)
    with pytest.raises(ValueError, match="as planned"):
        await run(background.failing_node, value)
    del value
    gc.collect()
    assert watch() is None
    background.release.set()
    assert background.task is not None
    await background.task


async def test_ids_with_a_saver_derive_from_the_checkpoint() -> None:
    background = Background()
    graph = StateGraph(State).add_node("node", background.node).add_edge(START, "node")
    await graph.compile(InMemorySaver()).ainvoke({"value": 1}, {"configurable": {"thread_id": "1"}})
    background.release.set()
    assert background.task is not None
    assert await background.task == background.foreseen


@task
async def called(value: int) -> int:
    return value


async def test_calls_leave_nothing_to_the_garbage_collector() -> None:
    @entrypoint()
    async def work(count: int) -> int:
        return sum(await asyncio.gather(*map(called, range(count))))

    await work.ainvoke(1)
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        await work.ainvoke(100)
        await asyncio.sleep(0)  # what the loop is about to call is let go
        assert len(gc.get_objects()) - before < 100
    finally:
        gc.enable()
