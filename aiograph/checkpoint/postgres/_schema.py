"""The tables of the PostgreSQL saver. Migrations are only ever appended.

Ids sort by code points, as everywhere else in aiograph, and not by the rules of some language.
"""

from aiograph._sql.migrate import Component

_VERSION_1 = (
    """
    CREATE TABLE checkpoints (
        thread_id text COLLATE "C" NOT NULL,
        checkpoint_ns text COLLATE "C" NOT NULL,
        checkpoint_id text COLLATE "C" NOT NULL,
        parent_checkpoint_id text COLLATE "C",
        created_at bigint NOT NULL,
        type text NOT NULL,
        refs bytea NOT NULL,
        checkpoint bytea NOT NULL,
        metadata jsonb NOT NULL,
        PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
    )
    """,
    # Values are compressed before they arrive; to try again would be a waste.
    """
    CREATE TABLE checkpoint_blobs (
        thread_id text COLLATE "C" NOT NULL,
        address bytea NOT NULL,
        type text NOT NULL,
        refs bytea NOT NULL,
        blob bytea NOT NULL,
        PRIMARY KEY (thread_id, address)
    )
    """,
    "ALTER TABLE checkpoint_blobs ALTER COLUMN blob SET STORAGE EXTERNAL",
    """
    CREATE TABLE checkpoint_writes (
        thread_id text COLLATE "C" NOT NULL,
        checkpoint_ns text COLLATE "C" NOT NULL,
        checkpoint_id text COLLATE "C" NOT NULL,
        task_id text COLLATE "C" NOT NULL,
        idx integer NOT NULL,
        task_path text COLLATE "C" NOT NULL,
        channel text NOT NULL,
        type text NOT NULL,
        refs bytea NOT NULL,
        blob bytea NOT NULL,
        PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
    )
    """,
    # A head changes at every superstep: with room on its page, that touches no index.
    """
    CREATE TABLE checkpoint_heads (
        thread_id text COLLATE "C" NOT NULL,
        checkpoint_ns text COLLATE "C" NOT NULL,
        checkpoint_id text COLLATE "C" NOT NULL,
        epoch bigint NOT NULL,
        lineage text NOT NULL,
        PRIMARY KEY (thread_id, checkpoint_ns)
    ) WITH (fillfactor = 70)
    """,
    """
    CREATE INDEX checkpoints_of_runs ON checkpoints ((metadata ->> 'run_id'))
    WHERE (metadata ->> 'run_id') IS NOT NULL
    """,
)

COMPONENT = Component(
    name="checkpoints",
    tables=("checkpoints", "checkpoint_blobs", "checkpoint_writes", "checkpoint_heads"),
    migrations=(_VERSION_1,),
)
