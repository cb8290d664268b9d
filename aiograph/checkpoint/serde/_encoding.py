"""A superstep as cells: the writes of tasks, and the values of a checkpoint.

Each value is encoded once, when it changes. `Memory` is what this takes from one superstep to the next.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from aiograph.checkpoint.base import (
    TaskWrites,
    checked_name,
    write_position,
)
from aiograph.checkpoint.serde._blocks import Draft, Root
from aiograph.checkpoint.serde._cells import Cell, Cells
from aiograph.checkpoint.serde._dividing import INLINE, CellWriter
from aiograph.checkpoint.serde._document import Labels
from aiograph.checkpoint.serde._stored import EncodedWrite, EncodedWrites
from aiograph.checkpoint.serde.base import UnstorableValueError
from aiograph.errors import CheckpointSerializationError

_NOTHING: frozenset[bytes] = frozenset()


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
