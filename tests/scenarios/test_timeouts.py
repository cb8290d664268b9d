"""`TimeoutPolicy`: how long an attempt may take, as a whole and without a sign of life. In virtual time."""

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, TypedDict

import pytest

from aiograph._threads import thread_statistics
from aiograph.channels import LastValue
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.config import get_stream_writer
from aiograph.errors import NodeTimeoutError
from aiograph.graph import START, StateGraph
from aiograph.pregel import NodeBuilder, Pregel
from aiograph.runtime import Runtime
from aiograph.testing.clock import run_virtual, virtual_backend
from aiograph.types import Command, RetryPolicy, RunnableConfig, Send, TimeoutPolicy, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return virtual_backend()


def joined(old: list[str], new: list[str]) -> list[str]:
    return [*old, *new]


class State(TypedDict, total=False):
    log: Annotated[list[str], joined]


def graph_of(node: Any, timeout: Any, **options: Any) -> Any:
    return StateGraph(State).add_node("n", node, timeout=timeout, **options).add_edge(START, "n").compile()


def idle(seconds: float, **options: Any) -> TimeoutPolicy:
    return TimeoutPolicy(idle_timeout=seconds, **options)


async def sleep_long(state: State) -> dict[str, Any]:
    await asyncio.sleep(100)
    return {"log": ["slept"]}


def every_second(sign: Callable[[Runtime[Any]], object], times: int = 5) -> Any:
    """A node that gives a sign each second."""

    async def node(state: State, runtime: Runtime[Any]) -> dict[str, Any]:
        for _ in range(times):
            await asyncio.sleep(1)
            sign(runtime)
        return {"log": ["done"]}

    return node


def beats(runtime: Runtime[Any]) -> None:
    runtime.heartbeat()


def streams(runtime: Runtime[Any]) -> None:
    runtime.stream_writer("x")


def streams_by_function(runtime: Runtime[Any]) -> None:
    get_stream_writer()("x")


def keeps_silent(runtime: Runtime[Any]) -> None:
    pass


# -- what counts as a sign of life ---------------------------------------------------------------------


@pytest.mark.parametrize("sign", [beats, streams, streams_by_function])
async def test_a_node_that_shows_life_may_run_on(sign: Any) -> None:
    assert await graph_of(every_second(sign), idle(1.5)).ainvoke({}) == {"log": ["done"]}


async def test_a_node_that_shows_no_life_is_ended() -> None:
    with pytest.raises(NodeTimeoutError) as caught:
        await graph_of(every_second(keeps_silent), idle(1.5)).ainvoke({})
    error = caught.value
    assert (error.node, error.kind, error.timeout, error.elapsed) == ("n", "idle", 1.5, 1.5)
    assert (error.run_timeout, error.idle_timeout) == (None, 1.5)


async def test_only_heartbeats_count_for_a_policy_that_says_so() -> None:
    policy = idle(1.5, refresh_on="heartbeat")
    assert await graph_of(every_second(beats), policy).ainvoke({}) == {"log": ["done"]}
    with pytest.raises(NodeTimeoutError):
        await graph_of(every_second(streams), policy).ainvoke({})


async def test_the_time_as_a_whole_counts_whatever_the_node_shows() -> None:
    policy = TimeoutPolicy(run_timeout=3.5, idle_timeout=1.5)
    with pytest.raises(NodeTimeoutError, match=r"did not finish within its timeout of 3\.5 s") as caught:
        await graph_of(every_second(beats), policy).ainvoke({})
    error = caught.value
    assert (error.kind, error.timeout, error.elapsed) == ("run", 3.5, 3.5)
    assert (error.run_timeout, error.idle_timeout) == (3.5, 1.5)


