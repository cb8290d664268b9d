"""Types that tasks declare: savers know them, whenever the task was declared and whoever calls it."""

from dataclasses import dataclass
from typing import Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import CheckpointSerializationError
from aiograph.func import entrypoint, task
from aiograph.graph import START, StateGraph
from aiograph.types import Command, RunnableConfig, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    text: str


def graph_that_calls(call: Any, saver: Any) -> Any:
    async def node(state: State) -> State:
        found = await call()
        return {"text": f"{interrupt('go on?')} {type(found).__name__} {found.text}"}

    return StateGraph(State).add_node("node", node).add_edge(START, "node").compile(saver)


async def test_a_task_that_only_a_node_calls_needs_no_permission() -> None:
    @dataclass
    class Report:
        text: str

    @task
    async def write() -> Report:
        return Report("done")

    graph = graph_that_calls(write, InMemorySaver())
    await graph.ainvoke({}, THREAD)
    assert await graph.ainvoke(Command(resume="yes"), THREAD) == {"text": "yes Report done"}


async def test_a_task_may_be_declared_after_the_graph_that_calls_it() -> None:
    @dataclass
    class Later:
        text: str

    graph = graph_that_calls(lambda: write(), InMemorySaver())

    @task
    async def write() -> Later:
        return Later("done")

    await graph.ainvoke({}, THREAD)
    assert await graph.ainvoke(Command(resume="yes"), THREAD) == {"text": "yes Later done"}


async def test_a_task_may_be_declared_by_the_run_that_calls_it() -> None:
    @dataclass
    class Within:
        text: str

    @entrypoint(InMemorySaver())
    async def flow(x: int) -> str:
        @task
        async def write() -> Within:
            return Within("done")

        found = await write()
        return f"{interrupt('go on?')} {found.text}"

    await flow.ainvoke(1, THREAD)
    assert await flow.ainvoke(Command(resume="yes"), THREAD) == "yes done"


async def test_what_no_annotation_mentions_is_refused() -> None:
    @dataclass
    class Secret:
        text: str

    @task
    async def write() -> Any:
        return Secret("done")

    graph = graph_that_calls(write, InMemorySaver())
    with pytest.raises(CheckpointSerializationError, match=r"Secret is not allowed"):
        await graph.ainvoke({}, THREAD)


async def test_a_class_that_is_declared_anew_takes_the_place_of_the_older() -> None:
    def declared() -> tuple[Any, type]:
        @dataclass
        class Item:
            text: str

        @task
        async def write() -> Item:
            return Item("done")

        return write, Item

    declared()
    write, newer = declared()
    found: list[Any] = []

    @entrypoint(InMemorySaver())
    async def flow(x: int) -> str:
        found.append(await write())
        return str(interrupt("go on?"))

    await flow.ainvoke(1, THREAD)
    await flow.ainvoke(Command(resume="yes"), THREAD)
    assert [type(each) for each in found] == [newer, newer]
