"""Nodes side by side in one superstep, and one node that waits for all of them."""

import asyncio
import operator
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypedDict

from bench._case import Case, Goal, Point, Setup, Work
from bench._packages import END, START, Package

TOPIC = "Side by side"


class State(TypedDict):
    found: Annotated[list[int], operator.add]
    total: int


def worker(number: int) -> Callable[[State], Coroutine[Any, Any, dict[str, list[int]]]]:
    async def work(state: State) -> dict[str, list[int]]:
        return {"found": [number]}

    return work


async def join(state: State) -> dict[str, int]:
    return {"total": sum(state["found"])}


async def bare_fanout(setup: Setup) -> Work:
    workers = [worker(number) for number in range(setup.size)]

    async def work() -> dict[str, Any]:
        state: Any = {"found": []}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each(state)) for each in workers]
        for task in tasks:
            state["found"] = state["found"] + task.result()["found"]
        state.update(await join(state))
        return state  # type: ignore[no-any-return]  # a plain dict

    return work


async def fanout(package: Package, setup: Setup) -> Work:
    builder = package.builder(State)
    # padded: tasks are applied in the order of their names
    names = [f"worker{number:05}" for number in range(setup.size)]
    for number, name in enumerate(names):
        builder.add_node(name, worker(number)).add_edge(START, name)
    builder.add_node("join", join).add_edge(names, "join").add_edge("join", END)
    graph = builder.compile()

    async def work() -> Any:
        return await graph.ainvoke({"found": []})

    return work


CASES = [
    Case(
        name=f"fanout_join_{nodes}",
        unit="node",
        size=nodes,
        floor=bare_fanout,
        subject=fanout,
        goals=(Goal(0.15),) if nodes > 10 else (),
        point=Point("nodes side by side", nodes),
    )
    for nodes in (10, 100, 1000)
]
