"""`get_state` and `get_state_history`: a thread as it stands, and as it stood."""

import operator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import CheckpointQueryError
from aiograph.graph import START, StateGraph
from aiograph.testing.faults import FaultySaver, SaverCall
from aiograph.types import RunnableConfig, Send

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[str], operator.add]


def logs(name: str) -> Any:
    return lambda state: {"log": [name]}


def chain() -> Any:
    nodes: Any = [(name, logs(name)) for name in "abc"]
    return StateGraph(State).add_sequence(nodes).add_edge(START, "a").compile(InMemorySaver())


async def history(graph: Any, config: RunnableConfig = THREAD, **options: Any) -> list[Any]:
    return [state async for state in graph.aget_state_history(config, **options)]


# -- the state now -------------------------------------------------------------------------------------


async def test_the_state_of_a_finished_thread() -> None:
    graph = chain()
    await graph.ainvoke({"n": 1}, THREAD)
    state = await graph.aget_state(THREAD)
    assert state.values == {"n": 1, "log": ["a", "b", "c"]}
    assert (state.next, state.tasks, state.interrupts) == ((), (), ())
    assert state.metadata == {"source": "loop", "step": 3, "parents": {}}
    assert state.config["configurable"]["thread_id"] == "1"
    assert state.created_at > "2020"


async def test_what_the_engine_knows_wins_over_metadata_of_the_user() -> None:
    graph = chain()
    config: RunnableConfig = {**THREAD, "metadata": {"source": "user", "step": 99, "mine": 1}}
    await graph.ainvoke({"n": 1}, config)
    state = await graph.aget_state(THREAD)
    assert state.metadata == {"source": "loop", "step": 3, "mine": 1, "parents": {}}


async def third_is_lost(call: SaverCall) -> None:
    """The checkpoint of the first superstep, after that of the input."""
    if (call.verb, call.of_verb) == ("acommit", 3):
        raise ConnectionResetError


async def test_a_thread_whose_tasks_are_done_has_not_finished_before_their_superstep_is_stored() -> None:
    builder = StateGraph(State).add_node("c", logs("c"))
    for name in "ab":
        builder.add_node(name, logs(name)).add_edge(START, name)
    graph = builder.add_edge(["a", "b"], "c").compile(FaultySaver(InMemorySaver(), before=third_is_lost))
    with pytest.raises(ConnectionResetError):
        await graph.ainvoke({"n": 1}, THREAD, durability="sync")
    state = await graph.aget_state(THREAD)
    assert (state.values["log"], state.next) == (["a", "b"], ("c",))
    assert [task.result for task in state.tasks] == [{"log": ["a"]}, {"log": ["b"]}]
    assert (await graph.ainvoke(None, THREAD))["log"] == ["a", "b", "c"]


async def test_a_thread_that_does_not_exist_has_an_empty_state() -> None:
    state = await chain().aget_state(THREAD)
    assert (state.values, state.next, state.metadata, state.created_at) == ({}, (), None, None)
    assert (state.tasks, state.parent_config) == ((), None)
    assert await history(chain()) == []


async def test_threads_do_not_see_each_other() -> None:
    graph = chain()
    other: RunnableConfig = {"configurable": {"thread_id": "2"}}
    await graph.ainvoke({"n": 1}, THREAD)
    await graph.ainvoke({"n": 2}, other)
    assert [(await graph.aget_state(config)).values["n"] for config in (THREAD, other)] == [1, 2]
    assert len(await history(graph, other)) == 5


async def test_what_finished_in_a_broken_superstep_counts_already() -> None:
    graph = broken()
    with pytest.raises(OSError, match="bad"):
        await graph.ainvoke({"n": 1}, THREAD, on_error="finish")
    state = await graph.aget_state(THREAD)
    assert (state.values, state.next) == ({"n": 1, "log": ["good"]}, ("bad",))
    bad, good = state.tasks
    assert (bad.name, bad.error, bad.result) == ("bad", "OSError('bad')", None)
    assert (good.name, good.error, good.result) == ("good", None, {"log": ["good"]})
    assert good.path == ("__pregel_pull", "good")


async def test_as_named_by_its_id_the_same_checkpoint_is_as_it_was_stored() -> None:
    graph = broken()
    with pytest.raises(OSError, match="bad"):
        await graph.ainvoke({"n": 1}, THREAD, on_error="finish")
    live = await graph.aget_state(THREAD)
    stored = await graph.aget_state(live.config)
    assert (stored.values, stored.next) == ({"n": 1, "log": []}, ("bad", "good"))


