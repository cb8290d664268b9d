"""Graphs that keep only so much of the past of their threads."""

import operator
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple, Retention
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.postgres import AsyncPostgresSaver
from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from aiograph.errors import CheckpointStorageError
from aiograph.graph import START, StateGraph
from aiograph.types import RunnableConfig
from aiograph.warnings import CheckpointWarning

THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}


class State(TypedDict):
    log: Annotated[list[str], operator.add]


async def work(state: State) -> State:
    return {"log": [f"{len(state['log'])} " * 200]}


def graph(saver: BaseCheckpointSaver, retention: Retention | None) -> Any:
    builder = StateGraph(State)
    builder.add_node(work)
    builder.add_edge(START, "work")
    return builder.compile(checkpointer=saver, retention=retention)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def saver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BaseCheckpointSaver]:
    if request.param == "memory":
        yield InMemorySaver()
    elif request.param == "sqlite":
        async with AsyncSqliteSaver(tmp_path / "checkpoints.db") as sqlite:
            yield sqlite
    else:
        async with AsyncPostgresSaver(request.getfixturevalue("postgres_database")) as postgres:
            await postgres.asetup()
            yield postgres


async def test_the_newest_checkpoints_are_kept(saver: BaseCheckpointSaver) -> None:
    kept = graph(saver, Retention(keep_last=2))
    for _ in range(4):
        result = await kept.ainvoke({"log": ["question " * 100]}, THREAD)
    history = [snapshot async for snapshot in kept.aget_state_history(THREAD)]
    assert len(history) == 2
    assert history[0].values == result
    assert len(result["log"]) == 8
    assert history[1].next == ("work",)
    again = await kept.ainvoke(None, history[1].config)
    assert again == result


async def test_old_checkpoints_go_and_the_newest_stays(saver: BaseCheckpointSaver) -> None:
    kept = graph(saver, Retention(max_age=timedelta(0)))
    await kept.ainvoke({"log": ["a"]}, THREAD)
    assert len([snapshot async for snapshot in kept.aget_state_history(THREAD)]) == 1
    patient = graph(saver, Retention(max_age=timedelta(days=1)))
    await patient.ainvoke({"log": ["b"]}, THREAD)
    assert len([snapshot async for snapshot in patient.aget_state_history(THREAD)]) == 4


async def test_all_threads_can_be_swept_at_once(saver: BaseCheckpointSaver) -> None:
    free = graph(saver, None)
    for name in ("a", "b"):
        await free.ainvoke({"log": ["x"]}, {"configurable": {"thread_id": name}})
    await saver.asweep(Retention(keep_last=1))
    assert [thread.checkpoints async for thread in saver.alist_threads()] == [1, 1]


async def test_a_run_that_could_not_clean_up_has_succeeded_all_the_same() -> None:
    class Stubborn(InMemorySaver):
        async def asweep(self, retention: Retention, thread_ids: Any = None) -> None:
            raise CheckpointStorageError("not today")

    with pytest.warns(CheckpointWarning, match="'t': its past could not be removed: not today"):
        assert (
            len((await graph(Stubborn(), Retention(keep_last=1)).ainvoke({"log": ["x"]}, THREAD))["log"]) == 2
        )


@pytest.mark.parametrize(
    ("retention", "error"),
    [
        (Retention(), ValueError),
        (Retention(keep_last=0), ValueError),
        (Retention(max_age=timedelta(seconds=-1)), ValueError),
        (10, TypeError),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(retention: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        graph(InMemorySaver(), retention)


class FrugalSaver(BaseCheckpointSaver):
    """Defines no more than it has to."""

    async def aget_tuple(self, config: RunnableConfig) -> None:
        return None

    async def alist(self, config: RunnableConfig | None, **_: Any) -> AsyncIterator[CheckpointTuple]:
        for each in list[CheckpointTuple]():
            yield each

    async def aput(self, config: RunnableConfig, *_: Any) -> RunnableConfig:
        return config

    async def aput_writes(self, config: RunnableConfig, *_: Any) -> None:
        return None

    async def adelete_thread(self, thread_id: str) -> None:
        return None


def test_a_saver_that_cannot_sweep_is_refused_when_the_graph_is_compiled() -> None:
    with pytest.raises(TypeError, match=r"FrugalSaver cannot apply .* without retention"):
        graph(FrugalSaver(), Retention(keep_last=2))
    graph(FrugalSaver(), None)
