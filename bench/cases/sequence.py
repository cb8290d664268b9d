"""Nodes one after the other: a superstep when each has another node in it."""

from typing import Any, TypedDict

from bench._case import Case, Goal, Point, Setup, Work
from bench._packages import Package

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


async def sequence(package: Package, setup: Setup) -> Work:
    graph = chain(package, setup.size)

    async def work() -> Any:
        return await graph.ainvoke({"count": 0})

    return work


def chain(package: Package, nodes: int) -> Any:
    """A graph of so many nodes."""
    builder = package.builder(State)
    builder.add_sequence([(f"node{number}", count) for number in range(nodes)])
    builder.set_entry_point("node0").set_finish_point(f"node{nodes - 1}")
    return builder.compile()


CASES = [
    Case(
        name=f"seq_{nodes}",
        unit="superstep",
        size=nodes,
        floor=bare_sequence,
        subject=sequence,
        goals=(Goal(0.05),) if nodes == 1000 else (),
        point=Point("nodes of the graph", nodes),
    )
    for nodes in (10, 100, 1000)
]
