"""A superstep as cells: the writes of tasks, the values of a checkpoint, and the checkpoint as a document.

Each value is encoded once, when it changes. `Memory` is what this takes from one superstep to the next.
"""

from collections.abc import Iterable, Mapping, Set
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from aiograph import _ids
from aiograph.checkpoint.base import (
    Checkpoint,
    TaskWrites,
    checked_name,
    write_position,
)
from aiograph.checkpoint.serde._blocks import Draft, Root
from aiograph.checkpoint.serde._cells import Cell, Cells
from aiograph.checkpoint.serde._dividing import INLINE, CellWriter
from aiograph.checkpoint.serde._filter import microseconds, moment_of
from aiograph.checkpoint.serde._stored import EncodedWrite, EncodedWrites, Skeleton
from aiograph.checkpoint.serde.base import UnstorableValueError
from aiograph.errors import CheckpointSerializationError

_NOTHING: frozenset[bytes] = frozenset()


class Labels(NamedTuple):
    """The names that checkpoints of one graph have in common."""

    channels: list[str]
    nodes: list[str]
    root: Root
    places: Mapping[str, int]
    """By channel, where it stands among them."""
    have_come_again: bool = False


class Remembered(Protocol):
    """What is known of large values that were encoded before."""

    roots: Mapping[str, Root]
    """By channel, those of the newest checkpoint."""
    drafts: dict[str, Draft]
    """By channel, what tasks have written since: mostly, that is the value of the next checkpoint."""


class Memory:
    """What a hold remembers, for a saver that stores cells.

    It is replaced and never changed, but for what tasks write beside a checkpoint.
    """

    __slots__ = ("checkpoint_id", "drafts", "known", "labels", "lineage", "roots", "values")

    def __init__(
        self,
        checkpoint_id: str | None,
        values: Mapping[str, Cell],
        known: Iterable[bytes],
        lineage: str | None = None,
        roots: Mapping[str, Root] | None = None,
        labels: Labels | None = None,
    ) -> None:
        self.checkpoint_id = checkpoint_id
        """The newest checkpoint that was encoded, or the one that the run starts from."""
        self.values = values
        """The values of that checkpoint."""
        self.roots = roots or {}
        """Those of them that refer to other cells."""
        self.known = frozenset(known)
        """Addresses of what it leads to, or what is written beside it: no clean-up removes these."""
        self.lineage = lineage
        """That of the thread."""
        self.labels = labels
        """The names in the last document that was written."""
        self.drafts: dict[str, Draft] = {}
        """By channel, what tasks have written since: mostly, that is the value of the next checkpoint."""

    def places_at(self, checkpoint_id: str | None) -> Mapping[str, int] | None:
        """Where channels stand in a checkpoint, if it is the one that was encoded last."""
        if self.labels is None or checkpoint_id != self.checkpoint_id:
            return None
        return self.labels.places


# -- writes


def encode_writes(writer: CellWriter, task: TaskWrites, memory: Memory) -> EncodedWrites:
    """The writes of a task as cells; of several writes to one position, the last one counts."""
    task_id = checked_name(task.task_id, "task_id")
    checked_name(task.task_path, "task_path")
    rows = {}
    for index, (channel, value) in enumerate(task.writes):
        position = write_position(checked_name(channel, "channel"), index)
        cell = encode_write(writer, task, channel, value, memory)
        rows[position] = EncodedWrite(position, channel, cell)
    return EncodedWrites(task_id, task.task_path, list(rows.values()), unknown(writer.found, memory))


def encode_write(writer: CellWriter, task: TaskWrites, channel: str, value: Any, memory: Remembered) -> Cell:
    """One write of a task.

    Raises:
        CheckpointSerializationError: It cannot be stored.
    """
    try:
        return _written(writer, value, channel, memory)
    except CheckpointSerializationError as error:
        raise owned(_within(error, channel), f"task {task.task_id!r}") from error.__cause__


def _written(writer: CellWriter, value: Any, channel: str, memory: Remembered) -> Cell:
    whole = writer.short(value)
    if whole is not None and len(whole.data) <= INLINE:
        return whole
    draft = writer.draft(value, whole, memory.roots.get(channel))
    if draft.root.divisions or draft.root.blocks:
        memory.drafts[channel] = draft
    return draft.root.cell


def _within(error: CheckpointSerializationError, channel: str) -> CheckpointSerializationError:
    """The same error that tells the channel."""
    if isinstance(error, UnstorableValueError):
        return error.within(channel)
    return CheckpointSerializationError(f"channel {channel!r}: {error}")


def owned(error: CheckpointSerializationError, owner: object) -> CheckpointSerializationError:
    """The same error that tells what was to be stored."""
    if isinstance(error, UnstorableValueError):
        return error.of(owner)
    return CheckpointSerializationError(f"{owner}: {error}")


def unknown(found: Cells, memory: Memory) -> Cells:
    """Those of some cells that are not known to be stored."""
    known = memory.known
    return {address: cell for address, cell in found.items() if address not in known} if found else found


