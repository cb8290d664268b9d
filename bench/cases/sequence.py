"""Nodes one after the other: a superstep when each has another node in it."""

from typing import Any, TypedDict

from bench._case import Case, Setup, Work
from bench._packages import Package


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
    builder = package.builder(State)
    builder.add_sequence([(f"node{number}", count) for number in range(setup.size)])
    builder.set_entry_point("node0").set_finish_point(f"node{setup.size - 1}")
    graph = builder.compile()

    async def work() -> Any:
        return await graph.ainvoke({"count": 0})

    return work


CASES = [Case(name="seq_100", unit="superstep", size=100, floor=bare_sequence, subject=sequence)]
