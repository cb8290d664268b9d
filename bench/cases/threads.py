"""Thirty-two threads that call a graph synchronously, all at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

from bench._case import Case, Goal, Setup, Work
from bench._packages import Package
from bench.cases.small import State, bare_run, count, graph_of

TOPIC = "Threads and crowds"

THREADS = 32
NODES = 3


def count_at_once(state: State) -> dict[str, int]:
    return {"count": state["count"] + 1}


def from_threads(setup: Setup, run: Callable[[int], dict[str, Any]]) -> Work:
    """Work that has all threads do one run after the other."""
    pool = setup.resources.enter_context(ThreadPoolExecutor(THREADS))
    return lambda: sum(state["count"] for state in pool.map(run, range(setup.size)))


async def bare(setup: Setup) -> Work:
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    setup.resources.callback(loop.close)
    setup.resources.callback(thread.join)
    setup.resources.callback(loop.call_soon_threadsafe, loop.stop)
    return from_threads(setup, lambda _: asyncio.run_coroutine_threadsafe(bare_run(NODES), loop).result())


def invoked(node: Any = count_at_once) -> Callable[[Package, Setup], Awaitable[Work]]:
    async def subject(package: Package, setup: Setup) -> Work:
        graph = graph_of(package, NODES, node=node)
        return from_threads(setup, lambda _: graph.invoke({"count": 0}))

    return subject


def streamed(node: Any = count_at_once) -> Callable[[Package, Setup], Awaitable[Work]]:
    async def subject(package: Package, setup: Setup) -> Work:
        graph = graph_of(package, NODES, node=node)

        def run(_: int) -> Any:
            return list(graph.stream({"count": 0}, stream_mode="values"))[-1]

        return from_threads(setup, run)

    return subject


CASES = [
    Case(
        name=name,
        unit="run",
        size=10 * THREADS,
        floor=bare,
        subject=subject,
        also=("wall",),
        has_rival=has_rival,  # LangGraph refuses to call asynchronous nodes synchronously
        goals=goals,
        note=f"runs of three {nodes} nodes; the floor uses run_coroutine_threadsafe",
    )
    for name, subject, has_rival, goals, nodes in (
        ("threads_32_invoke", invoked(), True, (Goal(0.20),), "synchronous"),
        ("threads_32_stream", streamed(), True, (), "synchronous"),
        ("threads_32_invoke_async", invoked(count), False, (), "asynchronous"),
        ("threads_32_stream_async", streamed(count), False, (), "asynchronous"),
    )
]
