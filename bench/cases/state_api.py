"""Looking at a small thread from outside, and changing it."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from bench._case import Case, Setup, Work
from bench._packages import Package
from bench._savers import memory, new_thread
from bench.cases.small import graph_of

TOPIC = "Interrupts and looking at state"

NODES = 3

Verb: TypeAlias = Callable[[Any, Any], Awaitable[int]]


async def get_state(graph: Any, thread: Any) -> int:
    return int((await graph.aget_state(thread)).values["count"])


async def update_state(graph: Any, thread: Any) -> int:
    await graph.aupdate_state(thread, {"count": NODES}, as_node="count2")
    return NODES


async def list_history(graph: Any, thread: Any) -> int:
    return len([each async for each in graph.aget_state_history(thread)])


def called(verb: Verb) -> Callable[[Package, Setup], Awaitable[Work]]:
    async def subject(package: Package, setup: Setup) -> Work:
        graph = graph_of(package, NODES, await memory(package, setup))
        thread = new_thread()
        await graph.ainvoke({"count": 0}, thread)

        async def work() -> int:
            for _ in range(setup.size):
                seen = await verb(graph, thread)
            return seen

        return work

    return subject


CASES = [
    Case(name=name, unit="call", size=50, subject=called(verb), note=f"in-memory saver, {note}")
    for name, verb, note in (
        ("state_get", get_state, "a thread of three supersteps"),
        ("state_update", update_state, "a thread that gets longer with each"),
        ("state_history", list_history, "five checkpoints"),
    )
]
