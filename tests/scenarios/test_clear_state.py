"""`clear_state`: a thread that starts anew, and can be taken back to where it was."""

import operator
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.channels import BinaryOperatorAggregate, LastValue
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver
from aiograph.constants import SHAPE
from aiograph.errors import CheckpointQueryError, EmptyInputError
from aiograph.graph import END, START, StateGraph
from aiograph.pregel import NodeBuilder, Pregel
from aiograph.types import RunnableConfig

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    name: str
    log: Annotated[list[str], operator.add]


def logs(name: str) -> Any:
    return lambda state: {"log": [name]}


def chain(saver: Any) -> Any:
    builder = StateGraph(State).add_sequence([("a", logs("a")), ("b", logs("b"))]).add_edge(START, "a")
    return builder.compile(saver)


async def history(graph: Any, **filter: Any) -> list[Any]:
    return [state async for state in graph.aget_state_history(THREAD, filter=filter or None)]


@pytest.fixture(params=["memory", "sqlite"])
async def graph(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    if request.param == "memory":
        yield chain(InMemorySaver())
        return
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "threads.db")) as saver:
        yield chain(saver)


# -- what is left --------------------------------------------------------------------------------------


async def test_a_cleared_thread_has_no_values_and_nothing_to_do(graph: Any) -> None:
    await graph.ainvoke({"name": "Ada"}, THREAD)
    await graph.aclear_state(THREAD)
    state = await graph.aget_state(THREAD)
    assert (state.values, state.next, state.tasks) == ({"log": []}, (), ())


async def test_new_input_starts_as_on_a_new_thread(graph: Any) -> None:
    await graph.ainvoke({"name": "Ada"}, THREAD)
    await graph.aclear_state(THREAD)
    assert await graph.ainvoke({}, THREAD) == {"log": ["a", "b"]}
    assert await graph.ainvoke({}, THREAD) == {"log": ["a", "b", "a", "b"]}


async def test_there_is_nothing_to_resume(graph: Any) -> None:
    await graph.ainvoke({}, THREAD)
    await graph.aclear_state(THREAD)
    with pytest.raises(EmptyInputError, match="memory was cleared"):
        await graph.ainvoke(None, THREAD)
    with pytest.raises(EmptyInputError, match="memory was cleared"):
        [chunk async for chunk in graph.astream(None, THREAD)]


async def test_no_node_counts_as_the_one_that_ran_last(graph: Any) -> None:
    await graph.ainvoke({}, THREAD)
    await graph.aclear_state(THREAD)
    await graph.aupdate_state(THREAD, {"name": "Eve"})
    assert (await graph.aget_state(THREAD)).next == ("a",)
    await graph.aupdate_state(THREAD, {"name": "Eve"}, as_node="a")
    assert await graph.ainvoke(None, THREAD) == {"name": "Eve", "log": ["b"]}


async def test_tasks_that_were_left_to_do_are_dropped() -> None:
    def fail(state: State) -> None:
        raise OSError("broken")

    builder = StateGraph(State).add_node("good", logs("good")).add_node("bad", fail)
    builder.add_edge(START, "good").add_edge(START, "bad").add_edge(["good", "bad"], END)
    graph = builder.compile(InMemorySaver(), on_error="finish")
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({}, THREAD)
    await graph.aclear_state(THREAD)
    state = await graph.aget_state(THREAD)
    assert (state.values, state.next) == ({"log": []}, ())


async def test_a_join_forgets_whom_it_has_seen() -> None:
    stopped = [OSError("broken")]

    def slow(state: State) -> Any:
        if stopped:
            raise stopped.pop()
        return {"log": ["slow"]}

    nodes = [("a", logs("a")), ("b", slow), ("end", logs("end"))]
    builder = StateGraph(State)
    for name, node in nodes:
        builder.add_node(name, node)
    builder.add_edge(START, "a").add_edge("a", "b").add_edge(["a", "b"], "end")
    graph = builder.compile(InMemorySaver())
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({}, THREAD)
    await graph.aclear_state(THREAD)
    await graph.aupdate_state(THREAD, {}, as_node="b")
    assert (await graph.aget_state(THREAD)).next == ()


async def test_a_trigger_that_holds_a_value_from_the_start_triggers_nothing() -> None:
    node = NodeBuilder().subscribe_only("sum").do(lambda value: value).write_to("seen")
    graph: Any = Pregel(
        nodes={"look": node},
        channels={"sum": BinaryOperatorAggregate(int, operator.add), "seen": LastValue(int)},
        input_channels="sum",
        output_channels="seen",
        checkpointer=InMemorySaver(),
    )
    assert await graph.ainvoke(3, THREAD) == 3
    await graph.aclear_state(THREAD)
    assert (await graph.aget_state(THREAD)).next == ()
    assert await graph.ainvoke(4, THREAD) == 4


# -- the checkpoint ------------------------------------------------------------------------------------


