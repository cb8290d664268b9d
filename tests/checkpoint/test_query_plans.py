"""How PostgreSQL plans to read checkpoints: by index, and not so that it compiles the query first."""

import re
from itertools import count
from typing import Any

import psycopg

from aiograph._sql.session import Query
from aiograph.checkpoint._relational._dialect import POSTGRES
from aiograph.checkpoint._relational._reading import Wants, read_cells, read_one, read_page
from aiograph.checkpoint.base import config_for
from aiograph.checkpoint.postgres import PostgresSaver
from aiograph.checkpoint.serde._stored import Listing
from aiograph.testing.savers import make_checkpoint

EVERYTHING = Wants(cells=True, lineage=True)


def plan_of(connection: psycopg.Connection[Any], query: Query) -> str:
    numbers = count(1)
    sql = re.sub(r"\?(\d*)", lambda found: f"%({found[1] or next(numbers)})s", query.sql)
    parameters = {str(number): value for number, value in enumerate(query.parameters, 1)}
    return "\n".join(row[0] for row in connection.execute(f"EXPLAIN {sql}", parameters))


def test_reading_is_by_index_and_never_compiled(postgres_database: str) -> None:
    with PostgresSaver(postgres_database) as saver:
        saver.setup()
        config = config_for("t", "")
        for step in range(60):
            checkpoint = make_checkpoint({"large": [f"{step} {number} " * 100 for number in range(20)]})
            config = saver.put(config, checkpoint, {"step": step}, {})
        for number in range(20):
            saver.copy_thread("t", f"copy {number}")
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute("ANALYZE")
        listing = Listing("t", None, None, None, None, None)
        for query in (
            read_one(POSTGRES, "t", "", None, EVERYTHING),
            read_page(POSTGRES, listing, None, 50, EVERYTHING),
            read_cells(POSTGRES, "t", [bytes(16)] * 1000),
        ):
            plan = plan_of(connection, query)
            assert "JIT" not in plan, plan
            assert "Seq Scan on checkpoint_blobs" not in plan, plan
