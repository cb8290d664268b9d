"""Savers keep what they have read and written in memory: same answers, fewer cells fetched."""

import operator
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest

from aiograph._sql.session import Query, Row
from aiograph.checkpoint._relational._reading import Brought
from aiograph.checkpoint._relational._saver import SqlSaver
from aiograph.checkpoint.base import config_for
from aiograph.checkpoint.postgres import AsyncPostgresSaver
from aiograph.checkpoint.serde.encrypted import EncryptedSerializer
from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from aiograph.graph import START, StateGraph
from aiograph.testing.savers import SaverContract

THREAD = config_for("t", "")


class TestContractWithoutIt(SaverContract):
    @pytest.fixture(autouse=True)
    def _path(self, tmp_path: Path) -> None:
        self.path = tmp_path / "checkpoints.db"

    @asynccontextmanager
    async def open_saver(self) -> AsyncIterator[AsyncSqliteSaver]:
        async with AsyncSqliteSaver(self.path, cached_bytes=0) as saver:
            yield saver


class State(TypedDict):
    messages: Annotated[list[str], operator.add]


def text(word: str) -> str:
    """Long enough for a cell of its own."""
    return f"{word} " * 100


async def answer(state: State) -> State:
    return {"messages": [text(f"answer {len(state['messages'])}")]}


def conversation(saver: SqlSaver) -> Any:
    builder = StateGraph(State)
    builder.add_node(answer)
    builder.add_edge(START, "answer")
    return builder.compile(checkpointer=saver, durability="sync")


async def talk(saver: SqlSaver, *words: str, thread: Any = THREAD) -> None:
    for word in words:
        await conversation(saver).ainvoke({"messages": [text(word)]}, thread)


async def messages_of(saver: SqlSaver, thread: Any = THREAD) -> list[str]:
    found = await saver.aget_tuple(thread)
    assert found is not None
    return list(found.checkpoint["channel_values"]["messages"])


Opened = Callable[..., AbstractAsyncContextManager[SqlSaver]]
"""Opens one more saver on the database of a test."""


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    if request.param == "sqlite":
        return partial(AsyncSqliteSaver.from_conn_string, str(tmp_path / "checkpoints.db"))
    return partial(open_postgres, request.getfixturevalue("postgres_database"))


@asynccontextmanager
async def open_postgres(address: str, **options: Any) -> AsyncIterator[SqlSaver]:
    async with AsyncPostgresSaver(address, **options) as saver:
        await saver.asetup()
        yield saver


Savers = tuple[SqlSaver, SqlSaver]


@pytest.fixture
async def savers(opened: Opened) -> AsyncIterator[Savers]:
    """Two on one database; the second one keeps nothing."""
    async with opened() as caching, opened(cached_bytes=0) as other:
        yield caching, other


