"""What a run keeps, and when: its checkpoints and the writes of tasks, as its durability says.

Values are encoded the moment they are handed over, so nodes that run on cannot change what is being
stored, and a value that cannot be stored fails the superstep that made it. Operations reach the saver in
the order in which they were handed over; how they get there is the backlog's.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from aiograph import _ids
from aiograph.bridge import at_once
from aiograph.checkpoint.base import (
    ChannelVersions,
    Commit,
    Facts,
    Superstep,
    TaskWrites,
    VersionsSeen,
    config_for,
)
from aiograph.constants import CALL, ERROR, ERROR_SOURCE_NODE, INTERRUPT, RESUME, SHAPE
from aiograph.errors import CheckpointSerializationError
from aiograph.pregel._backlog import Backlog, Operation, Record, Storage, Withdrawal
from aiograph.pregel._notes import shown
from aiograph.pregel._plan import Plan
from aiograph.pregel._snapshot import (
    changed_versions,
    renew_values,
    storable_writes,
    stored_values,
    with_map,
)
from aiograph.pregel._state import News, RunState
from aiograph.pregel._tasks import Task
from aiograph.types import Durability, RunnableConfig


class Journal:
    """The persistence of one run."""

    def __init__(
        self,
        storage: Storage,
        plan: Plan,
        state: RunState,
        durability: Durability,
        metadata: Mapping[str, Any],
        versions: ChannelVersions | None = None,
    ) -> None:
        self._storage = storage
        self._saver, self._hold, self._thread_id = storage
        self._plan = plan
        self._state = state
        self._namespace = state.origin.namespace
        self._durability = durability
        self._facts = Facts(metadata)
        self._after = max(state.checkpoint_id or "", self._hold.newest or "") or None
        """What the id of the first checkpoint has to sort after."""
        self._parent = state.checkpoint_id
        """The newest checkpoint that was handed over."""
        self._versions: ChannelVersions = {**(state.versions if versions is None else versions)}
        """The versions of the channels in that checkpoint."""
        self._values: dict[str, Any] = {}
        """The values in the checkpoint that was encoded last, if there was one."""
        self._source: str | None = None
        """Under `"exit"`: where the checkpoint that is yet to be made comes from."""
        self._held: dict[str, list[Any]] = {}
        """Under `"exit"`: by task, writes that belong to that checkpoint, oldest first."""
        self._backlog = Backlog(storage)
        self._kept_back: list[Operation] | None = None
        """What waits for `release`, if anything does."""

    @property
    def is_strict(self) -> bool:
        """Whether nothing may be shown before it is stored."""
        return self._durability == "sync"

    @property
    def takes_pairs(self) -> bool:
        """Whether two checkpoints may be stored in one go."""
        return self._saver.takes_pairs

    @property
    def config(self) -> RunnableConfig:
        """Names the checkpoint of the current state."""
        return config_for(self._thread_id, self._namespace, self._state.checkpoint_id)

    @property
    def mapped_config(self) -> RunnableConfig:
        """The same, and for a nested graph the checkpoints of those around it."""
        return with_map(self.config, self._facts.entries.get("parents", {}))

    @property
    def parent_config(self) -> RunnableConfig | None:
        """Names the newest checkpoint that was handed over."""
        if self._parent is None:
            return None
        return config_for(self._thread_id, self._namespace, self._parent)

    def metadata(self, source: str) -> Any:
        """Metadata of a checkpoint of the current state."""
        return self._facts.metadata(source, self._state.step - 1)

    async def commit(self, source: str, tasks: Sequence[Task], *, leads: bool = False) -> None:
        """Keeps the current state as a new checkpoint, together with the writes that led to it.

        Under `"sync"` it is stored on return; under `"async"` all but this one is, so that no more than
        two supersteps are ever at risk: this one, and the one that runs meanwhile; under `"exit"` nothing
        is stored before `close`.

        Args:
            source: Where the checkpoint comes from.
            tasks: Those that have led to it.
            leads: Whether it may be stored together with the next one: the saver takes pairs, and no node
                runs before that is kept.
        """
        self._begin_checkpoint()
        if self._durability == "exit":
            self._source = source
            self._held.clear()
            return
        operation = self._encode(source, [self._encode_task(task) for task in tasks if not task.recorded])
        if self._kept_back is None and self._saver.never_suspends:
            await self._saver.acommit(operation)
        elif self._kept_back is None and leads and operation.step is not None:
            # a derived saver may leave holds aside: then there are no steps to join
            self._backlog.lead(operation)
        elif self._kept_back is None and self.is_strict:
            await self._backlog.put(operation)
        else:
            self._hand_over(operation)
            await self._backlog.room()

    def clone(self, parent_id: str | None) -> None:
        """Keeps the current state once more, beside its checkpoint: with the same parent, under a new id."""
        self._begin_checkpoint()
        self._versions = {}  # the saver is told what differs from the parent, and that may be all
        # encoded as a child of the original, which has to be there still, as the two share what is stored
        commit = self._encode("fork", [])
        self._hand_over(commit._replace(parent_id=parent_id))

    def _begin_checkpoint(self) -> None:
        """Gives the state a new checkpoint's id: that becomes the newest, wherever the run has started."""
        after, self._after = self._after, None  # the ids of one process ascend
        self._state.checkpoint_id = _ids.checkpoint_id(after)

    def keep_back(self) -> None:
        """Has everything that is handed over from now on wait, until `release` is called."""
        self._kept_back = []

    async def release(self) -> None:
        """Stores what was kept back.

        Raises:
            CheckpointError: Something could not be stored; what came before it was.
        """
        kept, self._kept_back = self._kept_back or (), None
        for operation in kept:
            self._hand_over(operation)
        await self._backlog.flush()

    def _hand_over(self, operation: Operation) -> None:
        if self._kept_back is not None:
            self._kept_back.append(operation)
        elif self._saver.never_suspends:
            at_once(self._storage.carry_out(operation), type(self._saver).__name__)
        else:
            self._backlog.add(operation)

    def _encode(self, source: str, writes: Sequence[Any]) -> Commit:
        state = self._state
        changed, seen = self._go_on(source)
        assert state.checkpoint_id is not None
        superstep = Superstep(  # by position: names would be a part of what a superstep costs
            self._thread_id,
            self._namespace,
            self._parent,
            state.checkpoint_id,
            _ids.wall_ns() // 1000,
            self._values,
            state.versions,
            state.seen,
            None if state.updated is None else sorted(state.updated),
            changed,
            seen,
            self._facts,
            source,
            state.step - 1,
        )
        try:
            commit = self._saver.encode_commit(superstep, writes, self._hold)
        except CheckpointSerializationError as error:
            raise self._located(error, state.step - 1) from error
        self._parent = state.checkpoint_id
        state.news = News({}, {})
        return commit

    def _go_on(self, source: str) -> tuple[ChannelVersions, VersionsSeen | None]:
        """Goes on to the values and versions of the state.

        Returns:
            Which versions are new; and if nothing else is, what the nodes that have run have seen of them.
        """
        state, news = self._state, self._state.news
        if news is not None and source == "loop":
            renew_values(self._values, state, news.versions)
            self._versions.update(news.versions)
            return news.versions, news.seen
        if SHAPE not in state.versions:
            state.versions[SHAPE] = max(state.versions.values(), default=0)
        changed = changed_versions(self._versions, state)
        was_cleared = not self._versions.keys() <= state.versions.keys()
        if self._values and not was_cleared:
            renew_values(self._values, state, changed)
        else:
            self._values = stored_values(self._plan, state)
        self._versions = {**state.versions}
        return changed, None

    def _encode_task(self, task: Task) -> Any:
        writes = TaskWrites(task.id_or_place, task.path_text, storable_writes(self._plan, task))
        try:
            return self._saver.encode_writes(writes, self._hold)
        except CheckpointSerializationError as error:
            raise self._located(error, task.step, f"node {task.name!r}, ") from error

    def _located(
        self, error: CheckpointSerializationError, step: int, who: str = ""
    ) -> CheckpointSerializationError:
        """The same error; it tells where it happened as well."""
        return CheckpointSerializationError(f"thread {self._thread_id!r}, step {step}: {who}{error}")

    def record(self, task: Task) -> None:
        """Keeps a finished task's writes beside the checkpoint it started from; see `flush`."""
        self._record(task, self._encode_task(task))
        task.recorded = True

    def record_failure(self, task: Task) -> None:
        """Keeps what a task raised, for those who look at the thread later."""
        assert task.error is not None
        writes = TaskWrites(task.id, task.path_text, [(ERROR, shown(task.error))])
        self._record(task, self._saver.encode_writes(writes, self._hold))

    def record_hand_over(self, task: Task) -> None:
        """Keeps what a node raised, and that its error handler takes over: the node does not run again."""
        assert task.handler is not None
        failure = task.handler.failure
        assert failure is not None
        text = shown(failure.error)
        marks = [(ERROR, text), (ERROR_SOURCE_NODE, (failure.node, text))]
        self._record(task, self._saver.encode_writes(TaskWrites(task.id, task.path_text, marks), self._hold))

    def record_questions(self, task: Task) -> None:
        """Keeps what a task asks; answers that it has had are kept already."""
        asked = [(INTERRUPT, list(task.questions)), *([(CALL, task.name)] if task.is_call else ())]
        writes = TaskWrites(task.id, task.path_text, asked)
        self._record(task, self._saver.encode_writes(writes, self._hold))

    def record_answers(self, task: Task) -> None:
        """Keeps the answers that a task has had."""
        writes = TaskWrites(task.id, task.path_text, [(RESUME, dict(task.answers))])
        self._record(task, self._saver.encode_writes(writes, self._hold))

    def record_command(self, writes: TaskWrites) -> None:
        """Keeps what a caller has written beside the checkpoint that the run starts from.

        Raises:
            CheckpointSerializationError: It cannot be stored.
        """
        try:
            encoded = self._saver.encode_writes(writes, self._hold)
        except CheckpointSerializationError as error:
            raise self._located(error, self._state.step, "the command that is the input, ") from error
        self._hand_over(Record(self.config, [encoded]))

    def _record(self, task: Task, encoded: Any) -> None:
        if self._source is not None:
            self._held.setdefault(task.id, []).append(encoded)
        else:
            self._hand_over(Record(self.config, [encoded]))

    async def flush(self) -> None:
        """Waits until everything that was handed over is stored.

        Raises:
            CheckpointError: Something could not be stored.
        """
        await self._backlog.flush()

    async def withdraw(self, tasks: Sequence[Task]) -> None:
        """Takes back the stored writes of tasks that contradict each other; what they were answered stays.

        Raises:
            CheckpointError: They could not be taken back.
        """
        recorded = [task.id for task in tasks if task.recorded]
        if self._source is not None:
            self._held = {task: writes for task, writes in self._held.items() if task not in recorded}
        elif recorded:
            self._hand_over(Withdrawal(self.config, recorded))
        for task in tasks:
            if task.recorded and task.answers:
                self.record_answers(task)
        await self._backlog.flush()

    def settle(self) -> None:
        """Hands over what is left, so that a later change of the state, or of a value in it, is not kept.

        Raises:
            CheckpointSerializationError: A value cannot be stored.
        """
        if self._source is not None:
            source, self._source = self._source, None
            self._hand_over(self._encode(source, []))
            if self._held:
                self._hand_over(Record(self.config, [*chain.from_iterable(self._held.values())]))

    async def close(self) -> None:
        """Writes what is left. Must be awaited to its end, however the run ended.

        Raises:
            CheckpointError: Something could not be stored.
        """
        self.settle()
        await self._backlog.flush()
