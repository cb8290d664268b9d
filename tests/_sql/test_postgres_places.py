"""Where a PostgreSQL database can be used from: loops, threads, forked children, processes, poolers."""

import asyncio
import multiprocessing
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest

from aiograph import bridge
from aiograph._sql.migrate import Component
from aiograph._sql.postgres import PostgresDatabase
from aiograph._sql.session import Query
from aiograph.errors import BridgeClosedError, CheckpointStorageError
from tests._sql.outages import SETTINGS, THINGS, names, put

T = TypeVar("T")
HOME = Path(__file__).parent.parent.parent


@pytest.fixture
async def database(postgres_database: str) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(postgres_database, SETTINGS)
    await database.migrate()
    yield database
    await database.aclose()


def run(make: Callable[[], Awaitable[T]]) -> T:
    """As synchronous verbs do it."""
    return bridge.run(make, verb="test")


# -- loops and threads -----------------------------------------------------------------------------


async def test_it_serves_other_loops(database: PostgresDatabase) -> None:
    async def work(thread: int) -> None:
        await asyncio.gather(*(put(database, f"{thread}-{number}") for number in range(20)))

    await asyncio.gather(*(asyncio.to_thread(asyncio.run, work(thread)) for thread in range(4)))
    assert len(await names(database)) == 80
    assert database.home is asyncio.get_running_loop()


async def test_it_serves_threads_through_the_bridge(database: PostgresDatabase) -> None:
    puts = [partial(put, database, f"{number}") for number in range(16)]
    await asyncio.gather(*(asyncio.to_thread(run, each) for each in puts))
    assert len(await names(database)) == 16


def test_opened_by_a_synchronous_call_it_serves_any_loop(postgres_database: str) -> None:
    database = PostgresDatabase(postgres_database, SETTINGS)
    run(database.migrate)
    asyncio.run(put(database, "a"))
    assert run(lambda: names(database)) == ["a"]
    run(database.aclose)


async def test_a_request_from_another_loop_can_be_cancelled(database: PostgresDatabase) -> None:
    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await database.fetch(Query("SELECT pg_sleep(0.3)"), "a wait")

    await asyncio.to_thread(asyncio.run, give_up())
    await put(database, "b")
    assert "b" in await names(database)


def test_when_its_loop_is_gone_the_error_says_so(postgres_database: str) -> None:
    databases: list[PostgresDatabase] = []

    async def open_and_close() -> None:
        databases.append(PostgresDatabase(postgres_database, SETTINGS))
        await databases[0].migrate()
        await databases[0]._dispatcher.aclose()  # type: ignore[union-attr]  # so that nothing leaks

    asyncio.run(open_and_close())
    with pytest.raises(BridgeClosedError, match="PostgresDatabase was opened on is closed; open it anew"):
        asyncio.run(names(databases[0]))
    asyncio.run(databases[0].aclose())


def test_a_loop_ends_even_if_nobody_has_closed_the_database(postgres_database: str) -> None:
    """In a process of its own: connections that were never closed are reported when they are collected."""
    code = (
        "import asyncio, sys\n"
        "from aiograph._sql.postgres import PostgresDatabase\n"
        "from tests._sql.outages import SETTINGS\n"
        "asyncio.run(PostgresDatabase(sys.argv[1], SETTINGS).migrate())\n"
        "print('ended')\n"
    )
    command = [sys.executable, "-c", code, postgres_database]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True, text=True, cwd=HOME)
    assert done.stdout == "ended\n"


# -- forks and processes ---------------------------------------------------------------------------


async def put_and_close(database: PostgresDatabase) -> None:
    await put(database, "child")
    await database.aclose()


