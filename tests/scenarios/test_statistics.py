"""What runs did and where their time went: counts, and seconds of virtual time."""

import asyncio
import operator
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from itertools import pairwise
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.channels import LastValue
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.graph import START, StateGraph
from aiograph.pregel import NodeBuilder, Pregel
from aiograph.stats import Collector, RunInfo, Statistics, SuperstepStats, TaskInfo
from aiograph.testing.clock import VirtualClockLoop, virtual_backend
from aiograph.testing.faults import FaultySaver, SaverCall
from aiograph.types import Command, RetryPolicy, RunnableConfig, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return virtual_backend()


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


async def quick(state: State) -> State:
    return {"log": ["quick"]}


async def slow(state: State) -> State:
    await asyncio.sleep(3)
    return {"log": ["slow"]}


async def broken(state: State) -> State:
    await asyncio.sleep(1)
    raise ValueError("broken")


def side_by_side(*nodes: Any, saver: Any = None, stats: Any = True, **options: Any) -> Any:
    builder: Any = StateGraph(State)
    for node in nodes:
        builder.add_node(node.__name__, node, **options).add_edge(START, node.__name__)
    return builder.compile(saver, stats=stats)


def in_turn(*nodes: Any, **options: Any) -> Any:
    builder: Any = StateGraph(State)
    for node in nodes:
        builder.add_node(node.__name__, node)
    builder.add_edge(START, nodes[0].__name__)
    for before, after in pairwise(nodes):
        builder.add_edge(before.__name__, after.__name__)
    return builder.compile(**{"stats": True, **options})


# -- seconds -------------------------------------------------------------------------------------------


async def test_execution_lasts_as_long_as_the_slowest_task() -> None:
    graph = side_by_side(quick, slow)
    await graph.ainvoke({})
    totals = graph.stats.totals
    assert (totals.execution, totals.nodes["slow"].seconds, totals.nodes["quick"].seconds) == (3, 3, 0)


async def test_the_seconds_of_a_run_are_those_of_its_stages() -> None:
    async def dawdle(call: SaverCall) -> None:
        await asyncio.sleep({"ahold": 10, "acommit": 2}.get(call.verb, 0))

    graph = in_turn(slow, checkpointer=FaultySaver(InMemorySaver(), before=dawdle))
    await graph.ainvoke({"log": []}, THREAD, durability="sync")
    (run,) = graph.stats.runs
    assert (run.opening, run.execution, run.checkpoint, run.seconds) == (10, 3, 6, 19)


async def test_only_the_time_in_which_a_run_waits_for_its_saver_counts_as_the_checkpoints() -> None:
    async def dawdle(call: SaverCall) -> None:
        await asyncio.sleep(2 if call.verb == "acommit" else 0)

    graph = in_turn(slow, checkpointer=FaultySaver(InMemorySaver(), before=dawdle))
    await graph.ainvoke({"log": []}, THREAD, durability="async")
    (run,) = graph.stats.runs
    assert [step.checkpoint for step in run.steps] == [2, 0]  # the second is stored while `slow` runs
    assert (run.checkpoint, run.execution, run.seconds) == (4, 3, 7)


async def test_a_slow_consumer_is_counted_as_output() -> None:
    graph = in_turn(*[_numbered(each) for each in range(40)])
    async for _ in graph.astream({}):
        await asyncio.sleep(1)
    totals = graph.stats.totals
    assert totals.output > 0
    assert totals.output + totals.execution == pytest.approx(totals.seconds)


async def test_a_superstep_that_a_slow_consumer_never_let_begin_is_not_counted() -> None:
    graph = in_turn(*[_numbered(each) for each in range(40)])
    async with aclosing(graph.astream({}, stream_mode="values")) as stream:
        await anext(stream)
        for _ in range(100):  # until it is held back
            await asyncio.sleep(0)
    totals = graph.stats.totals
    assert 0 < totals.supersteps < 40
    assert totals.supersteps == totals.tasks == totals.successes


def _numbered(number: int) -> Any:
    async def node(state: State) -> State:
        return {"log": [str(number)]}

    node.__name__ = f"n{number}"
    return node


async def test_planning_and_reducers_have_seconds_of_their_own() -> None:
    def add(left: list[str], right: list[str]) -> list[str]:
        loop: Any = asyncio.get_running_loop()
        loop._jump(5)
        return left + right

    class Slow(TypedDict, total=False):
        log: Annotated[list[str], add]

    builder: Any = StateGraph(Slow).add_node("n", lambda state: {"log": ["n"]}).add_edge(START, "n")
    graph = builder.compile(stats=True)
    await graph.ainvoke({"log": []})
    steps = graph.stats.runs[0].steps
    assert [step.apply for step in steps] == [5, 5]
    assert all(step.planning == 0 for step in steps)


