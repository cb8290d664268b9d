"""What a stream shows of graphs inside nodes, at any depth: `stream(subgraphs=True)`."""

import asyncio
import operator
import re
from collections.abc import Iterator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.config import get_stream_writer
from aiograph.graph import START, StateGraph
from aiograph.types import Command, RunnableConfig, Send, StreamWriter, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


def leaf(*, question: str | None = None, **options: Any) -> Any:
    """A graph of two nodes; the first speaks, the second may ask."""

    def say(state: State, writer: StreamWriter) -> State:
        writer("said")
        return {"log": ["say"]}

    async def ask(state: State) -> State:
        return {"log": ["ask" if question is None else str(interrupt(question))]}

    return StateGraph(State).add_sequence([say, ask]).add_edge(START, "say").compile(**options)


def around(node: Any, saver: Any = None, name: str = "node") -> Any:
    return StateGraph(State).add_node(name, node).add_edge(START, name).compile(saver)


def calling(child: Any) -> Any:
    async def call(state: State) -> State:
        return {"log": (await child.ainvoke({}))["log"]}

    return call


def calling_sync(child: Any) -> Any:
    def call(state: State) -> State:
        return {"log": child.invoke({})["log"]}

    return call


def streaming(child: Any) -> Any:
    async def call(state: State) -> State:
        return {"log": [chunk async for chunk in child.astream({})][-1]["log"]}

    return call


def on_a_loop_of_its_own(child: Any) -> Any:
    def call(state: State) -> State:
        return {"log": asyncio.run(child.ainvoke({}))["log"]}

    return call


WAYS = pytest.mark.parametrize(
    "way",
    [lambda child: child, calling, calling_sync, streaming, on_a_loop_of_its_own],
    ids=["as a node", "called", "called synchronously", "streamed", "on a loop of its own"],
)

UPDATES = [
    ("node", {"say": {"log": ["say"]}}),
    ("node", {"ask": {"log": ["ask"]}}),
    ("", {"node": {"log": ["say", "ask"]}}),
]


def plain(chunks: Any) -> list[tuple[Any, ...]]:
    """Chunks with the tasks' ids left out of their paths."""
    return [("|".join(re.sub(":.*", "", each) for each in path), *rest) for path, *rest in chunks]


async def shown(graph: Any, mode: Any, input: Any = None, config: Any = None) -> list[tuple[Any, ...]]:
    stream = graph.astream({} if input is None else input, config, stream_mode=mode, subgraphs=True)
    return plain([chunk async for chunk in stream])


@WAYS
async def test_a_stream_shows_what_a_child_does(way: Any) -> None:
    assert await shown(around(way(leaf())), "updates") == UPDATES


@WAYS
def test_a_synchronous_stream_shows_it_too(way: Any) -> None:
    graph = around(way(leaf()))
    assert plain(graph.stream({}, stream_mode="updates", subgraphs=True)) == UPDATES


@pytest.mark.parametrize("saver", [None, False, InMemorySaver()], ids=["inherits", "keeps nothing", "own"])
async def test_it_makes_no_difference_where_the_child_is_kept(saver: Any) -> None:
    graph = around(leaf(checkpointer=saver), InMemorySaver())
    assert await shown(graph, "updates", config=THREAD) == UPDATES


async def test_a_child_on_a_thread_of_its_own_is_shown_where_it_is_called() -> None:
    child = leaf(checkpointer=InMemorySaver())

    async def call(state: State) -> State:
        own: RunnableConfig = {"configurable": {"thread_id": "own"}}
        return {"log": (await child.ainvoke({}, own))["log"]}

    graph = around(around(call, name="m"), InMemorySaver())
    paths = [path for path, _ in await shown(graph, "updates", config=THREAD)]
    assert paths == ["node|m", "node|m", "node", ""]


async def test_what_a_node_writes_reaches_the_stream_from_any_depth() -> None:
    graph = around(around(calling_sync(leaf()), name="m"))
    assert await shown(graph, "custom") == [("node|m", "said")]
    assert await shown(graph, ["custom"]) == [("node|m", "custom", "said")]


async def test_without_subgraphs_a_child_is_silent() -> None:
    chunks = around(leaf()).astream({}, stream_mode=["custom", "updates"])
    assert [chunk async for chunk in chunks] == [("updates", {"node": {"log": ["say", "ask"]}})]


async def test_values_are_those_of_each_graph() -> None:
    assert await shown(around(leaf()), "values", {"log": []}) == [
        ("", {"log": []}),
        ("node", {"log": []}),
        ("node", {"log": ["say"]}),
        ("node", {"log": ["say", "ask"]}),
        ("", {"log": ["say", "ask"]}),
    ]


async def test_several_modes_are_told_apart() -> None:
    chunks = await shown(around(leaf()), ["updates", "custom", "values"])
    assert [(path, mode) for path, mode, _ in chunks] == [
        ("node", "values"),
        ("node", "custom"),
        ("node", "updates"),
        ("node", "values"),
        ("node", "updates"),
        ("node", "values"),
        ("", "updates"),
        ("", "values"),
    ]


