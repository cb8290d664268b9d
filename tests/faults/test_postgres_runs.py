"""Whole graphs on PostgreSQL while their connections are ended and the server is killed: nobody notices."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from psycopg.conninfo import make_conninfo

from aiograph.checkpoint.base import BaseCheckpointSaver, config_for
from aiograph.checkpoint.postgres import AsyncPostgresSaver
from aiograph.testing.postgres import find_binaries, postgres_server
from aiograph.types import Durability
from tests._sql.outages import Victim, end_connections
from tests.faults.rig import INPUT, Diary, final_state, outer_graph

ROUNDS = 5
STEPS = list(range(-1, 2 * ROUNDS + 1))
"""The supersteps of a run: the input, what it starts, and two a round."""


class Run:
    """A graph on a thread of its own, again and again, and what its nodes have done."""

    def __init__(self, saver: BaseCheckpointSaver, number: int, durability: Durability) -> None:
        self.saver = saver
        self.name = f"run {number}"
        self.durability: Durability = durability
        self.diary = Diary()
        self.graph = outer_graph(self.diary, saver, rounds=ROUNDS)
        self.times = 0

    async def once(self) -> None:
        config = config_for(f"{self.name}.{self.times}", "")
        output = await self.graph.ainvoke(INPUT, config, durability=self.durability)
        assert output == final_state(ROUNDS), config
        stored = [saved.metadata["step"] async for saved in self.saver.alist(config)]
        assert sorted(stored) == (STEPS[-1:] if self.durability == "exit" else STEPS), config
        assert self.diary.ended_and_started_again == [], config
        self.times += 1

    async def until(self, ended: asyncio.Event) -> None:
        while not ended.is_set():
            await self.once()

    async def read_until(self, ended: asyncio.Event) -> None:
        """Looks at the thread all the while."""
        while not ended.is_set():
            config = config_for(f"{self.name}.{self.times}", "")
            await self.graph.aget_state(config)
            assert len([saved async for saved in self.graph.aget_state_history(config)]) <= len(STEPS)


@asynccontextmanager
async def set_up(address: str) -> AsyncIterator[AsyncPostgresSaver]:
    async with AsyncPostgresSaver(address) as saver:
        await saver.asetup()
        yield saver


async def run_through(
    saver: AsyncPostgresSaver, disaster: Callable[[], Awaitable[None]], durability: Durability
) -> None:
    """Runs graphs, and reads of them, until a disaster is over, and once more."""
    over = asyncio.Event()
    runs = [Run(saver, number, durability) for number in range(8)]
    async with asyncio.TaskGroup() as tasks:
        for run in runs:
            tasks.create_task(run.until(over))
            tasks.create_task(run.read_until(over))
        try:
            await disaster()
        finally:
            over.set()
    assert all(run.times for run in runs)
    for run in runs:
        await run.once()


# -- connections that are ended --------------------------------------------------------------------


async def absorb_ended_connections(address: str, durability: Durability, at_least: int) -> None:
    async with set_up(address) as saver:

        async def disaster() -> None:
            ended = 0
            while ended < at_least:
                ended += await asyncio.to_thread(end_connections, address)
                await asyncio.sleep(0.05)  # some work gets done in between

        await run_through(saver, disaster, durability)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_ended_connections_reach_no_caller(postgres_database: str, durability: Durability) -> None:
    await absorb_ended_connections(postgres_database, durability, 20)


@pytest.mark.long
@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_three_hundred_ended_connections_reach_no_caller(
    postgres_database: str, durability: Durability
) -> None:
    await absorb_ended_connections(postgres_database, durability, 300)


# -- a server that is killed -----------------------------------------------------------------------


async def survive_crashes(times: int, durability: Durability) -> None:
    """What the server has acknowledged survives it: for that, it must not acknowledge too early."""
    with postgres_server(find_binaries()) as server:
        victim = Victim(server.conninfo())
        address = make_conninfo(server.conninfo(), options="-c synchronous_commit=on")

        async def disaster() -> None:
            for _ in range(times):
                await asyncio.sleep(0.3)  # some work gets done in between
                await asyncio.to_thread(victim.crash)

        try:
            async with set_up(address) as saver:
                await run_through(saver, disaster, durability)
        finally:
            victim.stop()


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="finds the server's command in /proc")


@needs_proc
@pytest.mark.postgres
async def test_a_server_that_is_killed_reaches_no_caller() -> None:
    await survive_crashes(2, "sync")


@needs_proc
@pytest.mark.long
@pytest.mark.postgres
@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_a_server_that_is_killed_twenty_times_reaches_no_caller(durability: Durability) -> None:
    await survive_crashes(20, durability)
