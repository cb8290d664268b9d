"""The contract of holds: of two runs that start from one state, one goes on and the other is told."""

import asyncio
from collections.abc import Sequence
from typing import Any, Self

import pytest

from aiograph.checkpoint._hold import Hold
from aiograph.checkpoint.base import (
    BaseCheckpointSaver,
    Checkpoint,
    CheckpointTuple,
    Commit,
    Superstep,
    TaskWrites,
    config_for,
    thread_of,
)
from aiograph.errors import ConcurrentUpdateError
from aiograph.testing.savers._kit import Part, Verbs, make_checkpoint
from aiograph.types import RunnableConfig

THREAD = config_for("t", "")

LARGE = ["x" * 1000] * 3
"""A value that is not stored within its checkpoint."""


class Run:
    """A run as the engine conducts it: reads a thread once, then adds superstep after superstep."""

    def __init__(self, saver: BaseCheckpointSaver, config: RunnableConfig, hold: Hold) -> None:
        self.saver = saver
        self.config = config
        self.hold = hold
        self.values: dict[str, Any] = {}

    @classmethod
    async def start(cls, saver: BaseCheckpointSaver, config: RunnableConfig = THREAD) -> Self:
        """A run that has read the thread, from the checkpoint that the config names."""
        found, hold = await saver.ahold(config)
        if found is None:
            return cls(saver, config, hold)
        run = cls(saver, found.config, hold)
        run.values = dict(found.checkpoint["channel_values"])
        return run

    def encode(self, writes: Sequence[TaskWrites] = (), **values: Any) -> Commit:
        """The next superstep, in which these values change."""
        checkpoint = self._next(values)
        encoded = [self.saver.encode_writes(task, self.hold) for task in writes]
        changed = {name: checkpoint["channel_versions"][name] for name in values}
        commit = self.saver.encode_commit(
            Superstep.of(self.config, checkpoint, {}, changed), encoded, self.hold
        )
        self.config = config_for(*thread_of(self.config)[:2], checkpoint["id"])
        return commit

    def _next(self, values: dict[str, Any]) -> Checkpoint:
        self.values.update(values)
        parent = self.config["configurable"].get("checkpoint_id") or ""
        return make_checkpoint(self.values, after=max(parent, self.hold.newest or ""))

    async def step(self, **values: Any) -> RunnableConfig:
        """Stores the next superstep; the config that names it."""
        await self.saver.acommit(self.encode(**values))
        return self.config

    async def claim(self) -> None:
        """Takes the head, as a run does that starts without input."""
        await self.saver.aclaim(self.config, self.hold)

    async def record(self, task: str) -> None:
        """Stores what a task has written."""
        encoded = self.saver.encode_writes(TaskWrites(task, "", [("a", task)]), self.hold)
        await self.saver.arecord(self.config, [encoded], self.hold)


