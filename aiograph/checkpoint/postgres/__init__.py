"""Checkpoints in a PostgreSQL database.

`PostgresSaver` and `AsyncPostgresSaver` are one saver with all verbs in both colours; they differ in how
`from_conn_string` is entered.
"""

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Self

from aiograph._sql.supply import PoolOptions
from aiograph.bridge import blocking, blocking_cm
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
    ) -> AbstractAsyncContextManager[Self]:
        """Opens a saver for the length of an `async with` block."""
        return cls._opened(conn_string, {"serde": serde, "pool": pool})

    @classmethod
    def from_conn_string(
        cls,
        conn_string: str,
        *,
        pipeline: bool = False,
        serde: SerializerProtocol | None = None,
        pool: PoolOptions | None = None,
    ) -> AbstractContextManager[Self]:
        """Opens a saver for the length of a `with` block.

        Args:
            conn_string: The address, as a URL or in libpq's format.
            pipeline: Has no effect, as everything is sent in pipelines; accepted so that code written for
                other savers runs.
            serde: How values become bytes.
            pool: How many connections there are, and for how long.

        Example:
            ```python
            with PostgresSaver.from_conn_string("postgresql://localhost/app") as saver:
                saver.setup()
                graph = builder.compile(checkpointer=saver)
            ```
        """
        return blocking_cm(cls.afrom_conn_string)(conn_string, pipeline=pipeline, serde=serde, pool=pool)

    setup = blocking(PostgresSaverBase.asetup)
