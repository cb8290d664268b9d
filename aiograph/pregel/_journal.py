"""What a run keeps, and when: its checkpoints and the writes of tasks, as its durability says.

Values are encoded the moment they are handed over, so nodes that run on cannot change what is being
stored, and a value that cannot be stored fails the superstep that made it. Operations reach the saver in
the order in which they were handed over. What was handed over is written even if the run is cancelled.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, NamedTuple

from aiograph import _ids
from aiograph._cancel import outlast
from aiograph.checkpoint.base import BaseCheckpointSaver, Commit, TaskWrites, config_for
from aiograph.constants import ERROR
from aiograph.errors import CheckpointSerializationError
from aiograph.pregel._plan import Plan
from aiograph.pregel._snapshot import (
    changed_versions,
    checkpoint_metadata,
    error_text,
    make_checkpoint,
    storable_writes,
)
from aiograph.pregel._state import RunState
from aiograph.pregel._tasks import Task
from aiograph.types import Durability, RunnableConfig


class _Record(NamedTuple):
    """Writes of finished tasks, for a checkpoint that is stored, or on its way, already."""

    config: RunnableConfig
    writes: list[Any]


class Journal:
    """The persistence of one run."""

    def __init__(
        self,
        saver: BaseCheckpointSaver,
        plan: Plan,
        state: RunState,
        thread_id: str,
        durability: Durability,
        metadata: Mapping[str, Any],
    ) -> None:
        self._saver = saver
        self._plan = plan
        self._state = state
        self._thread_id = thread_id
        self._durability = durability
        self._metadata = metadata
        self._parent = state.checkpoint_id
        """The newest checkpoint that was handed over."""
        self._versions = dict(state.versions)
        """The versions of the channels in that checkpoint."""
        self._source: str | None = None
        """Under `"exit"`: where the checkpoint that is yet to be made comes from."""
        self._held: list[Any] = []
        """Under `"exit"`: writes that belong to that checkpoint."""
        self._backlog = _Backlog(saver)

    @property
    def is_strict(self) -> bool:
        """Whether nothing may be shown before it is stored."""
        return self._durability == "sync"

    @property
    def config(self) -> RunnableConfig:
        """Names the checkpoint of the current state."""
        return config_for(self._thread_id, self._state.namespace, self._state.checkpoint_id)

    @property
    def parent_config(self) -> RunnableConfig | None:
        """Names the newest checkpoint that was handed over."""
        if self._parent is None:
            return None
        return config_for(self._thread_id, self._state.namespace, self._parent)

    def metadata(self, source: str) -> Any:
        """Metadata of a checkpoint of the current state."""
        return checkpoint_metadata(source, self._state.step - 1, self._metadata)

    async def commit(self, source: str, tasks: Sequence[Task]) -> None:
        """Keeps the current state as a new checkpoint, together with the writes that led to it.

        Under `"sync"` it is stored on return; under `"async"` at most one superstep is in flight and
        one gathering; under `"exit"` nothing is stored before `close`.
        """
        state = self._state
        state.checkpoint_id = _ids.checkpoint_id(after=state.checkpoint_id)
        if self._durability == "exit":
            self._source = source
            self._held.clear()
            return
        commit = self._encode(source, [self._encode_task(task) for task in tasks if not task.recorded])
        if self._durability == "sync" or self._saver.never_suspends:
            await self._store(commit)
        else:
            await self._enqueue(commit)

    async def _enqueue(self, commit: Commit) -> None:
        try:
            await self._backlog.room()
        finally:
            self._backlog.add(commit)  # even if the run is cancelled: the superstep has happened

    async def _store(self, commit: Commit) -> None:
        if self._backlog.is_idle:
            await _unbroken(self._saver, self._saver.acommit(commit))
        else:
            self._backlog.add(commit)
            await self._backlog.flush()

    def _encode(self, source: str, writes: Sequence[Any]) -> Commit:
        state = self._state
        try:
            commit = self._saver.encode_commit(
                config_for(self._thread_id, state.namespace, self._parent),
                make_checkpoint(self._plan, state),
                self.metadata(source),
                changed_versions(self._versions, state),
                writes,
            )
        except CheckpointSerializationError as error:
            raise self._located(error, state.step - 1) from error
        self._parent = state.checkpoint_id
        self._versions = dict(state.versions)
        return commit

    def _encode_task(self, task: Task) -> Any:
        writes = TaskWrites(task.id, task.path_text, storable_writes(self._plan, task))
        try:
            return self._saver.encode_writes(writes)
        except CheckpointSerializationError as error:
            raise self._located(error, task.step) from error

    def _located(self, error: CheckpointSerializationError, step: int) -> CheckpointSerializationError:
        """The same error; it tells where it happened as well."""
        return CheckpointSerializationError(f"thread {self._thread_id!r}, step {step}: {error}")

    def record(self, task: Task) -> None:
        """Keeps a finished task's writes beside the checkpoint it started from; see `flush`."""
        self._record(self._encode_task(task))
        task.recorded = True

    def record_failure(self, task: Task) -> None:
        """Keeps what a task raised, for those who look at the thread later."""
        assert task.error is not None
        writes = [(ERROR, error_text(task.error))]
        self._record(self._saver.encode_writes(TaskWrites(task.id, task.path_text, writes)))

    def _record(self, encoded: Any) -> None:
        record = _Record(self.config, [encoded])
        if self._source is not None:
            self._held.append(encoded)
        elif self._saver.never_suspends and self._backlog.is_idle:
            _run_through(self._saver.arecord(*record))
        else:
            self._backlog.add(record)

    async def flush(self) -> None:
        """Waits until everything that was handed over is stored.

        Raises:
            CheckpointError: Something could not be stored.
        """
        await self._backlog.flush()

    async def withdraw(self, tasks: Sequence[Task]) -> None:
        """Takes back the stored writes of tasks that contradict each other."""
        stored = [task.id for task in tasks if task.recorded]
        self._held = [encoded for encoded in self._held if encoded.task_id not in stored]
        await self._backlog.flush()
        if stored and self._source is None:
            await _unbroken(self._saver, self._saver.awithdraw_writes(self.config, stored))

    async def close(self) -> None:
        """Writes what is left. Must be awaited to its end, however the run ended.

        Raises:
            CheckpointError: Something could not be stored.
        """
        if self._source is not None:
            source, self._source = self._source, None
            self._backlog.add(self._encode(source, []))
            if self._held:
                self._backlog.add(_Record(self.config, list(self._held)))
        await self._backlog.flush()


