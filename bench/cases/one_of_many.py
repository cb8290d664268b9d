"""One item of many that changes: what a superstep writes of a state of 1 MiB."""

from collections.abc import Awaitable, Callable
from typing import Any, TypedDict

import msgpack  # type: ignore[import-untyped]

from bench._case import Case, Measure, Setup, Work
from bench._packages import END, START, Package
from bench._savers import OpenSaver, memory, new_thread, postgres, sqlite
from bench._tables import OpenTable, memory_table, postgres_table, sqlite_table
from bench.cases.conversation import message

TOPIC = "What savers write"


ITEMS = 1024


class ListState(TypedDict):
    items: list[dict[str, str]]
    done: int


class DictState(TypedDict):
    items: dict[str, dict[str, str]]
    done: int


def items_of(schema: type) -> Any:
    items = [message(number) for number in range(ITEMS)]
    return items if schema is ListState else {item["id"]: item for item in items}


async def change(state: Any) -> dict[str, Any]:
    """Replaces an item here and an item there."""
    place = state["done"] * 37 % ITEMS
    items = state["items"].copy()
    items[place if isinstance(items, list) else f"{place:08}"] = message(ITEMS + state["done"])
    return {"items": items, "done": state["done"] + 1}


def kept(open_table: OpenTable) -> Callable[[Setup], Awaitable[Work]]:
    async def floor(setup: Setup) -> Work:
        table = await open_table(setup)
        start = items_of(ListState)
        await table.fill([msgpack.packb(item) for item in start])

        async def work() -> int:
            state = {"items": start, "done": 0}
            while state["done"] < setup.size:
                place = state["done"] * 37 % ITEMS
                state.update(await change(state))
                await table.put(place, msgpack.packb(state["items"][place]))
            return int(state["done"])

        return work

    return floor


def changed(schema: type, open_saver: OpenSaver) -> Callable[[Package, Setup], Awaitable[Work]]:
    """The items are stored beforehand, on the thread that the work goes on with."""

    async def subject(package: Package, setup: Setup) -> Work:
        async def route(state: Any) -> str:
            return END if state["done"] >= setup.size else "change"

        saver = await open_saver(package, setup)
        builder = package.builder(schema).add_node("change", change)
        builder.add_conditional_edges(START, route, ["change", END])
        builder.add_conditional_edges("change", route, ["change", END])
        graph = builder.compile(checkpointer=saver)
        config = {**new_thread(), "recursion_limit": setup.size + 10}
        await graph.ainvoke({"items": items_of(schema), "done": setup.size}, config, durability="sync")

        async def work() -> int:
            state = await graph.ainvoke({"done": 0}, config, durability="sync")
            return int(state["done"])

        return work

    return subject


def _case(name: str, schema: type, open_saver: OpenSaver, open_table: OpenTable) -> Case:
    also: tuple[Measure, ...] = ("wall", "WAL") if name == "postgres" else ("wall",)
    return Case(
        name=f"one_of_1024_{'list' if schema is ListState else 'dict'}_{name}",
        unit="superstep",
        size=50,
        floor=kept(open_table),
        subject=changed(schema, open_saver),
        clock="bound",
        also=also,
        needs=f"checkpoint.{name}",
        note="1,024 items of 1 kB, one replaced per superstep; the floor updates its row",
    )


CASES = [
    _case(name, schema, open_saver, open_table)
    for schema in (ListState, DictState)
    for name, open_saver, open_table in (
        ("memory", memory, memory_table),
        ("sqlite", sqlite, sqlite_table),
        ("postgres", postgres, postgres_table),
    )
]
