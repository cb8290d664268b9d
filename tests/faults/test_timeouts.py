"""Nodes and supersteps that take too long: what is raised, what is kept, and code that cannot be stopped.

All on virtual time. Synchronous nodes that run too long wait for an event that the test sets when it is
done with them, and the clock does not wait for their threads.
"""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from aiograph._threads import thread_statistics
from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import NodeTimeoutError
from aiograph.graph import END, START, StateGraph
from aiograph.testing.clock import run_virtual
from aiograph.types import RetryPolicy
from tests.faults.rig import CONFIG, Graph, State


class Nodes:
    """Nodes of several speeds, and how often each has come to its end."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.begun = threading.Event()
        self.release = threading.Event()

    def taking(self, seconds: float, name: str) -> Any:
        async def node(state: State) -> dict[str, Any]:
            await asyncio.sleep(seconds)
            self.ended.append(name)
            return {"trail": [name]}

        return node

    def in_a_thread(self, name: str) -> Any:
        """Takes until it is released."""

        def node(state: State) -> dict[str, Any]:
            self.begun.set()
            self.release.wait(30)
            self.ended.append(name)
            return {"trail": [name]}

        return node

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Runs on a clock that waits for a thread to begin, and for nothing else that threads do."""
        return run_virtual(main, busy=lambda: not self.begun.is_set())


def side_by_side(
    nodes: dict[str, Any],
    *,
    saver: BaseCheckpointSaver | None = None,
    step: float | None = None,
    **options: Any,
) -> Graph:
    """A graph of one superstep; options are those of the node `slow`."""
    builder = StateGraph(State)
    for name, node in nodes.items():
        builder.add_node(name, node, **(options if name == "slow" else {}))
        builder.add_edge(START, name).add_edge(name, END)
    return builder.compile(checkpointer=saver, step_timeout=step)


def no_thread_left(nodes: Nodes, ends: int) -> None:
    """Releases what was abandoned and waits for its end."""
    nodes.release.set()
    patience = threading.Event()
    for _ in range(3000):
        if thread_statistics().abandoned == 0 and len(nodes.ended) == ends:
            return
        patience.wait(0.01)
    raise AssertionError("abandoned code never ended")


# -- supersteps ------------------------------------------------------------------------------------