# -- counts --------------------------------------------------------------------------------------------


async def test_tasks_are_counted_by_how_they_ended() -> None:
    async def ask(state: State) -> State:
        return {"log": [interrupt("?")]}

    graph = side_by_side(quick, ask, saver=InMemorySaver())
    await graph.ainvoke({"log": []}, THREAD)
    last = graph.stats.runs[-1].steps[-1]
    assert (last.tasks, last.successes, last.questions, last.errors) == (2, 1, 1, 0)


async def test_what_finished_in_an_earlier_run_does_not_count_again() -> None:
    async def ask(state: State) -> State:
        return {"log": [interrupt("?")]}

    graph = side_by_side(quick, ask, saver=InMemorySaver())
    await graph.ainvoke({"log": []}, THREAD)
    await graph.ainvoke(Command(resume="!"), THREAD)
    assert (graph.stats.runs[-1].tasks, graph.stats.runs[-1].successes) == (1, 1)


async def test_a_failed_run_is_counted_with_its_error() -> None:
    graph = side_by_side(broken)
    with pytest.raises(ValueError, match="broken"):
        await graph.ainvoke({})
    (run,) = graph.stats.runs
    assert (run.error, run.errors, run.nodes["broken"].errors, run.execution) == ("ValueError", 1, 1, 1)
    assert (graph.stats.totals.runs, graph.stats.totals.failures) == (1, 1)


async def test_a_sibling_that_was_cancelled_is_neither_a_success_nor_an_error() -> None:
    graph = side_by_side(slow, broken)
    with pytest.raises(ValueError, match="broken"):
        await graph.ainvoke({})
    (run,) = graph.stats.runs
    assert (run.steps[-1].tasks, run.steps[-1].successes, run.errors) == (2, 0, 1)


async def test_a_run_that_was_cancelled_is_counted() -> None:
    graph = side_by_side(slow)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await graph.ainvoke({})
    assert (graph.stats.runs[-1].error, graph.stats.runs[-1].seconds) == ("CancelledError", 2)


async def test_retries_are_counted_and_their_pauses_are_execution() -> None:
    failures = [ConnectionError("busy"), ConnectionError("busy")]

    async def flaky(state: State) -> State:
        if failures:
            raise failures.pop()
        return {"log": ["done"]}

    policy = RetryPolicy(initial_interval=1, backoff_factor=2, jitter=False)
    graph = side_by_side(flaky, retry_policy=policy)
    await graph.ainvoke({})
    node = graph.stats.totals.nodes["flaky"]
    assert (node.tasks, node.retries, node.errors, node.seconds) == (1, 2, 0, 3)
    assert graph.stats.totals.retries == 2


async def test_a_superstep_that_only_hands_the_input_on_is_a_superstep_without_nodes() -> None:
    graph = in_turn(quick, slow)
    await graph.ainvoke({})
    steps = graph.stats.runs[0].steps
    assert [(step.step, sorted(step.nodes)) for step in steps] == [(0, []), (1, ["quick"]), (2, ["slow"])]


# -- who is told ---------------------------------------------------------------------------------------


async def test_totals_add_up_over_runs() -> None:
    graph = side_by_side(slow)
    await asyncio.gather(*[graph.ainvoke({}) for _ in range(5)])
    totals = graph.stats.totals
    assert (totals.runs, totals.supersteps, totals.nodes["slow"].tasks, totals.seconds) == (5, 10, 5, 15)


def test_runs_in_many_threads_are_all_counted() -> None:
    graph = in_turn(quick, slow_not_at_all)

    def work() -> None:
        for _ in range(20):
            graph.invoke({})

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    totals = graph.stats.totals
    assert (totals.runs, totals.supersteps, totals.nodes["quick"].tasks) == (160, 480, 160)


async def slow_not_at_all(state: State) -> State:
    return {"log": ["slow"]}


async def test_only_the_last_runs_and_supersteps_are_remembered() -> None:
    graph = in_turn(quick, slow, stats=Statistics(keep_runs=2, keep_supersteps=1))
    for _ in range(3):
        await graph.ainvoke({})
    assert [[step.step for step in run.steps] for run in graph.stats.runs] == [[2], [2]]
    assert graph.stats.totals.runs == 3


async def test_nested_runs_are_told_to_the_collector_around_them_and_kept_apart() -> None:
    inner = StateGraph(State).add_node("slow", slow).add_edge(START, "slow").compile(name="inner")
    graph = StateGraph(State).add_node("outer", inner).add_edge(START, "outer").compile(stats=True)
    await graph.ainvoke({})
    stats: Any = graph.stats
    assert [(run.run.graph, run.run.is_nested) for run in stats.runs] == [
        ("inner", True),
        ("StateGraph", False),
    ]
    assert (stats.totals.seconds, stats.nested.seconds) == (3, 3)
    assert sorted(stats.nested.nodes) == ["slow"]


