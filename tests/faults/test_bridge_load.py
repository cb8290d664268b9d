"""The bridge under load: many threads beside a live loop, many loops in turn, many beginnings and ends."""

import asyncio
import os
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aiograph import bridge
from aiograph._threads import thread_statistics
from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.types import RunnableConfig
from tests.bridge.kit import Background, Graph, chain, live_loop, settled, until

THREADS = 64

CALLS_PATIENCE = 600
"""Seconds that all calls may take, on a machine that has other things to do."""


def config(name: object) -> RunnableConfig:
    return {"configurable": {"thread_id": str(name)}}


def plus_one(state: Any) -> dict[str, Any]:
    return {"value": state["value"] + 1}


async def aplus_one(state: Any) -> dict[str, Any]:
    await asyncio.sleep(0)
    return plus_one(state)


# -- many threads beside a live loop ---------------------------------------------------------------


class Lag:
    """How late a live loop is with what it is to do, measured all the while."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._is_over = False

    async def measure(self, pause: float = 0.002) -> None:
        loop = asyncio.get_running_loop()
        while not self._is_over:
            due = loop.time() + pause
            await asyncio.sleep(pause)
            self.seconds.append(loop.time() - due)

    def end(self) -> None:
        self._is_over = True

    def percentile(self, which: float) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * which)]


def calls_from_many_threads(graph: Graph, calls: int) -> list[int]:
    """The answers to as many calls, from as many threads as there are, in the order of the questions."""
    answers: dict[int, int] = {}

    def work(first: int) -> None:
        for number in range(first, calls, THREADS):
            answers[number] = graph.invoke({"value": number}, config(number))["value"]

    threads = [Background(partial(work, first)) for first in range(THREADS)]
    for thread in threads:
        thread.result(CALLS_PATIENCE)
    return [answers[number] for number in range(calls)]


def right_answers_beside_a_live_loop(graph: Graph, calls: int) -> Lag:
    """Has many threads call while a loop lives, and runs the graph itself; how late that loop was."""
    lag = Lag()

    async def live() -> int:
        measuring = asyncio.create_task(lag.measure())
        runs = 0
        while not lag._is_over:
            answer = await graph.ainvoke({"value": runs}, config(f"live-{runs}"))
            assert answer == {"value": runs + 2}
            runs += 1
            await asyncio.sleep(0.005)
        await measuring
        return runs

    with live_loop() as loop:
        living = Background(lambda: asyncio.run_coroutine_threadsafe(live(), loop).result(CALLS_PATIENCE))
        answers = calls_from_many_threads(graph, calls)
        loop.call_soon_threadsafe(lag.end)
        assert living.result(CALLS_PATIENCE) > 0
    assert answers == [number + 2 for number in range(calls)]
    assert settled().abandoned == 0
    return lag


def saver_of(kind: str, folder: Path) -> BaseCheckpointSaver | None:
    savers: dict[str, BaseCheckpointSaver | None] = {"none": None, "memory": InMemorySaver()}
    return savers[kind] if kind in savers else SqliteSaver(folder / "checkpoints.db")


def report(lag: Lag) -> None:
    """For those who look: `pytest -rP`."""
    p50, p99, worst = lag.percentile(0.5), lag.percentile(0.99), max(lag.seconds)
    print(f"lag of the live loop: p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f}, worst {worst * 1000:.1f}")


@pytest.mark.parametrize("kind", ["none", "memory", "sqlite"])
def test_calls_from_sixty_four_threads_beside_a_live_loop_get_right_answers(
    kind: str, tmp_path: Path
) -> None:
    saver = saver_of(kind, tmp_path)
    lag = right_answers_beside_a_live_loop(chain(plus_one, aplus_one, checkpointer=saver), 1000)
    report(lag)
    assert lag.percentile(0.5) < 1  # generous: machines are shared, but a loop that stands still is not
    if isinstance(saver, SqliteSaver):
        saver.close()


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["none", "memory", "sqlite"])
def test_ten_thousand_calls_from_sixty_four_threads_beside_a_live_loop(kind: str, tmp_path: Path) -> None:
    saver = saver_of(kind, tmp_path)
    lag = right_answers_beside_a_live_loop(chain(plus_one, aplus_one, checkpointer=saver), 10_000)
    report(lag)
    assert lag.percentile(0.99) < 1
    if isinstance(saver, SqliteSaver):
        saver.close()


# -- many loops in turn, many beginnings and ends --------------------------------------------------


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted there")


def bridge_threads() -> int:
    return sum(thread.name == "aiograph-bridge" for thread in threading.enumerate())


@needs_proc
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_hundred_loops_one_after_the_other_share_a_saver(kind: str, tmp_path: Path) -> None:
    saver = saver_of(kind, tmp_path)
    graph = chain(plus_one, aplus_one, checkpointer=saver)

    def one_loop(number: int) -> None:
        assert asyncio.run(graph.ainvoke({"value": number}, config("shared"))) == {"value": number + 2}
        assert graph.invoke({"value": number}, config("shared")) == {"value": number + 2}

    one_loop(0)
    settled()
    before = (open_files(), threading.active_count())
    for number in range(100):
        one_loop(number)
    settled()
    assert open_files() <= before[0]
    assert threading.active_count() <= before[1]
    assert len(list(graph.get_state_history(config("shared")))) == 101 * 2 * 4
    if isinstance(saver, SqliteSaver):
        saver.close()


def beginnings_and_ends(times: int) -> None:
    graph = chain(plus_one, aplus_one)
    graph.invoke({"value": 0})
    bridge.shutdown()
    settled()
    files, threads = open_files(), threading.active_count()
    for number in range(times):
        assert graph.invoke({"value": number}) == {"value": number + 2}
        bridge.shutdown()
    assert bridge_threads() == 0
    assert open_files() <= files
    assert threading.active_count() <= threads
    assert thread_statistics().abandoned == 0


@needs_proc
def test_the_bridge_begins_and_ends_a_hundred_times_and_leaves_nothing() -> None:
    beginnings_and_ends(100)


@needs_proc
@pytest.mark.long
def test_the_bridge_begins_and_ends_a_thousand_times_and_leaves_nothing() -> None:
    beginnings_and_ends(1000)


@needs_proc
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_savers_are_opened_and_closed_on_the_bridge_a_hundred_times_and_leave_nothing(
    kind: str, tmp_path: Path
) -> None:
    def once(number: int) -> None:
        with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.db")) as saver:
            graph = chain(plus_one, checkpointer=saver if kind == "sqlite" else InMemorySaver())
            assert graph.invoke({"value": number}, config("t")) == {"value": number + 1}

    once(0)
    settled()
    files, threads = open_files(), threading.active_count()
    for number in range(100):
        once(number)
    until(lambda: threading.active_count() <= threads)
    assert open_files() <= files
