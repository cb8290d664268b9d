"""What `InMemorySaver` keeps, and how that becomes what other savers store: rows, and cells.

A superstep is to leave little behind, and to take little time. So a value that cannot change is kept as it
is, and of a checkpoint only what sets it apart from its parent. The rest is put together when somebody reads.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from aiograph._ids import moment_of
from aiograph.channels.base import MISSING
from aiograph.checkpoint._hold import Head, Step, new_epoch
from aiograph.checkpoint._model import TaskName, task_id_of
from aiograph.checkpoint.base import ChannelVersions, ThreadInfo, VersionsSeen, write_position
from aiograph.checkpoint.serde._cells import Cell, Cells, reach
from aiograph.checkpoint.serde._stored import Key, Skeleton, StoredCheckpoint

Kept: TypeAlias = Any
"""A `Cell`, or a value that cannot change as it is."""

CellOf: TypeAlias = Callable[[Kept], Cell]
"""Makes a cell of what is kept."""

NO_CELLS: Cells = {}

_LEAST, _MOST = -(2**63), 2**63 - 1
"""Of integers."""

_LONGEST = 60
"""Characters of a text, or bytes, that are kept as they are: encoded, they stand inline whatever they are."""


def is_fixed(value: object) -> bool:
    """Whether a value cannot change, and is so small that it may be kept as it is."""
    kind = type(value)  # an instance of a subclass may have attributes
    if kind is int:
        return _LEAST <= value <= _MOST  # type: ignore[operator]  # it is one
    if kind is str or kind is bytes:
        return len(value) <= _LONGEST  # type: ignore[arg-type]  # it is one of them
    return value is None or kind is bool or kind is float


class Row(NamedTuple):
    """A checkpoint, or what sets it apart from its parent."""

    parent_id: str | None
    is_whole: bool
    """Else what it has in common with its parent is to be looked up there."""
    versions: ChannelVersions
    seen: VersionsSeen
    values: Mapping[str, Kept]
    """`MISSING` where the parent has a value, and it has none."""
    updated: tuple[str, ...] | None
    created_at: int
    ts: str | None
    """Its time as text, unless that follows from `created_at`."""
    v: int
    metadata: bytes

    def of(self, parent_id: str | None) -> "Row":
        """The row with another parent, of which it keeps nothing."""
        assert self.is_whole
        return self._replace(parent_id=parent_id)

    def skeleton(self) -> Skeleton:
        """The checkpoint without its values."""
        ts = self.ts or moment_of(self.created_at).isoformat()
        updated = None if self.updated is None else list(self.updated)
        seen: dict[str, Any] = {**self.seen}
        return Skeleton(self.v, ts, self.versions, seen, updated)


KeptCheckpoint: TypeAlias = tuple[str, Row, Cells]
"""The id of a checkpoint on its way to where it is kept, what that is, and what its values refer to."""

KeptWrites: TypeAlias = tuple[TaskName, str, Sequence[tuple[str, Kept]], Cells]
"""What a task is called, and its path; `(channel, value)`, as many and in the order as it has made them; and
what the values refer to."""


class _Write(NamedTuple):
    task_path: str
    task_id: str
    position: int
    channel: str
    kept: Kept


class Line:
    """One namespace of one thread."""

    __slots__ = ("head", "rows", "writes")

    def __init__(self) -> None:
        self.head: Head | None = None
        self.rows: dict[str, Row] = {}
        self.writes: dict[str, list[KeptWrites]] = {}
        """By checkpoint, as they have come; see `pending`."""

    def copy(self) -> "Line":
        line = Line()
        line.head = self.head and Head(self.head.checkpoint_id, new_epoch())
        line.rows = dict(self.rows)
        line.writes = {checkpoint_id: writes.copy() for checkpoint_id, writes in self.writes.items()}
        return line

    def admits(self, step: Step | None, required_parent: str | None) -> bool:
        """Whether a write may happen."""
        parent_is_there = required_parent is None or required_parent in self.rows
        return parent_is_there and (step is None or step.fits(self.head))

    def head_after(self, checkpoint_id: str) -> Head:
        """The head after a checkpoint was added by somebody who did not hold it: whoever does has lost it."""
        newest = checkpoint_id if self.head is None else max(checkpoint_id, self.head.checkpoint_id or "")
        return Head(newest, new_epoch())

    def record(self, checkpoint_id: str, tasks: Sequence[KeptWrites]) -> None:
        kept = self.writes.get(checkpoint_id)
        if kept is None:
            self.writes[checkpoint_id] = [*tasks]
        else:
            kept += tasks

    def whole(self, row: Row) -> Row:
        """A row with all that the checkpoint consists of."""
        changes = [row]
        while not row.is_whole:
            assert row.parent_id is not None
            changes.append(row := self.rows[row.parent_id])
        if len(changes) == 1:
            return row
        versions, seen, values = dict[str, Any](), dict[str, Any](), dict[str, Kept]()
        for change in reversed(changes):
            versions.update(change.versions)
            seen.update(change.seen)
            for name, kept in change.values.items():
                if kept is MISSING:
                    values.pop(name, None)
                else:
                    values[name] = kept
        return changes[0]._replace(is_whole=True, versions=versions, seen=seen, values=values)

    def pending(self, checkpoint_id: str) -> list[_Write]:
        """The writes beside a checkpoint, in order. Of writes to one place, the last one counts if it is to a
        special channel, else the first."""
        kept: dict[tuple[str, int], _Write] = {}
        for task, path, writes, _ in self.writes.get(checkpoint_id, ()):
            task_id = task_id_of(task)
            for index, (channel, value) in enumerate(writes):
                position = write_position(channel, index)
                place = (task_id, position)
                if position < 0 or place not in kept:
                    kept[place] = _Write(path, task_id, position, channel, value)
        return sorted(kept.values())

    def remove(self, checkpoint_ids: Iterable[str]) -> None:
        """Removes checkpoints, and writes beside none; the newest of the others becomes the head."""
        unwanted = {*checkpoint_ids}
        orphans = [each for each, row in self.rows.items() if row.parent_id in unwanted and not row.is_whole]
        self.rows.update({each: self.whole(self.rows[each]) for each in orphans if each not in unwanted})
        self.rows = {each: row for each, row in self.rows.items() if each not in unwanted}
        self.writes = {each: writes for each, writes in self.writes.items() if each in self.rows}
        newest = max(self.rows, default=None)
        if self.head is None or self.head.checkpoint_id != newest:
            self.head = Head(newest, new_epoch())

    def cells(self) -> Iterator[Cell]:
        """The cells that stand in rows."""
        return (kept for kept in self.kept() if type(kept) is Cell)

    def kept(self) -> Iterator[Kept]:
        """All that stands in rows."""
        for row in self.rows.values():
            yield from (kept for kept in row.values.values() if kept is not MISSING)
        for checkpoint_id in self.writes:
            yield from (write.kept for write in self.pending(checkpoint_id))


class Thread:
    """All namespaces of a thread, and the cells that they share."""

    __slots__ = ("cells", "lines")

    def __init__(self) -> None:
        self.cells: dict[bytes, Cell] = {}
        self.lines: dict[str, Line] = {}

    def _rows(self, namespace: str) -> Mapping[str, Row]:
        return self.lines[namespace].rows if namespace in self.lines else {}

    def keep_cells(self, tasks: Sequence[KeptWrites]) -> None:
        for _, _, _, cells in tasks:
            if cells:
                self.cells.update(cells)

    def read(self, key: Key) -> StoredCheckpoint | None:
        line = self.lines.get(key.namespace)
        row = None if line is None else line.rows.get(key.checkpoint_id)
        if line is None or row is None:
            return None
        row = line.whole(row)
        pending = [(write.task_id, write.channel, write.kept) for write in line.pending(key.checkpoint_id)]
        # what is swept later stays in the dict of cells that was handed out
        return StoredCheckpoint(
            key, row.parent_id, row.skeleton(), row.metadata, row.values, pending, self.cells
        )

    def is_part_of(self, other: "Thread") -> bool:
        """Whether the other one has all these checkpoints as well."""
        return all(
            line.rows.keys() <= other._rows(namespace).keys() for namespace, line in self.lines.items()
        )

    def copy(self) -> "Thread":
        thread = Thread()
        thread.cells = dict(self.cells)
        thread.lines = {namespace: line.copy() for namespace, line in self.lines.items()}
        return thread

    def sweep(self) -> None:
        """Forgets the cells that nothing leads to any more."""
        needed = reach((cell for line in self.lines.values() for cell in line.cells()), self.cells)
        self.cells = {address: self.cells[address] for address in needed}

    def info(self, thread_id: str, cell_of: CellOf) -> ThreadInfo | None:
        rows = [row for line in self.lines.values() for row in line.rows.values()]
        if not rows:
            return None
        size = sum(len(cell_of(kept).data) for line in self.lines.values() for kept in line.kept())
        size += sum(len(cell.data) + len(cell.refs) for cell in self.cells.values())
        size += sum(len(row.metadata) for row in rows)
        return ThreadInfo(thread_id, moment_of(max(row.created_at for row in rows)), len(rows), size)
