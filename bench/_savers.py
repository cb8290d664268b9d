"""Savers that a case can run with, opened for one sample and gone after it.

What LangGraph's savers bind to statements is counted by cursors that look at parameters; what ours bind they
tell themselves.
"""

import sqlite3
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from bench._case import Setup
from bench._packages import RIVAL, Package
from bench._postgres import new_database
from bench._tables import sqlite_size

OpenSaver: TypeAlias = Callable[[Package, Setup], Awaitable[Any]]

POOL = 8
"""Connections to PostgreSQL."""


async def no_saver(package: Package, setup: Setup) -> None:
    return None


async def memory(package: Package, setup: Setup) -> Any:
    """In memory, where what is bound is what is kept."""
    saver = package.find("checkpoint.memory", "InMemorySaver")()
    if package == RIVAL:
        setup.meters["bound"] = lambda: bytes_in([saver.storage, saver.writes, saver.blobs])
    else:
        setup.meters["bound"] = lambda: sum(thread.size for thread in saver.list_threads())
    return saver


async def sqlite(package: Package, setup: Setup, **ours: Any) -> Any:
    """A file in a temporary folder, for both as durable as aiograph has it: a power cut may undo a commit.

    Args:
        package: Whose saver.
        setup: Of the sample.
        ours: Options of our saver.
    """
    path = f"{setup.resources.enter_context(TemporaryDirectory())}/saved.db"
    saver = await (_their_sqlite(setup, path) if package == RIVAL else _our_sqlite(setup, path, ours))
    reader = sqlite3.connect(path)
    setup.resources.callback(reader.close)
    setup.meters["stored"] = lambda: sqlite_size(reader)
    return saver


async def _our_sqlite(setup: Setup, path: str, options: Mapping[str, Any]) -> Any:
    from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver

    saver = await setup.resources.enter_async_context(AsyncSqliteSaver.from_conn_string(path, **options))
    setup.meters["bound"] = lambda: saver.statistics.bytes_written
    return saver


async def _their_sqlite(setup: Setup, path: str) -> Any:
    import aiosqlite

    tally = Tally(setup)

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, parameters: Any = (), /) -> "Cursor":
            tally.add(sql, [parameters])
            return super().execute(sql, parameters)

        def executemany(self, sql: str, parameters: Iterable[Any], /) -> "Cursor":
            rows = list(parameters)
            tally.add(sql, rows)
            return super().executemany(sql, rows)

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def execute(self, *statement: Any) -> Any:
            return self.cursor().execute(*statement)

        def executemany(self, *statement: Any) -> Any:
            return self.cursor().executemany(*statement)

    opened = aiosqlite.connect(path, factory=Connection if setup.counts_bytes else sqlite3.Connection)
    connection = await setup.resources.enter_async_context(opened)
    saver = RIVAL.find("checkpoint.sqlite.aio", "AsyncSqliteSaver")(connection)
    await saver.setup()
    await connection.execute("PRAGMA synchronous=NORMAL")
    return saver


async def postgres(package: Package, setup: Setup, **ours: Any) -> Any:
    """A database of its own, and a pool of connections; `ours` are options of our saver."""
    conninfo = new_database(setup)
    if package == RIVAL:
        return await _their_postgres(setup, conninfo)
    return await _our_postgres(setup, conninfo, ours)


async def _our_postgres(setup: Setup, conninfo: str, options: Mapping[str, Any]) -> Any:
    from aiograph.checkpoint.postgres.aio import AsyncPostgresSaver, PoolOptions

    opened = AsyncPostgresSaver.from_conn_string(conninfo, pool=PoolOptions(max_size=POOL), **options)
    saver = await setup.resources.enter_async_context(opened)
    await saver.asetup()
    setup.meters["bound"] = lambda: saver.statistics.bytes_written
    return saver


async def _their_postgres(setup: Setup, conninfo: str) -> Any:
    from psycopg import AsyncConnection, AsyncCursor
    from psycopg.rows import dict_row
    from psycopg_pool import AsyncConnectionPool

    tally = Tally(setup)

    class Cursor(AsyncCursor[Any]):
        async def execute(self, query: Any, params: Any = None, **options: Any) -> "Cursor":
            tally.add(str(query), [params or ()])
            return await super().execute(query, params, **options)

        async def executemany(self, query: Any, params_seq: Iterable[Any], **options: Any) -> None:
            rows = list(params_seq)
            tally.add(str(query), rows)
            await super().executemany(query, rows, **options)

    async def configure(connection: AsyncConnection[Any]) -> None:
        if setup.counts_bytes:
            connection.cursor_factory = Cursor

    # as its documentation asks for
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        conninfo, min_size=1, max_size=POOL, kwargs=options, configure=configure, open=False
    )
    await setup.resources.enter_async_context(pool)
    saver = RIVAL.find("checkpoint.postgres.aio", "AsyncPostgresSaver")(pool)
    await saver.setup()
    return saver


class Tally:
    """Counts the bytes that are bound to statements that write, as our savers do."""

    def __init__(self, setup: Setup) -> None:
        self.bound = 0
        setup.meters["bound"] = lambda: self.bound

    def add(self, statement: str, rows: Iterable[Any]) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "WITH", "PRAGMA")):
            self.bound += bytes_in(rows)


def bytes_in(value: Any) -> int:
    """Bytes of data: the length of text and bytes, 8 for a number, and what containers hold."""
    match value:
        case None:
            return 0
        case bytes() | str():
            return len(value)
        case dict():
            return bytes_in(value.values())
        case int() | float():
            return 8
        case Iterable():
            return sum(map(bytes_in, value))
        case _:
            return bytes_in(value.obj)  # psycopg's wrapper around JSON


def new_thread() -> dict[str, Any]:
    """The config of a thread that nobody has used."""
    return {"configurable": {"thread_id": str(uuid.uuid4())}}


def options_of(saver: Any, durability: str = "sync") -> dict[str, Any]:
    """Options of one run: with a saver a thread of its own, and the durability."""
    return {} if saver is None else {"config": new_thread(), "durability": durability}
