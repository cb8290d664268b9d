"""Checkpoints and writes as cells, and `EncodingSaver`, the base of savers that store cells.

Each value is encoded once, when it changes, and what is equal is stored once per thread. For the length of a
run the hold on its thread remembers the encoded values, and what is known to be stored.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

from aiograph.checkpoint._hold import Head, Hold
from aiograph.checkpoint._statistics import Statistics, Tally
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
    checked_name,
    checkpoint_of,
    config_for,
    copy_checkpoint,
    thread_of,
    write_position,
)
from aiograph.checkpoint.serde._cells import Cell, CellReader, Cells
from aiograph.checkpoint.serde._dividing import CellWriter, Draft, Root
from aiograph.checkpoint.serde._filter import microseconds, moment_of
from aiograph.checkpoint.serde._memos import Memos
from aiograph.checkpoint.serde._metadata import dump_metadata, load_metadata
from aiograph.checkpoint.serde._seal import Seal, content_serde, seal_of
from aiograph.checkpoint.serde._stored import (
    EncodedCheckpoint,
    EncodedWrite,
    EncodedWrites,
    Key,
    Skeleton,
    StoredCheckpoint,
)
from aiograph.checkpoint.serde.base import SerializerProtocol, UnstorableValueError
from aiograph.errors import CheckpointDeserializationError, CheckpointSerializationError
from aiograph.types import RunnableConfig

T = TypeVar("T")

# -- encoding


def _created_at(checkpoint: Checkpoint) -> int:
    """When a checkpoint was made, in microseconds since 1970; a time without an offset is in UTC.

    Raises:
        CheckpointSerializationError: Its `ts` is not a time.
    """
    try:
        moment = datetime.fromisoformat(checkpoint["ts"])
    except (ValueError, TypeError) as error:
        raise CheckpointSerializationError(
            f"checkpoint {checkpoint['id']!r}: ts={checkpoint['ts']!r} is not a time in ISO 8601"
        ) from error
    return microseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


class Sought(NamedTuple):
    """What a saver has found of a namespace."""

    stored: StoredCheckpoint | None
    head: Head | None
    lineage: str | None = None
    """That of the thread, if it has one of its own and that matters."""


class Labels(NamedTuple):
    """The names that checkpoints of one graph have in common."""

    channels: list[str]
    nodes: list[str]
    root: Root


class Memory:
    """What a hold remembers, for a saver that stores cells."""

    __slots__ = ("checkpoint_id", "drafts", "known", "labels", "lineage", "values")

    def __init__(
        self,
        checkpoint_id: str | None,
        values: dict[str, Root],
        known: Iterable[bytes],
        lineage: str | None = None,
        labels: Labels | None = None,
    ) -> None:
        self.checkpoint_id = checkpoint_id
        """The newest checkpoint that was encoded, or the one that the run starts from."""
        self.values = values
        """The values of that checkpoint."""
        self.known = set(known)
        """Addresses of what it leads to, or what is written beside it: no clean-up removes these."""
        self.lineage = lineage
        """That of the thread."""
        self.labels = labels
        """The names in the last document that was written."""
        self.drafts: dict[str, Draft] = {}
        """By channel, what tasks have written since: mostly, that is the value of the next checkpoint."""

    @classmethod
    def of(cls, stored: StoredCheckpoint, decoded: "Decoded", memos: Memos, lineage: str | None) -> Self:
        """What there is to remember of what was read."""
        line, checkpoint_id = stored.key[:2], stored.key.checkpoint_id
        values = {
            name: memos.root(line, checkpoint_id, name, cell) or Root(cell, decoded.reach[name])
            for name, cell in stored.values.items()
        }
        return cls(checkpoint_id, values, decoded.known, lineage)

    def channels_of(self, checkpoint_id: str | None) -> Sequence[str]:
        """The channels in a checkpoint, in order, if it is the one that was encoded last."""
        if self.labels is None or checkpoint_id != self.checkpoint_id:
            return ()
        return self.labels.channels


class Decoded(NamedTuple):
    """What a stored checkpoint amounts to."""

    found: CheckpointTuple
    reach: Mapping[str, frozenset[bytes]]
    """By channel, the addresses of the cells that its value is made of."""
    known: frozenset[bytes]
    """The addresses of all cells that values and writes are made of."""


def encode_writes(writer: CellWriter, task: TaskWrites, memory: Memory) -> EncodedWrites:
    """The writes of a task as cells; of several writes to one position, the last one counts."""
    checked_name(task.task_id, "task_id")
    checked_name(task.task_path, "task_path")
    rows = {}
    for index, (channel, value) in enumerate(task.writes):
        position = write_position(checked_name(channel, "channel"), index)
        try:
            rows[position] = EncodedWrite(position, channel, _written(writer, value, channel, memory))
        except CheckpointSerializationError as error:
            raise _owned(error, f"task {task.task_id!r}") from error.__cause__
    cells = _unknown(writer.found, memory.known)
    return EncodedWrites(task.task_id, task.task_path, list(rows.values()), cells)


def _written(writer: CellWriter, value: Any, channel: str, memory: Memory) -> Cell:
    try:
        draft = writer.draft(value, memory.values.get(channel))
    except CheckpointSerializationError as error:
        raise _within(error, channel) from error.__cause__
    if draft.root.divisions:
        memory.drafts[channel] = draft
    return draft.root.cell


def _root(writer: CellWriter, value: Any, channel: str, memory: Memory) -> Root:
    try:
        return writer.root(value, memory.values.get(channel), memory.drafts.get(channel))
    except CheckpointSerializationError as error:
        raise _within(error, channel) from error.__cause__


def _within(error: CheckpointSerializationError, channel: str) -> CheckpointSerializationError:
    """The same error that tells the channel."""
    if isinstance(error, UnstorableValueError):
        return error.within(channel)
    return CheckpointSerializationError(f"channel {channel!r}: {error}")


def _unknown(found: Cells, known: set[bytes]) -> Cells:
    return {address: cell for address, cell in found.items() if address not in known} if found else found


def _encode_values(
    writer: CellWriter, checkpoint: Checkpoint, changed: ChannelVersions, memory: Memory
) -> dict[str, Root]:
    """The values of a checkpoint; those that have not changed are taken from the one before."""
    before = memory.values
    return {
        name: _root(writer, value, name, memory) if name in changed or name not in before else before[name]
        for name, value in checkpoint["channel_values"].items()
    }


def label(writer: CellWriter, skeleton: Skeleton, before: Labels | None = None) -> Labels:
    """The names in a checkpoint; those of the last one, whose cells are stored, if they are the same."""
    channels, nodes = list(skeleton.channel_versions), list(skeleton.versions_seen)
    if before is not None and before.channels == channels and before.nodes == nodes:
        return before
    return Labels(channels, nodes, writer.shared([writer.root(channels), writer.root(nodes)]))


def write_document(
    writer: CellWriter, skeleton: Skeleton, created_at: int, values: Mapping[str, Root], labels: Labels
) -> Root:
    """A checkpoint as one cell.

    Channels are told by their places among the versions, and its time only if it does not follow from
    `created_at`. The names of channels and nodes stand by themselves, as they stay the same.
    """
    ts = None if moment_of(created_at).isoformat() == skeleton.ts else skeleton.ts
    place_of = dict(zip(labels.channels, range(len(labels.channels)), strict=True)).get
    updated = skeleton.updated_channels
    seen = [
        [part for name, version in each.items() for part in (place_of(name, name), version)]
        for each in skeleton.versions_seen.values()
    ]
    parts = [
        writer.root([skeleton.v, ts, updated and [place_of(name, name) for name in updated]]),
        labels.root,
        writer.root(list(skeleton.channel_versions.values())),
        writer.root(seen),
        writer.mapping({place_of(name, name): root for name, root in values.items()}),
    ]
    document = writer.record([part.cell for part in parts])
    return Root(document, frozenset().union(*(part.reach for part in parts)))


def _require_versions(checkpoint: Checkpoint) -> None:
    """A value without a version would be there and count as not there.

    Raises:
        CheckpointSerializationError: There is one.
    """
    unversioned = checkpoint["channel_values"].keys() - checkpoint["channel_versions"].keys()
    if unversioned:
        raise CheckpointSerializationError(
            f"checkpoint {checkpoint['id']!r} has values without versions: {sorted(unversioned)}"
        )


def _owned(error: CheckpointSerializationError, owner: object) -> CheckpointSerializationError:
    """The same error that tells what was to be stored."""
    if isinstance(error, UnstorableValueError):
        return error.of(owner)
    return CheckpointSerializationError(f"{owner}: {error}")


class EncodingSaver(BaseCheckpointSaver):
    """Encodes; a subclass stores and reads.

    Its `acommit` gets an `EncodedCheckpoint`, metadata as JSON, and `EncodedWrites`, as does its `_arecord`.
    """

    wants_document: ClassVar[bool] = True
    """Whether a checkpoint is to be encoded as a whole, and not only its values."""

    def __init__(self, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde)
        self._content: SerializerProtocol = content_serde(self.serde)
        self._seal: Seal = seal_of(self.serde)
        self._tally = Tally()
        self._memos = Memos()

    @property
    def statistics(self) -> Statistics:
        """What the saver has done so far."""
        return Statistics(puts=self._tally.puts, gets=self._tally.gets)

    # -- what a subclass defines

    async def _afind(self, config: RunnableConfig) -> Sought:
        """The checkpoint that a config names, and the head of its namespace."""
        raise NotImplementedError

    async def _arecord(self, key: Key, writes: Sequence[EncodedWrites], hold: Hold | None) -> None:
        """Stores writes beside a checkpoint; with a hold, only if its epoch is at the head."""
        raise NotImplementedError

    async def _awithdraw(self, key: Key, task_ids: Sequence[str], hold: Hold | None) -> None:
        """Removes writes beside a checkpoint; with a hold, only if its epoch is at the head."""
        raise NotImplementedError

    # -- reading

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        stored = (await self._afind(config)).stored
        return None if stored is None else (await self._adecode(stored)).found

    async def ahold(self, config: RunnableConfig) -> tuple[CheckpointTuple | None, Hold]:
        stored, head, lineage = await self._afind(config)
        start = thread_of(config)[2]
        if stored is None:
            return None, Hold(head, start, Memory(None, {}, (), lineage))
        decoded = await self._adecode(stored)
        return decoded.found, Hold(head, start, Memory.of(stored, decoded, self._memos, lineage))

    async def _adecode(self, stored: StoredCheckpoint) -> Decoded:
        return decode(self._content, stored)

    # -- writing

    def encode_writes(self, writes: TaskWrites, hold: Hold | None = None) -> EncodedWrites:
        memory = Memory(None, {}, ()) if hold is None else hold.memory
        return encode_writes(CellWriter(self._content, self._seal), writes, memory)

    def encode_commit(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
        writes: Sequence[Any],
        hold: Hold | None = None,
    ) -> Commit:
        before = Memory(None, {}, ()) if hold is None else hold.memory
        thread_id, namespace, parent_id = thread_of(config)
        key = Key(thread_id, namespace, checked_name(checkpoint["id"], "checkpoint_id"))
        try:
            text = dump_metadata(metadata)
            encoded, memory = self._encode(checkpoint, new_versions, before, before.channels_of(parent_id))
        except CheckpointSerializationError as error:
            raise _owned(error, key) from error.__cause__
        if hold is None:
            return Commit(config, writes, encoded, text, new_versions)
        hold.memory = memory
        self._memos.note((thread_id, namespace), encoded.id, memory.values)
        step, parent = hold.step(encoded.id), hold.required_parent(parent_id)
        return Commit(config, writes, encoded, text, new_versions, step, parent)

    def _encode(
        self,
        checkpoint: Checkpoint,
        changed: ChannelVersions,
        memory: Memory,
        parent_channels: Sequence[str],
    ) -> tuple[EncodedCheckpoint, Memory]:
        writer = CellWriter(self._content, self._seal)
        values = _encode_values(writer, checkpoint, changed, memory)
        created_at = _created_at(checkpoint)
        skeleton = Skeleton(
            checkpoint["v"],
            checkpoint["ts"],
            checkpoint["channel_versions"],
            checkpoint["versions_seen"],
            checkpoint["updated_channels"],
        )
        reached = {address for root in values.values() if root.reach for address in root.reach}
        document = labels = None
        if self.wants_document:
            labels = label(writer, skeleton, memory.labels)
            document, more, *_ = write_document(writer, skeleton, created_at, values, labels)
            reached |= more
        cells = _unknown(writer.found, memory.known)
        encoded = EncodedCheckpoint(
            checkpoint["id"],
            created_at,
            skeleton,
            {name: root.cell for name, root in values.items()},
            document,
            cells,
            memory.lineage,
            reached,
            parent_channels,
        )
        return encoded, Memory(encoded.id, values, reached, memory.lineage, labels)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        thread_id, namespace, _ = thread_of(config)
        _require_versions(checkpoint)
        await self.acommit(
            self.encode_commit(config, copy_checkpoint(checkpoint), metadata, new_versions, ())
        )
        return config_for(thread_id, namespace, checkpoint["id"])

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await self.arecord(config, [self.encode_writes(TaskWrites(task_id, task_path, writes))])

    async def awithdraw_writes(self, config: RunnableConfig, task_ids: Sequence[str]) -> None:
        names = [checked_name(task_id, "task_id") for task_id in task_ids]
        await self._awithdraw(Key(*checkpoint_of(config)), names, None)

    async def awithdraw(self, config: RunnableConfig, task_ids: Sequence[str], hold: Hold) -> None:
        await self._awithdraw(Key(*checkpoint_of(config)), task_ids, hold)

    async def arecord(self, config: RunnableConfig, writes: Sequence[Any], hold: Hold | None = None) -> None:
        key = Key(*checkpoint_of(config))
        await self._arecord(key, writes, hold)
        if hold is not None and hold.memory.checkpoint_id == key.checkpoint_id:
            hold.memory.known.update(*(task.cells for task in writes))


# -- decoding


def read_document(
    reader: CellReader, key: Key, document: Cell, created_at: int
) -> tuple[Skeleton, dict[str, Cell]]:
    """The skeleton and the values of a checkpoint that `write_document` made.

    Raises:
        CheckpointDeserializationError: It is not one.
    """
    return reading(key, "the checkpoint itself", lambda cell: _document(reader, cell, created_at), document)


def _document(reader: CellReader, document: Cell, created_at: int) -> tuple[Skeleton, dict[str, Cell]]:
    head, labels, *more, values = reader.record(document)
    v, ts, updated = reader.value(head)
    names, nodes = map(reader.value, reader.record(labels))
    numbers, seen = map(reader.value, more)
    channel_versions = dict(zip(names, map(_version, numbers), strict=True))

    def name_of(place: Any) -> str:
        return str(names[place] if type(place) is int else place)

    skeleton = Skeleton(
        v,
        moment_of(created_at).isoformat() if ts is None else ts,
        channel_versions,
        {
            node: {
                name_of(place): _version(version)
                for place, version in zip(each[::2], each[1::2], strict=True)
            }
            for node, each in zip(nodes, seen, strict=True)
        },
        updated if updated is None else [name_of(place) for place in updated],
    )
    return skeleton, {name_of(place): cell for place, cell in reader.mapping(values).items()}


def _version(value: Any) -> Version:
    if not isinstance(value, int | str | float):
        raise TypeError("a version is neither a number nor text")
    return value


def decode(serde: SerializerProtocol, stored: StoredCheckpoint) -> Decoded:
    """A checkpoint with all that belongs to it.

    Raises:
        CheckpointDeserializationError: Some part cannot be read back; the message tells which.
    """
    key, skeleton = stored.key, stored.skeleton
    reader = CellReader(serde, stored.cells)
    values, reach = {}, {}
    for name, cell in stored.values.items():
        values[name] = reading(key, f"channel {name!r}", reader.value, cell)
        reach[name] = reader.reached if cell.refs else _NOTHING
    writes, reached = _load_writes(reader, stored)
    checkpoint = Checkpoint(
        v=skeleton.v,
        id=key.checkpoint_id,
        ts=skeleton.ts,
        channel_values=values,
        channel_versions=dict(skeleton.channel_versions),
        versions_seen={node: dict(seen) for node, seen in skeleton.versions_seen.items()},
        updated_channels=None if skeleton.updated_channels is None else list(skeleton.updated_channels),
    )
    metadata: Any = reading(key, "its metadata", load_metadata, stored.metadata)
    parent = None if stored.parent_id is None else config_for(*key[:2], stored.parent_id)
    found = CheckpointTuple(config_for(*key), checkpoint, metadata, parent, writes)
    return Decoded(found, reach, reached.union(*reach.values()))


_NOTHING: frozenset[bytes] = frozenset()


def _load_writes(reader: CellReader, stored: StoredCheckpoint) -> tuple[list[PendingWrite], frozenset[bytes]]:
    writes, reached = [], _NOTHING
    for task, channel, cell in stored.writes:
        about = f"task {task!r}, channel {channel!r}"
        writes.append((task, channel, reading(stored.key, about, reader.value, cell)))
        reached |= reader.reached if cell.refs else _NOTHING
    return writes, reached


def reading(key: Key, what: str, read: Callable[[Any], T], data: Any) -> T:
    """What `read` makes of some part of a checkpoint.

    Raises:
        CheckpointDeserializationError: It fails; the message tells of which checkpoint and which part.
    """
    try:
        return read(data)
    except Exception as error:
        raise CheckpointDeserializationError(f"{key}, {what}: {error}") from error
