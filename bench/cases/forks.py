"""Branches and copies of a thread with a state of 1 MiB: neither should store it again."""

from typing import Any

import msgpack  # type: ignore[import-untyped]

from bench._case import Case, Setup, Work
from bench._packages import END, START, Package
from bench._savers import new_thread, postgres
from bench._tables import postgres_table
from bench.cases.one_of_many import ITEMS, ListState, items_of

TOPIC = "What savers write"


async def look(state: ListState) -> dict[str, int]:
    return {"done": state["done"] + 1}


async def stored_thread(package: Package, setup: Setup) -> tuple[Any, Any, dict[str, Any]]:
    """A saver, a graph, and the config of a thread in which the items are stored."""
    saver = await postgres(package, setup)
    builder = package.builder(ListState).add_node("look", look).add_edge(START, "look")
    graph = builder.add_edge("look", END).compile(checkpointer=saver)
    config = new_thread()
    await graph.ainvoke({"items": items_of(ListState), "done": 0}, config, durability="sync")
    return saver, graph, config


async def fork(package: Package, setup: Setup) -> Work:
    _, graph, config = await stored_thread(package, setup)
    origin = (await graph.aget_state(config)).config

    async def work() -> int:
        for number in range(setup.size):
            await graph.aupdate_state(origin, {"done": number}, as_node="look")
        return setup.size

    return work


async def noted(setup: Setup) -> Work:
    """One row for what has changed."""
    table = await postgres_table(setup)

    async def work() -> int:
        for number in range(setup.size):
            await table.put(number, msgpack.packb({"done": number}))
        return setup.size

    return work


async def copy(package: Package, setup: Setup) -> Work:
    saver, _, config = await stored_thread(package, setup)

    async def work() -> int:
        for _ in range(setup.size):
            target = new_thread()["configurable"]["thread_id"]
            await saver.acopy_thread(config["configurable"]["thread_id"], target)
        return setup.size

    return work


async def copied(setup: Setup) -> Work:
    """The items are read and stored once more, as without a statement that copies."""
    table = await postgres_table(setup)
    packed = [msgpack.packb(item) for item in items_of(ListState)]

    async def work() -> int:
        for number in range(setup.size):
            for place, body in enumerate(packed):
                await table.put((number + 1) * ITEMS + place, body)
        return setup.size

    return work


CASES = [
    Case(
        name="fork_postgres",
        unit="fork",
        size=20,
        floor=noted,
        subject=fork,
        clock="bound",
        also=("wall", "WAL"),
        needs="checkpoint.postgres",
        note="an update of a small key, on an older checkpoint of a state of 1 MiB; the floor stores the key",
    ),
    Case(
        name="copy_thread_postgres",
        unit="copy",
        size=5,
        floor=copied,
        subject=copy,
        clock="bound",
        also=("wall", "WAL"),
        has_rival=False,  # its PostgreSQL saver has no such verb
        needs="checkpoint.postgres",
        note="a thread of 1 MiB; the floor stores its 1,024 items again, one by one",
    ),
]
