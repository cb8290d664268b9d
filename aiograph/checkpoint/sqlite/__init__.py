"""Checkpoints in a SQLite file.

`SqliteSaver` and `AsyncSqliteSaver` are one saver with all verbs in both colours; they differ in how
`from_conn_string` is entered.
"""

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Self

from aiograph._sql.sqlite import Synchronous
from aiograph.bridge import blocking, blocking_cm
from aiograph.checkpoint._relational._cache import CACHED_BYTES
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.checkpoint.sqlite._saver import SqliteSaverBase
from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver

__all__ = ["AsyncSqliteSaver", "SqliteSaver"]


class SqliteSaver(SqliteSaverBase):
    __doc__ = SqliteSaverBase.__doc__

    @classmethod
    def afrom_conn_string(
        cls,
        conn_string: str,
        *,
        serde: SerializerProtocol | None = None,
        synchronous: Synchronous = "normal",
        cached_bytes: int = CACHED_BYTES,
    ) -> AbstractAsyncContextManager[Self]:
        """Opens a saver for the length of an `async with` block."""
        return cls._opened(conn_string, serde=serde, synchronous=synchronous, cached_bytes=cached_bytes)

    @classmethod
    def from_conn_string(
        cls,
        conn_string: str,
        *,
        serde: SerializerProtocol | None = None,
        synchronous: Synchronous = "normal",
        cached_bytes: int = CACHED_BYTES,
    ) -> AbstractContextManager[Self]:
        """Opens a saver for the length of a `with` block; the arguments are those of the constructor.

        Example:
            ```python
            with SqliteSaver.from_conn_string("checkpoints.db") as saver:
                graph = builder.compile(checkpointer=saver)
            ```
        """
        return blocking_cm(cls.afrom_conn_string)(
            conn_string, serde=serde, synchronous=synchronous, cached_bytes=cached_bytes
        )

    setup = blocking(SqliteSaverBase.asetup)
