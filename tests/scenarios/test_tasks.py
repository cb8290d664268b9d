"""Functions that are called inside runs: how their results are waited for, what fails, what is shown."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import NodeTimeoutError, SyncCallError
from aiograph.func import entrypoint, task
from aiograph.graph import START, StateGraph
from aiograph.types import RetryPolicy, RunnableConfig

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}
SOON = RetryPolicy(initial_interval=0, jitter=False, retry_on=OSError)


@task
async def add(x: int, y: int = 1) -> int:
    await asyncio.sleep(0)
    return x + y


@task
def add_sync(x: int, y: int = 1) -> int:
    return x + y


@task
async def fail(text: str) -> None:
    raise ValueError(text)


def entry(function: Callable[..., Any], **options: Any) -> Any:
    return entrypoint(name="work", **options)(function)


# -- waiting for results -------------------------------------------------------------------------------


async def test_a_call_is_awaited() -> None:
    async def work(x: int) -> Any:
        return await add(x), await add_sync(x, y=10)

    assert await entry(work).ainvoke(1) == (2, 11)


async def test_calls_are_gathered() -> None:
    async def work(x: int) -> Any:
        return await asyncio.gather(add(x), add_sync(x), *map(add, range(3)))

    assert await entry(work).ainvoke(1) == [2, 2, 1, 2, 3]


async def test_calls_run_beside_each_other() -> None:
    met = asyncio.Barrier(3)

    @task
    async def meet(number: int) -> int:
        await met.wait()
        return number

    async def work(x: int) -> Any:
        return await asyncio.gather(*map(meet, range(3)))

    assert await entry(work).ainvoke(1) == [0, 1, 2]


def test_synchronous_code_asks_for_results() -> None:
    def work(x: int) -> Any:
        futures = [add(x), add_sync(x)]
        return [future.result() for future in futures], futures[0].done(), futures[0].exception()

    assert entry(work).invoke(1) == ([2, 2], True, None)


def test_sixty_four_synchronous_tasks_run_at_once() -> None:
    met = threading.Barrier(64)

    @task
    def meet(number: int) -> int:
        met.wait(20)
        return number

    def work(x: int) -> Any:
        return [future.result() for future in [meet(n) for n in range(64)]]

    assert entry(work).invoke(1) == list(range(64))


def test_futures_are_waited_for_like_those_of_executors() -> None:
    def work(x: int) -> Any:
        futures = [add(x), add(x, 2)]
        done, _ = concurrent.futures.wait(futures)
        return len(done), sorted(each.result() for each in concurrent.futures.as_completed(futures))

    assert entry(work).invoke(1) == (2, [2, 3])


async def test_an_awaited_call_can_be_timed_out_and_the_work_goes_on() -> None:
    ended = []

    @task
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    async def work(x: int) -> str:
        try:
            await asyncio.wait_for(slow(), 0.01)
        except TimeoutError:
            return "too slow"
        return "done"

    assert await entry(work).ainvoke(1) == "too slow"
    assert ended == ["cleaned up"]


def test_waiting_for_a_result_may_end_early_and_the_task_goes_on() -> None:
    go_on = threading.Event()

    @task
    def slow() -> str:
        go_on.wait(20)
        return "done"

    def work(x: int) -> Any:
        future = slow()
        with pytest.raises(TimeoutError):
            future.result(timeout=0.01)
        go_on.set()
        return future.result()

    assert entry(work).invoke(1) == "done"


async def test_asking_for_a_result_on_the_loop_that_has_to_make_it_is_refused() -> None:
    async def work(x: int) -> Any:
        return add(x).result()

    with pytest.raises(SyncCallError, match="await the future"):
        await entry(work).ainvoke(1)


async def test_a_result_that_is_there_can_be_had_on_the_loop() -> None:
    async def work(x: int) -> Any:
        future = add(x)
        await future
        return future.result()

    assert await entry(work).ainvoke(1) == 2


# -- where tasks are called ------------------------------------------------------------------------------


class State(TypedDict):
    x: int


@pytest.mark.parametrize("asynchronously", [True, False])
async def test_the_nodes_of_a_graph_call_tasks(asynchronously: bool) -> None:
    async def later(state: State) -> State:
        return {"x": await add(state["x"])}

    def now(state: State) -> State:
        return {"x": add(state["x"]).result()}

    node: Any = later if asynchronously else now
    graph = StateGraph(State).add_node("node", node).add_edge(START, "node").compile()
    assert await graph.ainvoke({"x": 1}) == {"x": 2}


@task
async def count_down(n: int) -> int:
    return 0 if n == 0 else 1 + await count_down(n - 1)


@task
def count_down_sync(n: int) -> int:
    return 0 if n == 0 else 1 + count_down_sync(n - 1).result()


@pytest.mark.parametrize("down", [count_down, count_down_sync])
async def test_tasks_call_tasks_twenty_levels_deep(down: Any) -> None:
    async def work(x: int) -> Any:
        return await down(x)

    assert await entry(work).ainvoke(20) == 20
    assert await asyncio.to_thread(entry(work).invoke, 20) == 20


async def test_a_task_runs_a_graph() -> None:
    @entrypoint()
    async def inner(x: int) -> int:
        return await add(x)

    @task
    async def run(x: int) -> Any:
        return await inner.ainvoke(x)

    async def work(x: int) -> Any:
        return await asyncio.gather(run(x), run(x + 1))

    assert await entry(work).ainvoke(1) == [2, 3]


class Desk:
    def __init__(self, start: int) -> None:
        self.start = start

    @task
    async def add(self, x: int) -> int:
        return self.start + x


async def test_a_method_is_a_task() -> None:
    async def work(x: int) -> Any:
        return await Desk(10).add(x)

    assert await entry(work).ainvoke(1) == 11


async def test_a_task_is_given_what_it_asks_for_by_name_and_was_not_passed() -> None:
    @task
    async def look(x: int, config: Any, runtime: Any = None, writer: Any = None) -> Any:
        writer(x)
        return config, runtime.execution_info.thread_id

    async def work(x: int) -> Any:
        return await look(x, "mine"), await look(x, config="mine")

    chunks = [
        chunk
        async for chunk in entry(work, checkpointer=InMemorySaver()).astream(
            1, THREAD, stream_mode=["custom", "values"]
        )
    ]
    assert chunks == [("custom", 1), ("custom", 1), ("values", (("mine", "1"), ("mine", "1")))]


def test_outside_of_a_run_a_task_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match=r"call it in an entrypoint or in a node.*add.func"):
        add(1)


async def test_code_that_outlives_its_task_cannot_call() -> None:
    left_behind = []

    async def stray() -> None:
        await asyncio.sleep(0.01)
        add(1)

    async def work(x: int) -> None:
        left_behind.append(asyncio.create_task(stray()))

    await entry(work).ainvoke(1)
    with pytest.raises(RuntimeError, match=r"'add' was called after 'work'.* had ended"):
        await left_behind[0]


# -- failures ----------------------------------------------------------------------------------------------


async def test_what_a_task_raises_is_raised_where_it_is_awaited() -> None:
    async def work(x: int) -> str:
        try:
            await fail("broken")
        except ValueError as error:
            return f"caught {error}"
        return ""

    assert await entry(work).ainvoke(1) == "caught broken"


async def test_a_failure_that_nobody_catches_tells_its_way() -> None:
    async def work(x: int) -> None:
        await fail("broken")

    with pytest.raises(ValueError, match="broken") as raised:
        await entry(work).ainvoke(1)
    first, second = raised.value.__notes__
    assert first == "in task 'fail', called by 'work'"
    assert "in node 'work'" in second


@pytest.mark.parametrize("waits", [True, False])
async def test_tasks_that_nobody_waits_for_come_to_their_end_first(waits: bool) -> None:
    ended = []

    @task
    async def note(x: int) -> None:
        await asyncio.sleep(0.01)
        ended.append(x)

    async def work(x: int) -> str:
        future = note(x)
        if waits:
            await future
        return "end"

    assert await entry(work).ainvoke(1) == "end"
    assert ended == [1]


async def test_a_failure_that_nobody_has_waited_for_is_not_lost() -> None:
    async def work(x: int) -> str:
        add(1)
        fail("first")
        fail("second")
        return "end"

    with pytest.raises(ValueError, match="first"):
        await entry(work).ainvoke(1)


async def test_a_failing_caller_cancels_what_it_has_called() -> None:
    ended = []

    @task
    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            ended.append("cleaned up")
            raise

    async def work(x: int) -> None:
        wait()
        await asyncio.sleep(0)
        raise KeyError(x)

    with pytest.raises(KeyError):
        await entry(work).ainvoke(1)
    assert ended == ["cleaned up"]


async def test_a_failing_caller_lets_finish_what_it_has_called_if_it_is_told_to() -> None:
    ended = []

    @task
    async def note() -> None:
        await asyncio.sleep(0.01)
        ended.append("done")

    async def work(x: int) -> None:
        note()
        raise KeyError(x)

    with pytest.raises(KeyError):
        await entry(work, on_error="finish").ainvoke(1)
    assert ended == ["done"]


@pytest.mark.parametrize("is_sync", [True, False])
async def test_a_cancelled_run_cancels_its_tasks_and_waits_for_their_clean_up(is_sync: bool) -> None:
    ended = []
    begun = asyncio.Event()

    @task
    async def wait() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.append("cleaned up")

    async def later(x: int) -> None:
        await wait()

    def now(x: int) -> None:
        try:
            wait().result()
        finally:
            ended.append("told")

    run = asyncio.create_task(entry(now if is_sync else later).ainvoke(1))
    await begun.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert sorted(ended) == ["cleaned up", "told"][: 1 + is_sync]


async def test_a_task_is_tried_again_as_its_policy_says() -> None:
    attempts = []

    @task(retry_policy=SOON)
    async def flaky(x: int, runtime: Any = None) -> int:
        attempts.append(runtime.execution_info.node_attempt)
        if len(attempts) < 3:
            raise OSError
        return x

    async def work(x: int) -> Any:
        return await flaky(x)

    assert await entry(work).ainvoke(7) == 7
    assert attempts == [1, 2, 3]


async def test_a_retried_caller_finds_the_results_of_what_had_finished() -> None:
    runs = []

    @task
    async def note(x: int) -> int:
        runs.append(x)
        return x

    async def work(x: int) -> Any:
        found = await asyncio.gather(note(1), note(2))
        if len(runs) < 3:
            await note(3)
            raise OSError
        return [*found, await note(3)]

    assert await entry(work, retry_policy=SOON).ainvoke(1) == [1, 2, 3]
    assert runs == [1, 2, 3]


@pytest.mark.parametrize("is_sync", [True, False])
async def test_a_task_has_a_timeout(is_sync: bool) -> None:
    end = threading.Event()

    def now() -> None:
        end.wait(20)

    async def later() -> None:
        await asyncio.Event().wait()

    slow: Any = task(name="slow", timeout=0.01)(now if is_sync else later)

    async def work(x: int) -> str:
        try:
            await slow()
        except NodeTimeoutError as error:
            return str(error)
        return ""

    assert "'slow'" in await entry(work).ainvoke(1)
    end.set()


async def test_a_caller_that_times_out_takes_its_tasks_along() -> None:
    ended = []

    @task
    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    async def work(x: int) -> None:
        await wait()

    with pytest.raises(NodeTimeoutError, match="work"):
        await entry(work, timeout=0.01).ainvoke(1)
    assert ended == ["cleaned up"]


# -- names -------------------------------------------------------------------------------------------------


def test_a_task_is_called_like_its_function_or_as_it_is_told() -> None:
    named = task(name="sum")(add.func)
    assert (add.name, named.name) == ("add", "sum")
    assert repr(named) == "<task 'sum'>"
    assert add.__name__ == "add"  # type: ignore[attr-defined]  # taken over from the function


def test_a_task_needs_a_name() -> None:
    with pytest.raises(ValueError, match=r"has no name of its own: use @task\(name="):
        task(lambda x: x)


def test_generators_are_no_tasks() -> None:
    def numbers() -> Any:
        yield 1

    with pytest.raises(ValueError, match="is a generator, which cannot be"):
        task(numbers)


# -- streams -----------------------------------------------------------------------------------------------


async def test_calls_are_shown_when_they_begin_and_when_they_end() -> None:
    async def work(x: int) -> Any:
        return await add(x, y=2)

    chunks = [chunk async for chunk in entry(work).astream(1, stream_mode="tasks")]
    assert [{**chunk, "id": ""} for chunk in chunks] == [
        {"id": "", "name": "work", "input": 1, "triggers": ("__start__",)},
        {"id": "", "name": "add", "input": ((1,), {"y": 2}), "triggers": ("__pregel_push",)},
        {"id": "", "name": "add", "error": None, "result": {"__return__": 3}, "interrupts": []},
        {"id": "", "name": "work", "error": None, "result": {"__end__": 3}, "interrupts": []},
    ]
    assert chunks[1]["id"] == chunks[2]["id"]


async def test_a_failed_call_is_shown_with_its_error_and_without_an_update() -> None:
    async def work(x: int) -> str:
        try:
            await fail("broken")
        except ValueError:
            return "caught"
        return ""

    chunks = [chunk async for chunk in entry(work).astream(1, stream_mode=["updates", "tasks"])]
    assert [chunk for mode, chunk in chunks if mode == "updates"] == [{"work": "caught"}]
    failed = next(chunk for mode, chunk in chunks if mode == "tasks" and "error" in chunk)
    assert (failed["name"], repr(failed["error"]), failed["result"]) == ("fail", "ValueError('broken')", {})


async def test_debug_shows_calls_with_step_and_time() -> None:
    async def work(x: int) -> Any:
        return await add(x)

    chunks = [chunk async for chunk in entry(work).astream(1, stream_mode="debug")]
    assert [(chunk["type"], chunk["payload"]["name"], chunk["step"]) for chunk in chunks] == [
        ("task", "work", 0),
        ("task", "add", 0),
        ("task_result", "add", 0),
        ("task_result", "work", 0),
    ]
