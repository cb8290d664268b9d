"""`bulk_update_state`, and updates that stand for one of several tasks."""

import operator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.errors import CheckpointError, InvalidUpdateError
from aiograph.graph import END, START, StateGraph
from aiograph.testing.faults import FaultySaver, fail_at
from aiograph.types import RunnableConfig, Send, StateSnapshot, StateUpdate, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[str], operator.add]


def logs(name: str) -> Any:
    return lambda state: {"log": [name]}


def logged(text: str, as_node: str | None = None, task_id: str | None = None) -> StateUpdate:
    return StateUpdate({"log": [text]}, as_node, task_id)


def chain(saver: BaseCheckpointSaver | None = None) -> Any:
    nodes: Any = [(name, logs(name)) for name in "abc"]
    return StateGraph(State).add_sequence(nodes).add_edge(START, "a").compile(saver or InMemorySaver())


async def history(graph: Any) -> list[StateSnapshot]:
    """The checkpoints of the thread, oldest first."""
    return [state async for state in graph.aget_state_history(THREAD)][::-1]


FIVE = [
    [StateUpdate({"n": 1}, "__input__")],
    [StateUpdate({"n": 2}, START)],
    [logged("x", "a")],
    [logged("y")],
    [StateUpdate(None, END)],
]


async def test_supersteps_are_made_one_upon_the_other() -> None:
    graph = chain()
    config = await graph.abulk_update_state(THREAD, FIVE)
    states = await history(graph)
    assert [state.next for state in states] == [(START,), ("a",), ("b",), ("b",), ()]
    assert [(state.metadata or {})["step"] for state in states] == [-1, 0, 1, 2, 3]
    assert [state.parent_config for state in states] == [None, *(state.config for state in states[:-1])]
    assert states[-1].config == config
    assert states[-1].values == {"n": 2, "log": ["x", "y"]}


async def test_all_at_once_is_as_one_by_one() -> None:
    at_once, one_by_one = chain(), chain()
    await at_once.abulk_update_state(THREAD, FIVE)
    for superstep in FIVE:
        await one_by_one.abulk_update_state(THREAD, [superstep])
    stories = [
        [(state.values, state.next, state.metadata) for state in await history(graph)]
        for graph in (at_once, one_by_one)
    ]
    assert stories[0] == stories[1]


async def test_updates_of_one_superstep_do_not_see_each_other() -> None:
    def where(state: State) -> str:
        return "c" if state.get("n") == 1 else END

    builder = StateGraph(State).add_node("a", logs("a")).add_node("b", logs("b")).add_node("c", logs("c"))
    builder.add_edge(START, "a").add_edge(START, "b").add_conditional_edges("a", where, ["c", END])
    graph = builder.compile(InMemorySaver())
    await graph.abulk_update_state(THREAD, [[StateUpdate({"n": 1}, "b"), logged("x", "a")]])
    state = await graph.aget_state(THREAD)
    assert (state.values, state.next) == ({"n": 1, "log": ["x"]}, ())


async def test_updates_of_one_superstep_may_have_one_author() -> None:
    graph = chain()
    await graph.abulk_update_state(THREAD, [[logged("x", "a"), logged("y", "a")]])
    state = await graph.aget_state(THREAD)
    assert (state.values["log"], state.next) == (["x", "y"], ("b",))


async def test_two_updates_that_contradict_each_other_are_refused() -> None:
    graph = chain()
    with pytest.raises(InvalidUpdateError, match="'a', 'b'"):
        await graph.abulk_update_state(THREAD, [[StateUpdate({"n": 1}, "a"), StateUpdate({"n": 2}, "b")]])
    assert await history(graph) == []


@pytest.mark.parametrize("wrong", [logged("x", "nobody"), StateUpdate(5, "b"), StateUpdate({"n": 1}, END)])
async def test_if_the_third_of_five_does_not_fit_none_is_stored(wrong: StateUpdate) -> None:
    graph = chain()
    await graph.ainvoke({}, THREAD)
    before = await history(graph)
    with pytest.raises(InvalidUpdateError) as caught:
        await graph.abulk_update_state(
            THREAD, [[logged("x", "a")], [logged("y", "b")], [wrong], [logged("z", "c")], [logged("!", "c")]]
        )
    assert caught.value.__notes__ == ["in superstep 3 of 5; none of them is stored"]
    assert await history(graph) == before
    assert (await graph.aget_state(THREAD)).next == ()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 8))
async def test_if_the_saver_fails_whole_supersteps_stay(when: str, number: int) -> None:
    kept = InMemorySaver()
    mishaps: Any = {when: fail_at(number, OSError)}
    faulty = FaultySaver(kept, **mishaps)
    whole = chain()
    await whole.abulk_update_state(THREAD, FIVE)
    expected = [(state.values, state.next) for state in await history(whole)]
    try:
        await chain(faulty).abulk_update_state(THREAD, FIVE)
    except (OSError, CheckpointError):
        pass
    else:
        assert number > 6
    stored = [(state.values, state.next) for state in await history(chain(kept))]
    assert stored == expected[: len(stored)]


async def test_updates_start_from_the_checkpoint_that_the_config_names() -> None:
    graph = chain()
    await graph.ainvoke({}, THREAD)
    past = (await history(graph))[2]
    await graph.abulk_update_state(past.config, [[logged("x", "b")], [logged("y", "c")]])
    *_, first, last = await history(graph)
    assert (first.parent_config, last.values) == (past.config, {"log": ["a", "x", "y"]})


