"""Savers that encrypt: the whole contract, and rows that somebody has tampered with."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from aiograph.checkpoint.base import config_for
from aiograph.checkpoint.postgres import AsyncPostgresSaver
from aiograph.checkpoint.serde.encrypted import EncryptedSerializer
from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from aiograph.errors import CheckpointDeserializationError
from aiograph.testing.savers import SaverContract, make_checkpoint

OLD, NEW = b"o" * 32, b"n" * 32
SECRET = "attack at dawn "
THREAD = config_for("t", "")


class TestContractOnSqlite(SaverContract):
    @pytest.fixture(autouse=True)
    def _path(self, tmp_path: Path) -> None:
        self.path = tmp_path / "checkpoints.db"

    @asynccontextmanager
    async def open_saver(self) -> AsyncIterator[AsyncSqliteSaver]:
        async with AsyncSqliteSaver(self.path, serde=EncryptedSerializer(keys={"1": OLD})) as saver:
            yield saver


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "checkpoints.db")


@pytest.fixture
async def saver(path: str) -> AsyncIterator[AsyncSqliteSaver]:
    async with AsyncSqliteSaver(path, serde=EncryptedSerializer(keys={"1": OLD})) as saver:
        yield saver


def execute(path: str, sql: str, *parameters: Any) -> list[Any]:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as connection:
        return connection.execute(sql, parameters).fetchall()


def content_of(path: str) -> bytes:
    return Path(path).read_bytes()


async def store(saver: AsyncSqliteSaver, thread_id: str, word: str = SECRET) -> None:
    checkpoint = make_checkpoint({"large": word * 100, "other": word * 101, "small": word})
    config = await saver.aput(config_for(thread_id, ""), checkpoint, {"step": 1}, {})
    await saver.aput_writes(config, [("large", word * 102), ("small", word)], "task")


async def test_no_table_holds_a_readable_value(saver: AsyncSqliteSaver, path: str) -> None:
    await store(saver, "t")
    assert b"dawn" not in content_of(path) + content_of(f"{path}-wal")
    found = await saver.aget_tuple(THREAD)
    assert found is not None
    assert found.checkpoint["channel_values"]["large"] == SECRET * 100
    assert [write[2] for write in found.pending_writes or ()] == [SECRET * 102, SECRET]


TAMPERED = {
    "a value in plain text": "UPDATE checkpoint_blobs SET type = 'bytes', blob = x'00'",
    "two values exchanged": """
        UPDATE checkpoint_blobs SET (type, blob) = (
            SELECT type, blob FROM checkpoint_blobs AS other WHERE other.address <> checkpoint_blobs.address
            AND other.thread_id = checkpoint_blobs.thread_id LIMIT 1)
        """,
    "a value under another name": "UPDATE checkpoint_blobs SET address = randomblob(16)",
    "a checkpoint of another thread": """
        UPDATE checkpoints SET (type, refs, checkpoint) = (
            SELECT type, refs, checkpoint FROM checkpoints AS other WHERE other.thread_id = 'u')
        WHERE thread_id = 't'
        """,
    "values of another thread": """
        UPDATE checkpoint_blobs SET thread_id = CASE thread_id WHEN 't' THEN 'x' ELSE 't' END
        """,
    "a write of another task": "UPDATE checkpoint_writes SET task_id = 'another'",
    "a write to another channel": "UPDATE checkpoint_writes SET channel = 'another'",
    "writes exchanged": "UPDATE checkpoint_writes SET idx = 1 - idx + 10",
    "its end": "UPDATE checkpoints SET checkpoint = substr(checkpoint, 1, length(checkpoint) - 1)",
}


@pytest.mark.parametrize("sql", TAMPERED.values(), ids=TAMPERED)
async def test_what_was_tampered_with_does_not_open(saver: AsyncSqliteSaver, path: str, sql: str) -> None:
    await store(saver, "t")
    await store(saver, "u", "retreat at dusk ")
    execute(path, sql)
    with pytest.raises(CheckpointDeserializationError, match="thread 't'"):
        await saver.aget_tuple(THREAD)


async def test_a_copy_can_be_read_and_goes_on(saver: AsyncSqliteSaver) -> None:
    await store(saver, "t")
    await saver.acopy_thread("t", "copy")
    source, copy = await saver.aget_tuple(THREAD), await saver.aget_tuple(config_for("copy", ""))
    assert source is not None
    assert copy is not None
    assert copy.checkpoint == source.checkpoint
    await saver.acopy_thread("copy", "copy of the copy")
    await saver.adelete_thread("t")
    await store(saver, "copy", "onwards ")
    again = await saver.aget_tuple(config_for("copy", ""))
    assert again is not None
    assert again.checkpoint["channel_values"]["small"] == "onwards "
    assert await saver.aget_tuple(config_for("copy of the copy", "")) is not None
    assert len([each async for each in saver.alist(None)]) == 3


async def test_keys_can_be_replaced(saver: AsyncSqliteSaver, path: str) -> None:
    await store(saver, "t")
    async with AsyncSqliteSaver(path, serde=EncryptedSerializer(keys={"1": OLD, "2": NEW})) as renewed:
        found = await renewed.aget_tuple(THREAD)
        assert found is not None
        await renewed.aput(
            found.config, make_checkpoint({"a": SECRET * 100}, after=found.checkpoint["id"]), {}, {}
        )
        assert len([each async for each in renewed.alist(THREAD)]) == 2
    with pytest.raises(CheckpointDeserializationError, match="thread 't'"):
        await saver.aget_tuple(THREAD)  # it does not know the new key


async def test_postgres_too(postgres_database: str) -> None:
    serde = EncryptedSerializer(keys={"1": OLD})
    async with AsyncPostgresSaver(postgres_database, serde=serde) as saver:
        await saver.asetup()
        await saver.aput(THREAD, make_checkpoint({"large": SECRET * 1000}), {}, {})
        await saver.acopy_thread("t", "copy")
        copy = await saver.aget_tuple(config_for("copy", ""))
        assert copy is not None
        assert copy.checkpoint["channel_values"] == {"large": SECRET * 1000}
    async with AsyncPostgresSaver(postgres_database) as plain:
        with pytest.raises(CheckpointDeserializationError, match="thread 't'"):
            await plain.aget_tuple(THREAD)
