"""Migrations: each is applied once, in order, and never to somebody else's tables."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from aiograph._sql.migrate import SQLITE, Component, SchemaError, is_current, migrate
from aiograph._sql.sqlite_connection import run_plan

CREATE = ("CREATE TABLE things (x)",)
ADD_Y = ("ALTER TABLE things ADD COLUMN y", "CREATE INDEX by_y ON things (y)")


def things(*migrations: tuple[str, ...]) -> Component:
    return Component("things", ("things",), migrations)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield connection


def columns(connection: sqlite3.Connection) -> list[str]:
    return [row[1] for row in connection.execute("PRAGMA table_info(things)")]


def test_an_empty_database_gets_all_migrations(connection: sqlite3.Connection) -> None:
    assert not run_plan(connection, is_current(things(CREATE, ADD_Y), SQLITE))
    run_plan(connection, migrate(things(CREATE, ADD_Y), SQLITE))
    assert columns(connection) == ["x", "y"]
    assert run_plan(connection, is_current(things(CREATE, ADD_Y), SQLITE))


def test_an_older_database_gets_what_is_missing(connection: sqlite3.Connection) -> None:
    run_plan(connection, migrate(things(CREATE), SQLITE))
    connection.execute("INSERT INTO things VALUES (1)")
    assert not run_plan(connection, is_current(things(CREATE, ADD_Y), SQLITE))
    run_plan(connection, migrate(things(CREATE, ADD_Y), SQLITE))
    assert connection.execute("SELECT * FROM things").fetchall() == [(1, None)]


def test_migrating_again_does_nothing(connection: sqlite3.Connection) -> None:
    for _ in range(2):
        run_plan(connection, migrate(things(CREATE), SQLITE))
    assert columns(connection) == ["x"]


def test_components_are_counted_apart(connection: sqlite3.Connection) -> None:
    run_plan(connection, migrate(things(CREATE), SQLITE))
    other = Component("others", ("others",), [("CREATE TABLE others (x)",)])
    run_plan(connection, migrate(other, SQLITE))
    assert run_plan(connection, is_current(things(CREATE), SQLITE))
    assert run_plan(connection, is_current(other, SQLITE))


@pytest.mark.parametrize("plan", [is_current, migrate])
def test_a_newer_database_is_refused(connection: sqlite3.Connection, plan: type) -> None:
    run_plan(connection, migrate(things(CREATE, ADD_Y), SQLITE))
    with pytest.raises(SchemaError, match=r"have version 2, .* no more than version 1: upgrade"):
        run_plan(connection, plan(things(CREATE), SQLITE))


@pytest.mark.parametrize("plan", [is_current, migrate])
def test_a_table_that_is_not_ours_is_refused(connection: sqlite3.Connection, plan: type) -> None:
    connection.execute("CREATE TABLE things (mine)")
    with pytest.raises(SchemaError, match="a table 'things' that aiograph did not create"):
        run_plan(connection, plan(things(CREATE), SQLITE))
    assert columns(connection) == ["mine"]
