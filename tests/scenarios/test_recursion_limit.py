"""`recursion_limit`: exactly N supersteps; a finished run never fails; each resume has its own budget."""

from typing import Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import GraphRecursionError
from aiograph.graph import END, START, StateGraph
from aiograph.managed import IsLastStep, RemainingSteps
from aiograph.types import RunnableConfig


class State(TypedDict, total=False):
    n: int
    goal: int


def counter(saver: InMemorySaver | None = None) -> Any:
    """Counts up by one a superstep until the goal."""
    builder = StateGraph(State).add_node("count", lambda state: {"n": state["n"] + 1})
    builder.add_conditional_edges("count", lambda state: END if state["n"] >= state["goal"] else "count")
    return builder.add_edge(START, "count").compile(saver)


def on_thread(limit: int) -> RunnableConfig:
    return {"configurable": {"thread_id": "1"}, "recursion_limit": limit}


@pytest.mark.parametrize("limit", [1, 3, 10])
async def test_as_many_supersteps_as_the_limit_says_are_allowed(limit: int) -> None:
    assert (await counter().ainvoke({"n": 0, "goal": limit}, {"recursion_limit": limit}))["n"] == limit


@pytest.mark.parametrize("limit", [1, 3, 10])
async def test_one_more_is_an_error_that_says_what_to_do(limit: int) -> None:
    message = f"did not finish within its recursion_limit of {limit} supersteps .*raise the limit"
    with pytest.raises(GraphRecursionError, match=message):
        await counter().ainvoke({"n": 0, "goal": limit + 1}, {"recursion_limit": limit})


async def test_the_state_is_kept_and_a_resume_has_a_fresh_budget() -> None:
    graph = counter(InMemorySaver())
    with pytest.raises(GraphRecursionError):
        await graph.ainvoke({"n": 0, "goal": 6}, on_thread(3))
    assert (await graph.aget_state(on_thread(3))).values["n"] == 3
    assert (await graph.ainvoke(None, on_thread(3)))["n"] == 6


async def test_the_error_carries_the_config_to_go_on_with() -> None:
    graph = counter(InMemorySaver())
    with pytest.raises(GraphRecursionError) as caught:
        await graph.ainvoke({"n": 0, "goal": 6}, on_thread(3))
    assert caught.value.config == on_thread(3)
    assert (await graph.ainvoke(None, caught.value.config))["n"] == 6


async def test_the_config_of_a_nested_graphs_error_is_that_of_the_outermost() -> None:
    child = counter().with_config(recursion_limit=3)
    graph = StateGraph(State).add_node("sub", child).add_edge(START, "sub").compile(InMemorySaver())
    with pytest.raises(GraphRecursionError, match="limit of 3") as caught:
        await graph.ainvoke({"n": 0, "goal": 6}, on_thread(9))
    assert caught.value.config == on_thread(9)
    assert (await graph.ainvoke(None, caught.value.config))["n"] == 6


async def test_without_a_saver_there_is_nothing_to_go_on_with() -> None:
    with pytest.raises(GraphRecursionError) as caught:
        await counter().ainvoke({"n": 0, "goal": 6}, {"recursion_limit": 3})
    assert caught.value.config is None


async def test_new_input_on_a_thread_has_a_fresh_budget() -> None:
    graph = counter(InMemorySaver())
    for _ in range(3):
        assert (await graph.ainvoke({"n": 0, "goal": 2}, on_thread(2)))["n"] == 2


async def test_a_resume_that_has_still_to_take_in_the_input_has_the_whole_budget() -> None:
    lost = [OSError("lost")]

    def route(state: State) -> str:
        if lost and state["goal"] == 3:
            raise lost.pop()
        return "count"

    builder = StateGraph(State).add_node("count", lambda state: {"n": state["n"] + 1})
    builder.add_conditional_edges("count", lambda state: END if state["n"] >= state["goal"] else "count")
    graph = builder.add_conditional_edges(START, route, ["count"]).compile(InMemorySaver())
    await graph.ainvoke({"n": 0, "goal": 1}, on_thread(3))
    with pytest.raises(OSError, match="lost"):
        await graph.ainvoke({"n": 0, "goal": 3}, on_thread(3))
    assert (await graph.ainvoke(None, on_thread(3)))["n"] == 3


async def test_a_finished_thread_does_not_fail_when_it_is_resumed() -> None:
    graph = counter(InMemorySaver())
    await graph.ainvoke({"n": 0, "goal": 1}, on_thread(1))
    assert (await graph.ainvoke(None, on_thread(1)))["n"] == 1


async def test_the_default_is_10_000() -> None:
    assert (await counter().ainvoke({"n": 0, "goal": 10_000}))["n"] == 10_000
    with pytest.raises(GraphRecursionError, match="10000"):
        await counter().ainvoke({"n": 0, "goal": 10_001})


async def test_the_environment_may_set_another_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOGRAPH_DEFAULT_RECURSION_LIMIT", "2")
    with pytest.raises(GraphRecursionError, match="recursion_limit of 2"):
        await counter().ainvoke({"n": 0, "goal": 3})


@pytest.mark.parametrize("text", ["many", "0", "-1", "2.5"])
def test_what_the_environment_sets_is_checked_when_a_graph_is_made(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOGRAPH_DEFAULT_RECURSION_LIMIT", text)
    with pytest.raises(ValueError, match=f"AIOGRAPH_DEFAULT_RECURSION_LIMIT is '{text}'"):
        counter()


async def test_an_empty_setting_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOGRAPH_DEFAULT_RECURSION_LIMIT", "")
    assert (await counter().ainvoke({"n": 0, "goal": 30}))["n"] == 30


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match=f"recursion_limit must be at least 1, not {limit}"):
        await counter().ainvoke({"n": 0, "goal": 1}, {"recursion_limit": limit})


class Managed(TypedDict, total=False):
    seen: list[tuple[int, bool]]
    remaining: RemainingSteps
    is_last: IsLastStep


async def test_managed_values_tell_what_is_left_of_the_limit() -> None:
    def look(state: Managed) -> dict[str, Any]:
        return {"seen": [*state.get("seen", []), (state["remaining"], state["is_last"])]}

    builder = StateGraph(Managed).add_node(look).add_edge(START, "look")
    builder.add_conditional_edges("look", lambda state: END if state["is_last"] else "look")
    end = await builder.compile(InMemorySaver()).ainvoke({}, on_thread(3))
    assert end == {"seen": [(2, False), (1, False), (0, True)]}


async def test_managed_values_start_anew_on_resume() -> None:
    seen: list[int] = []

    def look(state: Managed) -> dict[str, Any]:
        seen.append(state["remaining"])
        if len(seen) == 2:
            raise OSError("break")
        return {}

    nodes: Any = [("a", look), ("b", look), ("c", look)]
    graph = StateGraph(Managed).add_sequence(nodes).add_edge(START, "a").compile(InMemorySaver())
    with pytest.raises(OSError, match="break"):
        await graph.ainvoke({}, on_thread(5))
    await graph.ainvoke(None, on_thread(5))
    assert seen == [4, 3, 4, 3]
