"""The PostgreSQL saver against a real server: the contract, and what only a server shows."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiograph.checkpoint.base import config_for
from aiograph.checkpoint.postgres import AsyncPostgresSaver, PostgresSaver
from aiograph.errors import CheckpointStorageError
from aiograph.testing.savers import SaverContract


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
