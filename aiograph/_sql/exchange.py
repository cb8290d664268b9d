"""One exchange with a PostgreSQL server: statements up to a sync, and what is answered to them.

This uses libpq's functions, as psycopg offers them, and not psycopg's cursors: to go through these would be
most of what a small transaction costs the client. Values are converted by psycopg all the same.
"""

from collections.abc import Callable, Iterator, Sequence
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


class Message(NamedTuple):
    """Something that is sent, and answered by one result."""

    statement: Statement
    kind: Kind
    name: bytes | None
    """Of the prepared statement that it is about."""
    values: Sequence[Any]
    formats: Sequence[Format] | None
    prepares: bool = False
    """Whether it has the server prepare the statement, which sends no values."""

    def send(self, pgconn: PGconn) -> None:
        """Puts it into what is sent next."""
        if self.prepares:
            pgconn.send_prepare(self.kind.name, *self.kind)
        elif self.name is not None:
            pgconn.send_query_prepared(self.name, self.values, self.formats, Format.BINARY)
        else:
            pgconn.send_query_params(self.kind.sql, self.values, self.kind.types, self.formats, Format.BINARY)


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
    talk = Talk(connection)
    messages, pgconn = talk.messages(statements), connection.pgconn
    pgconn.enter_pipeline_mode()
    put(pgconn, messages)
    results = await connection.wait(answered(pgconn))
    pgconn.exit_pipeline_mode()
    return talk.answers(statements, messages, results)


class Talk:
    """Makes messages of statements, and rows of what a connection answers.

    How values of a type are converted is found out once.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._prepared = prepared_on(connection)
        self._transformer: Transformer = new_transformer.from_context(connection)

    def messages(self, statements: Sequence[Statement]) -> list[Message]:
        """What to send. All values are converted by then."""
        messages: list[Message] = []
        new: set[Kind] = set()
        for statement in statements:
            for row in statement.rows:
                message = self._message(statement, row)
                messages += (message,) if message.name is not None else self._unprepared(message, new)
        return messages

    def _unprepared(self, message: Message, new: set[Kind]) -> Iterator[Message]:
        """The message, after one that prepares its statement if that is due; those are added to `new`."""
        kind, threshold = message.kind, self._connection.prepare_threshold
        if kind not in new and threshold is not None and self._prepared.is_due(kind, threshold):
            new.add(kind)
            yield message._replace(prepares=True)
        yield message._replace(name=kind.name) if kind in new else message

    def _message(self, statement: Statement, row: Sequence[Any]) -> Message:
        transformer = self._transformer
        values = transformer.dump_sequence(row, [PyFormat.AUTO] * len(row))
        kind = Kind(statement.sql, transformer.types or ())
        return Message(statement, kind, self._prepared.names.get(kind), values, transformer.formats)

    def answers(
        self, statements: Sequence[Statement], messages: Sequence[Message], results: Sequence[PGresult]
    ) -> list[list[Row]]:
        """By statement, its rows.

        Raises:
            Undone: The server has undone the transaction.
        """
        self._look_through(messages, results)
        answers = (result for message, result in zip(messages, results, strict=True) if not message.prepares)
        return [[row for _ in each.rows for row in self._rows(each, next(answers))] for each in statements]

    def _look_through(self, messages: Sequence[Message], results: Sequence[PGresult]) -> None:
        """Notes what is prepared now, and raises what has undone the rest."""
        for message, result in zip(messages, results, strict=True):
            if result.status not in _DONE:
                error = error_from_result(result, self._connection.info.encoding)
                raise Undone(message.statement, error)
            if message.prepares:
                self._prepared.note(message.kind)

    def _rows(self, statement: Statement, result: PGresult) -> Sequence[Row]:
        if statement.refusal is not None or not result.ntuples:
            return ()
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, tuple)


def put(pgconn: PGconn, messages: Sequence[Message]) -> None:
    """Puts one exchange into what is sent next, behind what is under way in the pipeline."""
    for message in messages:
        message.send(pgconn)
    pgconn.pipeline_sync()


def answered(pgconn: PGconn) -> PQGen[list[PGresult]]:
    """Sends all there is to be sent, and takes in the answers of one exchange; says what it waits for."""
    results = []
    while (result := (yield from _next_result(pgconn))).status != ExecStatus.PIPELINE_SYNC:
        results.append(result)
    return results


def _next_result(pgconn: PGconn) -> PQGen[PGresult]:
    for _ in range(2):  # between the answers to two messages there is nothing, once
        # what cannot be sent yet may wait for this side to read
        while (is_unsent := pgconn.flush()) or pgconn.is_busy():
            if (yield Wait.RW if is_unsent else Wait.R) & Ready.R:
                pgconn.consume_input()
        result = pgconn.get_result()
        if result is not None:
            return result
    raise OperationalError("the connection was closed in the middle of an answer")
