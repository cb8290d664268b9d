"""The loop of one node, stored: each saver with each durability."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgpack  # type: ignore[import-untyped]

from bench._case import Case, Goal, Measure, Setup, Work
from bench._packages import END
from bench._savers import OpenSaver, memory, postgres, sqlite
from bench._tables import OpenTable, memory_table, postgres_table, sqlite_table
from bench.cases.loop import count, loop, router

TOPIC = "Savers"


def committed_loop(open_table: OpenTable, *, each_step: bool) -> Callable[[Setup], Awaitable[Work]]:
    """The bare loop with one raw commit per step, or one at its end."""

    async def floor(setup: Setup) -> Work:
        table = await open_table(setup)
        route = router(setup.size)

        async def work() -> dict[str, int]:
            state: Any = {"count": 0}
            is_done = False
            while not is_done:
                state.update(await count(state))
                is_done = await route(state) == END
                if each_step or is_done:
                    await table.put(state["count"], msgpack.packb(state))
            return state  # type: ignore[no-any-return]  # a plain dict

        return work

    return floor


GOALS = {
    "memory_sync": 0.08,
    "memory_async": 0.08,
    "memory_exit": 0.08,
    "sqlite_sync": 0.30,
    "postgres_sync": 0.35,
    "postgres_async": 0.25,
}

NOTES = {
    "memory": "in memory; the floor packs its state at each step, and keeps the bytes",
    "sqlite": "SQLite file, synchronous=NORMAL",
    "postgres": "PostgreSQL as freshly installed, fsync on",
}

COMMITS = {
    "sync": "stored before the next superstep; the floor makes a raw commit per step",
    "async": "stored behind the next superstep; the floor makes a raw commit per step",
    "exit": "stored once, at the end; so does the floor",
}


def _case(name: str, clock: Measure, durability: str, open_saver: OpenSaver, open_table: OpenTable) -> Case:
    goal = GOALS.get(f"{name}_{durability}")
    return Case(
        name=f"loop_1000_{name}_{durability}",
        unit="superstep",
        size=1000,
        floor=committed_loop(open_table, each_step=durability != "exit"),
        subject=loop(open_saver=open_saver, durability=durability),
        clock=clock,
        needs=f"checkpoint.{name}",
        goals=(Goal(goal),) if goal else (),
        note=f"{NOTES[name]}; {COMMITS[durability]}",
    )


SAVERS: tuple[tuple[str, Measure, OpenSaver, OpenTable], ...] = (
    ("memory", "cpu", memory, memory_table),
    ("sqlite", "wall", sqlite, sqlite_table),
    ("postgres", "wall", postgres, postgres_table),
)

CASES = [
    _case(name, clock, durability, open_saver, open_table)
    for name, clock, open_saver, open_table in SAVERS
    for durability in COMMITS
]
