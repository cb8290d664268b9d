"""The contract of the writes of tasks."""

import pytest

from aiograph.checkpoint.base import config_for
from aiograph.constants import ERROR, INTERRUPT, RESUME
from aiograph.testing.savers._kit import Part, Verbs, make_checkpoint


class Writes(Part):
    """The writes of tasks stand beside the checkpoint that the tasks ran from."""

    async def test_writes_are_found_beside_their_checkpoint(self, verbs: Verbs) -> None:
        first, second = await verbs.put_chain("t", 2)
        await verbs("put_writes", first, [("a", [1]), ("b", None)], "task")
        assert (await verbs.get(first)).pending_writes == [("task", "a", [1]), ("task", "b", None)]
        assert (await verbs.get(second)).pending_writes == []

    async def test_writes_are_sorted_by_path_then_task_then_position(self, verbs: Verbs) -> None:
        (config,) = await verbs.put_chain("t", 1)
        await verbs("put_writes", config, [("a", n) for n in range(12)], "x", "~pull, b")
        await verbs("put_writes", config, [("a", "z")], "z", "~pull, a")
        await verbs("put_writes", config, [("a", "y")], "y", "~pull, a")
        expected = [("y", "a", "y"), ("z", "a", "z"), *(("x", "a", n) for n in range(12))]
        assert (await verbs.get(config)).pending_writes == expected

    async def test_a_stored_position_keeps_its_value(self, verbs: Verbs) -> None:
        (config,) = await verbs.put_chain("t", 1)
        await verbs("put_writes", config, [("a", 1)], "task")
        await verbs("put_writes", config, [("a", 2), ("a", 3)], "task")
        assert (await verbs.get(config)).pending_writes == [("task", "a", 1), ("task", "a", 3)]

    @pytest.mark.parametrize("channel", [ERROR, INTERRUPT, RESUME])
    async def test_special_writes_replace_each_other(self, verbs: Verbs, channel: str) -> None:
        (config,) = await verbs.put_chain("t", 1)
        for value in ("first", "second"):
            await verbs("put_writes", config, [(channel, value)], "task")
        assert (await verbs.get(config)).pending_writes == [("task", channel, "second")]

    async def test_special_writes_do_not_touch_ordinary_ones(self, verbs: Verbs) -> None:
        (config,) = await verbs.put_chain("t", 1)
        await verbs("put_writes", config, [("a", 1)], "task")
        await verbs("put_writes", config, [(ERROR, "x")], "task")
        found = (await verbs.get(config)).pending_writes
        assert sorted(found or ()) == [("task", ERROR, "x"), ("task", "a", 1)]

    async def test_writes_may_come_before_their_checkpoint(self, verbs: Verbs) -> None:
        checkpoint = make_checkpoint({"a": 1})
        await verbs("put_writes", config_for("t", "", checkpoint["id"]), [("a", 2)], "task")
        assert await verbs("get_tuple", config_for("t", "")) is None
        await verbs.put(config_for("t", ""), checkpoint)
        assert (await verbs.get(config_for("t", ""))).pending_writes == [("task", "a", 2)]

    async def test_withdrawn_writes_can_be_made_again(self, verbs: Verbs) -> None:
        if not self.can_withdraw:
            pytest.skip("the saver does not define withdraw_writes")
        (config,) = await verbs.put_chain("t", 1)
        for task in ("one", "two", "three"):
            await verbs("put_writes", config, [("a", task), ("b", task)], task)
        await verbs("withdraw_writes", config, ["one", "three", "unknown"])
        assert (await verbs.get(config)).pending_writes == [("two", "a", "two"), ("two", "b", "two")]
        await verbs("put_writes", config, [("a", "again")], "one")
        assert ("one", "a", "again") in ((await verbs.get(config)).pending_writes or ())
