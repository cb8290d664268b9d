"""`update_state` in a name that is no node's: to drop what is left, as new input, to copy; and in no name."""

import operator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import EmptyInputError, InvalidUpdateError
from aiograph.graph import END, START, StateGraph
from aiograph.types import Command, RunnableConfig, Send, StateSnapshot, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[str], operator.add]


def logs(name: str) -> Any:
    return lambda state: {"log": [name]}


def chain() -> Any:
    nodes: Any = [(name, logs(name)) for name in "abc"]
    return StateGraph(State).add_sequence(nodes).add_edge(START, "a").compile(InMemorySaver())


def side_by_side(failures: int = 99) -> Any:
    """`good` and `bad` run at once, `after` follows both; `bad` fails so many times."""
    left = [failures]

    def bad(state: State) -> State:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError("broken")
        return {"log": ["bad"]}

    builder = StateGraph(State).add_node("good", logs("good")).add_node(bad).add_node("after", logs("after"))
    builder.add_edge(START, "good").add_edge(START, "bad").add_edge(["good", "bad"], "after")
    return builder.compile(InMemorySaver(), on_error="finish")


async def broken(failures: int = 99) -> Any:
    graph = side_by_side(failures)
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({"n": 1}, THREAD)
    return graph


async def history(graph: Any, **options: Any) -> list[StateSnapshot]:
    """The checkpoints of the thread, oldest first."""
    return [state async for state in graph.aget_state_history(THREAD, **options)][::-1]


def source(state: StateSnapshot) -> str:
    assert state.metadata is not None
    return str(state.metadata["source"])


# -- END -----------------------------------------------------------------------------------------------


async def test_end_drops_what_is_left_to_do() -> None:
    graph = chain()
    await graph.ainvoke({}, THREAD, interrupt_before=["b"])
    await graph.aupdate_state(THREAD, None, END)
    state = await graph.aget_state(THREAD)
    assert (state.values, state.next, source(state)) == ({"log": ["a"]}, (), "update")
    assert await graph.ainvoke(None, THREAD) == {"log": ["a"]}


async def test_end_keeps_what_has_finished() -> None:
    graph = await broken()
    await graph.aupdate_state(THREAD, None, END)
    state = await graph.aget_state(THREAD)
    assert (state.values, state.next) == ({"n": 1, "log": ["good"]}, ())


async def test_end_drops_sends_and_questions() -> None:
    builder: Any = StateGraph(State).add_node("ask", lambda state: {"log": [interrupt("?")]})
    builder.add_conditional_edges(START, lambda state: [Send("ask", {}), Send("ask", {})], ["ask"])
    graph = builder.compile(InMemorySaver())
    await graph.ainvoke({"n": 1}, THREAD)
    await graph.aupdate_state(THREAD, None, END)
    state = await graph.aget_state(THREAD)
    assert (state.next, state.interrupts) == ((), ())


async def test_end_in_a_past_goes_back_there_to_stay() -> None:
    graph = chain()
    await graph.ainvoke({}, THREAD)
    await graph.aupdate_state((await history(graph))[3].config, None, END)
    state = await graph.aget_state(THREAD)
    assert (state.values, state.next) == ({"log": ["a", "b"]}, ())


async def test_end_takes_no_values() -> None:
    graph = await broken()
    with pytest.raises(InvalidUpdateError, match="takes no values: pass None, or the name of a node"):
        await graph.aupdate_state(THREAD, {"n": 2}, END)


# -- as input ------------------------------------------------------------------------------------------


async def test_an_update_as_input_is_what_a_run_with_that_input_starts_from() -> None:
    graph = chain()
    await graph.aupdate_state(THREAD, {"n": 9}, "__input__")
    state = await graph.aget_state(THREAD)
    assert (state.next, source(state)) == ((START,), "input")
    assert await graph.ainvoke(None, THREAD) == {"n": 9, "log": ["a", "b", "c"]}
    other: RunnableConfig = {"configurable": {"thread_id": "2"}}
    await graph.ainvoke({"n": 9}, other)
    stories = [
        [(each.values, each.next, each.metadata) async for each in graph.aget_state_history(config)]
        for config in (THREAD, other)
    ]
    assert stories[0] == stories[1]


async def test_an_update_as_input_drops_what_is_left_to_do_as_input_does() -> None:
    graph = await broken()
    await graph.aupdate_state(THREAD, {"n": 9}, "__input__")
    assert (await graph.aget_state(THREAD)).next == (START,)


@pytest.mark.parametrize("values", [None, Command(goto="a")])
async def test_as_input_something_has_to_be_passed(values: Any) -> None:
    with pytest.raises(InvalidUpdateError, match="'__input__' takes an input, not"):
        await chain().aupdate_state(THREAD, values, "__input__")


# -- copies --------------------------------------------------------------------------------------------