async def test_a_nested_graph_with_a_collector_of_its_own_tells_that() -> None:
    inner = side_by_side(slow)
    graph = side_by_side(inner_of(inner))
    await graph.ainvoke({})
    assert (graph.stats.nested.runs, inner.stats.nested.runs, inner.stats.totals.runs) == (0, 0, 1)


async def test_a_nested_graph_that_wants_no_measures_has_none() -> None:
    graph = side_by_side(inner_of(side_by_side(slow, stats=False)))
    await graph.ainvoke({})
    assert graph.stats.nested.runs == 0


def inner_of(graph: Any) -> Any:
    async def call(state: State) -> State:
        await graph.ainvoke({})
        return {"log": ["inner"]}

    return call


class Listener(Collector):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @contextmanager
    def run(self, run: RunInfo) -> Iterator[None]:
        self.heard.append(f"run {run.graph} on {run.thread_id}")
        yield
        self.heard.append("run over")

    @contextmanager
    def superstep(self, run: RunInfo, step: int) -> Iterator[None]:
        self.heard.append(f"superstep {step}")
        yield
        self.heard.append("superstep over")

    @contextmanager
    def task(self, run: RunInfo, task: TaskInfo) -> Iterator[None]:
        self.heard.append(f"task {task.name}")
        yield

    def superstep_measured(self, run: RunInfo, stats: SuperstepStats) -> None:
        self.heard.append(f"{stats.successes} of {stats.tasks}")


async def test_a_collector_is_told_what_happens_as_it_happens() -> None:
    listener = Listener()
    await in_turn(quick, stats=listener, checkpointer=InMemorySaver()).ainvoke({"log": []}, THREAD)
    assert listener.heard == [
        "run StateGraph on 1",
        "superstep 0",
        "1 of 1",
        "superstep over",
        "superstep 1",
        "task quick",
        "1 of 1",
        "superstep over",
        "run over",
    ]


async def test_what_a_collector_raises_ends_the_run() -> None:
    class Broken(Collector):
        def superstep_measured(self, run: RunInfo, stats: SuperstepStats) -> None:
            raise RuntimeError("no room for more")

    with pytest.raises(RuntimeError, match="no room"):
        await in_turn(quick, stats=Broken()).ainvoke({})


async def test_a_graph_by_hand_is_measured_too() -> None:
    node = NodeBuilder().subscribe_only("in").do(lambda value: value + 1).write_to("out")
    channels: Any = {"in": LastValue(int), "out": LastValue(int)}
    graph: Any = Pregel(
        nodes={"n": node}, channels=channels, input_channels="in", output_channels="out", stats=True
    )
    assert await graph.ainvoke(1) == 2
    assert graph.stats.totals.nodes["n"].tasks == 1


# -- switched on and off ---------------------------------------------------------------------------------


async def test_a_graph_without_statistics_reads_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[float] = []

    def read(loop: VirtualClockLoop) -> float:
        reads.append(0.0)
        return 0.0

    monkeypatch.setattr(VirtualClockLoop, "time", read)
    for _ in range(10):
        await side_by_side(quick, stats=None).ainvoke({})
    without = len(reads)
    await side_by_side(quick).ainvoke({})
    assert without == 0
    assert reads


def test_on_real_loops_seconds_are_real() -> None:
    def node(state: State) -> State:
        time.sleep(0.01)  # real, as the clock is
        return {"log": ["done"]}

    graph = side_by_side(node)
    graph.invoke({})
    assert 0.01 <= graph.stats.totals.nodes["node"].seconds <= graph.stats.totals.execution
    assert graph.stats.totals.execution < graph.stats.totals.seconds < 30


def test_a_graph_without_statistics_says_how_to_get_them() -> None:
    with pytest.raises(AttributeError, match="compile it with stats=True"):
        in_turn(quick, stats=None).stats  # noqa: B018


def test_what_is_no_collector_is_refused() -> None:
    with pytest.raises(TypeError, match="stats is True, False, None or"):
        in_turn(quick, stats="yes")


async def test_the_debug_stream_shows_each_superstep_that_is_measured() -> None:
    graph = in_turn(quick, slow)
    events = [event async for event in graph.astream({}, stream_mode="debug")]
    shown = [event for event in events if event["type"] == "stats"]
    assert [(event["step"], event["payload"]["execution"]) for event in shown] == [(0, 0), (1, 0), (2, 3)]
    assert shown[2]["payload"]["nodes"]["slow"]["tasks"] == 1


async def test_the_debug_stream_of_a_graph_without_statistics_has_none() -> None:
    events = [event async for event in in_turn(quick, stats=None).astream({}, stream_mode="debug")]
    assert events
    assert all(event["type"] != "stats" for event in events)