# -- values


class Values(NamedTuple):
    """The values of a checkpoint."""

    cells: dict[str, Cell]
    roots: dict[str, Root]
    """Of those that refer to other cells."""

    @property
    def reached(self) -> frozenset[bytes]:
        """The addresses of all cells that they lead to."""
        return frozenset().union(*(root.reach for root in self.roots.values())) if self.roots else _NOTHING


def encode_values(
    writer: CellWriter, given: Mapping[str, Any], changed: Iterable[str], memory: Memory
) -> Values:
    """The values of a checkpoint. Those that have not changed are taken from the one before, unseen."""
    cells, roots = {**memory.values}, {**memory.roots}
    values = Values(cells, roots)
    for name in changed:
        if name in given:
            encode_value(writer, given[name], name, values, memory)
        elif name in cells:
            _drop(values, name)
    if len(cells) != len(given):
        for name in [name for name in given if name not in cells]:  # new, though nobody said so
            encode_value(writer, given[name], name, values, memory)
        for name in [name for name in cells if name not in given]:  # left behind by another graph
            _drop(values, name)
    return values


def encode_value(writer: CellWriter, value: Any, name: str, values: Values, memory: Remembered) -> None:
    """Adds one value.

    Raises:
        CheckpointSerializationError: It cannot be stored.
    """
    try:
        root = writer.root(value, memory.roots.get(name), memory.drafts.get(name))
    except CheckpointSerializationError as error:
        raise _within(error, name) from error.__cause__
    values.cells[name] = root.cell
    if root.reach:
        values.roots[name] = root
    else:
        values.roots.pop(name, None)


def _drop(values: Values, name: str) -> None:
    del values.cells[name]
    values.roots.pop(name, None)


# -- the checkpoint itself


def created_at(checkpoint: Checkpoint) -> int:
    """When a checkpoint was made, in microseconds since 1970; a time without an offset is in UTC.

    Raises:
        CheckpointSerializationError: Its `ts` is not a time.
    """
    if (known := _ids.microseconds_told(checkpoint["ts"])) is not None:
        return known
    try:
        moment = datetime.fromisoformat(checkpoint["ts"])
    except (ValueError, TypeError) as error:
        raise CheckpointSerializationError(
            f"checkpoint {checkpoint['id']!r}: ts={checkpoint['ts']!r} is not a time in ISO 8601"
        ) from error
    return microseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def skeleton_of(checkpoint: Checkpoint) -> Skeleton:
    """A checkpoint without its values."""
    return Skeleton(
        checkpoint["v"],
        checkpoint["ts"],
        checkpoint["channel_versions"],
        checkpoint["versions_seen"],
        checkpoint["updated_channels"],
    )


def label(
    writer: CellWriter, skeleton: Skeleton, before: Labels | None = None, known: Set[bytes] = _NOTHING
) -> Labels:
    """The names in a checkpoint; those of the last one, if they are the same.

    Names that have just changed may well change again, as in the first supersteps of a sequence: unless they
    are long, they stand in the checkpoint. Those that come again have a cell of their own.

    Args:
        writer: Makes the cells.
        skeleton: Has the names.
        before: The names in the last checkpoint, if that is known.
        known: Addresses of cells that are stored.
    """
    channels, nodes = list(skeleton.channel_versions), list(skeleton.versions_seen)
    come_again = before is not None and before.channels == channels and before.nodes == nodes
    if before is not None and come_again and before.have_come_again:
        return before
    parts = [writer.root(channels), writer.root(nodes)]
    root = writer.shared(parts) if come_again else writer.shared_if_known(parts, known)
    places = dict(zip(channels, range(len(channels)), strict=True))
    return Labels(channels, nodes, root, places, come_again)


def write_document(
    writer: CellWriter, skeleton: Skeleton, created_at: int, values: Mapping[str, Cell], labels: Labels
) -> Root:
    """A checkpoint as one cell.

    Channels are told by their places among the versions, and its time only if it does not follow from
    `created_at`. The names of channels and nodes stand by themselves once they stay the same.
    """
    ts, place_of, updated = _untold(skeleton.ts, created_at), labels.places.get, skeleton.updated_channels
    seen = [
        [part for name, version in each.items() for part in (place_of(name, name), version)]
        for each in skeleton.versions_seen.values()
    ]
    parts = [
        writer.root([skeleton.v, ts, updated and [place_of(name, name) for name in updated]]),
        labels.root,
        writer.root(list(skeleton.channel_versions.values())),
        writer.root(seen),
        writer.mapping({place_of(name, name): cell for name, cell in values.items()}),
    ]
    document = writer.record([part.cell for part in parts])
    return Root(document, frozenset().union(*(part.reach for part in parts)))


def _untold(ts: str, moment: int) -> str | None:
    """A time as text, unless that follows from its microseconds."""
    known = _ids.microseconds_told(ts) == moment or moment_of(moment).isoformat() == ts
    return None if known else ts
