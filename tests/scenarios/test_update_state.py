"""`update_state`: changing a thread from outside, as if a node had returned the values."""

import operator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.channels.last_value import LastValue
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import CheckpointQueryError, InvalidUpdateError
from aiograph.graph import END, START, StateGraph
from aiograph.pregel import NodeBuilder, Pregel
from aiograph.types import Command, RunnableConfig, Send

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[str], operator.add]


def logs(name: str) -> Any:
    return lambda state: {"log": [name]}


def builder_of(names: str) -> StateGraph[State]:
    builder = StateGraph(State)
    for name in names:
        builder.add_node(name, logs(name))
    return builder


def chain() -> Any:
    builder = builder_of("abc").add_edge(START, "a").add_edge("a", "b").add_edge("b", "c")
    return builder.compile(InMemorySaver())


async def test_the_values_are_reduced_like_what_a_node_returns() -> None:
    graph = chain()
    await graph.ainvoke({"n": 1}, THREAD)
    await graph.aupdate_state(THREAD, {"n": 2, "log": ["x"]})
    assert (await graph.aget_state(THREAD)).values == {"n": 2, "log": ["a", "b", "c", "x"]}


@pytest.mark.parametrize(
    "update",
    [{"log": ["x"]}, [("log", ["x"])], Command(update={"log": ["x"]}), [Command(update={"log": ["x"]})]],
)
async def test_an_update_may_be_whatever_a_node_may_return(update: Any) -> None:
    graph = chain()
    await graph.aupdate_state(THREAD, update, as_node="c")
    assert (await graph.aget_state(THREAD)).values == {"log": ["x"]}


@pytest.mark.parametrize(("as_node", "follows"), [("a", ("b",)), ("b", ("c",)), ("c", ()), (START, ("a",))])
async def test_the_edges_of_the_node_decide_what_is_next(as_node: str, follows: tuple[str, ...]) -> None:
    graph = chain()
    await graph.ainvoke({}, THREAD)
    await graph.aupdate_state(THREAD, {"log": ["x"]}, as_node=as_node)
    assert (await graph.aget_state(THREAD)).next == follows


async def test_conditional_edges_of_the_node_see_the_updated_state() -> None:
    builder = builder_of("ab").add_edge(START, "a")
    builder.add_conditional_edges("a", lambda state: "b" if state.get("n") == 1 else END, ["b", END])
    graph = builder.compile(InMemorySaver())
    await graph.aupdate_state(THREAD, {"n": 1}, as_node="a")
    assert (await graph.aget_state(THREAD)).next == ("b",)
    await graph.aupdate_state(THREAD, {"n": 2}, as_node="a")
    assert (await graph.aget_state(THREAD)).next == ()


async def test_a_command_may_say_what_is_next() -> None:
    graph = chain()
    await graph.aupdate_state(THREAD, Command(goto=[Send("c", {}), "b"]), as_node="c")
    assert (await graph.aget_state(THREAD)).next == ("b", "c")


async def test_a_command_may_lead_back_to_the_node_itself() -> None:
    graph = chain()
    await graph.ainvoke({}, THREAD)
    await graph.aupdate_state(THREAD, Command(goto="a"), as_node="a")
    assert (await graph.aget_state(THREAD)).next == ("a", "b")


async def test_without_as_node_it_is_the_node_that_ran_last() -> None:
    graph = chain()
    await graph.aupdate_state(THREAD, {}, as_node="a")
    await graph.aupdate_state(THREAD, {"log": ["x"]})
    assert (await graph.aget_state(THREAD)).next == ("b",)


async def test_when_several_ran_last_as_node_is_needed() -> None:
    graph = builder_of("ab").add_edge(START, "a").add_edge(START, "b").compile(InMemorySaver())
    await graph.ainvoke({}, THREAD)
    with pytest.raises(
        InvalidUpdateError, match=r"not clear which node .*\['a', 'b'\].*pass as_node, one of"
    ):
        await graph.aupdate_state(THREAD, {"n": 1})


async def test_where_nothing_has_run_it_is_what_an_input_would_be() -> None:
    graph = chain()
    await graph.aupdate_state(THREAD, {"n": 1})
    state = await graph.aget_state(THREAD)
    assert (state.values, state.next, state.metadata["step"]) == ({"n": 1, "log": []}, ("a",), 0)
    assert await graph.ainvoke(None, THREAD) == {"n": 1, "log": ["a", "b", "c"]}


async def test_before_an_input_was_handed_on_an_update_stands_for_it() -> None:
    graph = chain()
    await graph.aupdate_state(THREAD, {"n": 1}, "__input__")
    await graph.aupdate_state(THREAD, {"n": 2})
    assert (await graph.aget_state(THREAD)).next == ("a",)
    assert (await graph.ainvoke(None, THREAD))["n"] == 2


