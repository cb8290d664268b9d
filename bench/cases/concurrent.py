"""A thousand runs of three nodes at once on one loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from bench._case import Case, Goal, Setup, Work
from bench._packages import Package
from bench._savers import OpenSaver, memory, no_saver, options_of
from bench.cases.small import bare_run, graph_of

TOPIC = "Threads and crowds"

NODES = 3


async def bare_crowd(setup: Setup) -> Work:
    async def work() -> int:
        states = await asyncio.gather(*(bare_run(NODES) for _ in range(setup.size)))
        return sum(state["count"] for state in states)

    return work


def crowd(open_saver: OpenSaver) -> Callable[[Package, Setup], Awaitable[Work]]:
    async def subject(package: Package, setup: Setup) -> Work:
        saver = await open_saver(package, setup)
        graph = graph_of(package, nodes=NODES, saver=saver)

        async def work() -> int:
            runs = (graph.ainvoke({"count": 0}, **options_of(saver)) for _ in range(setup.size))
            states: list[Any] = await asyncio.gather(*runs)
            return sum(state["count"] for state in states)

        return work

    return subject


CASES = [
    Case(
        name=name,
        unit="run",
        size=1000,
        floor=bare_crowd,
        subject=crowd(open_saver),
        goals=(Goal(0.10),) if open_saver is no_saver else (),
        note=note,
    )
    for name, open_saver, note in (
        ("concurrent_1000", no_saver, "runs of three nodes"),
        ("concurrent_1000_memory", memory, "runs of three nodes, in-memory saver; the floor stores nothing"),
    )
]
