"""Graphs inside graphs: as a node, called by a node, with the saver around them or their own."""

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import CheckpointQueryError, InvalidUpdateError
from aiograph.graph import START, StateGraph
from aiograph.types import Durability, RetryPolicy, RunnableConfig, Send

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[str], operator.add]


class Inner(TypedDict, total=False):
    n: int
    inside: Annotated[list[str], operator.add]


class Child:
    """A graph of three nodes of which the second fails as often as it is told; counts their runs."""

    def __init__(self, failures: int = 0, **options: Any) -> None:
        self.failures = failures
        self.ran: list[str] = []
        nodes: Any = [(name, self.node(name)) for name in ("one", "two", "three")]
        self.graph = StateGraph(Inner).add_sequence(nodes).add_edge(START, "one").compile(**options)

    def node(self, name: str) -> Any:
        async def node(state: Inner) -> dict[str, Any]:
            self.ran.append(name)
            if name == "two" and self.failures:
                self.failures -= 1
                raise OSError("broken")
            return {"n": state["n"] + 1, "inside": [name]}

        return node


def around(node: Any, saver: Any = None, **options: Any) -> Any:
    builder: Any = StateGraph(State)
    builder.add_node("before", lambda state: {"log": ["before"]}).add_node("child", node, **options)
    builder.add_node("after", lambda state: {"log": ["after"]}).add_edge(START, "before")
    return builder.add_edge("before", "child").add_edge("child", "after").compile(saver)


def calling(child: Any) -> Any:
    async def call(state: State) -> dict[str, Any]:
        return {"n": (await child.ainvoke({"n": state["n"]}))["n"]}

    return call


def calling_sync(child: Any) -> Any:
    def call(state: State) -> dict[str, Any]:
        return {"n": child.invoke({"n": state["n"]})["n"]}

    return call


WAYS = [lambda child: child, calling, calling_sync]


@pytest.mark.parametrize("way", WAYS, ids=["as a node", "called", "called synchronously"])
async def test_what_the_child_returns_updates_the_keys_that_both_have(way: Any) -> None:
    graph = around(way(Child().graph))
    assert await graph.ainvoke({"n": 1, "log": []}) == {"n": 4, "log": ["before", "after"]}


@pytest.mark.parametrize("strict", [False, True])
async def test_keys_that_only_one_of_the_two_has_are_no_mistake(strict: bool) -> None:
    child = Child(strict=strict)
    graph: Any = (
        StateGraph(State).add_node("child", child.graph).add_edge(START, "child").compile(strict=strict)
    )
    assert await graph.ainvoke({"n": 1, "log": ["outside"]}) == {"n": 4, "log": ["outside"]}


async def test_a_reduced_key_that_both_have_comes_back_with_what_went_in() -> None:
    child: Any = StateGraph(State).add_node("c", lambda state: {"log": ["c"]}).add_edge(START, "c").compile()
    end = await around(child).ainvoke({})
    assert end["log"] == ["before", "before", "c", "after"]


@pytest.mark.parametrize("way", WAYS, ids=["as a node", "called", "called synchronously"])
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_broken_child_goes_on_where_it_was(way: Any, durability: Durability) -> None:
    child = Child(failures=2)
    graph = around(way(child.graph), InMemorySaver())
    for _ in range(2):
        with pytest.raises(OSError, match="broken"):
            await graph.ainvoke({"n": 1} if not child.ran else None, THREAD, durability=durability)
    assert (await graph.ainvoke(None, THREAD, durability=durability))["n"] == 4
    assert child.ran == ["one", "two", "two", "two", "three"]


@pytest.mark.parametrize("way", WAYS, ids=["as a node", "called", "called synchronously"])
def test_a_broken_child_goes_on_in_synchronous_calls_too(way: Any) -> None:
    child = Child(failures=1)
    graph = around(way(child.graph), InMemorySaver())
    with pytest.raises(OSError, match="broken"):
        graph.invoke({"n": 1}, THREAD)
    assert graph.invoke(None, THREAD)["n"] == 4
    assert child.ran == ["one", "two", "two", "three"]


async def test_a_child_that_has_finished_is_not_run_again_when_its_node_fails_later() -> None:
    child, failures = Child(), [OSError("late")]

    async def call(state: State) -> dict[str, Any]:
        result = await child.graph.ainvoke({"n": state["n"]})
        if failures:
            raise failures.pop()
        return {"n": result["n"]}

    graph = around(call, InMemorySaver())
    with pytest.raises(OSError, match="late"):
        await graph.ainvoke({"n": 1}, THREAD)
    assert (await graph.ainvoke(None, THREAD))["n"] == 4
    assert child.ran == ["one", "two", "three"]


