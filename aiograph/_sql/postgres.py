"""A PostgreSQL database, as a `Session`: asked from any loop and any thread, at home on one loop.

Home is the loop that runs when it is first used, else the bridge's. Whoever asks from elsewhere hops there,
once. A forked child leaves the parent's connections alone and opens its own.
"""

import asyncio
import os
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from aiograph._cancel import Begun
from aiograph._sql.dispatch import Dispatcher, Limits
from aiograph._sql.migrate import POSTGRES, Component, is_current, migrate
from aiograph._sql.pipeline import Connection, Statement, new_cursor, statement_of, statements_of
from aiograph._sql.queues import Request
from aiograph._sql.session import Change, Counters, Guard, Query, Row, followed
from aiograph._sql.supply import ConnectionSupply, PoolOptions, PoolSupply, Supply, name_of
from aiograph.bridge import at_home, bridge_loop
from aiograph.errors import CheckpointStorageError

Source: TypeAlias = str | AsyncConnectionPool[Any] | AsyncConnection[Any]
"""An address (a connection string or URL), or what a caller has opened and will close."""

_MIGRATION_LOCK = 0x61696F6772617068  # "aiograph"
"""Whoever migrates holds this advisory lock until the transaction ends."""


class Settings(NamedTuple):
    """How a database is used."""

    component: Component
    """Whose tables it holds."""
    pool: PoolOptions = PoolOptions()
    """The connections; of no account if the caller brings a pool or a connection."""
    patience: float = 30.0
    """Seconds for which a request is tried again when connections break."""
    silence: float = 5.0
    """Seconds without an answer after which the server is asked, elsewhere, whether it still works on it.

    If it does not, the connection is given up and the request tried on another. If it waits for a lock, that
    may take until `patience` is over. Else a statement may take as long as it likes.
    """
    fault: Callable[[str], Exception] = CheckpointStorageError
    """Makes the error that callers see."""


