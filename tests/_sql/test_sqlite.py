"""A SQLite database and its thread: groups, locks, cancellation, closing."""

import asyncio
import gc
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aiograph._sql.migrate import Component
from aiograph._sql.session import Change, Guard, Plan, Query
from aiograph._sql.sqlite import Address, Settings, SqliteDatabase
from aiograph.errors import CheckpointStorageError

THINGS = Component("things", ("things",), [("CREATE TABLE things (name TEXT PRIMARY KEY)",)])
SETTINGS = Settings(component=THINGS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "things.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(path, SETTINGS)
    yield database
    await database.aclose()


async def names(database: SqliteDatabase) -> list[Any]:
    query = Query("SELECT name FROM things ORDER BY name")
    return [name for (name,) in await database.fetch(query, "all names")]


async def add(database: SqliteDatabase, *values: Any) -> None:
    change = Change("INSERT INTO things VALUES (?)", [(value,) for value in values])
    await database.write([change], f"adding {values}")


def lock(path: Path) -> sqlite3.Connection:
    """Somebody else who holds the lock until it is closed."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


def trace(database: SqliteDatabase) -> list[str]:
    """The statements that are carried out from now on."""
    statements: list[str] = []
    assert database._owner is not None
    assert database._owner._connection is not None
    database._owner._connection.set_trace_callback(statements.append)
    return statements


def spoil(path: Path) -> None:
    path.write_text("this is no database, but some text that is long enough to look at" * 20)


def exists(path: Path) -> bool:
    return path.exists()


class Gate:
    """Rows of parameters that arrive only when they are let through."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def rows(self, *values: Any) -> Iterator[tuple[Any]]:
        self.reached.set()
        assert self.open.wait(10)
        for value in values:
            yield (value,)

    def change(self, *values: Any) -> Change:
        return Change("INSERT INTO things VALUES (?)", self.rows(*values))


# -- reading and writing ---------------------------------------------------------------------------


async def test_what_is_written_can_be_read(database: SqliteDatabase) -> None:
    await add(database, "a", "b")
    assert await names(database) == ["a", "b"]


async def test_changes_are_made_together_or_not_at_all(database: SqliteDatabase) -> None:
    await add(database, "a")
    with pytest.raises(
        CheckpointStorageError, match=r"adding .*: cannot write to '.*things\.db': UNIQUE"
    ) as caught:
        await add(database, "b", "a")
    assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)
    assert await names(database) == ["a"]


async def test_the_queries_of_a_plan_see_one_moment(database: SqliteDatabase, path: Path) -> None:
    await add(database, "a")

    def twice() -> Plan[list[int]]:
        before = yield Query("SELECT count(*) FROM things")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("INSERT INTO things VALUES ('b')")
        after = yield Query("SELECT count(*) FROM things")
        return [before[0][0], after[0][0]]

    assert await database.follow(twice, "counting") == [1, 1]
    assert await names(database) == ["a", "b"]


async def test_a_plan_that_fails_leaves_no_transaction(database: SqliteDatabase) -> None:
    def broken() -> Plan[None]:
        yield Query("SELECT * FROM nowhere")

    with pytest.raises(CheckpointStorageError, match=r"looking: cannot read from .* no such table: nowhere"):
        await database.follow(broken, "looking")
    await add(database, "a")
    assert await names(database) == ["a"]


@pytest.mark.parametrize("value", ["\ud800", 2**70, object()])
async def test_values_that_cannot_be_bound_are_an_error(database: SqliteDatabase, value: Any) -> None:
    with pytest.raises(CheckpointStorageError, match="adding"):
        await add(database, value)
    await add(database, "fine")
    assert await names(database) == ["fine"]


async def test_it_serves_several_loops_at_once(database: SqliteDatabase) -> None:
    async def work(thread: int) -> None:
        await asyncio.gather(*(add(database, f"{thread}-{number}") for number in range(20)))

    await asyncio.gather(*(asyncio.to_thread(asyncio.run, work(thread)) for thread in range(4)))
    assert len(await names(database)) == 80


