"""What savers store and are asked for, as values: checkpoints, metadata, writes, and what names them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, NotRequired, TypeAlias, TypedDict

from aiograph import _ids
from aiograph.channels.base import MISSING, BaseChannel
from aiograph.checkpoint._hold import Step
from aiograph.constants import ERROR, ERROR_SOURCE_NODE, INTERRUPT, RESUME, SCHEDULED
from aiograph.errors import CheckpointQueryError
from aiograph.types import RunnableConfig

Version: TypeAlias = int | str | float
ChannelVersions: TypeAlias = dict[str, Version]
VersionsSeen: TypeAlias = Mapping[str, Mapping[str, Version]]
"""By node, the versions of its triggers that it has run for."""
PendingWrite: TypeAlias = tuple[str, str, Any]
"""`(task_id, channel, value)`"""

FORMAT_VERSION = 1
"""Version of the stored checkpoint."""

WRITES_IDX_MAP: Mapping[str, int] = {
    ERROR: -1,
    SCHEDULED: -2,
    INTERRUPT: -3,
    RESUME: -4,
    ERROR_SOURCE_NODE: -5,
}
"""Writes to these channels have a fixed position within a task's writes and replace each other."""

EXCLUDED_METADATA_KEYS = frozenset({"thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map"})
"""Entries of `configurable` that never become metadata."""


class CheckpointMetadata(TypedDict, total=False):
    """What is known about how a checkpoint came to be; further keys come from the run's config."""

    source: str
    """`"input"`, `"loop"`, `"update"` or `"fork"`."""
    step: int
    """-1 for the input, 0 for the first superstep, …"""
    parents: dict[str, str]
    """Ids of the checkpoints of the enclosing graphs, by namespace."""


class Checkpoint(TypedDict):
    """The state of a graph between two supersteps."""

    v: int
    id: str
    ts: str
    """UTC time of creation, ISO 8601."""
    channel_values: dict[str, Any]
    channel_versions: ChannelVersions
    versions_seen: dict[str, ChannelVersions]
    """Per node, the versions of its trigger channels that it has run for."""
    updated_channels: list[str] | None
    """The channels that the superstep before this checkpoint changed."""


class CheckpointTuple(NamedTuple):
    """A checkpoint and what belongs to it."""

    config: RunnableConfig
    checkpoint: Checkpoint
    metadata: CheckpointMetadata
    parent_config: RunnableConfig | None = None
    pending_writes: list[PendingWrite] | None = None
    """Sorted by task path, task id and position."""


TaskName: TypeAlias = str | tuple[str, ...]
"""The id of a task; or what that is a digest of, for those who may never need it."""


class TaskWrites(NamedTuple):
    """The writes of one finished task."""

    task: TaskName
    """What it is called; see `task_id`."""
    task_path: str
    writes: Sequence[tuple[str, Any]]
    """`(channel, value)` in the order in which the task made them."""

    @property
    def task_id(self) -> str:
        """The id of the task, made for whoever asks."""
        return task_id_of(self.task)


def task_id_of(task: TaskName) -> str:
    """The id of a task."""
    return task if isinstance(task, str) else _ids.digest_id(task)


class ThreadInfo(NamedTuple):
    """What a thread amounts to."""

    thread_id: str
    updated_at: datetime
    """When its newest checkpoint was made, in UTC."""
    checkpoints: int
    """How many there are, in all namespaces."""
    size: int
    """Bytes of its values, writes and checkpoints as they are stored."""


class DeltaChannelHistory(TypedDict):
    """What a channel that keeps its changes can be put together from."""

    seed: NotRequired[Any]
    """Its value in the nearest checkpoint that holds one; missing if none does."""
    writes: list[PendingWrite]
    """The writes to it beside that checkpoint and from then on, oldest first."""


PruneStrategy: TypeAlias = Literal["keep_latest", "delete"]


class Commit(NamedTuple):
    """One superstep's worth of storage: the tasks' writes to the parent, and the checkpoint they led to.

    Made by `BaseCheckpointSaver.encode_commit`, so `checkpoint`, `metadata` and `writes` hold whatever that
    saver's `acommit` expects, detached from the run's live state.
    """

    thread_id: str
    namespace: str
    parent_id: str | None
    """The checkpoint that it follows upon."""
    writes: Any
    checkpoint: Any
    metadata: Any
    new_versions: ChannelVersions
    step: Step | None = None
    """What it expects at the head of the thread; `None`: nothing."""
    required_parent: str | None = None
    """A parent that has to be there, though it is not the head."""
    ahead: "Commit | None" = None
    """What is stored before it, in one go, by savers that take pairs; `step` and `required_parent` are those
    of both."""

    def behind(self, ahead: "Commit") -> "Commit":
        """The same, with what comes before it: both are of one run, so the steps join."""
        assert self.step is not None
        assert ahead.step is not None
        both = Step(ahead.step.before, self.step.after)
        return self._replace(step=both, required_parent=ahead.required_parent, ahead=ahead)

    @property
    def config(self) -> RunnableConfig:
        """Names thread, namespace and, as `checkpoint_id`, the parent."""
        return config_for(self.thread_id, self.namespace, self.parent_id)


