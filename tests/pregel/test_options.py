"""The options of a run: how configs merge and are handed on, and what is refused."""

import re
from contextlib import nullcontext
from typing import Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.graph import START, StateGraph
from aiograph.pregel._options import (
    checkpointer,
    inherited_config,
    limits_of,
    merge_configs,
    seconds,
    stream_modes,
)
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


# -- what is refused, and what counts ------------------------------------------------------------------


def test_later_configs_win_and_metadata_and_configurable_merge_by_key() -> None:
    merged = merge_configs(
        {"recursion_limit": 5, "metadata": {"a": 1, "b": 1}},
        None,
        {"recursion_limit": 7, "metadata": {"b": 2}, "configurable": {"x": 1}, "max_concurrency": None},
    )
    assert merged == {
        "recursion_limit": 7,
        "metadata": {"a": 1, "b": 2},
        "configurable": {"x": 1},
        "max_concurrency": None,
    }


def test_merging_changes_none_of_the_configs() -> None:
    first: RunnableConfig = {"tags": ["a"], "metadata": {"a": 1}}
    merge_configs(first, {"tags": ["b"], "metadata": {"b": 1}})
    assert first == {"tags": ["a"], "metadata": {"a": 1}}


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (None, {"thread_id": "1", "user": "ada"}),
        ({"configurable": {"thread_id": "1"}}, {"thread_id": "1", "user": "ada"}),
        ({"configurable": {"thread_id": 1}}, {"thread_id": "1", "user": "ada"}),
        ({"configurable": {"thread_id": "2"}}, None),
    ],
)
def test_a_nested_run_on_another_thread_starts_from_a_clean_configurable(own: Any, expected: Any) -> None:
    outer: RunnableConfig = {"configurable": {"thread_id": "1", "checkpoint_id": "c", "user": "ada"}}
    assert inherited_config(outer, own).get("configurable") == expected


def test_limits_have_defaults() -> None:
    assert limits_of({}) == (10_000, None)
    assert limits_of({"recursion_limit": 3, "max_concurrency": 2}) == (3, 2)


@pytest.mark.parametrize("name", ["recursion_limit", "max_concurrency"])
def test_a_limit_below_one_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        limits_of({name: 0})  # type: ignore[misc]


@pytest.mark.parametrize("name", ["recursion_limit", "max_concurrency"])
@pytest.mark.parametrize("limit", ["5", 2.5, [1]])
def test_a_limit_that_is_no_whole_number_is_refused(name: Any, limit: Any) -> None:
    with pytest.raises(TypeError, match=f"^{name} is a whole number, not {re.escape(repr(limit))}$"):
        limits_of({name: limit})  # type: ignore[misc]


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ("thread-1", "a config"),
        (["thread-1"], "a config"),
        ({"configurable": "thread-1"}, "the configurable of a config"),
        ({"metadata": [1]}, "the metadata of a config"),
    ],
)
async def test_a_config_that_is_none_is_refused_by_its_name(config: Any, what: str) -> None:
    graph = StateGraph(State).add_node("n", lambda state: {}).add_edge(START, "n").compile()
    for work in (graph.ainvoke({"depth": 0}, config), anext(graph.astream({"depth": 0}, config))):
        with pytest.raises(TypeError, match=f"^{what} is a dict, "):
            await work


def test_a_nested_run_with_a_config_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^a config is a dict, "):
        inherited_config({}, "thread-1")  # type: ignore[arg-type]


def test_a_key_that_resembles_no_other_is_told_with_all_there_are() -> None:
    with pytest.raises(ValueError, match=r"^a config has no key 'zzz'\. Keys are \['callbacks'"):
        merge_configs({"zzz": 1})  # type: ignore[arg-type]


def test_a_mode_alone_is_a_list_of_one() -> None:
    assert stream_modes("values") == ("values",)
    assert stream_modes(["updates", "custom"]) == ("updates", "custom")


def test_a_context_manager_that_nobody_entered_is_no_checkpointer() -> None:
    with pytest.raises(TypeError, match="enter the context manager and pass what it yields"):
        checkpointer(nullcontext(InMemorySaver()))
    saver = InMemorySaver()
    assert [checkpointer(value) for value in (None, False, saver)] == [None, False, saver]


def test_seconds_are_above_zero_or_not_given() -> None:
    assert [seconds("it", value) for value in (None, 0.1, 5)] == [None, 0.1, 5]
    with pytest.raises(ValueError, match="it must be above 0 seconds, not -1"):
        seconds("it", -1)
