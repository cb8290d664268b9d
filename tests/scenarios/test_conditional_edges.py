"""Conditional edges: what a router may answer, what it sees, and what it may not."""

import asyncio
import operator
from typing import Annotated, Any, Literal, TypedDict

import pytest

from aiograph.errors import InvalidUpdateError
from aiograph.graph import END, START, StateGraph
from aiograph.types import RunnableConfig, Send

pytestmark = pytest.mark.filterwarnings("ignore:node '.*' can never run")


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[str], operator.add]


def logs(name: str) -> Any:
    def node(state: Any) -> dict[str, Any]:
        return {"log": [name if isinstance(state, dict) else f"{name}({state})"]}

    return node


def fork(path: Any, path_map: Any = None, **options: Any) -> Any:
    """A graph whose node `start` is followed by whichever of `low`, `mid` and `high` the router picks."""
    builder = StateGraph(State).add_node("start", logs("start")).add_edge(START, "start")
    for name in ("low", "mid", "high"):
        builder.add_node(name, logs(name))
    return builder.add_conditional_edges("start", path, path_map, **options).compile()


async def after_start(graph: Any, n: int = 0) -> list[str]:
    log: list[str] = (await graph.ainvoke({"n": n}))["log"]
    return log[1:]


def by_size(state: State) -> str:
    return "high" if state["n"] > 5 else "low"


@pytest.mark.parametrize(("n", "picked"), [(1, "low"), (9, "high")])
async def test_a_name_runs_that_node(n: int, picked: str) -> None:
    assert await after_start(fork(by_size), n) == [picked]


async def test_end_ends_the_path() -> None:
    assert await after_start(fork(lambda state: END)) == []


async def test_a_list_runs_all_of_its_nodes_together() -> None:
    assert await after_start(fork(lambda state: ["high", "low"])) == ["high", "low"]


async def test_an_empty_list_runs_nothing() -> None:
    assert await after_start(fork(lambda state: [])) == []


async def test_sends_run_nodes_with_arguments_of_their_own() -> None:
    graph = fork(lambda state: [Send("low", 2), Send("low", 1), "high"])
    assert await after_start(graph) == ["high", "low(2)", "low(1)"]


async def test_a_path_map_as_a_dict_translates_answers() -> None:
    assert await after_start(fork(lambda state: 1, {1: "mid", 2: "high"})) == ["mid"]


async def test_an_answer_that_is_no_key_of_the_path_map_may_be_a_node_or_send() -> None:
    assert await after_start(fork(lambda state: [Send("low", 3), "a"], {"a": "mid"})) == ["mid", "low(3)"]


async def test_a_path_map_as_a_list_names_the_possible_nodes() -> None:
    assert await after_start(fork(by_size, ["low", "high"])) == ["low"]


async def test_a_literal_annotation_names_the_possible_nodes() -> None:
    def route(state: State) -> Literal["low", "mid"]:
        return "mid"

    with pytest.warns(match="node 'high' can never run"):
        graph = fork(route)
    assert await after_start(graph) == ["mid"]


@pytest.mark.parametrize("path_map", [{True: "high", False: "low"}, {"True": "high", "False": "low"}])
async def test_a_bool_picks_from_the_path_map(path_map: Any) -> None:
    graph = fork(lambda state: state["n"] > 5, path_map)
    assert [await after_start(graph, 9), await after_start(graph, 1)] == [["high"], ["low"]]


async def test_a_router_may_be_async() -> None:
    async def route(state: State) -> str:
        await asyncio.sleep(0)
        return "mid"

    assert await after_start(fork(route)) == ["mid"]


async def test_a_router_may_ask_for_config_and_runtime() -> None:
    def route(state: State, config: RunnableConfig, runtime: Any) -> str:
        assert runtime.context is None
        return str(config["configurable"]["pick"])

    graph = fork(route)
    assert (await graph.ainvoke({}, {"configurable": {"pick": "mid"}}))["log"] == ["start", "mid"]


async def test_a_router_may_be_a_method_or_an_object() -> None:
    class Picker:
        def __call__(self, state: State) -> str:
            return "mid"

    assert await after_start(fork(Picker())) == ["mid"]


async def test_a_router_sees_the_state_with_its_nodes_own_writes_but_not_with_its_siblings() -> None:
    seen: list[Any] = []

    def look(state: State) -> str:
        seen.append(state)
        return END

    builder = StateGraph(State).add_node("a", lambda state: {"n": 2, "log": ["a"]}).add_node("b", logs("b"))
    builder.add_edge(START, "a").add_edge(START, "b").add_conditional_edges("a", look, [END])
    await builder.compile().ainvoke({"n": 1, "log": ["in"]})
    assert seen == [{"n": 2, "log": ["in", "a"]}]


