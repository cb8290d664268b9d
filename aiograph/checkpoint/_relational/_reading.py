"""What a saver reads from its tables: queries, and what their rows amount to."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import NoneType
from typing import Any, NamedTuple

from aiograph._ids import moment_of
from aiograph._sql.session import Query, Row
from aiograph.checkpoint._hold import Head
from aiograph.checkpoint._relational._cache import NOTHING, Known
from aiograph.checkpoint._relational._dialect import Dialect
from aiograph.checkpoint._relational._sealing import SealedCells, Sealer
from aiograph.checkpoint.base import ThreadInfo
from aiograph.checkpoint.serde._cells import Cell, CellReader, unpack_entries
from aiograph.checkpoint.serde._document import read_document, reading
from aiograph.checkpoint.serde._seal import Seal
from aiograph.checkpoint.serde._stored import Key, Listing, StoredCheckpoint
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.errors import CheckpointDeserializationError

# One statement brings a page of checkpoints with all that belongs to them; the first column tells what a
# row is, the last four are those of a cell.
_CHECKPOINT, _WRITE, _CELL, _HEAD, _LINEAGE = range(5)

_PARTS = {
    _CHECKPOINT: "the checkpoint itself",
    _WRITE: "a write",
    _HEAD: "the head of its namespace",
    _LINEAGE: "the lineage of its thread",
}
_TYPES = frozenset({(*[str] * 6, int), (str, str, str, NoneType, str, str, int)})
"""Of what stands between the first column and those of a cell; only a parent may be missing."""

REFS = 10
"""The column of references."""

_READ = """
WITH RECURSIVE page AS (
    SELECT * FROM checkpoints WHERE {conditions}
    ORDER BY checkpoint_id DESC, thread_id DESC, checkpoint_ns DESC LIMIT ?
), pending AS (
    SELECT w.* FROM page CROSS JOIN checkpoint_writes AS w
    WHERE w.thread_id = page.thread_id AND w.checkpoint_ns = page.checkpoint_ns
        AND w.checkpoint_id = page.checkpoint_id
) {reach}
SELECT 0, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, CAST(metadata AS TEXT), '',
    created_at, {nothing}, type, refs, checkpoint
FROM page
UNION ALL
SELECT 1, thread_id, checkpoint_ns, checkpoint_id, task_id, channel, task_path,
    idx, {nothing}, type, refs, blob
FROM pending
{more}
"""

_READ_CELLS = """
UNION ALL
SELECT 2, b.thread_id, NULL, NULL, NULL, NULL, NULL, NULL, b.address, b.type, b.refs, b.blob
FROM reach CROSS JOIN checkpoint_blobs AS b
WHERE b.thread_id = reach.thread_id AND b.address = reach.address
"""

_PAGE_REFS = "SELECT thread_id, refs FROM page UNION ALL SELECT thread_id, refs FROM pending"

_READ_SOME_CELLS = """
SELECT b.address, b.type, b.refs, b.blob FROM {places} AS place CROSS JOIN checkpoint_blobs AS b
WHERE b.thread_id = ?1 AND b.address = substr(?2, place, 16)
"""

_READ_HEAD = """
UNION ALL
SELECT 3, thread_id, checkpoint_ns, checkpoint_id, '', '', '', epoch, {nothing}, '', {nothing}, {nothing}
FROM checkpoint_heads WHERE thread_id = ? AND checkpoint_ns = ?
"""

_READ_LINEAGE = """
UNION ALL
SELECT DISTINCT 4, thread_id, lineage, '', '', '', '', 0, {nothing}, '', {nothing}, {nothing}
FROM checkpoint_heads WHERE thread_id IN (SELECT thread_id FROM page)
"""

_READ_LINEAGE_OF_THREAD = _READ_LINEAGE.replace("IN (SELECT thread_id FROM page)", "= ?")

_SELECT_THREADS = """
WITH newest AS (
    SELECT thread_id, max(created_at) AS updated_at, count(*) AS checkpoints,
        sum(length(checkpoint) + length(refs) + length(CAST(metadata AS TEXT))) AS size
    FROM checkpoints GROUP BY thread_id {having}
    ORDER BY updated_at DESC, thread_id DESC LIMIT ?
)
SELECT thread_id, updated_at, checkpoints, CAST(size
    + COALESCE((SELECT sum(length(blob) + length(refs)) FROM checkpoint_blobs AS b
        WHERE b.thread_id = newest.thread_id), 0)
    + COALESCE((SELECT sum(length(blob) + length(refs)) FROM checkpoint_writes AS w
        WHERE w.thread_id = newest.thread_id), 0) AS BIGINT)
