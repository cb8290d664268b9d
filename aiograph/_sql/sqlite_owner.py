"""The thread that owns a connection to SQLite, and carries out what arrives in its queue.

Changes that queue up together share a transaction, as the commit is what costs; when the group fails, each
is tried alone, so that nobody pays for another's fault.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from itertools import groupby
from operator import attrgetter
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeAlias, TypeVar

from aiograph._sql.migrate import SchemaError
from aiograph._sql.operation import Operation, deliver
from aiograph._sql.session import SHARE, Change, Counters, Guard, Plan, Query, Row, size_of
from aiograph._sql.sqlite_connection import (
    BUSY,
    RUINED,
    Address,
    Settings,
    code_of,
    connect,
    described,
    fetched,
    run_plan,
)

T = TypeVar("T")

_GROUP = 64
"""Operations that share a transaction, at most."""


class Pause:
    """Asks for the connection to be closed until further notice."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.is_over = threading.Event()


class Stop(NamedTuple):
    """Asks for the end of the thread."""

    told: Operation[Any, None] | None = None


Operations: TypeAlias = list[Operation[sqlite3.Connection, Any]]


class Owner:
    """The thread and its connection. Knows nobody who uses it, so that forgetting them can end it."""

    def __init__(self, address: Address, settings: Settings, counters: Counters) -> None:
        self._address = address
        self._settings = settings
        self._counters = counters
        self._connection: sqlite3.Connection | None = None
        self._is_lost = False
        """Whether there was a connection that had to be given up."""
        self.inbox: SimpleQueue[Operation[sqlite3.Connection, Any] | Pause | Stop] = SimpleQueue()
        self.thread = threading.Thread(target=self._run, name="aiograph-sqlite", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while self._serve(self.inbox.get()):
            pass

    def _serve(self, item: Operation[sqlite3.Connection, Any] | Pause | Stop) -> bool:
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
        if isinstance(item, Pause):
            self._sit_out(item)
        elif isinstance(item, Stop):
            self._stop(item)
        return not isinstance(item, Stop)

    def _sit_out(self, pause: Pause) -> None:
        if not self._address.is_in_memory:
            self._close()
        pause.has_begun.set()
        pause.is_over.wait()

    def _stop(self, stop: Stop) -> None:
        self._close()
        if stop.told is not None:
            deliver([stop.told])

    def _carry_out(self, group: Operations, *, writes: bool) -> None:
        if writes:
            for start in range(0, len(group), _GROUP):
                with self._timed():
                    self._write(group[start : start + _GROUP])
                deliver(group[start : start + _GROUP])
        else:
            for operation in group:
                with self._timed():
                    self._read(operation)
                deliver([operation])

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self._counters.seconds += time.monotonic() - started

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
        self._counters.transactions += 1
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
        operation.result = operation.work(self._open())
        self._counters.transactions += 1

    # -- the connection

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self._address, self._settings)
            self._counters.reconnects += self._is_lost
            self._is_lost = False
        return self._connection

    def _patiently(self, step: Callable[[], object], is_wanted: Callable[[], bool] = lambda: True) -> None:
        """Takes a step; tries again for a while if somebody else holds the lock."""
        deadline = time.monotonic() + self._settings.patience
        while True:
            try:
                step()
                return
            except sqlite3.OperationalError as error:
                if code_of(error) not in BUSY or time.monotonic() >= deadline or not is_wanted():
                    raise
            self._counters.retries += 1
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
        if code_of(error) in RUINED and not self._address.is_in_memory:
            self._is_lost |= self._connection is not None
            self._close()
        what = "write to" if operation.writes else "read from"
        fault = self._settings.fault(
            f"{operation.about}: cannot {what} {self._address.target!r}: {described(error)}"
        )
        fault.__cause__ = error
        return fault


def fetch_rows(query: Query, counters: Counters, connection: sqlite3.Connection) -> list[Row]:
    """The rows of one statement."""
    rows = fetched(connection, query)
    counters.statements += 1
    counters.rows_read += len(rows)
    return rows


def follow_plan(plan: Callable[[], Plan[T]], counters: Counters, connection: sqlite3.Connection) -> T:
    """What a plan amounts to; its queries see the database as it is at one moment."""
    connection.execute("BEGIN")
    try:
        return run_plan(connection, plan(), lambda _, query: fetch_rows(query, counters, connection))
    finally:
        with suppress(sqlite3.Error):  # where SQLite has ended the transaction itself
            connection.execute("ROLLBACK")


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
