"""Connections that are held: who is woken, when they go back, and what passes through them."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from aiograph._sql.migrate import Component
from aiograph._sql.postgres import PostgresDatabase, Settings
from aiograph._sql.session import Change, Query
from aiograph._sql.supply import PoolOptions

THINGS = Component("things", ("things",), [("CREATE TABLE things (name text, data bytea)",)])
SETTINGS = Settings(component=THINGS)
MEGABYTE = 1_000_000


@pytest.fixture
async def database(postgres_database: str) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(postgres_database, SETTINGS)
    await database.migrate()
    yield database
    await database.aclose()


async def add(database: PostgresDatabase, name: str, data: bytes = b"") -> None:
    await database.write([Change("INSERT INTO things VALUES (?, ?)", [(name, data)])], f"adding {name}")


async def process_of(database: PostgresDatabase) -> int:
    """The server's process at the other end."""
    [(pid,)] = await database.fetch(Query("SELECT pg_backend_pid()"), "the process")
    assert isinstance(pid, int)
    return pid


async def tasks_made_by(work: Coroutine[Any, Any, None]) -> int:
    loop = asyncio.get_running_loop()
    made = []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    loop.set_task_factory(factory)
    try:
        await work
    finally:
        loop.set_task_factory(None)
    return len(made)


async def test_who_asks_alone_is_served_without_a_task(database: PostgresDatabase) -> None:
    await add(database, "first")
    assert await tasks_made_by(add(database, "second")) == 0


async def test_who_asks_alone_stays_on_one_connection(database: PostgresDatabase) -> None:
    assert len({await process_of(database) for _ in range(10)}) == 1


async def test_more_than_fits_into_a_socket_goes_to_and_fro(database: PostgresDatabase) -> None:
    data = bytes(range(256)) * (16 * MEGABYTE // 256)
    await add(database, "large", data)
    await database.write(
        [Change("SELECT data FROM things"), Change("INSERT INTO things VALUES (?, ?)", [("more", data)])],
        "both at once",
    )
    assert [row[0] for row in await database.fetch(Query("SELECT data FROM things"), "data")] == [data, data]


async def test_a_connection_goes_back_to_our_pool_when_its_term_is_over(postgres_database: str) -> None:
    database = PostgresDatabase(postgres_database, SETTINGS._replace(pool=PoolOptions(max_size=2)))
    await database.migrate()
    assert database._dispatcher is not None
    supply = database._dispatcher._supply
    supply.term = 0.0
    await process_of(database)
    assert not database._dispatcher._idle
    supply.term = 0.01
    await process_of(database)
    while database._dispatcher._idle:  # noqa: ASYNC110  # it tells nobody when it does
        await asyncio.sleep(0.01)
    await process_of(database)
    await database.aclose()


async def test_a_callers_pool_has_its_connection_back_before_the_caller_goes_on(
    postgres_database: str,
) -> None:
    async with AsyncConnectionPool(
        postgres_database, kwargs={"autocommit": True}, min_size=1, max_size=1
    ) as pool:
        database = PostgresDatabase(pool, SETTINGS)
        await database.migrate()
        for name in "abc":
            await add(database, name)
            assert pool.get_stats()["pool_available"] == 1
        await database.aclose()


async def test_a_callers_connection_may_be_used_by_the_caller_meanwhile(postgres_database: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as connection:
        database = PostgresDatabase(connection, SETTINGS)
        await database.migrate()
        async with asyncio.TaskGroup() as together:
            theirs = together.create_task(connection.execute("SELECT 1 FROM pg_sleep(0.01)"))
            for name in "abc":
                together.create_task(add(database, name))
        assert await theirs.result().fetchall() == [(1,)]
        assert len(await database.fetch(Query("SELECT 1 FROM things"), "rows")) == 3
        await database.aclose()


async def test_a_row_that_cannot_be_read_leaves_the_connection_usable(database: PostgresDatabase) -> None:
    pid = await process_of(database)
    with pytest.raises(Exception, match="cannot read from"):
        await database.fetch(Query("SELECT 'infinity'::timestamptz"), "a moment")
    assert await process_of(database) == pid
