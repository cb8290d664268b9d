"""Checkpoints and writes as cells, and `EncodingSaver`, the base of savers that store cells.

Each value is encoded once, when it changes, and what is equal is stored once per thread. For the length of a
run the hold on its thread remembers the encoded values, and what is known to be stored.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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
    Superstep,
    TaskWrites,
    checked_name,
    checkpoint_of,
    config_for,
    thread_of,
)
from aiograph.checkpoint.serde._blocks import Root
from aiograph.checkpoint.serde._cells import Cell, CellReader
from aiograph.checkpoint.serde._dividing import CellWriter
from aiograph.checkpoint.serde._document import (
    Labels,
    Names,
    label,
    reading,
    write_document,
)
from aiograph.checkpoint.serde._encoding import (
    Memory,
    encode_values,
    encode_writes,
    owned,
    unknown,
)
from aiograph.checkpoint.serde._memos import KEPT_BYTES, Memos
from aiograph.checkpoint.serde._metadata import load_metadata, metadata_of
from aiograph.checkpoint.serde._retracing import retraced
from aiograph.checkpoint.serde._seal import Seal, content_serde, seal_of
from aiograph.checkpoint.serde._stored import (
    EncodedCheckpoint,
    Key,
    Skeleton,
    StoredCheckpoint,
)
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.errors import CheckpointSerializationError
from aiograph.types import RunnableConfig


class Sought(NamedTuple):
    """What a saver has found of a namespace."""

    stored: StoredCheckpoint | None
    head: Head | None
    lineage: str | None = None
    """That of the thread, if it has one of its own and that matters."""


class Decoded(NamedTuple):
    """What a stored checkpoint amounts to."""

    found: CheckpointTuple
    reach: Mapping[str, frozenset[bytes]]
    """By channel, the addresses of the cells that its value is made of."""
    pending: frozenset[bytes]
    """Those of the cells that writes are made of."""

    @property
    def known(self) -> frozenset[bytes]:
        """The addresses of all cells."""
        return self.pending.union(*self.reach.values())


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


def _skeleton_of(superstep: Superstep) -> Skeleton:
    return Skeleton(superstep.v, superstep.ts, superstep.versions, superstep.seen, superstep.updated)


class EncodingSaver(BaseCheckpointSaver):
    """Encodes; a subclass stores and reads.

    Its `acommit` gets what `_encode` makes, metadata as JSON, and what `encode_writes` makes, as does its
    `_arecord`: here, these are an `EncodedCheckpoint` and `EncodedWrites`.
    """

    def __init__(self, *, serde: SerializerProtocol | None = None, kept_bytes: int = KEPT_BYTES) -> None:
        super().__init__(serde=serde)
        self._content: SerializerProtocol = content_serde(self.serde)
        self._is_ours = type(self._content) is JsonPlusSerializer
        """Whether it is known what the serializer makes of a value. Another one has to see all of them."""
        self._seal: Seal = seal_of(self.serde)
        self._tally = Tally()
        self._memos = Memos(kept_bytes if self._is_ours else 0)
        self._labels: dict[Names, Labels] = {}

    @property
    def statistics(self) -> Statistics:
        """What the saver has done so far."""
        return Statistics(puts=self._tally.puts, gets=self._tally.gets)

    # -- what a subclass defines

    async def _afind(self, config: RunnableConfig) -> Sought:
        """The checkpoint that a config names, and the head of its namespace."""
        raise NotImplementedError

    async def _arecord(self, key: Key, writes: Sequence[Any], hold: Hold | None) -> None:
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
            return None, Hold(head, start, self._nothing_known(lineage))
        decoded = await self._adecode(stored)
        return decoded.found, Hold(head, start, self._known(stored, decoded, lineage))

    async def _adecode(self, stored: StoredCheckpoint) -> Decoded:
        return decode(self._content, stored, self._memos)

    def _nothing_known(self, lineage: str | None) -> Any:
        """What a hold on a thread remembers where nothing is stored."""
        return Memory(None, {}, (), lineage)

    def _known(self, stored: StoredCheckpoint, decoded: Decoded, lineage: str | None) -> Any:
        """What it remembers of what was read."""
        roots = self._roots(stored, decoded)
        return Memory(stored.key.checkpoint_id, stored.values, decoded.known, lineage, roots)

    def _roots(self, stored: StoredCheckpoint, decoded: Decoded) -> dict[str, Root]:
        """What is known of the large values that were read, by channel."""
        values = decoded.found.checkpoint["channel_values"]
        reach = decoded.reach.items()
        return {name: self._root(stored, name, values[name], reached) for name, reached in reach if reached}

    def _root(self, stored: StoredCheckpoint, name: str, value: Any, reached: frozenset[bytes]) -> Root:
        cell = stored.values[name]
        root = self._memos.root(stored.key[:2], stored.key.checkpoint_id, name, cell)
        if root is None:
            root = Root(cell, reached)
            root = retraced(root, value, stored.cells) if self._is_ours else root
        return root.seen(value)

    # -- writing

    def encode_writes(self, writes: TaskWrites, hold: Hold | None = None) -> Any:
        memory = Memory(None, {}, ()) if hold is None else hold.memory
        return encode_writes(CellWriter(self._content, self._seal), writes, memory)

    def encode_commit(self, superstep: Superstep, writes: Sequence[Any], hold: Hold | None = None) -> Commit:
        thread_id, namespace, parent_id, checkpoint_id, *_ = superstep
        try:
            metadata = metadata_of(superstep)
            encoded = self._encode(superstep, metadata, hold)
        except CheckpointSerializationError as error:
            raise owned(error, Key(thread_id, namespace, checkpoint_id)) from error.__cause__
        versions = superstep.new_versions
        if hold is None:
            return Commit(thread_id, namespace, parent_id, writes, encoded, metadata, versions)
        roots: Mapping[str, Root] = hold.memory.roots
        if roots:
            self._memos.note((thread_id, namespace), checkpoint_id, roots)
        step, parent = hold.step(checkpoint_id), hold.required_parent(parent_id)
        return Commit(thread_id, namespace, parent_id, writes, encoded, metadata, versions, step, parent)

    def _encode(self, superstep: Superstep, metadata: bytes, hold: Hold | None) -> Any:
        """A checkpoint as `acommit` gets it; the hold remembers it as the newest one of its run.

        Raises:
            CheckpointSerializationError: A value cannot be stored; the hold has nothing to remember.
        """
        thread_id, namespace, parent_id, checkpoint_id, moment, given, *_ = superstep
        before = Memory(None, {}, ()) if hold is None else hold.memory
        writer, skeleton = CellWriter(self._content, self._seal), _skeleton_of(superstep)
        values = encode_values(writer, given, superstep.new_versions, before)
        labels = label(writer, skeleton, self._labels, before.labels, before.known)
        document, reached, *_ = write_document(writer, skeleton, values.cells, labels)
        reached |= values.reached
        cells, places = unknown(writer.found, before), before.places_at(parent_id)
        if hold is not None:
            hold.memory = Memory(checkpoint_id, values.cells, reached, before.lineage, values.roots, labels)
        key = Key(thread_id, namespace, checkpoint_id)
        return EncodedCheckpoint(key, moment, values.cells, document, cells, before.lineage, reached, places)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        superstep = Superstep.of(config, checkpoint, metadata, new_versions)
        _require_versions(checkpoint)
        await self.acommit(self.encode_commit(superstep, ()))
        return config_for(superstep.thread_id, superstep.namespace, superstep.checkpoint_id)

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
            hold.memory.known = hold.memory.known.union(*(task.cells for task in writes))


# -- decoding


_NO_MEMOS = Memos(0)


def decode(serde: SerializerProtocol, stored: StoredCheckpoint, memos: Memos = _NO_MEMOS) -> Decoded:
    """A checkpoint with all that belongs to it.

    Args:
        serde: Reads what the cells hold.
        stored: The checkpoint.
        memos: Values that need not be read.

    Raises:
        CheckpointDeserializationError: Some part cannot be read back; the message tells which.
    """
    key, skeleton = stored.key, stored.skeleton
    reader = CellReader(serde, stored.cells)
    values, reach = {}, {}
    for name, kept in stored.values.items():
        known = memos.value(key[:2], key.checkpoint_id, name, kept)
        values[name], reach[name] = known or _read(reader, key, f"channel {name!r}", kept)
    writes, reached = _load_writes(reader, stored)
    assert skeleton.ts is not None
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
    return Decoded(found, reach, reached)


_NOTHING: frozenset[bytes] = frozenset()


def _load_writes(reader: CellReader, stored: StoredCheckpoint) -> tuple[list[PendingWrite], frozenset[bytes]]:
    writes, reached = [], _NOTHING
    for task, channel, kept in stored.writes:
        value, led_to = _read(reader, stored.key, f"task {task!r}, channel {channel!r}", kept)
        writes.append((task, channel, value))
        reached |= led_to
    return writes, reached


def _read(reader: CellReader, key: Key, what: str, kept: Any) -> tuple[Any, frozenset[bytes]]:
    """A value, and the addresses of the cells that it has led to."""
    if type(kept) is not Cell:
        return kept, _NOTHING
    value = reading(key, what, reader.value, kept)
    return value, reader.reached if kept.refs else _NOTHING
