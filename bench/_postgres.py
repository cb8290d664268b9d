"""A PostgreSQL server for the length of the process, and databases on it for the length of a sample.

A server that is started for the purpose has the settings of a fresh installation: its commits wait for the
disk. `AIOGRAPH_TEST_PG_URL` names another one.
"""

import atexit
from contextlib import ExitStack, suppress
from functools import cache, partial

import psycopg

from aiograph.testing.postgres import PostgresServer, postgres_server
from bench._case import Setup

_LOG_POSITION = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"

_TABLES_SIZE = """
SELECT COALESCE(sum(pg_total_relation_size(oid)), 0) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""


@cache
def server() -> PostgresServer:
    """The server; it is stopped when the process ends."""
    rest = ExitStack()
    atexit.register(rest.close)
    return rest.enter_context(postgres_server(is_durable=True))


def new_database(setup: Setup) -> str:
    """The connection string of an empty database, with meters for its tables and the server's log."""
    conninfo = setup.resources.enter_context(server().create_database())
    reader = psycopg.connect(conninfo, autocommit=True)
    setup.resources.callback(reader.close)
    with suppress(psycopg.errors.InsufficientPrivilege):
        # or the server would do so within somebody's time, for what others wrote
        reader.execute("CHECKPOINT")
    setup.meters["stored"] = partial(_number, reader, _TABLES_SIZE)
    setup.meters["WAL"] = partial(_number, reader, _LOG_POSITION)
    return conninfo


def _number(connection: "psycopg.Connection[tuple[int]]", query: str) -> float:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return float(row[0])
