"""How a stream flows: a slow consumer holds the run back, closing cancels it, errors arrive at the end."""

import asyncio
import gc
import operator
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.graph import END, START, StateGraph
from aiograph.types import RunnableConfig, StreamWriter

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[str], operator.add]


class Counter:
    """A graph that counts to a thousand, and how far it has come."""

    def __init__(self, saver: Any = None) -> None:
        self.steps = 0
        builder = StateGraph(State).add_node("count", self.count).add_edge(START, "count")
        builder.add_conditional_edges("count", lambda state: "count" if state["n"] < 1000 else END)
        self.graph = builder.compile(saver)

    async def count(self, state: State) -> dict[str, Any]:
        self.steps += 1
        return {"n": state.get("n", 0) + 1}

    def stream(self, mode: Any = "updates", **options: Any) -> AsyncGenerator[Any, None]:
        return self.graph.astream({"n": 0}, stream_mode=mode, **options)


async def turns(number: int = 200) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


# -- pace ----------------------------------------------------------------------------------------------


async def test_a_slow_consumer_holds_the_run_back() -> None:
    counter = Counter()
    async with aclosing(counter.stream()) as stream:
        for _ in range(50):
            await anext(stream)
        await turns()
        early = counter.steps
        for _ in range(100):
            await anext(stream)
        await turns()
        assert early < 100
        assert counter.steps - early == 100


async def test_the_first_chunk_does_not_wait_for_a_run_that_never_lets_go_of_the_loop() -> None:
    counter = Counter()
    async with aclosing(counter.stream()) as stream:
        await anext(stream)
        assert counter.steps <= 3


async def test_a_run_whose_last_superstep_is_over_waits_for_nobody() -> None:
    counter = Counter(InMemorySaver())
    stream = counter.graph.astream({"n": 998}, THREAD, stream_mode="updates")
    async with aclosing(stream):
        assert await anext(stream) == {"count": {"n": 999}}
        await turns()  # nobody takes the second chunk, and there is no third superstep to be held back
        assert (await counter.graph.aget_state(THREAD)).next == ()
        assert await anext(stream) == {"count": {"n": 1000}}


async def test_a_synchronous_consumer_holds_the_run_back_too() -> None:
    counter = Counter()

    def consume() -> int:
        with counter.graph.stream({"n": 0}) as stream:
            next(stream)
            # the run goes on meanwhile, on the bridge's loop, until it is held back
            for _ in range(100):
                counter.graph.with_config(recursion_limit=1).invoke({"n": 1000})
            return counter.steps

    assert await asyncio.to_thread(consume) < 300


async def test_a_node_that_writes_a_lot_from_a_thread_is_held_back() -> None:
    written = 0

    def chatter(state: State, writer: StreamWriter) -> None:
        nonlocal written
        for number in range(1000):
            writer(number)
            written += 1

    graph = StateGraph(State).add_node(chatter).add_edge(START, "chatter").compile()
    chunks = []
    async for chunk in graph.astream({}, stream_mode="custom"):
        chunks.append(chunk)
        assert written - len(chunks) < 100
    assert chunks == list(range(1000))


async def test_chunks_arrive_while_the_run_goes_on() -> None:
    answered = asyncio.Event()

    async def ask(state: State, writer: StreamWriter) -> dict[str, Any]:
        writer("question")
        await answered.wait()
        return {"log": ["answered"]}

    graph = StateGraph(State).add_node(ask).add_edge(START, "ask").compile()
    chunks = []
    async for mode, chunk in graph.astream({}, stream_mode=["custom", "updates"]):
        chunks.append(chunk)
        if mode == "custom":
            answered.set()
    assert chunks == ["question", {"ask": {"log": ["answered"]}}]


async def test_the_update_of_a_quick_task_arrives_while_its_sibling_works() -> None:
    release = asyncio.Event()

    async def slow(state: State) -> dict[str, Any]:
        await release.wait()
        return {"log": ["slow"]}

    builder = StateGraph(State).add_node(slow).add_node("quick", lambda state: {"log": ["quick"]})
    names = []
    async for chunk in builder.add_edge(START, "slow").add_edge(START, "quick").compile().astream({}):
        names += chunk
        release.set()
    assert names == ["quick", "slow"]


# -- the end -------------------------------------------------------------------------------------------


async def test_closing_cancels_the_run_and_waits_for_its_clean_up() -> None:
    cleaned: list[str] = []

    async def careful(state: State, writer: StreamWriter) -> None:
        try:
            writer("started")
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("careful")

    graph = StateGraph(State).add_node(careful).add_edge(START, "careful").compile()
    async with aclosing(graph.astream({}, stream_mode="custom")) as stream:
        assert await anext(stream) == "started"
    assert cleaned == ["careful"]


async def test_what_was_done_before_closing_is_kept() -> None:
    counter = Counter(InMemorySaver())
    async with aclosing(counter.stream("values", config=THREAD)) as stream:
        async for state in stream:
            if state["n"] == 5:
                break
    done = counter.steps
    state = await counter.graph.aget_state(THREAD)
    assert state.values["n"] == done < 50
    assert (await counter.graph.ainvoke(None, THREAD))["n"] == 1000
    assert counter.steps == 1000


async def test_a_stream_that_nobody_started_runs_nothing() -> None:
    counter = Counter()
    stream = counter.stream()
    await turns()
    await stream.aclose()
    assert counter.steps == 0


async def test_an_abandoned_stream_is_cleaned_up_by_the_collector() -> None:
    counter = Counter()
    stream = counter.stream()
    await anext(stream)
    del stream
    gc.collect()
    await turns()  # the loop closes what was collected
    done = counter.steps
    await turns()
    assert counter.steps == done < 50


def test_breaking_out_of_a_synchronous_stream_ends_the_run() -> None:
    counter = Counter()
    with counter.graph.stream({"n": 0}) as stream:
        for _ in stream:
            break
    done = counter.steps
    counter.graph.invoke({"n": 999})
    assert counter.steps == done + 1


async def test_the_error_of_the_run_comes_after_what_was_shown() -> None:
    async def fail(state: State) -> None:
        raise OSError("bad")

    nodes: Any = [("ok", lambda state: {"n": 1}), fail]
    stream = StateGraph(State).add_sequence(nodes).add_edge(START, "ok").compile().astream({})
    assert await anext(stream) == {"ok": {"n": 1}}
    with pytest.raises(OSError, match="bad"):
        await anext(stream)


async def test_a_consumer_that_is_cancelled_cancels_the_run() -> None:
    counter = Counter()

    async def consume() -> None:
        async for _ in counter.stream():
            await asyncio.Event().wait()

    consumer = asyncio.create_task(consume())
    await turns()
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    await turns()
    done = counter.steps
    await turns()
    assert counter.steps == done


async def test_a_node_may_write_after_the_consumer_has_gone() -> None:
    release, ended = threading.Event(), threading.Event()

    def late(state: State, writer: StreamWriter) -> None:
        writer("first")
        release.wait(10)
        for _ in range(100):
            writer("late")
        ended.set()

    graph = StateGraph(State).add_node(late).add_edge(START, "late").compile()
    stream = graph.astream({}, stream_mode="custom")
    assert await anext(stream) == "first"
    closing = asyncio.create_task(stream.aclose())
    await asyncio.sleep(0)
    release.set()
    await closing
    assert ended.is_set()
