"""Nodes one after the other: a superstep when each has another node in it."""

from collections.abc import Awaitable, Callable
from typing import Any, TypedDict

from bench._case import Case, Goal, Point, Setup, Work
from bench._packages import Package
from bench._savers import OpenSaver, memory, no_saver, options_of

TOPIC = "Supersteps"


class State(TypedDict):
    count: int


async def count(state: State) -> dict[str, int]:
    return {"count": state["count"] + 1}


async def bare_sequence(setup: Setup) -> Work:
    nodes = [count] * setup.size

    async def work() -> dict[str, int]:
        state: Any = {"count": 0}
        for node in nodes:
            state.update(await node(state))
        return state  # type: ignore[no-any-return]  # a plain dict

    return work


def sequence(open_saver: OpenSaver = no_saver) -> Callable[[Package, Setup], Awaitable[Work]]:
    async def subject(package: Package, setup: Setup) -> Work:
        saver = await open_saver(package, setup)
        graph = chain(package, setup.size, saver)

        async def work() -> Any:
            return await graph.ainvoke({"count": 0}, **options_of(saver))

        return work

    return subject


def chain(package: Package, nodes: int, saver: Any = None) -> Any:
    """A graph of so many nodes."""
    builder = package.builder(State)
    builder.add_sequence([(f"node{number}", count) for number in range(nodes)])
    builder.set_entry_point("node0").set_finish_point(f"node{nodes - 1}")
    return builder.compile(checkpointer=saver)


CASES = [
    *(
        Case(
            name=f"seq_{nodes}",
            unit="superstep",
            size=nodes,
            floor=bare_sequence,
            subject=sequence(),
            goals=(Goal(0.05),) if nodes == 1000 else (),
            point=Point("nodes of the graph", nodes),
        )
        for nodes in (10, 100, 1000)
    ),
    Case(
        name="seq_1000_memory",
        unit="superstep",
        size=1000,
        floor=bare_sequence,
        subject=sequence(memory),
        goals=(Goal(0.08),),
        note="in-memory saver; the floor stores nothing",
    ),
]
