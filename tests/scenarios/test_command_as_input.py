"""`Command` as input: the caller changes the state of a thread, or where it goes on, and answers at once."""

import operator
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.channels import LastValue
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.errors import (
    CheckpointSerializationError,
    EmptyInputError,
    InvalidUpdateError,
    UnknownInterruptError,
)
from aiograph.graph import END, START, StateGraph
from aiograph.pregel import NodeBuilder, Pregel
from aiograph.types import Command, Durability, RunnableConfig, Send, interrupt
from aiograph.warnings import UnknownKeyWarning

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[str], operator.add]


def name_of(name: str) -> Any:
    """A node that logs its name, and its argument if a `Send` gave it one."""
    return lambda state: {"log": [name if isinstance(state, dict) else f"{name}({state})"]}


def chain(saver: Any = None, **options: Any) -> Any:
    """`a`, then `b`; `x` and `y` are reached by a goto alone."""
    builder = StateGraph(State)
    for name in "abxy":
        builder.add_node(name, name_of(name))
    builder.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
    # a router that never takes these ways: the graph is to be valid
    builder.add_conditional_edges("b", lambda state: END, ["x", "y", END])
    return builder.compile(saver, **options)


async def stopped(**options: Any) -> Any:
    """A thread on which `a` has run and `b` is due."""
    graph = chain(InMemorySaver(), interrupt_before=["b"], **options)
    await graph.ainvoke({"log": ["in"]}, THREAD)
    return graph


# -- on a fresh thread ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "log"),
    [
        (Command(update={"log": ["u"]}), ["u", "a", "b"]),
        (Command(update=[("log", ["u"]), ("log", ["v"])]), ["u", "v", "a", "b"]),
        (Command(update={"log": ["u"]}, goto=[]), ["u", "a", "b"]),
        (Command(goto="b"), ["b"]),
        (Command(update={"log": ["u"]}, goto="b"), ["u", "b"]),
        (Command(update={"log": ["u"]}, goto=["x", "a"]), ["u", "a", "x", "b"]),
        (Command(goto=[Send("x", 1), Send("x", 2), "y"]), ["y", "x(1)", "x(2)"]),
        (Command(update={"log": ["u"]}, goto=END), ["u"]),
    ],
)
@pytest.mark.parametrize("saver", [None, InMemorySaver])
async def test_an_update_is_the_input_and_a_goto_stands_for_the_edges_of_start(
    command: Command[Any], log: list[str], saver: Any
) -> None:
    config = THREAD if saver else None
    assert (await chain(saver and saver()).ainvoke(command, config))["log"] == log


@pytest.mark.parametrize("command", [Command(), Command(goto=()), Command(goto=[])])
async def test_an_empty_command_needs_a_thread_to_go_on_with(command: Command[Any]) -> None:
    with pytest.raises(EmptyInputError, match="no checkpoint to resume from"):
        await chain(InMemorySaver()).ainvoke(command, THREAD)
    with pytest.raises(EmptyInputError, match="no checkpoint to resume from"):
        await chain().ainvoke(command)


async def test_a_first_command_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(EmptyInputError, match="leads nowhere and changes nothing"):
        await chain().ainvoke(Command(goto=END))


async def test_a_first_command_is_the_input_checkpoint_of_the_thread() -> None:
    graph = chain(InMemorySaver())
    await graph.ainvoke(Command(update={"log": ["u"]}, goto="b"), THREAD)
    history = [each async for each in graph.aget_state_history(THREAD)]
    assert [(each.metadata["source"], each.next) for each in history] == [("loop", ()), ("input", ("b",))]
    assert history[-1].values == {"log": ["u"]}


async def test_the_supersteps_of_a_first_command_are_counted_from_its_goto() -> None:
    limited: RunnableConfig = {"recursion_limit": 2}
    assert (await chain().ainvoke(Command(goto="a"), limited))["log"] == ["a", "b"]
    assert (await chain().ainvoke(Command(update={"log": []}), limited))["log"] == ["a", "b"]


async def test_a_thread_whose_memory_was_cleared_is_fresh() -> None:
    graph = await stopped()
    await graph.aclear_state(THREAD)
    with pytest.raises(EmptyInputError, match="memory was cleared"):
        await graph.ainvoke(Command(), THREAD)
    assert await graph.ainvoke(Command(goto="y"), THREAD) == {"log": ["y"]}


# -- on a thread with something to do ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "log"),
    [
        (Command(), ["in", "a", "b"]),
        (Command(goto=END), ["in", "a", "b"]),
        (Command(update={"log": ["u"]}), ["in", "a", "u", "b"]),
        (Command(goto="x"), ["in", "a", "b", "x"]),
        (Command(goto="b"), ["in", "a", "b"]),
        (Command(update={"log": ["u"]}, goto=[Send("x", 1), "y"]), ["in", "a", "u", "b", "y", "x(1)"]),
    ],
)
async def test_what_was_due_is_due_beside_what_the_command_adds(
    command: Command[Any], log: list[str]
) -> None:
    graph = await stopped()
    assert (await graph.ainvoke(command, THREAD))["log"] == log
    assert (await graph.aget_state(THREAD)).values["log"] == log


