"""Statements on a PostgreSQL connection: all or nothing, and in one round trip.

Statements that a pipeline sends before it asks for a sync are one transaction, without `BEGIN` and `COMMIT`.
So a guard's rows cannot be looked at before the rest is sent: the server has to judge. A guard that yields no
row divides by zero, which undoes everything, and is told from other errors by that.
"""

import asyncio
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import count
from typing import LiteralString, TypeAlias

from psycopg import AsyncCursor, AsyncRawCursor, Error, Pipeline
from psycopg.pq import PipelineStatus
from psycopg.rows import tuple_row

from aiograph._sql.exchange import Statement, Undone, exchange
from aiograph._sql.prepared import Connection, give_up
from aiograph._sql.session import SHARE, Change, Guard, Query, Row
from aiograph._sql.sqlstate import DIVISION_BY_ZERO, LOST_PREPARED

__all__ = ["Connection", "Statement", "cut", "is_alive", "new_cursor", "run", "statement_of", "statements_of"]

Cursor: TypeAlias = AsyncRawCursor[Row]


def statements_of(changes: Sequence[Change | Guard]) -> list[Statement]:
    """Changes as PostgreSQL wants them; those without rows are left out."""
    return [statement for change in changes if (statement := _statement(change)).rows]


def statement_of(query: Query) -> Statement:
    """A query as PostgreSQL wants it."""
    return Statement(_translated(query.sql), (query.parameters,))


def _statement(change: Change | Guard) -> Statement:
    if isinstance(change, Guard):
        return Statement(_judged(change.sql), (change.parameters,), change.refusal)
    return Statement(_translated(change.sql), list(change.rows))


@lru_cache(maxsize=512)
def _translated(sql: str) -> bytes:
    numbers = count(1)
    numbered = re.sub(r"\?(\d*)", lambda found: f"${found[1] or next(numbers)}", sql)
    return numbered.replace(SHARE, "FOR SHARE").encode()


@lru_cache(maxsize=64)
def _judged(sql: str) -> bytes:
    return b"WITH held AS (%b) SELECT 1 / count(*) FROM held" % _translated(sql)


async def run(connection: Connection, statements: Sequence[Statement]) -> list[list[Row]]:
    """Carries out statements in one transaction; returns the rows of each.

    Raises:
        Exception: What has undone the transaction: a guard's refusal, or the error of the server or of a
            value that cannot be sent.
    """
    try:
        return await _carry_out(connection, statements)
    except Undone as undone:
        raise verdict_on(connection, undone) from None


def verdict_on(connection: Connection, undone: Undone) -> Exception:
    """What has undone a transaction, as `run` raises it."""
    error = undone.error
    if error.sqlstate == DIVISION_BY_ZERO and undone.statement.refusal is not None:
        return undone.statement.refusal()
    if error.sqlstate in LOST_PREPARED:
        give_up(connection)
    return error


async def _carry_out(connection: Connection, statements: Sequence[Statement]) -> list[list[Row]]:
    if not can_pipeline(connection):
        async with connection.transaction():
            return [await _execute(connection, statement) for statement in statements]
    try:
        async with connection.lock:
            return await exchange(connection, statements)
    except Undone:
        raise
    except BaseException:
        cut_if_stuck(connection)
        raise


def can_pipeline(connection: Connection) -> bool:
    """Whether statements can be one transaction without `BEGIN` and `COMMIT`."""
    return connection.autocommit and Pipeline.is_supported() and not _is_in_pipeline(connection)


def cut_if_stuck(connection: Connection) -> bool:
    """Makes a connection useless if it was left in the middle of an exchange: nobody knows how far it is."""
    is_stuck = _is_in_pipeline(connection)
    if is_stuck:
        cut(connection)
    return is_stuck


def _is_in_pipeline(connection: Connection) -> bool:
    return connection.pgconn.pipeline_status != PipelineStatus.OFF


async def _execute(connection: Connection, statement: Statement) -> list[Row]:
    """Carries out a statement where a pipeline will not do."""
    cursor = new_cursor(connection)
    try:
        if len(statement.rows) > 1:
            await cursor.executemany(statement.sql, statement.rows)
            return []
        await cursor.execute(statement.sql, statement.rows[0], binary=True)
        return await cursor.fetchall() if cursor.description else []
    except Error as error:
        if error.sqlstate is None:
            raise
        raise Undone(statement, error) from None


def new_cursor(connection: Connection) -> Cursor:
    """What executes a `Statement` on a connection."""
    return AsyncRawCursor(connection, row_factory=tuple_row)


def cut(connection: Connection) -> None:
    """Makes a connection useless at once: whoever waits for it sees it closed by the server.

    Cancelling the wait would take as long again, as it asks the server to cancel in turn; closing the file
    while the loop watches it would have the loop watch whatever gets its number next.
    """
    # whichever family it is of: what is shut down is the connection behind the number
    with (
        suppress(OSError, Error),  # it is closed already
        socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as copy,
    ):
        copy.shutdown(socket.SHUT_RDWR)


async def is_alive(connection: Connection, patience: float | None) -> bool:
    """Whether an idle connection can be used.

    Args:
        connection: Nobody else uses it.
        patience: Seconds within which the server has to answer; `None` asks the operating system only.
    """
    try:
        # the server's last words, and then the end
        connection.pgconn.consume_input()
        connection.pgconn.consume_input()
        if patience is not None:
            await _asked(connection, "", patience)
    except Error:
        return False
    return not connection.closed


async def is_direct(connection: Connection, patience: float) -> bool:
    """Whether a new connection leads to the server itself. A pooler names processes of its own.

    Args:
        connection: Nobody else uses it.
        patience: Seconds within which the server has to answer; after that the connection is useless.
    """
    try:
        row = await (await _asked(connection, "SELECT pg_backend_pid()", patience)).fetchone()
    except Error:
        return False  # it is lost already, as will be found out by whoever uses it
    return row is not None and row[0] == connection.info.backend_pid


async def _asked(connection: Connection, question: LiteralString, patience: float) -> AsyncCursor[Row]:
    timer = asyncio.get_running_loop().call_later(patience, cut, connection)
    try:
        return await connection.execute(question, prepare=False)
    finally:
        timer.cancel()