async def test_life_is_lost_some_time_after_the_last_sign() -> None:
    async def node(state: State, runtime: Runtime[Any]) -> None:
        await asyncio.sleep(1)
        runtime.heartbeat()
        await asyncio.sleep(100)

    message = r"made no progress for the 2(\.0)? s of its idle_timeout, 3\.000 s after it began"
    with pytest.raises(NodeTimeoutError, match=message):
        await graph_of(node, idle(2)).ainvoke({})


async def test_a_router_gets_as_much_time_as_its_node_had() -> None:
    async def node(state: State) -> None:
        await asyncio.sleep(1)

    async def route(state: State) -> str:
        await asyncio.sleep(1)
        return "end"

    def graph(policy: TimeoutPolicy) -> Any:
        builder = StateGraph(State).add_node("n", node, timeout=policy).add_node("end", lambda state: None)
        return builder.add_edge(START, "n").add_conditional_edges("n", route, ["end"]).compile()

    assert await graph(idle(1.5)).ainvoke({}) == {"log": []}
    with pytest.raises(NodeTimeoutError):
        await graph(TimeoutPolicy(run_timeout=1.5)).ainvoke({})


async def test_a_graph_within_a_node_shows_life_with_each_task_that_ends() -> None:
    async def second(state: State) -> dict[str, Any]:
        await asyncio.sleep(1)
        return {"log": ["x"]}

    names = ["a", "b", "c", "d"]
    inner = StateGraph(State).add_sequence([(name, second) for name in names]).add_edge(START, "a").compile()
    assert (await graph_of(inner, idle(1.5)).ainvoke({}))["log"] == ["x"] * 4
    for policy in (TimeoutPolicy(run_timeout=1.5), idle(1.5, refresh_on="heartbeat")):
        with pytest.raises(NodeTimeoutError):
            await graph_of(inner, policy).ainvoke({})


@pytest.mark.parametrize(("sign", "refresh_on"), [(beats, "heartbeat"), (beats, "auto"), (streams, "auto")])
async def test_a_sign_from_deep_within_reaches_every_node_around_it(sign: Any, refresh_on: Any) -> None:
    policy = idle(1.5, refresh_on=refresh_on)
    graph = graph_of(graph_of(graph_of(every_second(sign), policy), None), policy)
    assert await graph.ainvoke({}) == {"log": ["done"]}


async def test_the_node_within_that_is_silent_is_the_one_that_is_ended() -> None:
    graph = graph_of(graph_of(every_second(keeps_silent), idle(1)), idle(2))
    with pytest.raises(NodeTimeoutError) as caught:
        await graph.ainvoke({})
    assert caught.value.timeout == 1


async def test_a_node_without_a_limit_may_beat_as_it_likes() -> None:
    assert await graph_of(every_second(beats), None).ainvoke({}) == {"log": ["done"]}


# -- attempts ------------------------------------------------------------------------------------------


async def test_a_timeout_is_retried_by_default_and_each_attempt_has_its_own_time() -> None:
    attempts: list[float] = []

    async def node(state: State) -> dict[str, Any]:
        attempts.append(asyncio.get_running_loop().time())
        await asyncio.sleep(3 - len(attempts))
        return {"log": ["done"]}

    policy = RetryPolicy(jitter=False, initial_interval=10, backoff_factor=1)
    assert await graph_of(node, idle(1.5), retry_policy=policy).ainvoke({}) == {"log": ["done"]}
    assert attempts == [0.0, 11.5]


async def test_a_node_that_swallows_its_cancellation_has_failed_all_the_same() -> None:
    async def stubborn(state: State) -> dict[str, Any]:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            return {"log": ["late"]}
        return {"log": ["never"]}

    graph = graph_of(stubborn, 2).with_checkpointer(InMemorySaver())
    with pytest.raises(NodeTimeoutError):
        await graph.ainvoke({"log": ["in"]}, THREAD)
    assert (await graph.aget_state(THREAD)).values == {"log": ["in"]}