class Holds(Part):
    """Whoever was overtaken can store nothing more, and nothing of what it tried is there."""

    @pytest.fixture
    def shared(self, saver: BaseCheckpointSaver) -> BaseCheckpointSaver:
        """The saver, for tests of what runs do to each other."""
        if not self.can_hold:
            pytest.skip("the saver does not notice that two runs work on one thread")
        return saver

    @pytest.fixture
    def keeper(self, shared: BaseCheckpointSaver, house: Verbs) -> Verbs:
        """Its verbs, for tests of what keeping house does to a run."""
        return house

    # -- two runs

    @pytest.mark.parametrize("length", [0, 1, 3])
    async def test_of_two_runs_the_first_to_write_goes_on(
        self, shared: BaseCheckpointSaver, length: int
    ) -> None:
        await Verbs(shared, "async").put_chain("t", length)
        first, second = await Run.start(shared), await Run.start(shared)
        await second.step(a="second")
        with pytest.raises(ConcurrentUpdateError, match="'t'"):
            await first.step(a="first")
        await second.step(a="second again")
        found = [each.checkpoint["channel_values"].get("a") for each in await _all(shared)]
        assert found == ["second again", "second", *[None] * length]

    async def test_nothing_of_a_refused_superstep_is_stored(self, shared: BaseCheckpointSaver) -> None:
        (parent,) = await Verbs(shared, "async").put_chain("t", 1)
        first, second = await Run.start(shared), await Run.start(shared)
        await first.step(a=1)
        before = await _all(shared)
        refused = second.encode([TaskWrites("task", "", [("a", LARGE)])], a=LARGE)
        with pytest.raises(ConcurrentUpdateError):
            await shared.acommit(refused)
        assert await _all(shared) == before
        assert before[1].config == parent
        assert before[1].pending_writes == []

    async def test_a_superstep_may_be_stored_twice(self, shared: BaseCheckpointSaver) -> None:
        run = await Run.start(shared)
        for value in (1, 2):
            commit = run.encode([TaskWrites("task", "", [("a", value)])], a=value)
            for _ in range(2):  # the answer to the first attempt may have been lost
                await shared.acommit(commit)
        assert len(await _all(shared)) == 2

    async def test_namespaces_are_held_apart(self, shared: BaseCheckpointSaver) -> None:
        outer, inner = await Run.start(shared), await Run.start(shared, config_for("t", "child:1"))
        await outer.step(a=1)
        await inner.step(a=1)
        await outer.step(a=2)

    async def test_a_raw_put_takes_the_head_from_a_run(self, shared: BaseCheckpointSaver) -> None:
        run = await Run.start(shared)
        config = await run.step(a=1)
        await Verbs(shared, "async").put(config, make_checkpoint({"a": "put"}))
        with pytest.raises(ConcurrentUpdateError):
            await run.step(a=2)
        assert len(await _all(shared)) == 2

    # -- forks

    async def test_a_fork_takes_the_head(self, shared: BaseCheckpointSaver) -> None:
        old, _, head = await Verbs(shared, "async").put_chain("t", 3)
        running, fork = await Run.start(shared), await Run.start(shared, old)
        assert running.config == head
        forked = await fork.step(a="fork")
        with pytest.raises(ConcurrentUpdateError):
            await running.step(a="too late")
        newest = (await _all(shared))[0]
        assert newest.config == forked
        assert newest.parent_config == old

    async def test_a_fork_from_a_head_that_has_moved_is_refused(self, shared: BaseCheckpointSaver) -> None:
        old, _ = await Verbs(shared, "async").put_chain("t", 2)
        running, fork = await Run.start(shared), await Run.start(shared, old)
        await running.step(a=1)
        with pytest.raises(ConcurrentUpdateError):
            await fork.step(a="fork")

    async def test_a_fork_whose_parent_was_pruned_is_refused(self, keeper: Verbs) -> None:
        old, _ = await keeper.put_chain("t", 2)
        fork = await Run.start(keeper.saver, old)
        await keeper("prune", ["t"])
        with pytest.raises(ConcurrentUpdateError):
            await fork.step(a="fork")
        assert len(await _all(keeper.saver)) == 1

    # -- claims, and writes of single tasks

    async def test_a_claim_takes_the_head(self, shared: BaseCheckpointSaver) -> None:
        await Verbs(shared, "async").put_chain("t", 1)
        first, second = await Run.start(shared), await Run.start(shared)
        await first.claim()
        with pytest.raises(ConcurrentUpdateError):
            await second.claim()
        with pytest.raises(ConcurrentUpdateError):
            await second.step(a="second")
        await first.step(a="first")
        assert len(await _all(shared)) == 2

    async def test_a_claim_stores_no_checkpoint(self, shared: BaseCheckpointSaver) -> None:
        run = await Run.start(shared)
        await run.claim()
        assert await _all(shared) == []
        await run.step(a=1)
        assert len(await _all(shared)) == 1

    async def test_who_was_overtaken_records_and_withdraws_nothing(self, shared: BaseCheckpointSaver) -> None:
        (config,) = await Verbs(shared, "async").put_chain("t", 1)
        first, second = await Run.start(shared), await Run.start(shared)
        await first.claim()
        await first.record("first")
        with pytest.raises(ConcurrentUpdateError):
            await second.record("second")
        with pytest.raises(ConcurrentUpdateError):
            await shared.awithdraw(config, ["first"], second.hold)
        assert (await _all(shared))[0].pending_writes == [("first", "a", "first")]
        await shared.awithdraw(config, ["first"], first.hold)
        assert (await _all(shared))[0].pending_writes == []

    # -- keeping house while a run goes on

    async def test_keeping_the_latest_leaves_the_head_to_the_run(self, keeper: Verbs) -> None:
        run = await Run.start(keeper.saver)
        for step in range(3):
            await run.step(a=step, large=LARGE)
        await keeper("prune", ["t"])
        await run.step(a=3)
        found = await _all(keeper.saver)
        assert [each.checkpoint["channel_values"] for each in found] == [
            {"a": 3, "large": LARGE},
            {"a": 2, "large": LARGE},
        ]

    async def test_what_was_pruned_is_stored_again_when_it_comes_back(self, keeper: Verbs) -> None:
        run = await Run.start(keeper.saver)
        await run.step(a=LARGE)
        await run.step(a=1)
        await keeper("prune", ["t"])
        await run.step(a=LARGE)
        assert (await _all(keeper.saver))[0].checkpoint["channel_values"] == {"a": LARGE}

    @pytest.mark.parametrize(
        ("verb", "arguments", "options"),
        [
            ("delete_thread", ["t"], {}),
            ("prune", [["t"]], {"strategy": "delete"}),
            ("delete_for_runs", [["run"]], {}),
        ],
        ids=["delete_thread", "prune", "delete_for_runs"],
    )
    async def test_who_removes_the_head_takes_it_from_the_run(
        self, keeper: Verbs, verb: str, arguments: list[Any], options: Any
    ) -> None:
        await keeper.put_chain("t", 2, extra={"run_id": "run"})
        run = await Run.start(keeper.saver)
        await keeper(verb, *arguments, **options)
        with pytest.raises(ConcurrentUpdateError):
            await run.step(a=1)
        with pytest.raises(ConcurrentUpdateError):
            await run.record("task")
        assert await _all(keeper.saver) == []

    async def test_runs_that_are_deleted_take_nothing_from_others(self, keeper: Verbs) -> None:
        await keeper.put_chain("other", 2, extra={"run_id": "run"})
        new = await Run.start(keeper.saver)
        await new.claim()
        await keeper("delete_for_runs", ["run"])
        await new.step(a=1)
        assert len(await keeper.listed(None)) == 1

    async def test_a_run_does_not_outlive_its_thread_into_the_next_one(
        self, shared: BaseCheckpointSaver
    ) -> None:
        verbs = Verbs(shared, "async")
        checkpoint = make_checkpoint({"a": 1})
        await verbs.put(THREAD, checkpoint)
        run = await Run.start(shared)
        await run.claim()
        await shared.adelete_thread("t")
        await verbs.put(THREAD, checkpoint)
        with pytest.raises(ConcurrentUpdateError):
            await run.step(a=2)
        with pytest.raises(ConcurrentUpdateError):
            await run.record("task")
        assert len(await _all(shared)) == 1

    async def test_copies_are_held_apart(self, keeper: Verbs) -> None:
        await keeper.put_chain("t", 1)
        run = await Run.start(keeper.saver)
        await run.claim()
        await keeper("copy_thread", "t", "copy")
        copied = await Run.start(keeper.saver, config_for("copy", ""))
        await copied.step(a="copy")
        await run.step(a="source")

    async def test_a_copy_takes_the_head_of_its_target(self, keeper: Verbs) -> None:
        (head,) = await keeper.put_chain("t", 1)
        run = await Run.start(keeper.saver, config_for("copy", ""))
        await run.claim()
        await keeper("copy_thread", "t", "copy")
        with pytest.raises(ConcurrentUpdateError):
            await run.step(a=1)
        _, hold = await keeper.saver.ahold(config_for("copy", ""))
        assert hold.newest == head["configurable"]["checkpoint_id"]

    # -- races

    async def test_no_update_is_lost(self, shared: BaseCheckpointSaver) -> None:
        def elsewhere() -> None:
            asyncio.run(_count(shared, times=4))

        await asyncio.gather(*(asyncio.to_thread(elsewhere) for _ in range(3)), _count(shared, times=4))
        found = await _all(shared)
        assert [each.checkpoint["channel_values"]["n"] for each in found] == list(range(16, 0, -1))


async def _all(saver: BaseCheckpointSaver) -> list[CheckpointTuple]:
    return [found async for found in saver.alist(THREAD)]


async def _count(saver: BaseCheckpointSaver, times: int) -> None:
    """Adds 1 some times, each by a run of its own that starts again when it was overtaken."""
    while times:
        run = await Run.start(saver)
        try:
            await run.step(n=run.values.get("n", 0) + 1)
        except ConcurrentUpdateError:
            continue
        times -= 1
