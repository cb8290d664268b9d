"""The contract of checkpoint savers: what is stored, the verbs, and how one colour yields the other.

A saver keeps, per thread and namespace, a tree of checkpoints and the writes of tasks that have
finished since. The asynchronous verbs are the contract; each synchronous twin is derived. A subclass
may define either colour of a verb, and the other works.
"""

import copy
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

from aiograph._cancel import Begun
from aiograph.bridge import blocking, blocking_iter, complete_verb, require_verbs
from aiograph.checkpoint._hold import Head, Hold
from aiograph.checkpoint._model import (
    EXCLUDED_METADATA_KEYS,
    FORMAT_VERSION,
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    Commit,
    DeltaChannelHistory,
    PendingWrite,
    PruneStrategy,
    TaskWrites,
    ThreadInfo,
    Version,
    VersionsSeen,
    checked_name,
    checked_names,
    checkpoint_of,
    config_for,
    copy_checkpoint,
    create_checkpoint,
    empty_checkpoint,
    thread_of,
    write_position,
)
from aiograph.checkpoint._retention import Retention
from aiograph.checkpoint._superstep import Facts, Superstep
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.constants import SCHEDULED
from aiograph.errors import CheckpointSerializationError
from aiograph.types import RunnableConfig

__all__ = [
    "EXCLUDED_METADATA_KEYS",
    "FORMAT_VERSION",
    "WRITES_IDX_MAP",
    "BaseCheckpointSaver",
    "Begun",
    "ChannelVersions",
    "Checkpoint",
    "CheckpointMetadata",
    "CheckpointTuple",
    "Commit",
    "DeltaChannelHistory",
    "Facts",
    "PendingWrite",
    "PruneStrategy",
    "Retention",
    "Superstep",
    "TaskWrites",
    "ThreadInfo",
    "Version",
    "VersionsSeen",
    "checked_name",
    "checked_names",
    "checkpoint_of",
    "config_for",
    "copy_checkpoint",
    "create_checkpoint",
    "empty_checkpoint",
    "thread_of",
    "write_position",
]


