"""`InMemorySaver`: checkpoints in this process's memory, for tests and for what need not outlive it."""

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from operator import attrgetter
from threading import Lock
from typing import Any, ClassVar, NamedTuple, Self

from aiograph.checkpoint.base import (
    CheckpointTuple,
    Commit,
    Version,
    checkpoint_of,
    thread_of,
)
from aiograph.checkpoint.serde._metadata import load_metadata, matches
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.checkpoint.serde.encoded import (
    Blob,
    EncodedCheckpoint,
    EncodedWrites,
    EncodingSaver,
    Key,
    Listing,
    Skeleton,
    StoredCheckpoint,
    choose,
    decode_tuple,
)
from aiograph.types import RunnableConfig

__all__ = ["InMemorySaver", "MemorySaver"]


class _Row(NamedTuple):
    parent_id: str | None
    skeleton: Skeleton
    metadata: bytes


class _Write(NamedTuple):
    task_path: str
    task_id: str
    position: int
    channel: str
    blob: Blob


class _Line:
    """One namespace of one thread."""

    __slots__ = ("blobs", "head", "rows", "writes")

    def __init__(self) -> None:
        self.rows: dict[str, _Row] = {}
        self.head: str | None = None
        """The largest id."""
        self.blobs: dict[tuple[str, Version], dict[str, Blob]] = {}
        """By channel and version; several where branches use the same version."""
        self.writes: dict[str, dict[tuple[str, int], _Write]] = {}
        """By checkpoint, then by task and position."""

    def add(self, parent_id: str | None, checkpoint: EncodedCheckpoint, metadata: bytes) -> None:
        if checkpoint.id in self.rows:
            return
        for channel, version, blob in checkpoint.changed:
            self.blobs.setdefault((channel, version), {})[checkpoint.id] = blob
        self.rows[checkpoint.id] = _Row(parent_id, checkpoint.skeleton, metadata)
        if self.head is None or checkpoint.id > self.head:
            self.head = checkpoint.id

    def record(self, checkpoint_id: str, tasks: Sequence[EncodedWrites]) -> None:
        kept = self.writes.setdefault(checkpoint_id, {})
        for task_id, task_path, writes in tasks:
            for position, channel, blob in writes:
                place = (task_id, position)
                if position < 0 or place not in kept:
                    kept[place] = _Write(task_path, task_id, position, channel, blob)

    def read(self, key: Key) -> StoredCheckpoint | None:
        row = self.rows.get(key.checkpoint_id)
        if row is None:
            return None
        versions = row.skeleton.channel_versions
        values = {
            name: blob
            for name in row.skeleton.names
            if (blob := self._value(key.checkpoint_id, name, versions[name])) is not None
        }
        writes = sorted(self.writes.get(key.checkpoint_id, {}).values())
        pending = [(write.task_id, write.channel, write.blob) for write in writes]
        return StoredCheckpoint(key, row.parent_id, row.skeleton, row.metadata, values, pending)

    def _value(self, checkpoint_id: str, name: str, version: Version) -> Blob | None:
        return choose(checkpoint_id, self.blobs.get((name, version), {}), self._parent_of)

    def _parent_of(self, checkpoint_id: str) -> str | None:
        row = self.rows.get(checkpoint_id)
        return None if row is None else row.parent_id


_lock = Lock()
"""Held while a saver's tables are read or changed: one for all savers, so that a fork can wait for it."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class InMemorySaver(EncodingSaver):
    """Keeps checkpoints in memory, encoded, so that later changes to live objects do not reach them.

    One saver may serve any number of threads and event loops at once.
    """

    never_suspends: ClassVar[bool] = True

    def __init__(self, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde)
        self._threads: dict[str, dict[str, _Line]] = {}

    # -- writing

    async def acommit(self, commit: Commit) -> None:
        thread_id, namespace, parent_id = thread_of(commit.config)
        with _lock:
            line = self._line(thread_id, namespace)
            if commit.writes and parent_id is not None:
                line.record(parent_id, commit.writes)
            line.add(parent_id, commit.checkpoint, commit.metadata)

    async def arecord(self, config: RunnableConfig, writes: Sequence[Any]) -> None:
        thread_id, namespace, checkpoint_id = checkpoint_of(config)
        with _lock:
            self._line(thread_id, namespace).record(checkpoint_id, writes)

    def _line(self, thread_id: str, namespace: str) -> _Line:
        lines = self._threads.setdefault(thread_id, {})
        line = lines.get(namespace)
        if line is None:
            line = lines[namespace] = _Line()
        return line

    async def awithdraw_writes(self, config: RunnableConfig, task_ids: Sequence[str]) -> None:
        thread_id, namespace, checkpoint_id = checkpoint_of(config)
        with _lock:
            kept = self._line(thread_id, namespace).writes.get(checkpoint_id, {})
            for place in [place for place in kept if place[0] in task_ids]:
                del kept[place]

    async def adelete_thread(self, thread_id: str) -> None:
        with _lock:
            self._threads.pop(str(thread_id), None)

    # -- reading

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        thread_id, namespace, checkpoint_id = thread_of(config)
        if checkpoint_id is None:
            checkpoint_id = self._head(thread_id, namespace)
        stored = self._read(Key(thread_id, namespace, checkpoint_id)) if checkpoint_id else None
        return None if stored is None else decode_tuple(self.serde, stored)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: Mapping[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        listing = Listing.of(config, filter, before, limit)
        with _lock:
            keys = sorted(self._found(listing), key=_rank, reverse=True)[:limit]
        for key in keys:
            stored = self._read(key)
            if stored is not None:  # else it was deleted meanwhile
                yield decode_tuple(self.serde, stored)

    def _head(self, thread_id: str, namespace: str) -> str | None:
        with _lock:
            line = self._threads.get(thread_id, {}).get(namespace)
            return None if line is None else line.head

    def _read(self, key: Key) -> StoredCheckpoint | None:
        with _lock:
            line = self._threads.get(key.thread_id, {}).get(key.namespace)
            return None if line is None else line.read(key)

    def _found(self, listing: Listing) -> Iterator[Key]:
        wanted = None if listing.filter is None else load_metadata(listing.filter)
        for thread_id, namespace, line in self._lines(listing):
            for checkpoint_id, row in line.rows.items():
                if (
                    listing.checkpoint_id in (None, checkpoint_id)
                    and (listing.before is None or checkpoint_id < listing.before)
                    and (wanted is None or matches(load_metadata(row.metadata), wanted))
                ):
                    yield Key(thread_id, namespace, checkpoint_id)

    def _lines(self, listing: Listing) -> Iterator[tuple[str, str, _Line]]:
        for thread_id, lines in self._threads.items():
            if listing.thread_id in (None, thread_id):
                for namespace, line in lines.items():
                    if listing.namespace in (None, namespace):
                        yield thread_id, namespace, line

    # -- nothing has to be closed, but code written for other savers may close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        return None


MemorySaver = InMemorySaver
"""Another name of `InMemorySaver`."""

_rank = attrgetter("rank")
