"""The tables of the SQLite saver. Migrations are only ever appended."""

from aiograph._sql.migrate import Component

_VERSION_1 = (
    """
    CREATE TABLE checkpoints (
        thread_id TEXT NOT NULL,
        checkpoint_ns TEXT NOT NULL,
        checkpoint_id TEXT NOT NULL,
        parent_checkpoint_id TEXT,
        created_at INTEGER NOT NULL,
        type TEXT NOT NULL,
        refs BLOB NOT NULL,
        checkpoint BLOB NOT NULL,
        metadata TEXT NOT NULL,
        PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE checkpoint_blobs (
        thread_id TEXT NOT NULL,
        address BLOB NOT NULL,
        type TEXT NOT NULL,
        refs BLOB NOT NULL,
        blob BLOB NOT NULL,
        PRIMARY KEY (thread_id, address)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE checkpoint_writes (
        thread_id TEXT NOT NULL,
        checkpoint_ns TEXT NOT NULL,
        checkpoint_id TEXT NOT NULL,
        task_id TEXT NOT NULL,
        idx INTEGER NOT NULL,
        task_path TEXT NOT NULL,
        channel TEXT NOT NULL,
        type TEXT NOT NULL,
        refs BLOB NOT NULL,
        blob BLOB NOT NULL,
        PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE checkpoint_heads (
        thread_id TEXT NOT NULL,
        checkpoint_ns TEXT NOT NULL,
        checkpoint_id TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        lineage TEXT NOT NULL,
        PRIMARY KEY (thread_id, checkpoint_ns)
    ) WITHOUT ROWID
    """,
    """
    CREATE INDEX checkpoints_of_runs ON checkpoints (
        CASE WHEN json_valid(metadata) THEN CAST(json_extract(metadata, '$.run_id') AS TEXT) END
    )
    """,
)

COMPONENT = Component(
    name="checkpoints",
    tables=("checkpoints", "checkpoint_blobs", "checkpoint_writes", "checkpoint_heads"),
    migrations=(_VERSION_1,),
)
