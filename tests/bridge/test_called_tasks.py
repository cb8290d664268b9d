"""Called tasks between threads and loops: results are waited for where they can come, else refused."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Any, TypedDict

import pytest

from aiograph.errors import SyncCallError
from aiograph.func import entrypoint, task
from aiograph.graph import START, StateGraph

WORD: ContextVar[str] = ContextVar("word", default="")


@task
async def on_loop(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1


@task
def on_thread(x: int) -> int:
    return x + 1


@task
async def word() -> str:
    return WORD.get()


def entry(function: Any) -> Any:
    return entrypoint(name="work")(function)


def test_a_synchronous_run_on_the_callers_thread_waits_for_tasks() -> None:
    def work(x: int) -> Any:
        return threading.current_thread() is main, on_loop(x).result(), on_thread(x).result()

    main = threading.current_thread()
    assert entry(work).invoke(1) == (True, 2, 2)


def test_runs_on_many_threads_do_not_meet() -> None:
    def work(x: int) -> Any:
        return [future.result() for future in [on_loop(x), on_thread(x)]]

    graph = entry(work)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(graph.invoke, range(32))) == [[x + 1, x + 1] for x in range(32)]


class State(TypedDict):
    x: int


def test_a_synchronous_node_runs_an_entrypoint_whose_tasks_are_of_both_kinds() -> None:
    def inner(x: int) -> Any:
        return on_thread(on_loop(x).result()).result()

    def node(state: State) -> State:
        return {"x": entry(inner).invoke(state["x"])}

    graph = StateGraph(State).add_node("node", node).add_edge(START, "node").compile()
    assert graph.invoke({"x": 1}) == {"x": 3}


def test_threads_that_a_task_starts_may_call_and_wait() -> None:
    def work(x: int) -> Any:
        def call(number: int) -> int:
            return copy.copy().run(on_thread, number).result()

        copy = copy_context()
        with ThreadPoolExecutor(4) as pool:
            return sorted(pool.map(call, range(8)))

    assert entry(work).invoke(1) == list(range(1, 9))


async def test_a_future_may_be_awaited_on_another_loop() -> None:
    def work(x: int) -> Any:
        async def elsewhere() -> Any:
            return await asyncio.gather(on_loop(x), on_thread(x))

        return asyncio.run(elsewhere())

    assert await entry(work).ainvoke(1) == [2, 2]


async def test_what_a_caller_has_set_is_seen_by_its_tasks_and_not_the_other_way() -> None:
    @task
    async def change() -> None:
        WORD.set("changed")

    async def work(x: int) -> Any:
        WORD.set("mine")
        await change()
        return await word(), WORD.get()

    assert await entry(work).ainvoke(1) == ("mine", "mine")


async def test_a_quick_node_on_the_loop_cannot_wait_for_a_task() -> None:
    def node(state: State) -> State:
        return {"x": on_thread(1).result()}

    graph = StateGraph(State).add_node("node", node, inline=True).add_edge(START, "node").compile()
    with pytest.raises(SyncCallError, match="await the future"):
        await graph.ainvoke({"x": 1})


def test_a_timeout_of_the_whole_call_ends_its_tasks() -> None:
    ended = threading.Event()

    @task
    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    def work(x: int) -> Any:
        return wait().result()

    with pytest.raises(TimeoutError):
        entry(work).invoke(1, timeout=0.05)
    assert ended.is_set()