@pytest.mark.parametrize("copies", [False, True])
async def test_a_child_whose_update_contradicted_a_siblings_has_finished_and_runs_again_at_a_copy_only(
    copies: bool,
) -> None:
    child, saver = Child(), InMemorySaver()

    def graph_with(sibling: Any) -> Any:
        builder = StateGraph(State).add_node("child", child.graph).add_node("sibling", sibling)
        return builder.add_edge(START, "child").add_edge(START, "sibling").compile(saver)

    with pytest.raises(InvalidUpdateError, match=r"'child'.*'sibling'"):
        await graph_with(lambda state: {"n": 7}).ainvoke({"n": 1}, THREAD)
    mended = graph_with(lambda state: {"log": ["mended"]})
    if copies:
        await mended.aupdate_state(THREAD, None, as_node="__copy__")
    assert await mended.ainvoke(None, THREAD) == {"n": 4, "log": ["mended"]}
    assert child.ran == ["one", "two", "three"] * (2 if copies else 1)


async def test_a_retry_of_the_node_goes_on_with_the_child_where_it_was() -> None:
    child = Child(failures=1)
    policy = RetryPolicy(initial_interval=0, jitter=False, retry_on=OSError)
    graph = around(calling(child.graph), InMemorySaver(), retry_policy=policy)
    assert (await graph.ainvoke({"n": 1}, THREAD))["n"] == 4
    assert child.ran == ["one", "two", "two", "three"]


async def test_each_run_of_the_node_starts_its_child_afresh() -> None:
    child = Child()
    graph = around(child.graph, InMemorySaver())
    await graph.ainvoke({"n": 1}, THREAD)
    assert (await graph.ainvoke({"n": 10}, THREAD))["n"] == 13
    assert child.ran == ["one", "two", "three"] * 2


async def test_several_calls_in_one_node_are_kept_apart() -> None:
    first, second = Child(), Child(failures=1)

    async def call(state: State) -> dict[str, Any]:
        n = (await first.graph.ainvoke({"n": state["n"]}))["n"]
        n = (await second.graph.ainvoke({"n": n}))["n"]
        return {"n": (await first.graph.ainvoke({"n": n}))["n"]}

    graph = around(call, InMemorySaver())
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({"n": 1}, THREAD)
    assert (await graph.ainvoke(None, THREAD))["n"] == 10
    assert (first.ran, second.ran) == (["one", "two", "three"] * 2, ["one", "two", "two", "three"])


async def test_children_side_by_side_are_kept_apart() -> None:
    children = [Child(), Child(failures=1), Child()]
    builder = StateGraph(State).add_node("call", lambda n: calling_child(n))

    async def calling_child(n: int) -> dict[str, Any]:
        result = await children[n].graph.ainvoke({"n": n * 10})
        return {"log": [str(result["n"])]}

    builder.add_conditional_edges(START, lambda state: [Send("call", n) for n in range(3)], ["call"])
    graph = builder.compile(InMemorySaver(), on_error="finish")
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({}, THREAD)
    assert (await graph.ainvoke(None, THREAD))["log"] == ["3", "13", "23"]
    assert [len(child.ran) for child in children] == [3, 4, 3]


async def test_three_levels_deep() -> None:
    child = Child(failures=1)
    middle: Any = StateGraph(Inner).add_node("m", child.graph).add_edge(START, "m").compile()
    graph = around(calling(middle), InMemorySaver())
    with pytest.raises(OSError, match="broken") as caught:
        await graph.ainvoke({"n": 1}, THREAD)
    assert [note.split(",")[0] for note in caught.value.__notes__] == [
        "in node 'two'",
        "in node 'm'",
        "in node 'child'",
    ]
    assert (await graph.ainvoke(None, THREAD))["n"] == 4
    assert child.ran == ["one", "two", "two", "three"]


async def test_the_childs_checkpoints_are_kept_apart_from_the_parents() -> None:
    saver = InMemorySaver()
    graph = around(Child().graph, saver)
    await graph.ainvoke({"n": 1}, THREAD)
    assert [state.metadata["step"] async for state in graph.aget_state_history(THREAD)] == [3, 2, 1, 0, -1]
    assert await spaces(saver) == ["", "child"]


