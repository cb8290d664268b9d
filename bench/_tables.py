"""Storage as one would write it by hand: a table of bytes under numbers. The floor of cases that store."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from tempfile import TemporaryDirectory
from typing import Protocol, TypeAlias

import psycopg

from bench._case import Setup
from bench._postgres import new_database


class Table(Protocol):
    """Keeps bytes under numbers."""

    async def put(self, key: int, body: bytes) -> None:
        """Stores bytes, in place of others under this number; on return they are committed."""
        ...

    async def fill(self, bodies: Sequence[bytes]) -> None:
        """Stores bytes under 0, 1, 2 and so on, all in one transaction."""
        ...

    async def get(self) -> list[bytes]:
        """All bytes, in the order of their numbers."""
        ...


OpenTable: TypeAlias = Callable[[Setup], Awaitable[Table]]

_KEY_BYTES = 8


class MemoryTable:
    """A dict."""

    def __init__(self, setup: Setup) -> None:
        self._rows: dict[int, bytes] = {}
        self._bound = 0
        setup.meters["bound"] = lambda: self._bound

    async def put(self, key: int, body: bytes) -> None:
        self._bound += _KEY_BYTES + len(body)
        self._rows[key] = body

    async def fill(self, bodies: Sequence[bytes]) -> None:
        self._rows = dict(enumerate(bodies))

    async def get(self) -> list[bytes]:
        return list(self._rows.values())


class SqliteTable:
    """A SQLite file, on a thread, with the settings that savers are compared under."""

    def __init__(self, setup: Setup) -> None:
        folder = setup.resources.enter_context(TemporaryDirectory())
        connection = sqlite3.connect(f"{folder}/bare.db", check_same_thread=False, isolation_level=None)
        setup.resources.callback(connection.close)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, body BLOB)")
        self._connection = connection
        self._bound = 0
        setup.meters["bound"] = lambda: self._bound
        setup.meters["stored"] = lambda: sqlite_size(connection)

    async def put(self, key: int, body: bytes) -> None:
        self._bound += _KEY_BYTES + len(body)
        await asyncio.to_thread(
            self._connection.execute, "INSERT OR REPLACE INTO items VALUES (?, ?)", (key, body)
        )

    async def fill(self, bodies: Sequence[bytes]) -> None:
        with self._connection as connection:
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO items VALUES (?, ?)", enumerate(bodies))

    async def get(self) -> list[bytes]:
        query = "SELECT body FROM items ORDER BY id"
        return await asyncio.to_thread(lambda: [body for (body,) in self._connection.execute(query)])


class PostgresTable:
    """A table on PostgreSQL, over one connection."""

    _PUT = "INSERT INTO items VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET body = excluded.body"

    def __init__(self, setup: Setup, connection: "psycopg.AsyncConnection[tuple[bytes]]") -> None:
        self._connection = connection
        self._bound = 0
        setup.meters["bound"] = lambda: self._bound

    @classmethod
    async def open(cls, setup: Setup) -> "PostgresTable":
        connection = await psycopg.AsyncConnection.connect(new_database(setup), autocommit=True)
        setup.resources.push_async_callback(connection.close)
        await connection.execute("CREATE TABLE items (id bigint PRIMARY KEY, body bytea)")
        return cls(setup, connection)

    async def put(self, key: int, body: bytes) -> None:
        self._bound += _KEY_BYTES + len(body)
        await self._connection.execute(self._PUT, (key, body))

    async def fill(self, bodies: Sequence[bytes]) -> None:
        async with self._connection.transaction():
            await self._connection.cursor().executemany(self._PUT, list(enumerate(bodies)))

    async def get(self) -> list[bytes]:
        cursor = self._connection.cursor(binary=True)
        await cursor.execute("SELECT body FROM items ORDER BY id")
        return [body for (body,) in await cursor.fetchall()]


def sqlite_size(connection: sqlite3.Connection) -> int:
    """Bytes of the pages in use."""
    (pages,), (page_bytes,) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size")
    )
    return int(pages) * int(page_bytes)


async def memory_table(setup: Setup) -> Table:
    return MemoryTable(setup)


async def sqlite_table(setup: Setup) -> Table:
    return SqliteTable(setup)


async def postgres_table(setup: Setup) -> Table:
    return await PostgresTable.open(setup)
