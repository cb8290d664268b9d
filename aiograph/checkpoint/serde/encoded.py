"""Checkpoints and writes in bytes, and `EncodingSaver`, the base of savers that store bytes.

Each value is encoded once, when it changes, and is stored under its channel, its version and the
checkpoint that brought it. Versions count up along a line of checkpoints, so two branches of a thread may
give one channel the same version: `choose` tells whose value a checkpoint means.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar

from aiograph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    Commit,
    PendingWrite,
    TaskWrites,
    Version,
    config_for,
    copy_checkpoint,
    thread_of,
    write_position,
)
from aiograph.checkpoint.serde._metadata import dump_filter, dump_metadata, load_metadata
from aiograph.checkpoint.serde.base import SerializerProtocol, UnstorableValueError
from aiograph.errors import CheckpointDeserializationError, CheckpointQueryError, CheckpointSerializationError
from aiograph.types import RunnableConfig

T = TypeVar("T")


class Key(NamedTuple):
    """Names one checkpoint."""

    thread_id: str
    namespace: str
    checkpoint_id: str

    @property
    def rank(self) -> tuple[str, str, str]:
        """Newer checkpoints have larger ones."""
        return self.checkpoint_id, self.thread_id, self.namespace

    def __str__(self) -> str:
        namespace = f", namespace {self.namespace!r}" if self.namespace else ""
        return f"thread {self.thread_id!r}{namespace}, checkpoint {self.checkpoint_id!r}"


Blob: TypeAlias = tuple[str, bytes]
"""An encoded value: type tag and bytes."""


class EncodedWrite(NamedTuple):
    """One write of a task."""

    position: int
    channel: str
    blob: Blob


class EncodedWrites(NamedTuple):
    """The writes of one task."""

    task_id: str
    task_path: str
    writes: Sequence[EncodedWrite]


class Skeleton(NamedTuple):
    """A checkpoint without its values."""

    v: int
    ts: str
    channel_versions: ChannelVersions
    versions_seen: dict[str, ChannelVersions]
    updated_channels: list[str] | None
    names: Sequence[str]
    """The channels that have a value."""


class EncodedCheckpoint(NamedTuple):
    """A checkpoint as it goes to a saver."""

    id: str
    skeleton: Skeleton
    changed: Sequence[tuple[str, Version, Blob]]
    """The values that differ from the parent's."""


class StoredCheckpoint(NamedTuple):
    """A checkpoint as it comes from a saver."""

    key: Key
    parent_id: str | None
    skeleton: Skeleton
    metadata: bytes | str
    values: Mapping[str, Blob]
    writes: Sequence[tuple[str, str, Blob]]
    """Task id, channel and value, in order."""

    @property
    def size(self) -> int:
        """Bytes that have to be decoded."""
        values = sum(len(data) for _, data in self.values.values())
        return values + sum(len(data) for _, _, (_, data) in self.writes)


