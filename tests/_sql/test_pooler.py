"""A PostgreSQL database behind a pooler that gives every transaction another connection."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import LiteralString

import psycopg
import psycopg_pool
import pytest

from aiograph._sql.postgres import PostgresDatabase
from aiograph._sql.session import Guard, Query
from aiograph._sql.supply import PoolOptions
from aiograph.checkpoint.base import config_for
from aiograph.checkpoint.postgres import AsyncPostgresSaver, PostgresSaver
from aiograph.testing.savers import SaverContract
from tests._sql.outages import SETTINGS, names, put
from tests._sql.pooler import Pooler, pooling
from tests.faults.rig import INPUT, Diary, final_state, outer_graph


@pytest.fixture
def pooler(postgres_database: str) -> Iterator[Pooler]:
    with pooling(postgres_database) as pooler:
        yield pooler


@pytest.fixture
async def client(pooler: Pooler) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(
        pooler.conninfo, autocommit=True, prepare_threshold=None
    ) as client:
        yield client


async def ask(client: psycopg.AsyncConnection, sql: LiteralString) -> str:
    row = await (await client.execute(sql)).fetchone()
    assert row is not None
    return str(row[0])


async def test_what_a_session_would_keep_is_gone(client: psycopg.AsyncConnection) -> None:
    await client.execute("SET search_path TO elsewhere")
    assert {await ask(client, "SHOW search_path") for _ in range(2)} == {'"$user", public', "elsewhere"}


async def test_a_transaction_stays_on_one_connection(client: psycopg.AsyncConnection) -> None:
    pids = set()
    for _ in range(4):
        async with client.transaction():
            own = {await ask(client, "SELECT pg_backend_pid()") for _ in range(3)}
        assert len(own) == 1
        pids |= own
    assert len(pids) == 2


async def test_many_connections_share_two(pooler: Pooler) -> None:
    database = PostgresDatabase(pooler.conninfo, SETTINGS)
    await database.migrate()
    await asyncio.gather(*(put(database, f"{number:03}") for number in range(300)))
    assert len(await names(database)) == 300
    pids = await asyncio.gather(
        *(database.fetch(Query("SELECT pg_backend_pid()"), "pid") for _ in range(100))
    )
    assert len({rows[0] for rows in pids}) == 2
    await database.aclose()


async def test_a_guard_undoes_all_of_its_operation(pooler: Pooler) -> None:
    class Refused(Exception):
        pass

    database = PostgresDatabase(pooler.conninfo, SETTINGS)
    await database.migrate()
    await put(database, "a")
    guard = Guard("UPDATE things SET size = 1 WHERE name = ? RETURNING 1", ("b",), Refused)
    with pytest.raises(Refused):
        await database.write([Guard("SELECT 1 FROM things {share}", (), Refused), guard], "guarded")
    assert await names(database) == ["a"]
    await database.aclose()


async def test_two_can_set_up_at_once(pooler: Pooler) -> None:
    databases = [PostgresDatabase(pooler.conninfo, SETTINGS) for _ in range(4)]
    await asyncio.gather(*(database.migrate() for database in databases))
    assert [await names(database) for database in databases] == [[]] * 4
    for database in databases:
        await database.aclose()


async def test_nothing_is_prepared_where_a_pooler_names_processes_of_its_own(pooler: Pooler) -> None:
    settings = SETTINGS._replace(pool=PoolOptions(max_size=1, prepare_threshold=0))
    database = PostgresDatabase(pooler.conninfo, settings)
    await database.migrate()
    await put_often(database)
    assert database.counters.retries == 0
    assert await prepared(database) == [0, 0]
    await database.aclose()


async def test_a_pooler_that_was_not_noticed_is_found_out(pooler: Pooler) -> None:
    async with psycopg_pool.AsyncConnectionPool(
        pooler.conninfo, min_size=1, max_size=1, kwargs={"autocommit": True, "prepare_threshold": 2}
    ) as pool:
        database = PostgresDatabase(pool, SETTINGS)
        await database.migrate()
        await put_often(database)
        assert await names(database) == [f"{number:03}" for number in range(20)]
        assert 1 <= database.counters.retries <= 2
        await database.aclose()


async def test_statements_that_come_again_are_prepared(postgres_database: str) -> None:
    database = PostgresDatabase(postgres_database, SETTINGS._replace(pool=PoolOptions(max_size=1)))
    await database.migrate()
    await put_often(database)
    assert await prepared(database) == [2]
    await database.aclose()


async def put_often(database: PostgresDatabase) -> None:
    for number in range(20):
        await put(database, f"{number:03}")


async def prepared(database: PostgresDatabase) -> list[int]:
    """How many statements are prepared, on each of the connections that one gets in turn."""
    query = Query("SELECT count(*), pg_backend_pid() FROM pg_prepared_statements WHERE name LIKE 'aiograph%'")
    rows = [(await database.fetch(query, "statements"))[0] for _ in range(3)]
    return [count for count, _ in sorted(set(rows), key=lambda row: int(row[1]))]


async def test_fifty_graphs_run_at_once(pooler: Pooler) -> None:
    async with AsyncPostgresSaver(pooler.conninfo) as saver:
        await saver.asetup()
        graph = outer_graph(Diary(), saver, rounds=3)
        configs = [config_for(f"thread {number}", "") for number in range(50)]
        outputs = await asyncio.gather(*(graph.ainvoke(INPUT, config) for config in configs))
        assert outputs == [final_state(3)] * 50
        states = await asyncio.gather(*(graph.aget_state(config) for config in configs))
        assert [state.values for state in states] == [final_state(3)] * 50


class TestContractBehindAPooler(SaverContract):
    @pytest.fixture(autouse=True)
    def _database(self, pooler: Pooler) -> None:
        self.address = pooler.conninfo

    @asynccontextmanager
    async def open_saver(self) -> AsyncIterator[PostgresSaver]:
        async with PostgresSaver(self.address) as saver:
            await saver.asetup()
            yield saver
