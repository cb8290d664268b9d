"""The tables of the SQLite saver. Migrations are only ever appended."""

from aiograph._sql.migrate import Component

_VERSION_1 = (
    """
    CREATE TABLE checkpoints (
        thread_id TEXT NOT NULL,
        checkpoint_ns TEXT NOT NULL,
        checkpoint_id TEXT NOT NULL,
        parent_checkpoint_id TEXT,
        type TEXT NOT NULL,
        checkpoint BLOB NOT NULL,
        metadata TEXT NOT NULL,
        PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
    ) WITHOUT ROWID
    """,
    # A value is stored once, by the checkpoint that brought it; branches may bring the same version.
    """
    CREATE TABLE checkpoint_blobs (
        thread_id TEXT NOT NULL,
        checkpoint_ns TEXT NOT NULL,
        channel TEXT NOT NULL,
        version NOT NULL,
        checkpoint_id TEXT NOT NULL,
        type TEXT NOT NULL,
        blob BLOB NOT NULL,
        PRIMARY KEY (thread_id, checkpoint_ns, channel, version, checkpoint_id)
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
        blob BLOB NOT NULL,
        PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
    ) WITHOUT ROWID
    """,
)

COMPONENT = Component(
    name="checkpoint",
    tables=("checkpoints", "checkpoint_blobs", "checkpoint_writes"),
    migrations=(_VERSION_1,),
)
