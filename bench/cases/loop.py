"""One node that a conditional edge, or its own `Command`, sends back to itself: the cost of a superstep."""

from collections.abc import Awaitable, Callable
from typing import Any, TypedDict

import msgpack  # type: ignore[import-untyped]

from bench._case import Case, Setup, Work
from bench._packages import Package
from bench._savers import OpenSaver, memory, no_saver, options_of, postgres, sqlite
from bench._tables import OpenTable, postgres_table, sqlite_table

END = "__end__"
START = "__start__"


class State(TypedDict):
    count: int


async def count(state: State) -> dict[str, int]:
    return {"count": state["count"] + 1}


def count_at_once(state: State) -> dict[str, int]:
    return {"count": state["count"] + 1}


def router(size: int) -> Callable[[State], Awaitable[str]]:
    """Asynchronous, as LangGraph takes synchronous routers to a thread."""

    async def route(state: State) -> str:
        return END if state["count"] >= size else "count"

    return route


# -- by conditional edge ---------------------------------------------------------------------------


async def bare_loop(setup: Setup) -> Work:
    route = router(setup.size)

    async def work() -> dict[str, int]:
        state: Any = {"count": 0}
        while True:
            state.update(await count(state))
            if await route(state) == END:
                return state  # type: ignore[no-any-return]  # a plain dict

    return work


async def bare_sync_loop(setup: Setup) -> Work:
    route = router(setup.size)

    async def work() -> dict[str, int]:
        state: Any = {"count": 0}
        while True:
            state.update(count_at_once(state))
            if await route(state) == END:
                return state  # type: ignore[no-any-return]  # a plain dict

    return work


def loop(
    node: Callable[[State], Any] = count,
    open_saver: OpenSaver = no_saver,
    durability: str = "sync",
    **options: Any,
) -> Callable[[Package, Setup], Awaitable[Work]]:
    async def subject(package: Package, setup: Setup) -> Work:
        saver = await open_saver(package, setup)
        builder = package.builder(State)
        builder.add_node("count", node, **package.options(builder.add_node, **options))
        builder.add_edge(START, "count")
        builder.add_conditional_edges("count", router(setup.size), ["count", END])
        graph = builder.compile(checkpointer=saver)

        async def work() -> Any:
            return await graph.ainvoke({"count": 0}, **options_of(saver, durability))

        return work

    return subject


# -- by command ------------------------------------------------------------------------------------


async def bare_command_loop(setup: Setup) -> Work:
    async def node(state: State) -> tuple[dict[str, int], str]:
        now = state["count"] + 1
        return {"count": now}, END if now >= setup.size else "count"

    async def work() -> dict[str, int]:
        state: Any = {"count": 0}
        goto = "count"
        while goto != END:
            update, goto = await node(state)
            state.update(update)
        return state  # type: ignore[no-any-return]  # a plain dict

    return work


async def command_loop(package: Package, setup: Setup) -> Work:
    command = package.command

    async def node(state: State) -> Any:
        now = state["count"] + 1
        return command(update={"count": now}, goto=END if now >= setup.size else "count")

    builder = package.builder(State)
    builder.add_node("count", node, destinations=("count", END))
    builder.add_edge(START, "count")
    graph = builder.compile()

    async def work() -> Any:
        return await graph.ainvoke({"count": 0})

    return work


# -- stored ----------------------------------------------------------------------------------------


def committed_loop(open_table: OpenTable) -> Callable[[Setup], Awaitable[Work]]:
    """The bare loop with one raw commit per step."""

    async def floor(setup: Setup) -> Work:
        table = await open_table(setup)
        route = router(setup.size)

        async def work() -> dict[str, int]:
            state: Any = {"count": 0}
            while True:
                state.update(await count(state))
                await table.put(state["count"], msgpack.packb(state))
                if await route(state) == END:
                    return state  # type: ignore[no-any-return]  # a plain dict

        return work

    return floor


CASES = [
    Case(name="loop_1000", unit="superstep", size=1000, floor=bare_loop, subject=loop()),
    Case(
        name="loop_1000_command", unit="superstep", size=1000, floor=bare_command_loop, subject=command_loop
    ),
    Case(
        name="loop_1000_inline_sync",
        unit="superstep",
        size=1000,
        floor=bare_sync_loop,
        subject=loop(count_at_once, inline=True),
        note="a synchronous node on the loop; LangGraph has no such option and takes it to a thread",
    ),
    Case(
        name="loop_1000_memory",
        unit="superstep",
        size=1000,
        floor=bare_loop,
        subject=loop(open_saver=memory),
        note="in-memory saver, durability 'sync'; the floor stores nothing",
    ),
    Case(
        name="loop_1000_sqlite",
        unit="superstep",
        size=1000,
        floor=committed_loop(sqlite_table),
        subject=loop(open_saver=sqlite),
        clock="wall",
        note="SQLite file, synchronous=NORMAL, durability 'sync'; the floor makes one raw commit per step",
    ),
    *(
        Case(
            name=f"loop_1000_postgres_{durability}",
            unit="superstep",
            size=1000,
            floor=committed_loop(postgres_table),
            subject=loop(open_saver=postgres, durability=durability),
            clock="wall",
            needs="checkpoint.postgres",
            note="fsync on; the floor makes one raw commit per step",
        )
        for durability in ("sync", "async", "exit")
    ),
]
