"""`Command`: a node that updates the state and says where to go next."""

import operator
from typing import Annotated, Any, Literal, TypedDict

import pytest

from aiograph.errors import InvalidUpdateError
from aiograph.graph import END, START, StateGraph
from aiograph.types import Command, Send


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[str], operator.add]


def graph_of(answer: Any, *edges: tuple[str, str]) -> Any:
    """A graph whose node `start` returns `answer`, with nodes `a` and `b` that log their names."""
    builder = StateGraph(State).add_node("start", lambda state: answer, destinations=["a", "b"])
    builder.add_node("a", lambda state: {"log": ["a" if isinstance(state, dict) else f"a({state})"]})
    builder.add_node("b", lambda state: {"log": ["b"]}).add_edge(START, "start")
    for edge in edges:
        builder.add_edge(*edge)
    return builder.compile()


@pytest.mark.parametrize(
    ("goto", "log"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        (Send("a", 1), ["a(1)"]),
        ([Send("a", 2), "b", Send("a", 1)], ["b", "a(2)", "a(1)"]),
        (END, []),
        ((), []),
    ],
)
async def test_goto_says_what_runs_next(goto: Any, log: list[str]) -> None:
    assert (await graph_of(Command(goto=goto)).ainvoke({}))["log"] == log


@pytest.mark.parametrize(
    "update", [{"n": 1, "log": ["x"]}, [("n", 1), ("log", ["x"])], (("n", 1), ("log", ["x"]))]
)
async def test_update_is_a_dict_or_pairs(update: Any) -> None:
    assert await graph_of(Command(update=update)).ainvoke({}) == {"n": 1, "log": ["x"]}


async def test_pairs_may_write_a_key_more_than_once() -> None:
    command: Command[str] = Command(update=[("log", ["x"]), ("log", ["y"])])
    assert (await graph_of(command).ainvoke({}))["log"] == ["x", "y"]


async def test_static_edges_fire_as_well() -> None:
    assert (await graph_of(Command(goto="a"), ("start", "b")).ainvoke({}))["log"] == ["a", "b"]


async def test_a_target_of_both_runs_once() -> None:
    assert (await graph_of(Command(goto="a"), ("start", "a")).ainvoke({}))["log"] == ["a"]


async def test_a_list_may_hold_commands_sends_and_updates() -> None:
    answer = [Command(update={"n": 1}, goto="b"), Send("a", 5), {"log": ["x"]}]
    assert await graph_of(answer).ainvoke({}) == {"n": 1, "log": ["x", "b", "a(5)"]}


async def test_conditional_edges_see_the_update_of_a_command() -> None:
    builder = StateGraph(State).add_node("start", lambda state: Command(update={"n": 3}), destinations=[])
    builder.add_node("three", lambda state: {"log": ["three"]}).add_edge(START, "start")
    builder.add_conditional_edges("start", lambda state: "three" if state["n"] == 3 else END, ["three", END])
    assert (await builder.compile().ainvoke({}))["log"] == ["three"]


async def test_a_loop_by_goto_needs_no_edges() -> None:
    def count(state: State) -> Command[Literal["count", "__end__"]]:
        n = state.get("n", 0) + 1
        return Command(update={"n": n}, goto="count" if n < 5 else END)

    graph = StateGraph(State).add_node(count).add_edge(START, "count").compile()
    assert await graph.ainvoke({}) == {"n": 5, "log": []}


async def test_an_empty_command_does_nothing() -> None:
    assert await graph_of(Command()).ainvoke({"n": 1}) == {"n": 1, "log": []}


async def test_the_command_of_a_one_value_state_replaces_the_value() -> None:
    state: Any = Annotated[list[int], operator.add]
    builder = StateGraph(state).add_node("a", lambda state: Command(update=[2], goto="b"), destinations=["b"])
    graph = builder.add_node("b", lambda state: [sum(state)]).add_edge(START, "a").compile()
    assert await graph.ainvoke([1]) == [1, 2, 3]


async def test_an_unknown_target_is_refused_with_a_list_of_what_exists() -> None:
    message = r"node 'start' goes to 'nowhere', which is not a node .* \['a', 'b', 'start'\] and END"
    with pytest.raises(InvalidUpdateError, match=message):
        await graph_of(Command(goto="nowhere")).ainvoke({})


@pytest.mark.parametrize("goto", [3, None, [None], {"a": 1}.keys, START])
async def test_a_goto_that_names_nothing_is_refused(goto: Any) -> None:
    with pytest.raises(InvalidUpdateError, match="node 'start' goes to"):
        await graph_of(Command(goto=goto)).ainvoke({})
