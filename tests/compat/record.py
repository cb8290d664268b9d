"""Records databases as this release writes them: `python -m tests.compat.record --version 0.1`.

To be run once, before a release. What is there already is not recorded again.
"""

import argparse
import asyncio
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier, Literal
from psycopg.types.json import Jsonb

from aiograph._sql import migrate
from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.postgres import AsyncPostgresSaver
from aiograph.checkpoint.postgres._schema import COMPONENT
from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from aiograph.testing.postgres import postgres_server
from tests.compat import golden


async def fill(saver: BaseCheckpointSaver) -> None:
    await golden.tell(saver)
    await golden.run_into_trouble(saver)


async def sqlite(seal: golden.Seal) -> str:
    """The text of a SQLite database."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/checkpoints.db"
        async with AsyncSqliteSaver(path, serde=golden.serializer(seal)) as saver:
            await fill(saver)
        with closing(sqlite3.connect(path)) as connection:
            return "".join(f"{line}\n" for line in connection.iterdump())


async def postgres(seal: golden.Seal) -> str:
    """The text of a PostgreSQL database."""
    with postgres_server() as server, server.create_database() as address:
        async with AsyncPostgresSaver(address, serde=golden.serializer(seal)) as saver:
            await saver.asetup()
            await fill(saver)
        with psycopg.connect(address, row_factory=dict_row) as connection:
            rows = [row for table in _tables() for row in _rows(connection, table)]
    create = [migrate.POSTGRES.create, *chain.from_iterable(COMPONENT.migrations)]
    return "".join(f"{statement.strip()};\n" for statement in [*create, *rows])


def _tables() -> list[str]:
    return [migrate.VERSION_TABLE, *COMPONENT.tables]


def _rows(connection: psycopg.Connection[dict[str, Any]], table: str) -> Iterator[str]:
    """Statements that insert the rows of a table."""
    insert = SQL("INSERT INTO {} ({}) VALUES ({})")
    for row in connection.execute(SQL("SELECT * FROM {} ORDER BY 1, 2").format(Identifier(table))):
        columns = SQL(", ").join(map(Identifier, row))
        values = (Jsonb(value) if isinstance(value, dict) else value for value in row.values())
        literals = SQL(", ").join(map(Literal, values))
        yield insert.format(Identifier(table), columns, literals).as_string(connection)


def record(version: str) -> None:
    folder = golden.FOLDER / version
    folder.mkdir()
    seals: tuple[golden.Seal, ...] = ("plain", "encrypted")
    for seal in seals:
        _write(folder / f"sqlite-{seal}.sql", asyncio.run(sqlite(seal)))
        _write(folder / f"postgres-{seal}.sql", asyncio.run(postgres(seal)))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", required=True, help="the release, such as 0.1")
    record(parser.parse_args().version)
