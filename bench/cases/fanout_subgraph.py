"""A graph of twelve nodes, sent an argument a hundred times over: runs inside of a run."""

import asyncio
import operator
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypedDict

from bench._case import Case, Goal, Setup, Work
from bench._packages import END, START, Package
from bench._savers import OpenSaver, memory, no_saver, options_of

TOPIC = "Side by side"

NODES = 12
"""Of each graph that is sent to."""


class State(TypedDict):
    numbers: list[int]
    found: Annotated[list[int], operator.add]


class Inner(TypedDict):
    number: int
    found: Annotated[list[int], operator.add]


class Found(TypedDict):
    found: Annotated[list[int], operator.add]


async def add(state: Inner) -> dict[str, int]:
    return {"number": state["number"] + 1}


async def tell(state: Inner) -> dict[str, list[int]]:
    return {"found": [state["number"]]}


STEPS: list[Callable[[Inner], Awaitable[dict[str, Any]]]] = [*([add] * (NODES - 1)), tell]


def graphs_in(setup: Setup) -> int:
    return max(1, setup.size // NODES)


async def bare(setup: Setup) -> Work:
    async def inner(number: int) -> list[int]:
        state: Any = {"number": number}
        for step in STEPS:
            state.update(await step(state))
        return state["found"]  # type: ignore[no-any-return]  # a plain dict

    async def work() -> dict[str, list[int]]:
        state: dict[str, list[int]] = {"numbers": list(range(graphs_in(setup))), "found": []}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(inner(number)) for number in state["numbers"]]
        for task in tasks:
            state["found"] = state["found"] + task.result()
        return state

    return work


def sent(open_saver: OpenSaver = no_saver) -> Callable[[Package, Setup], Awaitable[Work]]:
    async def subject(package: Package, setup: Setup) -> Work:
        send = package.send

        async def spread(state: State) -> list[Any]:
            return [send("inner", {"number": number}) for number in state["numbers"]]

        saver = await open_saver(package, setup)
        builder = package.builder(State).add_node("inner", inner_graph(package))
        builder.add_conditional_edges(START, spread, ["inner"]).add_edge("inner", END)
        graph = builder.compile(checkpointer=saver)

        async def work() -> Any:
            start = {"numbers": list(range(graphs_in(setup)))}
            return await graph.ainvoke(start, **options_of(saver))

        return work

    return subject


def inner_graph(package: Package) -> Any:
    builder = package.find("graph", "StateGraph")(Inner, output_schema=Found)
    builder.add_sequence([(f"step{number:02}", step) for number, step in enumerate(STEPS)])
    return builder.set_entry_point("step00").set_finish_point(f"step{NODES - 1:02}").compile()


CASES = [
    Case(
        name=name,
        unit="node",
        size=100 * NODES,
        floor=bare,
        subject=sent(open_saver),
        goals=(Goal(0.15),) if open_saver is no_saver else (),
        note=f"100 runs of {NODES} nodes each{note}",
    )
    for name, open_saver, note in (
        ("fanout_subgraph_100", no_saver, ""),
        ("fanout_subgraph_100_memory", memory, ", in-memory saver; the floor stores nothing"),
    )
]
