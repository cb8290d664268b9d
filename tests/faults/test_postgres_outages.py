"""PostgreSQL goes away, goes silent or refuses: what callers notice, and what is left afterwards."""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from aiograph._sql.pipeline import is_direct
from aiograph._sql.postgres import PostgresDatabase
from aiograph._sql.session import Change, Query
from aiograph._sql.supply import PoolOptions
from aiograph.errors import CheckpointStorageError
from aiograph.testing.postgres import find_binaries, postgres_server
from tests._sql.outages import SETTINGS, Proxy, Victim, end_connections, names, put
from tests._sql.pooler import pooling


@pytest.fixture
async def database(postgres_database: str) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(postgres_database, SETTINGS)
    await database.migrate()
    yield database
    await database.aclose()


async def steady_load(database: PostgresDatabase, clients: int, rounds: int) -> list[str]:
    """Clients that put one thing after the other, and read now and then; what they have put."""

    async def client(number: int) -> list[str]:
        own = [f"{number}-{turn:04}" for turn in range(rounds)]
        for name in own:
            await put(database, name)
            if random.random() < 0.2:
                await database.fetch(Query("SELECT count(*) FROM things"), "counting")
            await asyncio.sleep(0.001)  # lets other clients in between, as a run's own work would
        return own

    put_by_client = await asyncio.gather(*(client(number) for number in range(clients)))
    return sorted(name for own in put_by_client for name in own)


# -- connections that are ended --------------------------------------------------------------------


async def absorb_ended_connections(database: PostgresDatabase, conninfo: str, at_least: int) -> None:
    ended = 0
    while ended < at_least:
        load = asyncio.create_task(steady_load(database, clients=20, rounds=25))
        while not load.done():
            ended += await asyncio.to_thread(end_connections, conninfo)
            await asyncio.sleep(0.03)  # some work gets done in between
        await load
    assert await names(database) == sorted(set(load.result()))
    assert database.counters.reconnects >= at_least / 2


async def test_connections_that_are_ended_are_absorbed(
    database: PostgresDatabase, postgres_database: str
) -> None:
    await absorb_ended_connections(database, postgres_database, 30)


@pytest.mark.long
async def test_three_hundred_ended_connections_are_absorbed(
    database: PostgresDatabase, postgres_database: str
) -> None:
    await absorb_ended_connections(database, postgres_database, 300)


async def test_connections_that_were_ended_while_idle_cost_no_attempt(
    database: PostgresDatabase, postgres_database: str
) -> None:
    await put(database, "a")
    end_connections(postgres_database)
    await asyncio.sleep(0.1)  # the server takes its time to end them
    assert await names(database) == ["a"]
    assert database.counters.retries == 0


# -- a server that crashes -------------------------------------------------------------------------


async def survive_crashes(victim: Victim, conninfo: str, crashes: int) -> None:
    database = PostgresDatabase(conninfo, SETTINGS)
    await database.migrate()
    for _ in range(crashes):
        load = asyncio.create_task(steady_load(database, clients=10, rounds=60))
        await asyncio.sleep(random.uniform(0.05, 0.2))  # the load is in full swing
        await asyncio.to_thread(victim.crash)
        expected = await load
        assert await names(database) == expected
    await database.aclose()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the server's command in /proc")
@pytest.mark.postgres
async def test_a_server_that_is_killed_and_started_again_is_absorbed() -> None:
    await crash_a_server(1)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds the server's command in /proc")
@pytest.mark.postgres
async def test_twenty_crashes_are_absorbed() -> None:
    await crash_a_server(20)


async def crash_a_server(times: int) -> None:
    with postgres_server(find_binaries()) as server:
        victim = Victim(server.conninfo())
        try:
            await survive_crashes(victim, server.conninfo(), times)
        finally:
            victim.stop()


# -- silence ---------------------------------------------------------------------------------------


BRIEF = SETTINGS._replace(silence=0.5)


