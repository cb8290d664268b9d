"""`Send`: map-reduce fan-out, each task with an argument of its own, results in the order of the sends."""

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import InvalidUpdateError
from aiograph.graph import END, START, StateGraph
from aiograph.types import Command, RunnableConfig, Send

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    words: list[str]
    lengths: Annotated[list[int], operator.add]
    longest: int


async def test_map_reduce() -> None:
    def measure(word: Any) -> dict[str, Any]:
        return {"lengths": [len(word)]}

    def reduce(state: State) -> dict[str, Any]:
        return {"longest": max(state["lengths"])}

    builder = StateGraph(State).add_node(measure).add_node(reduce)
    builder.add_conditional_edges(START, lambda state: [Send("measure", word) for word in state["words"]])
    end = await builder.add_edge("measure", "reduce").compile().ainvoke({"words": ["a", "to", "tre", "fire"]})
    assert end == {"words": ["a", "to", "tre", "fire"], "lengths": [1, 2, 3, 4], "longest": 4}


def fan_out(node: Any, sends: Any) -> Any:
    builder = StateGraph(State).add_node("work", node)
    return builder.add_conditional_edges(START, lambda state: sends, ["work"]).compile(InMemorySaver())


async def test_writes_come_in_the_order_of_the_sends_whichever_finishes_first() -> None:
    async def slow_first(number: int) -> dict[str, Any]:
        for _ in range(10 - number):
            await asyncio.sleep(0)
        return {"lengths": [number]}

    graph = fan_out(slow_first, [Send("work", number) for number in (3, 1, 2)])
    assert (await graph.ainvoke({}, THREAD))["lengths"] == [3, 1, 2]


async def test_the_argument_arrives_as_it_was_sent() -> None:
    seen: list[Any] = []

    async def look(argument: Any) -> None:
        seen.append(argument)

    argument = {"anything": object}
    graph = fan_out(look, [Send("work", argument), Send("work", 5)])
    await graph.with_checkpointer(None).ainvoke({})
    assert seen == [argument, 5]


async def test_a_node_may_be_sent_to_and_led_to_in_one_superstep() -> None:
    def work(state: Any) -> dict[str, Any]:
        return {"lengths": [state if isinstance(state, int) else -1]}

    builder = StateGraph(State).add_node("work", work).add_edge(START, "work")
    graph = builder.add_conditional_edges(START, lambda state: [Send("work", 7)], ["work"]).compile()
    assert (await graph.ainvoke({}))["lengths"] == [-1, 7]


async def test_what_follows_a_node_runs_once_after_all_its_sends() -> None:
    runs: list[Any] = []
    builder = StateGraph(State).add_node("work", lambda n: {"lengths": [n]}).add_node("after", runs.append)
    builder.add_conditional_edges(START, lambda state: [Send("work", n) for n in range(3)], ["work"])
    await builder.add_edge("work", "after").compile().ainvoke({})
    assert runs == [{"lengths": [0, 1, 2]}]


async def test_a_node_returns_a_send_as_a_goto() -> None:
    builder = StateGraph(State).add_node("start", lambda state: Send("work", 3), destinations=["work"])
    graph = builder.add_node("work", lambda n: {"lengths": [n]}).add_edge(START, "start").compile()
    assert (await graph.ainvoke({}))["lengths"] == [3]


async def test_sends_are_stored_and_run_after_a_break() -> None:
    attempts: list[int] = []

    def work(number: int) -> dict[str, Any]:
        attempts.append(number)
        if number == 2 and attempts.count(2) == 1:
            raise OSError("broken")
        return {"lengths": [number]}

    graph = fan_out(work, [Send("work", 1), Send("work", 2)])
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({}, THREAD, on_error="finish")
    assert (await graph.aget_state(THREAD)).next == ("work",)
    assert (await graph.ainvoke(None, THREAD))["lengths"] == [1, 2]
    assert sorted(attempts) == [1, 2, 2]


@pytest.mark.parametrize("target", ["nowhere", END, START])
async def test_an_unknown_target_is_refused_with_a_list_of_what_exists(target: str) -> None:
    builder = StateGraph(State).add_node(
        "start", lambda state: Command(goto=Send(target, 1)), destinations=[]
    )
    with pytest.raises(
        InvalidUpdateError, match=rf"goes to '{target}', which is not a node .*\['start'\] and END"
    ):
        await builder.add_edge(START, "start").compile().ainvoke({})


def test_sends_are_compared_and_hashed_by_value() -> None:
    assert Send("a", 1) == Send("a", 1) != Send("a", 2)
    assert len({Send("a", 1), Send("a", 1), Send("b", 1)}) == 2