async def test_waiting_sends_are_not_pushed_out_by_new_ones() -> None:
    graph = chain(InMemorySaver(), interrupt_before=["x"])
    await graph.ainvoke(Command(goto=[Send("x", 1), Send("x", 2)]), THREAD)
    output = await graph.ainvoke(Command(goto=[Send("x", 3), "y"]), THREAD)
    assert output["log"] == ["y", "x(1)", "x(2)", "x(3)"]


async def test_a_finished_thread_is_changed_and_taken_up_again() -> None:
    graph = chain(InMemorySaver())
    await graph.ainvoke({"log": []}, THREAD)
    assert (await graph.ainvoke(Command(update={"n": 1}), THREAD))["n"] == 1
    assert (await graph.aget_state(THREAD)).values["n"] == 1
    output = await graph.ainvoke(Command(update={"n": 2}, goto="x"), THREAD)
    assert output == {"n": 2, "log": ["a", "b", "x"]}
    assert (await graph.aget_state(THREAD)).values == output


async def test_commands_add_up_until_the_thread_moves_on() -> None:
    graph = chain(InMemorySaver())
    await graph.ainvoke({"log": []}, THREAD)
    for name in "uvw":
        await graph.ainvoke(Command(update={"log": [name]}), THREAD)
    expected = ["a", "b", "u", "v", "w"]
    assert (await graph.aget_state(THREAD)).values["log"] == expected
    assert (await graph.ainvoke({"log": ["in"]}, THREAD))["log"] == [*expected, "in", "a", "b"]


async def test_an_update_from_outside_counts_what_a_command_has_written() -> None:
    graph = chain(InMemorySaver())
    await graph.ainvoke({"log": []}, THREAD)
    await graph.ainvoke(Command(update={"n": 1}), THREAD)
    await graph.aupdate_state(THREAD, {"log": ["v"]}, as_node="b")
    assert (await graph.aget_state(THREAD)).values == {"n": 1, "log": ["a", "b", "v"]}


async def test_a_stream_begins_with_what_the_command_has_changed() -> None:
    graph = await stopped()
    chunks = [chunk async for chunk in graph.astream(Command(update={"n": 5}), THREAD, stream_mode="values")]
    assert [(chunk["n"], chunk["log"]) for chunk in chunks] == [(5, ["in", "a"]), (5, ["in", "a", "b"])]


def test_it_works_from_synchronous_code() -> None:
    graph = chain(InMemorySaver())
    graph.invoke({"log": []}, THREAD)
    assert list(graph.stream(Command(goto="x"), THREAD)) == [{"x": {"log": ["x"]}}]


async def test_a_deferred_node_waits_for_what_was_due() -> None:
    builder = StateGraph(State).add_node("a", name_of("a")).add_node("b", name_of("b"))
    builder.add_node("last", name_of("last"), defer=True)
    builder.add_edge(START, "a").add_edge("a", "b")
    builder.add_conditional_edges("b", lambda state: END, ["last", END])
    graph = builder.compile(InMemorySaver(), interrupt_before=["a"])
    await graph.ainvoke({"log": []}, THREAD)
    assert (await graph.ainvoke(Command(goto="last"), THREAD))["log"] == ["a", "b", "last"]


# -- with an answer ------------------------------------------------------------------------------------


def asking(saver: Any) -> Any:
    """`left` asks, `right` does not; they run side by side."""
    builder = StateGraph(State).add_node("left", lambda s: {"log": [f"{interrupt('?')} {s.get('n')}"]})
    builder.add_node("right", name_of("right")).add_node("x", name_of("x"))
    builder.add_edge(START, "left").add_edge(START, "right")
    builder.add_conditional_edges("right", lambda state: END, ["x", END])
    return builder.compile(saver)


async def test_the_node_that_asked_sees_the_update_that_comes_with_the_answer() -> None:
    graph = asking(InMemorySaver())
    await graph.ainvoke({"log": []}, THREAD)
    output = await graph.ainvoke(Command(resume="yes", update={"n": 3}, goto="x"), THREAD)
    assert output["log"] == ["yes 3", "right", "x"]


async def test_a_question_stays_open_under_a_command_that_does_not_answer() -> None:
    graph = asking(InMemorySaver())
    asked = (await graph.ainvoke({"log": []}, THREAD))["__interrupt__"]
    output = await graph.ainvoke(Command(update={"n": 1}, goto=Send("x", 1)), THREAD)
    assert output["__interrupt__"] == asked
    output = await graph.ainvoke(Command(resume={asked[0].id: "now"}), THREAD)
    assert output["log"] == ["now 1", "right", "x(1)"]


async def test_a_nested_question_is_answered_along_with_an_update() -> None:
    inner = StateGraph(State).add_node("ask", lambda state: {"log": [interrupt("?")]})
    builder = StateGraph(State).add_node("inner", inner.add_edge(START, "ask").compile())
    graph = builder.add_edge(START, "inner").compile(InMemorySaver())
    await graph.ainvoke({}, THREAD)
    output = await graph.ainvoke(Command(resume="yes", update={"n": 4}), THREAD)
    assert output == {"n": 4, "log": ["yes"]}


