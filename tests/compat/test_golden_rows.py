"""Rows that releases have written are read for ever, and runs that they have left are carried on."""

import sqlite3
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, NamedTuple, get_args

import psycopg
import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple, config_for
from aiograph.checkpoint.postgres import AsyncPostgresSaver
from aiograph.checkpoint.serde._codecs import CONTAINERS, SCALARS, Bytearray
from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from tests.compat.golden import (
    FOLDER,
    RUN,
    STORY,
    VALUES,
    Entry,
    Seal,
    build,
    go_on,
    is_same,
    serializer,
    story,
)

RELEASES = sorted(path.name for path in FOLDER.iterdir() if path.name[:1].isdigit())


class Record(NamedTuple):
    """A recorded database, and where it is loaded into."""

    text: str
    seal: Seal
    address: str

    @asynccontextmanager
    async def open(self) -> AsyncIterator[BaseCheckpointSaver]:
        """A saver of this release on it."""
        saver = self._load()
        async with saver:
            await saver.asetup()
            yield saver

    def _load(self) -> AsyncPostgresSaver | AsyncSqliteSaver:
        if "dbname" in self.address:
            with psycopg.connect(self.address, autocommit=True) as connection:
                connection.execute(self.text.encode())
            return AsyncPostgresSaver(self.address, serde=serializer(self.seal))
        with closing(sqlite3.connect(self.address)) as connection:
            connection.executescript(self.text)
        return AsyncSqliteSaver(self.address, serde=serializer(self.seal))


@pytest.fixture(params=get_args(Seal))
def seal(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=RELEASES)
def record(request: pytest.FixtureRequest, backend: str, seal: Seal, tmp_path: Path) -> Record:
    if seal == "encrypted":
        pytest.importorskip("cryptography")
    text = (FOLDER / request.param / f"{backend}-{seal}.sql").read_text(encoding="utf-8")
    is_file = backend == "sqlite"
    address = str(tmp_path / "old.db") if is_file else request.getfixturevalue("postgres_database")
    return Record(text, seal, address)


def check(entry: Entry, found: CheckpointTuple | None) -> None:
    assert found is not None, entry
    expected = entry.checkpoint
    values = found.checkpoint["channel_values"]
    for name, value in expected["channel_values"].items():
        assert is_same(values.pop(name), value), name
    assert values.keys() <= {"path"}  # which there may be on another system
    rest = {**found.checkpoint, "channel_values": expected["channel_values"]}
    if entry.thread_id != "values":
        assert rest == expected
    assert found.config == entry.config
    assert found.parent_config == entry.parent_config
    assert found.metadata == entry.metadata
    writes = [(task_id, *write) for task_id, _, writes in entry.writes for write in writes]
    assert is_same(sorted(found.pending_writes or [], key=str), sorted(writes, key=str))


async def test_old_checkpoints_come_back_as_what_they_were(record: Record) -> None:
    async with record.open() as saver:
        for entry in STORY:
            check(entry, await saver.aget_tuple(entry.config))


async def test_old_arrays_come_back_as_what_they_were(record: Record) -> None:
    pytest.importorskip("numpy")
    async with record.open() as saver:
        entry = story()[-1]
        check(entry, await saver.aget_tuple(entry.config))


async def test_old_threads_are_listed_as_before(record: Record) -> None:
    async with record.open() as saver:
        for thread_id in {entry.thread_id for entry in STORY}:
            listed = [saved async for saved in saver.alist({"configurable": {"thread_id": thread_id}})]
            entries = [entry for entry in STORY if entry.thread_id == thread_id]
            for entry, found in zip(reversed(entries), listed, strict=True):
                check(entry, found)


async def test_old_threads_can_be_copied_and_pruned(record: Record) -> None:
    async with record.open() as saver:
        await saver.acopy_thread("tree", "twin")
        await saver.aprune(["tree"])
        newest = max(entry.number for entry in STORY if entry.thread_id == "tree")
        kept = [saved.checkpoint["id"] async for saved in saver.alist(config_for("tree", ""))]
        assert kept == [entry.checkpoint["id"] for entry in STORY if entry[:3] == ("tree", "", newest)]
        for entry in STORY:
            if entry.thread_id == "tree":
                twin = entry._replace(thread_id="twin")
                check(twin, await saver.aget_tuple(twin.config))


async def test_a_run_that_was_left_in_the_middle_goes_on(record: Record) -> None:
    async with record.open() as saver:
        left = await build(saver, is_mended=True).aget_state(RUN)
        assert left.next == ("nested",)
        assert left.values == {"trail": ["input", "one", "work 0", "work 1"]}
        trail = (await go_on(saver))["trail"]
        assert sorted(trail[2:5]) == ["nested(one+two)", "work 0", "work 1"]
        assert [*trail[:2], *trail[5:]] == ["input", "one", "last"]


def test_this_release_is_recorded() -> None:
    project = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text())["project"]
    assert project["version"].rpartition(".")[0] in RELEASES


def test_every_built_in_type_is_recorded() -> None:
    recorded = {type(value) for value in VALUES.values()}
    elsewhere = {Bytearray, *(cls for cls in SCALARS if cls.__name__ in ("PosixPath", "WindowsPath"))}
    assert {*SCALARS, *CONTAINERS} - elsewhere <= recorded
