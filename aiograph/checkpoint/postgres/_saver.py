"""The one implementation behind `PostgresSaver` and `AsyncPostgresSaver`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Self, TypeAlias

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from aiograph._sql.postgres import PostgresDatabase, Settings
from aiograph._sql.supply import PoolOptions
from aiograph.checkpoint._relational._cache import CACHED_BYTES
from aiograph.checkpoint._relational._dialect import POSTGRES, Dialect
from aiograph.checkpoint._relational._saver import SqlSaver
from aiograph.checkpoint.postgres._schema import COMPONENT
from aiograph.checkpoint.serde.base import SerializerProtocol

Source: TypeAlias = str | AsyncConnectionPool[Any] | AsyncConnection[Any]


class PostgresSaverBase(SqlSaver):
    """Keeps checkpoints in a PostgreSQL database, version 14 or newer.

    A superstep is one transaction and one round trip. Works from any thread and any event loop: connections
    belong to the loop that runs when they are first needed, or else to the bridge's, and others hop there.
    Broken connections are replaced, and what was under way is tried again.

    Before the first use, create the tables with `asetup` or `setup`.

    Args:
        conn: An address, as a URL or in libpq's format; or an `AsyncConnectionPool` or `AsyncConnection` of
            psycopg's, in autocommit mode, which stays the caller's to close. With an address the saver
            opens a pool of its own.
        serde: How values become bytes.
        pool: How many connections the saver's own pool has, and for how long.
        patience: Seconds for which something is tried again when connections break.
        cached_bytes: How much of what was read and written is kept in memory as well, so that it need not be
            fetched again; 0 for nothing. What others write is seen all the same.
    """

    dialect: ClassVar[Dialect] = POSTGRES

    def __init__(
        self,
        conn: Source,
        *,
        serde: SerializerProtocol | None = None,
        pool: PoolOptions | None = None,
        patience: float = 30.0,
        cached_bytes: int = CACHED_BYTES,
    ) -> None:
        settings = Settings(component=COMPONENT, pool=pool or PoolOptions(), patience=patience)
        self._database = PostgresDatabase(conn, settings)
        super().__init__(self._database, serde=serde, cached_bytes=cached_bytes)

    @classmethod
    @asynccontextmanager
    async def _opened(cls, conn_string: str, options: dict[str, Any]) -> AsyncIterator[Self]:
        async with cls(conn_string, **options) as saver:
            yield saver

    async def asetup(self) -> None:
        """Creates the tables, or brings them up to date.

        Safe to call again, and from several processes at once.

        Raises:
            CheckpointStorageError: The database cannot be reached or may not be changed, holds tables that
                aiograph did not create, or was set up by a newer release.
        """
        await self._database.migrate("setting up the tables")
