"""`RunControl`: runs are asked to stop between two supersteps, and go on later."""

import asyncio
import operator
import signal
import threading
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.errors import GraphDrained
from aiograph.graph import START, StateGraph
from aiograph.runtime import RunControl, Runtime
from aiograph.types import Command, Durability, RetryPolicy, RunnableConfig, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


def name_of(name: str) -> Any:
    return lambda state: {"log": [name]}


def stops_runs(name: str, reason: str = "release") -> Any:
    """A node that asks for the drain of the very run that it is in."""

    def node(state: State, runtime: Runtime[Any]) -> State:
        if runtime.control is not None:
            runtime.control.request_drain(reason)
        return {"log": [name]}

    return node


def chain(*nodes: tuple[str, Any], saver: Any = None, **options: Any) -> Any:
    sequence: Any = list(nodes)
    return StateGraph(State).add_sequence(sequence).add_edge(START, nodes[0][0]).compile(saver, **options)


def three(saver: Any = None, **options: Any) -> Any:
    """`a`, which asks for a drain, then `b` and `c`."""
    return chain(("a", stops_runs("a")), ("b", name_of("b")), ("c", name_of("c")), saver=saver, **options)


async def drained(graph: Any, input: Any = None, config: Any = THREAD, **options: Any) -> GraphDrained:
    with pytest.raises(GraphDrained) as caught:
        await graph.ainvoke({"log": []} if input is None else input, config, control=RunControl(), **options)
    return caught.value


# -- one graph -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_run_stops_at_the_next_boundary_and_goes_on_later(durability: Durability) -> None:
    graph = three(InMemorySaver())
    error = await drained(graph, durability=durability)
    assert error.reason == "release"
    state = await graph.aget_state(THREAD)
    assert (state.values, state.next) == ({"log": ["a"]}, ("b",))
    assert (await graph.ainvoke(None, THREAD))["log"] == ["a", "b", "c"]


async def test_the_error_carries_the_config_to_go_on_with() -> None:
    graph = three(InMemorySaver())
    config: RunnableConfig = {"configurable": {"thread_id": "1", "user": "ada"}, "recursion_limit": 9}
    error = await drained(graph, config=config)
    assert error.config == config
    assert (await graph.ainvoke(None, error.config))["log"] == ["a", "b", "c"]


async def test_the_config_does_not_lead_back_to_where_the_run_started() -> None:
    graph = three(InMemorySaver())
    await graph.ainvoke({"log": ["old"]}, THREAD)
    first = [state async for state in graph.aget_state_history(THREAD)][-1].config
    error = await drained(graph, {"log": ["new"]}, config=first)
    assert (await graph.ainvoke(None, error.config))["log"][-3:] == ["a", "b", "c"]


async def test_without_a_saver_it_stops_as_well_and_says_that_nothing_is_kept() -> None:
    error = await drained(three(), config=None)
    assert error.config is None
    assert "has no checkpointer, so nothing is kept" in str(error)


async def test_a_run_that_finishes_first_has_finished() -> None:
    control = RunControl()
    graph = chain(("a", stops_runs("a")), saver=InMemorySaver())
    assert await graph.ainvoke({"log": []}, THREAD, control=control) == {"log": ["a"]}
    assert control.drain_requested


async def test_a_run_that_starts_late_keeps_its_input_and_runs_nothing() -> None:
    graph, control = three(InMemorySaver()), RunControl()
    control.request_drain()
    with pytest.raises(GraphDrained, match="shutdown"):
        await graph.ainvoke({"log": ["in"]}, THREAD, control=control)
    assert (await graph.ainvoke(None, THREAD))["log"] == ["in", "a", "b", "c"]


async def test_siblings_of_the_superstep_finish() -> None:
    builder = StateGraph(State).add_node("a", stops_runs("a")).add_node("b", name_of("b"))
    builder.add_node("c", name_of("c")).add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b"], "c")
    graph = builder.compile(InMemorySaver())
    await drained(graph)
    assert (await graph.aget_state(THREAD)).values["log"] == ["a", "b"]


async def test_a_stream_shows_what_was_done_and_then_says_so() -> None:
    chunks = three(InMemorySaver()).astream({"log": []}, THREAD, control=RunControl())
    assert await anext(chunks) == {"a": {"log": ["a"]}}
    with pytest.raises(GraphDrained):
        await anext(chunks)


async def test_a_run_that_a_slow_consumer_holds_back_goes_no_further() -> None:
    async def node(state: State) -> State:
        return {"log": ["done"]}

    graph = chain(*((name, node) for name in "abcdef"), saver=InMemorySaver())
    control = RunControl()
    stream = graph.astream({"log": []}, THREAD, stream_mode="values", control=control)
    await anext(stream)
    for _ in range(100):  # until it is held back
        await asyncio.sleep(0)
    held_back = (await graph.aget_state(THREAD)).next
    control.request_drain()
    with pytest.raises(GraphDrained):
        [chunk async for chunk in stream]
    assert (await graph.aget_state(THREAD)).next == held_back != ()