async def test_a_connection_that_has_gone_silent_is_replaced(postgres_database: str) -> None:
    async with Proxy(postgres_database).serving() as proxy:
        database = PostgresDatabase(proxy.conninfo, BRIEF)
        await database.migrate()
        await put(database, "a")
        proxy.lose_connections()
        started = time.monotonic()
        assert await names(database) == ["a"]
        assert time.monotonic() - started < 1.5
        await database.aclose()


async def test_all_silent_connections_are_replaced_at_the_price_of_one(postgres_database: str) -> None:
    async with Proxy(postgres_database).serving() as proxy:
        database = PostgresDatabase(proxy.conninfo, BRIEF)
        await database.migrate()
        await steady_load(database, clients=40, rounds=3)
        proxy.lose_connections()
        started = time.monotonic()
        for _ in range(10):
            await put(database, "x")
        assert time.monotonic() - started < 1.5
        await database.aclose()


async def test_connections_that_are_idle_when_one_is_silent_are_replaced_too(postgres_database: str) -> None:
    async with Proxy(postgres_database).serving() as proxy:
        database = PostgresDatabase(proxy.conninfo, BRIEF)
        await database.migrate()
        await asyncio.gather(sleep(database, 0.1), sleep(database, 0.1))
        proxy.lose_connections()
        await put(database, "a")
        assert database.counters.retries == 1
        await database.aclose()


async def test_a_new_connection_that_falls_silent_is_not_waited_for(postgres_database: str) -> None:
    async with Proxy(postgres_database).serving() as proxy:
        connection = await psycopg.AsyncConnection.connect(proxy.conninfo, autocommit=True)
        assert await is_direct(connection, 5)
        proxy.lose_connections()
        started = time.monotonic()
        assert not await is_direct(connection, 0.2)
        assert time.monotonic() - started < 2
        await connection.close()


async def test_a_network_that_is_cut_is_an_error_before_long(postgres_database: str) -> None:
    async with Proxy(postgres_database).serving() as proxy:
        database = PostgresDatabase(proxy.conninfo, BRIEF)
        await database.migrate()
        await put(database, "a")
        proxy.cut()
        started = time.monotonic()
        outcomes = await asyncio.gather(*(put(database, f"{n}") for n in range(100)), return_exceptions=True)
        assert time.monotonic() - started < 4
        assert {type(outcome) for outcome in outcomes} == {CheckpointStorageError}
        proxy.mend()
        await put(database, "b")
        assert {"a", "b"} <= set(await names(database))
        await database.aclose()


async def sleep(database: PostgresDatabase, seconds: float, *more: Change) -> None:
    slept = Change("UPDATE things SET size = 1 FROM (SELECT pg_sleep(?)) AS slept", [(seconds,)])
    await database.write([slept, *more], "sleeping")


async def test_a_server_that_works_for_long_is_not_interrupted(postgres_database: str) -> None:
    database = PostgresDatabase(postgres_database, BRIEF._replace(silence=0.2, patience=0.5))
    await database.migrate()
    await put(database, "a")
    await asyncio.gather(sleep(database, 1.0), *(put(database, f"{number}") for number in range(20)))
    assert database.counters.retries == 0
    assert database.counters.reconnects == 0
    await database.aclose()


async def test_behind_a_pooler_a_server_may_work_for_long_too(postgres_database: str) -> None:
    with pooling(postgres_database) as pooler:
        database = PostgresDatabase(pooler.conninfo, BRIEF._replace(silence=0.3))
        await database.migrate()
        await sleep(database, 1.0)
        assert database.counters.retries == 0
        await database.aclose()


