"""The contract of deleting: threads, runs, and all but the latest."""

from typing import Any

import pytest

from aiograph.checkpoint.base import Retention, config_for, copy_checkpoint
from aiograph.errors import CheckpointQueryError
from aiograph.testing.savers._kit import Part, Verbs, ids_of, make_checkpoint, steps_of
from aiograph.types import RunnableConfig

THREAD = config_for("t", "")
EVERYWHERE: RunnableConfig = {"configurable": {"thread_id": "t"}}

SHARED = [f"{number} " * 100 for number in range(40)]
"""A value that is stored in parts, most of which a longer one has as well."""


class Deletions(Part):
    """What is deleted is gone, and nothing else is."""

    # -- threads

    async def test_a_deleted_thread_leaves_nothing(self, verbs: Verbs) -> None:
        (config,) = await verbs.put_chain("t", 1)
        await verbs("put_writes", config, [("a", 1)], "task")
        await verbs.put_chain("t", 1, "child:1")
        await verbs.put_chain("t2", 1)
        await verbs("delete_thread", "t")
        assert await verbs("get_tuple", THREAD) is None
        assert await verbs("get_tuple", config) is None
        assert await verbs("get_tuple", config_for("t", "child:1")) is None
        assert len(await verbs.listed(None)) == 1

    async def test_a_thread_can_start_anew_after_it_was_deleted(self, verbs: Verbs) -> None:
        checkpoint = make_checkpoint({"a": "old"})
        config = await verbs.put(THREAD, checkpoint)
        await verbs("put_writes", config, [("a", "old")], "task")
        await verbs("delete_thread", "t")
        anew = copy_checkpoint(checkpoint)
        anew["channel_values"]["a"] = "new"
        await verbs.put(THREAD, anew)
        found = await verbs.get(config)
        assert found.checkpoint["channel_values"] == {"a": "new"}
        assert found.pending_writes == []

    async def test_deleting_an_unknown_thread_does_nothing(self, verbs: Verbs) -> None:
        await verbs("delete_thread", "nobody")

    @pytest.mark.parametrize("verb", ["prune", "delete_for_runs", "sweep"])
    async def test_a_text_in_place_of_several_names_is_refused(self, house: Verbs, verb: str) -> None:
        """Else it would be its characters: `prune("12", strategy="delete")` would delete threads 1 and 2."""
        await house.put_chain("1", 2, "", {"run_id": "1"})
        given: tuple[Any, ...] = (Retention(keep_last=1), "12") if verb == "sweep" else ("12",)
        options = {"strategy": "delete"} if verb == "prune" else {}
        with pytest.raises(CheckpointQueryError, match="pass a list of them"):
            await house(verb, *given, **options)
        assert len(await house.listed(config_for("1", ""))) == 2

    async def test_none_is_no_thread(self, house: Verbs) -> None:
        with pytest.raises(CheckpointQueryError, match="thread_id is None"):
            await house("delete_thread", None)

    # -- runs

    async def test_what_runs_have_left_is_deleted_wherever_it_is(self, house: Verbs) -> None:
        for thread, namespace in (("t", ""), ("t", "child:1"), ("t2", "")):
            await house.put_chain(thread, 2, namespace, {"run_id": "bad"})
            (config,) = await house.put_chain(thread, 1, namespace, {"run_id": "good"})
            await house("put_writes", config, [("a", thread)], "task")
        await house("delete_for_runs", ["bad", "unknown"])
        found = await house.listed(None)
        assert [each.metadata.get("run_id") for each in found] == ["good"] * 3
        assert [each.pending_writes for each in found] == [
            [("task", "a", thread)] for thread in ("t2", "t", "t")
        ]

    async def test_what_a_kept_checkpoint_shares_with_a_deleted_one_stays(self, house: Verbs) -> None:
        parent = await house.put(THREAD, make_checkpoint({"a": SHARED}), _of("bad"))
        child = make_checkpoint({"a": SHARED, "b": 1}, versions={"a": 1, "b": 2})
        await house.put(parent, child, _of("good"), new_versions={"b": 2})
        await house("delete_for_runs", ["bad"])
        found = await house.get(THREAD)
        assert found.checkpoint == child
        assert found.parent_config == parent
        assert await house("get_tuple", parent) is None

    async def test_when_the_head_is_deleted_the_newest_of_the_others_is_the_head(self, house: Verbs) -> None:
        parent = await house.put(THREAD, make_checkpoint({"a": 1}), _of("good"))
        head = await house.put(parent, make_checkpoint({"a": 2}), _of("bad"))
        await house("put_writes", head, [("a", 3)], "task")
        await house("delete_for_runs", ["bad"])
        assert (await house.get(THREAD)).config == parent

    async def test_no_runs_and_unknown_ones_are_no_work(self, house: Verbs) -> None:
        await house.put_chain("t", 2)
        await house("delete_for_runs", [])
        await house("delete_for_runs", ["unknown", "None", "null", "'; DROP TABLE checkpoints; --"])
        assert len(await house.listed(THREAD)) == 2

    # -- all but the latest

    async def test_keeping_the_latest_keeps_one_in_each_namespace(self, house: Verbs) -> None:
        heads = [
            (await house.put_chain(thread, 3, namespace))[-1]
            for thread, namespace in (("t", ""), ("t", "child:1"), ("t2", ""))
        ]
        (untouched, *_) = await house.put_chain("t3", 2)
        await house("prune", ["t", "t2", "unknown"], strategy="keep_latest")
        assert await house.listed(EVERYWHERE) == [await house.get(config) for config in heads[1::-1]]
        assert steps_of(await house.listed(config_for("t2", ""))) == [2]
        assert (await house.get(untouched)).metadata["step"] == 0

    async def test_the_latest_is_whole(self, house: Verbs) -> None:
        config = await house.put(THREAD, make_checkpoint({"a": SHARED}))
        await house("put_writes", config, [("a", SHARED[1:])], "old")
        longer = make_checkpoint({"a": [*SHARED, "more"], "b": SHARED}, versions={"a": 2, "b": 2})
        config = await house.put(config, longer)
        last = make_checkpoint({**longer["channel_values"], "c": 3}, versions={"a": 2, "b": 2, "c": 3})
        config = await house.put(config, last, new_versions={"c": 3})
        await house("put_writes", config, [("a", [*SHARED, "pending"])], "new")
        before = await house.get(config)
        await house("prune", ["t"])
        assert await house.listed(THREAD) == [before]
        assert before.pending_writes == [("new", "a", [*SHARED, "pending"])]

    async def test_of_branches_the_newest_end_is_the_latest(self, house: Verbs) -> None:
        root, end = await house.put_chain("t", 2)
        fork = make_checkpoint({"n": "fork"}, after=end["configurable"]["checkpoint_id"])
        forked = await house.put(root, fork)
        await house("prune", ["t"])
        assert [each.config for each in await house.listed(THREAD)] == [forked]

    async def test_a_pruned_thread_goes_on(self, house: Verbs) -> None:
        *_, head = await house.put_chain("t", 3)
        await house("prune", ["t"])
        await house("prune", ["t"])
        child = await house.put(head, make_checkpoint({"n": "next"}))
        assert ids_of(await house.listed(THREAD)) == [_id(child), _id(head)]

    async def test_writes_beside_no_checkpoint_are_not_kept(self, house: Verbs) -> None:
        await house.put_chain("t", 1)
        never_stored = make_checkpoint({"n": 1})
        await house("put_writes", config_for("t", "", never_stored["id"]), [("n", 1)], "task")
        await house("prune", ["t"])
        await house.put(THREAD, never_stored)
        assert (await house.get(THREAD)).pending_writes == []

    async def test_keeping_nothing_deletes_the_threads(self, house: Verbs) -> None:
        for thread, namespace in (("t", ""), ("t", "child:1"), ("t2", ""), ("t3", "")):
            await house.put_chain(thread, 2, namespace)
        await house("prune", ["t", "t2"], strategy="delete")
        assert {each.config["configurable"]["thread_id"] for each in await house.listed(None)} == {"t3"}

    async def test_no_threads_and_unknown_ones_are_no_work(self, house: Verbs) -> None:
        for strategy in ("keep_latest", "delete"):
            await house("prune", [], strategy=strategy)
            await house("prune", ["nobody"], strategy=strategy)

    async def test_an_unknown_strategy_is_refused(self, house: Verbs) -> None:
        await house.put_chain("t", 2)
        with pytest.raises(CheckpointQueryError, match="everything"):
            await house("prune", ["t"], strategy="everything")
        assert len(await house.listed(THREAD)) == 2


def _of(run_id: str) -> Any:
    return {"run_id": run_id}


def _id(config: RunnableConfig) -> Any:
    return config["configurable"]["checkpoint_id"]
