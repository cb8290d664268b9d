"""What a database can be asked for, whichever database it is.

Reading may take several queries that depend on each other. So a read is a generator that yields queries
and is sent their rows: it says what it needs, and the session does the waiting.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

T = TypeVar("T")

Row: TypeAlias = tuple[Any, ...]


class Query(NamedTuple):
    """A statement that is executed once, for its rows. Values are always parameters."""

    sql: str
    parameters: Sequence[Any] = ()


class Change(NamedTuple):
    """A statement that is executed once for each row of parameters."""

    sql: str
    rows: Iterable[Sequence[Any]] = ((),)


Plan: TypeAlias = Generator[Query, list[Row], T]
"""Yields queries, is sent their rows, returns what they amount to."""


class Session(Protocol):
    """Access to one database, from any thread and any event loop.

    When a verb is cancelled, what it was about is done as a whole or not at all, and nothing of it runs
    after the cancellation has arrived.
    """

    async def read(self, plan: Callable[[], Plan[T]], about: object) -> T:
        """Carries out a plan in one round trip, on one consistent state of the database.

        Args:
            plan: Makes the plan; called again if the database has to be asked again.
            about: Its text tells, in messages, what is being read.
        """
        ...

    async def write(self, changes: Sequence[Change], about: object) -> None:
        """Makes all changes, or none, in one round trip."""
        ...

    async def aclose(self) -> None:
        """Gives up the database, once what was asked before is done."""
        ...