@pytest.mark.parametrize("supersteps", [[], [[]], [[logged("x", "a")], []]])
async def test_nothing_to_update_is_refused(supersteps: Any) -> None:
    with pytest.raises(InvalidUpdateError, match="there is nothing to update: pass at least one"):
        await chain().abulk_update_state(THREAD, supersteps)


async def test_of_several_updates_each_says_who_it_comes_from() -> None:
    with pytest.raises(InvalidUpdateError, match=r"each needs as_node or task_id, and .*'y'.* has neither"):
        await chain().abulk_update_state(THREAD, [[logged("x", "a"), logged("y")]])


@pytest.mark.parametrize("name", [END, "__input__", "__copy__"])
async def test_names_that_are_no_nodes_stand_alone(name: str) -> None:
    with pytest.raises(InvalidUpdateError, match=f"'{name}' is a superstep of its own"):
        await chain().abulk_update_state(THREAD, [[logged("x", "a"), StateUpdate(None, name)]])


async def test_a_copy_comes_first() -> None:
    graph = chain()
    await graph.ainvoke({}, THREAD)
    with pytest.raises(InvalidUpdateError, match="so it comes first: it is in superstep 2"):
        await graph.abulk_update_state(THREAD, [[logged("x", "a")], [StateUpdate(None, "__copy__")]])
    await graph.abulk_update_state(THREAD, [[StateUpdate(None, "__copy__")], [logged("x", "a")]])
    assert (await graph.aget_state(THREAD)).next == ("b",)


def test_the_synchronous_twin_does_the_same(tmp_path: Any) -> None:
    with SqliteSaver(tmp_path / "threads.db") as saver:
        graph = chain(saver)
        graph.bulk_update_state(THREAD, FIVE)
        assert next(graph.get_state_history(THREAD)).next == ()
        assert graph.get_state(THREAD).values == {"n": 2, "log": ["x", "y"]}


# -- which task ----------------------------------------------------------------------------------------


async def asking() -> Any:
    """A thread on which two tasks of one node wait for answers."""
    builder: Any = StateGraph(State).add_node("w", lambda state: {"log": [interrupt(state)]})
    builder.add_conditional_edges(START, lambda state: [Send("w", 1), Send("w", 2)], ["w"])
    graph = builder.compile(InMemorySaver())
    await graph.ainvoke({"n": 0}, THREAD)
    return graph


async def test_an_update_may_name_the_task_that_it_stands_for() -> None:
    graph = await asking()
    first, second = (await graph.aget_state(THREAD)).tasks
    await graph.aupdate_state(THREAD, {"log": ["two"]}, "w", second.id)
    state = await graph.aget_state(THREAD)
    assert (state.values["log"], state.next) == (["two"], ("w",))
    assert await graph.ainvoke(None, THREAD) == {
        "n": 0,
        "log": ["two"],
        "__interrupt__": list((await graph.aget_state(THREAD)).interrupts),
    }
    assert [question.value for question in (await graph.aget_state(THREAD)).interrupts] == [1]
    assert first.id not in [task.id for task in (await graph.aget_state(THREAD)).tasks]


async def test_updates_for_all_tasks_are_applied_in_the_order_of_the_tasks() -> None:
    graph = await asking()
    first, second = (await graph.aget_state(THREAD)).tasks
    updates = [logged("two", task_id=second.id), logged("one", task_id=first.id)]
    await graph.abulk_update_state(THREAD, [updates])
    state = await graph.aget_state(THREAD)
    assert (state.values["log"], state.next) == (["one", "two"], ())


async def test_without_ids_updates_stand_for_the_tasks_of_their_node_in_order() -> None:
    graph = await asking()
    await graph.abulk_update_state(THREAD, [[logged("one", "w"), logged("two", "w")]])
    state = await graph.aget_state(THREAD)
    assert (state.values["log"], state.next) == (["one", "two"], ())


async def test_history_shows_an_update_as_the_result_of_the_task_that_it_stood_for() -> None:
    graph = await asking()
    await graph.abulk_update_state(THREAD, [[logged("one", "w"), logged("two", "w")]])
    before = (await history(graph))[-2]
    assert [task.result for task in before.tasks] == [{"log": ["one"]}, {"log": ["two"]}]


async def test_an_update_of_a_past_leaves_the_results_there_alone() -> None:
    graph = await asking()
    await graph.aupdate_state(THREAD, None, END)
    *before, _ = await history(graph)
    await graph.aupdate_state(before[-1].config, {"log": ["x"]}, "w")
    assert (await history(graph))[: len(before)] == before


async def test_a_task_that_is_not_there_is_refused_with_a_list_of_those_that_are() -> None:
    graph = await asking()
    task = (await graph.aget_state(THREAD)).tasks[0]
    with pytest.raises(InvalidUpdateError, match=rf"no task 'x' waits .*{task.id} \(w\)"):
        await graph.aupdate_state(THREAD, {"log": ["x"]}, task_id="x")
    with pytest.raises(InvalidUpdateError, match="waits for an update"):
        await graph.abulk_update_state(THREAD, [[logged("x", "w", task.id), logged("y", "w", task.id)]])


async def test_a_task_of_another_node_is_refused() -> None:
    graph = await asking()
    task = (await graph.aget_state(THREAD)).tasks[0]
    with pytest.raises(InvalidUpdateError, match="is one of node 'w', not of as_node='__start__'"):
        await graph.aupdate_state(THREAD, {"log": ["x"]}, START, task.id)
