"""Looking at a conversation of 500 messages of 1 kB: its state, and the last 50 checkpoints."""

from collections.abc import Awaitable, Callable
from functools import partial
from itertools import product
from typing import Any, TypeAlias

import msgpack  # type: ignore[import-untyped]

from bench._case import Case, Setup, Work
from bench._packages import END, START, Package
from bench._savers import OpenSaver, memory, new_thread, postgres, sqlite
from bench._tables import OpenTable, memory_table, postgres_table, sqlite_table
from bench.cases.conversation import State, answer, message

TOPIC = "Interrupts and looking at state"

MESSAGES = 500
LISTED = 50

Look: TypeAlias = Callable[[Any, Any], Awaitable[int]]


def read(open_table: OpenTable, times: int) -> Callable[[Setup], Awaitable[Work]]:
    async def floor(setup: Setup) -> Work:
        table = await open_table(setup)
        await table.fill([msgpack.packb(message(number)) for number in range(MESSAGES)])

        async def work() -> int:
            for _ in range(setup.size):
                state = [msgpack.unpackb(body) for body in await table.get()]
                seen = sum(len(state[: MESSAGES - earlier]) for earlier in range(times))
            return seen

        return work

    return floor


def looked_at(open_saver: OpenSaver, look: Look) -> Callable[[Package, Setup], Awaitable[Work]]:
    """Most messages come at once, the last 60 each in a superstep of its own."""

    async def subject(package: Package, setup: Setup) -> Work:
        async def route(state: State) -> str:
            return END if len(state["messages"]) >= MESSAGES else "answer"

        saver = await open_saver(package, setup)
        builder = package.builder(State).add_node("answer", answer).add_edge(START, "answer")
        builder.add_conditional_edges("answer", route, ["answer", END])
        graph = builder.compile(checkpointer=saver)
        config = {**new_thread(), "recursion_limit": 100}
        start = [message(number) for number in range(MESSAGES - 60)]
        await graph.ainvoke({"messages": start}, config, durability="sync")

        async def work() -> int:
            for _ in range(setup.size):
                seen = await look(graph, config)
            return seen

        return work

    return subject


async def get_state(graph: Any, config: Any) -> int:
    return len((await graph.aget_state(config)).values["messages"])


async def list_history(graph: Any, config: Any) -> int:
    return sum(
        [len(each.values["messages"]) async for each in graph.aget_state_history(config, limit=LISTED)]
    )


LOOKS = (
    ("get_state", get_state, 10, 1, "500 messages of 1 kB; the floor reads and unpacks its rows"),
    ("history_50", list_history, 1, LISTED, "50 states of about 500 messages; the floor reads them once"),
)
COLD = ("cold_get_state", get_state, 10, 1, "a saver of ours that keeps nothing of what it has written")

SAVERS = (
    ("memory", memory, memory_table),
    ("sqlite", sqlite, sqlite_table),
    ("postgres", postgres, postgres_table),
)
COLD_SAVERS = (
    ("sqlite", partial(sqlite, cached_bytes=0), sqlite_table),
    ("postgres", partial(postgres, cached_bytes=0), postgres_table),
)

CASES = [
    Case(
        name=f"{what}_{name}",
        unit="call",
        size=size,
        floor=read(open_table, times),
        subject=looked_at(open_saver, look),
        clock="wall",
        needs=f"checkpoint.{name}",
        note=note,
    )
    for (what, look, size, times, note), (name, open_saver, open_table) in (
        *product(LOOKS, SAVERS),
        *product((COLD,), COLD_SAVERS),
    )
]
