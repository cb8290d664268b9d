"""Compiling: the builder stays usable, what was compiled stays as it was."""

import operator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.graph import END, START, CompiledStateGraph, StateGraph
from aiograph.types import RunnableConfig, TimeoutPolicy


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


def logs(name: str) -> Any:
    return lambda state: {"log": [name]}


def builder_of(*names: str) -> StateGraph[State]:
    return StateGraph(State).add_sequence([(name, logs(name)) for name in names]).add_edge(START, names[0])


async def test_what_is_added_later_does_not_change_what_was_compiled() -> None:
    builder = builder_of("a", "b")
    before = builder.compile()
    builder.add_node("c", logs("c")).add_edge("b", "c").add_edge(START, "c")
    builder.add_conditional_edges("a", lambda state: "c", ["c"])
    assert await before.ainvoke({}) == {"log": ["a", "b"]}
    assert await builder.compile().ainvoke({}) == {"log": ["a", "c", "b", "c", "c"]}


async def test_a_path_map_that_changes_later_does_not_change_what_was_compiled() -> None:
    path_map = {"x": "a"}
    builder = StateGraph(State).add_node("a", logs("a")).add_node("b", logs("b"))
    graph = builder.add_edge("a", "b").add_conditional_edges(START, lambda state: "x", path_map).compile()
    path_map["x"] = "b"
    assert await graph.ainvoke({}) == {"log": ["a", "b"]}


async def test_a_builder_may_be_compiled_again_with_other_options() -> None:
    builder = builder_of("a")
    thread: RunnableConfig = {"configurable": {"thread_id": "1"}}
    forgetful, first, second = (
        builder.compile(),
        builder.compile(InMemorySaver()),
        builder.compile(InMemorySaver()),
    )
    for graph in (forgetful, first, first, second):
        last = await graph.ainvoke({}, thread)
    assert last == {"log": ["a"]}
    assert (await first.aget_state(thread)).values == {"log": ["a", "a"]}
    assert forgetful.checkpointer is None


async def test_the_builder_can_be_chained_from_schema_to_graph() -> None:
    graph = StateGraph(State).add_node("a", logs("a")).set_entry_point("a").set_finish_point("a").compile()
    assert isinstance(graph, CompiledStateGraph)
    assert await graph.ainvoke({}) == {"log": ["a"]}


async def test_node_defaults_reach_nodes_added_before_and_after_and_own_values_win() -> None:
    builder = builder_of("a").set_node_defaults(timeout=5).add_node("b", logs("b"), timeout=1)
    graph = builder.add_edge("a", "b").compile()
    timeouts = {name: node.timeout for name, node in graph.nodes.items()}
    assert timeouts == {"a": TimeoutPolicy(run_timeout=5), "b": TimeoutPolicy(run_timeout=1), START: None}


def test_a_graph_has_the_name_it_was_given() -> None:
    assert builder_of("a").compile(name="Report").name == "Report"


def test_a_compiled_graph_tells_its_nodes_and_channels() -> None:
    graph = builder_of("a", "b").add_edge("b", END).compile()
    assert set(graph.nodes) == {START, "a", "b"}
    engine = {START, "__pregel_tasks", "__positions__"}
    assert set(graph.channels) == {*engine, "log", "branch:to:a", "branch:to:b"}


@pytest.mark.parametrize("option", ["store", "checkpointer", "name", "cache", "debug"])
def test_options_cannot_be_set_afterwards_and_the_error_says_what_to_do(option: str) -> None:
    graph = builder_of("a").compile()
    with pytest.raises(AttributeError, match=f"'{option}' cannot be set: .*with_checkpointer"):
        setattr(graph, option, InMemorySaver())


async def test_a_verb_can_be_replaced_in_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(input: Any) -> str:
        return "replaced"

    graph = builder_of("a").compile()
    monkeypatch.setattr(graph, "ainvoke", answer)
    assert await graph.ainvoke({}) == "replaced"


def test_with_config_gives_other_defaults_and_leaves_the_graph_alone() -> None:
    graph = builder_of("a").compile()
    tagged = graph.with_config(tags=["x"]).with_config({"recursion_limit": 3})
    assert tagged is not graph
    assert tagged.invoke({}) == {"log": ["a"]}
