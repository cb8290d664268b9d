"""`InMemorySaver`: checkpoints in this process's memory, for tests and for what need not outlive it."""

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from threading import Lock
from typing import Any, ClassVar, NamedTuple, Self

from aiograph.checkpoint._hold import Head, Hold, Step, new_epoch
from aiograph.checkpoint._retention import Retention
from aiograph.checkpoint.base import (
    CheckpointTuple,
    Commit,
    PruneStrategy,
    ThreadInfo,
    checked_name,
    thread_of,
)
from aiograph.checkpoint.serde._cells import Cell, reach
from aiograph.checkpoint.serde._filter import moment_of
from aiograph.checkpoint.serde._metadata import load_metadata
from aiograph.checkpoint.serde._stored import (
    EncodedCheckpoint,
    EncodedWrites,
    Key,
    Listing,
    Skeleton,
    StoredCheckpoint,
    deletes_all,
    overtaken,
    require_limit,
    taken,
    thread_name,
)
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.checkpoint.serde.encoded import EncodingSaver, Sought, decode
from aiograph.types import RunnableConfig

__all__ = ["InMemorySaver", "MemorySaver"]


class _Row(NamedTuple):
    parent_id: str | None
    created_at: int
    skeleton: Skeleton
    values: Mapping[str, Cell]
    metadata: bytes


class _Write(NamedTuple):
    task_path: str
    task_id: str
    position: int
    channel: str
    cell: Cell


class _Line:
    """One namespace of one thread."""

    __slots__ = ("head", "rows", "writes")

    def __init__(self) -> None:
        self.head: Head | None = None
        self.rows: dict[str, _Row] = {}
        self.writes: dict[str, list[EncodedWrites]] = {}
        """By checkpoint, as they have come; see `pending`."""

    def copy(self) -> "_Line":
        line = _Line()
        line.head = self.head and Head(self.head.checkpoint_id, new_epoch())
        line.rows = dict(self.rows)
        line.writes = {checkpoint_id: writes.copy() for checkpoint_id, writes in self.writes.items()}
        return line

    def admits(self, step: Step | None, required_parent: str | None) -> bool:
        """Whether a write may happen."""
        parent_is_there = required_parent is None or required_parent in self.rows
        return parent_is_there and (step is None or step.fits(self.head))

    def add(self, parent_id: str | None, checkpoint: EncodedCheckpoint, metadata: bytes) -> None:
        checkpoint_id = checkpoint.key.checkpoint_id
        if checkpoint_id not in self.rows:
            self.rows[checkpoint_id] = _Row(
                parent_id, checkpoint.created_at, checkpoint.skeleton, checkpoint.values, metadata
            )

    def record(self, checkpoint_id: str, tasks: Sequence[EncodedWrites]) -> None:
        kept = self.writes.get(checkpoint_id)
        if kept is None:
            self.writes[checkpoint_id] = [*tasks]
        else:
            kept += tasks

    def pending(self, checkpoint_id: str) -> list[_Write]:
        """The writes beside a checkpoint, in order. Of writes to one place, the last one counts if it is to a
        special channel, else the first."""
        kept: dict[tuple[str, int], _Write] = {}
        for task in self.writes.get(checkpoint_id, ()):
            for position, channel, cell in task.writes:
                place = (task.task_id, position)
                if position < 0 or place not in kept:
                    kept[place] = _Write(task.task_path, task.task_id, position, channel, cell)
        return sorted(kept.values())

    def remove(self, checkpoint_ids: Iterable[str]) -> None:
        """Removes checkpoints, and writes beside none; the newest of the others becomes the head."""
        for checkpoint_id in checkpoint_ids:
            self.rows.pop(checkpoint_id, None)
        self.writes = {each: writes for each, writes in self.writes.items() if each in self.rows}
        newest = max(self.rows, default=None)
        if self.head is None or self.head.checkpoint_id != newest:
            self.head = Head(newest, new_epoch())

    def cells(self) -> Iterator[Cell]:
        """The cells that stand in rows."""
        for row in self.rows.values():
            yield from row.values.values()
        for checkpoint_id in self.writes:
            yield from (write.cell for write in self.pending(checkpoint_id))