async def test_a_connection_is_lost_even_if_others_work_for_long(postgres_database: str) -> None:
    async with Proxy(postgres_database).serving() as proxy:
        database = PostgresDatabase(proxy.conninfo, BRIEF)
        await database.migrate()
        await put(database, "a")
        other = PostgresDatabase(postgres_database, BRIEF)
        working = asyncio.create_task(other.write([Change("SELECT pg_sleep(2)")], "working"))
        proxy.lose_connections()
        started = time.monotonic()
        await put(database, "b")
        assert time.monotonic() - started < 1.5
        await working
        assert other.counters.retries == 0
        await database.aclose()
        await other.aclose()


async def test_a_lock_is_waited_for_until_patience_ends(postgres_database: str) -> None:
    database = PostgresDatabase(postgres_database, BRIEF._replace(silence=0.2, patience=0.5))
    await database.migrate()
    await put(database, "a")
    touch = Change("UPDATE things SET size = 1 WHERE name = ?", [("a",)])
    with psycopg.connect(postgres_database) as other:
        other.execute("UPDATE things SET size = 2")
        with pytest.raises(CheckpointStorageError, match="somebody else has held a lock all the while"):
            await database.write([touch], "touching")
    assert await database.fetch(Query("SELECT size::int FROM things"), "size") == [(2,)]
    await database.aclose()


@contextmanager
def lone_role(conninfo: str) -> Iterator[str]:
    """The address of somebody whom the server allows one connection, to a database with its tables."""
    with psycopg.connect(conninfo, autocommit=True) as owner:
        role = sql.Identifier(f"lone_{owner.info.dbname}")
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT 1").format(role))
        owner.execute(sql.SQL("GRANT ALL ON things TO {}").format(role))
        try:
            yield make_conninfo(conninfo, user=f"lone_{owner.info.dbname}")
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {}").format(role))
            owner.execute(sql.SQL("DROP ROLE {}").format(role))


async def test_a_server_that_has_no_connection_left_may_work_for_long(
    database: PostgresDatabase, postgres_database: str
) -> None:
    await put(database, "a")
    with lone_role(postgres_database) as conninfo:
        lone = PostgresDatabase(conninfo, BRIEF._replace(silence=0.2))
        await asyncio.gather(sleep(lone, 1.0), *(put(lone, f"{number}") for number in range(20)))
        assert lone.counters.retries == 0
        assert lone.counters.reconnects == 0
        await lone.aclose()


async def test_what_cannot_be_asked_about_is_given_up_when_patience_ends(
    database: PostgresDatabase, postgres_database: str
) -> None:
    await put(database, "a")
    touch = Change("UPDATE things SET size = 1 WHERE name = ?", [("a",)])
    with lone_role(postgres_database) as conninfo:
        lone = PostgresDatabase(conninfo, BRIEF._replace(silence=0.2, patience=0.5))
        with psycopg.connect(postgres_database) as other:
            other.execute("UPDATE things SET size = 2")
            with pytest.raises(
                CheckpointStorageError, match=r"cannot be asked about it: .*too many connections"
            ):
                await lone.write([touch], "touching")
        await put(lone, "b")
        await lone.aclose()
    assert await database.fetch(Query("SELECT size::int FROM things WHERE name = 'a'"), "size") == [(2,)]


@pytest.mark.long
async def test_silence_ends_within_ten_seconds_as_delivered(postgres_database: str) -> None:
    async with Proxy(postgres_database).serving() as proxy:
        database = PostgresDatabase(proxy.conninfo, SETTINGS)
        await database.migrate()
        proxy.lose_connections()
        started = time.monotonic()
        await put(database, "a")
        assert time.monotonic() - started < 10
        proxy.cut()
        started = time.monotonic()
        with pytest.raises(CheckpointStorageError, match="cannot write"):
            await put(database, "b")
        assert time.monotonic() - started < 10
        await database.aclose()


# -- refusals --------------------------------------------------------------------------------------


async def test_before_setup_the_error_says_what_to_do(postgres_database: str) -> None:
    database = PostgresDatabase(postgres_database, SETTINGS)
    with pytest.raises(
        CheckpointStorageError, match=r'relation "things" does not exist; run setup\(\) first'
    ):
        await names(database)
    await database.aclose()