def test_synchronous_verbs_take_a_control_too() -> None:
    graph = three(InMemorySaver())
    with pytest.raises(GraphDrained):
        graph.invoke({"log": []}, THREAD, control=RunControl())
    with pytest.raises(GraphDrained):
        list(graph.stream({"log": []}, THREAD, control=RunControl()))
    with pytest.raises(GraphDrained):
        graph.invoke({"log": []}, THREAD, control=RunControl(), stream_mode="updates")


# -- who asks ------------------------------------------------------------------------------------------


async def test_any_thread_may_ask() -> None:
    control = RunControl()
    begun, asked = threading.Event(), threading.Event()

    def ask() -> None:
        begun.wait(5)
        control.request_drain("from outside")
        asked.set()

    def wait(state: State) -> None:
        begun.set()
        asked.wait(5)

    asking = threading.Thread(target=ask)
    asking.start()
    graph = chain(("a", wait), ("b", name_of("b")), saver=InMemorySaver())
    with pytest.raises(GraphDrained, match="from outside"):
        await graph.ainvoke({"log": []}, THREAD, control=control)
    asking.join()


def test_a_signal_handler_may_ask() -> None:
    control = RunControl()
    before = signal.signal(signal.SIGTERM, lambda *_: control.request_drain("SIGTERM"))
    try:
        graph = chain(("a", lambda state: signal.raise_signal(signal.SIGTERM)), ("b", name_of("b")))
        with pytest.raises(GraphDrained, match="SIGTERM"):
            graph.invoke({"log": []}, control=control)
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_one_control_stops_all_the_runs_it_was_given_to() -> None:
    graph, control = three(InMemorySaver()), RunControl()
    runs = [graph.ainvoke({"log": []}, {"configurable": {"thread_id": n}}, control=control) for n in range(3)]
    ends = await asyncio.gather(*runs, return_exceptions=True)
    assert [type(end) for end in ends] == [GraphDrained] * 3


async def test_nodes_see_whether_they_are_to_hurry() -> None:
    seen: list[Any] = []

    def look(state: State, runtime: Runtime[Any]) -> None:
        seen.append((runtime.drain_requested, runtime.drain_reason))
        if runtime.control is not None:
            runtime.control.request_drain("soon")
            seen.append((runtime.drain_requested, runtime.drain_reason))

    await chain(("look", look)).ainvoke({"log": []})
    await chain(("look", look)).ainvoke({"log": []}, control=RunControl())
    assert seen == [(False, None), (False, None), (True, "soon")]


async def test_something_else_is_no_control() -> None:
    with pytest.raises(TypeError, match="control is a RunControl, not True"):
        await three().ainvoke({"log": []}, control=True)


# -- stops for other reasons ---------------------------------------------------------------------------


async def test_a_breakpoint_at_the_same_place_is_what_counts() -> None:
    graph = three(InMemorySaver(), interrupt_before=["b"])
    assert await graph.ainvoke({"log": []}, THREAD, control=RunControl()) == {"log": ["a"]}
    assert (await graph.ainvoke(None, THREAD))["log"] == ["a", "b", "c"]


async def test_a_breakpoint_further_on_is_not_passed_over() -> None:
    graph = three(InMemorySaver(), interrupt_before=["c"])
    await drained(graph)
    assert (await graph.ainvoke(None, THREAD))["log"] == ["a", "b"]


async def test_a_question_is_asked_although_a_drain_is_due() -> None:
    def ask(state: State, runtime: Runtime[Any]) -> State:
        if runtime.control is not None:
            runtime.control.request_drain()
        return {"log": [interrupt("?")]}

    graph = chain(("ask", ask), ("b", name_of("b")), saver=InMemorySaver())
    output = await graph.ainvoke({"log": []}, THREAD, control=RunControl())
    assert output["__interrupt__"][0].value == "?"
    assert (await graph.ainvoke(Command(resume="yes"), THREAD))["log"] == ["yes", "b"]


# -- nested graphs -------------------------------------------------------------------------------------


def called(child: Any, colour: str) -> Any:
    if colour == "node":
        return child
    if colour == "sync":
        return lambda state: child.invoke({"log": []})

    async def call(state: State) -> Any:
        return await child.ainvoke({"log": []})

    return call


COLOURS = pytest.mark.parametrize("colour", ["node", "sync", "async"])


