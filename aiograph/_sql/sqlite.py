"""A SQLite database and the one thread that owns its connection.

Operations reach the thread through a queue, and answers go straight to the event loop that asked: one hop
there and one back, and no loop is home. Changes that queue up together share a transaction, as the commit
is what costs; when the group fails, each is tried alone, so that nobody pays for another's fault.

SQLite keeps a table of file locks in the memory of the process, which a forked child would inherit and
believe. So the connection is closed for the moment of a fork, and both sides open one of their own.
"""

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from itertools import groupby
from operator import attrgetter
from queue import Empty, SimpleQueue
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from aiograph._sql.migrate import SQLITE, Component, SchemaError, is_current, migrate
from aiograph._sql.operation import Operation, deliver
from aiograph._sql.session import SHARE, Change, Counters, Guard, Plan, Query, Row, size_of
from aiograph.errors import CheckpointStorageError

T = TypeVar("T")

Synchronous: TypeAlias = Literal["normal", "full"]
Function: TypeAlias = tuple[str, int, Callable[..., Any]]

_SLICE = 0.5
"""Seconds after which a wait for a lock looks up, to see whether anybody still wants it."""

_GROUP = 64
"""Operations that share a transaction, at most."""

_PAGES_IN_LOG = 4000
"""Pages (of 4 kB) that gather in the log before they are moved, and synced, into the database."""