FROM newest ORDER BY updated_at DESC, thread_id DESC
"""

_SELECT_LINEAGE = "SELECT lineage FROM checkpoint_heads WHERE thread_id = ? LIMIT 1"

_SELECT_THREADS_OF_RUNS = "SELECT DISTINCT thread_id FROM checkpoints WHERE {condition}"

Conditions = Sequence[tuple[str, Sequence[Any]]]


def is_there() -> Query:
    """Nothing but that the tables can be read."""
    return Query("SELECT 1 FROM checkpoint_heads LIMIT 1")


def lineage_of(thread_id: str) -> Query:
    """The lineage of a thread."""
    return Query(_SELECT_LINEAGE, (thread_id,))


def all_threads() -> Query:
    """The threads that have checkpoints."""
    return Query("SELECT DISTINCT thread_id FROM checkpoints")


def threads_of_runs(condition: str, run_ids: Sequence[str]) -> Query:
    """The threads in which some runs have left checkpoints."""
    return Query(_SELECT_THREADS_OF_RUNS.format(condition=condition), run_ids)


def read_threads(limit: int, after: tuple[int, str] | None) -> Query:
    """Threads, those that changed last first; `after` is the last one of the page before."""
    having = "" if after is None else "HAVING (max(created_at), thread_id) < (?, ?)"
    return Query(_SELECT_THREADS.format(having=having), (*(after or ()), limit))


class Wants(NamedTuple):
    """What is to be read besides checkpoints and writes."""

    cells: bool
    """What they refer to."""
    lineage: bool
    """The lineage of their threads."""


def read_one(
    dialect: Dialect, thread_id: str, namespace: str, checkpoint_id: str | None, wants: Wants
) -> Query:
    """One checkpoint, or the newest one, and the head of its namespace.

    Args:
        dialect: The database's.
        thread_id: The thread.
        namespace: The namespace.
        checkpoint_id: The checkpoint; `None` for the newest one.
        wants: What else is needed.
    """
    conditions: list[tuple[str, Sequence[Any]]] = [
        ("thread_id = ?", [thread_id]),
        ("checkpoint_ns = ?", [namespace]),
    ]
    if checkpoint_id is not None:
        conditions.append(("checkpoint_id = ?", [checkpoint_id]))
    more = _READ_HEAD + (_READ_LINEAGE_OF_THREAD if wants.lineage else "")
    parameters = [thread_id, namespace, *([thread_id] if wants.lineage else [])]
    query = _read(dialect, conditions, 1, wants, more)
    return Query(query.sql, [*query.parameters, *parameters])


def read_page(dialect: Dialect, listing: Listing, after: Key | None, size: int, wants: Wants) -> Query:
    """The next checkpoints of a listing, newest first.

    Args:
        dialect: The database's.
        listing: What is listed.
        after: The last checkpoint of the page before.
        size: How many to read at most.
        wants: What else is needed.
    """
    given: list[tuple[str, Sequence[Any]]] = [
        ("thread_id = ?", [listing.thread_id]),
        ("checkpoint_ns = ?", [listing.namespace]),
        ("checkpoint_id = ?", [listing.checkpoint_id]),
        ("checkpoint_id < ?", [listing.before]),
        ("(checkpoint_id, thread_id, checkpoint_ns) < (?, ?, ?)", after.rank if after else [None]),
    ]
    conditions = [each for each in given if each[1][0] is not None]
    if listing.filter is not None:
        conditions += dialect.conditions(listing.filter)
    return _read(dialect, conditions, size, wants, _READ_LINEAGE if wants.lineage else "")


def _read(dialect: Dialect, conditions: Conditions, size: int, wants: Wants, more: str) -> Query:
    sql = _READ.format(
        conditions=" AND ".join(condition for condition, _ in conditions) or "1 = 1",
        reach=", " + dialect.reach.format(sources=_PAGE_REFS) if wants.cells else "",
        nothing=dialect.nothing,
        more=(_READ_CELLS if wants.cells else "") + more.format(nothing=dialect.nothing),
    )
    return Query(sql, [*(value for _, given in conditions for value in given), size])


def read_cells(dialect: Dialect, thread_id: str, addresses: Iterable[bytes]) -> Query:
    """Cells of a thread: address, type, references and data of each."""
    return Query(_READ_SOME_CELLS.format(places=dialect.places), (thread_id, b"".join(addresses)))


# -- what the rows amount to


class Brought(NamedTuple):
    """The rows that one or several queries have brought."""

    rows: Sequence[Row]
    """Of checkpoints and what goes with them."""
    cells: Mapping[str, Sequence[Row]]
    """By thread, the cells that these lead to: address, type, references and data of each."""
    is_whole: bool = True
    """Whether all cells were there that were asked for."""


def parted(rows: Iterable[Row]) -> Brought:
    """What one query has brought, with the cells."""
    others: list[Row] = []
    cells: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row[0] == _CELL:
            cells[row[1]].append(row[8:])
        else:
            others.append(row)
    return Brought(others, cells)


class Found(NamedTuple):
    """What a read has brought."""

    checkpoints: list[StoredCheckpoint]
    """Newest first."""
    head: Head | None
    lineage: str | None
    """Of the last thread that it was asked for."""


def found(serde: SerializerProtocol, seal: Seal, brought: Brought, known: Known = NOTHING) -> Found:
    """Puts rows together.

    Args:
        serde: Reads what the cells hold.
        seal: Opens the cells.
        brought: The rows.
        known: Cells of their thread that need not have been brought.

    Raises:
        CheckpointDeserializationError: A checkpoint cannot be read.
    """
    sorted_out: dict[int, list[Row]] = defaultdict(list)
    for row in brought.rows:
        sorted_out[row[0]].append(_of_its_types(row))
    lineages = {thread_id: lineage for _, thread_id, lineage, *_ in sorted_out[_LINEAGE]}
    page = _Page(serde, seal, lineages, brought.cells, known)
    writes: dict[Key, list[Row]] = defaultdict(list)
    for row in sorted_out[_WRITE]:
        writes[Key(*row[1:4])].append(row)
    checkpoints = [page.checkpoint(row, writes[Key(*row[1:4])]) for row in sorted_out[_CHECKPOINT]]
    checkpoints.sort(key=lambda stored: stored.key.rank, reverse=True)
    heads = [Head(row[3] or None, row[7]) for row in sorted_out[_HEAD]]
    return Found(checkpoints, heads[0] if heads else None, next(iter(lineages.values()), None))


def _of_its_types(row: Row) -> Row:
    """A row as it is: SQLite keeps what it is given, in a column of any type.

    Raises:
        CheckpointDeserializationError: A name in it is no text, or a number no number.
    """
    if tuple(map(type, row[1:8])) not in _TYPES:
        raise CheckpointDeserializationError(
            f"{Key(*row[1:4])}, {_PARTS[row[0]]}: a column holds what is not of its type"
        )
    return row


def thread_info(row: Row) -> ThreadInfo:
    """What a row of `read_threads` tells.

    Raises:
        CheckpointDeserializationError: It tells of no thread, or of no time.
    """
    thread_id, updated_at, checkpoints, length = row
    try:
        return ThreadInfo(_text(thread_id), moment_of(updated_at), checkpoints, length)
    except (TypeError, OverflowError) as error:
        raise CheckpointDeserializationError(
            f"thread {thread_id!r}: its name, or the time of its newest checkpoint, {updated_at!r}, is none"
        ) from error


def _text(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a name is text, not {name!r}")
    return name


class _Page:
    """The threads that some rows belong to."""

    def __init__(
        self,
        serde: SerializerProtocol,
        seal: Seal,
        lineages: Mapping[str, str],
        cells: Mapping[str, Sequence[Row]],
        known: Known,
    ) -> None:
        self._known = known
        self._serde = serde
        self._seal = seal
        self._lineages = lineages
        self._cells = {
            thread_id: SealedCells(self._sealer(thread_id), rows, known)
            for thread_id, rows in cells.items()
            if rows
        }

    def _sealer(self, thread_id: str) -> Sealer:
        return Sealer(self._seal, self._lineages.get(thread_id, thread_id))

    def checkpoint(self, row: Row, writes: Sequence[Row]) -> StoredCheckpoint:
        key = Key(*row[1:4])
        fetched, sealer = self._cells.get(key.thread_id), self._sealer(key.thread_id)
        cells, size = (self._known.cells, 0) if fetched is None else (fetched, fetched.size)
        document = reading(key, "the checkpoint itself", lambda each: sealer.open(each, *key[1:]), row[9:])
        skeleton, values = read_document(CellReader(self._serde, cells), key, document, row[7])
        pending = [
            write
            for each in sorted(writes, key=lambda each: (each[6], each[4], each[7]))
            for write in self._writes(sealer, key, each, list(skeleton.channel_versions))
        ]
        size += self._known.size
        return StoredCheckpoint(key, row[4], skeleton, row[5], values, pending, cells, size)

    def _writes(
        self, sealer: Sealer, key: Key, row: Row, names: Sequence[str]
    ) -> Sequence[tuple[str, str, Cell]]:
        """What stands in a row: one write, or without a channel several, to channels named or numbered."""
        task_id, channel, position = row[4], row[5], str(row[7])

        def opened(stored: Any) -> Sequence[tuple[str, Cell]]:
            cell = sealer.open(stored, *key[1:], task_id, position, channel)
            if channel:
                return [(channel, cell)]
            entries = unpack_entries(cell)
            return [(names[name] if isinstance(name, int) else name, each) for name, each in entries]

        about = f"task {task_id!r}, " + (f"channel {channel!r}" if channel else "its writes")
        return [(task_id, name, cell) for name, cell in reading(key, about, opened, row[9:])]
