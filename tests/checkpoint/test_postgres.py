"""The PostgreSQL saver against a real server: the contract, and what only a server shows."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from psycopg import AsyncConnection

from aiograph.checkpoint.base import Commit, config_for
from aiograph.checkpoint.postgres import AsyncPostgresSaver, PostgresSaver
from aiograph.errors import CheckpointStorageError
from aiograph.testing.savers import SaverContract
from aiograph.testing.savers._holds import LARGE, Run


class TestContract(SaverContract):
    @pytest.fixture(autouse=True)
    def _database(self, postgres_database: str) -> None:
        self.address = postgres_database

    @asynccontextmanager
    async def open_saver(self) -> AsyncIterator[PostgresSaver]:
        async with PostgresSaver(self.address) as saver:
            await saver.asetup()
            yield saver


NOWHERE = "postgresql://nobody:nothing@127.0.0.1:1/none"
"""Nobody listens there."""

SOON = 15.0
"""Seconds: half the patience that savers have unless told otherwise, many times that of these tests."""

THREAD: Any = config_for("t", "")


async def test_a_saver_of_a_connection_string_has_the_patience_it_is_given() -> None:
    async with AsyncPostgresSaver.from_conn_string(NOWHERE, patience=0.1) as saver, asyncio.timeout(SOON):
        with pytest.raises(CheckpointStorageError, match="refused"):
            await saver.aget_tuple(THREAD)


@pytest.mark.parametrize("is_async", [False, True], ids=["with", "async with"])
async def test_so_does_one_that_has_both_colours(is_async: bool) -> None:
    started = time.monotonic()
    if is_async:
        async with PostgresSaver.afrom_conn_string(NOWHERE, patience=0.1) as saver:
            with pytest.raises(CheckpointStorageError, match="refused"):
                await saver.aget_tuple(THREAD)
    else:
        await asyncio.to_thread(_get_in_vain)
    assert time.monotonic() - started < SOON


def _get_in_vain() -> None:
    refused = pytest.raises(CheckpointStorageError, match="refused")
    with PostgresSaver.from_conn_string(NOWHERE, patience=0.1) as saver, refused:
        saver.get_tuple(THREAD)


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[AsyncPostgresSaver]:
    async with AsyncPostgresSaver.from_conn_string(address) as saver:
        await saver.asetup()
        yield saver


WAITING = """
SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def until_blocked(address: str, count: int) -> None:
    """Waits until so many transactions wait for locks of others."""
    async with await AsyncConnection.connect(address, autocommit=True) as onlooker, asyncio.timeout(SOON):
        while (await onlooker.execute(WAITING)).rowcount < count:  # noqa: ASYNC110  # the server tells nobody
            await asyncio.sleep(0.01)


async def test_no_clean_up_takes_what_a_new_namespace_uses_again(postgres_database: str) -> None:
    """It uses what only an old checkpoint has, and is made while the clean-up waits for its lock."""
    async with (
        opened(postgres_database) as saver,
        await AsyncConnection.connect(postgres_database) as holding_thread,
        await AsyncConnection.connect(postgres_database) as holding_row,
    ):
        outer = await Run.start(saver)
        await outer.step(a=LARGE)
        await outer.step(a="short")
        await holding_thread.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended('t', 0))")
        clean_up = asyncio.create_task(saver.aprune(["t"]))
        await until_blocked(postgres_database, 1)
        inner = await Run.start(saver, config_for("t", "inner"))
        first, second = inner.encode(n=1), inner.encode(a=LARGE)
        await holding_row.execute(
            "INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, created_at, type, refs, "
            "checkpoint, metadata) VALUES ('t', 'inner', %s, 0, '', '', '', '{}')",
            [inner.config["configurable"]["checkpoint_id"]],
        )
        run = asyncio.create_task(_stored(saver, first, second))
        await until_blocked(postgres_database, 2)
        await holding_thread.rollback()
        await clean_up
        await holding_row.rollback()
        await run
    async with opened(postgres_database) as another:
        found = await another.aget_tuple(config_for("t", "inner"))
        assert found is not None
        assert found.checkpoint["channel_values"]["a"] == LARGE


async def _stored(saver: AsyncPostgresSaver, *commits: Commit) -> None:
    for commit in commits:
        await saver.acommit(commit)
