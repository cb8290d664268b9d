"""`AsyncSqliteSaver`: the SQLite saver for asynchronous code."""

from contextlib import AbstractAsyncContextManager
from typing import Self

from aiograph._sql.sqlite import Synchronous
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
        cached_threads: int = 0,
    ) -> AbstractAsyncContextManager[Self]:
        """Opens a saver for the length of an `async with` block; the arguments are those of the constructor.

        Example:
            ```python
            async with AsyncSqliteSaver.from_conn_string("checkpoints.db") as saver:
                graph = builder.compile(checkpointer=saver)
            ```
        """
        return cls._opened(conn_string, serde=serde, synchronous=synchronous, cached_threads=cached_threads)

    async def setup(self) -> None:
        """What `asetup` does, under the name that code written for LangGraph awaits."""
        await self.asetup()
