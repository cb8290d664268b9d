"""The contract of pairs: two supersteps that are stored in one go are stored as if one after the other."""

from typing import Any

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple, Commit, TaskWrites, config_for
from aiograph.errors import ConcurrentUpdateError
from aiograph.testing.savers._holds import LARGE, Run
from aiograph.testing.savers._kit import Part, Verbs
from aiograph.types import RunnableConfig


def pair_of(run: Run) -> Commit:
    """Two supersteps, of which the second changes what the first has brought, and adds to it."""
    first = run.encode([TaskWrites("input", "", [("a", LARGE)])], a=LARGE, b=1)
    second = run.encode([TaskWrites("task", "", [("b", 2), ("c", LARGE[:2])])], b=2, c=LARGE[:2])
    return second.behind(first)


class Pairs(Part):
    """Both or none."""

    @pytest.fixture
    def pairing(self, saver: BaseCheckpointSaver) -> BaseCheckpointSaver:
        if not saver.takes_pairs:
            pytest.skip("the saver stores commits one by one")
        return saver

    @pytest.mark.parametrize("length", [0, 1, 3])
    async def test_a_pair_is_stored_as_if_one_after_the_other(
        self, pairing: BaseCheckpointSaver, length: int
    ) -> None:
        verbs = Verbs(pairing, "async")
        for thread in ("pair", "singles"):
            await verbs.put_chain(thread, length)
        pair = pair_of(await Run.start(pairing, config_for("pair", "")))
        await pairing.acommit(pair)
        singly = await Run.start(pairing, config_for("singles", ""))
        await pairing.acommit(singly.encode([TaskWrites("input", "", [("a", LARGE)])], a=LARGE, b=1))
        writes = [TaskWrites("task", "", [("b", 2), ("c", LARGE[:2])])]
        await pairing.acommit(singly.encode(writes, b=2, c=LARGE[:2]))
        found = await told(pairing, "pair")
        assert len(found) == length + 2
        assert found == await told(pairing, "singles")

    async def test_the_run_goes_on_behind_a_pair(self, pairing: BaseCheckpointSaver) -> None:
        run = await Run.start(pairing)
        await pairing.acommit(pair_of(run))
        await run.record("task")
        await run.step(a=3)
        assert [values for values, *_ in await told(pairing, "t")] == [
            {"a": 3, "b": 2, "c": LARGE[:2]},
            {"a": LARGE, "b": 2, "c": LARGE[:2]},
            {"a": LARGE, "b": 1},
        ]

    async def test_a_pair_may_be_stored_twice(self, pairing: BaseCheckpointSaver) -> None:
        await Verbs(pairing, "async").put_chain("t", 1)
        run = await Run.start(pairing)
        pair = pair_of(run)
        await pairing.acommit(pair)
        before = await told(pairing, "t")
        await pairing.acommit(pair)  # the answer to the first attempt may have been lost
        assert await told(pairing, "t") == before
        await run.step(a=3)

    @pytest.mark.parametrize("length", [0, 1, 3])
    async def test_nothing_of_a_pair_that_was_overtaken_is_stored(
        self, pairing: BaseCheckpointSaver, length: int
    ) -> None:
        await Verbs(pairing, "async").put_chain("t", length)
        first, second = await Run.start(pairing), await Run.start(pairing)
        await first.step(a=1)
        before = await told(pairing, "t")
        with pytest.raises(ConcurrentUpdateError, match="'t'"):
            await pairing.acommit(pair_of(second))
        assert await told(pairing, "t") == before
        await first.step(a=2)

    async def test_a_pair_overtakes(self, pairing: BaseCheckpointSaver) -> None:
        first, second = await Run.start(pairing), await Run.start(pairing)
        await pairing.acommit(pair_of(first))
        with pytest.raises(ConcurrentUpdateError):
            await pairing.acommit(pair_of(second))
        assert len(await told(pairing, "t")) == 2

    async def test_a_fork_may_begin_with_a_pair(self, pairing: BaseCheckpointSaver) -> None:
        old, _ = await Verbs(pairing, "async").put_chain("t", 2)
        running, fork = await Run.start(pairing), await Run.start(pairing, old)
        await pairing.acommit(pair_of(fork))
        newest, first = (await _all(pairing, "t"))[:2]
        assert first.parent_config == old
        assert newest.parent_config == first.config
        with pytest.raises(ConcurrentUpdateError):
            await running.step(a="too late")

    async def test_a_pair_whose_parent_was_pruned_is_refused(
        self, pairing: BaseCheckpointSaver, house: Verbs
    ) -> None:
        old, _ = await house.put_chain("t", 2)
        fork = await Run.start(pairing, old)
        await house("prune", ["t"])
        with pytest.raises(ConcurrentUpdateError):
            await pairing.acommit(pair_of(fork))
        assert len(await told(pairing, "t")) == 1


async def _all(saver: BaseCheckpointSaver, thread: str) -> list[CheckpointTuple]:
    return [found async for found in saver.alist(config_for(thread, ""))]


async def told(saver: BaseCheckpointSaver, thread: str) -> list[tuple[Any, ...]]:
    """All that is stored of a thread but ids and times, newest first."""
    found = await _all(saver, thread)
    places = {_id_of(each.config): place for place, each in enumerate(found)}
    return [
        (
            each.checkpoint["channel_values"],
            each.checkpoint["channel_versions"],
            each.metadata,
            None if each.parent_config is None else places.get(_id_of(each.parent_config)),
            each.pending_writes,
        )
        for each in found
    ]


def _id_of(config: RunnableConfig) -> Any:
    return config["configurable"]["checkpoint_id"]