class _Thread:
    """All namespaces of a thread, and the cells that they share."""

    __slots__ = ("cells", "lines")

    def __init__(self) -> None:
        self.cells: dict[bytes, Cell] = {}
        self.lines: dict[str, _Line] = {}

    def line(self, namespace: str) -> _Line:
        line = self.lines.get(namespace)
        if line is None:
            line = self.lines[namespace] = _Line()
        return line

    def _rows(self, namespace: str) -> Mapping[str, _Row]:
        return self.lines[namespace].rows if namespace in self.lines else {}

    def keep_cells(self, tasks: Sequence[EncodedWrites]) -> None:
        for task in tasks:
            if task.cells:
                self.cells.update(task.cells)

    def read(self, key: Key) -> StoredCheckpoint | None:
        line = self.lines.get(key.namespace)
        row = None if line is None else line.rows.get(key.checkpoint_id)
        if line is None or row is None:
            return None
        pending = [(write.task_id, write.channel, write.cell) for write in line.pending(key.checkpoint_id)]
        # what is swept later stays in the dict of cells that was handed out
        return StoredCheckpoint(
            key, row.parent_id, row.skeleton, row.metadata, row.values, pending, self.cells
        )

    def is_part_of(self, other: "_Thread") -> bool:
        """Whether the other one has all these checkpoints as well."""
        return all(
            line.rows.keys() <= other._rows(namespace).keys() for namespace, line in self.lines.items()
        )

    def copy(self) -> "_Thread":
        thread = _Thread()
        thread.cells = dict(self.cells)
        thread.lines = {namespace: line.copy() for namespace, line in self.lines.items()}
        return thread

    def sweep(self) -> None:
        """Forgets the cells that nothing leads to any more."""
        needed = reach((cell for line in self.lines.values() for cell in line.cells()), self.cells)
        self.cells = {address: self.cells[address] for address in needed}

    def info(self, thread_id: str) -> ThreadInfo | None:
        rows = [row for line in self.lines.values() for row in line.rows.values()]
        if not rows:
            return None
        inline = sum(len(cell.data) for line in self.lines.values() for cell in line.cells())
        size = inline + sum(len(cell.data) + len(cell.refs) for cell in self.cells.values())
        size += sum(len(row.metadata) for row in rows)
        return ThreadInfo(thread_id, moment_of(max(row.created_at for row in rows)), len(rows), size)


