"""The contract of supersteps: what the engine calls."""

from aiograph.checkpoint.base import Superstep, TaskWrites, config_for
from aiograph.testing.savers._kit import Part, Verbs, make_checkpoint


class Supersteps(Part):
    """Encode at once, store later."""

    async def test_a_commit_stores_writes_with_the_parent_and_the_checkpoint(self, verbs: Verbs) -> None:
        (parent,) = await verbs.put_chain("t", 1)
        checkpoint = make_checkpoint({"n": 0, "a": 5}, versions={"n": 1, "a": 2})
        writes = [verbs.saver.encode_writes(TaskWrites("task", "path", [("a", 5)]))]
        commit = verbs.saver.encode_commit(Superstep.of(parent, checkpoint, {"step": 1}, {"a": 2}), writes)
        for _ in range(2):  # a retry whose first attempt succeeded changes nothing
            await verbs.saver.acommit(commit)
        assert (await verbs.get(parent)).pending_writes == [("task", "a", 5)]
        found = await verbs.get(config_for("t", ""))
        assert found.checkpoint == checkpoint
        assert found.metadata == {"step": 1}
        assert found.parent_config == parent
        assert len(await verbs.listed(config_for("t", ""))) == 2

    async def test_what_was_encoded_is_detached_from_live_values(self, verbs: Verbs) -> None:
        (parent,) = await verbs.put_chain("t", 1)
        live = [1]
        checkpoint = make_checkpoint({"a": live}, versions={"a": 2})
        writes = [verbs.saver.encode_writes(TaskWrites("task", "", [("a", live)]))]
        commit = verbs.saver.encode_commit(Superstep.of(parent, checkpoint, {}, {"a": 2}), writes)
        live.append(2)
        await verbs.saver.acommit(commit)
        assert (await verbs.get(parent)).pending_writes == [("task", "a", [1])]
        assert (await verbs.get(config_for("t", ""))).checkpoint["channel_values"] == {"a": [1]}

    async def test_writes_of_several_tasks_can_be_recorded_at_once(self, verbs: Verbs) -> None:
        (config,) = await verbs.put_chain("t", 1)
        tasks = [TaskWrites(name, name, [("a", name)]) for name in ("two", "one")]
        await verbs.saver.arecord(config, [verbs.saver.encode_writes(task) for task in tasks])
        assert (await verbs.get(config)).pending_writes == [("one", "a", "one"), ("two", "a", "two")]
