"""The PostgreSQL saver against a real server: the contract, and what only a server shows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from aiograph.checkpoint.postgres import PostgresSaver
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
