"""A run that is called synchronously begins on the thread that calls; it goes to a loop when it needs one."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from aiograph import bridge
from aiograph._need_loop import need_loop
from aiograph.bridge import blocking
from aiograph.bridge._admit import Verb
from aiograph.bridge._call import Call
from aiograph.cache.memory import InMemoryCache
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.func import entrypoint, task
from aiograph.graph import END, START, StateGraph
from aiograph.types import CachePolicy, Command, RetryPolicy, Send, TimeoutPolicy, interrupt
from tests.bridge.kit import PATIENCE, Box, Graph, chain, promptly, script, until

THREAD: Any = {"configurable": {"thread_id": "1"}}


def grow(state: Box) -> dict[str, Any]:
    return {"value": state["value"] + 1}


async def agrow(state: Box) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"value": state["value"] + 1}


def name_of_thread(state: Box) -> dict[str, Any]:
    return {"value": threading.current_thread().name}


@contextmanager
def standing_loop() -> Iterator[None]:
    """The bridge's loop does nothing for the length of the block."""
    stands, over = threading.Event(), threading.Event()

    def stand() -> None:
        stands.set()
        over.wait(PATIENCE)

    bridge.bridge_loop().call_soon_threadsafe(stand)
    assert stands.wait(PATIENCE)
    try:
        yield
    finally:
        over.set()


# -- what needs no loop --------------------------------------------------------------------------------


def test_synchronous_nodes_one_after_the_other_need_no_loop() -> None:
    with standing_loop():
        assert promptly(lambda: chain(grow, grow, grow).invoke({"value": 0})) == {"value": 3}


def test_nor_does_a_router_that_is_synchronous() -> None:
    graph = routed_by(lambda state: "grow" if state["value"] < 5 else END)
    with standing_loop():
        assert promptly(lambda: graph.invoke({"value": 0})) == {"value": 5}


def test_nor_does_a_saver_in_memory_where_no_ctrl_c_can_strike() -> None:
    graph = chain(grow, grow, checkpointer=InMemorySaver())
    with standing_loop():
        assert promptly(lambda: graph.invoke({"value": 0}, THREAD)) == {"value": 2}
    assert [each.values for each in graph.get_state_history(THREAD)] == [
        {"value": 2},
        {"value": 1},
        {"value": 0},
        {},
    ]


def test_nor_does_a_question() -> None:
    graph = chain(lambda state: {"value": interrupt("what?")}, checkpointer=InMemorySaver())
    with standing_loop():
        asked = promptly(lambda: graph.invoke({"value": 0}, THREAD))
        assert asked["__interrupt__"][0].value == "what?"
        assert promptly(lambda: graph.invoke(Command(resume="this"), THREAD)) == {"value": "this"}


def test_a_failure_is_the_nodes_own() -> None:
    def fail(state: Box) -> None:
        raise ValueError("mine")

    with standing_loop(), pytest.raises(ValueError, match="mine") as caught:
        promptly(lambda: chain(fail).invoke({"value": 0}))
    assert "node 'node_0'" in caught.value.__notes__[0]


def test_a_node_that_exits_ends_the_call_with_that() -> None:
    def leave(state: Box) -> None:
        raise SystemExit(3)

    with standing_loop(), pytest.raises(SystemExit):
        promptly(lambda: chain(leave).invoke({"value": 0}))


# -- what needs one ------------------------------------------------------------------------------------


def side_by_side() -> Graph:
    builder = StateGraph(Box)
    builder.add_node("first", grow)
    builder.add_node("each", lambda state: None)
    builder.add_edge(START, "first")
    builder.add_conditional_edges("first", lambda state: [Send("each", state)] * 3)
    return builder.compile()


def sent_with_a_limit() -> Graph:
    limit = TimeoutPolicy(run_timeout=PATIENCE)
    builder = StateGraph(Box)
    builder.add_node("grow", grow)
    builder.add_conditional_edges(START, lambda state: Send("grow", state, timeout=limit))
    return builder.compile()


def routed_by(router: Any, **options: Any) -> Graph:
    builder = StateGraph(Box)
    builder.add_node("grow", grow)
    builder.add_edge(START, "grow")
    builder.add_conditional_edges("grow", router)
    return builder.compile(**options)


async def end(state: Box) -> str:
    await asyncio.sleep(0)
    return END


def with_node(node: Any, compiled: Any = None, **options: Any) -> Graph:
    builder = StateGraph(Box)
    builder.add_node("first", grow)
    builder.add_node("second", node, **options)
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    return builder.compile(**(compiled or {}))


def failing_once() -> Any:
    tries = iter([True])

    def node(state: Box) -> dict[str, Any]:
        if next(tries, False):
            raise ConnectionError
        return grow(state)

    return node


def handle(state: Box, error: Any) -> dict[str, Any]:
    return {"value": str(error.error)}


async def ahandle(state: Box, error: Any) -> dict[str, Any]:
    await asyncio.sleep(0)
    return handle(state, error)


def fail(state: Box) -> None:
    raise ValueError("failed")


