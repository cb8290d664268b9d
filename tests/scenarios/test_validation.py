"""Structural validation: everything found at once, in words that say what to do."""

import operator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.errors import GraphValidationError
from aiograph.graph import END, START, StateGraph
from aiograph.warnings import GraphWarning


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[str], operator.add]


class Other(TypedDict, total=False):
    log: Annotated[list[str], lambda old, new: new]


def idle(state: State) -> dict[str, Any]:
    return {}


def builder_of(names: str) -> StateGraph[State]:
    builder = StateGraph(State)
    for name in names:
        builder.add_node(name, idle)
    return builder


def faults_of(builder: StateGraph[State]) -> tuple[str, ...]:
    with pytest.raises(GraphValidationError) as caught:
        builder.compile()
    return caught.value.faults


def test_a_sound_graph_passes_and_the_builder_is_returned() -> None:
    builder = builder_of("a").add_edge(START, "a")
    assert builder.validate() is builder


def test_no_entry_point() -> None:
    assert faults_of(builder_of("a").add_edge("a", END)) == (
        "the graph has no entry point, as nothing leaves START: add an edge from START to a node",
    )


def test_an_unknown_end_lists_what_exists_and_guesses() -> None:
    builder = StateGraph(State).add_node("search", idle).add_edge(START, "search").add_edge("search", "serch")
    assert faults_of(builder) == (
        "the edge 'search' -> 'serch' names 'serch', which does not exist "
        "(did you mean 'search'?): add that node, or use one of 'search'",
    )


@pytest.mark.parametrize("of", ["branch", "then", "join", "destinations"])
def test_unknown_names_are_found_wherever_they_stand(of: str) -> None:
    builder = builder_of("ab").add_edge(START, "a").add_edge("a", "b")
    if of == "branch":
        builder.add_conditional_edges("a", lambda state: "b", ["b", "lost"])
    elif of == "then":
        builder.add_conditional_edges("a", lambda state: "b", ["b"], then="lost")
    elif of == "join":
        builder.add_edge(["a", "lost"], "b")
    else:
        builder.add_node("c", idle, destinations=["lost"]).add_edge("a", "c")
    (fault,) = faults_of(builder)
    assert "names 'lost', which does not exist" in fault


def test_a_cycle_without_a_way_out() -> None:
    (fault,) = faults_of(builder_of("ab").add_edge(START, "a").add_edge("a", "b").add_edge("b", "a"))
    assert fault.startswith("the cycle of 'a', 'b' has no way out: ")


def test_a_cycle_with_a_branch_to_the_end_is_fine() -> None:
    builder = builder_of("ab").add_edge(START, "a").add_edge("a", "b")
    builder.add_conditional_edges("b", lambda state: END, ["a", END]).validate()


def test_a_join_that_can_never_fire() -> None:
    builder = builder_of("ab").add_edge(START, "a").add_edge(["a", "b"], "b")
    (fault,) = faults_of(builder)
    assert fault.startswith("the join of 'a', 'b' into 'b' can never fire, as 'b' can never run: ")


def test_an_unreachable_node_is_a_warning_that_points_at_the_caller() -> None:
    with pytest.warns(GraphWarning, match="node 'b' can never run, as nothing leads to it") as caught:
        builder_of("ab").add_edge(START, "a").compile()
    assert caught[0].filename == __file__


def test_all_faults_are_reported_at_once_schemas_included() -> None:
    builder = StateGraph(State, output_schema=Other).add_node("a", idle).add_node("b", idle)
    builder.add_edge("a", "b").add_edge("b", "a").add_edge("b", "lost")
    faults = faults_of(builder)  # type: ignore[arg-type]  # whatever it puts out
    assert [any(word in fault for fault in faults) for word in ("entry point", "'lost'", "'log'")] == [
        True
    ] * 3


def test_the_message_has_one_fault_a_line() -> None:
    with pytest.raises(ValueError, match=r"(?s)entry point.*\n.*'lost'"):
        builder_of("a").add_edge("a", "lost").validate()


def test_a_graph_without_nodes_has_no_entry_point() -> None:
    assert "no entry point" in faults_of(StateGraph(State))[0]
