"""Whole runs of a graph of one node: what it costs to start and to end."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypedDict

from bench._case import Case, Goal, Setup, Work
from bench._packages import END, OURS, START, Package
from bench._savers import OpenSaver, memory, no_saver, options_of

TOPIC = "Whole runs"


class State(TypedDict):
    count: int


async def count(state: Mapping[str, Any]) -> dict[str, int]:
    return {"count": state["count"] + 1}


def graph_of(package: Package, nodes: int = 1, saver: Any = None, node: Any = count) -> Any:
    builder = package.builder(State)
    names = [f"count{number}" for number in range(nodes)]
    builder.add_sequence([(name, node) for name in names])
    builder.add_edge(START, names[0]).add_edge(names[-1], END)
    return builder.compile(checkpointer=saver)


async def bare_run(nodes: int) -> dict[str, Any]:
    state: dict[str, Any] = {"count": 0}
    for _ in range(nodes):
        state.update(await count(state))
    return state


async def bare_runs(setup: Setup) -> Work:
    async def work() -> dict[str, Any]:
        state: dict[str, Any] = {"count": 0}
        for _ in range(setup.size):
            state = {**state, **await count(state)}
        return state

    return work


def awaited_runs(open_saver: OpenSaver = no_saver) -> Callable[[Package, Setup], Awaitable[Work]]:
    """With a saver each run has a thread of its own."""

    async def subject(package: Package, setup: Setup) -> Work:
        saver = await open_saver(package, setup)
        graph = graph_of(package, saver=saver)

        async def work() -> Any:
            state = {"count": 0}
            for _ in range(setup.size):
                state = await graph.ainvoke(state, **options_of(saver))
            return state

        return work

    return subject


async def our_awaited_runs(setup: Setup) -> Work:
    return await awaited_runs()(OURS, setup)


async def called_runs(package: Package, setup: Setup) -> Work:
    graph = graph_of(package)

    def work() -> Any:
        state = {"count": 0}
        for _ in range(setup.size):
            state = graph.invoke(state)
        return state

    return work


CASES = [
    *(
        Case(
            name=name,
            unit="run",
            size=100,
            floor=bare_runs,
            subject=awaited_runs(open_saver),
            goals=(Goal(most),),
            note=note,
        )
        for name, open_saver, most, note in (
            ("small_ainvoke", no_saver, 0.05, ""),
            ("small_ainvoke_memory", memory, 0.08, "in-memory saver; the floor stores nothing"),
        )
    ),
    Case(
        name="bridge",
        unit="run",
        size=100,
        floor=our_awaited_runs,
        subject=called_runs,
        clock="wall",
        has_rival=False,  # it refuses to call asynchronous nodes synchronously
        note="invoke() beside awaiting ainvoke() on the same graph, which is the floor here",
    ),
]