# -- guards ----------------------------------------------------------------------------------------


class Refused(Exception):
    pass


def has(name: str) -> Guard:
    return Guard("SELECT 1 FROM things WHERE name = ? {share}", (name,), Refused)


def renaming(old: str, new: str) -> Guard:
    return Guard("UPDATE things SET name = ? WHERE name = ? RETURNING name", (new, old), Refused)


def adding(*values: str) -> Change:
    return Change("INSERT INTO things VALUES (?)", [(value,) for value in values])


async def test_one_statement_fetches_rows(database: SqliteDatabase) -> None:
    await add(database, "a", "b")
    query = Query("SELECT name FROM things WHERE name > ?", ("a",))
    assert await database.fetch(query, "names") == [("b",)]


async def test_a_guard_that_holds_lets_changes_pass(database: SqliteDatabase) -> None:
    await add(database, "a")
    await database.write([has("a"), renaming("a", "z"), adding("b")], "guarded")
    assert await names(database) == ["b", "z"]


async def test_a_guard_that_fails_undoes_what_was_changed_before_it(database: SqliteDatabase) -> None:
    with pytest.raises(Refused):
        await database.write([adding("b"), has("a")], "guarded")
    assert await names(database) == []


async def test_in_a_group_a_guard_refuses_its_own_operation_only(database: SqliteDatabase) -> None:
    gate = Gate()
    first = asyncio.create_task(database.write([gate.change("first")], "first"))
    await asyncio.to_thread(gate.reached.wait)
    refused = asyncio.create_task(database.write([adding("a"), renaming("b", "c")], "refused"))
    passed = asyncio.create_task(database.write([renaming("first", "b"), has("b")], "passed"))
    await asyncio.sleep(0)
    gate.open.set()
    outcomes = await asyncio.gather(first, refused, passed, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), Refused, type(None)]
    assert await names(database) == ["b"]


async def test_what_is_done_is_counted(database: SqliteDatabase) -> None:
    await database.write([adding("a", "bcd"), has("a")], "counted")
    await database.fetch(Query("SELECT name FROM things"), "names")
    counters = database.counters
    assert (counters.statements, counters.rows_written, counters.bytes_written) == (3, 3, 5)
    assert (counters.rows_read, counters.transactions) == (2, 2)
    assert (counters.retries, counters.reconnects) == (0, 0)
    assert counters.seconds > 0


async def test_waits_for_locks_are_counted(path: Path, database: SqliteDatabase) -> None:
    await add(database, "a")
    with closing(lock(path)) as other:
        writing = asyncio.create_task(add(database, "b"))
        await asyncio.sleep(0.8)  # longer than SQLite itself waits in one go
        other.execute("COMMIT")
        await writing
    assert database.counters.retries >= 1
    assert database.counters.seconds > 0.7
    assert database.counters.transactions == 2


# -- groups ----------------------------------------------------------------------------------------


async def test_changes_that_queue_up_share_a_transaction(database: SqliteDatabase) -> None:
    gate = Gate()
    first = asyncio.create_task(database.write([gate.change("first")], "first"))
    await asyncio.to_thread(gate.reached.wait)
    others = [asyncio.create_task(add(database, f"{number:02}")) for number in range(10)]
    await asyncio.sleep(0)
    statements = trace(database)
    gate.open.set()
    await asyncio.gather(first, *others)
    assert statements.count("COMMIT") == 2
    assert len(await names(database)) == 11


