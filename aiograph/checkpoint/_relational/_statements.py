"""What a saver changes in its tables, as values."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from aiograph._sql.session import Change, Guard
from aiograph.checkpoint._hold import Head, Step, new_epoch
from aiograph.checkpoint._relational._dialect import Dialect
from aiograph.checkpoint._relational._ids import told
from aiograph.checkpoint._relational._sealing import Sealer
from aiograph.checkpoint.serde._cells import Cells, pack_entries
from aiograph.checkpoint.serde._stored import EncodedCheckpoint, EncodedWrite, EncodedWrites, Key

Statements = list[Change | Guard]
Refusal = Callable[[], Exception]

# -- the head

# A head row without a checkpoint has an empty id. The second part of each condition is the repetition of
# what has happened already.
_TAKE_NEW_HEAD = """
INSERT INTO checkpoint_heads (thread_id, checkpoint_ns, checkpoint_id, epoch, lineage) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (thread_id, checkpoint_ns) DO UPDATE SET epoch = excluded.epoch
WHERE checkpoint_heads.epoch = excluded.epoch AND checkpoint_heads.checkpoint_id = excluded.checkpoint_id
RETURNING {keep}
"""

_TAKE_HEAD = """
UPDATE checkpoint_heads SET checkpoint_id = id(?3), epoch = ?4
WHERE thread_id = id(?1) AND checkpoint_ns = ?2
    AND (checkpoint_id = id(?5) AND epoch = ?6 OR checkpoint_id = id(?3) AND epoch = ?4)
RETURNING 1
"""

# Who finds its own epoch there has put the checkpoint there as well: the one before, so that nothing is ever
# stored behind a gap, or this one.
_MOVE_HEAD = """
UPDATE checkpoint_heads SET checkpoint_id = id(?3)
WHERE thread_id = id(?1) AND checkpoint_ns = ?2 AND epoch = ?4 AND checkpoint_id IN (id(?5), id(?3))
RETURNING 1
"""

_PUSH_HEAD = """
INSERT INTO checkpoint_heads (thread_id, checkpoint_ns, checkpoint_id, epoch, lineage) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (thread_id, checkpoint_ns) DO UPDATE SET
    epoch = excluded.epoch,
    checkpoint_id = CASE WHEN excluded.checkpoint_id > checkpoint_heads.checkpoint_id
        THEN excluded.checkpoint_id ELSE checkpoint_heads.checkpoint_id END
"""

_HAS_EPOCH = """
SELECT 1 FROM checkpoint_heads WHERE thread_id = ? AND checkpoint_ns = ? AND epoch = ? {share}
"""

_HAS_CHECKPOINT = """
SELECT 1 FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? {share}
"""


def take_head(dialect: Dialect, line: tuple[str, str], lineage: str, step: Step, refusal: Refusal) -> Guard:
    """Takes the head of a namespace, if it is as the step expects it; clean-ups are kept away by that."""
    if step.before is None:
        sql = _TAKE_NEW_HEAD.format(keep=dialect.keep or "1")
        return Guard(sql, (*line, *_row(step.after), lineage), refusal)
    thread_id, namespace = line
    wanted = (dialect.compact(thread_id), namespace, *_compact_row(dialect, step.after))
    before, epoch = _compact_row(dialect, step.before)
    if step.before.epoch == step.after.epoch:
        return Guard(told(_MOVE_HEAD, dialect.id_text), (*wanted, before), refusal)
    return Guard(told(_TAKE_HEAD, dialect.id_text), (*wanted, before, epoch), refusal)


def push_head(dialect: Dialect, key: Key, lineage: str) -> Statements:
    """Makes a checkpoint the head, unless it is an older one; whoever holds the head loses it."""
    pushed = Change(_PUSH_HEAD, [(*key, new_epoch(), lineage)])
    return [pushed, *keep_thread(dialect, key.thread_id)]


def keep_thread(dialect: Dialect, thread_id: str) -> Statements:
    """Keeps clean-ups of a thread away, for whoever has not locked a head that they know of."""
    if dialect.keep is None:
        return []
    kept = f"SELECT {dialect.keep} FROM (SELECT id(?1) AS thread_id) AS kept"
    return [Change(told(kept, dialect.id_text), [(dialect.compact(thread_id),)])]


def has_epoch(key: Key, epoch: int, refusal: Refusal) -> Guard:
    """Asks for the head to be held by the run with this epoch."""
    return Guard(_HAS_EPOCH, (*key[:2], epoch), refusal)


def has_checkpoint(key: Key, refusal: Refusal) -> Guard:
    """Asks for a checkpoint to be there."""
    return Guard(_HAS_CHECKPOINT, key, refusal)


def _row(head: Head) -> tuple[str, int]:
    return head.checkpoint_id or "", head.epoch


def _compact_row(dialect: Dialect, head: Head) -> tuple[Any, int]:
    return dialect.compact(head.checkpoint_id or ""), head.epoch


# -- checkpoints and writes

_INSERT_CHECKPOINT = """
INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, created_at,
    type, refs, checkpoint, metadata)
