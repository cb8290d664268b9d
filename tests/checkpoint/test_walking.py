"""How SQLite's cells are read level by level."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from aiograph._sql.session import Query, Row
from aiograph._sql.sqlite_connection import fetched, run_plan
from aiograph.checkpoint._relational._dialect import SQLITE
from aiograph.checkpoint._relational._walking import with_cells
from aiograph.checkpoint.sqlite._schema import COMPONENT

ROOTS = Query(f"SELECT 0, 't', '', '', '', '', '', 0, x'', '', x'{1:032x}{2:032x}', x''")


def name(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in COMPONENT.migrations[0]:
            connection.execute(statement)
        yield connection


def put(connection: sqlite3.Connection, number: int, *refs: int, thread_id: str = "t") -> None:
    row = (thread_id, name(number), "l+", b"".join(map(name, refs)), b"")
    connection.execute("INSERT INTO checkpoint_blobs VALUES (?, ?, ?, ?, ?)", row)


def read(connection: sqlite3.Connection) -> tuple[list[int], int]:
    """The cells that are found, in order of their numbers, and how many statements that took."""
    asked: list[Query] = []

    def fetch(connection: sqlite3.Connection, query: Query) -> list[Row]:
        asked.append(query)
        return fetched(connection, query)

    cells = run_plan(connection, with_cells(SQLITE, ROOTS), fetch).cells
    return sorted(int.from_bytes(address, "big") for address, *_ in cells["t"]), len(asked)


def test_a_level_is_one_statement(connection: sqlite3.Connection) -> None:
    put(connection, 1, *range(100, 200))
    put(connection, 2, *range(200, 256))
    for number in range(100, 256):
        put(connection, number)
    assert read(connection) == ([1, 2, *range(100, 256)], 3)


def test_so_is_a_large_one(connection: sqlite3.Connection) -> None:
    put(connection, 1, *range(10_000, 50_000))
    for number in range(10_000, 50_000):
        put(connection, number)
    assert read(connection) == ([1, *range(10_000, 50_000)], 3)


def test_what_comes_twice_is_read_once(connection: sqlite3.Connection) -> None:
    put(connection, 1, 2, 3, 3)
    put(connection, 2, 3)
    put(connection, 3, 1, 2, 3)
    assert read(connection) == ([1, 2, 3], 3)


def test_another_threads_cells_are_none_of_it(connection: sqlite3.Connection) -> None:
    put(connection, 1, 3)
    put(connection, 2, thread_id="other")
    put(connection, 3, thread_id="other")
    assert read(connection) == ([1], 3)


def test_references_that_are_damaged_lead_nowhere(connection: sqlite3.Connection) -> None:
    for number, refs in ((1, name(3) + b"ab"), (2, "x" * 16), (3, b"")):
        row = ("t", name(number), "l+", refs, b"")
        connection.execute("INSERT INTO checkpoint_blobs VALUES (?, ?, ?, ?, ?)", row)
    assert read(connection) == ([1, 2, 3], 3)
