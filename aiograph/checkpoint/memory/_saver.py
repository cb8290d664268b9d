"""The saver itself: when a write may happen, and what is found, listed and removed."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, ClassVar, Self

from aiograph._forking import lock_for_all
from aiograph._ids import moment_of
from aiograph.checkpoint._hold import Hold, Step
from aiograph.checkpoint._model import task_id_of
from aiograph.checkpoint._retention import Retention
from aiograph.checkpoint.base import (
    CheckpointTuple,
    Commit,
    PruneStrategy,
    ThreadInfo,
    checked_names,
    checkpoint_of,
    thread_of,
)
from aiograph.checkpoint.memory._keeping import KeepingSaver
from aiograph.checkpoint.memory._kept import KeptCheckpoint, KeptWrites, Line, Thread
from aiograph.checkpoint.serde._metadata import load_metadata
from aiograph.checkpoint.serde._stored import (
    Key,
    Listing,
    StoredCheckpoint,
    deletes_all,
    overtaken,
    require_limit,
    taken,
    thread_name,
)
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.checkpoint.serde.encoded import Sought, decode
from aiograph.types import RunnableConfig

__all__ = ["InMemorySaver", "MemorySaver"]


_lock = lock_for_all()
"""Held while a saver's tables are read or changed."""


class InMemorySaver(KeepingSaver):
    """Keeps checkpoints in memory, detached from live objects, so that later changes do not reach them.

    One saver may serve any number of threads and event loops at once. Values are neither compressed nor
    encrypted, as they do not leave the process.
    """

    never_suspends: ClassVar[bool] = True

    def __init__(self, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde)
        self._threads: dict[str, Thread] = {}

    # -- writing

    async def acommit(self, commit: Commit) -> None:
        checkpoint: KeptCheckpoint
        thread_id, namespace, parent_id, writes, checkpoint, _, _, step, required_parent, _ = commit
        checkpoint_id, row, cells = checkpoint
        with _lock:
            thread, line = self._admit(Key(thread_id, namespace, checkpoint_id), step, required_parent)
            if writes and parent_id is not None:
                thread.keep_cells(writes)
                line.record(parent_id, writes)
            if cells:
                thread.cells.update(cells)
            if row.parent_id != parent_id:
                row = row.of(parent_id)
            line.rows.setdefault(checkpoint_id, row)
            line.head = line.head_after(checkpoint_id) if step is None else step.after
            self._tally.puts += 1  # under the lock that is held anyway

    async def aclaim(self, config: RunnableConfig, hold: Hold) -> None:
        thread_id, namespace, _ = thread_of(config)
        step = hold.claim()
        with _lock:
            _, line = self._admit(Key(thread_id, namespace, str(hold.newest)), step)
            line.head = step.after

    async def arecord(self, config: RunnableConfig, writes: Sequence[Any], hold: Hold | None = None) -> None:
        await self._arecord(Key(*checkpoint_of(config)), writes, hold)

    async def _arecord(self, key: Key, writes: Sequence[KeptWrites], hold: Hold | None) -> None:
        with _lock:
            thread, line = self._admit_owner(key, hold)
            thread.keep_cells(writes)
            line.record(key.checkpoint_id, writes)

    async def _awithdraw(self, key: Key, task_ids: Sequence[str], hold: Hold | None) -> None:
        with _lock:
            _, line = self._admit_owner(key, hold)
            kept = line.writes.get(key.checkpoint_id, [])
            kept[:] = [task for task in kept if task_id_of(task[0]) not in task_ids]

    def _admit(self, key: Key, step: Step | None, required_parent: str | None = None) -> tuple[Thread, Line]:
        """Where a write goes, which is made if it is not there.

        Raises:
            ConcurrentUpdateError: It may not happen; nothing was made.
        """
        thread_id, namespace, _ = key
        thread = self._threads.get(thread_id) or Thread()
        line = thread.lines.get(namespace) or Line()
        if not line.admits(step, required_parent):
            raise overtaken(key)
        self._threads[thread_id] = thread
        thread.lines[namespace] = line
        return thread, line

    def _admit_owner(self, key: Key, hold: Hold | None) -> tuple[Thread, Line]:
        """The same of a write beside a checkpoint, on behalf of whoever is at the head."""
        if hold is None:
            return self._admit(key, None)
        thread = self._threads.get(key.thread_id)
        line = None if thread is None else thread.lines.get(key.namespace)
        if line is None or line.head is None or line.head.epoch != hold.epoch:
            raise overtaken(key)
        return self._admit(key, None, hold.required_parent(key.checkpoint_id))

    # -- housekeeping

    async def adelete_thread(self, thread_id: str) -> None:
        with _lock:
            self._threads.pop(thread_name(thread_id), None)
        self._memos.forget(thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        unwanted = set(checked_names(run_ids, "run_id"))

        def of_these_runs(line: Line) -> list[str]:
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
        names = checked_names(thread_ids, "thread_id")
        if deletes_all(strategy):
            for name in names:
                await self.adelete_thread(name)
            return
        with _lock:
            for name in names:
                self._remove(name, lambda line: sorted(line.rows)[:-1])

    async def asweep(self, retention: Retention, thread_ids: Sequence[str] | None = None) -> None:
        outdated = partial(_outdated, retention.checked())
        named = None if thread_ids is None else checked_names(thread_ids, "thread_id")
        with _lock:
            for name in list(self._threads) if named is None else named:
                self._remove(name, outdated)

    def _remove(self, thread_id: str, unwanted: Callable[[Line], Sequence[str]]) -> None:
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
        with _lock:
            self._tally.gets += 1
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
            threads = [thread.info(thread_id, self._cell_of) for thread_id, thread in self._threads.items()]
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

    def _lines(self, listing: Listing) -> Iterator[tuple[str, str, Line]]:
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


def _outdated(retention: Retention, line: Line) -> Sequence[str]:
    """The checkpoints that a policy does not keep."""
    older = sorted(line.rows)[:-1]
    surplus = len(line.rows) if retention.keep_last is None else retention.keep_last
    beyond = set(older[: max(0, len(line.rows) - surplus)])
    oldest = retention.oldest()
    if oldest is not None:
        beyond.update(each for each in older if moment_of(line.rows[each].created_at) < oldest)
    return sorted(beyond)
