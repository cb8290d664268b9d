"""Whatever a backlog is asked, and whatever goes wrong: nothing is stored behind a gap, or lost unsaid."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiograph.checkpoint.base import BaseCheckpointSaver, TaskWrites
from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver
from aiograph.errors import CheckpointError
from aiograph.pregel._backlog import Backlog, Record, Storage
from aiograph.testing.faults import FaultySaver, Mishap, SaverCall
from aiograph.testing.savers._holds import Run
from tests.faults.backends import line_of
from tests.faults.rig import BeginningSaver, turns

FAILURES = (CheckpointError, ConnectionResetError, SystemExit)

Mishaps: TypeAlias = dict[int, tuple[str, type[BaseException]]]
"""By number of a call, on which side of it what is raised."""

_WAITS = st.tuples(st.sampled_from(["put", "room", "flush"]), st.none() | st.integers(1, 12))
_QUICK = st.tuples(st.sampled_from(["add", "lead", "record"]), st.none())
_PAUSES = st.tuples(st.just("pause"), st.integers(1, 12))

operations = st.lists(st.one_of(_QUICK, _QUICK, _WAITS, _PAUSES), min_size=1, max_size=14)
"""What is asked; for what waits, after how many turns it is cancelled, if it is."""
mishaps: st.SearchStrategy[Mishaps] = st.dictionaries(
    st.integers(2, 10),
    st.tuples(
        st.sampled_from(["before", "during", "after"]),
        st.sampled_from([*FAILURES, asyncio.CancelledError]),
    ),
    max_size=3,
)
lags = st.tuples(*[st.integers(0, 6)] * 3)


class Author:
    """Writes numbered checkpoints, and numbered writes beside them, through a backlog."""

    def __init__(self, saver: FaultySaver, run: Run) -> None:
        self.saver = saver
        self.run = run
        self.backlog = Backlog(Storage(saver, run.hold, "t"))
        self.checkpoints = self.writes = 0

    async def ask(self, what: str, turn: int | None) -> BaseException | None:
        """Does something; what is raised, if that is no cancellation of ours."""
        if what in ("put", "room", "flush"):
            work = self.backlog.put(self._next()) if what == "put" else getattr(self.backlog, what)()
            return await outcome(work, turn)
        if what == "pause":
            await turns(turn or 1)
        elif what == "record":
            self._record()
        elif what == "lead" and self.saver.takes_pairs:
            self.backlog.lead(self._next())
        else:
            self.backlog.add(self._next())
        return None

    def _next(self) -> Any:
        self.checkpoints += 1
        return self.run.encode(n=self.checkpoints)

    def _record(self) -> None:
        if self.checkpoints:
            self.writes += 1
            task = TaskWrites(f"task {self.writes}", "", [("n", self.writes)])
            self.backlog.add(Record(self.run.config, [self.saver.encode_writes(task, self.run.hold)]))


async def outcome(work: Coroutine[Any, Any, None], turn: int | None = None) -> BaseException | None:
    """What it raises; it may be cancelled, and only then be broken off."""

    async def told() -> BaseException | None:
        try:
            await work
        except FAILURES as error:
            return error
        return None

    task = asyncio.create_task(told())
    if turn is not None:
        await turns(turn)
        task.cancel()
    await asyncio.wait([task], timeout=20)
    assert task.done(), "it hangs"
    assert not task.cancelled() or turn is not None, "it was cancelled by nobody"
    return None if task.cancelled() else task.result()


def mishap(side: str, lag: int, planned: Mishaps) -> Mishap:
    async def happen(call: SaverCall) -> None:
        await turns(lag * call.number % 7)
        place, error = planned.get(call.number, ("", Exception))
        if place == side:
            raise error

    return happen


async def live(
    inner: BaseCheckpointSaver, asked: list[tuple[str, Any]], planned: Mishaps, lags: tuple[int, ...]
) -> None:
    saver = FaultySaver(inner)
    author = Author(saver, await Run.start(saver))
    saver.before, saver.during, saver.after = (
        [mishap(side, lag, planned)] for side, lag in zip(("before", "during", "after"), lags, strict=True)
    )
    told = [await author.ask(*each) for each in asked]
    told.append(await outcome(author.backlog.flush()))
    assert saver.in_flight == []
    line = await line_of(inner, "t")
    numbers = [each.checkpoint["channel_values"]["n"] for each in line]
    assert numbers == list(range(1, len(line) + 1))
    if told[-1] is None:
        assert not any(told), "who has failed goes on failing"
        assert len(line) == author.checkpoints
        assert sum(len(each.pending_writes or ()) for each in line) == author.writes


@asynccontextmanager
async def opened(kind: str) -> AsyncIterator[BaseCheckpointSaver]:
    if kind == "memory":
        yield BeginningSaver()
    else:
        async with AsyncSqliteSaver(":memory:") as saver:
            yield saver


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_nothing_is_stored_behind_a_gap_or_lost_unsaid(kind: str) -> None:
    @settings(max_examples=150)
    @given(operations, mishaps, lags)
    def one(asked: list[tuple[str, Any]], planned: Mishaps, lags: tuple[int, ...]) -> None:
        async def main() -> None:
            async with opened(kind) as inner:
                await live(inner, asked, planned, lags)

        asyncio.run(main())

    one()
