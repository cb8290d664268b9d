"""The table of the SQLite cache. Migrations are only ever appended."""

from aiograph._sql.migrate import Component

_VERSION_1 = (
    """
    CREATE TABLE cached_values (
        namespace TEXT NOT NULL,
        key TEXT NOT NULL,
        expires_at INTEGER,
        type TEXT NOT NULL,
        blob BLOB NOT NULL,
        PRIMARY KEY (namespace, key)
    ) WITHOUT ROWID
    """,
    """
    CREATE INDEX cached_values_that_expire ON cached_values (expires_at) WHERE expires_at IS NOT NULL
    """,
)

COMPONENT = Component(name="cache", tables=("cached_values",), migrations=(_VERSION_1,))
