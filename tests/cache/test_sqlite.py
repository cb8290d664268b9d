"""The SQLite cache passes the contract; what it keeps outlives processes, and is shared by several."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from aiograph.cache.base import BaseCache, FullKey
from aiograph.cache.sqlite import SqliteCache
from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.errors import CacheError
from aiograph.testing.caches import CacheContract, Clock

KEY: FullKey = (("a",), "k")


class TestSqliteCache(CacheContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "cache.db"

    @asynccontextmanager
    async def open_cache(self) -> AsyncIterator[BaseCache[Any]]:
        async with SqliteCache[Any](path=self.path) as cache:
            yield cache

    async def test_what_has_expired_takes_no_room(self, clock: Clock) -> None:
        async with SqliteCache[int](path=self.path) as cache:
            await cache.aset({(("a",), str(number)): (number, 5.0 + number) for number in range(10)})
            clock.advance(9.5)
            await cache.aset({(("z",), "z"): (1, None)})
        with closing(sqlite3.connect(self.path)) as connection:
            assert connection.execute("SELECT count(*) FROM cached_values").fetchone() == (6,)


class TestSqliteCacheInMemory(CacheContract):
    @asynccontextmanager
    async def open_cache(self) -> AsyncIterator[BaseCache[Any]]:
        async with SqliteCache[Any](path=":memory:") as cache:
            yield cache


def test_what_one_process_has_set_another_one_finds(tmp_path: Path) -> None:
    script = (
        "import sys; from aiograph.cache.sqlite import SqliteCache\n"
        "with SqliteCache(path=sys.argv[1]) as cache: cache.set({(('a',), 'k'): ({'x': (1, 2)}, None)})"
    )
    with SqliteCache[Any](path=tmp_path / "db") as cache:
        assert cache.get([KEY]) == {}
        subprocess.run([sys.executable, "-c", script, str(tmp_path / "db")], check=True)
        assert cache.get([KEY]) == {KEY: {"x": (1, 2)}}


def test_it_may_share_the_file_of_a_saver(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with SqliteSaver.from_conn_string(str(path)) as saver, SqliteCache[int](path=path) as cache:
        cache.set({KEY: (1, None)})
        assert (cache.get([KEY]), list(saver.list(None))) == ({KEY: 1}, [])


async def test_what_is_no_database_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.write_text("this is no database, but long enough to be taken for one" * 100)
    async with SqliteCache[int](path=path) as cache:
        with pytest.raises(CacheError, match=r"db.*no SQLite database"):
            await cache.aget([KEY])
        with pytest.raises(CacheError, match="cannot write to"):
            await cache.aset({KEY: (1, None)})


async def test_a_closed_cache_says_so() -> None:
    cache: SqliteCache[int] = SqliteCache(path=":memory:")
    await cache.aset({KEY: (1, None)})
    await cache.aclose()
    with pytest.raises(CacheError, match="it was closed"):
        await cache.aget([KEY])


async def test_a_cancelled_call_leaves_all_or_nothing(tmp_path: Path) -> None:
    keys: list[FullKey] = [(("a",), str(number)) for number in range(100)]
    async with SqliteCache[int](path=tmp_path / "db") as cache:
        for _ in range(20):
            await cache.aclear()
            setting = asyncio.create_task(cache.aset(dict.fromkeys(keys, (1, None))))
            await asyncio.sleep(0)
            setting.cancel()
            await asyncio.wait([setting])
            assert len(await cache.aget(keys)) in (0, 100)
