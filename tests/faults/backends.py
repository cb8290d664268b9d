"""The savers that races are run on, each with storage of its own, which several of them may share."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.postgres import PostgresSaver
from aiograph.checkpoint.sqlite import SqliteSaver

SHARED = ("sqlite", pytest.param("postgres", marks=pytest.mark.postgres))
"""Storage that several processes can use at once."""

ALL = ("memory", *SHARED)

TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes", "checkpoint_heads")


@dataclass(frozen=True)
class Backend:
    """Storage for checkpoints."""

    name: str
    address: str
    """A file, or a connection string; empty if it is the memory of this process."""

    def saver(self) -> Any:
        """A new saver, to be entered; those on one address share what is stored there."""
        if self.name == "sqlite":
            return SqliteSaver(self.address)
        return PostgresSaver(self.address) if self.name == "postgres" else InMemorySaver()

    def remains(self, thread_id: str) -> Counter[str]:
        """Rows of a thread, by table."""
        return Counter({table: self._ask(_COUNT.format(table), thread_id) for table in TABLES})

    def lost_rows(self, thread_id: str) -> dict[str, int]:
        """Rows of a thread that belong to nothing, or lead to nothing."""
        found = {what: self._ask(sql, thread_id) for what, sql in _LOST.items()}
        return {what: rows for what, rows in found.items() if rows}

    def _ask(self, sql: str, thread_id: str) -> int:
        if self.name == "sqlite":
            return self._ask_sqlite(sql, thread_id)
        import psycopg

        with psycopg.connect(self.address, autocommit=True) as connection:
            query: Any = sql.replace("?", "%s")
            row = connection.execute(query, (thread_id,)).fetchone()
            assert row is not None
            return int(row[0])

    def _ask_sqlite(self, sql: str, thread_id: str) -> int:
        import sqlite3
        from contextlib import closing

        with closing(sqlite3.connect(self.address)) as connection:
            return int(connection.execute(sql, (thread_id,)).fetchone()[0])


_COUNT = "SELECT count(*) FROM {} WHERE thread_id = ?"

_WITHOUT_CHECKPOINT = """
SELECT count(*) FROM {0} WHERE thread_id = ? AND NOT EXISTS (
    SELECT 1 FROM checkpoints AS c WHERE c.thread_id = {0}.thread_id
        AND c.checkpoint_ns = {0}.checkpoint_ns AND c.checkpoint_id = {0}.checkpoint_id
)
"""

_LOST = {
    "writes without their checkpoint": _WITHOUT_CHECKPOINT.format("checkpoint_writes"),
    "heads without their checkpoint": _WITHOUT_CHECKPOINT.format("checkpoint_heads"),
    "checkpoints without a head": """
        SELECT count(*) FROM checkpoints WHERE thread_id = ? AND NOT EXISTS (
            SELECT 1 FROM checkpoint_heads AS h WHERE h.thread_id = checkpoints.thread_id
                AND h.checkpoint_ns = checkpoints.checkpoint_ns
        )
    """,
}


def backend_of(request: pytest.FixtureRequest, folder: Path) -> Backend:
    """The storage that a test's parameter names, with its tables in place."""
    name = request.param
    if name != "postgres":
        return Backend(name, str(folder / "checkpoints.db") if name == "sqlite" else "")
    backend = Backend(name, request.getfixturevalue("postgres_database"))
    with backend.saver() as saver:
        saver.setup()
    return backend


async def line_of(saver: BaseCheckpointSaver, thread_id: str) -> list[Any]:
    """The checkpoints of a thread, oldest first; fails if each does not follow the one before it."""
    config: Any = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
    return in_line([each async for each in saver.alist(config)])


def in_line(newest_first: Iterable[Any]) -> list[Any]:
    """The same, of what a saver has listed."""
    found = list(newest_first)[::-1]
    parents = [each.parent_config and each.parent_config["configurable"]["checkpoint_id"] for each in found]
    assert parents[1:] == [each.checkpoint["id"] for each in found][:-1]
    return found
