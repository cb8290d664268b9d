"""`max_concurrency` where tasks call tasks: it is kept, and never waits for itself."""

import asyncio
from collections.abc import Callable
from typing import Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.func import entrypoint, task
from aiograph.graph import START, StateGraph
from aiograph.types import Command, RunnableConfig, interrupt


class Gauge:
    """Counts how many are inside at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def __enter__(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)

    def __exit__(self, *details: object) -> None:
        self.now -= 1


gauge = Gauge()


@pytest.fixture(autouse=True)
def fresh_gauge() -> None:
    gauge.__init__()  # type: ignore[misc]  # the same object, as new


@task
async def leaf(x: int) -> int:
    with gauge:
        await asyncio.sleep(0.001)
    return x


@task
def leaf_sync(x: int) -> int:
    with gauge:
        pass
    return x


@task
async def branch(x: int) -> list[int]:
    return await asyncio.gather(*(leaf(x + n) for n in range(4)))


@task
def branch_sync(x: int) -> list[int]:
    return [future.result() for future in [leaf_sync(x + n) for n in range(4)]]


def entry(function: Callable[..., Any], **options: Any) -> Any:
    return entrypoint(name="work", **options)(function)


def at_once(limit: int | None) -> RunnableConfig:
    return {"max_concurrency": limit}


@pytest.mark.parametrize(("limit", "most"), [(1, 1), (3, 3), (None, 10)])
async def test_no_more_called_tasks_than_the_limit_run_at_once(limit: int | None, most: int) -> None:
    async def work(x: int) -> Any:
        return await asyncio.gather(*map(leaf, range(10)))

    assert await entry(work).ainvoke(1, at_once(limit)) == list(range(10))
    assert gauge.most == most


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_nested_calls_share_the_limit(limit: int) -> None:
    async def work(x: int) -> Any:
        return await asyncio.gather(branch(0), branch(10), branch(20))

    found = await entry(work).ainvoke(1, at_once(limit))
    assert found == [[n, n + 1, n + 2, n + 3] for n in (0, 10, 20)]
    assert gauge.most <= limit


def test_synchronous_tasks_that_wait_for_each_other_never_wait_for_ever() -> None:
    def work(x: int) -> Any:
        return [future.result() for future in [branch_sync(0), branch_sync(10)]]

    assert entry(work).invoke(1, at_once(1)) == [[0, 1, 2, 3], [10, 11, 12, 13]]
    assert gauge.most == 1


class State(TypedDict, total=False):
    a: int
    b: int
    c: int


async def test_the_nodes_of_a_superstep_and_their_tasks_share_the_limit() -> None:
    def calling(name: str) -> Any:
        async def node(state: State) -> Any:
            with gauge:
                await asyncio.sleep(0)
            return {name: sum(await asyncio.gather(leaf(1), leaf(2)))}

        return node

    builder: Any = StateGraph(State)
    for name in "abc":
        builder.add_node(name, calling(name)).add_edge(START, name)
    assert await builder.compile().ainvoke({}, at_once(2)) == {"a": 3, "b": 3, "c": 3}
    assert gauge.most == 2


async def test_a_caller_that_waits_in_no_known_way_does_not_hang() -> None:
    async def work(x: int) -> Any:
        ended = asyncio.Event()
        leaf(x).add_done_callback(lambda _: ended.set())
        await ended.wait()
        return await leaf(x + 1)

    assert await entry(work).ainvoke(1, at_once(1)) == 2


async def test_a_cancelled_call_gives_its_place_to_the_next() -> None:
    @task
    async def wait() -> None:
        await asyncio.Event().wait()

    async def work(x: int) -> Any:
        first, second = wait(), wait()
        last = leaf(x)
        await asyncio.sleep(0)
        second.cancel()
        first.cancel()
        return await last

    assert await entry(work).ainvoke(1, at_once(1)) == 1


async def test_questions_are_asked_and_answered_one_at_a_time() -> None:
    @task
    async def ask(x: int) -> Any:
        return interrupt(x)

    async def work(x: int) -> Any:
        return await asyncio.gather(*map(ask, range(3)))

    graph, thread = entry(work, checkpointer=InMemorySaver()), {"configurable": {"thread_id": "1"}}
    config: Any = {**thread, "max_concurrency": 1}
    asked = (await graph.ainvoke(1, config))["__interrupt__"]
    answers = {question.id: f"{question.value}!" for question in asked}
    assert await graph.ainvoke(Command(resume=answers), config) == ["0!", "1!", "2!"]


async def test_an_error_handler_calls_tasks_under_the_limit() -> None:
    def node(state: State) -> Any:
        raise ValueError

    async def handle(state: State) -> Any:
        return {"a": await leaf(3)}

    builder: Any = StateGraph(State).add_node("node", node, error_handler=handle).add_edge(START, "node")
    assert await builder.compile().ainvoke({}, at_once(1)) == {"a": 3}
