"""Cancelling a run at every turn of its loop: nothing stays alive, nothing is lost, nothing happens twice.

The run has nodes side by side, a nested graph and a saver that takes its time, and each test cancels it
in one of the ways in which callers do: once or again at every turn, by a timeout, by a cancel scope of
anyio, by cancelling or leaving a stream.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver
from aiograph.graph import END, START, StateGraph
from aiograph.testing.faults import FaultySaver, delay_turns
from aiograph.types import Durability, StreamMode
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
    worker,
)

Run = Callable[[], Awaitable[Any]]
Cancel = Callable[[Run, int], Awaitable[bool]]
"""Starts a run and cancels it after so many turns; says whether the run had not ended before."""

DURABILITIES: tuple[Durability, ...] = ("sync", "async", "exit")
SETTLE = 40
"""Turns to wait for something stray to happen; longer than anything in the graph takes."""


# -- ways to cancel --------------------------------------------------------------------------------


async def cancelled_once(run: Run, turn: int) -> bool:
    task = asyncio.ensure_future(run())
    await turns(turn)
    return await _caught_up(task) if task.cancel() else await _finished(task)


async def cancelled_at_every_turn(run: Run, turn: int) -> bool:
    task = asyncio.ensure_future(run())
    await turns(turn)
    was_running = not task.done()
    while not task.done():
        task.cancel()
        await turns(1)
    return await _caught_up(task) if was_running else await _finished(task)


async def cancelled_twice(run: Run, turn: int) -> bool:
    """The second time strikes the clean-up of the first."""
    task = asyncio.ensure_future(run())
    await turns(turn)
    if not task.cancel():
        return await _finished(task)
    await turns(2)
    task.cancel()
    return await _caught_up(task)


async def out_of_time(run: Run, turn: int) -> bool:
    limits: list[asyncio.Timeout] = []

    async def limited() -> None:
        async with asyncio.timeout(None) as limit:
            limits.append(limit)
            await run()

    task = asyncio.ensure_future(limited())
    await turns(turn + 1)  # one, for the task to begin
    if task.done():
        return await _finished(task)
    limits[0].reschedule(asyncio.get_running_loop().time())
    with suppress(TimeoutError):
        await task
    return limits[0].expired()


async def cancel_scope(run: Run, turn: int) -> bool:
    """The scopes of anyio cancel at every turn, and only what waits inside of them."""
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:

            async def strike() -> None:
                await turns(turn)
                scope.cancel()

            group.start_soon(strike)
            await run()
            group.cancel_scope.cancel()
    return scope.cancelled_caught


async def cancelled_task_group(run: Run, turn: int) -> bool:
    """The run is a child task of a group of anyio."""
    ended = []

    async def child() -> None:
        await run()
        ended.append(True)

    async with anyio.create_task_group() as group:
        group.start_soon(child)
        await turns(turn)
        group.cancel_scope.cancel()
    return not ended


async def _caught_up(task: "asyncio.Future[Any]") -> bool:
    """Waits for the end of a cancelled run."""
    with suppress(asyncio.CancelledError):
        await task
    return task.cancelled()


async def _finished(task: "asyncio.Future[Any]") -> bool:
    await task
    return False


CANCELS = [
    cancelled_once,
    cancelled_twice,
    cancelled_at_every_turn,
    out_of_time,
    cancel_scope,
    cancelled_task_group,
]


ESSENTIAL = [cancelled_once, cancelled_at_every_turn, cancel_scope]


# -- what is checked -------------------------------------------------------------------------------


class World:
    """A graph on a slow saver, and what its nodes have done."""

    def __init__(
        self, durability: Durability, saver: BaseCheckpointSaver | None = None, *, begins: bool = True
    ) -> None:
        self.durability: Durability = durability
        self.diary = Diary()
        if saver is None:
            slow = {"before": delay_turns(2), "after": delay_turns(1)}
            self.saver = FaultySaver(BeginningSaver(), **slow, begins=begins)
        else:
            self.saver = FaultySaver(saver)
        self.graph: Graph = outer_graph(self.diary, self.saver)
        self.others = asyncio.all_tasks()

    async def invoke(self) -> Any:
        return await self.graph.ainvoke(INPUT, CONFIG, durability=self.durability)

    async def stream(self) -> None:
        async for _ in self.chunks():
            pass

    def chunks(self) -> AsyncGenerator[Any, None]:
        modes: list[StreamMode] = ["updates", "values"]
        return self.graph.astream(INPUT, CONFIG, stream_mode=modes, durability=self.durability)

    async def check(self, at: str) -> None:
        """Nothing runs, and the run that is resumed ends as if nothing had happened."""
        alive = asyncio.all_tasks() - self.others
        assert not alive, f"{at}: still alive: {alive}"
        assert not self.saver.in_flight, f"{at}: still in flight: {self.saver.in_flight}"
        done, called = self.diary.size, len(self.saver.calls)
        await turns(SETTLE)
        assert (done, called) == (self.diary.size, len(self.saver.calls)), f"{at}: something ran on"
        assert await go_on(self.graph) == final_state(), at
        assert self.diary.ended_and_started_again == [], at


async def sweep(
    cancel: Cancel, verb: Callable[[World], Run], durability: Durability, *, begins: bool
) -> None:
    """Cancels runs after 0, 1, 2, … turns, until one ends before it is cancelled."""
    for turn in range(1000):
        world = World(durability, begins=begins)
        was_cancelled = await cancel(verb(world), turn)
        await world.check(f"turn {turn}")
        if not was_cancelled:
            assert turn > 40, "the run should not have ended that soon"
            return
    raise AssertionError("the run never ended")


def long_form(*arguments: Any) -> Any:
    return pytest.param(*arguments, marks=pytest.mark.long)


SWEEPS = [
    *((cancel, "invoke", "sync") for cancel in CANCELS),
    *((cancel, "stream", "async") for cancel in ESSENTIAL),
    *((cancel, "stream", "async, one by one") for cancel in ESSENTIAL),
    *((cancel, "invoke", "exit") for cancel in ESSENTIAL),
    *(long_form(cancel, "stream", "async") for cancel in CANCELS if cancel not in ESSENTIAL),
    *(long_form(cancel, "stream", "async, one by one") for cancel in CANCELS if cancel not in ESSENTIAL),
    *(long_form(cancel, "invoke", "exit") for cancel in CANCELS if cancel not in ESSENTIAL),
    *(long_form(cancel, "stream", "sync") for cancel in CANCELS),
    *(long_form(cancel, "invoke", "async") for cancel in CANCELS),
    *(long_form(cancel, "invoke", "async, one by one") for cancel in CANCELS),
    *(long_form(cancel, "stream", "exit") for cancel in CANCELS),
]
"""One by one: the saver is given a superstep when it has stored the one before."""


@pytest.mark.parametrize(("cancel", "verb", "how"), SWEEPS)
async def test_a_run_cancelled_at_every_turn(cancel: Cancel, verb: str, how: str) -> None:
    durability: Any = how.partition(",")[0]
    await sweep(cancel, lambda world: getattr(world, verb), durability, begins=how == durability)


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_run_in_memory_cancelled_at_every_turn(durability: Durability) -> None:
    """Here the saver never waits, and the engine takes shorter ways."""
    for turn in range(100):
        world = World(durability)
        world.graph = outer_graph(world.diary, InMemorySaver())
        was_cancelled = await cancelled_at_every_turn(world.invoke, turn)
        await world.check(f"turn {turn}")
        if not was_cancelled:
            assert turn > 20
            return
    raise AssertionError("the run never ended")


@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("cancel", ESSENTIAL)
async def test_a_run_on_sqlite_cancelled_again_and_again(
    cancel: Cancel, durability: Durability, tmp_path: Path
) -> None:
    """How many turns a call takes is chance here; growing steps find all kinds of points."""
    turn = 0
    async with AsyncSqliteSaver(tmp_path / "checkpoints.db") as saver:
        while True:
            await saver.adelete_thread("t")
            world = World(durability, saver)
            was_cancelled = await cancel(world.invoke, turn)
            await world.check(f"turn {turn}")
            if not was_cancelled:
                return
            turn += 1 + turn // 8


async def test_a_deeply_nested_run_cancelled_at_every_turn() -> None:
    """Every so many levels, a run gets a task of its own."""

    def nest(diary: Diary, levels: int) -> Graph:
        builder = StateGraph(State)
        builder.add_node("work", worker(diary, "work", 3))
        builder.add_edge(START, "work").add_edge("work", END)
        if levels:
            builder.add_node("deeper", nest(diary, levels - 1))
            builder.add_edge(START, "deeper").add_edge("deeper", END)
        return builder.compile()

    others = asyncio.all_tasks()
    for turn in range(100):
        diary = Diary()
        run = asyncio.ensure_future(nest(diary, 10).ainvoke({}))
        await turns(turn)
        was_running = run.cancel()
        await asyncio.wait([run])
        assert asyncio.all_tasks() == others, f"turn {turn}"
        done = diary.size
        await turns(10)
        assert diary.size == done, f"turn {turn}"
        if not was_running:
            assert turn > 10
            assert run.result()["count"] == 11
            return
    raise AssertionError("the run never ended")


async def test_an_update_from_outside_cancelled_at_every_turn() -> None:
    """It has happened, or it has not."""
    seen = set()
    for turn in range(100):
        world = World("sync")
        await world.invoke()
        update = lambda: world.graph.aupdate_state(CONFIG, {"trail": ["new"]}, "join")  # noqa: B023, E731
        was_cancelled = await cancelled_at_every_turn(update, turn)
        assert asyncio.all_tasks() == world.others, f"turn {turn}"
        assert world.saver.in_flight == []
        trail = (await world.graph.aget_state(CONFIG)).values["trail"]
        assert trail in (final_state()["trail"], [*final_state()["trail"], "new"])
        seen.add(len(trail))
        if not was_cancelled:
            assert len(seen) == 2
            return
    raise AssertionError("the update never ended")


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_stream_left_after_every_chunk(durability: Durability) -> None:
    for wanted in range(1, 100):
        world = World(durability)
        taken = 0
        async with aclosing(world.chunks()) as chunks:
            async for _ in chunks:
                taken += 1
                if taken == wanted:
                    break
        await world.check(f"chunk {taken}")
        if taken < wanted:
            assert taken > 10
            return
    raise AssertionError("the stream never ended")


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_stream_whose_closing_is_cancelled(durability: Durability) -> None:
    """The consumer leaves, and is cancelled at every turn while it waits for the run's clean-up."""

    async def leave(world: World) -> None:
        chunks = world.chunks()
        await anext(chunks)
        await anext(chunks)
        await chunks.aclose()

    for turn in range(100):
        world = World(durability)
        was_cancelled = await cancelled_at_every_turn(lambda: leave(world), turn)  # noqa: B023  # awaited here
        await world.check(f"turn {turn}")
        if not was_cancelled:
            assert turn > 10
            return
    raise AssertionError("the consumer never came to its end")
