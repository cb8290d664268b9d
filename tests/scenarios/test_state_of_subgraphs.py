"""The state of graphs inside nodes, looked at and changed by way of the graph around them."""

import operator
from functools import partial
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import CheckpointQueryError, UnknownInterruptError
from aiograph.graph import START, StateGraph
from aiograph.types import Command, RunnableConfig, Send, StateSnapshot, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


class Inner(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    secret: str


def leaf(**options: Any) -> Any:
    """A graph that works, and asks."""

    async def work(state: Inner) -> Inner:
        return {"log": ["work"], "secret": "worked"}

    async def ask(state: Inner) -> Inner:
        return {"log": [interrupt("well?") + state["secret"]]}

    return StateGraph(Inner).add_sequence([work, ask]).add_edge(START, "work").compile(**options)


def quiet(**options: Any) -> Any:
    """A graph with other keys that does not ask."""

    class Other(TypedDict, total=False):
        other: str

    def tell(state: Other) -> Other:
        return {"other": "told"}

    return StateGraph(Other).add_node(tell).add_edge(START, "tell").compile(name="quiet", **options)


def around(node: Any, saver: Any = None, name: str = "node") -> Any:
    return StateGraph(State).add_node(name, node).add_edge(START, name).compile(saver)


def calling(child: Any) -> Any:
    async def call(state: State) -> State:
        return {"log": (await child.ainvoke({}))["log"]}

    return call


async def answer(child: Any, state: State) -> State:
    return {"log": (await child.ainvoke({}))["log"]}


class Holder:
    def __init__(self, child: Any) -> None:
        self.child = child

    def call(self, state: State) -> State:
        return {"log": self.child.invoke({})["log"]}

    async def __call__(self, state: State) -> State:
        return {"log": [entry for each in [await self.child.ainvoke({})] for entry in each["log"]]}


def through_a_helper(child: Any) -> Any:
    async def helper() -> list[str]:
        return (await child.ainvoke({}))["log"]  # type: ignore[no-any-return]

    async def call(state: State) -> State:
        return {"log": await helper()}

    return call


WAYS = pytest.mark.parametrize(
    "way",
    [
        lambda child: child,
        calling,
        lambda child: partial(answer, child),
        lambda child: Holder(child).call,
        Holder,
        through_a_helper,
        lambda child: calling(Holder(child).child),
    ],
    ids=["node", "captured", "bound", "attribute", "object", "helper", "captured again"],
)


async def asked(graph: Any, **options: Any) -> StateSnapshot:
    """The state of a graph whose child has asked."""
    await graph.ainvoke({}, THREAD)
    return await graph.aget_state(THREAD, **options)  # type: ignore[no-any-return]


# -- looked at -----------------------------------------------------------------------------------------


@WAYS
async def test_a_task_names_the_state_of_its_graph(way: Any) -> None:
    graph = around(way(leaf()), InMemorySaver())
    (task,) = (await asked(graph)).tasks
    assert task.state == {"configurable": {"thread_id": "1", "checkpoint_ns": f"node:{task.id}"}}
    assert (await graph.aget_state(task.state)).values == {"log": ["work"], "secret": "worked"}


@WAYS
async def test_a_task_shows_the_state_of_its_graph(way: Any) -> None:
    (task,) = (await asked(around(way(leaf()), InMemorySaver()), subgraphs=True)).tasks
    assert isinstance(task.state, StateSnapshot)
    assert task.state.values == {"log": ["work"], "secret": "worked"}
    assert task.state.next == ("ask",)
    assert task.state.interrupts == task.interrupts


async def test_states_are_shown_at_any_depth() -> None:
    graph = around(around(calling(leaf()), name="m"), InMemorySaver())
    seen = await asked(graph, subgraphs=True)
    middle = seen.tasks[0].state
    inner = middle.tasks[0].state
    assert (middle.next, inner.next) == (("m",), ("ask",))
    assert inner.values["secret"] == "worked"
    assert inner.interrupts == middle.interrupts == seen.interrupts


async def test_the_config_of_a_childs_state_maps_the_graphs_around_it() -> None:
    seen = await asked(around(around(leaf(), name="m"), InMemorySaver()), subgraphs=True)
    middle = seen.tasks[0].state
    inner = middle.tasks[0].state
    ids = [each.config["configurable"]["checkpoint_id"] for each in (seen, middle, inner)]
    names = ["", *(each.config["configurable"]["checkpoint_ns"] for each in (middle, inner))]
    assert inner.config["configurable"]["checkpoint_map"] == dict(zip(names, ids, strict=True))
    assert list(inner.parent_config["configurable"]["checkpoint_map"])[-1] == names[-1]
    assert "checkpoint_map" not in seen.config["configurable"]


async def test_a_stream_of_checkpoints_maps_them_too() -> None:
    graph = around(leaf(), InMemorySaver())
    chunks = [c async for c in graph.astream({}, THREAD, stream_mode="checkpoints", subgraphs=True)]
    path, last = [chunk for chunk in chunks if chunk[0]][-1]
    assert [*last["config"]["configurable"]["checkpoint_map"]] == ["", *path]


@pytest.mark.parametrize("kept", [None, True, InMemorySaver()], ids=["inherits", "remembers", "own"])
async def test_it_makes_no_difference_how_the_child_is_kept(kept: Any) -> None:
    graph = around(leaf(checkpointer=kept), InMemorySaver())
    (task,) = (await asked(graph, subgraphs=True)).tasks
    assert task.state.next == ("ask",)
    assert (await graph.aget_state(task.state.config)).values == task.state.values
    (named,) = (await graph.aget_state(THREAD)).tasks
    assert (await graph.aget_state(named.state)).next == ("ask",)


async def test_of_a_child_that_keeps_nothing_nothing_is_shown() -> None:
    (task,) = (await asked(around(leaf(checkpointer=False), InMemorySaver()), subgraphs=True)).tasks
    assert task.state is None


async def test_of_several_calls_the_last_is_shown() -> None:
    first, second = quiet(), leaf()

    async def call(state: State) -> State:
        await first.ainvoke({"other": "x"})
        return {"log": (await second.ainvoke({}))["log"]}

    graph = around(call, InMemorySaver())
    (task,) = (await asked(graph, subgraphs=True)).tasks
    assert task.state.next == ("ask",)
    earlier: RunnableConfig = {"configurable": {"thread_id": "1", "checkpoint_ns": f"node:{task.id}"}}
    assert (await graph.aget_state(earlier)).values == {"other": "told"}


async def test_each_task_shows_its_own() -> None:
    builder: Any = StateGraph(State).add_node("node", calling(leaf()))
    builder.add_conditional_edges(START, lambda state: [Send("node", {}) for _ in range(3)], ["node"])
    seen = await asked(builder.compile(InMemorySaver()), subgraphs=True)
    assert [task.state.interrupts for task in seen.tasks] == [task.interrupts for task in seen.tasks]
    assert len({task.state.config["configurable"]["checkpoint_ns"] for task in seen.tasks}) == 3


@pytest.mark.parametrize("kept", [None, True], ids=["inherits", "remembers"])
async def test_a_past_shows_what_became_of_its_child(kept: Any) -> None:
    graph = around(leaf(checkpointer=kept), InMemorySaver())
    for _ in range(2):
        await graph.ainvoke({}, THREAD)
        await graph.ainvoke(Command(resume="x"), THREAD)
    pasts = [each async for each in graph.aget_state_history(THREAD) if each.next == ("node",)]
    seen = [await graph.aget_state(past.config, subgraphs=True) for past in pasts]
    logs = [each.tasks[0].state.values["log"] for each in seen]
    assert [len(log) for log in logs] == ([6, 2] if kept else [4, 2])  # the input is in it as well


async def test_the_history_of_a_child_is_found_through_the_graph_around_it() -> None:
    graph = around(around(leaf(), name="m"), InMemorySaver())
    inner = (await asked(graph, subgraphs=True)).tasks[0].state.tasks[0].state
    history = [each async for each in graph.aget_state_history(inner.config)]
    assert [each.next for each in history] == [("ask",), ("work",), ("__start__",)]
    assert history[0].config == inner.config


def test_synchronous_callers_see_the_same() -> None:
    graph = around(Holder(leaf()).call, InMemorySaver())
    graph.invoke({}, THREAD)
    (task,) = graph.get_state(THREAD, subgraphs=True).tasks
    assert task.state.next == ("ask",)
    assert next(graph.get_state_history(task.state.config)).next == ("ask",)


# -- changed -------------------------------------------------------------------------------------------


@WAYS
async def test_a_child_is_changed_through_the_graph_around_it(way: Any) -> None:
    graph = around(way(leaf()), InMemorySaver())
    (task,) = (await asked(graph, subgraphs=True)).tasks
    config = await graph.aupdate_state(task.state.config, {"secret": "changed"})
    assert (await graph.aget_state(config)).values["secret"] == "changed"
    assert config["configurable"]["checkpoint_map"].keys() == {"", f"node:{task.id}"}
    with pytest.raises(UnknownInterruptError, match="none is open"):
        await graph.ainvoke(Command(resume="x"), THREAD)  # it was asked before the change
    assert "__interrupt__" in await graph.ainvoke(None, THREAD)
    assert await graph.ainvoke(Command(resume="x"), THREAD) == {"log": ["work", "xchanged"]}


async def test_a_change_at_any_depth_has_it_asked_anew_what_was_asked_before() -> None:
    graph = around(around(calling(leaf(checkpointer=True)), name="m"), InMemorySaver())
    inner = (await asked(graph, subgraphs=True)).tasks[0].state.tasks[0].state
    await graph.aupdate_state(inner.config, {"secret": "changed"})
    assert (await graph.aget_state(THREAD)).interrupts == ()
    assert "__interrupt__" in await graph.ainvoke(None, THREAD)
    assert await graph.ainvoke(Command(resume="x"), THREAD) == {"log": ["work", "xchanged"]}


async def test_a_change_of_a_child_that_its_parent_has_left_behind_leaves_the_parent_alone() -> None:
    graph = around(leaf(), InMemorySaver())
    past = await asked(graph, subgraphs=True)
    await graph.ainvoke(Command(resume="x"), THREAD)
    await graph.aupdate_state(past.tasks[0].state.config, {"secret": "changed"})
    assert (await graph.aget_state(past.config)).interrupts == past.interrupts


async def test_a_run_may_be_told_to_go_on_from_a_change_of_a_child() -> None:
    graph = around(around(leaf(), name="m"), InMemorySaver())
    inner = (await asked(graph, subgraphs=True)).tasks[0].state.tasks[0].state
    fork = await graph.aupdate_state(inner.config, {"secret": "changed"})
    assert "__interrupt__" in await graph.ainvoke(None, fork)
    assert await graph.ainvoke(Command(resume="x"), THREAD) == {"log": ["work", "xchanged"]}


async def test_a_run_that_is_given_the_namespace_of_a_child_is_one_of_the_graph_around_it() -> None:
    graph = around(leaf(), InMemorySaver())
    child = (await asked(graph, subgraphs=True)).tasks[0].state.config["configurable"]
    inner: RunnableConfig = {"configurable": {key: child[key] for key in ("thread_id", "checkpoint_ns")}}
    assert (await graph.ainvoke(Command(resume="yes"), inner))["log"] == ["work", "yesworked"]
    assert (await graph.aget_state(THREAD)).next == ()


async def test_a_run_cannot_go_on_inside_what_its_graph_has_left_behind() -> None:
    graph = around(leaf(), InMemorySaver())
    inner = (await asked(graph, subgraphs=True)).tasks[0].state
    with pytest.raises(CheckpointQueryError, match=r"'node:.*left behind.*outermost graph"):
        await graph.ainvoke(None, inner.parent_config)
    await graph.ainvoke(Command(resume="x"), THREAD)
    with pytest.raises(CheckpointQueryError, match=r"namespace '' has been left behind"):
        await graph.ainvoke(None, inner.config)


async def test_a_change_of_a_child_keeps_what_its_checkpoint_knows_of_the_graphs_around() -> None:
    graph = around(leaf(), InMemorySaver())
    before = (await asked(graph, subgraphs=True)).tasks[0].state
    after = await graph.aget_state(await graph.aupdate_state(before.config, {"secret": "changed"}))
    assert after.metadata["parents"] == before.metadata["parents"] != {}
    maps = [each.config["configurable"]["checkpoint_map"] for each in (before, after)]
    assert maps[0].keys() == maps[1].keys()


@pytest.mark.parametrize("path", ["node", "node:anything"])
async def test_a_child_that_remembers_is_changed_by_the_name_of_its_node(path: str) -> None:
    graph = around(leaf(checkpointer=True), InMemorySaver())
    child: RunnableConfig = {"configurable": {"thread_id": "1", "checkpoint_ns": path}}
    await graph.ainvoke({}, THREAD)
    await graph.ainvoke(Command(resume="x"), THREAD)
    await graph.aupdate_state(child, {"log": ["told"]}, as_node="ask")
    await graph.ainvoke({}, THREAD)
    assert "told" in (await graph.aget_state(child)).values["log"]
    await graph.aclear_state(child)
    assert (await graph.aget_state(child)).values == {"log": []}


# -- which there are -----------------------------------------------------------------------------------


@WAYS
async def test_the_graphs_inside_nodes_are_told(way: Any) -> None:
    child = leaf()
    graph = around(way(child))
    assert [each async for each in graph.aget_subgraphs()] == [("node", child)]
    assert list(graph.get_subgraphs()) == [("node", child)]


def test_they_are_told_at_any_depth_or_by_name() -> None:
    one, two = leaf(), quiet()
    middle = around(calling(one), name="m")
    nodes: Any = [("a", middle), ("b", two), ("c", lambda state: None)]
    graph = StateGraph(State).add_sequence(nodes).add_edge(START, "a").compile()
    assert list(graph.get_subgraphs()) == [("a", middle), ("b", two)]
    assert list(graph.get_subgraphs(recurse=True)) == [("a", middle), ("a|m", one), ("b", two)]
    assert list(graph.get_subgraphs(namespace="a")) == [("a", middle)]
    assert list(graph.get_subgraphs(namespace="a|m")) == [("a|m", one)]
    assert list(graph.get_subgraphs(namespace="nowhere", recurse=True)) == []


def test_a_graph_that_calls_itself_is_told_once() -> None:
    async def call(state: State) -> None:
        await graph.ainvoke({})

    graph = around(call)
    assert list(graph.get_subgraphs(recurse=True)) == [("node", graph)]


async def test_a_graph_that_is_made_while_the_node_runs_is_not_found() -> None:
    async def call(state: State) -> State:
        return {"log": (await leaf().ainvoke({}))["log"]}

    graph = around(around(call, name="m"), InMemorySaver())
    (task,) = (await asked(graph, subgraphs=True)).tasks
    assert task.state.tasks[0].state is None
    namespace = f"{task.state.config['configurable']['checkpoint_ns']}|m:{task.state.tasks[0].id}"
    inner: RunnableConfig = {"configurable": {"thread_id": "1", "checkpoint_ns": namespace}}
    with pytest.raises(CheckpointQueryError, match=r"leads to node 'm' .* with_checkpointer"):
        await graph.aget_state(inner)
    by_itself = leaf().with_checkpointer(graph.checkpointer)
    assert (await by_itself.aget_state(inner)).values["secret"] == "worked"


async def test_a_graph_that_an_error_handler_calls_is_not_taken_for_the_one_around_it() -> None:
    child = leaf()

    async def fail(state: State) -> None:
        raise OSError("broken")

    async def handle(state: State) -> State:
        return {"log": (await child.ainvoke({}))["log"]}

    builder = StateGraph(State).add_node("node", fail, error_handler=handle)
    graph = builder.add_edge(START, "node").compile(InMemorySaver())
    chunks = [chunk async for chunk in graph.astream({}, THREAD, stream_mode="checkpoints", subgraphs=True)]
    namespace = chunks[-1][1]["config"]["configurable"]["checkpoint_ns"]
    inner: RunnableConfig = {"configurable": {"thread_id": "1", "checkpoint_ns": namespace}}
    with pytest.raises(CheckpointQueryError, match="with_checkpointer"):
        await graph.aupdate_state(inner, {"log": ["mended"]}, as_node="node")
    by_itself = child.with_checkpointer(graph.checkpointer)
    assert (await by_itself.aget_state(inner)).values["secret"] == "worked"
    assert (await graph.ainvoke(Command(resume="yes"), THREAD))["log"] == ["work", "yesworked"]