async def test_in_a_graph_of_one_node_it_is_that_node_once_it_has_run() -> None:
    graph = builder_of("a").add_edge(START, "a").compile(InMemorySaver())
    await graph.aupdate_state(THREAD, {"n": 1})
    assert (await graph.aget_state(THREAD)).next == ("a",)
    await graph.ainvoke(None, THREAD)
    await graph.aupdate_state(THREAD, {"n": 2})
    assert (await graph.aget_state(THREAD)).next == ()


async def test_where_no_input_is_handed_on_as_node_is_needed() -> None:
    def node(name: str) -> Any:
        return NodeBuilder().subscribe_only("x").do(lambda x: x).write_to("y").build()

    graph: Any = Pregel(
        nodes={name: node(name) for name in "ab"},
        channels={"x": LastValue(int), "y": LastValue(int)},
        input_channels="x",
        output_channels="y",
        checkpointer=InMemorySaver(),
    )
    with pytest.raises(InvalidUpdateError, match=r"none has run.*pass as_node, one of \['a', 'b'\]"):
        await graph.aupdate_state(THREAD, 1)


async def test_an_unknown_as_node_is_refused_with_a_list_of_what_exists() -> None:
    with pytest.raises(InvalidUpdateError, match=r"as_node='x' is not a node .*\['a', 'b', 'c'\]"):
        await chain().aupdate_state(THREAD, {"n": 1}, as_node="x")


async def test_what_a_node_may_not_return_is_refused_and_nothing_is_stored() -> None:
    graph = chain()
    with pytest.raises(InvalidUpdateError, match="node 'a' must return a dict"):
        await graph.aupdate_state(THREAD, 5, as_node="a")
    assert (await graph.aget_state(THREAD)).created_at is None


async def test_the_update_is_a_checkpoint_of_its_own_and_its_config_is_returned() -> None:
    graph = chain()
    await graph.ainvoke({}, THREAD)
    before = await graph.aget_state(THREAD)
    config = await graph.aupdate_state(THREAD, {"n": 5})
    after = await graph.aget_state(THREAD)
    assert after.config == config
    assert after.parent_config == before.config
    assert (after.metadata["source"], after.metadata["step"]) == ("update", before.metadata["step"] + 1)


async def test_an_update_of_an_older_checkpoint_is_a_fork() -> None:
    graph = chain()
    await graph.ainvoke({}, THREAD)
    old = [state async for state in graph.aget_state_history(THREAD)][1]
    fork = await graph.aupdate_state(old.config, {"log": ["x"]}, as_node="b")
    assert (await graph.ainvoke(None, fork))["log"] == ["a", "b", "x", "c"]
    assert (await graph.aget_state(fork)).parent_config == old.config


async def test_a_graph_without_a_checkpointer_has_nothing_to_update() -> None:
    with pytest.raises(CheckpointQueryError, match="has no checkpointer, so it keeps no state"):
        await chain().with_checkpointer(None).aupdate_state(THREAD, {"n": 1})


def test_the_synchronous_twin_does_the_same() -> None:
    graph = chain()
    config = graph.update_state(THREAD, {"n": 1}, "a")
    assert graph.get_state(config).next == ("b",)


# -- a broken superstep --------------------------------------------------------------------------------


def broken(sends: bool = False) -> Any:
    """A graph whose nodes `bad` and `worse` fail, beside `good`, which does not; `after` follows them all."""

    def fail(state: Any) -> None:
        raise OSError("broken")

    builder = StateGraph(State).add_node("good", logs("good")).add_node("bad", fail).add_node("worse", fail)
    builder.add_node("after", logs("after")).add_node("elsewhere", logs("elsewhere")).add_edge(
        "good", "after"
    )
    builder.add_edge("bad", "after").add_edge("worse", "after")
    names = ["good", "bad", "worse"]
    targets = [Send(name, {}) for name in names] if sends else names
    builder.add_conditional_edges(START, lambda state: targets, [*names, "elsewhere"])
    return builder.compile(InMemorySaver(), on_error="finish")


@pytest.mark.parametrize("sends", [False, True])
async def test_an_update_for_a_task_that_failed_keeps_what_finished_and_what_is_left(sends: bool) -> None:
    graph = broken(sends)
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({}, THREAD)
    await graph.aupdate_state(THREAD, {"log": ["mended"]}, as_node="bad")
    state = await graph.aget_state(THREAD)
    assert sorted(state.values["log"]) == ["good", "mended"]
    assert sorted(state.next) == ["after", "worse"]