def empty_checkpoint() -> Checkpoint:
    """A checkpoint without any channel, under a new id."""
    return Checkpoint(
        v=FORMAT_VERSION,
        id=_ids.checkpoint_id(),
        ts=_ids.now_iso(),
        channel_values={},
        channel_versions={},
        versions_seen={},
        updated_channels=None,
    )


def copy_checkpoint(checkpoint: Checkpoint) -> Checkpoint:
    """A copy that can be changed without changing the original; the values are shared."""
    duplicate = checkpoint.copy()
    duplicate["channel_values"] = checkpoint["channel_values"].copy()
    duplicate["channel_versions"] = checkpoint["channel_versions"].copy()
    duplicate["versions_seen"] = {node: seen.copy() for node, seen in checkpoint["versions_seen"].items()}
    return duplicate


def create_checkpoint(
    checkpoint: Checkpoint,
    channels: Mapping[str, BaseChannel[Any, Any, Any]] | None,
    step: int,
    *,
    id: str | None = None,
    updated_channels: Iterable[str] | None = None,
) -> Checkpoint:
    """A checkpoint that follows upon another one.

    Args:
        checkpoint: The one before; versions are taken from it.
        channels: Hold the values; `None` takes these from the one before as well.
        step: Not needed, as ids are made of time alone; accepted so that code written for LangGraph runs.
        id: The new one's id; made, if left out, so that it sorts after the one before.
        updated_channels: What the superstep in between has changed, if that is known.
    """
    duplicate = copy_checkpoint(checkpoint)
    if channels is not None:
        stored = {name: channel.checkpoint() for name, channel in channels.items() if channel.persistent}
        duplicate["channel_values"] = {
            name: value
            for name, value in stored.items()
            if value is not MISSING and name in checkpoint["channel_versions"]
        }
    duplicate["id"] = _ids.checkpoint_id(after=checkpoint["id"]) if id is None else id
    duplicate["ts"] = _ids.now_iso()
    duplicate["updated_channels"] = None if updated_channels is None else sorted(updated_channels)
    return duplicate


def write_position(channel: str, index: int) -> int:
    """The stored position of a task's `index`-th write."""
    return WRITES_IDX_MAP.get(channel, index)


def checked_name(name: object, what: str) -> str:
    """A name as text that every saver can hold, so that threads can move from one to another.

    Raises:
        CheckpointQueryError: PostgreSQL's text has no NUL character, and no database's has lone surrogates;
            and `None` names nothing.
    """
    if name is None:
        raise CheckpointQueryError(f"{what} is None, which names nothing")
    text = name if type(name) is str else str(name)
    if "\0" in text or not (text.isascii() or _is_unicode(text)):
        raise CheckpointQueryError(
            f"{what}={text!a} cannot be stored: a name has no NUL character and no lone surrogate"
        )
    return text


def checked_names(names: Sequence[object], what: str) -> list[str]:
    """Several names, as `checked_name` gives them.

    Raises:
        CheckpointQueryError: One of them cannot be stored; or they are one text, which has only characters.
    """
    if isinstance(names, str | bytes):
        raise CheckpointQueryError(f"{what}s are several: pass a list of them, [{names!r}], not {names!r}")
    return [checked_name(name, what) for name in names]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def thread_of(config: RunnableConfig) -> tuple[str, str, str | None]:
    """`(thread_id, checkpoint_ns, checkpoint_id)` of a config.

    Raises:
        CheckpointQueryError: There is no `thread_id`, or one of them cannot be stored.
    """
    configurable = config.get("configurable") or {}
    thread_id = configurable.get("thread_id")
    if thread_id is None:
        raise CheckpointQueryError(
            "the config names no thread: pass {'configurable': {'thread_id': '...'}} "
            f"(got the keys {sorted(map(str, configurable))})"
        )
    checkpoint_id = configurable.get("checkpoint_id")
    return (
        checked_name(thread_id, "thread_id"),
        checked_name(configurable.get("checkpoint_ns") or "", "checkpoint_ns"),
        None if checkpoint_id is None else checked_name(checkpoint_id, "checkpoint_id"),
    )


def checkpoint_of(config: RunnableConfig) -> tuple[str, str, str]:
    """`(thread_id, checkpoint_ns, checkpoint_id)` of a config that has to name a checkpoint.

    Raises:
        CheckpointQueryError: There is no `thread_id`, or no `checkpoint_id`.
    """
    thread_id, namespace, checkpoint_id = thread_of(config)
    if checkpoint_id is None:
        raise CheckpointQueryError(
            f"the config of thread {thread_id!r} names no checkpoint: pass a checkpoint_id"
        )
    return thread_id, namespace, checkpoint_id


def config_for(thread_id: str, namespace: str, checkpoint_id: str | None = None) -> RunnableConfig:
    """The config that names one checkpoint of a thread, or its head."""
    configurable: dict[str, Any] = {"thread_id": thread_id, "checkpoint_ns": namespace}
    if checkpoint_id is not None:
        configurable["checkpoint_id"] = checkpoint_id
    return {"configurable": configurable}
