"""Cache policies of tasks and entrypoints: what was returned before is found by the arguments."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import pytest

from aiograph import _ids
from aiograph.cache.memory import InMemoryCache
from aiograph.cache.sqlite import SqliteCache
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import CheckpointSerializationError
from aiograph.func import entrypoint, task
from aiograph.graph import START, StateGraph
from aiograph.types import CachePolicy, Command, RetryPolicy, RunnableConfig, StreamMode, interrupt
from aiograph.warnings import CacheWarning

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}
MODES: list[StreamMode] = ["updates", "tasks"]


class Work:
    """Makes a task that counts its runs."""

    def __init__(self, policy: CachePolicy | None = None, **options: Any) -> None:
        self.runs: list[Any] = []

        @task(cache_policy=policy or CachePolicy(), **options)
        async def work(*args: Any, **kwargs: Any) -> Any:
            self.runs.append((args, kwargs))
            return len(self.runs)

        self.task = work


def calling(work: Any, **options: Any) -> Any:
    """An entrypoint that calls a task with its input."""

    @entrypoint(**{"cache": InMemoryCache(), **options})
    async def flow(x: Any) -> Any:
        return await work(x)

    return flow


# -- hits ----------------------------------------------------------------------------------------------


async def test_a_call_does_not_run_again_for_the_same_arguments() -> None:
    work = Work()
    flow = calling(work.task)
    assert [await flow.ainvoke(x) for x in ("a", "a", "b", "a")] == [1, 1, 2, 1]


def test_synchronous_tasks_and_callers_are_served_too() -> None:
    threads: list[int] = []

    @task(cache_policy=CachePolicy())
    def work(x: int) -> int:
        threads.append(threading.get_ident())
        return 2 * x

    @entrypoint(cache=InMemoryCache())
    def flow(x: int) -> list[int]:
        return [work(x).result(), work(x).result()]

    assert [flow.invoke(2), flow.invoke(2)] == [[4, 4], [4, 4]]
    assert len(threads) == 1


async def test_keywords_count_whatever_their_order_or_name() -> None:
    work = Work()

    @entrypoint(cache=InMemoryCache())
    async def flow(x: int) -> list[int]:
        calls = [{"serde": 1, "policy": 2}, {"policy": 2, "serde": 1}, {"serde": 2, "policy": 1}]
        return [await work.task(**each) for each in calls]

    assert await flow.ainvoke(0) == [1, 1, 2]


async def test_a_key_function_gets_what_the_task_is_called_with() -> None:
    work = Work(CachePolicy(key_func=lambda text, *, lock: text.lower()))

    @entrypoint(cache=InMemoryCache())
    async def flow(text: str) -> Any:
        return await work.task(text, lock=threading.Lock())

    assert [await flow.ainvoke("a"), await flow.ainvoke("A"), await flow.ainvoke("b")] == [1, 1, 2]


async def test_a_task_that_a_node_calls_uses_the_cache_of_the_graph_around() -> None:
    class State(TypedDict, total=False):
        x: int
        y: int

    work = Work()

    async def node(state: State) -> State:
        return {"y": await work.task(state["x"])}

    inner = StateGraph(State).add_node("node", node).add_edge(START, "node").compile()
    graph = StateGraph(State).add_node("inner", inner).add_edge(START, "inner").compile(cache=InMemoryCache())
    assert [(await graph.ainvoke({"x": 1}))["y"] for _ in range(2)] == [1, 1]
    assert len(work.runs) == 1


async def test_tasks_within_cached_tasks_are_looked_up_where_only_one_may_run() -> None:
    inner = Work()

    @task(cache_policy=CachePolicy())
    async def outer(x: int) -> Any:
        return await inner.task(x)

    @entrypoint(cache=InMemoryCache())
    async def flow(x: int) -> list[Any]:
        return [await outer(x), *await asyncio.gather(outer(x), inner.task(x))]

    one: RunnableConfig = {"max_concurrency": 1}
    assert [await flow.ainvoke(1, one), await flow.ainvoke(1, one)] == [[1, 1, 1]] * 2


@dataclass
class Page:
    text: str


def test_a_cache_file_serves_the_next_process_with_what_tasks_declare(tmp_path: Path) -> None:
    runs: list[str] = []

    @task(cache_policy=CachePolicy())
    def fetch(url: str) -> Page:
        runs.append(url)
        return Page(url)

    for _ in range(2):
        with SqliteCache[Any](path=tmp_path / "cache.db") as cache:

            @entrypoint(cache=cache)
            def flow(url: str) -> Any:
                return fetch(url).result()

            assert flow.invoke("x") == Page("x")
    assert runs == ["x"]


async def test_a_cached_result_of_a_task_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(CachePolicy(ttl=60))
    flow = calling(work.task)
    now = _ids.wall_ns()
    found = []
    for seconds in (0, 59, 61):
        monkeypatch.setattr(_ids, "wall_ns", lambda seconds=seconds: now + seconds * 1_000_000_000)
        found.append(await flow.ainvoke("x"))
    assert found == [1, 1, 2]


async def test_tasks_with_the_same_arguments_are_told_apart_by_their_code() -> None:
    def made(factor: int) -> Any:
        @task(cache_policy=CachePolicy())
        async def work(x: int) -> int:
            return factor * x

        return work

    cache = InMemoryCache[Any]()
    assert [await calling(made(factor), cache=cache).ainvoke(3) for factor in (2, 5)] == [6, 15]


# -- what is not kept ----------------------------------------------------------------------------------


async def test_what_failed_is_not_kept_and_what_was_tried_again_is() -> None:
    runs: list[int] = []

    @task(cache_policy=CachePolicy(), retry_policy=RetryPolicy(retry_on=OSError, initial_interval=0))
    async def work(x: int) -> int:
        runs.append(x)
        if len(runs) == 1:
            raise ValueError("not tried again")
        if len(runs) == 2:
            raise OSError("tried again")
        return x

    flow = calling(work)
    with pytest.raises(ValueError, match="not tried again"):
        await flow.ainvoke(1)
    assert [await flow.ainvoke(1), await flow.ainvoke(1)] == [1, 1]
    assert len(runs) == 3


async def test_a_call_that_asked_is_asked_anew_for_the_same_arguments() -> None:
    @task(cache_policy=CachePolicy())
    async def ask(x: int) -> Any:
        return interrupt(x)

    flow = calling(ask, checkpointer=InMemorySaver())
    for thread, answer in (("1", "yes"), ("2", "no")):
        config: RunnableConfig = {"configurable": {"thread_id": thread}}
        assert "__interrupt__" in await flow.ainvoke(1, config)
        assert await flow.ainvoke(Command(resume=answer), config) == answer


async def test_calls_are_found_although_their_caller_was_answered() -> None:
    work = Work()

    @entrypoint(InMemorySaver(), cache=InMemoryCache())
    async def flow(x: int) -> Any:
        return interrupt("go on?"), await work.task(x)

    for thread in "12":
        config: RunnableConfig = {"configurable": {"thread_id": thread}}
        await flow.ainvoke(7, config)
        assert await flow.ainvoke(Command(resume=thread), config) == (thread, 1)


# -- resume --------------------------------------------------------------------------------------------


async def test_going_on_does_not_depend_on_the_cache() -> None:
    work, cache = Work(), InMemoryCache[Any]()

    @entrypoint(InMemorySaver(), cache=cache)
    async def flow(x: int) -> Any:
        result = await work.task(x)
        return interrupt("go on?"), result

    await calling(work.task, cache=cache).ainvoke(7)
    await flow.ainvoke(7, THREAD)
    await cache.aclear()
    assert await flow.ainvoke(Command(resume="yes"), THREAD) == ("yes", 1)
    assert len(work.runs) == 1


# -- what is shown -------------------------------------------------------------------------------------


async def test_a_stream_marks_calls_that_were_cached() -> None:
    flow = calling(Work().task)
    await flow.ainvoke(1)
    chunks = [chunk async for chunk in flow.astream(1, stream_mode=MODES)]
    assert [payload for mode, payload in chunks if mode == "updates"] == [
        {"work": 1, "__metadata__": {"cached": True}},
        {"flow": 1},
    ]
    assert {payload["name"] for mode, payload in chunks if mode == "tasks"} == {"flow"}


# -- clearing ------------------------------------------------------------------------------------------


async def test_clearing_forgets_one_task_alone() -> None:
    cache, one, other = InMemoryCache[Any](), Work(name="one"), Work(name="other")
    flows = [calling(each.task, cache=cache) for each in (one, other)]
    for flow in flows:
        await flow.ainvoke(1)
    await one.task.aclear_cache(cache)
    assert [await flow.ainvoke(1) for flow in flows] == [2, 1]


def test_clearing_works_for_synchronous_callers() -> None:
    cache, work = InMemoryCache[Any](), Work()
    flow = calling(work.task, cache=cache)
    assert [flow.invoke(1), work.task.clear_cache(cache), flow.invoke(1)] == [1, None, 2]


def test_clearing_what_is_not_cached_is_refused() -> None:
    @task
    def work() -> None: ...

    with pytest.raises(ValueError, match="task 'work' has no cache_policy"):
        work.clear_cache(InMemoryCache())


# -- errors --------------------------------------------------------------------------------------------


async def test_arguments_that_cannot_be_a_key_are_an_error_with_the_path_to_them() -> None:
    work = Work()

    @entrypoint(cache=InMemoryCache())
    async def flow(x: int) -> Any:
        return await work.task(x, options={"lock": threading.Lock()})

    message = r"task 'work' has a cache_policy.*\[1\]\.options\.lock.*give the policy a key_func"
    with pytest.raises(CheckpointSerializationError, match=message):
        await flow.ainvoke(1)
    assert work.runs == []


async def test_a_result_that_cannot_be_cached_is_an_error_where_it_is_waited_for() -> None:
    @task(cache_policy=CachePolicy())
    async def work(x: int) -> Any:
        return {"lock": threading.Lock()}

    @entrypoint(cache=InMemoryCache())
    async def flow(x: int) -> str:
        try:
            return str(await work(x))
        except CheckpointSerializationError as error:
            return str(error)

    assert "task 'work' has a cache_policy, and what it wrote cannot be stored" in await flow.ainvoke(1)


async def test_a_key_function_that_fails_fails_the_call() -> None:
    flow = calling(Work(CachePolicy(key_func=lambda x: x["missing"])).task)
    with pytest.raises(KeyError) as caught:
        await flow.ainvoke({})
    assert "in the key_func of task 'work'" in caught.value.__notes__


async def test_a_run_without_a_cache_warns_once_and_does_the_work() -> None:
    work = Work()

    @entrypoint()
    async def flow(x: int) -> list[int]:
        return [await work.task(x), await work.task(x)]

    with pytest.warns(CacheWarning, match="task 'work' has a cache_policy, and graph 'flow'") as told:
        assert await flow.ainvoke(1) == [1, 2]
    assert len(told) == 1


async def test_a_call_that_is_cancelled_while_it_is_looked_up_does_not_run() -> None:
    begun = asyncio.Event()

    class Stuck(InMemoryCache[Any]):
        async def aget(self, keys: Any) -> Any:
            begun.set()
            await asyncio.Event().wait()

    work = Work()
    run = asyncio.create_task(calling(work.task, cache=Stuck()).ainvoke(1))
    await begun.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert work.runs == []


# -- entrypoints ---------------------------------------------------------------------------------------


def counted(**options: Any) -> tuple[Any, list[int]]:
    runs: list[int] = []

    @entrypoint(**{"cache": InMemoryCache(), "cache_policy": CachePolicy(), **options})
    async def flow(x: int) -> entrypoint.final[int, str]:
        runs.append(x)
        return entrypoint.final(value=2 * x, save=f"kept {x}")

    return flow, runs


async def test_an_entrypoint_does_not_run_again_for_the_same_input() -> None:
    flow, runs = counted()
    assert [await flow.ainvoke(x) for x in (1, 1, 2)] == [2, 2, 4]
    assert runs == [1, 2]


async def test_a_cached_entrypoint_keeps_its_result_on_each_thread() -> None:
    flow, runs = counted(checkpointer=InMemorySaver())
    for thread in "12":
        config: RunnableConfig = {"configurable": {"thread_id": thread}}
        assert await flow.ainvoke(3, config) == 6
        assert (await flow.aget_state(config)).values == 6
    assert runs == [3]


async def test_an_entrypoint_can_be_cleared() -> None:
    flow, runs = counted()
    await flow.ainvoke(1)
    await flow.aclear_cache()
    await flow.ainvoke(1)
    assert runs == [1, 1]


def test_an_entrypoint_that_takes_what_its_input_does_not_tell_is_not_cached_by_that() -> None:
    def flow(x: int, *, previous: Any = None) -> int:
        return x

    with pytest.raises(ValueError, match="'flow' has a cache_policy and takes `previous`"):
        entrypoint(cache_policy=CachePolicy())(flow)
    keyed: Callable[..., Any] = entrypoint(cache_policy=CachePolicy(key_func=str), cache=InMemoryCache())
    assert keyed(flow).invoke(1) == 1