async def test_a_copy_is_a_sibling_of_its_original() -> None:
    graph = chain()
    await graph.ainvoke({}, THREAD)
    original = (await history(graph))[2]
    config = await graph.aupdate_state(original.config, None, "__copy__")
    copy = await graph.aget_state(THREAD)
    assert copy.config == config != original.config
    assert (copy.values, copy.next, copy.parent_config) == (
        original.values,
        original.next,
        original.parent_config,
    )
    assert copy.metadata == {**(original.metadata or {}), "source": "fork"}
    assert await graph.ainvoke(None, THREAD) == {"log": ["a", "b", "c"]}


async def test_a_copy_of_the_first_checkpoint_has_no_parent() -> None:
    graph = chain()
    await graph.ainvoke({"n": 1}, THREAD)
    await graph.aupdate_state((await history(graph))[0].config, None, "__copy__")
    assert (await graph.aget_state(THREAD)).parent_config is None
    assert await graph.ainvoke(None, THREAD) == {"n": 1, "log": ["a", "b", "c"]}


async def test_in_a_copy_tasks_run_again() -> None:
    graph = await broken(failures=1)
    await graph.aupdate_state(THREAD, None, "__copy__")
    state = await graph.aget_state(THREAD)
    assert (state.values["log"], state.next) == ([], ("bad", "good"))
    assert (await graph.ainvoke(None, THREAD))["log"] == ["bad", "good", "after"]


async def test_a_copy_may_be_changed_in_one_go() -> None:
    graph = chain()
    await graph.ainvoke({}, THREAD)
    original = (await history(graph))[2]
    await graph.aupdate_state(original.config, [({"log": ["x"]}, "b"), ({"n": 3}, "c")], "__copy__")
    *_, copy, changed = await history(graph)
    assert (source(copy), copy.parent_config) == ("fork", original.parent_config)
    assert (source(changed), changed.parent_config) == ("update", copy.config)
    assert (changed.values, changed.next) == ({"n": 3, "log": ["a", "x"]}, ("c",))
    assert [task.result for task in copy.tasks] == [{"log": ["x"]}]


async def test_a_change_of_a_copy_that_does_not_fit_leaves_no_copy() -> None:
    graph = chain()
    await graph.ainvoke({}, THREAD)
    before = await history(graph)
    with pytest.raises(InvalidUpdateError, match="not a node"):
        await graph.aupdate_state(before[2].config, [({"log": ["x"]}, "nobody")], "__copy__")
    assert await history(graph) == before


@pytest.mark.parametrize("values", [{"log": ["x"]}, 5, [{"log": ["x"]}]])
async def test_a_copy_takes_nothing_but_updates(values: Any) -> None:
    graph = chain()
    await graph.ainvoke({}, THREAD)
    with pytest.raises(InvalidUpdateError, match=r"takes None, or a list of \(values, as_node\)"):
        await graph.aupdate_state(THREAD, values, "__copy__")


async def test_a_copy_is_not_followed_by_another_name_that_is_no_nodes() -> None:
    graph = chain()
    await graph.ainvoke({}, THREAD)
    with pytest.raises(InvalidUpdateError, match="use bulk_update_state"):
        await graph.aupdate_state(THREAD, [(None, END)], "__copy__")


# -- in nobody's name ----------------------------------------------------------------------------------


async def test_nothing_in_nobodys_name_makes_a_past_the_head_and_changes_nothing() -> None:
    graph = chain()
    await graph.ainvoke({}, THREAD)
    past = (await history(graph))[2]
    await graph.aupdate_state(past.config, None)
    state = await graph.aget_state(THREAD)
    assert (state.values, state.next, state.parent_config) == (past.values, past.next, past.config)
    assert await graph.ainvoke(None, THREAD) == {"log": ["a", "b", "c"]}


async def test_nothing_in_nobodys_name_keeps_what_has_finished_and_what_is_left() -> None:
    graph = await broken(failures=1)
    await graph.aupdate_state(THREAD, None)
    state = await graph.aget_state(THREAD)
    assert (state.values["log"], state.next) == (["good"], ("bad",))
    assert (await graph.ainvoke(None, THREAD))["log"] == ["good", "bad", "after"]


# -- on a thread that does not exist -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("as_node", "lack"),
    [(END, "nothing left to do"), ("__copy__", "nothing to copy"), (None, "nothing that could be gone on")],
)
async def test_without_a_checkpoint_there_is_nothing_to_go_on_with(as_node: str | None, lack: str) -> None:
    graph = chain()
    with pytest.raises(InvalidUpdateError, match=f"the thread has no checkpoint, so there is {lack}"):
        await graph.aupdate_state(THREAD, None, as_node)
    assert await history(graph) == []
    with pytest.raises(EmptyInputError):
        await graph.ainvoke(None, THREAD)


@pytest.mark.parametrize("as_node", [END, "__input__", "__copy__"])
async def test_a_name_that_is_no_nodes_stands_for_no_task(as_node: str) -> None:
    graph = chain()
    await graph.ainvoke({}, THREAD)
    with pytest.raises(InvalidUpdateError, match="stands for no task: leave out task_id"):
        await graph.aupdate_state(THREAD, None, as_node, task_id="x")
