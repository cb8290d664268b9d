"""The one implementation behind `SqliteSaver` and `AsyncSqliteSaver`."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self

from aiograph._sql.session import Session
from aiograph._sql.sqlite import Settings, SqliteDatabase, Synchronous
from aiograph.bridge import blocking, off_loop
from aiograph.checkpoint.base import (
    CheckpointTuple,
    Commit,
    checkpoint_of,
    thread_of,
)
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.checkpoint.serde.encoded import (
    EncodingSaver,
    Key,
    Listing,
    StoredCheckpoint,
    decode_tuple,
)
from aiograph.checkpoint.sqlite._schema import COMPONENT
from aiograph.checkpoint.sqlite._statements import (
    checkpoint_changes,
    deletion,
    is_there,
    matches_json,
    read_one,
    read_page,
    withdrawal,
    write_changes,
)
from aiograph.types import RunnableConfig

_PAGE = 50
"""Checkpoints that `list` reads at once."""

_LARGE = 1_000_000
"""Bytes from which decoding leaves the loop: they would hold it up for milliseconds."""


class SqliteSaverBase(EncodingSaver):
    """Keeps checkpoints in a SQLite file.

    Works from any thread and any event loop. Several processes may use one file: a lock that another one
    holds is waited for. A forked child opens the file anew.

    Args:
        path: A path, a `file:` URI, or `":memory:"`. Opened, and created if need be, when first used.
        serde: How values become bytes.
        synchronous: With `"normal"` what is stored survives the death of the process; with `"full"` also a
            power cut, and each superstep waits for the disk.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        serde: SerializerProtocol | None = None,
        synchronous: Synchronous = "normal",
    ) -> None:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(
                f"{type(self).__name__} opens its own connection: pass the path of the file, "
                f"not a {type(path).__name__}"
            )
        super().__init__(serde=serde)
        self._session: Session = SqliteDatabase(
            path,
            Settings(
                component=COMPONENT,
                functions=[("aiograph_matches", 2, matches_json)],
                synchronous=synchronous,
            ),
        )

    @classmethod
    @asynccontextmanager
    async def _opened(
        cls,
        conn_string: str,
        *,
        serde: SerializerProtocol | None = None,
        synchronous: Synchronous = "normal",
    ) -> AsyncIterator[Self]:
        async with cls(conn_string, serde=serde, synchronous=synchronous) as saver:
            await saver.asetup()
            yield saver

    async def asetup(self) -> None:
        """Opens the file and creates or updates its tables. The first use does so too.

        Raises:
            CheckpointStorageError: The file cannot be opened, is no SQLite database, holds tables that
                aiograph did not create, or was written by a newer release.
        """
        await self._session.read(is_there, "setting up")

    async def aclose(self) -> None:
        """Closes the file. What was asked before is done; what is asked later is an error."""
        await self._session.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.aclose()

    # -- writing

    async def acommit(self, commit: Commit) -> None:
        thread_id, namespace, parent_id = thread_of(commit.config)
        key = Key(thread_id, namespace, commit.checkpoint.id)
        changes = checkpoint_changes(self.serde, key, parent_id, commit.checkpoint, commit.metadata)
        if commit.writes and parent_id is not None:
            changes.append(write_changes(Key(thread_id, namespace, parent_id), commit.writes))
        await self._session.write(changes, key)

    async def arecord(self, config: RunnableConfig, writes: Sequence[Any]) -> None:
        key = Key(*checkpoint_of(config))
        await self._session.write([write_changes(key, writes)], key)

    async def awithdraw_writes(self, config: RunnableConfig, task_ids: Sequence[str]) -> None:
        key = Key(*checkpoint_of(config))
        await self._session.write([withdrawal(key, task_ids)], key)

    async def adelete_thread(self, thread_id: str) -> None:
        await self._session.write(deletion(str(thread_id)), f"thread {str(thread_id)!r}")

    # -- reading

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        thread_id, namespace, checkpoint_id = thread_of(config)
        plan = partial(read_one, self.serde, thread_id, namespace, checkpoint_id)
        about = Key(thread_id, namespace, checkpoint_id) if checkpoint_id else f"thread {thread_id!r}"
        stored = await self._session.read(plan, about)
        return None if stored is None else await self._decode(stored)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: Mapping[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        listing = Listing.of(config, filter, before, limit)
        left, after = limit, None
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            page = await self._session.read(
                partial(read_page, self.serde, listing, after, size),
                f"checkpoints of thread {listing.thread_id!r}",
            )
            for stored in page:
                yield await self._decode(stored)
            if len(page) < size:
                return
            left = None if left is None else left - size
            after = page[-1].key

    async def _decode(self, stored: StoredCheckpoint) -> CheckpointTuple:
        decode = partial(decode_tuple, self.serde, stored)
        if stored.size > _LARGE:
            return await off_loop(decode)
        return decode()

    # -- the other colour

    setup = blocking(asetup)
    close = blocking(aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()
