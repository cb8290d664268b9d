"""What a database can be asked for, whichever database it is.

Statements are values, and their text is the same for every database: `?` stands for the next parameter, or
`?1` for the first one, `?2` for the second and so on, as often as a statement needs them. A statement does
either, and `?` may not occur otherwise. A session carries them out, from any thread and any event loop.
"""

from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar
from uuid import UUID

from aiograph._cancel import Begun

T = TypeVar("T")

Row: TypeAlias = tuple[Any, ...]

SHARE = "{share}"
"""In a guard's text: locks the rows that are selected against changes, where a database has such a lock."""


class Query(NamedTuple):
    """A statement that is executed once, for its rows. Values are always parameters."""

    sql: str
    parameters: Sequence[Any] = ()


class Change(NamedTuple):
    """A statement that is executed once for each row of parameters."""

    sql: str
    rows: Iterable[Sequence[Any]] = ((),)
    """Gone through again if the change has to be made again, so a list rather than an iterator."""


class Guard(NamedTuple):
    """A statement that has to yield a row; if it yields none, everything is undone and the refusal raised.

    Either selects, or changes and ends in `RETURNING`.
    """

    sql: str
    parameters: Sequence[Any]
    refusal: Callable[[], Exception]


Plan: TypeAlias = Generator[Query, list[Row], T]
"""Yields queries, is sent their rows, returns what they amount to."""


async def followed(plan: Plan[T], fetch: Callable[[Query], Awaitable[list[Row]]]) -> T:
    """What a plan amounts to, whose queries are sent one by one."""
    rows = None
    while True:
        try:
            query = plan.send(rows)  # type: ignore[arg-type]  # the first one sent has to be None
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        rows = await fetch(query)


@dataclass(slots=True)
class Counters:
    """What a session has done so far. Attempts that had to be repeated count each time."""

    statements: int = 0
    """Statements sent; one with many rows of parameters is one."""
    transactions: int = 0
    """Groups of operations that shared a commit, and so a round trip."""
    rows_read: int = 0
    rows_written: int = 0
    """Rows of parameters bound to changes and guards."""
    bytes_written: int = 0
    """Their size: the length of text and bytes, 16 for a UUID, 8 for a number."""
    seconds: float = 0.0
    """Spent by the database and on the way there, added up over connections."""
    retries: int = 0
    """Attempts that were repeated, as a lock was held or a connection lost."""
    reconnects: int = 0
    """Connections that replaced a lost one."""


def size_of(rows: Iterable[Sequence[Any]]) -> int:
    """Bytes in rows of parameters, about."""
    size = 0
    for row in rows:
        for value in row:
            if isinstance(value, _SIZED):
                size += len(value)
            elif value is not None:
                size += 16 if type(value) is UUID else 8
    return size


_SIZED = (bytes, str)


class Session(Protocol):
    """Access to one database, from any thread and any event loop.

    When a verb is cancelled, what it was about is done as a whole or not at all, and nothing of it runs
    after the cancellation has arrived.

    After a connection is lost nobody knows whether the last commit came to pass, so an operation may be
    carried out a second time. Every operation handed to a session has to bear that.
    """

    @property
    def counters(self) -> Counters:
        """Read them at any time; they are not reset."""
        ...

    async def fetch(self, query: Query, about: object) -> list[Row]:
        """The rows of one statement, in one round trip.

        Args:
            query: Reads, and changes nothing.
            about: Its text tells, in messages, what is being read.
        """
        ...

    async def write(
        self, changes: Sequence[Change | Guard], about: object, order: tuple[str, ...] = ()
    ) -> None:
        """Makes all changes, in order, or none; in one round trip.

        Args:
            changes: What to change, and what has to hold for it.
            about: Its text tells, in messages, what is being written.
            order: Operations that share a transaction are sorted by it, so that all lock rows in the same
                order.
        """
        ...

    def begin_write(
        self,
        changes: Sequence[Change | Guard],
        about: object,
        order: tuple[str, ...] = (),
        after: Begun | None = None,
    ) -> Begun | None:
        """Begins `write` without a wait; `None` if that cannot be done from here.

        Args:
            changes: See `write`.
            about: See `write`.
            order: See `write`.
            after: Something that was begun, and must not be done later. If it fails, this may be done all the
                same.
        """
        ...

    async def aclose(self) -> None:
        """Gives up the database, once what was asked before is done."""
        ...
