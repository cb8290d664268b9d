"""What a saver changes in its tables, as values."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aiograph._sql.session import Change, Guard
from aiograph.checkpoint._hold import Head, Step, new_epoch
from aiograph.checkpoint._relational._dialect import Dialect
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
RETURNING 1
"""

_TAKE_HEAD = """
UPDATE checkpoint_heads SET checkpoint_id = ?, epoch = ?
WHERE thread_id = ? AND checkpoint_ns = ?
    AND (epoch = ? AND checkpoint_id = ? OR epoch = ? AND checkpoint_id = ?)
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


def take_head(line: tuple[str, str], lineage: str, step: Step, refusal: Refusal) -> Guard:
    """Takes the head of a namespace, if it is as the step expects it."""
    after = _row(step.after)
    if step.before is None:
        return Guard(_TAKE_NEW_HEAD, (*line, *after, lineage), refusal)
    before = _row(step.before)
    return Guard(_TAKE_HEAD, (*after, *line, *before[::-1], *after[::-1]), refusal)


def push_head(key: Key, lineage: str) -> Change:
    """Makes a checkpoint the head, unless it is an older one; whoever holds the head loses it."""
    return Change(_PUSH_HEAD, [(*key, new_epoch(), lineage)])


def has_epoch(key: Key, epoch: int, refusal: Refusal) -> Guard:
    """Asks for the head to be held by the run with this epoch."""
    return Guard(_HAS_EPOCH, (*key[:2], epoch), refusal)


def has_checkpoint(key: Key, refusal: Refusal) -> Guard:
    """Asks for a checkpoint to be there."""
    return Guard(_HAS_CHECKPOINT, key, refusal)


def _row(head: Head) -> tuple[str, int]:
    return head.checkpoint_id or "", head.epoch


# -- checkpoints and writes

_INSERT_CHECKPOINT = """
INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, created_at,
    type, refs, checkpoint, metadata)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""

_INSERT_BLOB = """
INSERT INTO checkpoint_blobs (thread_id, address, type, refs, blob) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""

# A position below 0 belongs to a channel whose writes replace each other.
_INSERT_WRITE = """
INSERT INTO checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel,
    type, refs, blob)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
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
    sealer: Sealer, key: Key, parent_id: str | None, checkpoint: EncodedCheckpoint, metadata: bytes
) -> Change:
    """Stores a checkpoint, unless it is there."""
    assert checkpoint.document is not None
    stored = sealer.close(checkpoint.document, *key[1:])
    return Change(_INSERT_CHECKPOINT, [(*key, parent_id, checkpoint.created_at, *stored, metadata.decode())])


def insert_cells(dialect: Dialect, sealer: Sealer, thread_id: str, cells: Cells) -> Statements:
    """Stores cells, where they are not there. A clean-up must not take them for left over meanwhile."""
    if not cells:
        return []
    rows = [(thread_id, address, *sealer.close(cell)) for address, cell in sorted(cells.items())]
    lock = [] if dialect.lock_shared is None else [Change(dialect.lock_shared, [(thread_id,)])]
    return [*lock, Change(_INSERT_BLOB, rows)]


def insert_writes(sealer: Sealer, key: Key, tasks: Iterable[EncodedWrites], *, whole: bool) -> Change:
    """Stores the writes of tasks beside a checkpoint.

    Args:
        sealer: Closes them.
        key: The checkpoint.
        tasks: The writes.
        whole: Whether these are all the ordinary writes of their tasks: then they share a row.
    """
    rows = [
        (
            *key,
            task.task_id,
            position,
            task.task_path,
            channel,
            *sealer.close(cell, *key[1:], task.task_id, str(position), channel),
        )
        for task in tasks
        for position, channel, cell in (_together(task.writes) if whole else task.writes)
    ]
    return Change(_INSERT_WRITE, rows)


def _together(writes: Sequence[EncodedWrite]) -> Sequence[EncodedWrite]:
    """The same writes in one, if there are several ordinary ones; see `separate`."""
    ordinary = [write for write in writes if write.position >= 0]
    if len(ordinary) < 2:
        return writes
    special = [write for write in writes if write.position < 0]
    return [EncodedWrite(0, "", pack_entries([(write.channel, write.cell) for write in ordinary])), *special]


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
    return [*_locked(dialect, source), heads, is_free, *copies]


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
