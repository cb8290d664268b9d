"""Numbered migrations that are only ever appended to, and the table that keeps count of them.

One database may serve several components (savers, stores, caches); each has its own count.
"""

from collections.abc import Sequence
from typing import NamedTuple

from aiograph._sql.session import Plan, Query


class SchemaError(Exception):
    """The tables are not what the code expects."""


class Component(NamedTuple):
    """Something that keeps tables."""

    name: str
    tables: Sequence[str]
    """The tables that its first migration creates."""
    migrations: Sequence[Sequence[str]]
    """Statements, by migration; number 1 is the first."""


class Dialect(NamedTuple):
    """How one database is told what all have in common."""

    tables: str
    """Selects the names of the tables that exist."""
    create: str
    """Creates the table of versions, unless it exists."""
    select: str
    """Selects the version of one component."""
    upsert: str
    """Sets a component's version."""


SQLITE = Dialect(
    tables="SELECT name FROM sqlite_master WHERE type = 'table'",
    create="CREATE TABLE IF NOT EXISTS aiograph_schema ("
    "component TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID",
    select="SELECT version FROM aiograph_schema WHERE component = ?",
    upsert="INSERT INTO aiograph_schema (component, version) VALUES (?, ?) "
    "ON CONFLICT (component) DO UPDATE SET version = excluded.version",
)

POSTGRES = Dialect(
    tables="SELECT relname FROM pg_catalog.pg_class "
    "WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')",
    create="CREATE TABLE IF NOT EXISTS aiograph_schema ("
    "component text PRIMARY KEY, version integer NOT NULL)",
    select="SELECT version FROM aiograph_schema WHERE component = ?",
    upsert="INSERT INTO aiograph_schema (component, version) VALUES (?, ?) "
    "ON CONFLICT (component) DO UPDATE SET version = excluded.version",
)

VERSION_TABLE = "aiograph_schema"


def is_current(component: Component, dialect: Dialect) -> Plan[bool]:
    """Whether nothing has to be migrated.

    Raises:
        SchemaError: The tables are somebody else's, or newer than the code.
    """
    tables = {name for (name,) in (yield Query(dialect.tables))}
    version = 0
    if VERSION_TABLE in tables:
        rows = yield Query(dialect.select, (component.name,))
        version = rows[0][0] if rows else 0
    _check(component, version, tables)
    return version == len(component.migrations)


def migrate(component: Component, dialect: Dialect) -> Plan[None]:
    """Applies the migrations that are missing; to be carried out in one transaction.

    Raises:
        SchemaError: The tables are somebody else's, or newer than the code.
    """
    tables = {name for (name,) in (yield Query(dialect.tables))}
    yield Query(dialect.create)
    rows = yield Query(dialect.select, (component.name,))
    version = rows[0][0] if rows else 0
    _check(component, version, tables)
    for statements in component.migrations[version:]:
        for statement in statements:
            yield Query(statement)
    yield Query(dialect.upsert, (component.name, len(component.migrations)))


def _check(component: Component, version: int, tables: set[str]) -> None:
    if version > len(component.migrations):
        raise SchemaError(
            f"the {component.name} tables have version {version}, but this release of aiograph knows no more "
            f"than version {len(component.migrations)}: upgrade aiograph"
        )
    foreign = sorted(tables.intersection(component.tables)) if version == 0 else []
    if foreign:
        raise SchemaError(
            f"there is a table {foreign[0]!r} that aiograph did not create: choose another database"
        )
