"""Many runs at once over few connections: checkpoints per second."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypedDict

import psycopg

from aiograph._sql.pipeline import new_cursor, statements_of
from aiograph._sql.session import Change, Guard
from aiograph.checkpoint.postgres.aio import AsyncPostgresSaver
from bench._case import Case, Goal, Setup, Work
from bench._packages import END, OURS, START, Package
from bench._postgres import new_database
from bench._savers import POOL, new_thread, postgres

TOPIC = "Savers"


SUPERSTEPS = 3
CHECKPOINTS = SUPERSTEPS + 2
"""Of a run: its input, the state that has taken that in, and what each superstep has made of it."""

GROUP = 32
"""Checkpoints that share a transaction, which is what aiograph puts together at most."""

Superstep = Sequence[tuple[bytes, Sequence[Sequence[Any]]]]
"""Statements with their rows."""


class State(TypedDict):
    count: int


async def count(state: State) -> dict[str, int]:
    return {"count": state["count"] + 1}


def graph_of(package: Package, saver: Any) -> Any:
    builder = package.builder(State)
    names = [f"count{number}" for number in range(SUPERSTEPS)]
    builder.add_sequence([(name, count) for name in names])
    builder.add_edge(START, names[0]).add_edge(names[-1], END)
    return builder.compile(checkpointer=saver)


async def run_all(graph: Any, runs: int) -> int:
    states = await asyncio.gather(
        *(graph.ainvoke({"count": 0}, new_thread(), durability="sync") for _ in range(runs))
    )
    return sum(state["count"] for state in states)


def runs_in(setup: Setup) -> int:
    return max(1, setup.size // CHECKPOINTS)


async def crowd(package: Package, setup: Setup) -> Work:
    graph = graph_of(package, await postgres(package, setup))

    async def work() -> int:
        return await run_all(graph, runs_in(setup))

    return work


# -- the same rows, by hand


async def raw_inserts(setup: Setup) -> Work:
    """Connections that send the rows of a rehearsal in pipelines, and know beforehand what to send."""
    conninfo = new_database(setup)
    supersteps = await rehearsed(conninfo, runs_in(setup))
    connections = [
        await setup.resources.enter_async_context(
            await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
        )
        for _ in range(POOL)
    ]
    tables = ("checkpoints", "checkpoint_blobs", "checkpoint_writes", "checkpoint_heads")

    async def work() -> int:
        await connections[0].execute(f"TRUNCATE {', '.join(tables)}".encode())
        starts = range(0, len(supersteps), GROUP)
        left: list[Sequence[Superstep]] = [supersteps[start : start + GROUP] for start in starts]
        await asyncio.gather(*(send(connection, left) for connection in connections))
        return SUPERSTEPS * runs_in(setup)

    return work


async def send(connection: Any, left: list[Sequence[Superstep]]) -> None:
    while left:
        group = left.pop(0)
        async with connection.pipeline():
            for sql, rows in (statement for superstep in group for statement in superstep):
                await new_cursor(connection).executemany(sql, rows)


async def rehearsed(conninfo: str, runs: int) -> list[Superstep]:
    """What some runs send to the database, without what only asks."""
    sent: list[Superstep] = []
    async with AsyncPostgresSaver(conninfo) as saver:
        await saver.asetup()
        session = saver._session
        write: Callable[..., Awaitable[None]] = session.write

        async def recorded(changes: Any, *rest: Any) -> None:
            inserts: list[Change | Guard] = [
                change
                for change in changes
                if isinstance(change, Change) and change.sql.lstrip().startswith("INSERT")
            ]
            sent.append([(each.sql, each.rows) for each in statements_of(inserts)])
            await write(changes, *rest)

        session.write = recorded  # type: ignore[assignment, method-assign]  # to listen in
        await run_all(graph_of(OURS, saver), runs)
    return sent


CASES = [
    Case(
        name=f"crowd_{runs}_postgres",
        unit="checkpoint",
        size=runs * CHECKPOINTS,
        floor=raw_inserts,
        subject=crowd,
        clock="wall",
        needs="checkpoint.postgres",
        goals=(Goal(0.20),) if runs == 64 else (),
        note=f"{runs:,} runs of 3 nodes at once, {POOL} connections, fsync on; the floor sends the same "
        "INSERTs in pipelines, 32 checkpoints to a transaction, without any engine, reads or checks",
    )
    for runs in (64, 1000)
]