@pytest.fixture
def fetched(savers: Savers, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many cells the first one has fetched since it was asked last."""
    saver, counts = savers[0], [0]
    read = saver._arows

    async def counted(*args: Any) -> Brought:
        brought = await read(*args)
        counts[0] += sum(map(len, brought.cells.values()))
        return brought

    def count() -> int:
        counted_so_far, counts[0] = counts[0], 0
        return counted_so_far

    monkeypatch.setattr(saver, "_arows", counted)
    return count


Fetched = Callable[[], int]


async def test_the_next_run_finds_its_values_in_memory(savers: Savers, fetched: Fetched) -> None:
    caching, other = savers
    await talk(caching, "one", "two", "three", "four", "five")
    assert await caching.aget_tuple(THREAD) == await other.aget_tuple(THREAD)
    assert caching.statistics.gets == 6
    assert caching.statistics.cached_gets == 5
    assert fetched() == 0


async def test_what_was_read_once_is_in_memory_as_well(savers: Savers, fetched: Fetched) -> None:
    caching, other = savers
    await talk(other, "one", "two")
    assert await caching.aget_tuple(THREAD) == await other.aget_tuple(THREAD)
    assert fetched() > 0
    assert await caching.aget_tuple(THREAD) == await other.aget_tuple(THREAD)
    assert fetched() == 0


async def test_what_others_write_is_seen(savers: Savers) -> None:
    caching, other = savers
    for turn in range(6):
        await talk(savers[turn % 2], f"question {turn}")
        assert await caching.aget_tuple(THREAD) == await other.aget_tuple(THREAD)
    await other.adelete_thread("t")
    assert await caching.aget_tuple(THREAD) is None


async def test_only_what_others_have_written_is_fetched(savers: Savers, fetched: Fetched) -> None:
    caching, other = savers
    await talk(caching, *map(str, range(40)))
    assert fetched() == 0
    await talk(other, "new")
    assert (await messages_of(caching))[-2] == text("new")
    assert 0 < fetched() < 20
    assert await messages_of(caching) == await messages_of(other)
    assert fetched() == 0


async def test_a_thread_that_was_deleted_and_written_anew_is_the_new_one(savers: Savers) -> None:
    caching, other = savers
    await talk(caching, "one", "two")
    for deleting, writing in ((other, other), (caching, other), (other, caching)):
        await deleting.adelete_thread("t")
        await talk(writing, "one", "other")
        assert await messages_of(caching) == await messages_of(other)
        await talk(caching, "more")
        assert (await messages_of(other))[-2] == text("more")
        assert await messages_of(caching) == await messages_of(other)


async def test_what_a_clean_up_has_removed_is_stored_again_when_it_comes_back(savers: Savers) -> None:
    caching, other = savers
    await talk(caching, "one")
    await conversation(caching).aclear_state(THREAD)
    await other.aprune(["t"])
    await talk(caching, "one")
    assert (await messages_of(other))[0] == text("one")


async def test_a_thread_goes_on_after_it_was_pruned(savers: Savers) -> None:
    caching, other = savers
    await talk(caching, "one", "two")
    for pruning in savers:
        await pruning.aprune(["t"])
        await talk(caching, "three")
        assert await messages_of(caching) == await messages_of(other)


async def test_the_past_is_read_as_it_was_and_can_be_gone_on_from(savers: Savers) -> None:
    caching, other = savers
    await talk(caching, "one", "two", "three")
    listed = [each async for each in caching.alist(THREAD)]
    assert listed == [each async for each in other.alist(THREAD)]
    past = listed[5].config
    assert await caching.aget_tuple(past) == await other.aget_tuple(past) == listed[5]
    await talk(caching, "instead", thread=past)
    assert await messages_of(caching) == await messages_of(other)
    assert text("three") not in await messages_of(caching)


async def test_a_listing_fetches_what_is_not_known(savers: Savers, fetched: Fetched) -> None:
    caching, other = savers
    await talk(caching, *map(str, range(20)))
    listed = [each async for each in caching.alist(THREAD, limit=3)]
    assert listed == [each async for each in other.alist(THREAD, limit=3)]
    assert fetched() < 20
    assert [each async for each in caching.alist(None)] == [each async for each in other.alist(None)]


async def test_a_copy_is_a_thread_of_its_own(savers: Savers) -> None:
    caching, other = savers
    copy = config_for("copy", "")
    await talk(caching, "one")
    await caching.acopy_thread("t", "copy")
    await talk(caching, "two")
    await talk(caching, "other", thread=copy)
    for thread in (THREAD, copy):
        assert await caching.aget_tuple(thread) == await other.aget_tuple(thread)


async def test_writes_beside_a_checkpoint_are_found_with_their_values(savers: Savers) -> None:
    caching, other = savers
    await talk(caching, "one")
    found = await caching.aget_tuple(THREAD)
    assert found is not None
    await caching.aput_writes(found.config, [("messages", [text("written")])], "task")
    for _ in range(2):
        assert await caching.aget_tuple(THREAD) == await other.aget_tuple(THREAD)


async def test_what_is_encrypted_in_the_tables_is_kept_as_well(opened: Opened) -> None:
    serde = EncryptedSerializer(keys={"1": b"k" * 32})
    async with opened(serde=serde) as caching, opened(serde=serde, cached_bytes=0) as other:
        for turn in range(4):
            await talk((caching, other)[turn % 2], f"question {turn}")
            assert await caching.aget_tuple(THREAD) == await other.aget_tuple(THREAD)
        await caching.acopy_thread("t", "copy")
        assert await messages_of(caching, config_for("copy", "")) == await messages_of(other)
        assert caching.statistics.cached_gets > 0


async def test_only_so_many_bytes_are_kept(opened: Opened) -> None:
    async with opened(cached_bytes=40_000) as saver:
        for name in "abcdefghijklmnop":
            await talk(saver, "one", thread=config_for(name, ""))
        await talk(saver, "two", thread=config_for("a", ""))
        assert saver.statistics.cached_gets == 0
        await talk(saver, "two", thread=config_for("p", ""))
        assert saver.statistics.cached_gets == 1


async def test_a_thread_that_is_too_large_is_read_from_the_database(opened: Opened) -> None:
    async with opened(cached_bytes=10_000) as saver, opened(cached_bytes=0) as other:
        await talk(saver, *map(str, range(10)))
        assert await saver.aget_tuple(THREAD) == await other.aget_tuple(THREAD)
        cached = saver.statistics.cached_gets
        await messages_of(saver)
        assert saver.statistics.cached_gets == cached


async def test_a_clean_up_between_two_statements_is_none_of_the_readers_business(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_postgres(postgres_database) as caching, open_postgres(postgres_database) as other:
        await talk(caching, "one")
        await talk(other, "two")
        fetch = caching._session.fetch
        statements = []

        async def fetch_late(query: Query, about: object) -> list[Row]:
            rows = await fetch(query, about)
            statements.append(query.sql)
            if len(statements) == 1:
                await talk(other, "three")
                await conversation(other).aclear_state(THREAD)
                await talk(other, "four")
                await other.aprune(["t"])
            return rows

        monkeypatch.setattr(caching._session, "fetch", fetch_late)
        assert await messages_of(caching) == await messages_of(other)
        assert len(statements) == 3


async def test_a_saver_that_is_opened_by_its_address_keeps_what_it_is_told(tmp_path: Path) -> None:
    for cached_bytes, cached_gets in ((0, 0), (2**20, 1)):
        address = str(tmp_path / f"{cached_bytes}.db")
        async with AsyncSqliteSaver.from_conn_string(address, cached_bytes=cached_bytes) as saver:
            await talk(saver, "one", "two")
            assert saver.statistics.cached_gets == cached_gets