NEED_ONE = {
    "an asynchronous node": lambda: chain(grow, agrow, grow),
    "nodes side by side": side_by_side,
    "an asynchronous router": lambda: routed_by(end),
    "a router whose answer is awaited": lambda: routed_by(lambda state: end(state)),
    "a node whose answer is awaited": lambda: chain(grow, lambda state: agrow(state)),
    "a graph as a node": lambda: with_node(chain(grow)),
    "a graph that a node calls": lambda: chain(grow, lambda state: chain(grow, agrow).invoke(state)),
    "a node with a time limit": lambda: with_node(grow, timeout=TimeoutPolicy(run_timeout=PATIENCE)),
    "a superstep with a time limit": lambda: with_node(grow, {"step_timeout": PATIENCE}),
    "a node that is tried again": lambda: with_node(
        failing_once(), retry_policy=RetryPolicy(initial_interval=0.001, jitter=False)
    ),
    "a node that is cached": lambda: with_node(grow, {"cache": InMemoryCache()}, cache_policy=CachePolicy()),
    "an error handler": lambda: with_node(fail, error_handler=handle),
    "an asynchronous error handler": lambda: with_node(fail, error_handler=ahandle),
    "a node that is sent with a time limit": sent_with_a_limit,
    "a node on the loop": lambda: with_node(grow, inline=True),
    "statistics": lambda: with_node(grow, {"stats": True}),
    "a watch": lambda: with_node(grow, {"debug": True}),
}


@pytest.mark.parametrize("make", NEED_ONE.values(), ids=NEED_ONE.keys())
def test_whatever_needs_a_loop_comes_to_one(make: Any) -> None:
    expected = asyncio.run(make().ainvoke({"value": 0}))
    assert promptly(lambda: make().invoke({"value": 0})) == expected


def test_an_inline_node_runs_on_the_loop() -> None:
    graph = with_node(name_of_thread, inline=True)
    assert graph.invoke({"value": 0}) == {"value": "aiograph-bridge"}


def test_what_comes_after_an_asynchronous_node_is_served_again() -> None:
    graph = chain(grow, lambda state: agrow(state), name_of_thread)
    assert graph.invoke({"value": 0}) == {"value": threading.current_thread().name}


def test_tasks_that_a_node_calls_run_on_the_loop_and_are_waited_for() -> None:
    @task
    async def add(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    @entrypoint()
    def work(x: int) -> int:
        add(100)  # nobody asks for it, and it is part of the run
        return add(x).result()

    assert promptly(lambda: work.invoke(1)) == 2


def test_a_task_that_runs_a_graph_does_not_wait_for_the_thread_that_waits_for_the_task() -> None:
    inner = chain(grow)

    @task
    async def around(x: int) -> int:
        answer = await inner.ainvoke({"value": x})
        return answer["value"]  # type: ignore[no-any-return]  # state

    @entrypoint()
    def work(x: int) -> int:
        return around(x).result()

    assert promptly(lambda: work.invoke(1)) == 2


def test_with_a_saver_the_main_thread_takes_the_run_to_the_loop_at_once() -> None:
    """Ctrl-C may strike between any two lines there, and what is kept has to be whole."""

    def route(state: Box) -> str:
        routed_on.append(threading.current_thread())
        return END

    routed_on: list[threading.Thread] = []
    routed_by(route, checkpointer=InMemorySaver()).invoke({"value": 0}, THREAD)
    routed_by(route).invoke({"value": 0})
    first, second = routed_on
    assert first is not second is threading.main_thread()


def test_a_run_within_a_limited_time_is_on_the_loop() -> None:
    graph = chain(name_of_thread)
    assert graph.invoke({"value": 0}, timeout=PATIENCE) == {"value": "aiograph-worker"}


def test_a_verb_that_is_overridden_is_on_a_loop_from_its_first_line() -> None:
    class Own:
        async def ask(self) -> bool:
            return bridge.running_loop() is not None

        tell = blocking(ask, begins_here=lambda _: True)

    class Other(Own):
        async def ask(self) -> bool:
            return bridge.running_loop() is not None

    assert not Own().tell()
    assert Other().tell()


# -- cancelling what is on its way to the loop ---------------------------------------------------------


def test_work_that_is_cancelled_on_its_way_to_the_loop_cleans_up() -> None:
    log: list[str] = []

    async def work(_: Any) -> None:
        try:
            await need_loop()
        finally:
            log.append("cleaned up" if bridge.running_loop() else "on no loop")

    call = Call(Verb("awork"), work, patient=True, begins_here=True)
    call.begin_here()
    assert not call.is_done
    call.request_cancel()
    until(lambda: call.is_done)
    assert log == ["cleaned up"]
    assert isinstance(call.error, asyncio.CancelledError)


def test_ctrl_c_in_a_node_that_needs_no_loop_ends_the_call() -> None:
    done = script(
        """
        def node(state):
            ctrl_c()
            time.sleep(60)

        graph = chain(node)
        try:
            graph.invoke({"value": 0})
        except KeyboardInterrupt:
            say("interrupted")
        say(chain(lambda state: {"value": "usable"}).invoke({"value": 0}))
        """
    )
    assert done.said == ["interrupted", "{'value': 'usable'}"], done.complaints