_HINTS = {
    sqlite3.SQLITE_FULL: "; make room, then resume",
    sqlite3.SQLITE_NOTADB: "; it is no SQLite database, or it is encrypted",
    sqlite3.SQLITE_CORRUPT: "; restore the file from a backup",
    sqlite3.SQLITE_CANTOPEN: "; does its folder exist, and may this process write there?",
    sqlite3.SQLITE_READONLY: "; the file, or its folder, may not be written to",
    sqlite3.SQLITE_BUSY: "; another process has held the lock all the while",
}

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_RUINED = {
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
        """The address of a path, a `file:` URI, or `":memory:"`; a relative path is taken from here on."""
        target = os.fspath(path)
        is_in_memory = target in ("", ":memory:") or "mode=memory" in target or target == "file::memory:"
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


class _Pause:
    """Asks for the connection to be closed until further notice."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.is_over = threading.Event()


class _Stop(NamedTuple):
    """Asks for the end of the thread."""

    told: Operation[Any, None] | None = None


Operations: TypeAlias = list[Operation[sqlite3.Connection, Any]]


class _Owner:
    """The thread and its connection. Knows nobody who uses it, so that forgetting them can end it."""

    def __init__(self, address: Address, settings: Settings) -> None:
        self._address = address
        self._settings = settings
        self._connection: sqlite3.Connection | None = None
        self.inbox: SimpleQueue[Operation[sqlite3.Connection, Any] | _Pause | _Stop] = SimpleQueue()
        self.thread = threading.Thread(target=self._run, name="aiograph-sqlite", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while self._serve(self.inbox.get()):
            pass

    def _serve(self, item: Operation[sqlite3.Connection, Any] | _Pause | _Stop) -> bool:
        """Carries out what is in the queue; whether there is more to come."""
        operations: Operations = []
        while isinstance(item, Operation):
            operations.append(item)
            try:
                item = self.inbox.get_nowait()
            except Empty:
                break
        for writes, group in groupby(operations, attrgetter("writes")):
            self._carry_out(list(group), writes=writes)
        if isinstance(item, _Pause):
            self._sit_out(item)
        elif isinstance(item, _Stop):
            self._stop(item)
        return not isinstance(item, _Stop)

    def _sit_out(self, pause: _Pause) -> None:
        if not self._address.is_in_memory:
            self._close()
        pause.has_begun.set()
        pause.is_over.wait()

    def _stop(self, stop: _Stop) -> None:
        self._close()
        if stop.told is not None:
            deliver([stop.told])

    def _carry_out(self, group: Operations, *, writes: bool) -> None:
        if writes:
            for start in range(0, len(group), _GROUP):
                self._write(group[start : start + _GROUP])
                deliver(group[start : start + _GROUP])
        else:
            for operation in group:
                self._read(operation)
                deliver([operation])

    # -- changes

    def _write(self, group: Operations) -> None:
        try:
            self._patiently(self._begin, lambda: not all(each.is_claimed for each in group))
        except Exception as error:
            for operation in group:
                if operation.claim():
                    operation.error = self._fault(operation, error)
            return
        claimed = [operation for operation in group if operation.claim()]
        undone_by = self._commit(claimed)
        if undone_by is not None and len(claimed) == 1:
            claimed[0].error = self._fault(claimed[0], undone_by)
        elif undone_by is not None:
            for operation in claimed:
                self._write_alone(operation)

    def _write_alone(self, operation: Operation[sqlite3.Connection, Any]) -> None:
        operation.error = None
        try:
            self._patiently(self._begin)
        except Exception as error:
            operation.error = self._fault(operation, error)
            return
        undone_by = self._commit([operation])
        if undone_by is not None:
            operation.error = self._fault(operation, undone_by)

    def _begin(self) -> None:
        self._open().execute("BEGIN IMMEDIATE")

    def _commit(self, operations: Operations) -> Exception | None:
        """Carries out operations in the transaction that has begun; what has undone it, if anything."""
        connection = self._open()
        try:
            if len(operations) == 1:
                operations[0].result = operations[0].work(connection)
            else:
                for operation in operations:
                    self._apply(connection, operation)
            self._patiently(partial(connection.execute, "COMMIT"))
        except Exception as error:
            self._roll_back()
            return error
        return None

    def _apply(self, connection: sqlite3.Connection, operation: Operation[sqlite3.Connection, Any]) -> None:
        """Carries out one of several operations, so that its failure undoes it alone."""
        connection.execute("SAVEPOINT operation")
        try:
            operation.result = operation.work(connection)
        except Exception as error:
            if not connection.in_transaction:
                raise  # SQLite has given up the whole transaction, as it does when the disk is full
            connection.execute("ROLLBACK TO operation")
            operation.error = self._fault(operation, error)
        connection.execute("RELEASE operation")

    # -- reading

    def _read(self, operation: Operation[sqlite3.Connection, Any]) -> None:
        if not operation.claim():
            return
        try:
            self._patiently(partial(self._read_once, operation))
        except Exception as error:
            operation.error = self._fault(operation, error)

    def _read_once(self, operation: Operation[sqlite3.Connection, Any]) -> None:
        try:
            connection = self._open()
            connection.execute("BEGIN")
            operation.result = operation.work(connection)
            connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    # -- the connection

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = self._address.connect()
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        settings = self._settings
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_READONLY:  # what is there can be read all the same
                raise
        connection.execute(f"PRAGMA synchronous = {settings.synchronous.upper()}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_PAGES_IN_LOG}")
        for name, arguments, code in settings.functions:
            connection.create_function(name, arguments, code, deterministic=True)
        if not run_plan(connection, is_current(settings.component, SQLITE)):
            connection.execute("BEGIN IMMEDIATE")
            run_plan(connection, migrate(settings.component, SQLITE))
            connection.execute("COMMIT")

    def _patiently(self, step: Callable[[], object], is_wanted: Callable[[], bool] = lambda: True) -> None:
        """Takes a step; tries again for a while if somebody else holds the lock."""
        deadline = time.monotonic() + self._settings.patience
        while True:
            try:
                step()
                return
            except sqlite3.OperationalError as error:
                if _code(error) not in _BUSY or time.monotonic() >= deadline or not is_wanted():
                    raise
            time.sleep(0.01)  # where SQLite reports a lock without having waited for it

    def _roll_back(self) -> None:
        if self._connection is not None and self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _fault(self, operation: Operation[sqlite3.Connection, Any], error: Exception) -> Exception:
        """The error that the caller sees; one that is not the database's fault stays as it is."""
        if not isinstance(error, sqlite3.Error | SchemaError | UnicodeError | OverflowError):
            return error
        code = _code(error)
        if code in _RUINED and not self._address.is_in_memory:
            self._close()
        what = "write to" if operation.writes else "read from"
        fault = self._settings.fault(
            f"{operation.about}: cannot {what} {self._address.target!r}: {error}{_HINTS.get(code, '')}"
        )
        fault.__cause__ = error
        return fault


def _code(error: Exception) -> int:
    """The primary result code of an error of SQLite."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def run_plan(connection: sqlite3.Connection, plan: Plan[T]) -> T:
    """Carries out a plan on a connection."""
    rows = None
    while True:
        try:
            query = plan.send(rows)  # type: ignore[arg-type]  # the first one sent has to be None
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        rows = connection.execute(query.sql, query.parameters).fetchall()


def fetch_rows(query: Query, counters: Counters, connection: sqlite3.Connection) -> list[Row]:
    """The rows of one statement."""
    rows = connection.execute(query.sql, query.parameters).fetchall()
    counters.statements += 1
    counters.rows_read += len(rows)
    return rows


def make_changes(
    changes: Sequence[Change | Guard], counters: Counters, connection: sqlite3.Connection
) -> None:
    """Makes changes on a connection; to be undone by the caller if it raises."""
    for change in changes:
        if isinstance(change, Guard):
            rows: Sequence[Sequence[Any]] = [change.parameters]
            if not connection.execute(_unmarked(change.sql), change.parameters).fetchall():
                raise change.refusal()
        else:
            rows = list(change.rows)
            connection.executemany(change.sql, rows)
        counters.statements += 1
        counters.rows_written += len(rows)
        counters.bytes_written += size_of(rows)


@lru_cache(maxsize=64)
def _unmarked(sql: str) -> str:
    """Nobody else can write while a transaction does, so there are no rows to be locked."""
    return sql.replace(SHARE, "")


class SqliteDatabase:
    """A SQLite database, as a `Session`. Opened when it is first used."""

    def __init__(self, path: str | os.PathLike[str], settings: Settings) -> None:
        self.address = Address.of(path)
        self.counters = Counters()
        self._settings = settings
        self._lock = threading.Lock()
        self._owner: _Owner | None = None
        self._end: weakref.finalize[Any, Any] | None = None
        self._gone: str | None = None
        """Why it can no longer be used."""
        _databases.add(self)

    async def read(self, plan: Callable[[], Plan[T]], about: object) -> T:
        """Carries out a plan on one consistent state of the database."""
        return await self._ask(
            Operation(lambda connection: run_plan(connection, plan()), about, writes=False)
        )

    async def fetch(self, query: Query, about: object) -> list[Row]:
        """See `Session`."""
        return await self._ask(Operation(partial(fetch_rows, query, self.counters), about, writes=False))

    async def write(
        self, changes: Sequence[Change | Guard], about: object, order: tuple[str, ...] = ()
    ) -> None:
        """See `Session`. Only one writes at a time, so `order` means nothing."""
        await self._ask(Operation(partial(make_changes, changes, self.counters), about, writes=True))

    async def aclose(self) -> None:
        """See `Session`. Closing again does nothing."""
        with self._lock:
            owner, self._owner = self._owner, None
            self._gone = self._gone or "it was closed"
            told: Operation[Any, None] = Operation(lambda _: None, "closing", writes=False)
            if owner is None:
                return
            self._forget_end()
            told.claim()
            owner.inbox.put(_Stop(told))
        await told.outcome()
        owner.thread.join()

    async def _ask(self, operation: Operation[sqlite3.Connection, T]) -> T:
        with self._lock:
            if self._gone is not None:
                raise self._settings.fault(
                    f"{operation.about}: cannot use {self.address.target!r}: {self._gone}"
                )
            if self._owner is None:
                self._owner = _Owner(self.address, self._settings)
                self._end = weakref.finalize(self, _stop, self._owner)
            self._owner.inbox.put(operation)
        return await operation.outcome()

    def _forget_end(self) -> None:
        if self._end is not None:
            self._end.detach()
            self._end = None

    # -- forks

    def pause(self) -> _Pause | None:
        """Asks for the connection to be closed, if there is one."""
        with self._lock:
            if self._owner is None:
                return None
            pause = _Pause()
            self._owner.inbox.put(pause)
            return pause

    def start_over(self) -> None:
        """In a forked child: the thread is the parent's."""
        self._lock = threading.Lock()
        if self._owner is not None and self.address.is_in_memory:
            self._gone = "it is in the memory of the process that this one was forked from"
        self._owner = None
        self._forget_end()


def _stop(owner: _Owner) -> None:
    """Ends a thread that nobody can ask any more, or whose process ends."""
    owner.inbox.put(_Stop())
    if threading.current_thread() is not owner.thread:
        owner.thread.join(5.0)


_databases: "weakref.WeakSet[SqliteDatabase]" = weakref.WeakSet()
_pauses: list[_Pause] = []
_one_fork_at_a_time = threading.Lock()


def _before_fork() -> None:
    _one_fork_at_a_time.acquire()
    _pauses.extend(pause for database in list(_databases) if (pause := database.pause()))
    for pause in _pauses:
        pause.has_begun.wait(60.0)


def _after_fork() -> None:
    for pause in _pauses:
        pause.is_over.set()
    _pauses.clear()
    _one_fork_at_a_time.release()


def _in_child() -> None:
    global _one_fork_at_a_time
    _one_fork_at_a_time = threading.Lock()
    _pauses.clear()
    for database in list(_databases):
        database.start_over()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
