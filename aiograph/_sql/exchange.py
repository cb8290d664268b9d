"""One exchange with a PostgreSQL server: statements up to a sync, and what is answered to them.

This uses libpq's functions, as psycopg offers them, and not psycopg's cursors: to go through these would be
most of what a small transaction costs the client. Values are converted by psycopg all the same.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from psycopg import Error, OperationalError
from psycopg.abc import PQGen, Transformer
from psycopg.adapt import PyFormat
from psycopg.adapt import Transformer as new_transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait

from aiograph._sql.prepared import Connection, Kind, prepared_on
from aiograph._sql.session import Row

_DONE = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})


class Statement(NamedTuple):
    """A statement as PostgreSQL wants it."""

    sql: bytes
    """Parameters are numbered: `$1`."""
    rows: Sequence[Sequence[Any]]
    """At least one."""
    refusal: Callable[[], Exception] | None = None
    """What to raise if the server divides by zero here."""


class Undone(Exception):
    """Carries what the server has against a statement; the transaction is undone."""

    def __init__(self, statement: Statement, error: Error) -> None:
        self.statement = statement
        self.error = error
        super().__init__(statement, error)


class _Message(NamedTuple):
    """Something that is sent, and answered by one result."""

    send: Callable[[], None]
    statement: Statement
    prepares: Kind | None = None


async def exchange(connection: Connection, statements: Sequence[Statement]) -> list[list[Row]]:
    """Carries out statements in one transaction and one round trip.

    Args:
        connection: One that commits by itself; it is in no pipeline.
        statements: Carried out in order.

    Returns:
        By statement, its rows; those of guards are not looked at.

    Raises:
        Undone: The server has undone the transaction.
        Exception: A value cannot be sent, and nothing was; or the connection is gone.
    """
    messages = _Composer(connection).messages(statements)
    results = await connection.wait(_carried_out(connection.pgconn, messages))
    _look_through(connection, messages, results)
    answers = (result for message, result in zip(messages, results, strict=True) if not message.prepares)
    loader = new_transformer.from_context(connection)
    return [[row for _ in each.rows for row in _rows(loader, each, next(answers))] for each in statements]


def _rows(loader: Transformer, statement: Statement, result: PGresult) -> Sequence[Row]:
    if statement.refusal is not None or not result.ntuples:
        return ()
    loader.set_pgresult(result)
    return loader.load_rows(0, result.ntuples, tuple)


class _Composer:
    """Makes messages of statements. All values are converted before anything is sent."""

    def __init__(self, connection: Connection) -> None:
        self._pgconn = connection.pgconn
        self._threshold = connection.prepare_threshold
        self._prepared = prepared_on(connection)
        self._names = self._prepared.names.copy()
        self._dumper = new_transformer.from_context(connection)

    def messages(self, statements: Sequence[Statement]) -> list[_Message]:
        return [message for each in statements for row in each.rows for message in self._of(each, row)]

    def _of(self, statement: Statement, row: Sequence[Any]) -> Iterator[_Message]:
        values = self._dumper.dump_sequence(row, [PyFormat.AUTO] * len(row))
        kind, formats = Kind(statement.sql, self._dumper.types or ()), self._dumper.formats
        name = self._names.get(kind)
        if name is None and self._threshold is not None and self._prepared.is_due(kind, self._threshold):
            name = self._names[kind] = kind.name
            yield _Message(partial(self._pgconn.send_prepare, name, *kind), statement, kind)
        if name is None:
            send = partial(self._pgconn.send_query_params, statement.sql, values, kind.types)
        else:
            send = partial(self._pgconn.send_query_prepared, name, values)
        yield _Message(partial(send, param_formats=formats, result_format=Format.BINARY), statement)


def _carried_out(pgconn: PGconn, messages: Sequence[_Message]) -> PQGen[list[PGresult]]:
    """Sends everything and takes in everything; says what it waits for."""
    pgconn.enter_pipeline_mode()
    for message in messages:
        message.send()
    pgconn.pipeline_sync()
    while pgconn.flush():
        if (yield Wait.RW) & Ready.R:
            pgconn.consume_input()  # else both sides might wait for the other one to read
    results = []
    while (result := (yield from _next_result(pgconn))).status != ExecStatus.PIPELINE_SYNC:
        results.append(result)
    pgconn.exit_pipeline_mode()
    return results


def _next_result(pgconn: PGconn) -> PQGen[PGresult]:
    for _ in range(2):  # between the answers to two messages there is nothing, once
        while pgconn.is_busy():
            yield Wait.R
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is not None:
            return result
    raise OperationalError("the connection was closed in the middle of an answer")


def _look_through(connection: Connection, messages: Sequence[_Message], results: Sequence[PGresult]) -> None:
    """Notes what is prepared now, and raises what has undone the rest."""
    prepared = prepared_on(connection)
    for message, result in zip(messages, results, strict=True):
        if result.status not in _DONE:
            raise Undone(message.statement, error_from_result(result, connection.info.encoding))
        if message.prepares is not None:
            prepared.note(message.prepares)
