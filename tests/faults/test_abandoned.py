"""Streams that nobody reads any more, and loops that end early: no task, no thread, no complaint is left.

Complaints are what a loop tells its exception handler: exceptions that nobody retrieved, tasks that were
destroyed. Python warns of coroutines that nobody awaited, and the test run turns warnings into errors.
"""

import asyncio
import gc
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.graph import END, START, StateGraph
from aiograph.testing.faults import FaultySaver, delay_turns, fail_at
from aiograph.types import Durability
from tests.faults.rig import (
    CONFIG,
    INPUT,
    BeginningSaver,
    Diary,
    Graph,
    State,
    final_state,
    go_on,
    outer_graph,
    turns,
)

DURABILITIES: tuple[Durability, ...] = ("sync", "async", "exit")


@contextmanager
def no_complaints(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Fails if the loop has something to complain of, also once everything unused is collected."""
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    try:
        yield
        gc.collect()
    finally:
        loop.set_exception_handler(None)
    assert complaints == []


def slow_graph(diary: Diary) -> Graph:
    return outer_graph(diary, FaultySaver(BeginningSaver(), before=delay_turns(2)))


def stream(graph: Graph, durability: Durability = "async") -> AsyncGenerator[Any, None]:
    return graph.astream(INPUT, CONFIG, stream_mode="updates", durability=durability)


# -- generators ------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("taken", range(1, 8))
async def test_a_dropped_generator_ends_its_run(taken: int, durability: Durability) -> None:
    diary, others = Diary(), asyncio.all_tasks()
    graph = slow_graph(diary)
    with no_complaints(asyncio.get_running_loop()):
        chunks = stream(graph, durability)
        for _ in range(taken):
            await anext(chunks)
        del chunks
        gc.collect()
        await turns(40)
        assert asyncio.all_tasks() == others
    done = diary.size
    await turns(40)
    assert diary.size == done
    assert await go_on(graph) == final_state()
    assert diary.ended_and_started_again == []


async def test_a_generator_that_was_never_started_leaves_nothing() -> None:
    diary = Diary()
    with no_complaints(asyncio.get_running_loop()):
        chunks = stream(slow_graph(diary))
        del chunks
        gc.collect()
        await turns(5)
    assert diary.size == 0


async def test_a_generator_may_be_closed_by_another_task() -> None:
    diary, others = Diary(), asyncio.all_tasks()
    chunks = stream(slow_graph(diary))
    await anext(chunks)
    await asyncio.create_task(chunks.aclose())
    assert asyncio.all_tasks() == others
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)


async def test_a_run_that_fails_after_its_consumer_has_left_is_no_complaint() -> None:
    """The failure waits behind a chunk that is never taken."""
    with no_complaints(asyncio.get_running_loop()):
        saver = FaultySaver(BeginningSaver(), before=fail_at(3, ConnectionResetError, verb="acommit"))
        async with aclosing(stream(outer_graph(Diary(), saver))) as chunks:
            await anext(chunks)
            await turns(100)


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_run_that_fails_while_it_is_cancelled_is_no_complaint(durability: Durability) -> None:
    for turn in range(60):
        with no_complaints(asyncio.get_running_loop()):
            saver = FaultySaver(
                BeginningSaver(),
                before=[delay_turns(2), fail_at(3, ConnectionResetError, verb="acommit")],
            )
            run = asyncio.ensure_future(consume(stream(outer_graph(Diary(), saver), durability)))
            await turns(turn)
            run.cancel()
            await asyncio.wait([run])
            assert run.cancelled() or isinstance(run.exception(), ConnectionResetError | None)
            del run


async def test_a_node_that_fails_while_it_is_cancelled_is_no_complaint() -> None:
    async def stubborn(state: State) -> None:
        try:
            await turns(50)
        finally:
            raise ValueError("not now")

    builder = StateGraph(State).add_node("before", lambda _: {"count": 1}, inline=True)
    builder.add_node("stubborn", stubborn)
    graph = (
        builder.add_edge(START, "before")
        .add_edge("before", "stubborn")
        .add_edge("stubborn", END)
        .compile(checkpointer=InMemorySaver())
    )
    with no_complaints(asyncio.get_running_loop()):
        async with aclosing(stream(graph)) as chunks:
            await anext(chunks)
            await turns(3)


async def consume(chunks: AsyncGenerator[Any, None]) -> None:
    async for _ in chunks:
        pass


async def test_a_slow_consumer_holds_the_run_back() -> None:
    diary = Diary()
    graph = outer_graph(diary, None, rounds=100)
    modes: Any = ["updates", "values", "tasks", "checkpoints"]
    chunks = graph.astream(INPUT, stream_mode=modes)
    await anext(chunks)
    await turns(2000)
    assert len(diary.ended) < 3 * 7
    await chunks.aclose()


# -- loops that end early --------------------------------------------------------------------------


def leave_a_stream(graph: Graph) -> Coroutine[Any, Any, None]:
    """Takes a chunk, and returns with the generator still in somebody's hands."""

    async def main() -> None:
        chunks = stream(graph)
        await anext(chunks)
        KEPT.append(chunks)

    return main()


def leave_a_task(graph: Graph) -> Coroutine[Any, Any, None]:
    """Starts a run in a task, and returns without it."""

    async def main() -> None:
        KEPT.append(asyncio.create_task(graph.ainvoke(INPUT, CONFIG)))
        await turns(12)

    return main()


KEPT: list[Any] = []


def leave_while_closing(graph: Graph) -> Coroutine[Any, Any, None]:
    """Returns while another task waits for the clean-up of a stream."""

    async def main() -> None:
        chunks = stream(graph)
        await anext(chunks)
        KEPT.append(asyncio.create_task(chunks.aclose()))
        await turns(1)

    return main()


@pytest.mark.parametrize("leave", [leave_a_stream, leave_a_task, leave_while_closing])
def test_a_loop_that_ends_early_ends_its_runs(
    leave: Callable[[Graph], Coroutine[Any, Any, None]],
) -> None:
    """Closing a loop cancels every task there is, also those that store what others have handed over."""
    diary = Diary()
    graph = slow_graph(diary)
    with asyncio.Runner() as runner, no_complaints(runner.get_loop()):
        runner.run(leave(graph))
        runner.close()
        KEPT.clear()
    done = diary.size
    assert asyncio.run(go_on(graph)) == final_state()
    assert diary.size > done
    assert diary.ended_and_started_again == []


def test_a_loop_that_is_closed_without_ceremony_is_no_worse_than_any_other() -> None:
    """What was stored stays good. Python itself complains of the tasks that were destroyed."""
    diary = Diary()
    graph = slow_graph(diary)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    loop.run_until_complete(leave_a_stream(graph))
    loop.close()
    KEPT.clear()
    gc.collect()
    assert asyncio.run(go_on(graph)) == final_state()
