"""The time until a stream gives its first chunk, for a small graph and for one of 1000 nodes."""

from collections.abc import Awaitable, Callable
from typing import Any

from bench._case import Case, Goal, Setup, Work
from bench._packages import Package
from bench.cases.sequence import State, chain, count

TOPIC = "Whole runs"


async def first_step(setup: Setup) -> Work:
    async def work() -> dict[str, dict[str, int]]:
        for _ in range(setup.size):
            state: State = {"count": 0}
            chunk = {"node0": await count(state)}
        return chunk

    return work


def first_chunk(nodes: int) -> Callable[[Package, Setup], Awaitable[Work]]:
    async def subject(package: Package, setup: Setup) -> Work:
        graph = chain(package, setup.scaled(nodes))

        async def work() -> Any:
            for _ in range(setup.size):
                stream = graph.astream({"count": 0}, stream_mode="updates")
                chunk = await anext(stream)
                await stream.aclose()
            return chunk

        return work

    return subject


CASES = [
    Case(
        name=f"first_event_{nodes}",
        unit="run",
        size=20,
        floor=first_step,
        subject=first_chunk(nodes),
        goals=(Goal(0.05),),
        note=f"a sequence of {nodes:,} nodes; what comes after the first chunk is cancelled, and counts",
    )
    for nodes in (1, 1000)
]
