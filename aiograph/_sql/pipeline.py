"""Statements on a PostgreSQL connection: all or nothing, and in one round trip.

Statements that a pipeline sends before it asks for a sync are one transaction, without `BEGIN` and `COMMIT`.
So a guard's rows cannot be looked at before the rest is sent: the server has to judge. A guard that yields no
row divides by zero, which undoes everything, and is told from other errors by that.
"""

import asyncio
import re
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple, TypeAlias

from psycopg import AsyncConnection, AsyncPipeline, AsyncRawCursor, Error
from psycopg.rows import tuple_row

from aiograph._sql.session import SHARE, Change, Guard, Query, Row
from aiograph._sql.sqlstate import DIVISION_BY_ZERO

Connection: TypeAlias = AsyncConnection[Any]
Cursor: TypeAlias = AsyncRawCursor[Row]


class Statement(NamedTuple):
    """A statement as PostgreSQL wants it."""

    sql: bytes
    """Parameters are numbered: `$1`."""
    rows: Sequence[Sequence[Any]]
    """At least one."""
    refusal: Callable[[], Exception] | None = None
    """What to raise if the server divides by zero here."""


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


async def run(connection: Connection, statements: Sequence[Statement]) -> list[Cursor]:
    """Carries out statements in one transaction; the cursors hold their rows.

    Raises:
        Exception: What has undone the transaction: a guard's refusal, or the error of the server or of a
            value that cannot be sent.
    """
    cursors: list[Cursor] = []
    try:
        if not connection.autocommit:
            async with connection.transaction():
                await _send(connection, statements, cursors)
        elif len(statements) == 1:
            await _send(connection, statements, cursors)
        elif AsyncPipeline.is_supported():
            await _send_together(connection, statements, cursors)
        else:
            async with connection.transaction():
                await _send(connection, statements, cursors)
    except Error as error:
        if error.sqlstate == DIVISION_BY_ZERO and (refusal := _refusal(statements, cursors)):
            raise refusal from None
        raise
    return cursors


def new_cursor(connection: Connection) -> Cursor:
    """What executes a `Statement` on a connection."""
    return AsyncRawCursor(connection, row_factory=tuple_row)


async def _send(connection: Connection, statements: Sequence[Statement], cursors: list[Cursor]) -> None:
    for statement in statements:
        cursor = new_cursor(connection)
        cursors.append(cursor)
        if len(statement.rows) == 1:
            await cursor.execute(statement.sql, statement.rows[0], binary=True)
        else:
            await cursor.executemany(statement.sql, statement.rows)


async def _send_together(
    connection: Connection, statements: Sequence[Statement], cursors: list[Cursor]
) -> None:
    failure: Exception | None = None
    try:
        async with connection.pipeline():
            try:
                await _send(connection, statements, cursors)
            except Exception as error:
                failure = error
                # Leaving the pipeline asks for the sync, which would commit what was sent before a value
                # that could not be sent; after an error of its own the server commits nothing anyway.
                with suppress(Error):
                    await connection.execute("SELECT 1 / 0")
            except BaseException:
                cut(connection)
                raise
    except Error as error:
        raise failure or error from None
    if failure is not None:
        raise failure


def _refusal(statements: Sequence[Statement], cursors: Sequence[Cursor]) -> Exception | None:
    """The refusal of the first guard that has not held."""
    for statement, cursor in zip(statements, cursors, strict=False):
        if statement.refusal is not None and cursor.pgresult is None:
            return statement.refusal()
    return None


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
            timer = asyncio.get_running_loop().call_later(patience, cut, connection)
            try:
                await connection.execute("")
            finally:
                timer.cancel()
    except Error:
        return False
    return not connection.closed
