"""The SQLite saver: the contract, what it writes, and how it is opened and closed."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver, config_for
from aiograph.checkpoint.sqlite import AsyncSqliteSaver, SqliteSaver
from aiograph.errors import (
    CheckpointDeserializationError,
    CheckpointSerializationError,
    CheckpointStorageError,
)
from aiograph.testing.savers import SaverContract, make_checkpoint
from aiograph.warnings import BlockingCallWarning

THREAD = config_for("t", "")


class TestSqliteFile(SaverContract):
    @pytest.fixture(autouse=True)
    def _path(self, tmp_path: Path) -> None:
        self.path = str(tmp_path / "checkpoints.db")

    @asynccontextmanager
    async def open_saver(self) -> AsyncIterator[BaseCheckpointSaver]:
        async with AsyncSqliteSaver.from_conn_string(self.path) as saver:
            yield saver


class TestSqliteInMemory(SaverContract):
    @asynccontextmanager
    async def open_saver(self) -> AsyncIterator[BaseCheckpointSaver]:
        async with SqliteSaver(":memory:") as saver:  # opened when first used
            yield saver


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "checkpoints.db")


@pytest.fixture
async def saver(path: str) -> AsyncIterator[AsyncSqliteSaver]:
    async with AsyncSqliteSaver.from_conn_string(path) as saver:
        yield saver


def select(path: str, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


# -- opening and closing ---------------------------------------------------------------------------


def test_the_plain_saver_is_opened_by_a_plain_block(path: str) -> None:
    with SqliteSaver.from_conn_string(path) as saver:
        config = saver.put(THREAD, make_checkpoint({"a": 1}), {}, {"a": 1})
    with SqliteSaver.from_conn_string(path) as saver:
        assert saver.get(config) is not None
        assert [each.config for each in saver.list(THREAD)] == [config]


async def test_the_plain_saver_can_be_opened_by_an_asynchronous_block(path: str) -> None:
    async with SqliteSaver.afrom_conn_string(path) as saver:
        await saver.aput(THREAD, make_checkpoint({"a": 1}), {}, {"a": 1})
        assert await saver.aget(THREAD) is not None


def test_without_a_block_it_opens_when_first_used_and_is_closed_by_hand(path: str) -> None:
    saver = SqliteSaver(Path(path))
    saver.put(THREAD, make_checkpoint({"a": 1}), {}, {"a": 1})
    saver.setup()
    saver.setup()
    saver.close()
    with pytest.raises(CheckpointStorageError, match=r"thread 't': cannot use .* it was closed"):
        saver.get(THREAD)
    with SqliteSaver(path) as again:
        assert again.get(THREAD) is not None


async def test_the_plain_verbs_work_beside_a_running_loop_with_a_warning(saver: AsyncSqliteSaver) -> None:
    await saver.aput(THREAD, make_checkpoint({"a": 1}), {}, {"a": 1})
    with pytest.warns(BlockingCallWarning, match="aget_tuple"):
        assert saver.get_tuple(THREAD) is not None


async def test_savers_in_memory_share_nothing() -> None:
    async with AsyncSqliteSaver(":memory:") as one, AsyncSqliteSaver(":memory:") as other:
        await one.aput(THREAD, make_checkpoint({"a": 1}), {}, {"a": 1})
        assert await other.aget(THREAD) is None


def test_a_connection_in_place_of_a_path_is_refused() -> None:
    with closing(sqlite3.connect(":memory:")) as connection, pytest.raises(TypeError, match="pass the path"):
        SqliteSaver(connection)  # type: ignore[arg-type]  # as the anchor has it


async def test_setting_up_may_happen_in_many_places_at_once(path: str) -> None:
    savers = [AsyncSqliteSaver(path) for _ in range(8)]
    await asyncio.gather(*(saver.asetup() for saver in savers))
    assert select(path, "SELECT version FROM aiograph_schema") == [(1,)]
    for saver in savers:
        await saver.aclose()


# -- what is written -------------------------------------------------------------------------------


async def test_the_tables_are_called_what_operators_expect(saver: AsyncSqliteSaver, path: str) -> None:
    for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes", "checkpoint_heads"):
        assert select(path, f"SELECT count(thread_id) FROM {table}") == [(0,)]
    assert select(path, "PRAGMA journal_mode") == [("wal",)]


async def test_metadata_is_json_that_sql_can_search(saver: AsyncSqliteSaver, path: str) -> None:
    metadata: Any = {"step": 3, "user": "änn"}
    await saver.aput(THREAD, make_checkpoint({}), metadata, {})
    assert select(path, "SELECT metadata ->> 'user' FROM checkpoints") == [("änn",)]


@pytest.mark.parametrize("value", [{1, 2}, object(), float("nan"), 2**64, "\ud800", {1: 2}])
async def test_metadata_that_is_not_json_is_refused(saver: AsyncSqliteSaver, value: Any) -> None:
    metadata: Any = {"fine": None, "job": [{"x": value}]}
    with pytest.raises(CheckpointSerializationError, match=r"cannot store metadata\.job\[0\]\.x: "):
        await saver.aput(THREAD, make_checkpoint({"a": 1}), metadata, {"a": 1})
    assert await saver.aget(THREAD) is None


async def test_an_unchanged_value_is_not_written_again(saver: AsyncSqliteSaver, path: str) -> None:
    large, config = "x" * 100_000, THREAD
    for step in range(10):
        versions: Any = {"large": 1, "n": step + 1}
        checkpoint = make_checkpoint({"large": large, "n": step}, versions=versions)
        config = await saver.aput(config, checkpoint, {}, {"n": step + 1} if step else versions)
    assert select(path, "SELECT count(*) FROM checkpoint_blobs") == [(1,)]
    found = await saver.aget(config)
    assert found is not None
    assert found["channel_values"] == {"large": large, "n": 9}


# -- damage ----------------------------------------------------------------------------------------


BLOBS = [f"checkpoint_blobs.{column}" for column in ("type", "refs", "blob")]
CHECKPOINTS = [f"checkpoints.{column}" for column in ("type", "refs", "checkpoint")]


@pytest.mark.parametrize("place", [*BLOBS, *CHECKPOINTS])
@pytest.mark.parametrize("value", ["x'80'", "'text'", "7", "1e9"])
async def test_a_column_that_holds_another_kind_of_value_is_an_error_that_tells_where(
    saver: AsyncSqliteSaver, path: str, place: str, value: str
) -> None:
    long = [f"{number} " * 200 for number in range(20)]
    await saver.aput(THREAD, make_checkpoint({"long": long}), {}, {"long": 1})
    table, column = place.split(".")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {table} SET {column} = {value}")
    async with AsyncSqliteSaver.from_conn_string(path) as other:
        with pytest.raises(CheckpointDeserializationError, match=r"^thread 't', checkpoint '.*', "):
            await other.aget_tuple(THREAD)
