"""Savers that keep the newest values of some threads in memory: same answers, fewer bytes fetched."""

import operator
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.base import config_for
from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from aiograph.graph import START, StateGraph
from aiograph.testing.savers import SaverContract

THREAD = config_for("t", "")


class TestContract(SaverContract):
    @pytest.fixture(autouse=True)
    def _path(self, tmp_path: Path) -> None:
        self.path = tmp_path / "checkpoints.db"

    @asynccontextmanager
    async def open_saver(self) -> AsyncIterator[AsyncSqliteSaver]:
        async with AsyncSqliteSaver(self.path, cached_threads=2) as saver:
            yield saver


class State(TypedDict):
    messages: Annotated[list[str], operator.add]


async def answer(state: State) -> State:
    return {"messages": [f"answer {len(state['messages'])} " * 100]}


def conversation(saver: AsyncSqliteSaver) -> Any:
    builder = StateGraph(State)
    builder.add_node(answer)
    builder.add_edge(START, "answer")
    return builder.compile(checkpointer=saver, durability="sync")


@pytest.fixture
async def savers(tmp_path: Path) -> AsyncIterator[tuple[AsyncSqliteSaver, AsyncSqliteSaver]]:
    """Two on one file; the first one caches."""
    path = tmp_path / "checkpoints.db"
    async with AsyncSqliteSaver(path, cached_threads=2) as caching, AsyncSqliteSaver(path) as other:
        yield caching, other


Savers = tuple[AsyncSqliteSaver, AsyncSqliteSaver]


async def test_the_next_run_finds_its_values_in_memory(savers: Savers) -> None:
    caching, other = savers
    for turn in range(5):
        await conversation(caching).ainvoke({"messages": [f"question {turn} " * 100]}, THREAD)
    assert await caching.aget_tuple(THREAD) == await other.aget_tuple(THREAD)
    assert caching.statistics.gets == 6
    assert caching.statistics.cached_gets == 5


async def test_what_others_write_is_seen(savers: Savers) -> None:
    caching, other = savers
    for turn in range(6):
        saver = savers[turn % 2]
        await conversation(saver).ainvoke({"messages": [f"question {turn} " * 100]}, THREAD)
        assert await caching.aget_tuple(THREAD) == await other.aget_tuple(THREAD)
    await other.adelete_thread("t")
    assert await caching.aget_tuple(THREAD) is None


async def test_what_a_clean_up_has_removed_is_stored_again_when_it_comes_back(savers: Savers) -> None:
    caching, other = savers
    graph, long = conversation(caching), "question " * 100
    await graph.ainvoke({"messages": [long]}, THREAD)
    await graph.aclear_state(THREAD)
    await other.aprune(["t"])
    await graph.ainvoke({"messages": [long]}, THREAD)
    found = await other.aget_tuple(THREAD)
    assert found is not None
    assert found.checkpoint["channel_values"]["messages"][0] == long


async def test_only_so_many_threads_are_remembered(savers: Savers) -> None:
    caching, _ = savers
    for name in ("a", "b", "c", "a"):
        await conversation(caching).ainvoke({"messages": ["question " * 100]}, config_for(name, ""))
    assert caching.statistics.cached_gets == 0
    await conversation(caching).ainvoke({"messages": ["question " * 100]}, config_for("c", ""))
    assert caching.statistics.cached_gets == 1


async def test_a_saver_that_is_opened_by_its_address_can_have_a_cache(tmp_path: Path) -> None:
    address = str(tmp_path / "opened.db")
    async with AsyncSqliteSaver.from_conn_string(address, cached_threads=2) as saver:
        graph = conversation(saver)
        for _ in range(2):
            await graph.ainvoke({"messages": ["question"]}, THREAD)
        assert saver.statistics.cached_gets == 1
