"""One node run many times in one superstep, each time with an argument of its own: map and reduce."""

import asyncio
import operator
from typing import Annotated, Any, TypedDict

from bench._case import Case, Goal, Setup, Work
from bench._packages import END, START, Package

TOPIC = "Side by side"


class State(TypedDict):
    numbers: list[int]
    squares: Annotated[list[int], operator.add]
    total: int


class Item(TypedDict):
    number: int


async def square(item: Item) -> dict[str, list[int]]:
    return {"squares": [item["number"] ** 2]}


async def add_up(state: State) -> dict[str, int]:
    return {"total": sum(state["squares"])}


async def bare_map(setup: Setup) -> Work:
    async def work() -> dict[str, Any]:
        state: Any = {"numbers": list(range(setup.size)), "squares": []}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(square({"number": number})) for number in state["numbers"]]
        for task in tasks:
            state["squares"] = state["squares"] + task.result()["squares"]
        state.update(await add_up(state))
        return state  # type: ignore[no-any-return]  # a plain dict

    return work


async def send_map(package: Package, setup: Setup) -> Work:
    send = package.send

    async def spread(state: State) -> list[Any]:
        return [send("square", {"number": number}) for number in state["numbers"]]

    builder = package.builder(State)
    builder.add_node("square", square, **package.options(builder.add_node, input_schema=Item))
    builder.add_node("add_up", add_up)
    builder.add_conditional_edges(START, spread, ["square"])
    builder.add_edge("square", "add_up").add_edge("add_up", END)
    graph = builder.compile()

    async def work() -> Any:
        return await graph.ainvoke({"numbers": list(range(setup.size)), "squares": []})

    return work


CASES = [
    Case(
        name=f"fanout_send_{sends}",
        unit="node",
        size=sends,
        floor=bare_map,
        subject=send_map,
        goals=(Goal(0.15),),
    )
    for sends in (100, 1000)
]