_lock = Lock()
"""Held while a saver's tables are read or changed: one for all savers, so that a fork can wait for it."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class InMemorySaver(EncodingSaver):
    """Keeps checkpoints in memory, encoded, so that later changes to live objects do not reach them.

    One saver may serve any number of threads and event loops at once. Values are neither compressed nor
    encrypted, as they do not leave the process.
    """

    never_suspends: ClassVar[bool] = True
    wants_document: ClassVar[bool] = False

    def __init__(self, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde)
        self._threads: dict[str, _Thread] = {}

    # -- writing

    async def acommit(self, commit: Commit) -> None:
        checkpoint: EncodedCheckpoint = commit.checkpoint
        key, parent_id = checkpoint.key, commit.parent_id
        with _lock:
            self._require(key, commit.step, commit.required_parent)
            thread = self._thread(key.thread_id)
            line = thread.line(key.namespace)
            thread.keep_cells(commit.writes)
            if checkpoint.cells:
                thread.cells.update(checkpoint.cells)
            if commit.writes and parent_id is not None:
                line.record(parent_id, commit.writes)
            line.add(parent_id, checkpoint, commit.metadata)
            line.head = _next_head(line, commit.step, key.checkpoint_id)
        self._tally.put()

    async def aclaim(self, config: RunnableConfig, hold: Hold) -> None:
        thread_id, namespace, _ = thread_of(config)
        step = hold.claim()
        with _lock:
            self._require(Key(thread_id, namespace, str(hold.newest)), step)
            self._thread(thread_id).line(namespace).head = step.after

    async def _arecord(self, key: Key, writes: Sequence[EncodedWrites], hold: Hold | None) -> None:
        with _lock:
            self._require_epoch(key, hold)
            thread = self._thread(key.thread_id)
            thread.keep_cells(writes)
            thread.line(key.namespace).record(key.checkpoint_id, writes)

    async def _awithdraw(self, key: Key, task_ids: Sequence[str], hold: Hold | None) -> None:
        with _lock:
            self._require_epoch(key, hold)
            line = self._thread(key.thread_id).line(key.namespace)
            kept = line.writes.get(key.checkpoint_id, [])
            kept[:] = [task for task in kept if task.task_id not in task_ids]

    def _thread(self, thread_id: str) -> _Thread:
        thread = self._threads.get(thread_id)
        if thread is None:
            thread = self._threads[thread_id] = _Thread()
        return thread

    def _line(self, thread_id: str, namespace: str) -> _Line:
        """What there is; an empty one that is not kept if there is nothing."""
        thread = self._threads.get(thread_id)
        return (None if thread is None else thread.lines.get(namespace)) or _Line()

    def _require(self, key: Key, step: Step | None, required_parent: str | None = None) -> None:
        if not self._line(key.thread_id, key.namespace).admits(step, required_parent):
            raise overtaken(key)

    def _require_epoch(self, key: Key, hold: Hold | None) -> None:
        if hold is None:
            return
        line = self._line(key.thread_id, key.namespace)
        is_owner = line.head is not None and line.head.epoch == hold.epoch
        if not is_owner or not line.admits(None, hold.required_parent(key.checkpoint_id)):
            raise overtaken(key)

    # -- housekeeping

    async def adelete_thread(self, thread_id: str) -> None:
        with _lock:
            self._threads.pop(thread_name(thread_id), None)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        unwanted = {checked_name(run_id, "run_id") for run_id in run_ids}

        def of_these_runs(line: _Line) -> list[str]:
            return [
                checkpoint_id
                for checkpoint_id, row in line.rows.items()
                if load_metadata(row.metadata).get("run_id") in unwanted
            ]

        with _lock:
            for thread_id, thread in list(self._threads.items()):
                if any(map(of_these_runs, thread.lines.values())):
                    self._remove(thread_id, of_these_runs)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        source_id, target_id = thread_name(source_thread_id), thread_name(target_thread_id)
        with _lock:
            source = self._threads.get(source_id)
            target = self._threads.get(target_id)
            if source is None:
                return
            if target is not None and not target.is_part_of(source):
                raise taken(target_id)
            self._threads[target_id] = source.copy()

    async def aprune(self, thread_ids: Sequence[str], *, strategy: PruneStrategy = "keep_latest") -> None:
        if deletes_all(strategy):
            for thread_id in thread_ids:
                await self.adelete_thread(thread_id)
            return
        with _lock:
            for thread_id in thread_ids:
                self._remove(thread_name(thread_id), lambda line: sorted(line.rows)[:-1])

    async def asweep(self, retention: Retention, thread_ids: Sequence[str] | None = None) -> None:
        outdated = partial(_outdated, retention.checked())
        with _lock:
            for thread_id in list(self._threads) if thread_ids is None else thread_ids:
                self._remove(thread_name(thread_id), outdated)

    def _remove(self, thread_id: str, unwanted: Callable[[_Line], Sequence[str]]) -> None:
        """Removes checkpoints from a thread, and what only they have led to."""
        thread = self._threads.get(thread_id)
        if thread is None:
            return
        for line in thread.lines.values():
            line.remove(unwanted(line))
        thread.lines = {namespace: line for namespace, line in thread.lines.items() if line.rows}
        thread.sweep()
        if not thread.lines:
            del self._threads[thread_id]

    # -- reading

    async def _afind(self, config: RunnableConfig) -> Sought:
        thread_id, namespace, checkpoint_id = thread_of(config)
        self._tally.get()
        with _lock:
            thread = self._threads.get(thread_id)
            line = None if thread is None else thread.lines.get(namespace)
            if thread is None or line is None or line.head is None:
                return Sought(None, None)
            wanted = checkpoint_id or line.head.checkpoint_id
            return Sought(thread.read(Key(thread_id, namespace, wanted)) if wanted else None, line.head)

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
                yield decode(self._content, stored).found

    async def alist_threads(self, *, limit: int | None = None) -> AsyncIterator[ThreadInfo]:
        require_limit(limit)
        with _lock:
            threads = [thread.info(thread_id) for thread_id, thread in self._threads.items()]
        newest_first = sorted(
            (info for info in threads if info),
            key=lambda info: (info.updated_at, info.thread_id),
            reverse=True,
        )
        for info in newest_first[:limit]:
            yield info

    def _read(self, key: Key) -> StoredCheckpoint | None:
        with _lock:
            thread = self._threads.get(key.thread_id)
            return None if thread is None else thread.read(key)

    def _found(self, listing: Listing) -> Iterator[Key]:
        for thread_id, namespace, line in self._lines(listing):
            for checkpoint_id, row in line.rows.items():
                if (
                    listing.checkpoint_id in (None, checkpoint_id)
                    and (listing.before is None or checkpoint_id < listing.before)
                    and (
                        listing.filter is None
                        or listing.filter.matches(load_metadata(row.metadata), row.created_at)
                    )
                ):
                    yield Key(thread_id, namespace, checkpoint_id)

    def _lines(self, listing: Listing) -> Iterator[tuple[str, str, _Line]]:
        for thread_id, thread in self._threads.items():
            if listing.thread_id in (None, thread_id):
                for namespace, line in thread.lines.items():
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


def _outdated(retention: Retention, line: _Line) -> Sequence[str]:
    """The checkpoints that a policy does not keep."""
    older = sorted(line.rows)[:-1]
    surplus = len(line.rows) if retention.keep_last is None else retention.keep_last
    beyond = set(older[: max(0, len(line.rows) - surplus)])
    oldest = retention.oldest()
    if oldest is not None:
        beyond.update(each for each in older if moment_of(line.rows[each].created_at) < oldest)
    return sorted(beyond)


def _next_head(line: _Line, step: Step | None, checkpoint_id: str) -> Head:
    """The head after a checkpoint was added; without a step, whoever holds it has lost it."""
    if step is not None:
        return step.after
    newest = checkpoint_id if line.head is None else max(checkpoint_id, line.head.checkpoint_id or "")
    return Head(newest, new_epoch())
