"""The in-memory saver passes the contract, and never waits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.testing.savers import SaverContract


class TestInMemorySaver(SaverContract):
    @asynccontextmanager
    async def open_saver(self) -> AsyncIterator[BaseCheckpointSaver]:
        yield InMemorySaver()