async def test_several_conditional_edges_of_a_node_all_count() -> None:
    def other(state: State) -> str:
        return "mid"

    builder = StateGraph(State).add_node("start", logs("start")).add_edge(START, "start")
    builder.add_node("low", logs("low")).add_node("mid", logs("mid"))
    builder.add_conditional_edges("start", by_size, ["low"]).add_conditional_edges("start", other, ["mid"])
    assert await after_start(builder.compile()) == ["low", "mid"]


async def test_a_conditional_entry_point_looks_at_the_input() -> None:
    builder = StateGraph(State).add_node("low", logs("low")).add_node("high", logs("high"))
    graph = builder.set_conditional_entry_point(by_size, ["low", "high"]).compile()
    assert (await graph.ainvoke({"n": 7}))["log"] == ["high"]


async def test_a_router_that_raises_fails_its_node() -> None:
    def lost(state: State) -> str:
        raise LookupError("no way")

    with pytest.raises(LookupError, match="no way") as caught:
        await fork(lost).ainvoke({})
    assert "in node 'start', step 1" in caught.value.__notes__[0]


# -- then ----------------------------------------------------------------------------------------------


def fork_then(path: Any, path_map: Any = None) -> Any:
    builder = StateGraph(State).add_node("start", logs("start")).add_edge(START, "start")
    for name in ("low", "mid", "high", "after"):
        builder.add_node(name, logs(name))
    builder.add_edge("mid", "high")
    return builder.add_conditional_edges("start", path, path_map, then="after").compile()


@pytest.mark.parametrize("answer", ["low", "high"])
async def test_then_runs_after_whichever_node_was_chosen(answer: str) -> None:
    assert await after_start(fork_then(lambda state: answer)) == [answer, "after"]


async def test_then_runs_once_after_all_that_were_chosen() -> None:
    assert await after_start(fork_then(lambda state: ["low", "high"])) == ["high", "low", "after"]


async def test_then_runs_once_after_all_sends() -> None:
    sends = fork_then(lambda state: [Send("low", i) for i in range(3)])
    assert await after_start(sends) == ["low(0)", "low(1)", "low(2)", "after"]


async def test_then_does_not_wait_for_what_follows_the_chosen_node() -> None:
    graph = fork_then(lambda state: "mid", ["mid", "low"])
    assert await after_start(graph) == ["mid", "after", "high"]


async def test_then_does_not_run_when_nothing_was_chosen() -> None:
    assert await after_start(fork_then(lambda state: END)) == []


async def test_then_waits_anew_each_time_round() -> None:
    def route(state: State) -> str:
        return "low" if len(state["log"]) < 5 else END

    builder = StateGraph(State).add_node("start", logs("s")).add_node("low", logs("low"))
    builder.add_node("after", logs("after")).add_edge(START, "start").add_edge("after", "start")
    builder.add_conditional_edges("start", route, ["low", END], then="after")
    assert (await builder.compile().ainvoke({}))["log"] == ["s", "low", "after", "s", "low", "after", "s"]


# -- refusals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [None, START, 3, ("low", None)])
async def test_an_answer_that_names_nothing_is_refused(answer: Any) -> None:
    with pytest.raises(InvalidUpdateError, match=r"conditional edge from 'start' answered .*: ?|must name"):
        await fork(lambda state: answer).ainvoke({})


async def test_an_answer_outside_the_path_map_lists_its_keys() -> None:
    with pytest.raises(InvalidUpdateError, match=r"answered 3; its path_map has the keys \[1, 2\]"):
        await fork(lambda state: 3, {1: "low", 2: "mid"}).ainvoke({})


@pytest.mark.parametrize("answer", ["nowhere", Send("nowhere", 1), Send(END, 1)])
async def test_an_unknown_node_is_refused_with_a_list_of_what_exists(answer: Any) -> None:
    message = (
        r"node 'start' goes to '\w+', which is not a node .* there are \['high', 'low', 'mid', 'start'\]"
    )
    with pytest.raises(InvalidUpdateError, match=message):
        await fork(lambda state: answer).ainvoke({})


def test_two_conditional_edges_of_one_name_are_refused() -> None:
    builder = StateGraph(State).add_node("a", logs("a")).add_conditional_edges("a", by_size)
    with pytest.raises(ValueError, match="node 'a' has a conditional edge 'by_size' already"):
        builder.add_conditional_edges("a", by_size)