async def test_in_a_group_only_the_faulty_change_fails(database: SqliteDatabase) -> None:
    gate = Gate()
    first = asyncio.create_task(database.write([gate.change("first")], "first"))
    await asyncio.to_thread(gate.reached.wait)
    others = [asyncio.create_task(add(database, name)) for name in ("a", "b", "a", "c")]
    await asyncio.sleep(0)
    gate.open.set()
    await first
    outcomes = await asyncio.gather(*others, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [
        type(None),
        type(None),
        CheckpointStorageError,
        type(None),
    ]
    assert await names(database) == ["a", "b", "c", "first"]


async def test_when_a_group_fails_each_is_tried_alone(database: SqliteDatabase) -> None:
    """A full disk makes SQLite give up the whole transaction, not just the statement."""
    await database.fetch(Query("PRAGMA max_page_count = 20"), "limiting")
    gate = Gate()
    first = asyncio.create_task(database.write([gate.change("first")], "first"))
    await asyncio.to_thread(gate.reached.wait)
    others = [asyncio.create_task(add(database, name)) for name in ("a", "x" * 500_000, "b")]
    await asyncio.sleep(0)
    gate.open.set()
    await first
    outcomes = await asyncio.gather(*others, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), CheckpointStorageError, type(None)]
    assert "disk is full; make room" in str(outcomes[1])
    assert await names(database) == ["a", "b", "first"]


# -- locks -----------------------------------------------------------------------------------------


async def test_a_lock_is_waited_for(path: Path, database: SqliteDatabase) -> None:
    await add(database, "a")
    with closing(lock(path)) as other:
        writing = asyncio.create_task(add(database, "b"))
        await asyncio.sleep(0.05)  # long enough for the thread to have met the lock
        assert not writing.done()
        other.execute("COMMIT")
        await writing
    assert await names(database) == ["a", "b"]


async def test_reading_does_not_wait_for_a_writer(path: Path, database: SqliteDatabase) -> None:
    await add(database, "a")
    with closing(lock(path)):
        assert await names(database) == ["a"]


async def test_a_lock_is_not_waited_for_without_end(path: Path) -> None:
    database = SqliteDatabase(path, SETTINGS._replace(patience=0.0))
    await add(database, "a")
    with closing(lock(path)), pytest.raises(CheckpointStorageError, match="locked; another process has held"):
        await add(database, "b")
    await add(database, "c")
    assert await names(database) == ["a", "c"]
    await database.aclose()


async def test_who_waits_for_a_lock_can_be_cancelled(path: Path, database: SqliteDatabase) -> None:
    await add(database, "a")
    with closing(lock(path)) as other:
        writing = asyncio.create_task(add(database, "b"))
        await asyncio.sleep(0.05)  # long enough for the thread to have met the lock
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        other.execute("COMMIT")
    await add(database, "c")
    assert await names(database) == ["a", "c"]


# -- cancellation ----------------------------------------------------------------------------------


async def test_a_change_under_way_is_completed_before_the_cancellation_arrives(
    database: SqliteDatabase,
) -> None:
    gate = Gate()
    writing = asyncio.create_task(database.write([gate.change("a", "b")], "gated"))
    await asyncio.to_thread(gate.reached.wait)
    for _ in range(3):  # once, and again at each turn
        writing.cancel()
        await asyncio.sleep(0)
        assert not writing.done()
    gate.open.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await names(database) == ["a", "b"]


async def test_a_change_that_has_not_begun_is_withdrawn(database: SqliteDatabase) -> None:
    gate = Gate()
    first = asyncio.create_task(database.write([gate.change("first")], "first"))
    await asyncio.to_thread(gate.reached.wait)
    second = asyncio.create_task(add(database, "second"))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    gate.open.set()
    await first
    assert await names(database) == ["first"]


async def test_a_loop_that_goes_away_leaves_the_database_usable(database: SqliteDatabase) -> None:
    gate = Gate()

    def abandon() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(database.write([gate.change("a")], "abandoned"))
        loop.call_later(0.01, loop.stop)
        loop.run_forever()
        loop.close()
        task.get_coro().close()  # a coroutine that will never go on
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # on purpose

    await asyncio.to_thread(abandon)
    gate.open.set()
    assert await names(database) == ["a"]


# -- opening and closing ---------------------------------------------------------------------------


