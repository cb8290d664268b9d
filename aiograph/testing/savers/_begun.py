"""The contract of what is begun: supersteps under way at once are stored as if one after the other."""

import asyncio
from typing import Any

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver, Begun, Commit, TaskWrites, config_for
from aiograph.errors import ConcurrentUpdateError
from aiograph.testing.savers._holds import LARGE, Run
from aiograph.testing.savers._kit import Part, Verbs
from aiograph.testing.savers._pairs import pair_of, told


def supersteps(run: Run) -> list[Commit]:
    """Five of them, each of which goes on from what the one before has stored."""
    commits = [run.encode([TaskWrites("input", "", [("a", LARGE)])], a=LARGE, n=0)]
    for n in range(1, 5):
        writes = [TaskWrites(f"task {n}", "", [("n", n), ("a", [*LARGE, n])])]
        commits.append(run.encode(writes, n=n, a=[*LARGE, *range(n)]))
    return commits


class Stored:
    """Stands for what was stored before it could be waited for."""

    async def certain_outcome(self) -> None:
        """It is stored."""


async def begin(saver: BaseCheckpointSaver, commit: Commit, after: Begun | None = None) -> Begun:
    """Begins to store a superstep, or stores it if the saver has to wait for something first."""
    begun = saver.begin_commit(commit, after)
    if begun is None:
        await saver.acommit(commit)
    return begun or Stored()


async def outcomes(*begun: Begun) -> list[Any]:
    return await asyncio.gather(*(each.certain_outcome() for each in begun), return_exceptions=True)


class Beginnings(Part):
    """Each is stored behind the one before, or not at all."""

    @pytest.fixture
    def beginning(self, saver: BaseCheckpointSaver) -> BaseCheckpointSaver:
        if type(saver).begin_commit is BaseCheckpointSaver.begin_commit:
            pytest.skip("the saver stores one superstep after the other")
        return saver

    @pytest.mark.parametrize("length", [0, 1, 3])
    async def test_two_at_once_are_stored_as_if_one_after_the_other(
        self, beginning: BaseCheckpointSaver, length: int
    ) -> None:
        verbs = Verbs(beginning, "async")
        for thread in ("begun", "singles"):
            await verbs.put_chain(thread, length)
        first, *rest = supersteps(await Run.start(beginning, config_for("begun", "")))
        under_way = await begin(beginning, first)
        for commit in rest:
            following = await begin(beginning, commit, under_way)
            await under_way.certain_outcome()
            under_way = following
        await under_way.certain_outcome()
        for commit in supersteps(await Run.start(beginning, config_for("singles", ""))):
            await beginning.acommit(commit)
        found = await told(beginning, "begun")
        assert len(found) == length + 5
        assert found == await told(beginning, "singles")

    async def test_any_number_may_be_under_way(self, beginning: BaseCheckpointSaver) -> None:
        run = await Run.start(beginning)
        begun: list[Begun] = []
        for commit in supersteps(run):
            begun.append(await begin(beginning, commit, begun[-1] if begun else None))
        assert await outcomes(*begun) == [None] * 5
        assert len(await told(beginning, "t")) == 5
        await run.step(n=5)

    async def test_a_pair_may_be_under_way(self, beginning: BaseCheckpointSaver) -> None:
        run = await Run.start(beginning)
        pair = await begin(beginning, pair_of(run))
        last = await begin(beginning, run.encode(b=3), pair)
        assert await outcomes(pair, last) == [None, None]
        assert [values["b"] for values, *_ in await told(beginning, "t")] == [3, 2, 1]

    async def test_what_was_begun_twice_is_stored_once(self, beginning: BaseCheckpointSaver) -> None:
        first, second, *_ = supersteps(await Run.start(beginning))
        begun = await begin(beginning, first)
        again = await begin(beginning, second, begun)
        assert await outcomes(begun, again) == [None, None]
        before = await told(beginning, "t")
        await (await begin(beginning, second)).certain_outcome()  # the first answer may have been lost
        assert await told(beginning, "t") == before

    async def test_of_two_runs_that_begin_at_once_one_is_stored(self, beginning: BaseCheckpointSaver) -> None:
        await Verbs(beginning, "async").put_chain("t", 1)
        runs = [supersteps(await Run.start(beginning)) for _ in range(2)]
        firsts = [await begin(beginning, commits[0]) for commits in runs]
        seconds = [await begin(beginning, run[1], first) for run, first in zip(runs, firsts, strict=True)]
        found = await outcomes(*firsts), await outcomes(*seconds)
        for kind in found:
            assert sorted(type(each).__name__ for each in kind) == ["ConcurrentUpdateError", "NoneType"]
        assert found[0].index(None) == found[1].index(None)
        assert len(await told(beginning, "t")) == 3

    async def test_nothing_is_stored_without_the_one_before(self, beginning: BaseCheckpointSaver) -> None:
        await Verbs(beginning, "async").put_chain("t", 1)
        first, second, third, *_ = supersteps(await Run.start(beginning))
        await beginning.acommit(first)
        before = await told(beginning, "t")
        for late in (await begin(beginning, third), await begin(beginning, third)):
            with pytest.raises(ConcurrentUpdateError, match="'t'"):
                await late.certain_outcome()
        assert await told(beginning, "t") == before
        await beginning.acommit(second)
        await beginning.acommit(third)

    async def test_a_cancellation_withdraws_nothing(self, beginning: BaseCheckpointSaver) -> None:
        first, second, *_ = supersteps(await Run.start(beginning))
        begun = await begin(beginning, first)
        waiting = [
            asyncio.create_task(each.certain_outcome())
            for each in (begun, await begin(beginning, second, begun))
        ]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        assert await asyncio.gather(*waiting) == [None, None]
        assert len(await told(beginning, "t")) == 2
