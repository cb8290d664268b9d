"""`max_concurrency`, `priority`, `step_timeout` and a node's own `timeout`."""

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import NodeTimeoutError
from aiograph.graph import START, StateGraph
from aiograph.testing.clock import virtual_backend
from aiograph.types import RetryPolicy, RunnableConfig, Send

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return virtual_backend()


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]


def fan_out(node: Any, width: int, **options: Any) -> Any:
    builder = StateGraph(State).add_node("work", node)
    builder.add_conditional_edges(START, lambda state: [Send("work", n) for n in range(width)], ["work"])
    return builder.compile(**options)


class Gauge:
    """Counts how many are inside at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def __enter__(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)

    def __exit__(self, *details: object) -> None:
        self.now -= 1


# -- max_concurrency -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "most"), [(1, 1), (3, 3), (10, 10), (50, 10), (None, 10)])
async def test_no_more_tasks_than_the_limit_run_at_once(limit: int | None, most: int) -> None:
    gauge = Gauge()

    async def work(number: int) -> dict[str, Any]:
        with gauge:
            await asyncio.sleep(1)
        return {"log": [number]}

    config: RunnableConfig = {"max_concurrency": limit}
    assert (await fan_out(work, 10).ainvoke({}, config))["log"] == list(range(10))
    assert gauge.most == most


async def test_the_limit_holds_for_synchronous_nodes_too() -> None:
    gauge = Gauge()

    def work(number: int) -> None:
        with gauge:
            assert gauge.now <= 2

    await fan_out(work, 20).ainvoke({}, {"max_concurrency": 2})
    assert 1 <= gauge.most <= 2


@pytest.mark.parametrize("limit", [1, 2])
async def test_graphs_nested_in_each_other_do_not_wait_for_each_other_for_ever(limit: int) -> None:
    async def leaf(state: State) -> dict[str, Any]:
        await asyncio.sleep(1)
        return {"log": ["leaf"]}

    graph: Any = StateGraph(State).add_node(leaf).add_edge(START, "leaf").compile()
    for _ in range(3):
        inner = graph

        async def call(state: Any, inner: Any = inner) -> Any:
            return await inner.ainvoke({})

        graph = fan_out(call, 2)
    assert (await graph.ainvoke({}, {"max_concurrency": limit}))["log"] == ["leaf"] * 8


def test_synchronous_calls_nested_in_each_other_do_not_either() -> None:
    inner = fan_out(lambda number: {"log": [number]}, 3)
    outer = fan_out(lambda number: inner.invoke({}), 3)
    assert outer.invoke({}, {"max_concurrency": 1})["log"] == [0, 1, 2] * 3


@pytest.mark.parametrize("limit", [0, -2])
async def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match=f"max_concurrency must be at least 1, not {limit}"):
        await fan_out(print, 2).ainvoke({}, {"max_concurrency": limit})


# -- priority ------------------------------------------------------------------------------------------


def prioritised(started: list[str]) -> Any:
    builder = StateGraph(State)
    for name, priority in {"a": 0, "b": 2, "c": -1, "d": 2, "e": 1}.items():

        async def node(state: State, name: str = name) -> dict[str, Any]:
            started.append(name)
            await asyncio.sleep(1)
            return {"log": [name]}

        builder.add_node(name, node, priority=priority).add_edge(START, name)
    return builder.compile()


async def test_under_a_limit_higher_priority_starts_first_and_order_of_writes_stays() -> None:
    started: list[str] = []
    end = await prioritised(started).ainvoke({}, {"max_concurrency": 1})
    assert started == ["b", "d", "e", "a", "c"]
    assert end["log"] == ["a", "b", "c", "d", "e"]


async def test_without_a_limit_priority_changes_nothing() -> None:
    started: list[str] = []
    await prioritised(started).ainvoke({})
    assert started == ["a", "b", "c", "d", "e"]


# -- step_timeout --------------------------------------------------------------------------------------


async def sleep_long(number: int) -> dict[str, Any]:
    await asyncio.sleep(number * 10)
    return {"log": [number]}


async def test_a_superstep_that_takes_too_long_names_who_still_runs() -> None:
    graph = fan_out(sleep_long, 3, step_timeout=5)
    message = "step 1 did not end within its step_timeout of 5 s; still running: 'work', 'work'"
    with pytest.raises(TimeoutError, match=message):
        await graph.ainvoke({})


async def test_what_had_finished_by_then_is_kept() -> None:
    graph = fan_out(sleep_long, 3, step_timeout=15, checkpointer=InMemorySaver())
    with pytest.raises(TimeoutError):
        await graph.ainvoke({}, THREAD)
    state = await graph.aget_state(THREAD)
    assert (state.values["log"], state.next) == ([0, 1], ("work",))


async def test_the_timeout_is_for_each_superstep_and_not_for_the_run() -> None:
    async def nap(state: State) -> dict[str, Any]:
        await asyncio.sleep(4)
        return {}

    nodes: Any = [(name, nap) for name in "abc"]
    graph = StateGraph(State).add_sequence(nodes).add_edge(START, "a").compile(step_timeout=5)
    await graph.ainvoke({})
    assert asyncio.get_running_loop().time() == pytest.approx(12)


# -- a node's own timeout ------------------------------------------------------------------------------


async def test_a_node_that_takes_too_long_is_cancelled_and_named() -> None:
    cancelled = asyncio.Event()

    async def slow(state: State) -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    graph = StateGraph(State).add_node("slow", slow, timeout=2).add_edge(START, "slow").compile()
    with pytest.raises(
        NodeTimeoutError, match="node 'slow' did not finish within its timeout of 2 s"
    ) as caught:
        await graph.ainvoke({})
    assert (caught.value.node, caught.value.timeout) == ("slow", 2)
    assert cancelled.is_set()
    assert asyncio.get_running_loop().time() == pytest.approx(2)


async def test_the_timeout_is_for_one_attempt_and_may_be_retried() -> None:
    attempts: list[int] = []

    async def slow_at_first(state: State) -> dict[str, Any]:
        attempts.append(1)
        await asyncio.sleep(10 if len(attempts) == 1 else 1)
        return {"log": ["done"]}

    policy = RetryPolicy(initial_interval=0, jitter=False)
    builder = StateGraph(State).add_node("slow", slow_at_first, timeout=2, retry_policy=policy)
    assert await builder.add_edge(START, "slow").compile().ainvoke({}) == {"log": ["done"]}


async def test_a_timeout_error_of_the_nodes_own_is_not_mistaken_for_it() -> None:
    async def impatient(state: State) -> None:
        async with asyncio.timeout(1):
            await asyncio.sleep(5)

    graph = StateGraph(State).add_node("n", impatient, timeout=3).add_edge(START, "n").compile(step_timeout=4)
    with pytest.raises(TimeoutError) as caught:
        await graph.ainvoke({})
    assert not isinstance(caught.value, NodeTimeoutError)
    assert "step_timeout" not in str(caught.value)
