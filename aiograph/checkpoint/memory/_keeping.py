"""How a superstep becomes what `InMemorySaver` keeps; see `_kept`."""

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

from aiograph.channels.base import MISSING
from aiograph.checkpoint._hold import Hold
from aiograph.checkpoint.base import (
    ChannelVersions,
    Superstep,
    TaskWrites,
    VersionsSeen,
    checked_name,
)
from aiograph.checkpoint.memory._kept import NO_CELLS, Kept, KeptCheckpoint, KeptWrites, Row, is_fixed
from aiograph.checkpoint.serde._blocks import Draft, Root
from aiograph.checkpoint.serde._cells import Cell, Cells
from aiograph.checkpoint.serde._dividing import CellWriter
from aiograph.checkpoint.serde._encoding import Values, encode_value, encode_write
from aiograph.checkpoint.serde._stored import StoredCheckpoint
from aiograph.checkpoint.serde.encoded import Decoded, EncodingSaver

_FEW = 64
"""Entries that may be looked up in rows above, even if a whole row has fewer."""


class Trail:
    """What a hold remembers for a saver in memory: the checkpoint that its run has handed over last.

    It is changed in place, and only by supersteps that can be stored.
    """

    __slots__ = ("drafts", "names", "room", "roots", "values")

    def __init__(
        self, values: Mapping[str, Kept] | None = None, roots: Mapping[str, Root] | None = None
    ) -> None:
        self.values: dict[str, Kept] = {**(values or {})}
        """`MISSING` where it has none any more."""
        self.roots: Mapping[str, Root] = roots or {}
        """Those of large values."""
        self.drafts: dict[str, Draft] = {}
        """By channel, what tasks have written since."""
        self.names: set[str] = set()
        """Names that can be stored."""
        self.room = -1
        """How many entries may change before a row is whole again, so that rows need not be followed far.
        Below zero before there is any row."""

    def follow(self, row: Row, roots: Mapping[str, Root]) -> None:
        """Goes on to a checkpoint."""
        if row.is_whole:
            self.values = {**row.values}
            self.room = max(_FEW, len(row.versions) + len(row.seen))
        else:
            self.values.update(row.values)
            self.room -= len(row.versions) + len(row.seen)
        self.roots, self.drafts = roots, {}


_Values: TypeAlias = tuple[dict[str, Kept], Mapping[str, Root], Cells]
"""Values of a checkpoint; the roots of all large ones; and what the values refer to."""


class KeepingSaver(EncodingSaver):
    """Detaches supersteps from the live state; a subclass keeps and reads.

    What its `acommit` gets is a `KeptCheckpoint` and `KeptWrites`.
    """

    def _cell_of(self, kept: Kept) -> Cell:
        """What is kept as a cell."""
        return kept if type(kept) is Cell else Cell(*self._content.dumps_typed(kept))

    def _nothing_known(self, lineage: str | None) -> Trail:
        return Trail()

    def _known(self, stored: StoredCheckpoint, decoded: Decoded, lineage: str | None) -> Trail:
        return Trail(stored.values, self._roots(stored, decoded))

    def encode_writes(self, writes: TaskWrites, hold: Hold | None = None) -> KeptWrites:
        trail: Trail = Trail() if hold is None else hold.memory
        task, path, written = writes
        if hold is None:
            checked_name(writes.task_id, "task_id")
        names = trail.names  # of a run, they are few
        if path not in names:
            names.add(checked_name(path, "task_path"))
        writer, kept = None, []
        for channel, value in written:
            if channel not in names:
                names.add(checked_name(channel, "channel"))
            if not (self._is_ours and is_fixed(value)):
                writer = writer or CellWriter(self._content, self._seal)
                value = encode_write(writer, writes, channel, value, trail)
            kept.append((channel, value))
        return task, path, tuple(kept), NO_CELLS if writer is None else writer.found

    def _encode(self, superstep: Superstep, metadata: bytes, hold: Hold | None) -> KeptCheckpoint:
        trail: Trail = Trail() if hold is None else hold.memory
        _, _, parent_id, checkpoint_id, created_at, given, _, _, names, versions, seen, *_ = superstep
        is_whole = seen is None or trail.room < len(versions) + len(seen)
        keep = self._all_values if is_whole else self._values
        values, roots, cells = keep(given, versions, trail)
        if seen is None or is_whole:
            versions, seen = _detached(superstep)
        updated, ts, v = None if names is None else tuple(names), superstep.ts, superstep.v
        row = Row(parent_id, is_whole, versions, seen, values, updated, created_at, ts, v, metadata)
        trail.follow(row, roots)
        return checkpoint_id, row, cells

    def _values(self, given: Mapping[str, Any], changed: Collection[str], trail: Trail) -> _Values:
        """The values that have changed; those that are there no longer are `MISSING`.

        Raises:
            CheckpointSerializationError: One cannot be stored.
        """
        kept: dict[str, Kept] = {}
        writer, roots = None, {**trail.roots}
        for name in changed:
            value = given.get(name, MISSING)
            if (self._is_ours and is_fixed(value)) or name not in given:
                kept[name] = value
                roots.pop(name, None)
            else:
                writer = writer or CellWriter(self._content, self._seal)
                encode_value(writer, value, name, Values(kept, roots), trail)
        return kept, roots, NO_CELLS if writer is None else writer.found

    def _all_values(self, given: Mapping[str, Any], changed: Collection[str], trail: Trail) -> _Values:
        """All values; of those that have not changed, what was kept of them before, unseen.

        Raises:
            CheckpointSerializationError: One cannot be stored.
        """
        before = trail.values
        names = [name for name in given if name in changed or before.get(name, MISSING) is MISSING]
        new, roots, cells = self._values(given, names, trail)
        values = {name: new[name] if name in new else before[name] for name in given}
        return values, {name: root for name, root in roots.items() if name in given}, cells


def _detached(superstep: Superstep) -> tuple[ChannelVersions, VersionsSeen]:
    """All versions, and what nodes have seen of them; later changes do not reach these."""
    seen = {node: {**versions} for node, versions in superstep.seen.items()}
    return {**superstep.versions}, seen