async def test_what_fails_while_it_is_cancelled_is_the_cause() -> None:
    async def clumsy(state: State) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            raise KeyError("clean-up")

    with pytest.raises(NodeTimeoutError) as caught:
        await graph_of(clumsy, 2).ainvoke({})
    assert isinstance(caught.value.__cause__, KeyError)


async def test_a_question_that_comes_too_late_is_not_asked() -> None:
    async def asks_late(state: State) -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            interrupt("still there?")

    with pytest.raises(NodeTimeoutError):
        await graph_of(asks_late, 2).with_checkpointer(InMemorySaver()).ainvoke({}, THREAD)


async def test_a_cancelled_run_is_cancelled_and_not_timed_out() -> None:
    run = asyncio.create_task(graph_of(sleep_long, TimeoutPolicy(run_timeout=5, idle_timeout=3)).ainvoke({}))
    await asyncio.sleep(1)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_siblings_of_a_node_without_a_sign_of_life_finish_when_they_may() -> None:
    builder = StateGraph(State).add_node("n", sleep_long, timeout=idle(1))
    builder.add_node("s", every_second(beats)).add_edge(START, "n").add_edge(START, "s")
    graph: Any = builder.compile(InMemorySaver(), on_error="finish")
    with pytest.raises(NodeTimeoutError):
        await graph.ainvoke({}, THREAD)
    assert (await graph.aget_state(THREAD)).values == {"log": ["done"]}


# -- synchronous nodes ---------------------------------------------------------------------------------


class Threaded:
    """A synchronous node that waits to be released; virtual time does not wait for its thread meanwhile."""

    def __init__(self, first: Callable[[Runtime[Any]], object] = keeps_silent) -> None:
        self.first = first
        self.begun, self.release, self.ended = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, state: State, runtime: Runtime[Any]) -> dict[str, Any]:
        self.first(runtime)
        self.begun.set()
        self.release.wait(30)
        runtime.stream_writer("late")
        runtime.heartbeat()
        self.ended.set()
        return {"log": ["late"]}

    def is_starting(self) -> bool:
        return not self.begun.is_set()


def nobody_is_abandoned() -> None:
    """Waits for what was given up on: its thread delivers to nobody, which takes a moment."""
    patience = threading.Event()
    for _ in range(3000):
        if thread_statistics().abandoned == 0:
            return
        patience.wait(0.01)
    raise AssertionError("abandoned code never ended")


def test_a_synchronous_node_that_shows_no_life_is_given_up_on() -> None:
    node = Threaded()
    graph = graph_of(node, idle(2)).with_checkpointer(InMemorySaver())
    chunks: list[Any] = []

    async def main() -> None:
        chunks.extend([chunk async for chunk in graph.astream({"log": ["in"]}, THREAD, stream_mode="custom")])

    with pytest.raises(NodeTimeoutError) as caught:
        run_virtual(main(), busy=node.is_starting)
    assert (caught.value.kind, caught.value.elapsed) == ("idle", 2)
    assert thread_statistics().abandoned == 1
    node.release.set()
    assert node.ended.wait(30)
    assert (chunks, graph.get_state(THREAD).values) == ([], {"log": ["in"]})
    nobody_is_abandoned()


def test_a_synchronous_node_may_beat_from_any_of_its_threads() -> None:
    def beats_elsewhere(runtime: Runtime[Any]) -> None:
        thread = threading.Thread(target=runtime.heartbeat)
        thread.start()
        thread.join()

    meet = threading.Barrier(2)
    is_ending = threading.Event()

    def node(state: State, runtime: Runtime[Any]) -> dict[str, Any]:
        for _ in range(3):
            meet.wait(30)
            beats_elsewhere(runtime)
            meet.wait(30)
        return {"log": ["done"]}

    async def main() -> Any:
        run = asyncio.create_task(graph_of(node, idle(2)).ainvoke({}))
        for _ in range(3):
            await asyncio.sleep(1.5)
            meet.wait(30)
            meet.wait(30)
        is_ending.set()  # no time passes while the node's thread returns
        return await run

    assert run_virtual(main(), busy=is_ending.is_set) == {"log": ["done"]}