async def spaces(saver: Any) -> list[str]:
    """The namespaces of a thread, without the tasks' ids."""
    namespaces = {found.config["configurable"]["checkpoint_ns"] async for found in saver.alist(THREAD)}
    return sorted(namespace.split(":")[0] for namespace in namespaces)


# -- savers of their own -------------------------------------------------------------------------------


async def test_a_child_without_checkpointer_starts_afresh_after_a_break() -> None:
    child = Child(failures=1, checkpointer=False)
    graph = around(calling(child.graph), InMemorySaver())
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({"n": 1}, THREAD)
    assert (await graph.ainvoke(None, THREAD))["n"] == 4
    assert child.ran == ["one", "two", "one", "two", "three"]


async def test_a_child_with_its_own_saver_and_thread_has_a_life_of_its_own() -> None:
    child = Child(checkpointer=InMemorySaver())
    own: RunnableConfig = {"configurable": {"thread_id": "own"}}

    async def call(state: State) -> dict[str, Any]:
        return {"n": (await child.graph.ainvoke({"n": state["n"]}, own))["n"]}

    graph = around(call, InMemorySaver())
    await graph.ainvoke({"n": 1}, THREAD)
    assert (await child.graph.aget_state(own)).values["inside"] == ["one", "two", "three"]
    await graph.ainvoke({"n": 1}, THREAD)
    assert (await child.graph.aget_state(own)).values["inside"] == ["one", "two", "three"] * 2


@pytest.mark.parametrize("way", WAYS, ids=["as a node", "called", "called synchronously"])
async def test_a_child_with_its_own_saver_keeps_itself_there_and_goes_on_where_it_was(way: Any) -> None:
    ours, theirs = InMemorySaver(), InMemorySaver()
    child = Child(failures=1, checkpointer=theirs)
    graph = around(way(child.graph), ours)
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({"n": 1}, THREAD)
    assert (await graph.ainvoke(None, THREAD))["n"] == 4
    assert child.ran == ["one", "two", "two", "three"]
    assert [await spaces(saver) for saver in (ours, theirs)] == [[""], ["child"]]


async def test_a_child_with_a_saver_inside_a_parent_without_is_the_outermost_that_is_kept() -> None:
    child = Child(checkpointer=InMemorySaver())
    graph = around(calling(child.graph))
    for _ in range(2):
        await graph.ainvoke({"n": 1}, THREAD)
    assert (await child.graph.aget_state(THREAD)).values["inside"] == ["one", "two", "three"] * 2


async def test_a_child_with_its_own_saver_needs_a_thread_when_there_is_none_to_inherit() -> None:
    with pytest.raises(CheckpointQueryError, match="names no thread"):
        await around(calling(Child(checkpointer=InMemorySaver()).graph)).ainvoke({"n": 1})


async def test_without_any_saver_children_just_run() -> None:
    child = Child()
    assert (await around(child.graph).ainvoke({"n": 1}))["n"] == 4


# -- what a child shows and inherits -------------------------------------------------------------------


async def test_a_stream_inside_a_node_shows_values_by_default() -> None:
    child, chunks = Child(), []

    async def call(state: State) -> None:
        async for chunk in child.graph.astream({"n": 1}):
            chunks.append(chunk["n"])  # noqa: PERF401

    await around(call).ainvoke({})
    assert chunks == [1, 2, 3, 4]


async def test_the_stream_of_the_parent_shows_the_childs_node_as_one() -> None:
    chunks = [chunk async for chunk in around(Child().graph).astream({"n": 1})]
    assert chunks == [{"before": {"log": ["before"]}}, {"child": {"n": 4}}, {"after": {"log": ["after"]}}]


async def test_limits_are_inherited_and_each_run_has_its_own_budget() -> None:
    child = Child()
    graph = around(calling(child.graph))
    assert (await graph.ainvoke({"n": 1}, {"recursion_limit": 3}))["n"] == 4
    with pytest.raises(RecursionError, match="recursion_limit of 2"):
        await graph.ainvoke({"n": 1}, {"recursion_limit": 2})


async def test_cancelling_the_parent_cancels_the_child() -> None:
    started, ended = asyncio.Event(), []

    async def wait(state: Inner) -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            ended.append("wait")

    child = StateGraph(Inner).add_node(wait).add_edge(START, "wait").compile()
    run = asyncio.create_task(around(calling(child)).ainvoke({"n": 1}))
    await started.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert ended == ["wait"]
