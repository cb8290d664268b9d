"""Where databases differ in what checkpoints need of their SQL."""

from collections.abc import Callable
from typing import Any, NamedTuple

from aiograph.checkpoint._filter_sql import conditions
from aiograph.checkpoint._relational._ids import as_bytes, as_uuid
from aiograph.checkpoint.serde._filter import Filter

Condition = tuple[str, list[Any]]
"""SQL with its parameters."""


class Dialect(NamedTuple):
    """How one database is told."""

    reach: str
    """Common table expressions that end in `reach (thread_id, address)`: all cells that the rows of the
    query `{sources}`, which yields `(thread_id, refs)`, lead to."""
    places: str
    """A table `(place)`: where each address begins in the parameter `?2`, which is addresses joined."""
    nothing: str
    """No bytes."""
    compact: Callable[[str], Any]
    """What is bound for an id, in few bytes."""
    id_text: str
    """The text of an id that was bound so, as the parameter `{}`."""
    run_id: str
    """The entry `run_id` of metadata, as text."""
    conditions: Callable[[Filter], list[Condition]]
    """What has to hold for checkpoints that a filter lets through."""
    keep: str | None
    """Keeps clean-ups of a thread, the column `thread_id`, away for the transaction; others may add to it."""
    lock: tuple[str, ...]
    """Keeps everybody away from a thread, the parameter of each, for the transaction."""


# References are followed one by one: there is no function here that makes rows of a blob.
_SQLITE_REACH = """
trail (thread_id, refs) AS (
    SELECT thread_id, refs FROM ({sources}) WHERE length(refs) > 0
    UNION
    SELECT thread_id, substr(refs, 17) FROM trail WHERE length(refs) > 16
    UNION
    SELECT b.thread_id, b.refs
    FROM trail CROSS JOIN checkpoint_blobs AS b
        ON b.thread_id = trail.thread_id AND b.address = substr(trail.refs, 1, 16)
    WHERE length(b.refs) > 0
), reach (thread_id, address) AS (
    SELECT DISTINCT thread_id, substr(refs, 1, 16) FROM trail
)
"""

# The planner takes it that a function makes a thousand rows of each blob, and then compiles the query, which
# takes far longer than to carry it out. So here as well, one by one.
_POSTGRES_REACH = """
trail (thread_id, refs) AS (
    SELECT thread_id, refs FROM ({sources}) AS s WHERE length(refs) > 0
    UNION
    SELECT trail.thread_id, next.refs
    FROM trail CROSS JOIN LATERAL (
        SELECT substr(trail.refs, 17) AS refs WHERE length(trail.refs) > 16
        UNION ALL
        SELECT b.refs FROM checkpoint_blobs AS b
        WHERE b.thread_id = trail.thread_id AND b.address = substr(trail.refs, 1, 16) AND length(b.refs) > 0
    ) AS next
), reach (thread_id, address) AS (
    SELECT DISTINCT thread_id, substr(refs, 1, 16) FROM trail
)
"""


def _by_function(filter: Filter) -> list[Condition]:
    return [("aiograph_matches(metadata, created_at, ?)", [filter.dump()])]


SQLITE = Dialect(
    reach=_SQLITE_REACH,
    places="""(
        WITH RECURSIVE places (place) AS (
            SELECT 1 UNION ALL SELECT place + 16 FROM places WHERE place + 16 < length(?2)
        )
        SELECT place FROM places
    )""",
    nothing="x''",
    compact=as_bytes,
    id_text="aiograph_id({})",
    run_id="(CASE WHEN json_valid(metadata) THEN CAST(json_extract(metadata, '$.run_id') AS TEXT) END)",
    conditions=_by_function,
    keep=None,  # there is one writer at a time
    lock=(),
)

_LOCK_HEADS = "SELECT 1 FROM checkpoint_heads WHERE thread_id = ? ORDER BY checkpoint_ns FOR UPDATE"

# Everybody locks heads first and the thread second, so that nobody waits in a circle. Who makes a head locks
# the thread as well, so the second time all heads are there, and whoever holds one is kept away by it.
POSTGRES = Dialect(
    reach=_POSTGRES_REACH,
    places="generate_series(1, length(?2), 16)",
    nothing="''::bytea",
    compact=as_uuid,
    id_text="CAST({} AS text)",
    run_id="(metadata ->> 'run_id')",
    conditions=conditions,
    keep="pg_advisory_xact_lock_shared(hashtextextended(thread_id, 0))",
    lock=(
        _LOCK_HEADS,
        # what is done under the lock is not worth compiling either
        "SELECT pg_advisory_xact_lock(hashtextextended(?, 0)), set_config('jit', 'off', true)",
        _LOCK_HEADS,
    ),
)