class BaseCheckpointSaver:
    """Base of all savers.

    To write one, define `get_tuple`, `list`, `put`, `put_writes` and `delete_thread`, each as an
    asynchronous method with an `a` in front, or as a plain one; plain methods are called on worker
    threads. `aiograph.testing.savers.SaverContract` holds the tests that a saver has to pass.

    Raises:
        TypeError: At construction, when neither colour of one of those verbs is defined.
    """

    VERBS: ClassVar[tuple[str, ...]] = (
        "get_tuple",
        "list",
        "put",
        "put_writes",
        "delete_thread",
    )
    """Verbs that a saver must define, in either colour."""

    never_suspends: ClassVar[bool] = False
    """Whether the asynchronous verbs complete without ever waiting; spares the engine a task."""

    takes_pairs: bool = False
    """Whether `acommit` stores what a commit has `ahead` of it as well, in one go; spares a round trip."""

    serde: SerializerProtocol

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        require_verbs(cls, BaseCheckpointSaver, "saver", cls.VERBS)
        return super().__new__(cls)

    def __init__(self, *, serde: SerializerProtocol | None = None) -> None:
        if serde is None:
            from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer

            serde = JsonPlusSerializer()
        self.serde = serde

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in ("takes_pairs", "begin_commit"):
            if _depth(cls, "acommit") < _depth(cls, name):
                # what it does with a commit, it does with one that is alone, and has nothing under way before
                setattr(cls, name, getattr(BaseCheckpointSaver, name))
        for verb in _OVERRIDABLE:
            complete_verb(cls, verb, is_iterated=verb in _ITERATED)

    # -- reading

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, or the newest one of its thread and namespace.

        Raises:
            CheckpointQueryError: `config` names no thread.
            CheckpointDeserializationError: What is stored cannot be read back.
        """
        raise NotImplementedError

    async def aget(self, config: RunnableConfig) -> Checkpoint | None:
        """`aget_tuple(config).checkpoint`, or `None`."""
        found = await self.aget_tuple(config)
        return found.checkpoint if found else None

    async def aget_metadata(self, config: RunnableConfig) -> CheckpointMetadata | None:
        """`aget_tuple(config).metadata`, or `None`."""
        found = await self.aget_tuple(config)
        return found.metadata if found else None

    def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: Mapping[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Checkpoints, newest first.

        Args:
            config: Names a thread and, where it has them, a namespace and a checkpoint; `None` lists all
                threads.
            filter: What metadata has to hold: for an entry a value, a nested filter, or comparisons such as
                `{"step": {"gte": 3, "ne": 5}}` with `ne`, `gt`, `gte`, `lt`, `lte` and `in`. `created_after`
                and `created_before` look at the time.
            before: Only checkpoints with a smaller id than this config's.
            limit: At most this many.
        """
        raise NotImplementedError

    # -- writing

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Stores a checkpoint in one transaction; storing it again changes nothing.

        Args:
            config: Names thread and namespace; its `checkpoint_id`, if any, is the parent.
            checkpoint: What to store, under its own id.
            metadata: Searchable facts about it.
            new_versions: The channels whose values differ from the parent's, with their versions.

        Returns:
            The config that names the stored checkpoint.

        Raises:
            CheckpointSerializationError: A value cannot be stored; nothing was.
        """
        raise NotImplementedError

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Keeps a finished task's writes beside the checkpoint that `config` names.

        A position that is stored already keeps its value, except for the channels of
        `WRITES_IDX_MAP`, whose writes replace each other.
        """
        raise NotImplementedError

    async def adelete_thread(self, thread_id: str) -> None:
        """Removes everything that is stored of a thread, all or nothing."""
        raise NotImplementedError

    async def awithdraw_writes(self, config: RunnableConfig, task_ids: Sequence[str]) -> None:
        """Removes the pending writes of some tasks of a checkpoint, all or nothing.

        The engine calls it when finished tasks contradict each other, so that they can run again.
        This default removes nothing: it marks each task as one that has to run again, by a write to
        the channel `SCHEDULED`.
        """
        for task_id in task_ids:
            await self.aput_writes(config, [(SCHEDULED, True)], task_id)

    # -- housekeeping: a saver may leave these out

    def alist_threads(self, *, limit: int | None = None) -> AsyncIterator[ThreadInfo]:
        """The threads that are stored, those that changed last first.

        Args:
            limit: At most this many.
        """
        raise self._lacks("list_threads")

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Removes the checkpoints whose metadata has one of these as `run_id`, with their writes.

        Whatever remains of a thread stays usable; its newest checkpoint becomes the head again.
        """
        raise self._lacks("delete_for_runs")

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Makes a new thread with all that another one has; of an unknown thread, nothing.

        Raises:
            CheckpointQueryError: The target has checkpoints already.
        """
        raise self._lacks("copy_thread")

    async def aprune(self, thread_ids: Sequence[str], *, strategy: PruneStrategy = "keep_latest") -> None:
        """Removes what is not needed to go on, thread by thread, each all or nothing.

        Args:
            thread_ids: The threads.
            strategy: `"keep_latest"` keeps the newest checkpoint of each namespace, with its writes;
                `"delete"` keeps nothing.
        """
        raise self._lacks("prune")

    async def asweep(self, retention: Retention, thread_ids: Sequence[str] | None = None) -> None:
        """Removes the checkpoints that a policy does not keep, with their writes, thread by thread.

        Args:
            retention: The policy.
            thread_ids: The threads; all, if left out.

        Raises:
            ValueError: The policy has no limit, or one that makes no sense.
        """
        raise self._lacks("sweep")

    async def aget_delta_channel_history(
        self, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """The writes that led to the values of channels, back to the nearest value that is stored.

        Args:
            config: Names the checkpoint whose ancestors are looked at, along the line of parents; its own
                values and writes do not count.
            channels: The channels.

        Returns:
            The history of each of the channels; empty where nothing is stored.
        """
        found: dict[str, DeltaChannelHistory] = {channel: {"writes": []} for channel in channels}
        missing = set(channels)
        at = await self.aget_tuple(config)
        while missing and at is not None and at.parent_config is not None:
            at = await self.aget_tuple(at.parent_config)
            if at is not None:
                missing -= {channel for channel in missing if _trace_back(found[channel], at, channel)}
        return found

    def _lacks(self, verb: str) -> NotImplementedError:
        return NotImplementedError(f"{type(self).__name__} has no {verb}")

    # -- what the engine calls: encode at once, write when it suits the durability

    async def ahold(self, config: RunnableConfig) -> tuple[CheckpointTuple | None, Hold]:
        """What `aget_tuple` gives, and a hold on the thread for a run that starts from there.

        A saver that does not notice when two runs work on one thread need not define this.
        """
        found = await self.aget_tuple(config)
        thread_id, namespace, checkpoint_id = thread_of(config)
        newest = found
        if checkpoint_id is not None:
            newest = await self.aget_tuple(config_for(thread_id, namespace))
        head = None if newest is None else Head(newest.checkpoint["id"], 0)
        return found, Hold(head, checkpoint_id)

    async def aclaim(self, config: RunnableConfig, hold: Hold) -> None:
        """Takes the head for a run that will not write for a while.

        Raises:
            ConcurrentUpdateError: Somebody else has written to the thread.
        """

    def encode_writes(self, writes: TaskWrites, hold: Hold | None = None) -> Any:
        """Detaches a task's writes from live state, for a later `acommit` or `arecord`.

        Raises:
            CheckpointSerializationError: A value cannot be stored.
        """
        return writes._replace(writes=[(name, _detached(name, value)) for name, value in writes.writes])

    def encode_commit(self, superstep: Superstep, writes: Sequence[Any], hold: Hold | None = None) -> Commit:
        """Detaches a superstep from live state, so that it can be written while nodes go on.

        Args:
            superstep: The checkpoint, and what sets it apart from its parent.
            writes: What `encode_writes` made of the tasks whose writes are not recorded yet; they
                belong to the parent.
            hold: The run's hold on the thread; without, the checkpoint is stored whatever has happened there.

        Raises:
            CheckpointSerializationError: A value cannot be stored.
        """
        checkpoint, new = superstep.checkpoint(), superstep.new_versions
        values = checkpoint["channel_values"]
        values.update({name: _detached(name, values[name]) for name in new if name in values})
        return Commit(*superstep[:3], list(writes), checkpoint, superstep.metadata, new)

    async def acommit(self, commit: Commit) -> None:
        """Stores a superstep: the writes and the checkpoint, in one transaction where that is possible.

        A saver that `takes_pairs` stores what is `ahead` of it first, in the same transaction.

        Raises:
            ConcurrentUpdateError: Somebody else has written to the thread; nothing was stored.
        """
        if commit.writes:
            await self.arecord(commit.config, commit.writes)
        await self.aput(commit.config, commit.checkpoint, commit.metadata, commit.new_versions)

    def begin_commit(self, commit: Commit, after: Begun | None = None) -> Begun | None:
        """Begins `acommit`, which then cannot be withdrawn; `None` if that takes a wait.

        A saver that can do so is given the next superstep of a run while it still stores the one before.

        Args:
            commit: What to store.
            after: What was begun last for the same run. As long as that is not stored, this must not be.

        Returns:
            What is under way. Awaiting its `certain_outcome()` raises what `acommit` would have raised.
        """
        return None

    async def arecord(self, config: RunnableConfig, writes: Sequence[Any], hold: Hold | None = None) -> None:
        """Stores what `encode_writes` made of several tasks, beside the checkpoint that `config` names.

        Raises:
            ConcurrentUpdateError: Somebody else has written to the thread; nothing was stored.
        """
        for task in writes:
            await self.aput_writes(config, task.writes, task.task_id, task.task_path)

    async def awithdraw(self, config: RunnableConfig, task_ids: Sequence[str], hold: Hold) -> None:
        """Does what `awithdraw_writes` does, on behalf of a run.

        Raises:
            ConcurrentUpdateError: Somebody else has written to the thread; nothing was removed.
        """
        await self.awithdraw_writes(config, task_ids)

    def allow_types(self, types: Iterable[type]) -> None:
        """Lets the serializer store instances of these types, those of a compiled graph's schemas."""
        allow = getattr(self.serde, "allow", None)
        if allow is not None:
            allow(types)

    # -- the other colour

    get_tuple = blocking(aget_tuple)
    get = blocking(aget)
    get_metadata = blocking(aget_metadata)
    list = blocking_iter(alist)
    put = blocking(aput)
    put_writes = blocking(aput_writes)
    delete_thread = blocking(adelete_thread)
    withdraw_writes = blocking(awithdraw_writes)
    list_threads = blocking_iter(alist_threads)
    delete_for_runs = blocking(adelete_for_runs)
    copy_thread = blocking(acopy_thread)
    prune = blocking(aprune)
    sweep = blocking(asweep)
    get_delta_channel_history = blocking(aget_delta_channel_history)


_ITERATED = frozenset({"list", "list_threads"})

_OVERRIDABLE = (
    *BaseCheckpointSaver.VERBS,
    "get",
    "get_metadata",
    "withdraw_writes",
    "list_threads",
    "delete_for_runs",
    "copy_thread",
    "prune",
    "sweep",
    "get_delta_channel_history",
)


def _depth(cls: type, name: str) -> int:
    """How many classes down its line of ancestors a class finds an attribute."""
    return next(depth for depth, each in enumerate(cls.__mro__) if name in vars(each))


def _trace_back(history: DeltaChannelHistory, ancestor: CheckpointTuple, channel: str) -> bool:
    """Adds what an ancestor knows of a channel; whether that completes its history."""
    own = [write for write in ancestor.pending_writes or () if write[1] == channel]
    history["writes"][:0] = own
    values = ancestor.checkpoint["channel_values"]
    if channel in values:
        history["seed"] = values[channel]
    return channel in values


def _detached(channel: str, value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception as error:
        raise CheckpointSerializationError(
            f"channel {channel!r}: the value cannot be copied: {error}"
        ) from error