class _Backlog:
    """Writes behind the run's back, in order: what is in flight, and what gathers meanwhile."""

    def __init__(self, saver: BaseCheckpointSaver) -> None:
        self._saver = saver
        self._gathering: list[Commit | _Record] = []
        self._taken: asyncio.Future[None] | None = None
        """Done when what gathers goes into flight."""
        self._writer: asyncio.Task[None] | None = None
        self._error: Exception | None = None

    @property
    def is_idle(self) -> bool:
        return self._writer is None and self._error is None

    def add(self, operation: Commit | _Record) -> None:
        if self._error is not None:
            return  # the next flush tells the run; nothing may be stored after a gap
        self._gathering.append(operation)
        if self._taken is None:
            self._taken = asyncio.get_running_loop().create_future()
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())

    async def room(self) -> None:
        """Waits until no superstep is gathering."""
        while self._taken is not None and any(isinstance(operation, Commit) for operation in self._gathering):
            await asyncio.shield(self._taken)
        self._raise()

    async def flush(self) -> None:
        """Waits until everything is written, even if the run is cancelled meanwhile.

        Raises:
            CheckpointError: Something could not be written; whatever came after it was not.
        """
        if self._writer is not None:
            await outlast(self._writer)
        self._raise()

    async def _write(self) -> None:
        try:
            while self._gathering:
                await self._write_batch(self._take())
        except Exception as error:
            self._error = error
        finally:
            self._writer = None
            self._take()

    def _take(self) -> list[Commit | _Record]:
        batch, self._gathering = self._gathering, []
        taken, self._taken = self._taken, None
        if taken is not None and not taken.done():
            taken.set_result(None)
        return batch

    async def _write_batch(self, batch: Sequence[Commit | _Record]) -> None:
        for operation in merged(batch):
            if isinstance(operation, Commit):
                await self._saver.acommit(operation)
            else:
                await self._saver.arecord(operation.config, operation.writes)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


def merged(batch: Sequence[Commit | _Record]) -> list[Commit | _Record]:
    """The same operations in fewer steps: writes that belong to one checkpoint travel together."""
    steps: list[Commit | _Record] = []
    for operation in batch:
        last = steps[-1] if steps else None
        if not isinstance(last, _Record) or last.config != operation.config:
            steps.append(operation)
        elif isinstance(operation, Commit):
            steps[-1] = operation._replace(writes=[*last.writes, *operation.writes])
        else:
            steps[-1] = _Record(last.config, [*last.writes, *operation.writes])
    return steps


async def _unbroken(saver: BaseCheckpointSaver, operation: Coroutine[Any, Any, None]) -> None:
    """Awaits a saver's verb to its end, even if the run is cancelled meanwhile."""
    if saver.never_suspends:
        await operation
    else:
        await outlast(asyncio.ensure_future(operation))


def _run_through(operation: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine that never suspends."""
    try:
        operation.send(None)
    except StopIteration:
        return
    operation.close()
    raise RuntimeError("a saver that says it never suspends did")
