"""What makes nodes run, and what they write when they have run."""

from itertools import pairwise
from typing import Any, TypedDict

from aiograph.constants import BRANCH_PREFIX, END, START
from aiograph.graph import StateGraph
from aiograph.graph._ways import Ways, ways_of


class State(TypedDict):
    value: int


def nothing(state: State) -> None:
    return None


def builder(*names: str) -> StateGraph[Any, Any, Any, Any]:
    made = StateGraph(State)
    for name in names:
        made.add_node(name, nothing)
    return made


def ways(made: StateGraph[Any, Any, Any, Any]) -> Ways:
    return ways_of(made._spec)


def test_an_edge_is_a_write_to_the_channel_that_makes_its_end_run() -> None:
    found = ways(builder("a", "b").add_edge(START, "a").add_edge("a", "b").add_edge("b", END))
    assert found.after == {START: [(BRANCH_PREFIX + "a", None)], "a": [(BRANCH_PREFIX + "b", None)]}
    assert found.triggers == {"a": [BRANCH_PREFIX + "a"], "b": [BRANCH_PREFIX + "b"]}


def test_nodes_that_are_joined_write_their_names_where_the_end_waits() -> None:
    found = ways(builder("a", "b", "c").add_edge(["a", "b"], "c"))
    [channel] = found.triggers["c"][1:]
    assert found.after == {"a": [(channel, "a")], "b": [(channel, "b")]}


def test_whatever_a_branch_may_choose_is_waited_for_by_what_follows_it() -> None:
    found = ways(builder("a", "b", "c", "d").add_conditional_edges("a", nothing, ["b", "c", END], then="d"))
    [channel] = found.triggers["d"][1:]
    assert found.after == {"b": [(channel, "b")], "c": [(channel, "c")]}
    assert [branch.then for branch in found.branches["a"]] == ["d"]


def test_a_branch_that_does_not_say_may_choose_any_node() -> None:
    found = ways(builder("a", "b", "c").add_conditional_edges("a", nothing, then="c"))
    assert set(found.after) == {"a", "b", "c"}


class _Counted(set[Any]):
    """A set that counts how often it is gone through."""

    times = 0

    def __iter__(self) -> Any:
        type(self).times += 1
        return super().__iter__()


def test_edges_are_gone_through_as_often_for_many_nodes_as_for_few() -> None:
    def times(size: int) -> int:
        names = [f"n{number}" for number in range(size)]
        made = builder(*names).add_edge(START, names[0])
        for pair in pairwise(names):
            made.add_edge(*pair)
        made._spec.edges = _Counted(made._spec.edges)
        _Counted.times = 0
        made.compile()
        return _Counted.times

    assert times(30) == times(3) > 0
