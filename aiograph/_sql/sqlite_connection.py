"""A connection to SQLite: where the database is, how it is opened, and what its errors mean."""

import os
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from aiograph._sql.migrate import SQLITE, Component, is_current, migrate
from aiograph._sql.session import Plan, Query, Row, followed
from aiograph.bridge import at_once
from aiograph.errors import CheckpointStorageError

T = TypeVar("T")

Synchronous: TypeAlias = Literal["normal", "full"]
Function: TypeAlias = tuple[str, int, Callable[..., Any]]

_SLICE = 0.5
"""Seconds after which a wait for a lock looks up, to see whether anybody still wants it."""

_PAGES_IN_LOG = 4000
"""Pages (of 4 kB) that gather in the log before they are moved, and synced, into the database."""

_CACHE = 16_384
"""KiB of pages that are kept in memory, at most: a large state that is read again should be among them."""

_HINTS = {
    sqlite3.SQLITE_FULL: "; make room, then resume",
    sqlite3.SQLITE_NOTADB: "; it is no SQLite database, or it is encrypted",
    sqlite3.SQLITE_CORRUPT: "; restore the file from a backup",
    sqlite3.SQLITE_CANTOPEN: "; does its folder exist, and may this process write there?",
    sqlite3.SQLITE_READONLY: "; the file, or its folder, may not be written to",
    sqlite3.SQLITE_BUSY: "; another process has held the lock all the while",
}

BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
RUINED = {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CANTOPEN,
}
"""Errors after which the file is opened anew, as somebody may have repaired it."""


class Settings(NamedTuple):
    """How a database is opened."""

    component: Component
    """Whose tables it holds."""
    functions: Sequence[Function] = ()
    """SQL functions: name, number of arguments, code."""
    synchronous: Synchronous = "normal"
    """With `"normal"` a commit survives the end of the process, with `"full"` also a power cut."""
    patience: float = 30.0
    """Seconds for which a lock that somebody else holds is waited for."""
    fault: Callable[[str], Exception] = CheckpointStorageError
    """Makes the error that callers see."""


class Address(NamedTuple):
    """Where a database is."""

    target: str
    is_in_memory: bool

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> "Address":
        """The address of a path, a `file:` URI, or `":memory:"`; a relative path is taken from here on.

        Raises:
            ValueError: It is the address of something else, or of nothing.
        """
        target = os.fspath(path)
        if not target:
            raise ValueError(
                "an empty path is a file that would be gone with its connection: pass a path, or ':memory:'"
            )
        scheme, is_url, _ = target.partition("://")
        if is_url and len(scheme) > 1 and scheme != "file":  # a letter alone is a drive
            raise ValueError(f"an address that begins with '{scheme}:' is no path of a SQLite file")
        is_in_memory = target == ":memory:" or "mode=memory" in target or target == "file::memory:"
        if not is_in_memory and not target.startswith("file:"):
            target = os.path.abspath(target)
        return cls(target, is_in_memory)

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self.target,
            timeout=_SLICE,
            isolation_level=None,  # transactions are begun and ended by hand
            check_same_thread=False,  # it may be closed by whoever finds it unused
            uri=self.target.startswith("file:"),
        )


def connect(address: Address, settings: Settings) -> sqlite3.Connection:
    """A connection to a database whose tables are up to date."""
    connection = address.connect()
    try:
        _prepare(connection, settings)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, settings: Settings) -> None:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if code_of(error) != sqlite3.SQLITE_READONLY:  # what is there can be read all the same
            raise
    connection.execute(f"PRAGMA synchronous = {settings.synchronous.upper()}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_PAGES_IN_LOG}")
    connection.execute(f"PRAGMA cache_size = -{_CACHE}")
    for name, arguments, code in settings.functions:
        connection.create_function(name, arguments, code, deterministic=True)
    if not run_plan(connection, is_current(settings.component, SQLITE)):
        connection.execute("BEGIN IMMEDIATE")
        run_plan(connection, migrate(settings.component, SQLITE))
        connection.execute("COMMIT")


def code_of(error: Exception) -> int:
    """The primary result code of an error of SQLite."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def fetched(connection: sqlite3.Connection, query: Query) -> list[Row]:
    """The rows of a query."""
    return connection.execute(query.sql, query.parameters).fetchall()


def run_plan(
    connection: sqlite3.Connection,
    plan: Plan[T],
    fetch: Callable[[sqlite3.Connection, Query], list[Row]] = fetched,
) -> T:
    """Carries out a plan on a connection."""

    async def fetch_here(query: Query) -> list[Row]:
        return fetch(connection, query)

    return at_once(followed(plan, fetch_here), "a query on a file")


def described(error: Exception) -> str:
    """An error, with what to do about it where that is known."""
    return f"{error}{_HINTS.get(code_of(error), '')}"
