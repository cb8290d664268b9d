"""What errors of PostgreSQL mean, told from codes, and from words where there are none."""

import asyncio

import psycopg
import pytest
from psycopg import OperationalError
from psycopg.conninfo import make_conninfo

from aiograph._sql.postgres import PostgresDatabase
from aiograph._sql.sqlstate import Meaning, described, meaning_of
from aiograph._sql.supply import PoolOptions
from aiograph.errors import CheckpointStorageError
from tests._sql.outages import SETTINGS, names, put

ABSENT = 'connection failed: FATAL:  database "x" does not exist'
CROWDED = "connection failed: FATAL:  sorry, too many clients already"


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        (ABSENT, Meaning.FINAL),
        ('FATAL:  password authentication failed for user "x"', Meaning.FINAL),
        ('FATAL:  no pg_hba.conf entry for host "::1", user "x"', Meaning.FINAL),
        ('FATAL:  role "x" does not exist', Meaning.FINAL),
        (CROWDED, Meaning.LOST),
        ("FATAL:  remaining connection slots are reserved for roles", Meaning.LOST),
        ("FATAL:  the database system is starting up", Meaning.LOST),
        ("FATAL:  Datenbank »x« existiert nicht", Meaning.LOST),
        ("server closed the connection unexpectedly", Meaning.LOST),
        ("connection timeout expired", Meaning.LOST),
    ],
)
def test_a_connection_that_failed_is_tried_again_unless_it_was_refused(words: str, meaning: Meaning) -> None:
    assert meaning_of(OperationalError(words)) is meaning


@pytest.mark.parametrize(("last", "meaning"), [(ABSENT, Meaning.FINAL), ("it is down", Meaning.LOST)])
def test_of_several_servers_all_have_to_refuse(last: str, meaning: Meaning) -> None:
    heading = "Multiple connection attempts failed. All failures were:"
    error = OperationalError(f"{last}\n{heading}\n- host: 'a': {ABSENT}\n- host: 'b': {last}")
    assert meaning_of(error) is meaning


def test_codes_go_before_words() -> None:
    assert meaning_of(psycopg.errors.AdminShutdown(ABSENT)) is Meaning.LOST


def test_what_is_told_has_a_hint() -> None:
    assert "already; lower max_size" in described(OperationalError(CROWDED))


async def test_a_crowded_server_is_waited_for(postgres_database: str) -> None:
    database = PostgresDatabase(postgres_database, SETTINGS)
    await database.migrate()
    async with await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as owner:
        await owner.execute("DROP ROLE IF EXISTS single")
        await owner.execute("CREATE ROLE single LOGIN CONNECTION LIMIT 1")
        await owner.execute("GRANT SELECT, INSERT ON things TO single")
        address = make_conninfo(postgres_database, user="single")
        crowd = await psycopg.AsyncConnection.connect(address)
        late = PostgresDatabase(address, SETTINGS._replace(pool=PoolOptions(max_size=1)))
        putting = asyncio.create_task(put(late, "a"))
        await asyncio.sleep(0.6)  # long enough to have been refused
        assert not putting.done()
        await crowd.close()
        await putting
        await late.aclose()
        await owner.execute("DROP OWNED BY single")
        await owner.execute("DROP ROLE single")
    assert await names(database) == ["a"]
    await database.aclose()


async def test_a_role_that_does_not_exist_is_told_at_once(postgres_database: str) -> None:
    database = PostgresDatabase(make_conninfo(postgres_database, user="nobody-at-all"), SETTINGS)
    with pytest.raises(CheckpointStorageError, match="check the user, and"):
        await asyncio.wait_for(names(database), 3)
    await database.aclose()
