"""Storage that refuses: a clear error, whole supersteps or none, and the run goes on when it is mended."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from aiograph._sql.session import Query
from aiograph.checkpoint.base import BaseCheckpointSaver, config_for
from aiograph.checkpoint.postgres import AsyncPostgresSaver
from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from aiograph.constants import ERROR
from aiograph.errors import CheckpointDeserializationError, CheckpointStorageError
from aiograph.testing.savers import Verbs, make_checkpoint
from aiograph.types import Durability
from tests._sql.outages import end_connections
from tests.faults.rig import CONFIG, INPUT, ROUND, Diary, final_state, go_on, outer_graph

ROUNDS = 2
WHOLE = [(ROUND * ROUNDS)[:length] for length in (0, 3, 4, 7, 8)]
"""The trails that whole supersteps leave."""

GUEST = "aiograph_guest"
"""A role that owns nothing."""


def execute(address: str, statements: Sequence[str]) -> None:
    """Does something to the database behind the saver's back."""
    with psycopg.connect(address, autocommit=True) as connection:
        for statement in statements:
            database = Identifier(connection.info.dbname)
            connection.execute(SQL(statement).format(database=database))


# -- in the middle of a run ------------------------------------------------------------------------


class Refusal(NamedTuple):
    """A way in which a server refuses, and what puts an end to it."""

    cause: Sequence[str]
    mend: Sequence[str]
    message: str


REFUSALS = {
    "a right is revoked": Refusal(
        [f"REVOKE INSERT ON checkpoints FROM {GUEST}"],
        [f"GRANT INSERT ON checkpoints TO {GUEST}"],
        "permission denied for table checkpoints; grant this user the right to it",
    ),
    "the database may only be read": Refusal(
        ["ALTER DATABASE {database} SET default_transaction_read_only = on"],
        [
            "SET default_transaction_read_only = off",
            "ALTER DATABASE {database} RESET default_transaction_read_only",
        ],
        "read-only transaction; it is a standby, or was made read-only",
    ),
    # in the server's words, as its disk cannot be filled up here
    "the disk is full": Refusal(
        [
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END$$",
            "CREATE TRIGGER fail BEFORE INSERT ON checkpoints FOR EACH ROW EXECUTE FUNCTION fail()",
        ],
        ["DROP TRIGGER fail ON checkpoints", "DROP FUNCTION fail"],
        "could not extend file; the server's disk is full: make room, then resume",
    ),
    "a table is missing": Refusal(
        ["ALTER TABLE checkpoints RENAME TO mislaid"],
        ["ALTER TABLE mislaid RENAME TO checkpoints"],
        r'relation "checkpoints" does not exist; run setup\(\) first',
    ),
}


@pytest.fixture
def guest(postgres_database: str) -> Iterator[str]:
    """The address at which a role without rights of its own finds the tables."""
    everything = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
    execute(postgres_database, [f"DROP ROLE IF EXISTS {GUEST}", f"CREATE ROLE {GUEST} LOGIN"])
    execute(postgres_database, [f"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {GUEST}"])
    yield make_conninfo(postgres_database, user=GUEST)
    execute(postgres_database, [f"REVOKE {everything} FROM {GUEST}", f"DROP OWNED BY {GUEST}"])
    execute(postgres_database, [f"DROP ROLE {GUEST}"])


def at(number: int, effect: Callable[[], None]) -> Callable[[], None]:
    """Has an effect the n-th time that it is called."""
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            effect()

    return call


async def refuse_and_mend(
    saver: BaseCheckpointSaver, diary: Diary, durability: Durability, message: str, mend: Callable[[], None]
) -> None:
    graph = outer_graph(diary, saver, rounds=ROUNDS)
    with pytest.raises(CheckpointStorageError, match=rf"thread 't'.*: .*{message}"):
        await graph.ainvoke(INPUT, CONFIG, durability=durability)
    mend()
    stored = [saved async for saved in saver.alist(config_for("t", ""))]
    assert all(saved.checkpoint["channel_values"].get("trail", []) in WHOLE for saved in stored)
    writes = [write for saved in stored for write in saved.pending_writes or ()]
    durable = {task_id for task_id, channel, _ in writes if channel != ERROR} & set(diary.ended)
    assert await go_on(graph, durability=durability) == final_state(ROUNDS)
    assert [diary.names[task_id] for task_id in durable if diary.ended.count(task_id) > 1] == []