@pytest.mark.parametrize(("mode", "count"), [("tasks", 4), ("checkpoints", 4), ("debug", 8)])
async def test_tasks_and_checkpoints_of_a_child_are_shown(mode: Any, count: int) -> None:
    chunks = await shown(around(leaf(), InMemorySaver()), mode, config=THREAD)
    assert len([path for path, _ in chunks if path == "node"]) == count


async def test_the_path_names_the_tasks_that_lead_to_the_graph() -> None:
    graph = around(around(leaf(), name="m"))
    chunks = [each async for each in graph.astream({}, stream_mode=["tasks", "custom"], subgraphs=True)]
    ids = {payload["name"]: payload["id"] for _, mode, payload in chunks if mode == "tasks"}
    (path,) = [path for path, mode, _ in chunks if mode == "custom"]
    assert path == (f"node:{ids['node']}", f"m:{ids['m']}")


async def test_the_path_of_a_child_that_is_kept_is_its_namespace() -> None:
    graph = around(around(leaf(), name="m"), InMemorySaver())
    async for path, payload in graph.astream({}, THREAD, stream_mode="checkpoints", subgraphs=True):
        assert payload["config"]["configurable"]["checkpoint_ns"] == "|".join(path)


async def test_several_calls_in_one_node_have_paths_of_their_own() -> None:
    child = leaf()

    async def call(state: State) -> None:
        await asyncio.gather(*(child.ainvoke({}) for _ in range(3)))

    chunks = await shown(around(call), "custom")
    assert sorted(chunks) == [("node", "said"), ("node|1", "said"), ("node|2", "said")]


async def test_children_in_parallel_tasks_have_paths_of_their_own() -> None:
    builder: Any = StateGraph(State).add_node("call", calling_sync(leaf()))
    builder.add_conditional_edges(START, lambda state: [Send("call", {}) for _ in range(3)], ["call"])
    paths = [path async for path, _ in builder.compile().astream({}, stream_mode="custom", subgraphs=True)]
    assert len(set(paths)) == 3


async def test_a_node_that_streams_its_child_sees_what_the_outer_stream_sees() -> None:
    child, seen = leaf(), list[Any]()

    async def call(state: State) -> None:
        async for chunk in child.astream({}, stream_mode=["custom", "updates"]):
            seen.append(chunk)

    outer = await shown(around(call), ["custom", "updates"])
    assert [("node", *chunk) for chunk in seen] == outer[:-1]


async def test_a_nested_stream_with_subgraphs_names_the_same_paths() -> None:
    child, seen = around(leaf(), name="m"), list[Any]()

    async def call(state: State) -> None:
        async for chunk in child.astream({}, stream_mode="custom", subgraphs=True):
            seen.append(chunk)

    assert await shown(around(call), "custom") == plain(seen) == [("node|m", "said")]


async def test_a_question_shows_where_it_is_asked_and_in_every_graph_around() -> None:
    graph = around(around(leaf(question="well?"), name="m"), InMemorySaver())
    chunks = await shown(graph, "updates", config=THREAD)
    asked = [path for path, payload in chunks if "__interrupt__" in payload]
    assert asked == ["node|m", "node", ""]
    assert await shown(graph, "updates", Command(resume="x"), THREAD) == [
        ("node|m", {"ask": {"log": ["x"]}}),
        ("node", {"m": {"log": ["say", "x"]}}),
        ("", {"node": {"log": ["say", "x"]}}),
    ]


# -- back-pressure -------------------------------------------------------------------------------------


def chatty(reached: list[int]) -> Any:
    """A graph that takes 200 supersteps."""

    async def go(state: State) -> Command[str]:
        reached.append(len(reached))
        return Command(goto="go" if len(reached) < 200 else "__end__")

    return (
        StateGraph(State).add_node("go", go, destinations=("go", "__end__")).add_edge(START, "go").compile()
    )


@pytest.mark.parametrize("way", [calling, calling_sync, on_a_loop_of_its_own])
async def test_a_slow_consumer_holds_a_child_back(way: Any) -> None:
    reached: list[int] = []
    stream = around(way(chatty(reached))).astream({}, stream_mode="updates", subgraphs=True)
    await anext(stream)
    before = -1
    while before != len(reached):
        before = len(reached)
        await asyncio.sleep(0.05)  # a child on another thread goes on for as long as it may
    assert before < 100
    await stream.aclose()


def test_a_synchronous_node_whose_child_says_much_does_not_wait_for_ever() -> None:
    reached: list[int] = []
    stream: Iterator[Any] = around(calling_sync(chatty(reached))).stream(
        {}, stream_mode="updates", subgraphs=True
    )
    assert len(list(stream)) == 1 + len(reached) == 201


async def test_get_stream_writer_speaks_for_the_graph_that_it_is_called_in() -> None:
    async def speak(state: State) -> None:
        get_stream_writer()("inside")

    async def call(state: State) -> None:
        get_stream_writer()("before")
        await child.ainvoke({})
        get_stream_writer()("after")

    child = around(speak)
    assert await shown(around(call), "custom") == [("", "before"), ("node", "inside"), ("", "after")]
