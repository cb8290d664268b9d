"""What the SQLite saver asks its database: changes as values, reads as plans."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from aiograph._sql.session import Change, Plan, Query, Row
from aiograph.checkpoint.base import Version
from aiograph.checkpoint.serde._metadata import load_metadata, matches
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.checkpoint.serde.encoded import (
    Blob,
    EncodedCheckpoint,
    EncodedWrites,
    Key,
    Listing,
    Skeleton,
    StoredCheckpoint,
    choose,
    dump_skeleton,
    load_skeleton,
)

_INSERT_CHECKPOINT = "INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"

_INSERT_BLOB = "INSERT INTO checkpoint_blobs VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"

# A position below 0 belongs to a channel whose writes replace each other.
_INSERT_WRITE = """
INSERT INTO checkpoint_writes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    task_path = excluded.task_path, channel = excluded.channel, type = excluded.type, blob = excluded.blob
WHERE excluded.idx < 0
"""

_DELETE_WRITES = """
DELETE FROM checkpoint_writes
WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? AND task_id = ?
"""

_DELETE_THREAD = (
    "DELETE FROM checkpoints WHERE thread_id = ?",
    "DELETE FROM checkpoint_blobs WHERE thread_id = ?",
    "DELETE FROM checkpoint_writes WHERE thread_id = ?",
)

_COLUMNS = "thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata"

_SELECT_ONE = f"""
SELECT {_COLUMNS} FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?
"""

_SELECT_HEAD = f"""
SELECT {_COLUMNS} FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ?
ORDER BY checkpoint_id DESC LIMIT 1
"""

_SELECT_BLOBS = """
WITH wanted (channel, version) AS (VALUES {pairs})
SELECT b.channel, b.version, b.checkpoint_id, b.type, b.blob
FROM wanted CROSS JOIN checkpoint_blobs AS b
WHERE b.thread_id = ? AND b.checkpoint_ns = ? AND b.channel = wanted.channel AND b.version = wanted.version
"""

# A checkpoint's id sorts after its parent's, so the line from one to another lies between them.
_SELECT_PARENTS = """
SELECT checkpoint_id, parent_checkpoint_id FROM checkpoints
WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id BETWEEN ? AND ?
"""

_SELECT_WRITES = """
SELECT checkpoint_id, task_id, channel, type, blob FROM checkpoint_writes
WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id IN ({ids})
ORDER BY task_path, task_id, idx
"""

_PAIRS_AT_ONCE = 500
"""Channels that are asked for in one query; SQLite has a limit on parameters."""


# -- changes


def checkpoint_changes(
    serde: SerializerProtocol, key: Key, parent_id: str | None, checkpoint: EncodedCheckpoint, metadata: bytes
) -> list[Change]:
    """Stores a checkpoint with the values it has brought."""
    tag, document = dump_skeleton(serde, checkpoint.skeleton)
    blobs = [(*key[:2], channel, version, key[2], *blob) for channel, version, blob in checkpoint.changed]
    return [
        Change(_INSERT_BLOB, blobs),
        Change(_INSERT_CHECKPOINT, [(*key, parent_id, tag, document, metadata.decode())]),
    ]


def write_changes(key: Key, tasks: Sequence[EncodedWrites]) -> Change:
    """Stores the writes of tasks beside a checkpoint."""
    rows = [
        (*key, task_id, position, task_path, channel, *blob)
        for task_id, task_path, writes in tasks
        for position, channel, blob in writes
    ]
    return Change(_INSERT_WRITE, rows)


def withdrawal(key: Key, task_ids: Sequence[str]) -> Change:
    """Removes the writes of tasks beside a checkpoint."""
    return Change(_DELETE_WRITES, [(*key, task_id) for task_id in task_ids])


def deletion(thread_id: str) -> list[Change]:
    """Removes everything that is stored of a thread."""
    return [Change(sql, [(thread_id,)]) for sql in _DELETE_THREAD]


# -- reading


def is_there() -> Plan[None]:
    """Nothing but that the database can be read."""
    yield Query("SELECT 1")


def read_one(
    serde: SerializerProtocol, thread_id: str, namespace: str, checkpoint_id: str | None
) -> Plan[StoredCheckpoint | None]:
    """One checkpoint, or the newest one."""
    if checkpoint_id is None:
        rows = yield Query(_SELECT_HEAD, (thread_id, namespace))
    else:
        rows = yield Query(_SELECT_ONE, (thread_id, namespace, checkpoint_id))
    found = yield from _complete(serde, rows)
    return found[0] if found else None


def read_page(
    serde: SerializerProtocol, listing: Listing, after: Key | None, size: int
) -> Plan[list[StoredCheckpoint]]:
    """The next checkpoints of a listing, newest first.

    Args:
        serde: Reads what is stored.
        listing: What is listed.
        after: The last checkpoint of the page before.
        size: How many to read at most.
    """
    conditions, parameters = _conditions(listing, after)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    sql = (
        f"SELECT {_COLUMNS} FROM checkpoints {where} "
        "ORDER BY checkpoint_id DESC, thread_id DESC, checkpoint_ns DESC LIMIT ?"
    )
    rows = yield Query(sql, [*parameters, size])
    return (yield from _complete(serde, rows))


def _conditions(listing: Listing, after: Key | None) -> tuple[list[str], list[Any]]:
    """Every value is a parameter; the text of the conditions depends on nothing but which ones there are."""
    given: list[tuple[str, Sequence[Any]]] = [
        ("thread_id = ?", [listing.thread_id]),
        ("checkpoint_ns = ?", [listing.namespace]),
        ("checkpoint_id = ?", [listing.checkpoint_id]),
        ("checkpoint_id < ?", [listing.before]),
        ("aiograph_matches(metadata, ?)", [listing.filter and listing.filter.decode()]),
        ("(checkpoint_id, thread_id, checkpoint_ns) < (?, ?, ?)", after.rank if after else [None]),
    ]
    wanted = [(condition, values) for condition, values in given if values[0] is not None]
    return [condition for condition, _ in wanted], [value for _, values in wanted for value in values]


def matches_json(metadata: str, filter: str) -> bool:
    """The SQL function `aiograph_matches`. Metadata that cannot be read matches, so that it is reported."""
    try:
        have = load_metadata(metadata)
    except ValueError:
        return True
    return matches(have, _filter(filter))


@lru_cache(maxsize=16)
def _filter(text: str) -> dict[str, Any]:
    return load_metadata(text)


def _complete(serde: SerializerProtocol, rows: Sequence[Row]) -> Plan[list[StoredCheckpoint]]:
    """Adds values and writes to rows of checkpoints."""
    found: dict[Key, tuple[Row, Skeleton]] = {}
    lines: dict[tuple[str, str], list[Key]] = defaultdict(list)
    for row in rows:
        key = Key(*row[:3])
        found[key] = row, load_skeleton(serde, key, (row[4], row[5]))
        lines[key[:2]].append(key)
    values: dict[Key, dict[str, Blob]] = {}
    writes: dict[Key, list[tuple[str, str, Blob]]] = {}
    for line, keys in lines.items():
        values |= yield from _values(line, {key: found[key][1] for key in keys})
        writes |= yield from _writes(line, keys)
    return [
        StoredCheckpoint(key, row[3], skeleton, row[6], values[key], writes[key])
        for key, (row, skeleton) in found.items()
    ]


def _writes(line: tuple[str, str], keys: Sequence[Key]) -> Plan[dict[Key, list[tuple[str, str, Blob]]]]:
    found: dict[Key, list[tuple[str, str, Blob]]] = {key: [] for key in keys}
    sql = _SELECT_WRITES.format(ids=", ".join("?" * len(keys)))
    rows = yield Query(sql, [*line, *(key.checkpoint_id for key in keys)])
    for checkpoint_id, task_id, channel, tag, data in rows:
        found[Key(*line, checkpoint_id)].append((task_id, channel, (tag, data)))
    return found


def _values(line: tuple[str, str], skeletons: dict[Key, Skeleton]) -> Plan[dict[Key, dict[str, Blob]]]:
    """Per checkpoint, the values that it means."""
    candidates = yield from _candidates(line, skeletons)
    parents: dict[str, str | None] = {}
    doubtful = [writer for each in candidates.values() if len(each) > 1 for writer in each]
    if doubtful:
        newest = max(key.checkpoint_id for key in skeletons)
        parents.update((yield Query(_SELECT_PARENTS, (*line, min(doubtful), newest))))
    return {
        key: {
            name: blob
            for name in skeleton.names
            if (
                blob := choose(
                    key.checkpoint_id,
                    candidates.get((name, skeleton.channel_versions[name]), {}),
                    parents.get,
                )
            )
        }
        for key, skeleton in skeletons.items()
    }


def _candidates(
    line: tuple[str, str], skeletons: dict[Key, Skeleton]
) -> Plan[dict[tuple[str, Version], dict[str, Blob]]]:
    """Values by channel and version, and then by the checkpoint that brought them."""
    wanted = {
        (name, skeleton.channel_versions[name]) for skeleton in skeletons.values() for name in skeleton.names
    }
    candidates: dict[tuple[str, Version], dict[str, Blob]] = defaultdict(dict)
    for pairs in _chunks(sorted(wanted, key=str)):
        sql = _SELECT_BLOBS.format(pairs=", ".join(["(?, ?)"] * len(pairs)))
        rows = yield Query(sql, [*(value for pair in pairs for value in pair), *line])
        for channel, version, checkpoint_id, tag, data in rows:
            candidates[channel, version][checkpoint_id] = (tag, data)
    return candidates


def _chunks(pairs: Sequence[tuple[str, Version]]) -> Iterator[Sequence[tuple[str, Version]]]:
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        yield pairs[start : start + _PAIRS_AT_ONCE]