VALUES (id(?1), ?2, id(?3), id(?4), ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING
"""

_INSERT_BLOBS = """
INSERT INTO checkpoint_blobs (thread_id, address, type, refs, blob) VALUES {rows}
ON CONFLICT DO NOTHING
"""

_BLOBS_AT_ONCE = 16
"""Cells that one statement inserts, at most: databases prepare one for each number of them."""

# A position below 0 belongs to a channel whose writes replace each other.
_INSERT_WRITE = """
INSERT INTO checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel,
    type, refs, blob)
VALUES (id(?1), ?2, id(?3), id(?4), ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) DO UPDATE SET
    task_path = excluded.task_path, channel = excluded.channel,
    type = excluded.type, refs = excluded.refs, blob = excluded.blob
WHERE excluded.idx < 0
"""

_DELETE_WRITES = """
DELETE FROM checkpoint_writes
WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? AND task_id = ?
"""


def insert_checkpoint(
    dialect: Dialect,
    sealer: Sealer,
    key: Key,
    parent_id: str | None,
    checkpoint: EncodedCheckpoint,
    metadata: bytes,
) -> Change:
    """Stores a checkpoint, unless it is there."""
    parent = None if parent_id is None else dialect.compact(parent_id)
    stored = sealer.close(checkpoint.document, *key[1:])
    row = (*_compact_key(dialect, key), parent, checkpoint.created_at, *stored, metadata.decode())
    return Change(told(_INSERT_CHECKPOINT, dialect.id_text), [row])


def _compact_key(dialect: Dialect, key: Key) -> tuple[Any, str, Any]:
    return dialect.compact(key.thread_id), key.namespace, dialect.compact(key.checkpoint_id)


def insert_cells(dialect: Dialect, sealer: Sealer, thread_id: str, cells: Cells) -> Statements:
    """Stores cells, where they are not there. Clean-ups, which would remove what is new, are kept away."""
    rows = [(address, *sealer.close(cell)) for address, cell in sorted(cells.items())]
    return _insert_blobs(dialect, dialect.compact(thread_id), rows) if rows else []


def _insert_blobs(dialect: Dialect, thread: Any, rows: Sequence[Sequence[Any]]) -> Statements:
    """Rows of blobs in few statements, each of which is told once which thread they belong to."""
    groups = [rows[start : start + _BLOBS_AT_ONCE] for start in range(0, len(rows), _BLOBS_AT_ONCE)]
    parameters = [(thread, *(value for row in group for value in row)) for group in groups]
    rest = len(rows) % _BLOBS_AT_ONCE
    full = len(groups) - bool(rest)
    changes = ((_BLOBS_AT_ONCE, parameters[:full]), (rest, parameters[full:]))
    return [Change(told(_blobs(count), dialect.id_text), bound) for count, bound in changes if bound]


@lru_cache(maxsize=_BLOBS_AT_ONCE)
def _blobs(count: int) -> str:
    """The statement that inserts so many blobs; the thread is its first parameter."""
    numbers = range(2, 2 + 4 * count, 4)
    rows = (f"(id(?1), ?{n}, ?{n + 1}, ?{n + 2}, ?{n + 3})" for n in numbers)
    return _INSERT_BLOBS.format(rows=", ".join(rows))


def insert_writes(
    dialect: Dialect,
    sealer: Sealer,
    key: Key,
    tasks: Iterable[EncodedWrites],
    *,
    whole: bool,
    places: Mapping[str, int] | None = None,
) -> Change:
    """Stores the writes of tasks beside a checkpoint.

    Args:
        dialect: The database's.
        sealer: Closes them.
        key: The checkpoint.
        tasks: The writes.
        whole: Whether these are all the ordinary writes of their tasks: then they share a row.
        places: By channel, its place among those of the checkpoint, if that is known. In a shared row
            channels are told by it.
    """
    place_of: Mapping[str, int] = places or {}
    rows = [
        (
            *_compact_key(dialect, key),
            dialect.compact(task.task_id),
            position,
            task.task_path,
            channel,
            *sealer.close(cell, *key[1:], task.task_id, str(position), channel),
        )
        for task in tasks
        for position, channel, cell in (_together(task.writes, place_of) if whole else task.writes)
    ]
    return Change(told(_INSERT_WRITE, dialect.id_text), rows)


def _together(writes: Sequence[EncodedWrite], place_of: Mapping[str, int]) -> Sequence[EncodedWrite]:
    """The same writes in one, if there are several ordinary ones; see `unpack_entries`."""
    ordinary = [write for write in writes if write.position >= 0]
    if len(ordinary) < 2:
        return writes
    special = [write for write in writes if write.position < 0]
    entries = [(place_of.get(write.channel, write.channel), write.cell) for write in ordinary]
    return [EncodedWrite(0, "", pack_entries(entries)), *special]


def delete_writes(key: Key, task_ids: Sequence[str]) -> Change:
    """Removes the writes of tasks beside a checkpoint."""
    return Change(_DELETE_WRITES, [(*key, task_id) for task_id in task_ids])


# -- whole threads

_TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes", "checkpoint_heads")

_IS_OLDER = """
checkpoint_id < (
    SELECT max(other.checkpoint_id) FROM checkpoints AS other
    WHERE other.thread_id = checkpoints.thread_id AND other.checkpoint_ns = checkpoints.checkpoint_ns
)
"""

_IS_SURPLUS = """
? <= (
    SELECT count(*) FROM checkpoints AS newer
    WHERE newer.thread_id = checkpoints.thread_id AND newer.checkpoint_ns = checkpoints.checkpoint_ns
        AND newer.checkpoint_id > checkpoints.checkpoint_id
)
"""

_DELETE_LOST_WRITES = """
DELETE FROM checkpoint_writes WHERE thread_id = ? AND NOT EXISTS (
    SELECT 1 FROM checkpoints AS c
    WHERE c.thread_id = checkpoint_writes.thread_id AND c.checkpoint_ns = checkpoint_writes.checkpoint_ns
        AND c.checkpoint_id = checkpoint_writes.checkpoint_id
)
"""

_DELETE_LOST_HEADS = """
DELETE FROM checkpoint_heads WHERE thread_id = ? AND NOT EXISTS (
    SELECT 1 FROM checkpoints AS c
    WHERE c.thread_id = checkpoint_heads.thread_id AND c.checkpoint_ns = checkpoint_heads.checkpoint_ns
)
"""

_MEND_HEADS = """
UPDATE checkpoint_heads SET epoch = ?, checkpoint_id = (
    SELECT max(c.checkpoint_id) FROM checkpoints AS c
    WHERE c.thread_id = checkpoint_heads.thread_id AND c.checkpoint_ns = checkpoint_heads.checkpoint_ns
)
WHERE thread_id = ? AND NOT EXISTS (
    SELECT 1 FROM checkpoints AS c
    WHERE c.thread_id = checkpoint_heads.thread_id AND c.checkpoint_ns = checkpoint_heads.checkpoint_ns
        AND c.checkpoint_id = checkpoint_heads.checkpoint_id
)
"""

_SWEEP = """
WITH RECURSIVE {reach}
DELETE FROM checkpoint_blobs WHERE thread_id = ? AND address NOT IN (SELECT address FROM reach)
"""

_ALL_REFS = """
SELECT thread_id, refs FROM checkpoints WHERE thread_id = ?
UNION ALL SELECT thread_id, refs FROM checkpoint_writes WHERE thread_id = ?
"""

# Copying again what was copied already is a repetition; anything else would mix two threads.
_HOLDS_NOTHING_ELSE = """
SELECT 1 WHERE NOT EXISTS (
    SELECT 1 FROM checkpoints AS t WHERE t.thread_id = ? AND NOT EXISTS (
        SELECT 1 FROM checkpoints AS s WHERE s.thread_id = ?
            AND s.checkpoint_ns = t.checkpoint_ns AND s.checkpoint_id = t.checkpoint_id
    )
)
"""

# First the heads: a run that starts on the target meanwhile is waited for, or finds its head taken; and so
# does one that has taken the head of the target when there was nothing else.
_COPY_HEADS = """
INSERT INTO checkpoint_heads (thread_id, checkpoint_ns, checkpoint_id, epoch, lineage)
SELECT CAST(? AS TEXT), checkpoint_ns, checkpoint_id, epoch, lineage
FROM checkpoint_heads WHERE thread_id = ?
ON CONFLICT (thread_id, checkpoint_ns) DO UPDATE SET
    checkpoint_id = excluded.checkpoint_id, epoch = excluded.epoch, lineage = excluded.lineage