class PostgresDatabase:
    """A PostgreSQL database, as a `Session`. Connects when it is first used.

    Raises:
        TypeError: The source is none; the message says what to pass.
        psycopg.ProgrammingError: The address cannot be read.
    """

    def __init__(self, source: Source, settings: Settings) -> None:
        self.name = _name(source)
        """Where it is, without a password."""
        self.counters = Counters()
        self._source = source
        self._settings = settings
        self._lock = threading.Lock()
        self._home: asyncio.AbstractEventLoop | None = None
        self._dispatcher: Dispatcher | None = None
        self._gone: str | None = None
        """Why it can no longer be used."""
        self._inherited: list[object] = []
        """In a forked child: what belongs to the parent, which nobody must close."""
        _databases.add(self)

    @property
    def home(self) -> asyncio.AbstractEventLoop | None:
        """The loop that the connections are tied to; `None` as long as there are none."""
        return self._home

    async def fetch(self, query: Query, about: object) -> list[Row]:
        """See `Session`."""
        self._settle()
        return await at_home(
            self, partial(self._ask, about, [statement_of(query)], writes=False), verb="fetch"
        )

    async def write(
        self, changes: Sequence[Change | Guard], about: object, order: tuple[str, ...] = ()
    ) -> None:
        """See `Session`."""
        statements = statements_of(changes)
        if not statements:
            return
        request = self._begin(about, statements, order)
        if request is None:
            work = partial(self._ask, about, statements, writes=True, order=order)
            await at_home(self, work, verb="write")
        else:
            await request.outcome()

    def begin_write(
        self,
        changes: Sequence[Change | Guard],
        about: object,
        order: tuple[str, ...] = (),
        after: Begun | None = None,
    ) -> Request | None:
        """See `Session`."""
        first = after if isinstance(after, Request) else None
        return self._begin(about, statements_of(changes), order, first)

    async def migrate(self, about: object = "setup") -> None:
        """Brings the component's tables up to date; does nothing if they are.

        Safe to call from several processes at once, also behind a transaction pooler.
        """
        self._settle()
        await at_home(self, partial(self._ask, about, (), writes=True, errand=self._migrate), verb="migrate")

    async def aclose(self) -> None:
        """See `Session`. Closing again does nothing; what a caller has brought stays open."""
        with self._lock:
            self._gone = self._gone or "it was closed"
            home, dispatcher = self._home, self._dispatcher
            self._dispatcher = None
        if dispatcher is not None and home is not None and not home.is_closed():
            await at_home(self, dispatcher.aclose, verb="aclose")

    # -- at home

    def _settle(self) -> None:
        """Makes a loop the home, unless one is already."""
        if self._home is not None:
            return
        with self._lock:
            if self._home is None:
                self._home = _fit_loop()

    def _begin(
        self,
        about: object,
        statements: Sequence[Statement],
        order: tuple[str, ...],
        after: Request | None = None,
    ) -> Request | None:
        """Begins a write, if this loop is home."""
        self._settle()
        if self._home is not asyncio.get_running_loop() or self._gone is not None:
            return None
        request = Request(about, statements, writes=True, order=order, after=after)
        self._open(about).submit(request)
        return request

    async def _ask(self, about: object, statements: Sequence[Statement], **options: Any) -> list[Row]:
        request = Request(about, statements, **options)
        self._open(about).submit(request)
        return await request.outcome()

    def _open(self, about: object) -> Dispatcher:
        dispatcher = self._dispatcher
        if dispatcher is not None:
            return dispatcher
        with self._lock:
            if self._gone is not None:
                raise self._settings.fault(f"{about}: cannot use {self.name}: {self._gone}")
            if self._dispatcher is None:
                limits = Limits(self._settings.patience, self._settings.silence, self._settings.fault)
                self._dispatcher = Dispatcher(self._supply(), limits, self.counters)
            return self._dispatcher

    def _supply(self) -> Supply:
        source = self._source
        if isinstance(source, str):
            return PoolSupply.owned(source, self._settings.pool, self.counters)
        if isinstance(source, AsyncConnection):
            return ConnectionSupply(source, self.name)
        return PoolSupply(source, self.name, self.counters, is_owned=False)

    async def _migrate(self, connection: Connection) -> None:
        component, fetch = self._settings.component, partial(_fetched, connection)
        async with connection.transaction():
            if await followed(is_current(component, POSTGRES), fetch):
                return
        async with connection.transaction():
            milliseconds = int(self._settings.patience * 1000)
            await connection.execute(f"SET LOCAL lock_timeout = {milliseconds}".encode())
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
            await followed(migrate(component, POSTGRES), fetch)

    # -- forks

    def start_over(self) -> None:
        """In a forked child: loop and connections are the parent's."""
        self._lock = threading.Lock()
        self._inherited += [self._home, self._dispatcher]
        self._home = self._dispatcher = None
        if not isinstance(self._source, str):
            self._gone = "its connections belong to the process that this one was forked from"


async def _fetched(connection: Connection, query: Query) -> list[Row]:
    """The rows of a query, if it has any."""
    statement = statement_of(query)
    cursor = await new_cursor(connection).execute(statement.sql, statement.rows[0] or None)
    return await cursor.fetchall() if cursor.description else []


def _fit_loop() -> asyncio.AbstractEventLoop:
    """The running loop, unless psycopg cannot use it: then the bridge's."""
    running = asyncio.get_running_loop()
    if sys.platform == "win32" and isinstance(running, asyncio.ProactorEventLoop):
        return bridge_loop()
    return running


def _name(source: Source) -> str:
    """What messages call a database.

    Raises:
        TypeError: It is no source.
        psycopg.ProgrammingError: It is an address that cannot be read.
    """
    if isinstance(source, AsyncConnection):
        return "the connection's database" if source.closed else name_of(source.info.dsn)
    if isinstance(source, AsyncConnectionPool):
        return name_of(source.conninfo) if isinstance(source.conninfo, str) else "the pool's database"
    if isinstance(source, str):
        return name_of(source)
    raise TypeError(
        f"{type(source).__name__}: pass a connection string, or an AsyncConnection or AsyncConnectionPool "
        "of psycopg's; these serve synchronous callers as well"
    )


_databases: "weakref.WeakSet[PostgresDatabase]" = weakref.WeakSet()


def _in_child() -> None:
    for database in list(_databases):
        database.start_over()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
