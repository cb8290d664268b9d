"""Writes that are begun one behind the other: their order, and what becomes of them when one fails."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import psycopg
import pytest

from aiograph._cancel import Begun
from aiograph._sql.pipeline import cut
from aiograph._sql.postgres import PostgresDatabase
from aiograph._sql.queues import Request
from aiograph._sql.session import Change, Guard, Query
from aiograph._sql.sqlstate import ServerSilentError
from aiograph._sql.supply import PoolOptions
from aiograph.errors import CheckpointStorageError
from tests._sql.outages import SETTINGS, Proxy, end_connections, names
from tests._sql.pooler import pooling

ONE = SETTINGS._replace(pool=PoolOptions(max_size=1))
MEGABYTE = 1_000_000
ADDING_ONCE = "INSERT INTO things (name) VALUES (?) ON CONFLICT DO NOTHING"


class Refused(Exception):
    pass


@pytest.fixture
async def database(postgres_database: str) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(postgres_database, SETTINGS)
    await database.migrate()
    yield database
    await database.aclose()


def adding(name: str) -> Change:
    return Change("INSERT INTO things (name) VALUES (?)", [(name,)])


def after(name: str) -> Guard:
    return Guard("SELECT 1 FROM things WHERE name = ?", (name,), Refused)


def pausing(seconds: float) -> Change:
    return Change("SELECT pg_sleep(?)", [(seconds,)])


def begin(database: PostgresDatabase, *changes: Change | Guard, behind: Begun | None = None) -> Request:
    begun = database.begin_write(changes, "something", after=behind)
    assert begun is not None
    return begun


async def outcomes(*begun: Begun) -> Sequence[Any]:
    return await asyncio.gather(*(each.certain_outcome() for each in begun), return_exceptions=True)


def begin_chain(database: PostgresDatabase, length: int) -> list[Request]:
    """Writes that each ask for what the one before has added."""
    chain = [begin(database, adding("000"))]
    for number in range(1, length):
        changes = after(f"{number - 1:03}"), adding(f"{number:03}")
        chain.append(begin(database, *changes, behind=chain[-1]))
    return chain


# -- order


@pytest.mark.parametrize("connections", [1, 4])
async def test_each_finds_what_the_one_before_has_done(postgres_database: str, connections: int) -> None:
    settings = SETTINGS._replace(pool=PoolOptions(max_size=connections))
    database = PostgresDatabase(postgres_database, settings)
    await database.migrate()
    assert await outcomes(*begin_chain(database, 40)) == [None] * 40
    assert await names(database) == [f"{number:03}" for number in range(40)]
    await database.aclose()


async def test_chains_beside_each_other_keep_their_orders(database: PostgresDatabase) -> None:
    async def chain(name: str) -> None:
        last = begin(database, adding(f"{name}00"))
        for number in range(1, 30):
            following = begin(
                database, after(f"{name}{number - 1:02}"), adding(f"{name}{number:02}"), behind=last
            )
            await last.certain_outcome()
            last = following
        await last.certain_outcome()

    await asyncio.gather(*(chain(f"{number:02}-") for number in range(30)))
    assert len(await names(database)) == 900
    assert database.counters.retries == 0


async def test_the_second_is_sent_while_the_server_is_at_the_first(database: PostgresDatabase) -> None:
    first = begin(database, pausing(0.1), adding("a"))
    second = begin(database, after("a"), adding("b"), behind=first)
    assert second.is_ahead
    assert await outcomes(first, second) == [None, None]
    assert database.counters.transactions == 2


async def test_the_third_waits_until_the_first_is_over(database: PostgresDatabase) -> None:
    first = begin(database, pausing(0.1), adding("a"))
    second = begin(database, pausing(0.1), after("a"), adding("b"), behind=first)
    third = begin(database, after("b"), adding("c"), behind=second)
    assert not third.is_ahead
    assert await outcomes(first, second, third) == [None] * 3


async def test_only_one_may_come_right_after_another(database: PostgresDatabase) -> None:
    first = begin(database, pausing(0.1), adding("a"))
    second = begin(database, adding("b"), behind=first)
    with pytest.raises(RuntimeError, match="something else follows"):
        begin(database, adding("c"), behind=first)
    assert await outcomes(first, second) == [None, None]
    assert await names(database) == ["a", "b"]


async def test_nothing_is_sent_ahead_of_others_who_wait(postgres_database: str) -> None:
    database = PostgresDatabase(postgres_database, ONE)
    await database.migrate()
    first = begin(database, pausing(0.1), adding("a"))
    other = asyncio.create_task(database.write([adding("z")], "another"))
    await asyncio.sleep(0)
    second = begin(database, after("z"), adding("b"), behind=first)
    assert not second.is_ahead
    assert await outcomes(first, second) == [None, None]
    await other
    await database.aclose()


async def test_a_connection_whose_term_is_over_goes_back_between_two(postgres_database: str) -> None:
    database = PostgresDatabase(postgres_database, ONE)
    await database.migrate()
    assert database._dispatcher is not None
    database._dispatcher._supply.term = 0.0
    first = begin(database, pausing(0.1), adding("a"))
    second = begin(database, after("a"), adding("b"), behind=first)
    assert not second.is_ahead
    assert await outcomes(first, second) == [None, None]
    await database.aclose()


async def test_what_follows_something_that_is_over_is_done_at_once(database: PostgresDatabase) -> None:
    first = begin(database, adding("a"))
    await first.certain_outcome()
    await begin(database, after("a"), adding("b"), behind=first).certain_outcome()
    assert await names(database) == ["a", "b"]


async def test_on_a_callers_connection_each_waits_for_the_one_before(postgres_database: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as connection:
        database = PostgresDatabase(connection, SETTINGS)
        await database.migrate()
        assert await outcomes(*begin_chain(database, 5)) == [None] * 5
        await database.aclose()


async def test_closing_waits_for_what_follows(postgres_database: str) -> None:
    database = PostgresDatabase(postgres_database, SETTINGS)
    await database.migrate()
    chain = begin_chain(database, 10)
    await database.aclose()
    assert all(each.is_over for each in chain)
    assert await outcomes(*chain) == [None] * 10


async def test_both_may_be_more_than_fits_into_a_socket(postgres_database: str) -> None:
    database = PostgresDatabase(postgres_database, ONE)
    await database.migrate()
    text = "x" * (16 * MEGABYTE)
    echo = Change("SELECT ?::text", [(text,)])
    first = begin(database, pausing(0.1), echo, adding("a"))
    second = begin(database, after("a"), echo, adding("b"), behind=first)
    assert second.is_ahead
    assert await outcomes(first, second) == [None, None]
    await database.aclose()


async def test_a_run_elsewhere_is_told_to_wait(database: PostgresDatabase) -> None:
    async def begun_elsewhere() -> Begun | None:
        return database.begin_write([adding("a")], "something")

    assert await asyncio.to_thread(lambda: asyncio.run(begun_elsewhere())) is None
    assert await names(database) == []


# -- failures


async def test_what_needs_one_that_was_refused_is_refused_too(database: PostgresDatabase) -> None:
    first = begin(database, pausing(0.1), after("nothing"), adding("a"))
    second = begin(database, after("a"), adding("b"), behind=first)
    assert second.is_ahead
    assert [type(each) for each in await outcomes(first, second)] == [Refused, Refused]
    assert await names(database) == []
    await database.write([adding("c")], "the connection works")
    assert database.counters.reconnects == 0


async def test_what_fails_by_its_own_fault_is_tried_once(
    database: PostgresDatabase, postgres_database: str
) -> None:
    with psycopg.connect(postgres_database, autocommit=True) as other:
        other.execute("CREATE SEQUENCE attempts")
        first = begin(database, pausing(0.1), adding("a"))
        second = begin(database, Change("SELECT nextval('attempts')"), after("b"), behind=first)
        assert second.is_ahead
        done, refused = await outcomes(first, second)
        assert done is None
        assert type(refused) is Refused
        assert other.execute("SELECT last_value FROM attempts").fetchone() == (1,)


async def test_what_does_not_need_it_is_done(database: PostgresDatabase) -> None:
    first = begin(database, pausing(0.1), after("nothing"))
    second = begin(database, adding("b"), behind=first)
    refused, done = await outcomes(first, second)
    assert type(refused) is Refused
    assert done is None


@pytest.mark.parametrize("value", ["\x00", object()])
async def test_a_value_that_cannot_be_sent_is_told_to_whom_it_concerns(
    database: PostgresDatabase, value: Any
) -> None:
    first = begin(database, pausing(0.1), adding("a"))
    second = begin(database, adding(value), behind=first)
    third = begin(database, after("a"), adding("c"), behind=second)
    done, error, also_done = await outcomes(first, second, third)
    assert done is None
    assert isinstance(error, CheckpointStorageError)
    assert also_done is None
    assert await names(database) == ["a", "c"]


async def test_one_that_has_collided_is_repeated_and_the_second_after_it(
    database: PostgresDatabase, postgres_database: str
) -> None:
    with psycopg.connect(postgres_database, autocommit=True) as other:
        other.execute("CREATE SEQUENCE attempts")
        other.execute(
            "CREATE FUNCTION collide() RETURNS void LANGUAGE plpgsql AS $$ BEGIN "
            "IF nextval('attempts') = 1 THEN RAISE 'a collision' USING ERRCODE = '40001'; END IF; END $$"
        )
    first = begin(database, pausing(0.1), Change("SELECT 1 FROM (SELECT collide()) AS tried"), adding("a"))
    second = begin(database, after("a"), adding("b"), behind=first)
    assert second.is_ahead
    assert await outcomes(first, second) == [None, None]
    assert await names(database) == ["a", "b"]


async def test_a_connection_that_is_ended_under_both_costs_neither(
    database: PostgresDatabase, postgres_database: str
) -> None:
    first = begin(database, pausing(0.3), adding("a"))
    second = begin(database, after("a"), adding("b"), behind=first)
    assert second.is_ahead
    await asyncio.sleep(0.1)  # the server is at the first
    await asyncio.to_thread(end_connections, postgres_database)
    assert await outcomes(first, second) == [None, None]
    assert await names(database) == ["a", "b"]


async def test_a_connection_that_is_cut_while_there_is_more_to_send_costs_neither(
    database: PostgresDatabase,
) -> None:
    first = begin(database, pausing(0.3), Change(ADDING_ONCE, [("a",)]))
    large = Change("SELECT ?::text", [("x" * (16 * MEGABYTE),)])
    second = begin(database, large, after("a"), Change(ADDING_ONCE, [("b",)]), behind=first)
    await asyncio.sleep(0.1)  # the server is at the first, and reads no further
    assert database._dispatcher is not None
    (line,) = database._dispatcher._busy
    cut(line.connection)
    async with asyncio.timeout(10):
        assert await outcomes(first, second) == [None, None]
    assert await names(database) == ["a", "b"]


async def test_a_server_that_has_not_answered_is_asked_again(postgres_database: str) -> None:
    async with Proxy(postgres_database).serving() as proxy:
        database = PostgresDatabase(proxy.conninfo, SETTINGS._replace(silence=0.3))
        await database.migrate()
        proxy.lose_answers()
        first = begin(database, Change(ADDING_ONCE, [("a",)]))
        second = begin(database, after("a"), Change(ADDING_ONCE, [("b",)]), behind=first)
        assert second.is_ahead
        assert await outcomes(first, second) == [None, None]
        assert await names(database) == ["a", "b"]
        assert database.counters.retries >= 1
        await database.aclose()


async def test_a_server_that_is_silent_under_the_second_costs_one_wait(postgres_database: str) -> None:
    """Idle connections, which are as old, are given up with the one that was found to be lost."""
    async with Proxy(postgres_database).serving() as proxy:
        database = PostgresDatabase(proxy.conninfo, SETTINGS._replace(silence=0.3))
        await database.migrate()
        await asyncio.gather(*(database.write([pausing(0.1)], "something") for _ in range(2)))
        first = begin(database, pausing(0.1), adding("a"))
        second = begin(database, pausing(0.2), after("a"), behind=first)
        assert second.is_ahead
        await first.certain_outcome()
        proxy.lose_connections()
        await second.certain_outcome()
        assert database.counters.retries == 1
        await database.aclose()


async def test_a_server_that_is_silent_is_what_a_failure_tells(postgres_database: str) -> None:
    async with Proxy(postgres_database).serving() as proxy:
        database = PostgresDatabase(proxy.conninfo, SETTINGS._replace(silence=0.3))
        await database.migrate()
        assert database._dispatcher is not None
        database._dispatcher._limits = database._dispatcher._limits._replace(patience=0.2)
        proxy.lose_connections()
        first = begin(database, adding("a"))
        second = begin(database, after("a"), adding("b"), behind=first)
        assert second.is_ahead
        error, _ = await outcomes(first, second)
        assert isinstance(error.__cause__, ServerSilentError)
        assert error.__cause__.__cause__ is not error.__cause__
        await database.aclose()


async def test_behind_a_pooler_that_forgets_statements_all_is_done(postgres_database: str) -> None:
    with pooling(postgres_database) as pooler:
        settings = SETTINGS._replace(pool=PoolOptions(max_size=1, prepare_threshold=0))
        database = PostgresDatabase(pooler.conninfo, settings)
        await database.migrate()
        assert await outcomes(*begin_chain(database, 40)) == [None] * 40
        await database.aclose()


async def test_cancelling_whoever_waits_withdraws_nothing(database: PostgresDatabase) -> None:
    first = begin(database, pausing(0.1), adding("a"))
    second = begin(database, after("a"), adding("b"), behind=first)
    waiting = [asyncio.create_task(each.certain_outcome()) for each in (first, second)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    assert await asyncio.gather(*waiting) == [None, None]
    assert await database.fetch(Query("SELECT count(*)::int FROM things"), "count") == [(2,)]


async def test_what_nobody_can_connect_for_fails_in_order() -> None:
    database = PostgresDatabase("host=127.0.0.1 port=1 dbname=x", SETTINGS._replace(patience=0.3))
    chain = begin_chain(database, 3)
    assert [type(each) for each in await outcomes(*chain)] == [CheckpointStorageError] * 3
    await database.aclose()