async def test_a_right_that_is_revoked_is_named(database: PostgresDatabase, postgres_database: str) -> None:
    with psycopg.connect(postgres_database, autocommit=True) as other:
        other.execute("DROP ROLE IF EXISTS weak")
        other.execute("CREATE ROLE weak LOGIN")
        other.execute("GRANT SELECT ON things TO weak")
        weak = PostgresDatabase(psycopg.conninfo.make_conninfo(postgres_database, user="weak"), SETTINGS)
        assert await names(weak) == []
        with pytest.raises(CheckpointStorageError, match="denied for table things; grant this user"):
            await put(weak, "a")
        other.execute("GRANT INSERT ON things TO weak")
        await put(weak, "b")
        await weak.aclose()
        other.execute("DROP OWNED BY weak")
        other.execute("DROP ROLE weak")
    assert await names(database) == ["b"]


async def test_a_database_that_only_reads_says_so(database: PostgresDatabase, postgres_database: str) -> None:
    await put(database, "a")
    with psycopg.connect(postgres_database, autocommit=True) as other:
        other.execute(f'ALTER DATABASE "{other.info.dbname}" SET default_transaction_read_only = on')
    end_connections(postgres_database)
    assert await names(database) == ["a"]
    with pytest.raises(CheckpointStorageError, match="read-only transaction; it is a standby, or was made"):
        await put(database, "b")


async def test_without_a_server_the_error_names_the_place() -> None:
    database = PostgresDatabase("host=127.0.0.1 port=1 dbname=x", SETTINGS._replace(patience=0.3))
    with pytest.raises(CheckpointStorageError, match=r"postgresql://127\.0\.0\.1:1/x: .*refused"):
        await names(database)
    await database.aclose()


# -- cancellation ----------------------------------------------------------------------------------


async def cancel_at(database: PostgresDatabase, turn: int, name: str) -> bool:
    """Cancels a write at a turn of the loop; whether it had still been under way."""
    writing = asyncio.create_task(put(database, name))
    for _ in range(turn):
        await asyncio.sleep(0)
        if writing.done():
            return False
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    return True


async def test_a_cancellation_at_any_turn_leaves_all_connections_usable(postgres_database: str) -> None:
    settings = SETTINGS._replace(pool=PoolOptions(min_size=2, max_size=2))
    database = PostgresDatabase(postgres_database, settings)
    await database.migrate()
    for turn in range(300):
        if not await cancel_at(database, turn, f"{turn}"):
            break
    else:
        pytest.fail("never through")
    await asyncio.gather(*(put(database, f"after-{number}") for number in range(50)))
    assert len([name for name in await names(database) if name.startswith("after")]) == 50
    assert database.counters.reconnects == 0
    await database.aclose()


async def test_what_is_cancelled_in_the_queue_never_happens(postgres_database: str) -> None:
    settings = SETTINGS._replace(pool=PoolOptions(max_size=1))
    database = PostgresDatabase(postgres_database, settings)
    await database.migrate()
    slow = asyncio.create_task(database.write([Change("SELECT pg_sleep(0.3)")], "slow"))
    await asyncio.sleep(0.1)  # it has been sent, on the only connection
    queued = asyncio.create_task(put(database, "queued"))
    await asyncio.sleep(0)
    queued.cancel()
    with pytest.raises(asyncio.CancelledError):
        await queued
    assert not slow.done()
    await slow
    assert await names(database) == []
    await database.aclose()


async def test_what_is_under_way_is_completed_before_the_cancellation_arrives(
    database: PostgresDatabase,
) -> None:
    insert = Change("INSERT INTO things (name) VALUES (?)", [("a",)])
    writing = asyncio.create_task(database.write([Change("SELECT pg_sleep(0.2)"), insert], "slow"))
    await asyncio.sleep(0.1)  # it has been sent
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await names(database) == ["a"]
