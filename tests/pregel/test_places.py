"""Where nested runs keep their state, and what code inside a run sees of threads."""

import operator
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.graph import START, StateGraph
from aiograph.types import RunnableConfig

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    value: int
    log: Annotated[list[str], operator.add]


def graph_of(node: Callable[..., Any], saver: InMemorySaver | None = None) -> Any:
    return StateGraph(State).add_node("node", node).add_edge(START, "node").compile(saver)


def times_ten(state: State) -> State:
    return {"value": state["value"] * 10, "log": ["inside"]}


async def namespaces(saver: InMemorySaver) -> list[str]:
    return [found.config["configurable"]["checkpoint_ns"] async for found in saver.alist(THREAD)]


@pytest.mark.parametrize("has_own", [True, False])
@pytest.mark.parametrize("is_explicit", [True, False])
async def test_nested_runs_on_the_saver_and_thread_of_the_run_around_them_keep_out_of_its_way(
    has_own: bool, is_explicit: bool
) -> None:
    saver = InMemorySaver()
    nested = graph_of(times_ten, saver if has_own else None)

    async def outer(state: State, config: RunnableConfig) -> State:
        values = [await nested.ainvoke({"value": n}, config if is_explicit else None) for n in (1, 2, 3)]
        return {"value": sum(found["value"] for found in values)}

    graph = graph_of(outer, saver)
    assert await graph.ainvoke({"value": 0}, THREAD) == {"value": 60, "log": []}
    assert (await graph.aget_state(THREAD)).values == {"value": 60, "log": []}
    found = await namespaces(saver)
    assert found.count("") == 3
    assert len(set(found)) == 1 + 3


async def test_a_nested_graph_with_another_saver_keeps_each_call_apart_there() -> None:
    ours, theirs = InMemorySaver(), InMemorySaver()
    nested = graph_of(times_ten, theirs)

    async def outer(state: State) -> State:
        first = await nested.ainvoke({"value": 1})
        second = await nested.ainvoke({"value": first["value"]})
        return {"value": second["value"], "log": second["log"]}

    graph = graph_of(outer, ours)
    assert await graph.ainvoke({"value": 0}, THREAD) == {"value": 100, "log": ["inside"]}
    first, second = sorted(set(await namespaces(theirs)))
    assert second == f"{first}|1"
    assert set(await namespaces(ours)) == {""}


async def test_a_nested_graph_with_another_saver_takes_each_input_that_comes_with_the_node_s_config() -> None:
    nested = graph_of(times_ten, InMemorySaver())

    async def outer(state: State, config: RunnableConfig) -> State:
        await nested.ainvoke({"value": 1}, config)
        return {"value": (await nested.ainvoke({"value": 2}, config))["value"]}

    assert (await graph_of(outer, InMemorySaver()).ainvoke({"value": 0}, THREAD))["value"] == 20


async def test_code_inside_a_run_sees_threads_as_code_outside_does() -> None:
    saver = InMemorySaver()
    seen: list[Any] = []

    async def outer(state: State, config: RunnableConfig) -> None:
        seen.append((await graph.aget_state(THREAD)).values)
        await nested.ainvoke({"value": 4})
        seen.append((await nested.aget_state(config)).values)

    nested, graph = graph_of(times_ten), graph_of(outer, saver)
    await graph.ainvoke({"value": 7}, THREAD)
    assert seen == [{"value": 7, "log": []}, {"value": 40, "log": ["inside"]}]
    assert not [name for name in await namespaces(saver) if "|" in name]


async def test_the_config_of_a_node_does_not_name_the_checkpoint_that_its_run_started_from() -> None:
    seen: list[RunnableConfig] = []

    async def node(state: State, config: RunnableConfig) -> None:
        seen.append(config)

    graph = graph_of(node, InMemorySaver())
    await graph.ainvoke({"value": 1}, THREAD)
    first = [state async for state in graph.aget_state_history(THREAD)][-1]
    await graph.ainvoke(None, first.config)
    assert len(seen) == 2
    assert "checkpoint_id" not in seen[-1]["configurable"]
