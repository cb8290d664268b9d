"""One node that a conditional edge, or its own `Command`, sends back to itself: the cost of a superstep."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypedDict

from bench._case import FLOOR, Case, Goal, Setup, Work
from bench._packages import END, START, Package
from bench._savers import OpenSaver, no_saver, options_of

TOPIC = "Supersteps"


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


def router_at_once(size: int) -> Callable[[State], str]:
    def route(state: State) -> str:
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


async def bare_inline_loop(setup: Setup) -> Work:
    route = router(setup.size)

    async def work() -> dict[str, int]:
        state: Any = {"count": 0}
        while True:
            state.update(count_at_once(state))
            if await route(state) == END:
                return state  # type: ignore[no-any-return]  # a plain dict

    return work


async def bare_thread_loop(setup: Setup) -> Work:
    route = router(setup.size)

    async def work() -> dict[str, int]:
        state: Any = {"count": 0}
        while True:
            state.update(await asyncio.to_thread(count_at_once, state))
            if await route(state) == END:
                return state  # type: ignore[no-any-return]  # a plain dict

    return work


async def bare_routed_loop(setup: Setup) -> Work:
    route = router_at_once(setup.size)

    async def work() -> dict[str, int]:
        state: Any = {"count": 0}
        while True:
            state.update(await count(state))
            if route(state) == END:
                return state  # type: ignore[no-any-return]  # a plain dict

    return work


async def bare_sync_loop(setup: Setup) -> Work:
    route = router_at_once(setup.size)

    def work() -> dict[str, int]:
        state: Any = {"count": 0}
        while True:
            state.update(count_at_once(state))
            if route(state) == END:
                return state  # type: ignore[no-any-return]  # a plain dict

    return work


def loop(
    node: Callable[[State], Any] = count,
    make_router: Callable[[int], Callable[[State], Any]] = router,
    open_saver: OpenSaver = no_saver,
    durability: str = "sync",
    **options: Any,
) -> Callable[[Package, Setup], Awaitable[Work]]:
    async def subject(package: Package, setup: Setup) -> Work:
        saver = await open_saver(package, setup)
        graph = graph_of(package, node, make_router(setup.size), saver, **options)

        async def work() -> Any:
            return await graph.ainvoke({"count": 0}, **options_of(saver, durability))

        return work

    return subject


async def called_loop(package: Package, setup: Setup) -> Work:
    graph = graph_of(package, count_at_once, router_at_once(setup.size), inline=True)
    return lambda: graph.invoke({"count": 0})


def graph_of(package: Package, node: Any, route: Any, saver: Any = None, **options: Any) -> Any:
    builder = package.builder(State)
    builder.add_node("count", node, **package.options(builder.add_node, **options))
    builder.add_edge(START, "count")
    builder.add_conditional_edges("count", route, ["count", END])
    return builder.compile(checkpointer=saver)


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


GOALS = (Goal(0.05), Goal(50, over=FLOOR))

CASES = [
    Case(name="loop_1000", unit="superstep", size=1000, floor=bare_loop, subject=loop(), goals=GOALS),
    Case(
        name="loop_1000_command",
        unit="superstep",
        size=1000,
        floor=bare_command_loop,
        subject=command_loop,
        goals=GOALS,
    ),
    Case(
        name="loop_1000_sync_router",
        unit="superstep",
        size=1000,
        floor=bare_routed_loop,
        subject=loop(make_router=router_at_once),
        goals=GOALS,
        note="LangGraph takes a synchronous router to a thread",
    ),
    Case(
        name="loop_1000_sync_node",
        unit="superstep",
        size=1000,
        floor=bare_thread_loop,
        subject=loop(count_at_once),
        note="a synchronous node runs in a thread, here, there and in the floor",
    ),
    Case(
        name="loop_1000_inline_sync",
        unit="superstep",
        size=1000,
        floor=bare_inline_loop,
        subject=loop(count_at_once, inline=True),
        goals=GOALS,
        note="a synchronous node on the loop; LangGraph has no such option and takes it to a thread",
    ),
    Case(
        name="loop_1000_invoke",
        unit="superstep",
        size=1000,
        floor=bare_sync_loop,
        subject=called_loop,
        note="invoke() with a synchronous node, inline for aiograph, and a synchronous router",
    ),
]
