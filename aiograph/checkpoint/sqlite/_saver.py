"""The one implementation behind `SqliteSaver` and `AsyncSqliteSaver`."""

import os
from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager
from functools import partial
from typing import ClassVar, Self

from aiograph._sql.session import Query
from aiograph._sql.sqlite import Settings, SqliteDatabase, Synchronous
from aiograph.checkpoint._relational._cache import CACHED_BYTES
from aiograph.checkpoint._relational._dialect import SQLITE, Dialect
from aiograph.checkpoint._relational._ids import text_of
from aiograph.checkpoint._relational._reading import Brought, Wants, is_there
from aiograph.checkpoint._relational._saver import SqlSaver
from aiograph.checkpoint._relational._walking import with_cells
from aiograph.checkpoint.serde._filter import Filter
from aiograph.checkpoint.serde._metadata import load_metadata
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.checkpoint.sqlite._schema import COMPONENT


class SqliteSaverBase(SqlSaver):
    """Keeps checkpoints in a SQLite file.

    Works from any thread and any event loop. Several processes may use one file: a lock that another one
    holds is waited for. A forked child opens the file anew.

    Args:
        path: A path, a `file:` URI, or `":memory:"`. Opened, and created if need be, when first used.
        serde: How values become bytes.
        synchronous: With `"normal"` what is stored survives the death of the process; with `"full"` also a
            power cut, and each superstep waits for the disk.
        cached_bytes: How much of what was read and written is kept in memory as well, so that it need not be
            read again; 0 for nothing. What others write is seen all the same.
    """

    dialect: ClassVar[Dialect] = SQLITE

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        serde: SerializerProtocol | None = None,
        synchronous: Synchronous = "normal",
        cached_bytes: int = CACHED_BYTES,
    ) -> None:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(
                f"{type(self).__name__} opens its own connection: pass the path of the file, "
                f"not a {type(path).__name__}"
            )
        settings = Settings(
            component=COMPONENT,
            functions=[("aiograph_matches", 3, matches_json), ("aiograph_id", 1, text_of)],
            synchronous=synchronous,
        )
        self._database = SqliteDatabase(path, settings)
        super().__init__(self._database, serde=serde, cached_bytes=cached_bytes)

    @classmethod
    @asynccontextmanager
    async def _opened(
        cls,
        conn_string: str,
        *,
        serde: SerializerProtocol | None,
        synchronous: Synchronous,
        cached_bytes: int,
    ) -> AsyncIterator[Self]:
        opened = cls(conn_string, serde=serde, synchronous=synchronous, cached_bytes=cached_bytes)
        async with opened as saver:
            await saver.asetup()
            yield saver

    async def asetup(self) -> None:
        """Opens the file and creates or updates its tables. The first use does so too.

        Raises:
            CheckpointStorageError: The file cannot be opened, is no SQLite database, holds tables that
                aiograph did not create, or was written by a newer release.
        """
        await self._session.fetch(is_there(), "setting up")

    async def _arows(self, ask: Callable[[Wants], Query], about: str, known: Set[bytes]) -> Brought:
        query = ask(Wants(cells=False, lineage=self._binds))
        return await self._database.follow(partial(with_cells, self.dialect, query, known), about)


def matches_json(metadata: str, created_at: int, filter: str) -> bool:
    """The SQL function `aiograph_matches`. Metadata that cannot be read matches, so that it is reported."""
    try:
        have = load_metadata(metadata)
    except ValueError:
        return True
    return Filter.load(filter).matches(have, created_at)