class Listing(NamedTuple):
    """What `list` was asked for."""

    thread_id: str | None
    """`None` for all threads."""
    namespace: str | None
    """`None` for all namespaces."""
    checkpoint_id: str | None
    before: str | None
    """Only checkpoints with a smaller id."""
    filter: bytes | None
    """JSON."""
    limit: int | None

    @classmethod
    def of(
        cls,
        config: RunnableConfig | None,
        filter: Mapping[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> Self:
        """Makes one of the arguments of `list`.

        Raises:
            CheckpointQueryError: They make no sense.
        """
        thread_id, _, checkpoint_id = (None, None, None) if config is None else thread_of(config)
        namespace = None if config is None else config["configurable"].get("checkpoint_ns")
        text = dump_filter(filter) if filter else None
        if limit is not None and limit < 0:
            raise CheckpointQueryError(f"limit must not be negative: {limit}")
        return cls(thread_id, namespace, checkpoint_id, _before(before), text, limit)


def _before(config: RunnableConfig | None) -> str | None:
    if config is None:
        return None
    checkpoint_id = (config.get("configurable") or {}).get("checkpoint_id")
    if checkpoint_id is None:
        raise CheckpointQueryError("before: the config names no checkpoint: pass a checkpoint_id")
    return str(checkpoint_id)


# -- encoding


def encode_writes(serde: SerializerProtocol, task: TaskWrites) -> EncodedWrites:
    """The writes of a task in bytes; of several writes to one position, the last one counts."""
    rows = {}
    for index, (channel, value) in enumerate(task.writes):
        position = write_position(channel, index)
        try:
            rows[position] = EncodedWrite(position, channel, _dump(serde, value, channel))
        except CheckpointSerializationError as error:
            raise _owned(error, f"task {task.task_id!r}") from error.__cause__
    return EncodedWrites(task.task_id, task.task_path, list(rows.values()))


def encode_checkpoint(
    serde: SerializerProtocol, checkpoint: Checkpoint, new_versions: ChannelVersions
) -> EncodedCheckpoint:
    """A checkpoint in bytes; takes over its dicts."""
    values = checkpoint["channel_values"]
    skeleton = Skeleton(
        checkpoint["v"],
        checkpoint["ts"],
        checkpoint["channel_versions"],
        checkpoint["versions_seen"],
        checkpoint["updated_channels"],
        list(values),
    )
    changed = [
        (name, version, _dump(serde, values[name], name))
        for name, version in new_versions.items()
        if name in values
    ]
    return EncodedCheckpoint(checkpoint["id"], skeleton, changed)


def dump_skeleton(serde: SerializerProtocol, skeleton: Skeleton) -> Blob:
    """A skeleton in bytes; of the channels, those without a value are told, as they are fewer."""
    document = skeleton._asdict()
    del document["names"]
    document["empty"] = sorted(skeleton.channel_versions.keys() - skeleton.names)
    return serde.dumps_typed(document)


def _versions_to_store(
    checkpoint: Checkpoint, new_versions: ChannelVersions, parent_id: str | None
) -> ChannelVersions:
    """The channels whose values a `put` has to store: without a parent, all.

    Raises:
        CheckpointSerializationError: A channel has a value but no version, so it could not be found again.
    """
    versions = checkpoint["channel_versions"]
    unversioned = checkpoint["channel_values"].keys() - versions.keys()
    if unversioned:
        raise CheckpointSerializationError(
            f"checkpoint {checkpoint['id']!r} has values without versions: {sorted(unversioned)}"
        )
    return versions if parent_id is None else new_versions


def _dump(serde: SerializerProtocol, value: Any, channel: str) -> Blob:
    try:
        return serde.dumps_typed(value)
    except UnstorableValueError as error:
        raise error.within(channel) from error.__cause__
    except CheckpointSerializationError as error:
        raise CheckpointSerializationError(f"channel {channel!r}: {error}") from error


def _owned(error: CheckpointSerializationError, owner: object) -> CheckpointSerializationError:
    """The same error that tells what was to be stored."""
    if isinstance(error, UnstorableValueError):
        return error.of(owner)
    return CheckpointSerializationError(f"{owner}: {error}")


class EncodingSaver(BaseCheckpointSaver):
    """Encodes; a subclass stores and reads.

    Its `acommit` gets an `EncodedCheckpoint`, metadata as JSON, and `EncodedWrites`, as does its `arecord`.
    """

    def encode_writes(self, writes: TaskWrites) -> EncodedWrites:
        return encode_writes(self.serde, writes)

    def encode_commit(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
        writes: Sequence[Any],
    ) -> Commit:
        try:
            encoded = encode_checkpoint(self.serde, checkpoint, new_versions)
            return Commit(config, writes, encoded, dump_metadata(metadata), new_versions)
        except CheckpointSerializationError as error:
            key = Key(*thread_of(config)[:2], checkpoint["id"])
            raise _owned(error, key) from error.__cause__

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        thread_id, namespace, parent_id = thread_of(config)
        changed = _versions_to_store(checkpoint, new_versions, parent_id)
        await self.acommit(self.encode_commit(config, copy_checkpoint(checkpoint), metadata, changed, ()))
        return config_for(thread_id, namespace, checkpoint["id"])

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await self.arecord(config, [self.encode_writes(TaskWrites(task_id, task_path, writes))])


# -- decoding


def decode_tuple(serde: SerializerProtocol, stored: StoredCheckpoint) -> CheckpointTuple:
    """A checkpoint with all that belongs to it.

    Raises:
        CheckpointDeserializationError: Some part cannot be read back; the message tells which.
    """
    key, skeleton = stored.key, stored.skeleton
    checkpoint = Checkpoint(
        v=skeleton.v,
        id=key.checkpoint_id,
        ts=skeleton.ts,
        channel_values={name: _load_value(serde, stored, name) for name in skeleton.names},
        channel_versions=dict(skeleton.channel_versions),
        versions_seen={node: dict(seen) for node, seen in skeleton.versions_seen.items()},
        updated_channels=None if skeleton.updated_channels is None else list(skeleton.updated_channels),
    )
    metadata: Any = _reading(key, "its metadata", load_metadata, stored.metadata)
    parent = None if stored.parent_id is None else config_for(*key[:2], stored.parent_id)
    return CheckpointTuple(config_for(*key), checkpoint, metadata, parent, _load_writes(serde, stored))


def load_skeleton(serde: SerializerProtocol, key: Key, blob: Blob) -> Skeleton:
    """The skeleton that `dump_skeleton` made.

    Raises:
        CheckpointDeserializationError: It is not one.
    """
    return _reading(key, "the checkpoint itself", lambda data: _skeleton(serde.loads_typed(data)), blob)


def _skeleton(document: Any) -> Skeleton:
    empty = set(document.pop("empty"))
    names = [name for name in document["channel_versions"] if name not in empty]
    skeleton = Skeleton(**document, names=names)
    versions = [skeleton.channel_versions, *skeleton.versions_seen.values()]
    if not all(isinstance(version, int | str | float) for each in versions for version in each.values()):
        raise ValueError("a version is neither a number nor text")
    if not isinstance(skeleton.updated_channels, list | None):
        raise TypeError("updated_channels has to be a list")
    return skeleton


def _load_value(serde: SerializerProtocol, stored: StoredCheckpoint, name: str) -> Any:
    blob = stored.values.get(name)
    if blob is None:
        raise CheckpointDeserializationError(
            f"{stored.key}, channel {name!r}: its value, version "
            f"{stored.skeleton.channel_versions.get(name)!r}, is not in the storage any more"
        )
    return _reading(stored.key, f"channel {name!r}", serde.loads_typed, blob)


def _load_writes(serde: SerializerProtocol, stored: StoredCheckpoint) -> list[PendingWrite]:
    return [
        (task, channel, _reading(stored.key, f"task {task!r}, channel {channel!r}", serde.loads_typed, blob))
        for task, channel, blob in stored.writes
    ]


def _reading(key: Key, what: str, read: Callable[[Any], T], data: Any) -> T:
    try:
        return read(data)
    except Exception as error:
        raise CheckpointDeserializationError(f"{key}, {what}: {error}") from error


# -- branches


def choose(
    checkpoint_id: str, candidates: Mapping[str, T], parent_of: Callable[[str], str | None]
) -> T | None:
    """Of the values stored under one channel and version, the one that a checkpoint means.

    Args:
        checkpoint_id: The checkpoint.
        candidates: The values, by the checkpoint that brought each.
        parent_of: Leads from a checkpoint to its parent.
    """
    if len(candidates) <= 1:
        return next(iter(candidates.values()), None)
    at: str | None = checkpoint_id
    passed = set()
    while at is not None and at not in candidates and at not in passed:
        passed.add(at)  # a caller may have named a checkpoint as its own parent
        at = parent_of(at)
    return None if at is None else candidates.get(at)