@COLOURS
async def test_nested_graphs_stop_at_boundaries_of_their_own(colour: str) -> None:
    ran: list[str] = []

    def once(name: str) -> Any:
        def node(state: State) -> State:
            ran.append(name)
            return {"log": [name]}

        return node

    leaf = chain(("a", stops_runs("a")), ("b", once("b")), ("c", once("c")))
    middle = chain(("before", once("before")), ("sub", called(leaf, colour)))
    graph = chain(("sub", called(middle, colour)), ("after", once("after")), saver=InMemorySaver())
    error = await drained(graph)
    assert error.config == THREAD
    assert ran == ["before"]
    assert (await graph.aget_state(THREAD)).next == ("sub",)
    await graph.ainvoke(None, THREAD)
    assert ran == ["before", "b", "c", "after"]


@pytest.mark.parametrize("swallowed", [Exception, BaseException])
async def test_a_node_cannot_swallow_the_stop_of_a_graph_within_it(swallowed: type[BaseException]) -> None:
    child = three()

    async def call(state: State) -> Any:
        try:
            return await child.ainvoke({"log": []})
        except swallowed:
            return {"log": ["swallowed"]}

    graph = chain(("call", call), ("d", name_of("d")), saver=InMemorySaver())
    await drained(graph)
    assert (await graph.ainvoke(None, THREAD))["log"] == ["a", "b", "c", "d"]


async def test_a_stop_is_no_failure_that_is_tried_again() -> None:
    eager = RetryPolicy(max_attempts=3, initial_interval=0, jitter=False, retry_on=lambda error: True)
    graph = chain(("sub", three(name="child")), saver=InMemorySaver(), retry_policy=eager)
    await drained(graph)
    assert (await graph.ainvoke(None, THREAD))["log"] == ["a", "b", "c"]


async def test_a_question_beside_a_nested_stop_is_asked() -> None:
    builder = StateGraph(State).add_node("ask", lambda state: {"log": [interrupt("?")]})
    builder.add_node("sub", three()).add_edge(START, "ask").add_edge(START, "sub")
    graph = builder.compile(InMemorySaver())
    output = await graph.ainvoke({"log": []}, THREAD, control=RunControl())
    assert output["__interrupt__"][0].value == "?"
    assert sorted((await graph.ainvoke(Command(resume="yes"), THREAD))["log"]) == ["a", "b", "c", "yes"]


async def test_a_breakpoint_in_a_graph_beside_a_nested_stop_is_not_passed_over() -> None:
    guarded = chain(("x", name_of("x")), ("y", name_of("y")), interrupt_before=["y"])
    builder = StateGraph(State).add_node("guarded", guarded).add_node("sub", three())
    graph = builder.add_edge(START, "guarded").add_edge(START, "sub").compile(InMemorySaver())
    # whoever sees the run stop without an error knows that it may stand at a breakpoint
    assert await graph.ainvoke({"log": []}, THREAD, control=RunControl()) == {"log": []}
    assert sorted((await graph.ainvoke(None, THREAD))["log"]) == ["a", "b", "c", "x", "y"]


async def test_a_nested_graph_with_a_thread_of_its_own_stops_as_well() -> None:
    own = three(InMemorySaver())
    other: RunnableConfig = {"configurable": {"thread_id": "other"}}

    async def call(state: State) -> Any:
        state = (await own.aget_state(other)).values
        return await own.ainvoke(None if state else {"log": []}, other)

    graph = chain(("call", call), saver=InMemorySaver())
    await drained(graph)
    assert (await own.aget_state(other)).next == ("b",)
    assert (await graph.ainvoke(None, THREAD))["log"] == ["a", "b", "c"]


async def test_a_nested_call_may_have_a_control_of_its_own() -> None:
    child, own = three(), RunControl()

    async def call(state: State) -> Any:
        return await child.ainvoke({"log": []}, control=own)

    graph = chain(("call", call), ("d", name_of("d")), saver=InMemorySaver())
    with pytest.raises(GraphDrained):
        await graph.ainvoke({"log": []}, THREAD)
    assert own.drain_requested
    own = RunControl()
    assert (await graph.ainvoke(None, THREAD))["log"] == ["a", "b", "c", "d"]


def test_a_new_process_goes_on(tmp_path: Any) -> None:
    with SqliteSaver(tmp_path / "threads.db") as saver, pytest.raises(GraphDrained):
        chain(("sub", three()), saver=saver).invoke({"log": []}, THREAD, control=RunControl())
    with SqliteSaver(tmp_path / "threads.db") as saver:
        assert chain(("sub", three()), saver=saver).invoke(None, THREAD) == {"log": ["a", "b", "c"]}


def test_the_last_reason_counts() -> None:
    control = RunControl()
    assert (control.drain_requested, control.drain_reason) == (False, None)
    control.request_drain("one")
    control.request_drain("two")
    assert (control.drain_requested, control.drain_reason) == (True, "two")