def test_a_superstep_that_takes_too_long_names_who_still_ran() -> None:
    nodes = Nodes()
    quick, slow = nodes.taking(1, "quick"), nodes.taking(10, "slow")
    graph = side_by_side({"quick": quick, "slow": slow}, step=5)
    with pytest.raises(TimeoutError, match=r"step 1 .*step_timeout of 5 s; still running: 'slow'"):
        run_virtual(graph.ainvoke({}))
    assert nodes.ended == ["quick"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_what_finished_in_time_does_not_run_again(durability: Any) -> None:
    nodes, saver = Nodes(), InMemorySaver()
    quick, slow = nodes.taking(1, "quick"), nodes.taking(10, "slow")
    graph = side_by_side({"quick": quick, "slow": slow}, saver=saver, step=5)
    with pytest.raises(TimeoutError):
        run_virtual(graph.ainvoke({}, CONFIG, durability=durability))
    patient = side_by_side({"quick": quick, "slow": slow}, saver=saver)
    assert run_virtual(patient.ainvoke(None, CONFIG))["trail"] == ["quick", "slow"]
    assert nodes.ended == ["quick", "slow"]


def test_each_superstep_has_the_whole_time() -> None:
    nodes = Nodes()
    builder = StateGraph(State)
    builder.add_node("a", nodes.taking(4, "a")).add_node("b", nodes.taking(4, "b"))
    graph = builder.add_edge(START, "a").add_edge("a", "b").add_edge("b", END).compile(step_timeout=5)
    assert run_virtual(graph.ainvoke({}))["trail"] == ["a", "b"]


def test_a_timeout_of_the_nodes_own_is_not_taken_for_the_supersteps() -> None:
    async def node(state: State) -> None:
        async with asyncio.timeout(1):
            await asyncio.sleep(2)

    with pytest.raises(TimeoutError) as caught:
        run_virtual(side_by_side({"node": node}, step=5).ainvoke({}))
    assert "step_timeout" not in str(caught.value)


def test_a_synchronous_node_is_given_up_with_its_superstep() -> None:
    nodes = Nodes()
    graph = side_by_side({"quick": nodes.taking(1, "quick"), "slow": nodes.in_a_thread("slow")}, step=5)
    with pytest.raises(TimeoutError, match="still running: 'slow'"):
        nodes.run(graph.ainvoke({}))
    assert thread_statistics().abandoned == 1
    no_thread_left(nodes, 2)


# -- nodes -----------------------------------------------------------------------------------------


def test_a_node_that_takes_too_long_is_named() -> None:
    nodes = Nodes()
    graph = side_by_side({"slow": nodes.taking(10, "slow")}, timeout=2.5)
    with pytest.raises(NodeTimeoutError, match=r"'slow'.* 2\.5 s") as caught:
        run_virtual(graph.ainvoke({}))
    assert (caught.value.node, caught.value.timeout) == ("slow", 2.5)
    assert nodes.ended == []


def test_a_node_in_time_is_not_disturbed() -> None:
    nodes = Nodes()
    graph = side_by_side({"slow": nodes.taking(2, "slow")}, timeout=2.5)
    assert run_virtual(graph.ainvoke({}))["trail"] == ["slow"]


def test_every_attempt_has_the_whole_time() -> None:
    began: list[float] = []

    async def node(state: State) -> dict[str, Any]:
        began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(10 if len(began) < 3 else 1)
        return {"trail": ["slow"]}

    policy = RetryPolicy(initial_interval=1, backoff_factor=2, jitter=False)
    graph = side_by_side({"slow": node}, timeout=2, retry_policy=policy)
    assert run_virtual(graph.ainvoke({}))["trail"] == ["slow"]
    assert began == [0, 3, 7]


def test_a_node_out_of_time_cancels_its_siblings_like_any_failure() -> None:
    nodes = Nodes()
    both = {"other": nodes.taking(5, "other"), "slow": nodes.taking(10, "slow")}
    with pytest.raises(NodeTimeoutError):
        run_virtual(side_by_side(both, timeout=2).ainvoke({}))
    assert nodes.ended == []
    with pytest.raises(NodeTimeoutError):
        run_virtual(side_by_side(both, timeout=2).ainvoke({}, on_error="finish"))
    assert nodes.ended == ["other"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_what_an_abandoned_node_returns_later_counts_for_nothing(durability: Any) -> None:
    nodes, saver = Nodes(), InMemorySaver()
    graph = side_by_side({"slow": nodes.in_a_thread("late")}, saver=saver, timeout=2)
    with pytest.raises(NodeTimeoutError):
        nodes.run(graph.ainvoke({"trail": ["0"]}, CONFIG, durability=durability))
    assert thread_statistics().abandoned == 1
    no_thread_left(nodes, 1)
    assert run_virtual(graph.aget_state(CONFIG)).next == ("slow",)
    patient = side_by_side({"slow": nodes.taking(1, "slow")}, saver=saver)
    assert run_virtual(patient.ainvoke(None, CONFIG))["trail"] == ["0", "slow"]


def test_an_attempt_may_follow_one_that_was_abandoned() -> None:
    nodes = Nodes()
    late = nodes.in_a_thread("late")

    def node(state: State) -> Any:
        return {"trail": ["in time"]} if nodes.begun.is_set() else late(state)

    policy = RetryPolicy(max_attempts=2, initial_interval=0, jitter=False)
    graph = side_by_side({"slow": node}, timeout=2, retry_policy=policy)

    def busy() -> int:
        """The first attempt until it has begun, and any other until it has ended."""
        others = thread_statistics().busy - 1
        return max(others, not nodes.begun.is_set())

    assert run_virtual(graph.ainvoke({}), busy=busy)["trail"] == ["in time"]
    assert thread_statistics().abandoned == 1
    no_thread_left(nodes, 1)


def test_a_nested_graph_keeps_what_it_has_done_when_its_node_runs_out_of_time() -> None:
    nodes, saver = Nodes(), InMemorySaver()
    builder = StateGraph(State)
    builder.add_node("a", nodes.taking(1, "a")).add_node("b", nodes.taking(3, "b"))
    inner = builder.add_edge(START, "a").add_edge("a", "b").add_edge("b", END).compile()
    with pytest.raises(NodeTimeoutError):
        run_virtual(side_by_side({"slow": inner}, saver=saver, timeout=2).ainvoke({}, CONFIG))
    patient = side_by_side({"slow": inner}, saver=saver)
    assert run_virtual(patient.ainvoke(None, CONFIG))["trail"] == ["a", "b"]
    assert nodes.ended == ["a", "b"]