def broken() -> Any:
    async def bad(state: State) -> None:
        raise OSError("bad")

    builder = StateGraph(State).add_node("good", logs("good")).add_node(bad)
    return builder.add_edge(START, "good").add_edge(START, "bad").compile(InMemorySaver())


async def test_pending_sends_are_among_what_is_next() -> None:
    builder = StateGraph(State).add_node("a", logs("a")).add_node("work", logs("work"))
    builder.add_conditional_edges("a", lambda state: [Send("work", 1), Send("work", 2)], ["work"])
    graph = builder.add_edge(START, "a").compile(InMemorySaver())
    await graph.ainvoke({}, THREAD)
    before = (await history(graph))[1]
    assert before.next == ("work", "work")
    assert [task.path for task in before.tasks] == [("__pregel_push", 0, False), ("__pregel_push", 1, False)]


async def test_a_graph_without_a_checkpointer_keeps_no_state() -> None:
    graph = chain().with_checkpointer(None)
    with pytest.raises(
        CheckpointQueryError, match="graph 'StateGraph' has no checkpointer, so it keeps no state"
    ):
        await graph.aget_state(THREAD)
    with pytest.raises(CheckpointQueryError, match="has no checkpointer"):
        await history(graph)


async def test_the_values_of_a_state_are_whole_whatever_the_output_schema_lets_out() -> None:
    class Output(TypedDict):
        n: int

    builder = StateGraph(State, output_schema=Output).add_node("a", logs("a")).add_edge(START, "a")
    graph = builder.compile(InMemorySaver())
    assert await graph.ainvoke({"n": 1}, THREAD) == {"n": 1}
    assert (await graph.aget_state(THREAD)).values == {"n": 1, "log": ["a"]}


def test_the_synchronous_twins_do_the_same() -> None:
    graph = chain()
    graph.invoke({"n": 1}, THREAD)
    assert graph.get_state(THREAD).values["n"] == 1
    assert [state.next for state in graph.get_state_history(THREAD)] == [
        (),
        ("c",),
        ("b",),
        ("a",),
        ("__start__",),
    ]


# -- history -------------------------------------------------------------------------------------------


async def test_history_shows_every_checkpoint_newest_first_linked_by_parents() -> None:
    graph = chain()
    await graph.ainvoke({"n": 1}, THREAD)
    states = await history(graph)
    assert [state.metadata["step"] for state in states] == [3, 2, 1, 0, -1]
    assert [state.values["log"] for state in states] == [[*"abc"], [*"ab"], ["a"], [], []]
    assert [state.parent_config for state in states] == [*(state.config for state in states[1:]), None]


async def test_history_shows_what_each_task_went_on_to_do() -> None:
    graph = chain()
    await graph.ainvoke({"n": 1}, THREAD)
    results = [task.result for state in await history(graph) for task in state.tasks]
    assert results == [{"log": ["c"]}, {"log": ["b"]}, {"log": ["a"]}, {"n": 1}]


async def test_limit_and_before() -> None:
    graph = chain()
    await graph.ainvoke({"n": 1}, THREAD)
    everything = await history(graph)
    assert await history(graph, limit=2) == everything[:2]
    assert await history(graph, before=everything[1].config) == everything[2:]
    assert await history(graph, before=everything[0].config, limit=1) == everything[1:2]


async def test_filter_by_metadata() -> None:
    graph = chain()
    for user in ("ada", "bob"):
        config: RunnableConfig = {"configurable": {"thread_id": "1", "user": user}, "metadata": {"of": user}}
        await graph.ainvoke({"n": 1}, config)
    assert len(await history(graph)) == 10
    assert len(await history(graph, filter={"user": "ada"})) == 5
    found = await history(graph, filter={"of": "bob", "source": "input"})
    assert [state.metadata["step"] for state in found] == [4]
    assert await history(graph, filter={"user": "eve"}) == []


async def test_history_of_a_checkpoint_config_is_that_of_its_thread() -> None:
    graph = chain()
    await graph.ainvoke({"n": 1}, THREAD)
    everything = await history(graph)
    assert await history(graph, everything[2].config) == everything


async def test_a_checkpoint_that_does_not_exist_has_an_empty_state() -> None:
    graph = chain()
    await graph.ainvoke({"n": 1}, THREAD)
    config: RunnableConfig = {"configurable": {"thread_id": "1", "checkpoint_id": "nowhere"}}
    assert (await graph.aget_state(config)).values == {}
