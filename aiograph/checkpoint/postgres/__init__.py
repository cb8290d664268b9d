"""Checkpoints in a PostgreSQL database.

`PostgresSaver` and `AsyncPostgresSaver` are one saver with all verbs in both colours; they differ in how
`from_conn_string` is entered.
"""

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Self

from aiograph._sql.supply import PoolOptions
from aiograph.bridge import blocking, blocking_cm
from aiograph.checkpoint._relational._cache import CACHED_BYTES
from aiograph.checkpoint.postgres._saver import PostgresSaverBase
from aiograph.checkpoint.postgres.aio import AsyncPostgresSaver
from aiograph.checkpoint.serde.base import SerializerProtocol

__all__ = ["AsyncPostgresSaver", "PoolOptions", "PostgresSaver"]


class PostgresSaver(PostgresSaverBase):
    __doc__ = PostgresSaverBase.__doc__

    @classmethod
    def afrom_conn_string(
        cls,
        conn_string: str,
        *,
        pipeline: bool = False,
        serde: SerializerProtocol | None = None,
        pool: PoolOptions | None = None,
        patience: float = 30.0,
        cached_bytes: int = CACHED_BYTES,
    ) -> AbstractAsyncContextManager[Self]:
        """Opens a saver for the length of an `async with` block."""
        options = {"serde": serde, "pool": pool, "patience": patience, "cached_bytes": cached_bytes}
        return cls._opened(conn_string, options)

    @classmethod
    def from_conn_string(
        cls,
        conn_string: str,
        *,
        pipeline: bool = False,
        serde: SerializerProtocol | None = None,
        pool: PoolOptions | None = None,
        patience: float = 30.0,
        cached_bytes: int = CACHED_BYTES,
    ) -> AbstractContextManager[Self]:
        """Opens a saver for the length of a `with` block.

        Args:
            conn_string: The address, as a URL or in libpq's format.
            pipeline: Has no effect, as everything is sent in pipelines; accepted so that code written for
                other savers runs.
            serde: How values become bytes.
            pool: How many connections there are, and for how long.
            patience: Seconds for which something is tried again when connections break.
            cached_bytes: How much of what was read and written is kept in memory as well.

        Example:
            ```python
            with PostgresSaver.from_conn_string("postgresql://localhost/app") as saver:
                saver.setup()
                graph = builder.compile(checkpointer=saver)
            ```
        """
        options = {"serde": serde, "pool": pool, "patience": patience, "cached_bytes": cached_bytes}
        return blocking_cm(cls._opened)(conn_string, options)

    setup = blocking(PostgresSaverBase.asetup)
