"""`AsyncSqliteSaver`: the SQLite saver for asynchronous code."""

from contextlib import AbstractAsyncContextManager
from typing import Self

from aiograph._sql.sqlite import Synchronous
from aiograph.checkpoint._relational._cache import CACHED_BYTES
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.checkpoint.sqlite._saver import SqliteSaverBase

__all__ = ["AsyncSqliteSaver"]


class AsyncSqliteSaver(SqliteSaverBase):
    __doc__ = SqliteSaverBase.__doc__

    @classmethod
    def from_conn_string(
        cls,
        conn_string: str,
        *,
        serde: SerializerProtocol | None = None,
        synchronous: Synchronous = "normal",
        cached_bytes: int = CACHED_BYTES,
    ) -> AbstractAsyncContextManager[Self]:
        """Opens a saver for the length of an `async with` block; the arguments are those of the constructor.

        Example:
            ```python
            async with AsyncSqliteSaver.from_conn_string("checkpoints.db") as saver:
                graph = builder.compile(checkpointer=saver)
            ```
        """
        return cls._opened(conn_string, serde=serde, synchronous=synchronous, cached_bytes=cached_bytes)

    async def setup(self) -> None:
        """What `asetup` does, under the name that code written for LangGraph awaits."""
        await self.asetup()
