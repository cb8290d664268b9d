"""Two keys of many that change: what a superstep costs when most of the state is left alone."""

from collections.abc import Awaitable, Callable
from typing import Any, TypedDict

from bench._case import Case, Goal, Point, Setup, Work
from bench._packages import END, START, Package
from bench._savers import OpenSaver, memory, no_saver, options_of

TOPIC = "State"


def schema(channels: int) -> Any:
    return TypedDict("State", dict.fromkeys(names(channels), int))  # type: ignore[operator]


def names(channels: int) -> list[str]:
    return ["count", "twice", *(f"key{number:04}" for number in range(channels - 2))]


def first_state(channels: int, *, is_full: bool) -> dict[str, int]:
    return dict.fromkeys(names(channels if is_full else 2), 0)


async def touch(state: Any) -> dict[str, int]:
    return {"count": state["count"] + 1, "twice": state["twice"] + 2}


def bare(channels: int, *, is_full: bool) -> Callable[[Setup], Awaitable[Work]]:
    async def floor(setup: Setup) -> Work:
        start = first_state(setup.scaled(channels), is_full=is_full)

        async def work() -> dict[str, int]:
            state = start.copy()
            while state["count"] < setup.size:
                state.update(await touch(state))
            return state

        return work

    return floor


def touched(
    channels: int, *, is_full: bool, open_saver: OpenSaver
) -> Callable[[Package, Setup], Awaitable[Work]]:
    async def subject(package: Package, setup: Setup) -> Work:
        async def route(state: Any) -> str:
            return END if state["count"] >= setup.size else "touch"

        saver = await open_saver(package, setup)
        builder = package.builder(schema(setup.scaled(channels)))
        builder.add_node("touch", touch).add_edge(START, "touch")
        builder.add_conditional_edges("touch", route, ["touch", END])
        graph = builder.compile(checkpointer=saver)
        start = first_state(setup.scaled(channels), is_full=is_full)

        async def work() -> Any:
            return await graph.ainvoke(start, **options_of(saver))

        return work

    return subject


def _case(channels: int, kind: str = "", goal: float = 0, open_saver: OpenSaver = no_saver) -> Case:
    is_full = kind == "full"
    return Case(
        name="_".join(filter(None, [f"channels_{channels}", kind])),
        unit="superstep",
        size=100,
        floor=bare(channels, is_full=is_full),
        subject=touched(channels, is_full=is_full, open_saver=open_saver),
        goals=(Goal(goal),) if goal else (),
        point=None if kind else Point("channels of the graph", channels),
        note="all keys have values, which node and router are given" if is_full else "",
    )


CASES = [
    _case(20),
    _case(100),
    _case(1000, goal=0.02),
    _case(1000, "full"),
    _case(1000, "memory", open_saver=memory),
]
