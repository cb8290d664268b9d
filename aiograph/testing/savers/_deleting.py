"""The contract of deleting."""

from aiograph.checkpoint.base import config_for, copy_checkpoint
from aiograph.testing.savers._kit import Part, Verbs, make_checkpoint


class Deletions(Part):
    """What is deleted is gone, and nothing else is."""

    async def test_a_deleted_thread_leaves_nothing(self, verbs: Verbs) -> None:
        (config,) = await verbs.put_chain("t", 1)
        await verbs("put_writes", config, [("a", 1)], "task")
        await verbs.put_chain("t", 1, "child:1")
        await verbs.put_chain("t2", 1)
        await verbs("delete_thread", "t")
        assert await verbs("get_tuple", config_for("t", "")) is None
        assert await verbs("get_tuple", config) is None
        assert await verbs("get_tuple", config_for("t", "child:1")) is None
        assert len(await verbs.listed(None)) == 1

    async def test_a_thread_can_start_anew_after_it_was_deleted(self, verbs: Verbs) -> None:
        checkpoint = make_checkpoint({"a": "old"})
        config = await verbs.put(config_for("t", ""), checkpoint)
        await verbs("put_writes", config, [("a", "old")], "task")
        await verbs("delete_thread", "t")
        anew = copy_checkpoint(checkpoint)
        anew["channel_values"]["a"] = "new"
        await verbs.put(config_for("t", ""), anew)
        found = await verbs.get(config)
        assert found.checkpoint["channel_values"] == {"a": "new"}
        assert found.pending_writes == []

    async def test_deleting_an_unknown_thread_does_nothing(self, verbs: Verbs) -> None:
        await verbs("delete_thread", "nobody")
