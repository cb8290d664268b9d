"""The SQLite saver passes the contract."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver
from aiograph.testing.savers import SaverContract


class TestSqliteFile(SaverContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    @asynccontextmanager
    async def open_saver(self) -> AsyncIterator[BaseCheckpointSaver]:
        async with AsyncSqliteSaver.from_conn_string(str(self.folder / "checkpoints.db")) as saver:
            yield saver
