"""A PostgreSQL database: statements, guards, groups, connections, other loops and threads."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg_pool import AsyncConnectionPool

from aiograph._sql.migrate import Component
from aiograph._sql.postgres import PostgresDatabase, Settings
from aiograph._sql.session import Change, Guard, Query
from aiograph._sql.supply import PoolOptions
from aiograph.errors import CheckpointStorageError

THINGS = Component("things", ("things",), [("CREATE TABLE things (name text PRIMARY KEY, size bigint)",)])
SETTINGS = Settings(component=THINGS)


@pytest.fixture
async def database(postgres_database: str) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(postgres_database, SETTINGS)
    await database.migrate()
    yield database
    await database.aclose()


class Refused(Exception):
    pass


def adding(*names: Any) -> Change:
    return Change("INSERT INTO things (name) VALUES (?)", [(name,) for name in names])


def has(name: str) -> Guard:
    return Guard("SELECT 1 FROM things WHERE name = ? {share}", (name,), Refused)


def renaming(old: str, new: str) -> Guard:
    return Guard("UPDATE things SET name = ? WHERE name = ? RETURNING name", (new, old), Refused)


async def add(database: PostgresDatabase, *names: Any) -> None:
    await database.write([adding(*names)], f"adding {names}")


async def names(database: PostgresDatabase) -> list[Any]:
    return [name for (name,) in await database.fetch(Query("SELECT name FROM things ORDER BY name"), "names")]


async def outcomes(*work: Any) -> list[type]:
    return [type(outcome) for outcome in await asyncio.gather(*work, return_exceptions=True)]


# -- reading and writing ---------------------------------------------------------------------------


async def test_what_is_written_can_be_read(database: PostgresDatabase) -> None:
    await add(database, "a", "b")
    assert await names(database) == ["a", "b"]


async def test_values_come_back_as_what_they_were(database: PostgresDatabase) -> None:
    values = ("ä", b"\x00\xff", 2**40, 1.5, None, True)
    query = Query("SELECT ?::text, ?::bytea, ?::bigint, ?::float8, ?::text, ?::boolean", values)
    assert await database.fetch(query, "values") == [values]


async def test_who_was_served_can_ask_again_at_once_of_a_single_connection(postgres_database: str) -> None:
    database = PostgresDatabase(postgres_database, SETTINGS._replace(pool=PoolOptions(max_size=1)))
    await database.migrate()
    for name in "abcdefgh":
        await add(database, name)
    assert await names(database) == list("abcdefgh")
    await database.aclose()


async def test_several_statements_are_one_transaction(database: PostgresDatabase) -> None:
    with pytest.raises(
        CheckpointStorageError, match=r"both: cannot write to postgresql://.*: duplicate key"
    ) as e:
        await database.write([adding("a", "b"), adding("a")], "both")
    assert isinstance(e.value.__cause__, psycopg.errors.UniqueViolation)
    assert await names(database) == []


@pytest.mark.parametrize("value", ["\x00", "\ud800", object(), 2**70])
async def test_a_value_that_cannot_be_sent_undoes_what_was_sent_before_it(
    database: PostgresDatabase, value: object
) -> None:
    sized = Change("INSERT INTO things VALUES (?, ?)", [("b", 1), ("c", value)])
    with pytest.raises(CheckpointStorageError, match="mixed: cannot write"):
        await database.write([adding("a"), sized, adding("d")], "mixed")
    assert await names(database) == []


async def test_changes_without_rows_change_nothing(database: PostgresDatabase) -> None:
    await database.write([adding()], "nothing")
    await database.write([adding(), adding("a")], "something")
    assert await names(database) == ["a"]


# -- guards ----------------------------------------------------------------------------------------


async def test_a_guard_that_holds_lets_changes_pass(database: PostgresDatabase) -> None:
    await add(database, "a")
    await database.write([has("a"), renaming("a", "z"), adding("b")], "guarded")
    assert await names(database) == ["b", "z"]


async def test_a_guard_that_fails_undoes_what_was_changed_before_it(database: PostgresDatabase) -> None:
    with pytest.raises(Refused):
        await database.write([adding("b"), has("a")], "guarded")
    assert await names(database) == []


async def test_a_guard_can_be_all_there_is(database: PostgresDatabase) -> None:
    with pytest.raises(Refused):
        await database.write([has("a")], "guarded")


async def test_the_guard_that_fails_is_the_one_that_refuses(database: PostgresDatabase) -> None:
    def refusing(name: str) -> Guard:
        return has(name)._replace(refusal=lambda: Refused(name))

    await add(database, "a")
    with pytest.raises(Refused, match="b"):
        await database.write([refusing("a"), adding("x", "y"), refusing("b"), refusing("c")], "guarded")


async def test_dividing_by_zero_elsewhere_is_no_refusal(database: PostgresDatabase) -> None:
    await add(database, "a")
    division = Change("UPDATE things SET size = 1 / ?::int", [(0,)])
    with pytest.raises(CheckpointStorageError, match="division by zero"):
        await database.write([has("a"), division], "dividing")


# -- groups ----------------------------------------------------------------------------------------


async def test_what_is_asked_in_one_turn_shares_transactions(database: PostgresDatabase) -> None:
    before = database.counters.transactions
    await asyncio.gather(*(add(database, f"{number:03}") for number in range(100)))
    assert len(await names(database)) == 100
    assert database.counters.transactions - before <= 26


async def test_enough_of_what_is_asked_in_one_turn_is_sent_before_the_turn_is_over(
    database: PostgresDatabase, postgres_database: str
) -> None:
    async def look() -> int:
        """How much is there by and by, while the loop can do nothing else."""
        with psycopg.connect(postgres_database, autocommit=True) as connection:
            return until_more_than_one(connection)

    await asyncio.gather(*(add(database, f"{number}") for number in range(100)))  # opens connections
    asking = [asyncio.create_task(add(database, f"asked {number}")) for number in range(40)]
    assert await asyncio.create_task(look()) > 1, "only the first one was sent"
    await asyncio.gather(*asking)


def until_more_than_one(connection: "psycopg.Connection[Any]") -> int:
    deadline = time.monotonic() + 10
    found = 0
    while found <= 1 and time.monotonic() < deadline:
        time.sleep(0.01)
        found = len(connection.execute("SELECT 1 FROM things WHERE name LIKE 'asked %'").fetchall())
    return found


async def test_in_a_group_only_the_faulty_one_fails(database: PostgresDatabase) -> None:
    writes = [add(database, "a"), add(database, "b"), add(database, "b"), database.write([has("x")], "x")]
    ended = await outcomes(*writes)
    assert sorted(each.__name__ for each in ended) == [
        "CheckpointStorageError",
        "NoneType",
        "NoneType",
        "Refused",
    ]
    assert await names(database) == ["a", "b"]


async def test_reads_of_one_group_get_their_own_rows(database: PostgresDatabase) -> None:
    queries = [Query("SELECT ?::int", (number,)) for number in range(50)]
    rows = await asyncio.gather(*(database.fetch(query, "numbers") for query in queries))
    assert rows == [[(number,)] for number in range(50)]


async def test_a_faulty_read_costs_others_nothing(database: PostgresDatabase) -> None:
    reads = [database.fetch(Query(f"SELECT 1 / {number}"), "division") for number in (1, 0, 2)]
    assert await outcomes(*reads) == [list, CheckpointStorageError, list]


async def test_locks_taken_in_order_never_deadlock(database: PostgresDatabase) -> None:
    await add(database, *(str(number) for number in range(10)))

    async def touch(number: int) -> None:
        change = Change("UPDATE things SET size = coalesce(size, 0) + 1 WHERE name = ?", [(str(number),)])
        await database.write([change], "touching", order=(str(number),))

    await asyncio.gather(*(touch(number % 10) for number in range(300)))
    assert await database.fetch(Query("SELECT sum(size)::int FROM things"), "sum") == [(300,)]


async def test_a_deadlock_is_tried_again(database: PostgresDatabase) -> None:
    """Each locks one row, waits until the other has locked its own, and wants that of the other."""
    await add(database, "a", "b")

    def crossing(*order: str) -> Sequence[Change]:
        touch = "UPDATE things SET size = coalesce(size, 0) + 1 WHERE name = ?"
        return [Change(touch, [(order[0],)]), Change("SELECT pg_sleep(0.2)"), Change(touch, [(order[1],)])]

    other = PostgresDatabase(database._source, SETTINGS)
    await asyncio.gather(database.write(crossing("a", "b"), "ab"), other.write(crossing("b", "a"), "ba"))
    assert await database.fetch(Query("SELECT name, size::int FROM things ORDER BY name"), "all") == [
        ("a", 2),
        ("b", 2),
    ]
    assert database.counters.retries + other.counters.retries >= 1
    await other.aclose()


# -- connections -----------------------------------------------------------------------------------


async def test_all_connections_are_used(database: PostgresDatabase) -> None:
    busy: list[int] = []
    query = Query("SELECT pg_backend_pid(), clock_timestamp(), pg_sleep(0.02), clock_timestamp()")
    rows = [
        row
        for rows in await asyncio.gather(*(database.fetch(query, "sleep") for _ in range(200)))
        for row in rows
    ]
    starts = sorted((start, 1) for _, start, _, _ in rows)
    ends = [(end, -1) for *_, end in rows]
    now = 0
    for _, step in sorted(starts + ends):
        now += step
        busy.append(now)
    assert max(busy) >= 8
    assert len({row[0] for row in rows}) == 10


async def test_a_callers_pool_is_used_and_left_open(postgres_database: str) -> None:
    kwargs = {"autocommit": True, "row_factory": psycopg.rows.dict_row}
    async with AsyncConnectionPool(postgres_database, kwargs=kwargs, min_size=1, max_size=3) as pool:
        database = PostgresDatabase(pool, SETTINGS)
        await database.migrate()
        await asyncio.gather(*(add(database, f"{number:02}") for number in range(40)))
        assert len(await names(database)) == 40
        await database.aclose()
        async with pool.connection() as connection:
            cursor = await connection.execute("SELECT 1")
            assert len(await cursor.fetchall()) == 1


@pytest.mark.parametrize("autocommit", [True, False])
async def test_a_callers_connection_is_used_and_left_open(postgres_database: str, autocommit: bool) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_database, autocommit=autocommit) as connection:
        database = PostgresDatabase(connection, SETTINGS)
        await database.migrate()
        await asyncio.gather(*(add(database, f"{number:02}") for number in range(40)))
        assert await outcomes(add(database, "x"), database.write([adding("y"), has("none")], "y")) == [
            type(None),
            Refused,
        ]
        assert len(await names(database)) == 41
        await database.aclose()
        assert not connection.closed


async def test_a_callers_connection_that_is_closed_is_an_error_at_once(postgres_database: str) -> None:
    connection = await psycopg.AsyncConnection.connect(postgres_database, autocommit=True)
    database = PostgresDatabase(connection, SETTINGS)
    await connection.close()
    with pytest.raises(CheckpointStorageError, match="hand in an address or a pool"):
        await add(database, "a")
    await database.aclose()


async def test_a_callers_pool_that_is_exhausted_is_told_with_its_size(postgres_database: str) -> None:
    async with AsyncConnectionPool(postgres_database, min_size=1, max_size=1) as pool, pool.connection():
        database = PostgresDatabase(pool, SETTINGS._replace(patience=0.3))
        with pytest.raises(CheckpointStorageError, match="all 1 connections of the pool are in use"):
            await names(database)
        await database.aclose()


@contextmanager
def encoded_database(conninfo: str, encoding: str) -> Iterator[str]:
    """The address of a database like no one would make it today, but that many have."""
    name = f"{encoding}_{psycopg.conninfo.conninfo_to_dict(conninfo)['dbname']}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE 'C'")
    with psycopg.connect(conninfo, autocommit=True) as owner:
        owner.execute(create.format(sql.Identifier(name), sql.Literal(encoding)))
        try:
            yield psycopg.conninfo.make_conninfo(conninfo, dbname=name)
        finally:
            owner.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def ascii_database(postgres_database: str) -> Iterator[str]:
    """The address of a database that knows no encoding, as `initdb` makes it in a bare environment."""
    with encoded_database(postgres_database, "SQL_ASCII") as conninfo:
        yield conninfo


async def test_what_the_encoding_of_a_database_lacks_is_told_with_what_to_do(postgres_database: str) -> None:
    with encoded_database(postgres_database, "LATIN1") as conninfo:
        database = PostgresDatabase(conninfo, SETTINGS)
        await database.migrate()
        await add(database, "ö")
        with pytest.raises(CheckpointStorageError, match="use a database whose encoding is UTF8"):
            await add(database, "ő")
        assert await names(database) == ["ö"]
        await database.aclose()


async def test_names_come_back_as_text_from_a_database_without_encoding(ascii_database: str) -> None:
    database = PostgresDatabase(ascii_database, SETTINGS)
    await database.migrate()
    await add(database, "a", "ö")
    assert await names(database) == ["a", "ö"]
    await database.aclose()


async def test_a_callers_connection_without_encoding_is_refused_before_it_writes(ascii_database: str) -> None:
    async with await psycopg.AsyncConnection.connect(ascii_database, autocommit=True) as connection:
        database = PostgresDatabase(connection, SETTINGS)
        with pytest.raises(CheckpointStorageError, match="connect with client_encoding=utf8"):
            await database.migrate()
        await database.aclose()
    async with AsyncConnectionPool(ascii_database, min_size=1, max_size=1) as pool:
        database = PostgresDatabase(pool, SETTINGS)
        with pytest.raises(CheckpointStorageError, match="connect with client_encoding=utf8"):
            await database.migrate()
        await database.aclose()
        async with pool.connection(timeout=5):
            pass


async def test_other_kinds_of_source_are_refused(postgres_database: str) -> None:
    with (
        psycopg.connect(postgres_database) as connection,
        pytest.raises(TypeError, match="Connection: pass a"),
    ):
        PostgresDatabase(connection, SETTINGS)  # type: ignore[arg-type]
    with pytest.raises(psycopg.ProgrammingError):
        PostgresDatabase("no=such option", SETTINGS)


async def test_a_wrong_address_is_told_soon_and_without_the_password(postgres_database: str) -> None:
    address = psycopg.conninfo.make_conninfo(postgres_database, dbname="nowhere", password="secret")
    database = PostgresDatabase(address, SETTINGS)
    with pytest.raises(CheckpointStorageError, match='"nowhere" does not exist') as caught:
        await asyncio.wait_for(names(database), 5)
    assert "secret" not in str(caught.value)
    await database.aclose()


async def test_what_is_done_is_counted(database: PostgresDatabase) -> None:
    before = database.counters.statements
    await database.write([adding("a", "bcd"), has("a")], "counted")
    await names(database)
    counters = database.counters
    assert (counters.statements - before, counters.rows_written, counters.bytes_written) == (3, 3, 5)
    assert (counters.rows_read, counters.retries, counters.reconnects) == (2, 0, 0)
    assert counters.seconds > 0


async def test_after_closing_it_cannot_be_used(database: PostgresDatabase) -> None:
    await add(database, "a")
    await database.aclose()
    await database.aclose()
    with pytest.raises(CheckpointStorageError, match=r"names: cannot use postgresql://.*: it was closed"):
        await names(database)


async def test_closing_waits_for_what_was_asked_before(
    database: PostgresDatabase, postgres_database: str
) -> None:
    writing = asyncio.create_task(database.write([Change("SELECT pg_sleep(0.1)"), adding("a")], "slow"))
    await asyncio.sleep(0)  # the request is queued
    await database.aclose()
    assert writing.done()
    with psycopg.connect(postgres_database) as other:
        assert other.execute("SELECT name FROM things").fetchall() == [("a",)]


async def test_few_connections_do(postgres_database: str) -> None:
    database = PostgresDatabase(postgres_database, SETTINGS._replace(pool=PoolOptions(max_size=1)))
    await database.migrate()
    await asyncio.gather(*(add(database, f"{number:03}") for number in range(100)), names(database))
    assert len(await names(database)) == 100
    await database.aclose()
