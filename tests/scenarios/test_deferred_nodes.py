"""Deferred nodes: they wait until nothing else is left to run."""

import operator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.graph import END, START, StateGraph
from aiograph.types import Command, RunnableConfig, Send

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


def logs(name: str) -> Any:
    return lambda state: {"log": [name]}


def builder_of(names: str) -> StateGraph[State]:
    """Nodes that log their names, and a deferred node `last`."""
    builder = StateGraph(State).add_node("last", logs("last"), defer=True)
    for name in names:
        builder.add_node(name, logs(name))
    return builder


async def log_of(builder: StateGraph[State]) -> str:
    return " ".join((await builder.compile().ainvoke({}))["log"])


async def test_a_deferred_node_waits_for_the_longest_branch_and_runs_once() -> None:
    builder = builder_of("abc").add_edge(START, "a").add_edge(START, "b").add_edge("b", "c")
    assert await log_of(builder.add_edge("a", "last").add_edge("c", "last")) == "a b c last"


async def test_a_deferred_node_waits_for_branches_that_do_not_lead_to_it() -> None:
    builder = (
        builder_of("abc").add_edge(START, "last").add_edge(START, "a").add_edge("a", "b").add_edge("b", "c")
    )
    assert await log_of(builder) == "a b c last"


async def test_a_deferred_node_waits_for_sends() -> None:
    builder = builder_of("a").add_edge(START, "last")
    builder.add_conditional_edges(START, lambda state: [Send("a", {}), Send("a", {})], ["a"])
    assert await log_of(builder) == "a a last"


async def test_a_deferred_join_waits_for_its_starts_and_for_all_else() -> None:
    builder = (
        builder_of("abcd").add_edge(START, "a").add_edge(START, "b").add_edge("b", "c").add_edge("c", "d")
    )
    assert await log_of(builder.add_edge(["a", "b"], "last")) == "a b c d last"


async def test_what_follows_a_deferred_node_runs_after_it() -> None:
    builder = builder_of("ab").add_edge(START, "last").add_edge(START, "a").add_edge("last", "b")
    assert await log_of(builder) == "a last b"


async def test_a_deferred_node_in_a_cycle_waits_anew_each_time_round() -> None:
    builder = builder_of("ab").add_edge(START, "a").add_edge("a", "b").add_edge("a", "last")
    builder.add_conditional_edges("last", lambda state: "a" if len(state["log"]) < 6 else END, ["a", END])
    assert await log_of(builder) == "a b last a b last"


async def test_a_command_may_go_to_a_deferred_node() -> None:
    builder = builder_of("ab").add_edge(START, "go").add_edge(START, "a").add_edge("a", "b")
    builder.add_node("go", lambda state: Command(goto="last"), destinations=["last"])
    assert await log_of(builder) == "a b last"


async def test_a_branch_may_choose_a_deferred_node() -> None:
    builder = builder_of("ab").add_edge(START, "a").add_edge("a", "b")
    builder.add_conditional_edges(START, lambda state: "last", ["last"])
    assert await log_of(builder) == "a b last"


async def test_a_deferred_node_that_is_never_led_to_does_not_run() -> None:
    builder = builder_of("a").add_edge(START, "a")
    builder.add_conditional_edges("a", lambda state: END, ["last", END])
    assert await log_of(builder) == "a"


async def test_a_break_before_a_deferred_node_is_resumed_like_any_other() -> None:
    failures = [OSError("broken")]

    def fragile(state: State) -> dict[str, Any]:
        if failures:
            raise failures.pop()
        return {"log": ["b"]}

    builder = builder_of("a").add_edge(START, "last").add_edge(START, "a").add_edge("a", "b")
    graph = builder.add_node("b", fragile).compile(InMemorySaver())
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({}, THREAD, durability="sync")
    assert (await graph.aget_state(THREAD)).next == ("b",)
    assert (await graph.ainvoke(None, THREAD))["log"] == ["a", "b", "last"]