async def test_going_back_with_a_command_leaves_the_old_history_as_it_is() -> None:
    graph = asking(InMemorySaver())
    await graph.ainvoke({"log": []}, THREAD)
    past = (await graph.aget_state(THREAD)).config
    await graph.ainvoke(Command(resume="old"), THREAD)
    output = await graph.ainvoke(Command(resume="new", update={"n": 9}), past)
    assert output["log"] == ["new 9", "right"]
    assert (await graph.aget_state(past)).values == {"log": []}


# -- what is refused -----------------------------------------------------------------------------------


async def refused(graph: Any, command: Any, error: type[Exception], match: str) -> None:
    """Neither what is stored nor what is due has changed by a command that was refused."""
    before = await graph.aget_state(THREAD)
    with pytest.raises(error, match=match):
        await graph.ainvoke(command, THREAD)
    assert await graph.aget_state(THREAD) == before


async def test_an_unknown_target_is_refused_before_anything_is_written() -> None:
    command: Any = Command(update={"n": 1}, goto=["x", "nowhere"])
    message = r"the input goes to 'nowhere', .* \['a', 'b', 'x', 'y'\]"
    await refused(await stopped(), command, InvalidUpdateError, message)
    await refused(chain(InMemorySaver()), command, InvalidUpdateError, message)


async def test_an_answer_to_nothing_is_refused_with_all_that_comes_with_it() -> None:
    command: Any = Command(resume="yes", update={"n": 1})
    await refused(await stopped(), command, UnknownInterruptError, "none is open")
    await refused(chain(InMemorySaver()), command, UnknownInterruptError, "none is open")


async def test_what_reducers_refuse_is_refused() -> None:
    await refused(await stopped(), Command(update={"log": 3}), InvalidUpdateError, "channel 'log'")


async def test_what_cannot_be_stored_is_refused() -> None:
    command: Any = Command(update={"n": object()})
    await refused(await stopped(), command, CheckpointSerializationError, "the command that is the input")


async def test_unknown_keys_are_told_as_those_of_any_input() -> None:
    with pytest.warns(UnknownKeyWarning, match=r"the input has the keys \['m'\]"):
        await (await stopped()).ainvoke(Command(update={"m": 1}), THREAD)
    with pytest.raises(InvalidUpdateError, match=r"the input has the keys \['m'\]"):
        await chain(strict=True).ainvoke(Command(update={"m": 1}, goto="a"))


# -- crashes -------------------------------------------------------------------------------------------

COMMANDED_AND_KILLED = """
import os, signal, sys
from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.types import Command
from tests.scenarios.test_command_as_input import THREAD, killed

with SqliteSaver("threads.db") as saver:
    graph = killed(saver, lambda state: os.kill(os.getpid(), signal.SIGKILL))
    graph.invoke({"log": []}, THREAD)
    graph.invoke(Command(update={"log": ["u"]}, goto="x"), THREAD, durability=sys.argv[1])
"""


def killed(saver: Any, action: Any) -> Any:
    builder = StateGraph(State).add_node("a", name_of("a")).add_node("x", action)
    builder.add_edge(START, "a").add_conditional_edges("a", lambda state: END, ["x", END])
    return builder.compile(saver)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_a_command_outlives_the_process_that_took_it(tmp_path: Path, durability: Durability) -> None:
    command = [sys.executable, "-c", COMMANDED_AND_KILLED, durability]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run(command, cwd=tmp_path, env=env, check=False).returncode == -signal.SIGKILL
    with SqliteSaver(tmp_path / "threads.db") as saver:
        graph = killed(saver, name_of("x"))
        assert graph.get_state(THREAD).next == ("x",)
        assert graph.invoke(None, THREAD) == {"log": ["a", "u", "x"]}


# -- graphs of channels --------------------------------------------------------------------------------


def by_hand() -> Any:
    node = NodeBuilder().subscribe_only("in").do(lambda text: text * 2).write_to("out")
    channels: Any = {"in": LastValue(str), "out": LastValue(str)}
    return Pregel(
        nodes={"double": node},
        channels=channels,
        input_channels="in",
        output_channels="out",
        checkpointer=InMemorySaver(),
    )


async def test_a_graph_of_channels_takes_updates_of_channels() -> None:
    graph = by_hand()
    assert await graph.ainvoke(Command(update="ab"), THREAD) == "abab"
    assert await graph.ainvoke(Command(update={"in": "c"}), THREAD) == "cc"


async def test_a_graph_of_channels_has_no_way_for_a_goto() -> None:
    graph = by_hand()
    with pytest.raises(InvalidUpdateError, match="write to a channel that triggers the node"):
        await graph.ainvoke(Command(goto="double"), THREAD)
    await graph.ainvoke("a", THREAD)
    with pytest.raises(InvalidUpdateError, match=r"there are no channels \['m'\]"):
        await graph.ainvoke(Command(update={"m": 1}), THREAD)
    with pytest.raises(InvalidUpdateError, match="is a dict of channels, not str"):
        await graph.ainvoke(Command(update="b"), THREAD)