async def test_after_closing_it_cannot_be_used(path: Path, database: SqliteDatabase) -> None:
    await add(database, "a")
    await database.aclose()
    await database.aclose()
    with pytest.raises(CheckpointStorageError, match=r"all names: cannot use '.*things.db': it was closed"):
        await names(database)


async def test_closing_what_was_never_used_opens_nothing(path: Path) -> None:
    await SqliteDatabase(path, SETTINGS).aclose()
    assert not exists(path)


async def test_closing_waits_for_what_was_asked_before(path: Path, database: SqliteDatabase) -> None:
    gate = Gate()
    writing = asyncio.create_task(database.write([gate.change("a")], "gated"))
    await asyncio.to_thread(gate.reached.wait)
    closing_ = asyncio.create_task(database.aclose())
    await asyncio.sleep(0)
    assert not closing_.done()
    gate.open.set()
    await asyncio.gather(writing, closing_)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT name FROM things").fetchall() == [("a",)]


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "aiograph-sqlite"]


async def test_closing_ends_the_thread(database: SqliteDatabase) -> None:
    before = threads()
    await add(database, "a")
    assert len(threads()) == len(before) + 1
    await database.aclose()
    assert threads() == before


async def test_forgetting_a_database_ends_its_thread(path: Path) -> None:
    before = threads()
    database = SqliteDatabase(path, SETTINGS)
    await add(database, "a")
    del database
    gc.collect()
    assert threads() == before


async def test_a_file_that_was_repaired_is_used_again(path: Path, database: SqliteDatabase) -> None:
    spoil(path)
    with pytest.raises(CheckpointStorageError, match="not a database; it is no SQLite database"):
        await add(database, "a")
    path.unlink()  # noqa: ASYNC240  # quick
    await add(database, "a")
    assert await names(database) == ["a"]
    assert database.counters.reconnects == 0  # the first one was never made


async def test_a_connection_that_was_given_up_is_counted(path: Path, database: SqliteDatabase) -> None:
    await add(database, "a")
    page = await database.fetch(Query("PRAGMA page_size"), "size")
    await database.fetch(Query("PRAGMA wal_checkpoint(TRUNCATE)"), "moving")
    content = path.read_bytes()  # noqa: ASYNC240  # quick
    path.write_bytes(content[: page[0][0]] + b"x" * (len(content) - page[0][0]))  # noqa: ASYNC240
    await database.fetch(Query("PRAGMA shrink_memory"), "forgetting pages")
    with pytest.raises(CheckpointStorageError, match="malformed; restore the file from a backup"):
        await names(database)
    path.write_bytes(content)  # noqa: ASYNC240
    assert await names(database) == ["a"]
    assert database.counters.reconnects == 1


async def test_a_missing_folder_is_an_error_that_says_so(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "no" / "x.db", SETTINGS)
    with pytest.raises(CheckpointStorageError, match=r"unable to open .*does its folder exist"):
        await names(database)
    await database.aclose()


def test_a_relative_path_is_taken_from_where_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Address.of("x.db") == Address(str(tmp_path / "x.db"), False)
    assert Address.of(Path("a") / "x.db") == Address(os.path.join(str(tmp_path), "a", "x.db"), False)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "would be gone with its connection: pass a path, or ':memory:'"),
        ("postgresql://ada:secret@host/app", "an address that begins with 'postgresql:'"),
        ("sqlite:///app.db", "an address that begins with 'sqlite:'"),
    ],
)
def test_what_is_no_path_is_refused_at_once_and_without_the_password(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Address.of(path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("target", [":memory:", "file::memory:", "file:x?mode=memory&cache=shared"])
def test_a_database_in_memory_is_known_by_its_address(target: str) -> None:
    assert Address.of(target) == Address(target, True)


def test_a_uri_stays_a_uri() -> None:
    assert Address.of("file:x.db?mode=ro") == Address("file:x.db?mode=ro", False)