async def test_the_checkpoint_is_found_by_its_metadata(graph: Any) -> None:
    await graph.ainvoke({}, THREAD)
    before = await graph.aget_state(THREAD)
    config = await graph.aclear_state(THREAD, metadata={"asked_by": "ada"})
    (found,) = await history(graph, memory_cleared=True)
    assert (found.config, found.parent_config) == (config, before.config)
    assert found.metadata["asked_by"] == "ada"
    assert (found.metadata["source"], found.metadata["step"]) == ("update", before.metadata["step"] + 1)


async def test_what_marks_it_cannot_be_taken_away(graph: Any) -> None:
    await graph.aclear_state(THREAD, metadata={"memory_cleared": False, "source": "loop"})
    (found,) = await history(graph, memory_cleared=True)
    assert found.metadata["source"] == "update"


async def test_later_checkpoints_do_not_bear_the_mark(graph: Any) -> None:
    await graph.aclear_state(THREAD)
    await graph.ainvoke({}, THREAD)
    await graph.aupdate_state(THREAD, {}, as_node="b")
    assert len(await history(graph, memory_cleared=True)) == 1


async def test_it_holds_no_values_and_takes_no_version_back() -> None:
    saver: Any = InMemorySaver()
    graph = chain(saver)
    await graph.ainvoke({"name": "Ada"}, THREAD)
    before = await saver.aget(THREAD)
    await graph.aclear_state(THREAD)
    cleared = await saver.aget(THREAD)
    await graph.ainvoke({"name": "Eve"}, THREAD)
    after = await saver.aget(THREAD)
    assert set(cleared["channel_values"]) == {SHAPE}
    assert before["id"] < cleared["id"] < after["id"]
    newest = max(before["channel_versions"].values())
    for name in after["channel_values"]:
        assert after["channel_versions"][name] > newest


# -- undone --------------------------------------------------------------------------------------------


async def test_a_run_from_an_older_checkpoint_has_the_memory_back(graph: Any) -> None:
    await graph.ainvoke({"name": "Ada"}, THREAD)
    before = await graph.aget_state(THREAD)
    await graph.aclear_state(THREAD)
    assert (await graph.aget_state(before.config)).values == before.values
    assert await graph.ainvoke({}, before.config) == {"name": "Ada", "log": ["a", "b", "a", "b"]}
    assert (await graph.aget_state(THREAD)).values["name"] == "Ada"


async def test_an_update_of_an_older_checkpoint_has_the_memory_back(graph: Any) -> None:
    await graph.ainvoke({"name": "Ada"}, THREAD)
    before = await graph.aget_state(THREAD)
    await graph.aclear_state(THREAD)
    await graph.aupdate_state(before.config, {}, as_node="b")
    assert (await graph.aget_state(THREAD)).values == before.values


async def test_clearing_an_older_checkpoint_clears_the_thread(graph: Any) -> None:
    await graph.ainvoke({"name": "Ada"}, THREAD)
    old = (await history(graph))[1]
    await graph.aclear_state(old.config)
    state = await graph.aget_state(THREAD)
    assert (state.values, state.parent_config) == ({"log": []}, old.config)


# -- where it applies ----------------------------------------------------------------------------------


async def test_other_threads_keep_their_memory(graph: Any) -> None:
    other: RunnableConfig = {"configurable": {"thread_id": "2"}}
    await graph.ainvoke({"name": "Eve"}, other)
    await graph.aclear_state(THREAD)
    assert (await graph.aget_state(other)).values["name"] == "Eve"


async def test_a_thread_without_a_run_can_be_cleared(graph: Any) -> None:
    await graph.aclear_state(THREAD)
    with pytest.raises(EmptyInputError):
        await graph.ainvoke(None, THREAD)
    assert await graph.ainvoke({}, THREAD) == {"log": ["a", "b"]}


async def test_a_thread_can_be_cleared_twice(graph: Any) -> None:
    await graph.ainvoke({}, THREAD)
    await graph.aclear_state(THREAD)
    await graph.aclear_state(THREAD)
    assert (await graph.aget_state(THREAD)).values == {"log": []}
    assert len(await history(graph, memory_cleared=True)) == 2


async def test_a_graph_within_a_node_starts_anew_too() -> None:
    inner = StateGraph(State).add_node("in", logs("in")).add_edge(START, "in").compile()
    builder = StateGraph(State).add_node("outer", inner).add_edge(START, "outer")
    graph: Any = builder.compile(InMemorySaver())
    first = await graph.ainvoke({}, THREAD)
    await graph.aclear_state(THREAD)
    assert await graph.ainvoke({}, THREAD) == first


async def test_a_graph_without_a_checkpointer_has_nothing_to_clear() -> None:
    with pytest.raises(CheckpointQueryError, match="has no checkpointer, so it keeps no state"):
        await chain(None).aclear_state(THREAD)


def test_the_synchronous_twin_does_the_same() -> None:
    graph = chain(InMemorySaver())
    graph.invoke({"name": "Ada"}, THREAD)
    config = graph.clear_state(THREAD, metadata={"why": "asked"})
    state = graph.get_state(THREAD)
    assert (state.config, state.values, state.metadata["why"]) == (config, {"log": []}, "asked")