def in_child(database: PostgresDatabase) -> int:
    """Has a forked child use the database; 0 if it could."""
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(put_and_close(database))
            os._exit(0)
        except CheckpointStorageError as error:
            os._exit(2 if "forked from" in str(error) else 3)
        except BaseException:
            os._exit(4)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_opens_connections_of_its_own(postgres_database: str) -> None:
    database = PostgresDatabase(postgres_database, SETTINGS)
    run(database.migrate)
    assert in_child(database) == 0
    run(lambda: put(database, "parent"))
    assert run(lambda: names(database)) == ["child", "parent"]
    assert database.counters.reconnects == 0
    run(database.aclose)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_callers_connection_does_not_serve_a_forked_child(postgres_database: str) -> None:
    async def connect() -> psycopg.AsyncConnection[tuple[object, ...]]:
        return await psycopg.AsyncConnection.connect(postgres_database, autocommit=True)

    connection = run(connect)
    database = PostgresDatabase(connection, SETTINGS)
    run(database.migrate)
    assert in_child(database) == 2
    assert run(lambda: names(database)) == []
    run(database.aclose)
    run(connection.close)


def migrate_there(conninfo: str, results: "multiprocessing.Queue[str]") -> None:
    async def migrate() -> None:
        database = PostgresDatabase(conninfo, SETTINGS)
        await database.migrate()
        await put(database, "a")
        await database.aclose()

    try:
        asyncio.run(migrate())
        results.put("done")
    except Exception as error:
        results.put(repr(error))


def test_several_processes_may_migrate_at_once(postgres_database: str) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[str] = context.Queue()
    processes = [context.Process(target=migrate_there, args=(postgres_database, results)) for _ in range(3)]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == ["done"] * 3
    for process in processes:
        process.join()
    results.close()
    results.join_thread()


async def test_tasks_may_migrate_at_once(postgres_database: str) -> None:
    databases = [PostgresDatabase(postgres_database, SETTINGS) for _ in range(4)]
    await asyncio.gather(*(database.migrate() for database in databases for _ in range(3)))
    for database in databases:
        await database.aclose()


# -- migrations ------------------------------------------------------------------------------------


async def test_a_newer_schema_is_refused(database: PostgresDatabase, postgres_database: str) -> None:
    with psycopg.connect(postgres_database, autocommit=True) as other:
        other.execute("UPDATE aiograph_schema SET version = 7")
    with pytest.raises(CheckpointStorageError, match=r"version 7, but .* no more than version 1: upgrade"):
        await database.migrate()


async def test_a_table_that_is_not_ours_is_refused(postgres_database: str) -> None:
    with psycopg.connect(postgres_database, autocommit=True) as other:
        other.execute("CREATE TABLE things (mine int)")
    database = PostgresDatabase(postgres_database, SETTINGS)
    with pytest.raises(CheckpointStorageError, match="a table 'things' that aiograph did not create"):
        await database.migrate()
    await database.aclose()


async def test_a_migration_that_fails_leaves_nothing(postgres_database: str) -> None:
    broken = Component("things", ("things",), [*THINGS.migrations, ("CREATE TABLE more (x)",)])
    database = PostgresDatabase(postgres_database, SETTINGS._replace(component=broken))
    with pytest.raises(CheckpointStorageError, match=r"setup: .*syntax error"):
        await database.migrate()
    with psycopg.connect(postgres_database) as other:
        assert other.execute("SELECT to_regclass('things'), to_regclass('aiograph_schema')").fetchone() == (
            None,
            None,
        )
    await database.aclose()


async def test_who_may_not_create_tables_can_still_see_that_nothing_is_to_be_done(
    database: PostgresDatabase, postgres_database: str
) -> None:
    with psycopg.connect(postgres_database, autocommit=True) as other:
        other.execute("DROP ROLE IF EXISTS reader")
        other.execute("CREATE ROLE reader LOGIN")
        other.execute("GRANT SELECT ON aiograph_schema TO reader")
        reader = PostgresDatabase(psycopg.conninfo.make_conninfo(postgres_database, user="reader"), SETTINGS)
        await reader.migrate()
        await reader.aclose()
        other.execute("DROP OWNED BY reader")
        other.execute("DROP ROLE reader")