"""

_COPIES = (
    """
    INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, created_at,
        type, refs, checkpoint, metadata)
    SELECT CAST(? AS TEXT), checkpoint_ns, checkpoint_id, parent_checkpoint_id, created_at,
        type, refs, checkpoint, metadata
    FROM checkpoints WHERE thread_id = ? ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO checkpoint_blobs (thread_id, address, type, refs, blob)
    SELECT CAST(? AS TEXT), address, type, refs, blob
    FROM checkpoint_blobs WHERE thread_id = ? ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel,
        type, refs, blob)
    SELECT CAST(? AS TEXT), checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, type, refs, blob
    FROM checkpoint_writes WHERE thread_id = ? ON CONFLICT DO NOTHING
    """,
)


def delete_thread(dialect: Dialect, thread_id: str) -> Statements:
    """Removes everything that is stored of a thread."""
    deletions = [f"DELETE FROM {table} WHERE thread_id = ?" for table in _TABLES]
    return [*_locked(dialect, thread_id), *(Change(sql, [(thread_id,)]) for sql in deletions)]


def delete_older(dialect: Dialect, thread_id: str) -> Statements:
    """Removes all but the newest checkpoint of each namespace, and what only they have led to."""
    return _delete_checkpoints(dialect, thread_id, _IS_OLDER, ())


def delete_outdated(
    dialect: Dialect, thread_id: str, keep_last: int | None, created_before: int | None
) -> Statements:
    """Removes what is older than the newest checkpoints of each namespace, or than a time.

    Args:
        dialect: The database's.
        thread_id: The thread.
        keep_last: How many of each namespace to keep; `None` for no such limit.
        created_before: Microseconds since 1970; `None` for no such limit.
    """
    limits = [
        (condition, value)
        for condition, value in ((_IS_SURPLUS, keep_last), ("created_at < ?", created_before))
        if value is not None
    ]
    condition = " OR ".join(condition for condition, _ in limits)
    values = [value for _, value in limits]
    return _delete_checkpoints(dialect, thread_id, f"{_IS_OLDER} AND ({condition})", values)


def delete_runs(dialect: Dialect, thread_id: str, run_ids: Sequence[str]) -> Statements:
    """Removes the checkpoints of some runs from a thread, and what only they have led to."""
    return _delete_checkpoints(dialect, thread_id, of_runs(dialect, run_ids), run_ids)


def of_runs(dialect: Dialect, run_ids: Sequence[str]) -> str:
    """The condition that a checkpoint belongs to one of some runs, which are the parameters."""
    return f"{dialect.run_id} IN ({', '.join('?' * len(run_ids))})"


def copy_thread(dialect: Dialect, source: str, target: str, refusal: Refusal) -> Statements:
    """Gives a thread all that another one has."""
    heads, *copies = (Change(sql, [(target, source)]) for sql in (_COPY_HEADS, *_COPIES))
    is_free = Guard(_HOLDS_NOTHING_ELSE, (target, source), refusal)
    return [*_locked(dialect, source), heads, *keep_thread(dialect, target), is_free, *copies]


def _delete_checkpoints(
    dialect: Dialect, thread_id: str, condition: str, parameters: Sequence[Any]
) -> Statements:
    reach = dialect.reach.format(sources=_ALL_REFS)
    return [
        *_locked(dialect, thread_id),
        Change(f"DELETE FROM checkpoints WHERE thread_id = ? AND {condition}", [(thread_id, *parameters)]),
        Change(_DELETE_LOST_WRITES, [(thread_id,)]),
        Change(_DELETE_LOST_HEADS, [(thread_id,)]),
        Change(_MEND_HEADS, [(new_epoch(), thread_id)]),
        Change(_SWEEP.format(reach=reach), [(thread_id,) * 3]),
    ]


def _locked(dialect: Dialect, thread_id: str) -> list[Change]:
    return [Change(sql, [(thread_id,)]) for sql in dialect.lock]