@pytest.mark.parametrize("sends", [False, True])
async def test_updates_for_all_tasks_that_failed_mend_the_superstep(sends: bool) -> None:
    graph = broken(sends)
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({}, THREAD)
    for name in ("bad", "worse"):
        await graph.aupdate_state(THREAD, {"log": [name]}, as_node=name)
    log = (await graph.ainvoke(None, THREAD))["log"]
    assert (sorted(log[:3]), log[3:]) == (["bad", "good", "worse"], ["after"])


async def test_an_update_in_another_name_drops_what_was_left_and_keeps_what_finished() -> None:
    graph = broken()
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({}, THREAD)
    await graph.aupdate_state(THREAD, {"log": ["x"]}, as_node="elsewhere")
    state = await graph.aget_state(THREAD)
    assert (state.values["log"], state.next) == (["x", "good"], ("after",))


@pytest.mark.parametrize("sends", [False, True])
async def test_what_finished_does_not_count_twice_where_an_update_has_its_node_run_again(sends: bool) -> None:
    failing = [OSError("once")]

    def fragile(state: Any) -> Any:
        if failing:
            raise failing.pop()
        return {"log": ["fragile"]}

    targets = [Send(name, {}) for name in ("good", "fragile")] if sends else ["good", "fragile"]
    builder = builder_of("a").add_node("good", logs("good")).add_node("fragile", fragile).add_edge(START, "a")
    builder.add_conditional_edges("a", lambda state: targets, ["good", "fragile"])
    graph = builder.compile(InMemorySaver(), on_error="finish")
    with pytest.raises(OSError, match="once"):
        await graph.ainvoke({}, THREAD)
    await graph.aupdate_state(THREAD, {"log": ["mended"]})
    state = await graph.aget_state(THREAD)
    assert (state.values["log"], sorted(state.next)) == (["a", "mended"], ["fragile", "good"])
    assert sorted((await graph.ainvoke(None, THREAD))["log"]) == ["a", "fragile", "good", "mended"]


async def test_an_update_for_a_task_that_has_finished_replaces_its_result() -> None:
    graph = broken()
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({}, THREAD)
    await graph.aupdate_state(THREAD, {"log": ["better"]}, as_node="good")
    state = await graph.aget_state(THREAD)
    assert (state.values["log"], state.next) == (["better"], ("after", "bad", "worse"))


# -- before a join, and before a deferred node ---------------------------------------------------------


def joining() -> Any:
    """Two nodes side by side, and one that waits for both; it has just got what it waited for."""
    builder = builder_of("abcd").add_edge(START, "a").add_edge("a", "b").add_edge("a", "c")
    return builder.add_edge(["b", "c"], "d").compile(InMemorySaver(), interrupt_before=["d"])


@pytest.mark.parametrize("as_node", ["b", "c"])
async def test_an_update_in_the_name_of_one_that_a_join_has_waited_for_leaves_the_join_due(
    as_node: str,
) -> None:
    graph = joining()
    await graph.ainvoke({}, THREAD)
    await graph.aupdate_state(THREAD, {"log": ["x"]}, as_node=as_node)
    assert (await graph.aget_state(THREAD)).next == ("d",)
    assert await graph.ainvoke(None, THREAD) == {"log": ["a", "b", "c", "x", "d"]}


async def test_a_join_is_not_lost_when_an_update_goes_back_behind_it() -> None:
    graph = joining()
    await graph.ainvoke({}, THREAD)
    await graph.aupdate_state(THREAD, {"log": ["x"]}, as_node="a")
    assert (await graph.aget_state(THREAD)).next == ("b", "c", "d")
    assert (await graph.ainvoke(None, THREAD, interrupt_before=[]))["log"][-4:] == ["b", "c", "d", "d"]


async def test_an_update_for_the_join_itself_stands_for_it() -> None:
    graph = joining()
    await graph.ainvoke({}, THREAD)
    await graph.aupdate_state(THREAD, {"log": ["x"]}, as_node="d")
    assert (await graph.aget_state(THREAD)).next == ()


async def test_a_deferred_node_is_not_lost_when_an_update_has_another_name() -> None:
    builder = builder_of("ab").add_node("d", logs("d"), defer=True)
    builder.add_edge(START, "a").add_edge("a", "b").add_edge("a", "d")
    graph = builder.compile(InMemorySaver(), interrupt_before=["d"])
    await graph.ainvoke({}, THREAD)
    await graph.aupdate_state(THREAD, {"log": ["x"]}, as_node="b")
    assert await graph.ainvoke(None, THREAD) == {"log": ["a", "b", "x", "d"]}
