"""LangGraph's published conformance suite over our savers; and delta histories, which it leaves out."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint import memory as langgraph_memory
from langgraph.checkpoint.base import BaseCheckpointSaver, ChannelVersions
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES, Capability
from langgraph.checkpoint.conformance.test_utils import generate_config, put_test_checkpoint

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.postgres import AsyncPostgresSaver
from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from tests.checkpoint.conformance import SaverForLangGraph

Saver: TypeAlias = BaseCheckpointSaver[Any]
Opener: TypeAlias = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Saver]]


@asynccontextmanager
async def in_memory(request: pytest.FixtureRequest) -> AsyncIterator[Saver]:
    yield SaverForLangGraph(InMemorySaver())


@asynccontextmanager
async def sqlite(request: pytest.FixtureRequest) -> AsyncIterator[Saver]:
    folder: Path = request.getfixturevalue("tmp_path")
    async with AsyncSqliteSaver.from_conn_string(str(folder / "checkpoints.db")) as saver:
        yield SaverForLangGraph(saver)


@asynccontextmanager
async def postgres(request: pytest.FixtureRequest) -> AsyncIterator[Saver]:
    address: str = request.getfixturevalue("postgres_database")
    async with AsyncPostgresSaver.from_conn_string(address) as saver:
        await saver.asetup()
        yield SaverForLangGraph(saver)


SAVERS = [in_memory, sqlite, pytest.param(postgres, marks=pytest.mark.postgres)]

# -- the suite -------------------------------------------------------------------------------------

TESTS = {
    Capability.PUT: 17,
    Capability.PUT_WRITES: 10,
    Capability.GET_TUPLE: 10,
    Capability.LIST: 16,
    Capability.DELETE_THREAD: 5,
    Capability.DELETE_FOR_RUNS: 7,
    Capability.COPY_THREAD: 8,
    Capability.PRUNE: 8,
}
"""How many tests each capability has, so that none is left out unseen."""


def test_every_capability_is_examined() -> None:
    assert TESTS.keys() == ALL_CAPABILITIES


@pytest.mark.parametrize("capability", TESTS, ids=lambda capability: capability.value)
@pytest.mark.parametrize("opened", SAVERS)
async def test_a_saver_has_the_capability(
    request: pytest.FixtureRequest, opened: Opener, capability: Capability
) -> None:
    @checkpointer_test(name=opened.__name__)
    async def examined() -> AsyncGenerator[Saver]:
        async with opened(request) as saver:
            yield saver

    report = await validate(examined, capabilities={capability.value})
    result = report.results[capability.value]
    assert result.failures == []
    assert result.tests_passed == TESTS[capability]


# -- delta histories: LangGraph's own saver has to pass the same tests ------------------------------


@asynccontextmanager
async def langgraphs_own(request: pytest.FixtureRequest) -> AsyncIterator[Saver]:
    yield langgraph_memory.InMemorySaver()


@pytest.fixture(params=[*SAVERS, langgraphs_own])
async def saver(request: pytest.FixtureRequest) -> AsyncIterator[Saver]:
    async with request.param(request) as opened:
        yield opened


class Line:
    """A line of checkpoints; each has the values that `add` is given, and pending writes to its channels."""

    def __init__(self, saver: Saver, thread_id: str = "thread") -> None:
        self.saver = saver
        self.thread_id = thread_id
        self._length = 0

    async def add(
        self,
        parent: RunnableConfig | None = None,
        values: dict[str, Any] | None = None,
        writes: Sequence[tuple[str, Any]] = (),
        *,
        tasks: Sequence[tuple[str, str]] = (("task", ""),),
    ) -> RunnableConfig:
        """Stores a checkpoint, and the writes once for each of the tasks, of which id and path are given."""
        self._length += 1
        versions: ChannelVersions = {"a": self._length, "b": self._length}
        config = await put_test_checkpoint(
            self.saver,
            thread_id=self.thread_id,
            parent_config=parent,
            channel_values=values or {},
            channel_versions=versions,
        )
        for task_id, path in tasks:
            await self.saver.aput_writes(config, writes, task_id, path)
        return config

    async def history(self, config: RunnableConfig, *channels: str) -> Any:
        return await self.saver.aget_delta_channel_history(config=config, channels=channels)


async def test_a_history_begins_with_the_oldest_writes(saver: Saver) -> None:
    line = Line(saver)
    first = await line.add(writes=[("a", 1), ("a", 2)])
    second = await line.add(first, writes=[("a", 3)])
    assert await line.history(await line.add(second), "a") == {
        "a": {"writes": [("task", "a", 1), ("task", "a", 2), ("task", "a", 3)]}
    }


async def test_a_history_reaches_back_to_the_nearest_value(saver: Saver) -> None:
    line = Line(saver)
    first = await line.add(values={"a": ["old"]}, writes=[("a", 1)])
    second = await line.add(first, {"a": ["new"]}, [("a", 2)])
    third = await line.add(second, writes=[("a", 3)])
    assert await line.history(await line.add(third), "a") == {
        "a": {"writes": [("task", "a", 2), ("task", "a", 3)], "seed": ["new"]}
    }


async def test_a_value_of_none_or_nothing_is_a_value(saver: Saver) -> None:
    line = Line(saver)
    first = await line.add(values={"a": None, "b": []}, writes=[("a", 1)])
    assert await line.history(await line.add(first), "a", "b") == {
        "a": {"writes": [("task", "a", 1)], "seed": None},
        "b": {"writes": [], "seed": []},
    }


async def test_values_and_writes_of_the_checkpoint_itself_do_not_count(
    saver: Saver,
) -> None:
    line = Line(saver)
    first = await line.add(writes=[("a", 1)])
    second = await line.add(first, {"a": ["own"]}, [("a", 2)])
    assert await line.history(second, "a") == {"a": {"writes": [("task", "a", 1)]}}
    assert await line.history(first, "a") == {"a": {"writes": []}}


async def test_each_channel_has_a_history_of_its_own(saver: Saver) -> None:
    line = Line(saver)
    first = await line.add(values={"a": ["x"]}, writes=[("a", 1), ("b", 2)])
    second = await line.add(first, {"b": ["y"]}, [("b", 3), ("a", 4), ("c", 5)])
    assert await line.history(await line.add(second), "a", "b", "d") == {
        "a": {"writes": [("task", "a", 1), ("task", "a", 4)], "seed": ["x"]},
        "b": {"writes": [("task", "b", 3)], "seed": ["y"]},
        "d": {"writes": []},
    }


async def test_writes_of_a_checkpoint_come_by_path_then_task(saver: Saver) -> None:
    line = Line(saver)
    tasks = [("t1", "p2"), ("t3", "p1"), ("t2", "p1"), ("t9", "")]
    first = await line.add(writes=[("a", 1)], tasks=tasks)
    history = await line.history(await line.add(first), "a")
    assert [task_id for task_id, _, _ in history["a"]["writes"]] == ["t9", "t2", "t3", "t1"]


async def test_a_history_follows_parents_and_not_the_clock(saver: Saver) -> None:
    line = Line(saver)
    first = await line.add(writes=[("a", 1)])
    left = await line.add(first, writes=[("a", "left")])
    right = await line.add(first, writes=[("a", "right")])
    end = await line.add(left)
    await line.add(right)
    assert await line.history(end, "a") == {"a": {"writes": [("task", "a", 1), ("task", "a", "left")]}}


async def test_without_an_id_the_history_is_that_of_the_head(saver: Saver) -> None:
    line = Line(saver)
    first = await line.add(writes=[("a", 1)])
    await line.add(first, writes=[("a", 2)])
    assert await line.history(generate_config("thread"), "a") == {"a": {"writes": [("task", "a", 1)]}}


async def test_where_nothing_is_stored_a_history_is_empty(saver: Saver) -> None:
    line = Line(saver)
    first = await line.add(writes=[("a", 1)])
    assert await line.history(generate_config("unknown"), "a") == {"a": {"writes": []}}
    assert await line.history(generate_config("thread", checkpoint_id="x"), "a") == {"a": {"writes": []}}
    assert await line.history(await line.add(first)) == {}


@pytest.mark.parametrize("saver", SAVERS, indirect=True)
async def test_a_copied_thread_has_the_same_history(saver: Saver) -> None:
    line = Line(saver)
    first = await line.add(values={"a": ["x"]}, writes=[("a", 1)])
    end = await line.add(await line.add(first, writes=[("a", 2)]))
    wanted = await line.history(end, "a")
    await saver.acopy_thread("thread", "copy")
    await saver.adelete_thread("thread")
    assert await line.history(generate_config("copy"), "a") == wanted
