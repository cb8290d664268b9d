"""Very many runs at once through few connections: all are right, none waits too long, nothing is left."""

import asyncio
import time

import psycopg
import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver, config_for
from aiograph.checkpoint.postgres import AsyncPostgresSaver, PoolOptions
from tests.faults.rig import INPUT, Diary, Graph, final_state, outer_graph

CONNECTIONS = 10

# As if the server were some way off: each checkpoint takes a while, which others can use.
LATENCY = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql
AS $$BEGIN PERFORM pg_sleep(0.005); RETURN NULL; END$$;
CREATE TRIGGER wait AFTER INSERT ON checkpoints FOR EACH STATEMENT EXECUTE FUNCTION wait();
"""

ACTIVE = """
SELECT count(*) FILTER (WHERE state = 'active'), count(*)
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class Watch:
    """Looks again and again how many connections there are, and how many have something to do."""

    def __init__(self, address: str) -> None:
        self.busy: list[int] = []
        self.open: list[int] = []
        self._address = address

    async def until_cancelled(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._address, autocommit=True) as connection:
            while True:
                row = await (await connection.execute(ACTIVE)).fetchone()
                assert row is not None
                self.busy.append(row[0])
                self.open.append(row[1])
                await asyncio.sleep(0.01)  # some other moment of a load that is real


async def run_crowd(saver: BaseCheckpointSaver, size: int) -> None:
    """Runs of a graph, each on a thread of its own."""
    diary = Diary()
    graph: Graph = outer_graph(diary, saver, rounds=1)

    async def one(number: int) -> None:
        config = config_for(f"run {number}", "")
        assert await graph.ainvoke(INPUT, config, durability="sync") == final_state(1)
        assert [saved.metadata["step"] async for saved in saver.alist(config)] == [2, 1, 0, -1]

    await asyncio.gather(*map(one, range(size)))
    assert diary.ended_and_started_again == []


async def load(address: str, size: int) -> float:
    """Seconds that a crowd takes."""
    watch = Watch(address)
    async with AsyncPostgresSaver(address, pool=PoolOptions(max_size=CONNECTIONS)) as saver:
        await saver.asetup()
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(LATENCY)
        watching = asyncio.create_task(watch.until_cancelled())
        started = time.perf_counter()
        await run_crowd(saver, size)
        seconds = time.perf_counter() - started
        watching.cancel()
        await asyncio.wait([watching])
    assert max(watch.busy) >= 8
    assert max(watch.open) <= CONNECTIONS
    await all_are_gone(address)
    return seconds


async def all_are_gone(address: str) -> None:
    """Waits until the server has noticed that all connections are closed."""
    async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
        for _ in range(1000):
            if await (await connection.execute(ACTIVE)).fetchone() == (0, 0):
                return
            await asyncio.sleep(0.01)  # another process: nothing to wait on but its answer
    raise AssertionError("connections were left open")


async def test_two_hundred_runs_share_ten_connections(postgres_database: str) -> None:
    await load(postgres_database, 200)


@pytest.mark.long
async def test_two_thousand_runs_share_ten_connections(postgres_database: str) -> None:
    seconds = await load(postgres_database, 2000)
    print(f"{2000 / seconds:.0f} runs per second")
    assert 2000 / seconds > 29