@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_a_server_that_refuses_stops_the_run_which_goes_on_when_it_no_longer_does(
    postgres_database: str, guest: str, refusal: Refusal, durability: Durability
) -> None:
    def cause() -> None:
        execute(postgres_database, refusal.cause)
        end_connections(postgres_database)

    def mend() -> None:
        execute(postgres_database, refusal.mend)
        end_connections(postgres_database)

    async with AsyncPostgresSaver(postgres_database) as owner, AsyncPostgresSaver(guest) as saver:
        await owner.asetup()
        for number in (1, 4, 8):  # of the times that a node is in the middle of its work
            await refuse_and_mend(saver, Diary(at(number, cause)), durability, refusal.message, mend)
            await saver.adelete_thread("t")


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_a_full_disk_stops_the_run_which_goes_on_when_there_is_room(
    durability: Durability, tmp_path: Path
) -> None:
    async with AsyncSqliteSaver(str(tmp_path / "checkpoints.db")) as saver:
        await saver.asetup()

        async def limit(pages: int) -> None:
            await saver._session.fetch(Query(f"PRAGMA max_page_count = {pages}"), "limiting")

        await limit(1)  # less than the file has already: no page can be added
        graph = outer_graph(Diary(), saver, rounds=10)
        with pytest.raises(CheckpointStorageError, match=r"thread 't'.*full; make room"):
            await graph.ainvoke(INPUT, CONFIG, durability=durability)
        await limit(100_000)
        stored = [saved.checkpoint["channel_values"] async for saved in saver.alist(config_for("t", ""))]
        whole = [(ROUND * 10)[: 4 * rounds + length] for rounds in range(10) for length in (0, 3)]
        assert stored
        assert all(values.get("trail", []) in whole for values in stored)
        assert await go_on(graph, durability=durability) == final_state(10)


# -- from the start --------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["run", "read", "list", "delete"])
async def test_without_setup_the_error_says_what_to_do(postgres_database: str, verb: str) -> None:
    async with AsyncPostgresSaver(postgres_database) as saver:
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "run": lambda: outer_graph(Diary(), saver).ainvoke(INPUT, CONFIG),
            "read": lambda: saver.aget_tuple(CONFIG),
            "list": lambda: Verbs(saver, "async").listed(CONFIG),
            "delete": lambda: saver.adelete_thread("t"),
        }
        with pytest.raises(CheckpointStorageError, match=r"thread 't'.* does not exist; run setup\(\) first"):
            await calls[verb]()


async def test_tables_of_somebody_else_are_refused_and_left_alone(postgres_database: str) -> None:
    execute(postgres_database, ["CREATE TABLE checkpoint_writes (thread_id text)"])
    async with AsyncPostgresSaver(postgres_database) as saver:
        with pytest.raises(CheckpointStorageError, match="'checkpoint_writes' that aiograph did not create"):
            await saver.asetup()
        with psycopg.connect(postgres_database) as connection:
            query = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            assert connection.execute(query).fetchall() == [("checkpoint_writes",)]


async def test_tables_of_a_newer_release_are_refused(postgres_database: str) -> None:
    async with AsyncPostgresSaver(postgres_database) as saver:
        await saver.asetup()
        execute(postgres_database, ["UPDATE aiograph_schema SET version = 99"])
        with pytest.raises(CheckpointStorageError, match=r"version 99, but this release .* upgrade aiograph"):
            await saver.asetup()


# -- rows that cannot be read ----------------------------------------------------------------------

SPOILED = {
    "a value": ("checkpoint_blobs SET blob = '\\xc1'", "channel 'n': the part .* damaged"),
    "the kind of a value": ("checkpoint_blobs SET type = 'pickle'", "channel 'n': the part .* damaged"),
    "the start of a value": (
        "checkpoint_blobs SET blob = substr(blob, 2)",
        "channel 'n': the part .* damaged",
    ),
    "a lost value": (
        "checkpoint_blobs SET thread_id = 'other'",
        "channel 'n': a part of it, [0-9a-f]{32}, is",
    ),
    "a write": ("checkpoint_writes SET blob = '\\xc1'", "task 'task', channel 'w'"),
    "the kind of a write": ("checkpoint_writes SET type = 'pickle'", "task 'task', .* kind 'pickle'"),
    "the checkpoint": ("checkpoints SET checkpoint = '\\xc1'", "the checkpoint itself"),
    "the kind of the checkpoint": ("checkpoints SET type = 'pickle'", "the checkpoint itself"),
    "its parts": ("checkpoints SET checkpoint = '\\x80'", "the checkpoint itself"),
    "its references": ("checkpoints SET refs = '\\x00'", "channel 'n': a part of it, 00, is not"),
    "its metadata": ("checkpoints SET metadata = '[]'", "its metadata"),
}


@pytest.mark.parametrize(("change", "message"), SPOILED.values(), ids=SPOILED)
async def test_a_row_that_cannot_be_read_is_an_error_and_never_left_out(
    postgres_database: str, change: str, message: str
) -> None:
    async with AsyncPostgresSaver(postgres_database) as saver:
        await saver.asetup()
        parent = config_for("t", "inner")
        for number in range(3):
            values = {"n": f"{number}" * 1000}
            parent = await saver.aput(parent, make_checkpoint(values), {}, {"n": 1})
            await saver.aput_writes(parent, [("w", 1)], "task")
        execute(postgres_database, [f"UPDATE {change}"])
        expected = (
            rf"^thread 't', namespace 'inner', checkpoint '{parent['configurable']['checkpoint_id']}', "
        )
        with pytest.raises(CheckpointDeserializationError, match=expected + message):
            await saver.aget_tuple(config_for("t", "inner"))
        with pytest.raises(CheckpointDeserializationError, match=message):
            await Verbs(saver, "async").listed(config_for("t", "inner"))
