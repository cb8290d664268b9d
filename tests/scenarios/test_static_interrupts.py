"""Runs that stop before or after nodes, as the graph or the caller says, and go on from there."""

import operator
from typing import Annotated, Any, Literal, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import UnknownInterruptError
from aiograph.graph import END, START, StateGraph
from aiograph.types import Command, Durability, RunnableConfig, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


def logging(name: str) -> Any:
    return lambda state: {"log": [name]}


def row(saver: Any = None, **options: Any) -> Any:
    """Three nodes, one after the other."""
    nodes: Any = [(name, logging(name)) for name in "abc"]
    builder = StateGraph(State).add_sequence(nodes).add_edge(START, "a")
    return builder.compile(InMemorySaver() if saver is None else saver, **options)


async def stops(graph: Any, **options: Any) -> list[str]:
    """What is logged at each stop and at the end, until nothing is left to do."""
    found = []
    input: Any = {}
    while True:
        output = await graph.ainvoke(input, THREAD, **options)
        found.append("".join(output["log"]))
        if not (await graph.aget_state(THREAD)).next:
            return found
        input = None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"interrupt_before": ["b"]}, ["a", "abc"]),
        ({"interrupt_after": ["b"]}, ["ab", "abc"]),
        ({"interrupt_before": ["a", "c"]}, ["", "ab", "abc"]),
        ({"interrupt_before": "*"}, ["", "a", "ab", "abc"]),
        ({"interrupt_after": "*"}, ["a", "ab", "abc"]),
        ({"interrupt_before": ["b"], "interrupt_after": ["a"]}, ["a", "abc"]),
        ({"interrupt_before": ["c"], "interrupt_after": ["a"]}, ["a", "ab", "abc"]),
        ({"interrupt_before": [], "interrupt_after": []}, ["abc"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("place", ["compile", "call"])
async def test_a_run_stops_where_it_is_told(options: dict[str, Any], expected: list[str], place: str) -> None:
    if place == "compile":
        assert await stops(row(**options)) == expected
    else:
        assert await stops(row(), **options) == expected


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_stopped_run_goes_on_whatever_the_durability(durability: Durability) -> None:
    graph = row(interrupt_before=["b"], interrupt_after=["b"])
    assert await stops(graph, durability=durability) == ["a", "ab", "abc"]


def test_synchronous_runs_stop_too() -> None:
    graph = row(interrupt_before=["c"])
    assert graph.invoke({}, THREAD) == {"log": ["a", "b"]}
    assert graph.get_state(THREAD).next == ("c",)
    assert graph.invoke(None, THREAD) == {"log": ["a", "b", "c"]}


async def test_a_call_may_switch_off_what_the_graph_says() -> None:
    graph = row(interrupt_before=["b"])
    assert await graph.ainvoke({}, THREAD, interrupt_before=[]) == {"log": ["a", "b", "c"]}


async def test_what_a_call_says_replaces_what_the_graph_says() -> None:
    graph = row(interrupt_before=["b"])
    assert await graph.ainvoke({}, THREAD, interrupt_before=["c"]) == {"log": ["a", "b"]}


async def test_a_stop_after_the_last_node_leaves_nothing_to_do() -> None:
    graph = row(interrupt_after=["c"])
    chunks = [chunk async for chunk in graph.astream({}, THREAD)]
    assert chunks[-2:] == [{"c": {"log": ["c"]}}, {"__interrupt__": ()}]
    assert (await graph.aget_state(THREAD)).next == ()
    assert await graph.ainvoke(None, THREAD) == {"log": ["a", "b", "c"]}


@pytest.mark.parametrize(("mode", "last"), [("updates", {"__interrupt__": ()}), ("values", {"log": ["a"]})])
async def test_a_stop_is_shown_without_questions_and_is_no_value(mode: Any, last: Any) -> None:
    graph = row(interrupt_before=["b"])
    chunks = [chunk async for chunk in graph.astream({}, THREAD, stream_mode=mode)]
    assert chunks[-1] == last
    state = await graph.aget_state(THREAD)
    assert (state.next, state.interrupts) == (("b",), ())


async def test_a_loop_stops_in_each_lap() -> None:
    def again(state: State) -> Literal["a", "__end__"]:
        return "a" if len(state["log"]) < 3 else END

    builder = StateGraph(State).add_node("a", logging("a")).add_edge(START, "a")
    graph: Any = builder.add_conditional_edges("a", again).compile(InMemorySaver(), interrupt_before=["a"])
    assert await stops(graph) == ["", "a", "aa", "aaa"]


async def test_one_name_stops_all_nodes_of_its_superstep() -> None:
    builder = StateGraph(State)
    for name in "abc":
        builder.add_node(name, logging(name)).add_edge(START, name)
    graph: Any = builder.compile(InMemorySaver(), interrupt_before=["b"])
    assert await graph.ainvoke({}, THREAD) == {"log": []}
    assert (await graph.aget_state(THREAD)).next == ("a", "b", "c")
    assert await graph.ainvoke(None, THREAD) == {"log": ["a", "b", "c"]}


async def test_new_input_stops_again() -> None:
    graph = row(interrupt_before=["b"])
    await graph.ainvoke({}, THREAD)
    assert await graph.ainvoke({"log": ["new"]}, THREAD) == {"log": ["a", "new", "a"]}
    assert (await graph.aget_state(THREAD)).next == ("b",)


async def test_an_update_at_a_stop_counts_and_the_run_goes_on() -> None:
    graph = row(interrupt_before=["b"])
    await graph.ainvoke({}, THREAD)
    await graph.aupdate_state(THREAD, {"log": ["by hand"]})
    assert await graph.ainvoke(None, THREAD) == {"log": ["a", "by hand", "b", "c"]}


async def test_a_stop_at_an_older_checkpoint_is_passed() -> None:
    graph = row(interrupt_before=["b"])
    await stops(graph)
    (past,) = [state async for state in graph.aget_state_history(THREAD) if state.next == ("b",)]
    assert await graph.ainvoke(None, past.config) == {"log": ["a", "b", "c"]}


async def test_a_node_that_the_run_stops_before_may_ask_as_well() -> None:
    async def ask(state: State) -> State:
        return {"log": [interrupt("well?")]}

    builder = StateGraph(State).add_node("a", ask).add_edge(START, "a")
    graph: Any = builder.compile(InMemorySaver(), interrupt_before=["a"], interrupt_after=["a"])
    assert await graph.ainvoke({}, THREAD) == {"log": []}
    (question,) = (await graph.ainvoke(None, THREAD))["__interrupt__"]
    assert await graph.ainvoke(Command(resume={question.id: "x"}), THREAD) == {"log": ["x"]}
    assert (await graph.aget_state(THREAD)).next == ()


async def test_a_stop_is_no_question_that_could_be_answered() -> None:
    graph = row(interrupt_before=["b"])
    await graph.ainvoke({}, THREAD)
    with pytest.raises(UnknownInterruptError, match="none is open"):
        await graph.ainvoke(Command(resume="x"), THREAD)
    assert await graph.ainvoke(Command(), THREAD) == {"log": ["a", "b", "c"]}


async def test_a_graph_inside_a_node_stops_the_graph_around_it() -> None:
    nodes: Any = [(name, logging(name)) for name in "abc"]
    inner = StateGraph(State).add_sequence(nodes).add_edge(START, "a").compile(interrupt_before=["b", "c"])
    builder = StateGraph(State).add_node("inner", inner).add_node("beside", logging("beside"))
    graph: Any = builder.add_edge(START, "inner").add_edge(START, "beside").compile(InMemorySaver())
    inputs: list[Any] = [{}, None]
    for input in inputs:
        assert await graph.ainvoke(input, THREAD) == {"log": ["beside"]}
        assert (await graph.aget_state(THREAD)).next == ("inner",)
    assert await graph.ainvoke(None, THREAD) == {"log": ["beside", "a", "b", "c"]}


async def test_a_node_whose_graph_has_stopped_is_not_shown_as_finished() -> None:
    inner = StateGraph(State).add_node("a", logging("a")).add_edge(START, "a").compile(interrupt_before="*")
    graph = StateGraph(State).add_node("inner", inner).add_edge(START, "inner").compile(InMemorySaver())
    chunks = [chunk async for chunk in graph.astream({}, THREAD, stream_mode="updates")]
    assert chunks == [{"__interrupt__": ()}]


def keeping_nothing(node: Any) -> Any:
    """A graph that keeps nothing, inside one that keeps nothing, inside one that does."""
    middle = StateGraph(State).add_node("m", node).add_edge(START, "m").compile(False)
    return StateGraph(State).add_node("inner", middle).add_edge(START, "inner").compile(InMemorySaver())


@pytest.mark.parametrize("option", ["interrupt_before", "interrupt_after"])
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_graphs_that_keep_nothing_stop_once_at_each_place(option: Any, durability: Any) -> None:
    graph = keeping_nothing(row(False, **{option: ["a", "b"]}))
    for input in ({"log": ["in"]}, None):
        output = await graph.ainvoke(input, THREAD, durability=durability)
        assert output == {"log": ["in"]}
        assert (await graph.aget_state(THREAD)).next == ("inner",)
    end = await graph.ainvoke(None, THREAD, durability=durability)
    assert end["log"][-3:] == ["a", "b", "c"]
    assert (await graph.aget_state(THREAD)).next == ()


async def test_a_graph_that_keeps_nothing_stops_and_asks() -> None:
    async def ask(state: State) -> State:
        return {"log": [interrupt("well?")]}

    nodes: Any = [("ask", ask), ("last", logging("last"))]
    asking = StateGraph(State).add_sequence(nodes).add_edge(START, "ask")
    graph = keeping_nothing(asking.compile(False, interrupt_before=["last"]))
    assert "__interrupt__" in await graph.ainvoke({"log": ["in"]}, THREAD)
    await graph.ainvoke(Command(resume="x"), THREAD)
    assert (await graph.aget_state(THREAD)).next == ("inner",)
    assert (await graph.ainvoke(None, THREAD))["log"][-2:] == ["x", "last"]


async def test_a_run_without_a_saver_stops_for_good() -> None:
    graph = row(False, interrupt_before=["b"])
    assert await graph.ainvoke({}) == {"log": ["a"]}


@pytest.mark.parametrize("option", ["interrupt_before", "interrupt_after"])
async def test_names_that_do_not_exist_are_refused(option: Any) -> None:
    with pytest.raises(ValueError, match=f"no node for {option} 'x'; there are 'a', 'b', 'c'"):
        row(**{option: ["x"]})
    with pytest.raises(ValueError, match=f"no node for {option} 'x'"):
        await row().ainvoke({}, THREAD, **{option: ["x"]})