# -- where policies come from --------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [2, 2.0, timedelta(seconds=2), TimeoutPolicy(run_timeout=2)])
async def test_a_timeout_is_seconds_or_a_timedelta_or_a_policy(limit: Any) -> None:
    with pytest.raises(NodeTimeoutError) as caught:
        await graph_of(sleep_long, limit).ainvoke({})
    assert (caught.value.timeout, caught.value.kind) == (2, "run")


async def test_a_policy_without_limits_lifts_that_of_all_nodes() -> None:
    builder = StateGraph(State).set_node_defaults(timeout=timedelta(seconds=1))
    builder.add_node("n", sleep_long, timeout=TimeoutPolicy()).add_edge(START, "n")
    assert await builder.compile().ainvoke({}) == {"log": ["slept"]}


async def test_a_send_has_a_timeout_of_its_own() -> None:
    async def nap(seconds: Any) -> dict[str, Any]:
        await asyncio.sleep(seconds)
        return {"log": [f"{seconds}"]}

    def fan_out(*sends: Send) -> Any:
        builder = StateGraph(State).add_node("nap", nap, timeout=2)
        builder.add_node("start", lambda state: Command(goto=sends)).add_edge(START, "start")
        return builder.compile(InMemorySaver())

    sends = [Send("nap", 1), Send("nap", 3, timeout=4), Send("nap", 5, timeout=TimeoutPolicy())]
    assert await fan_out(*sends).ainvoke({}, THREAD) == {"log": ["1", "3", "5"]}
    with pytest.raises(NodeTimeoutError) as caught:
        await fan_out(Send("nap", 1, timeout=0.5)).ainvoke({}, THREAD)
    assert caught.value.timeout == 0.5


async def test_the_timeout_of_a_send_is_stored_with_it() -> None:
    policy = idle(7)
    builder = StateGraph(State).add_node("nap", lambda arg: None)
    builder.add_node("start", lambda state: Command(goto=Send("nap", 1, timeout=policy)))
    graph = builder.add_edge(START, "start").compile(InMemorySaver(), interrupt_before=["nap"])
    await graph.ainvoke({}, THREAD)
    saved = await graph.checkpointer.aget(THREAD)  # type: ignore[union-attr]  # it was compiled with one
    assert saved is not None
    assert saved["channel_values"]["__pregel_tasks"] == [Send("nap", 1, timeout=policy)]


async def test_a_node_made_by_hand_has_a_timeout() -> None:
    node = NodeBuilder().subscribe_only("a").do(sleep_long).write_to("b").set_timeout(2)
    channels: Any = {"a": LastValue(Any), "b": LastValue(Any)}
    graph: Any = Pregel(nodes={"n": node}, channels=channels, input_channels="a", output_channels="b")
    with pytest.raises(NodeTimeoutError):
        await graph.ainvoke(1)


# -- bad input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1, float("nan"), timedelta(0)])
@pytest.mark.parametrize("name", ["run_timeout", "idle_timeout"])
def test_a_limit_that_is_no_time_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be above 0 seconds"):
        TimeoutPolicy(**{name: value})


def test_what_is_no_timeout_is_refused() -> None:
    with pytest.raises(TypeError, match="the timeout of node 'n' is seconds, a timedelta or a TimeoutPolicy"):
        graph_of(sleep_long, "5")
    with pytest.raises(ValueError, match="refresh_on is 'auto' or 'heartbeat', not 'always'"):
        idle(1, refresh_on="always")


def test_sends_with_other_timeouts_are_not_the_same() -> None:
    assert Send("n", 1, timeout=2) == Send("n", 1, timeout=timedelta(seconds=2)) != Send("n", 1)
    assert repr(Send("n", 1)) == "Send(node='n', arg=1)"
    assert "idle_timeout=2" in repr(Send("n", 1, timeout=idle(2)))
