"""Plain edges, joins, sequences, entry and finish points: what runs after what, and in which superstep."""

import operator
from typing import Annotated, Any, TypedDict

from aiograph.graph import END, START, StateGraph


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


def logs(name: str) -> Any:
    async def node(state: State) -> dict[str, Any]:
        return {"log": [name]}

    return node


def builder_of(names: str) -> StateGraph[State]:
    builder = StateGraph(State)
    for name in names:
        builder.add_node(name, logs(name))
    return builder


async def supersteps(builder: StateGraph[State]) -> list[str]:
    """The names of the nodes that ran together, per superstep."""
    steps: dict[int, str] = {}
    async for event in builder.compile().astream({}, stream_mode="debug"):
        if event["type"] == "task":
            steps[event["step"]] = steps.get(event["step"], "") + event["payload"]["name"]
    return [steps[step] for step in sorted(steps)]


async def test_an_edge_has_one_node_run_after_the_other() -> None:
    builder = builder_of("ab").add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
    assert await supersteps(builder) == ["a", "b"]


async def test_several_edges_from_a_node_run_their_ends_together() -> None:
    builder = builder_of("abcd").add_edge(START, "a")
    for end in "bcd":
        builder.add_edge("a", end)
    assert await supersteps(builder) == ["a", "bcd"]


async def test_a_node_that_several_edges_lead_to_runs_once_per_superstep() -> None:
    builder = (
        builder_of("abc").add_edge(START, "a").add_edge(START, "b").add_edge("a", "c").add_edge("b", "c")
    )
    assert await supersteps(builder) == ["ab", "c"]


async def test_edges_of_different_lengths_run_their_common_end_twice() -> None:
    builder = builder_of("abz").add_edge(START, "a").add_edge(START, "b").add_edge("b", "z")
    assert await supersteps(builder.add_edge("a", "b")) == ["ab", "bz", "z"]


async def test_a_list_of_starts_waits_for_all_of_them() -> None:
    builder = builder_of("abcz").add_edge(START, "a").add_edge(START, "b").add_edge("b", "c")
    assert await supersteps(builder.add_edge(["a", "c"], "z")) == ["ab", "c", "z"]


async def test_a_join_waits_anew_each_time_round() -> None:
    builder = builder_of("abz").add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b"], "z")

    def again(state: State) -> list[str]:
        return ["a", "b"] if state["log"].count("z") < 2 else [END]

    builder.add_conditional_edges("z", again, ["a", "b", END])
    assert await supersteps(builder) == ["ab", "z", "ab", "z"]


async def test_a_node_may_be_the_end_of_a_join_and_of_a_plain_edge() -> None:
    builder = builder_of("abz").add_edge(START, "a").add_edge("a", "b").add_edge("a", "z")
    assert await supersteps(builder.add_edge(["a", "b"], "z")) == ["a", "bz", "z"]


async def test_add_sequence_chains_functions_and_named_pairs() -> None:
    def first(state: State) -> dict[str, Any]:
        return {"log": ["first"]}

    builder = StateGraph(State).add_sequence([first, ("second", logs("2nd"))]).add_edge(START, "first")
    assert await builder.compile().ainvoke({}) == {"log": ["first", "2nd"]}


async def test_entry_and_finish_points_are_edges_from_start_and_to_end() -> None:
    builder = builder_of("ab").add_edge("a", "b").set_entry_point("a").set_finish_point("b")
    assert await supersteps(builder) == ["a", "b"]


async def test_a_graph_may_have_several_entry_points() -> None:
    assert await supersteps(builder_of("ab").set_entry_point("a").set_entry_point("b")) == ["ab"]


async def test_a_cycle_runs_until_its_branch_leads_out() -> None:
    def route(state: State) -> str:
        return "a" if len(state["log"]) < 5 else END

    builder = builder_of("ab").add_edge(START, "a").add_edge("a", "b")
    builder.add_conditional_edges("b", route, ["a", END])
    assert await supersteps(builder) == ["a", "b", "a", "b", "a", "b"]


async def test_the_order_in_which_nodes_and_edges_were_added_does_not_matter() -> None:
    forward = builder_of("abc").add_edge(START, "a").add_edge(START, "b").add_edge(START, "c")
    backward = builder_of("cba").add_edge(START, "c").add_edge(START, "b").add_edge(START, "a")
    assert (
        await forward.compile().ainvoke({})
        == await backward.compile().ainvoke({})
        == {"log": ["a", "b", "c"]}
    )
