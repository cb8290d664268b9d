"""A node that calls `sys.exit()`, or raises KeyboardInterrupt, ends its own run and nothing else."""

import asyncio
import operator
import sys
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest

from aiograph import bridge
from aiograph.bridge import blocking
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.graph import END, START, StateGraph
from tests.bridge.kit import Background, Graph, chain, fan, promptly


class Counts(TypedDict):
    count: Annotated[int, operator.add]


def interrupt() -> None:
    raise KeyboardInterrupt


LEAVE: dict[type[BaseException], Callable[[], Any]] = {
    SystemExit: lambda: sys.exit(3),
    KeyboardInterrupt: interrupt,
}
each_exit = pytest.mark.parametrize("error", LEAVE)


def one(state: Any) -> dict[str, int]:
    return {"count": 1}


async def aone(state: Any) -> dict[str, int]:
    await asyncio.sleep(0)
    return {"count": 1}


def leaving(kind: str, leave: Callable[[], Any]) -> Graph:
    """A graph in which something leaves, in one of many places."""

    def node(state: Any) -> Any:
        leave()

    async def anode(state: Any) -> Any:
        await asyncio.sleep(0)
        leave()

    async def in_a_task(state: Any) -> Any:
        await asyncio.create_task(anode(state))

    async def in_a_group(state: Any) -> Any:
        async with asyncio.TaskGroup() as group:
            group.create_task(anode(state))

    graphs: dict[str, Callable[[], Graph]] = {
        "sync": lambda: chain(node, schema=Counts),
        "async": lambda: chain(anode, schema=Counts),
        "inline": lambda: chain(node, schema=Counts, inline=True),
        "beside others": lambda: fan(one, anode, aone, schema=Counts),
        "sync beside others": lambda: fan(one, node, aone, schema=Counts),
        "in a task of its own": lambda: chain(in_a_task, schema=Counts),
        "in a task group of its own": lambda: chain(in_a_group, schema=Counts),
        "nested": lambda: chain(chain(anode, schema=Counts).invoke, schema=Counts),
        "nested async": lambda: chain(chain(anode, schema=Counts).ainvoke, schema=Counts),
        "nested inline": lambda: chain(chain(node, schema=Counts, inline=True).ainvoke, schema=Counts),
        "deeply nested": lambda: deeply(chain(anode, schema=Counts)),
        "in a router": lambda: routed(leave),
        "in a reducer": lambda: reduced(leave),
    }
    return graphs[kind]()


def deeply(graph: Graph) -> Graph:
    for _ in range(20):
        graph = chain(graph.ainvoke, schema=Counts)
    return graph


def routed(leave: Callable[[], Any]) -> Graph:
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(Counts)
    builder.add_node("node", aone)
    builder.add_edge(START, "node")
    builder.add_conditional_edges("node", lambda state: leave() or END, [END])
    return builder.compile()


def reduced(leave: Callable[[], Any]) -> Graph:
    def reducer(old: int, new: int) -> int:
        return leave() or old if new else old

    class Reduced(TypedDict):
        count: Annotated[int, reducer]

    builder: StateGraph[Any, Any, Any, Any] = StateGraph(Reduced)
    builder.add_node("node", one)
    builder.add_edge(START, "node")
    return builder.compile()


KINDS = (
    "sync",
    "async",
    "inline",
    "beside others",
    "sync beside others",
    "in a task of its own",
    "in a task group of its own",
    "nested",
    "nested async",
    "nested inline",
    "deeply nested",
    "in a router",
    "in a reducer",
)
each_kind = pytest.mark.parametrize("kind", KINDS)

others: Graph = chain(*[aone, one] * 5, schema=Counts)


@each_exit
@each_kind
def test_the_caller_of_invoke_gets_it(kind: str, error: type[BaseException]) -> None:
    graph = leaving(kind, LEAVE[error])
    with pytest.raises(error) as caught:
        promptly(lambda: graph.invoke({"count": 0}))
    if isinstance(caught.value, SystemExit):
        assert caught.value.code == 3
    assert others.invoke({"count": 0}) == {"count": 10}


@each_exit
@pytest.mark.parametrize("kind", ["sync", "async", "inline", "beside others", "in a task of its own"])
def test_a_hundred_other_runs_on_the_loop_finish(kind: str, error: type[BaseException]) -> None:
    """All of them on the loop of the bridge, half of them begun before, half after."""
    graph = leaving(kind, LEAVE[error])
    before = [Background(lambda: others.invoke({"count": 0})) for _ in range(50)]
    with pytest.raises(error):
        promptly(lambda: graph.invoke({"count": 0}))
    after = [Background(lambda: others.invoke({"count": 0})) for _ in range(50)]
    assert [run.result() for run in (*before, *after)] == [{"count": 10}] * 100


@each_exit
@each_kind
def test_the_consumer_of_a_stream_gets_it(kind: str, error: type[BaseException]) -> None:
    graph = leaving(kind, LEAVE[error])
    with pytest.raises(error):
        promptly(lambda: list(graph.stream({"count": 0})))
    assert others.invoke({"count": 0}) == {"count": 10}


@each_exit
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "of its own" not in kind])
@pytest.mark.parametrize("verb", ["ainvoke", "astream"])
def test_the_task_that_awaits_it_gets_it_and_the_others_on_its_loop_finish(
    kind: str, verb: str, error: type[BaseException]
) -> None:
    """A task of the user's own that lets it escape would end their loop: here it is caught in time."""
    graph = leaving(kind, LEAVE[error])
    caught: list[BaseException] = []

    async def run() -> None:
        try:
            if verb == "ainvoke":
                await graph.ainvoke({"count": 0})
            else:
                async for _ in graph.astream({"count": 0}):
                    pass
        except error as left:
            caught.append(left)

    async def main() -> list[Any]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(others.ainvoke({"count": 0})) for _ in range(10)]
            group.create_task(run())
            tasks += [group.create_task(others.ainvoke({"count": 0})) for _ in range(10)]
        return [task.result() for task in tasks]

    assert promptly(lambda: asyncio.run(main())) == [{"count": 10}] * 20
    assert [type(left) for left in caught] == [error]


@each_exit
def test_it_is_not_tried_again_and_not_swallowed_by_finishing_siblings(error: type[BaseException]) -> None:
    graph = leaving("beside others", LEAVE[error])
    with pytest.raises(error):
        promptly(lambda: graph.invoke({"count": 0}, on_error="finish"))


def test_what_finished_before_is_kept() -> None:
    def leave(state: Any) -> Any:
        sys.exit("enough")

    graph = chain(one, leave, schema=Counts, checkpointer=InMemorySaver())
    with pytest.raises(SystemExit, match="enough"):
        graph.invoke({"count": 0}, {"configurable": {"thread_id": "t"}})
    state = graph.get_state({"configurable": {"thread_id": "t"}})
    assert (state.values, state.next) == ({"count": 1}, ("node_1",))


def test_the_loop_of_the_bridge_survives_a_task_that_nobody_awaits() -> None:
    loop = bridge.bridge_loop()

    class Careless:
        async def abegin(self) -> "asyncio.Task[None]":
            async def leave() -> None:
                sys.exit(3)

            return asyncio.create_task(leave())

        begin = blocking(abegin)

    task = Careless().begin()
    assert others.invoke({"count": 0}) == {"count": 10}
    assert bridge.bridge_loop() is loop
    assert isinstance(task.exception(), SystemExit)
