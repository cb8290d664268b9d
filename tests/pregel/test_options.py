"""Configs: how they merge, and how little a node that hands its own on changes."""

from typing import Any, TypedDict

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.graph import START, StateGraph
from aiograph.pregel._options import merge_configs
from aiograph.types import RunnableConfig


class State(TypedDict):
    depth: int


def test_a_tag_counts_once_in_the_order_of_its_first_mention() -> None:
    merged = merge_configs({"tags": ["a", "b"]}, {"tags": ["c", "a"]}, {"tags": ["c"]})
    assert merged["tags"] == ["a", "b", "c"]


async def test_a_config_handed_on_through_many_levels_stays_small() -> None:
    seen: list[RunnableConfig] = []

    async def node(state: State, config: RunnableConfig) -> State:
        seen.append(config)
        if state["depth"] < 20:
            await graph.ainvoke({"depth": state["depth"] + 1}, config)
        return state

    graph: Any = StateGraph(State).add_node("node", node, tags=["inner"]).add_edge(START, "node").compile()
    await graph.ainvoke({"depth": 0}, {"tags": ["outer"], "metadata": {"user": "ada"}})
    assert [config["tags"] for config in seen[1:]] == [["outer", "inner"]] * 20
    assert {len(config["metadata"]) for config in seen} == {len(seen[0]["metadata"])}


async def test_handing_the_config_on_changes_nothing_for_a_nested_run_with_a_saver() -> None:
    async def inner(state: State) -> State:
        return {"depth": state["depth"] + 1}

    nested = StateGraph(State).add_node(inner).add_edge(START, "inner").compile()

    async def explicit(state: State, config: RunnableConfig) -> Any:
        return await nested.ainvoke(state, config)

    async def ambient(state: State) -> Any:
        return await nested.ainvoke(state)

    for node in (explicit, ambient):
        saver = InMemorySaver()
        graph: Any = StateGraph(State).add_node("node", node).add_edge(START, "node").compile(saver)
        config: RunnableConfig = {"configurable": {"thread_id": "1"}}
        assert await graph.ainvoke({"depth": 0}, config) == {"depth": 1}
        namespaces = {found.config["configurable"]["checkpoint_ns"] async for found in saver.alist(config)}
        assert len([name for name in namespaces if name]) == 1
        assert (await graph.aget_state(config)).values == {"depth": 1}
