"""A thread can be taken up at every checkpoint, and comes to the same end; savers give back what they got."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver
from aiograph.errors import GraphRecursionError
from aiograph.pregel._state import restored_state
from aiograph.testing.clock import run_virtual
from aiograph.testing.faults import FaultySaver
from aiograph.types import StateSnapshot
from tests.pregel.plans import checkpoint_of
from tests.properties.graphs import CONFIG, INPUT, Graph, Shape, build, shapes


async def history(graph: Graph) -> list[StateSnapshot]:
    """The checkpoints of a thread, oldest first."""
    return [snapshot async for snapshot in graph.aget_state_history(CONFIG)][::-1]


def story(snapshots: list[StateSnapshot]) -> list[Any]:
    """What happened, without ids and times."""
    return [(snapshot.values, snapshot.next, (snapshot.metadata or {})["step"]) for snapshot in snapshots]


@settings(max_examples=40)
@given(shapes)
def test_from_every_checkpoint_the_end_is_the_same(shape: Shape) -> None:
    async def main() -> None:
        graph = build(shape, InMemorySaver(), {})
        output = await graph.ainvoke(INPUT, CONFIG)
        first = await history(graph)
        for index, snapshot in enumerate(first):
            known = len(await history(graph))
            assert await graph.ainvoke(None, snapshot.config) == output
            again = (await history(graph))[known:]
            assert story(again) == story(first[index:])

    run_virtual(main())


@settings(max_examples=40)
@given(shapes, st.integers(1, 4))
def test_a_run_cut_in_pieces_comes_to_the_same_end(shape: Shape, piece: int) -> None:
    """A limit of N allows N supersteps, never fails a run that is finished, and loses nothing."""

    async def main() -> None:
        whole = build(shape, InMemorySaver(), {})
        output = await whole.ainvoke(INPUT, CONFIG)
        steps = (await whole.aget_state(CONFIG)).metadata
        assert steps is not None
        graph = build(shape, InMemorySaver(), {})
        limited: Any = {**CONFIG, "recursion_limit": piece}
        input: Any = INPUT
        for _ in range(-(-steps["step"] // piece) - 1):
            with pytest.raises(GraphRecursionError):
                await graph.ainvoke(input, limited)
            input = None
        assert await graph.ainvoke(input, limited) == output
        assert story(await history(graph)) == story(await history(whole))

    run_virtual(main())


async def check_round_trip(shape: Shape, saver: BaseCheckpointSaver, reader: BaseCheckpointSaver) -> None:
    """A state that is stored, read by somebody else, made into a run's state and stored again is the same."""
    graph = build(shape, saver, {})
    await graph.ainvoke(INPUT, CONFIG)
    count = 0
    async for saved in reader.alist(CONFIG):
        count += 1
        state = restored_state(graph._plan, saved.checkpoint, saved.metadata, "")
        again = checkpoint_of(graph._plan, state)
        assert {**again, "ts": saved.checkpoint["ts"]} == saved.checkpoint
        assert await reader.aget_tuple(saved.config) == saved
    assert count >= 2 + len(shape.layers)


@settings(max_examples=30)
@given(shapes)
def test_states_survive_being_stored_in_memory(shape: Shape) -> None:
    async def main() -> None:
        saver = InMemorySaver()
        await check_round_trip(shape, saver, saver)

    run_virtual(main())


@settings(max_examples=15)
@given(shapes)
async def test_states_survive_being_stored_in_a_file(shape: Shape) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoints.db"
        async with AsyncSqliteSaver(path) as saver, AsyncSqliteSaver(path) as reader:
            await check_round_trip(shape, saver, reader)


@settings(max_examples=15)
@given(shapes)
async def test_memory_and_file_hold_the_same(shape: Shape) -> None:
    with TemporaryDirectory() as folder:
        async with AsyncSqliteSaver(Path(folder) / "checkpoints.db") as saver:
            stories = []
            for each in (InMemorySaver(), FaultySaver(InMemorySaver()), saver):
                graph = build(shape, each, {})
                await graph.ainvoke(INPUT, CONFIG)
                stories.append(story(await history(graph)))
            assert stories[0] == stories[1] == stories[2]
