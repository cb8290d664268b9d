"""Synchronous nodes: off the loop by default, inline on request, on the caller's thread in a sync call."""

import asyncio
import contextvars
import operator
import threading
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import NodeTimeoutError
from aiograph.graph import START, StateGraph
from aiograph.types import RunnableConfig, Send

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    threads: Annotated[list[int], operator.add]


def tell_thread(state: Any) -> dict[str, Any]:
    return {"threads": [threading.get_ident()]}


async def tell_loop_thread(state: Any) -> dict[str, Any]:
    return tell_thread(state)


def one(node: Any, **options: Any) -> Any:
    return StateGraph(State).add_node("one", node, **options).add_edge(START, "one").compile()


async def test_a_synchronous_node_runs_off_the_loop() -> None:
    assert threading.get_ident() not in (await one(tell_thread).ainvoke({}))["threads"]


async def test_an_asynchronous_node_runs_on_the_loop() -> None:
    assert (await one(tell_loop_thread).ainvoke({}))["threads"] == [threading.get_ident()]


async def test_an_inline_node_runs_on_the_loop() -> None:
    assert (await one(tell_thread, inline=True).ainvoke({}))["threads"] == [threading.get_ident()]


def test_in_a_synchronous_call_a_synchronous_node_runs_on_the_callers_thread() -> None:
    assert one(tell_thread).invoke({})["threads"] == [threading.get_ident()]


def test_in_a_synchronous_call_an_asynchronous_node_runs_elsewhere() -> None:
    assert threading.get_ident() not in one(tell_loop_thread).invoke({})["threads"]


def test_a_node_with_a_timeout_never_runs_on_the_callers_thread() -> None:
    assert threading.get_ident() not in one(tell_thread, timeout=60).invoke({})["threads"]


def test_the_first_synchronous_task_of_each_superstep_runs_on_the_callers_thread() -> None:
    builder = StateGraph(State)
    for name in ("a1", "a2", "b1", "b2"):
        builder.add_node(name, tell_thread)
    builder.add_edge(START, "a1").add_edge(START, "a2").add_edge("a1", "b1").add_edge("a1", "b2")
    threads = builder.compile().invoke({})["threads"]
    assert [thread == threading.get_ident() for thread in threads] == [True, False, True, False]


async def test_synchronous_nodes_run_side_by_side() -> None:
    meet = threading.Barrier(3, timeout=10)
    builder = StateGraph(State).add_node("work", lambda number: {"threads": [meet.wait()]})
    builder.add_conditional_edges(START, lambda state: [Send("work", n) for n in range(3)], ["work"])
    assert sorted((await builder.compile().ainvoke({}))["threads"]) == [0, 1, 2]


async def test_the_loop_goes_on_while_a_synchronous_node_works() -> None:
    release = threading.Event()

    async def let_go() -> None:
        release.set()

    def wait(state: State) -> None:
        assert release.wait(10)

    run = asyncio.create_task(one(wait).ainvoke({}))
    await asyncio.sleep(0)
    await let_go()
    await run


user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


@pytest.mark.parametrize("inline", [True, False])
async def test_context_variables_travel_into_a_node_and_not_out(inline: bool) -> None:
    seen: list[str] = []

    def node(state: State) -> None:
        seen.append(user.get())
        user.set("intruder")

    user.set("ada")
    nodes: Any = [("a", node), ("b", node)]
    builder = StateGraph(State)
    for name, action in nodes:
        builder.add_node(name, action, inline=inline)
    await builder.add_edge(START, "a").add_edge("a", "b").compile().ainvoke({})
    assert (seen, user.get()) == (["ada", "ada"], "ada")


async def test_a_synchronous_function_may_return_an_awaitable() -> None:
    assert await one(lambda state: tell_loop_thread(state)).ainvoke({}) == {
        "threads": [threading.get_ident()]
    }


async def test_a_node_that_outlasts_its_timeout_is_given_up_on_and_its_result_discarded() -> None:
    release, ended = threading.Event(), threading.Event()

    def stuck(state: State) -> dict[str, Any]:
        assert release.wait(10)
        ended.set()
        return {"threads": [0]}

    # a real timer, as virtual time stands still while threads work
    graph = one(stuck, timeout=0.2).with_checkpointer(InMemorySaver())
    with pytest.raises(NodeTimeoutError):
        await graph.ainvoke({}, THREAD)
    release.set()
    assert await asyncio.to_thread(ended.wait, 10)
    assert (await graph.aget_state(THREAD)).values == {"threads": []}
