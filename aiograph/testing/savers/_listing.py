"""The contract of lists, of checkpoints and of threads."""

from datetime import datetime

import pytest

from aiograph.checkpoint.base import config_for
from aiograph.errors import CheckpointQueryError
from aiograph.testing.savers._kit import Part, Verbs, ids_of, make_checkpoint, steps_of
from aiograph.types import RunnableConfig


class Lists(Part):
    """Lists are whole, and in order."""

    async def test_the_newest_come_first(self, verbs: Verbs) -> None:
        configs = await verbs.put_chain("t", 120)
        found = await verbs.listed(config_for("t", ""))
        assert [each.config for each in found] == configs[::-1]
        assert [each.parent_config for each in found] == [*configs[-2::-1], None]
        assert [each.checkpoint["channel_values"]["n"] for each in found] == list(range(119, -1, -1))

    async def test_limit_and_before_cut_the_list(self, verbs: Verbs) -> None:
        configs = await verbs.put_chain("t", 60)
        thread = config_for("t", "")
        assert steps_of(await verbs.listed(thread, limit=2)) == [59, 58]
        assert steps_of(await verbs.listed(thread, limit=55)) == list(range(59, 4, -1))
        assert await verbs.listed(thread, limit=0) == []
        assert steps_of(await verbs.listed(thread, before=configs[2])) == [1, 0]
        assert steps_of(await verbs.listed(thread, before=configs[9], limit=3)) == [8, 7, 6]
        assert await verbs.listed(thread, before=configs[0]) == []

    async def test_listed_checkpoints_come_with_their_writes(self, verbs: Verbs) -> None:
        first, second = await verbs.put_chain("t", 2)
        await verbs("put_writes", first, [("a", 1)], "one")
        await verbs("put_writes", second, [("a", 2)], "two")
        found = await verbs.listed(config_for("t", ""))
        assert [each.pending_writes for each in found] == [[("two", "a", 2)], [("one", "a", 1)]]

    async def test_a_thread_without_a_namespace_stands_for_all_of_them(self, verbs: Verbs) -> None:
        await verbs.put_chain("t", 2)
        await verbs.put_chain("t", 2, "child:1")
        everywhere: RunnableConfig = {"configurable": {"thread_id": "t"}}
        found = await verbs.listed(everywhere)
        assert len(found) == 4
        assert ids_of(found) == sorted(ids_of(found), reverse=True)
        assert ids_of(await verbs.listed(everywhere, limit=3)) == ids_of(found)[:3]

    async def test_a_config_with_an_id_stands_for_that_checkpoint(self, verbs: Verbs) -> None:
        configs = await verbs.put_chain("t", 3)
        assert [each.config for each in await verbs.listed(configs[1])] == [configs[1]]
        assert await verbs.listed(config_for("t", "", "nothing")) == []

    async def test_no_config_stands_for_all_threads(self, verbs: Verbs) -> None:
        for thread in ("a", "b", "c"):
            await verbs.put_chain(thread, 2)
        found = await verbs.listed(None)
        assert len(found) == 6
        assert ids_of(found) == sorted(ids_of(found), reverse=True)
        assert ids_of(await verbs.listed(None, limit=4)) == ids_of(found)[:4]

    async def test_a_list_may_be_left_early(self, verbs: Verbs) -> None:
        await verbs.put_chain("t", 60)
        listed = verbs.saver.alist(config_for("t", ""))
        assert (await anext(listed)).metadata["step"] == 59
        await verbs.put_chain("other", 1)  # the saver is not held up by a list that nobody reads on
        await listed.aclose()  # type: ignore[attr-defined]  # an asynchronous generator
        assert len(await verbs.listed(config_for("t", ""))) == 60

    # -- threads

    async def test_threads_are_listed_those_that_changed_last_first(self, house: Verbs) -> None:
        for thread in ("a", "b", "c"):
            await house.put_chain(thread, 2)
        await house.put_chain("a", 1, "child:1")
        found = await house.threads()
        assert [(each.thread_id, each.checkpoints) for each in found] == [("a", 3), ("c", 2), ("b", 2)]
        newest = (await house.get(config_for("a", "child:1"))).checkpoint
        assert found[0].updated_at == datetime.fromisoformat(newest["ts"])

    async def test_a_list_of_threads_may_be_cut(self, house: Verbs) -> None:
        for number in range(60):
            await house.put_chain(f"{number}", 1)
        found = [each.thread_id for each in await house.threads()]
        assert found == [f"{number}" for number in range(59, -1, -1)]
        for limit in (0, 1, 55, 100):
            assert [each.thread_id for each in await house.threads(limit=limit)] == found[:limit]
        with pytest.raises(CheckpointQueryError, match="-1"):
            await house.threads(limit=-1)

    async def test_a_thread_shrinks_when_it_is_pruned(self, house: Verbs) -> None:
        config = config_for("t", "")
        for letter in "abc":
            config = await house.put(config, make_checkpoint({"a": letter * 10_000}))
            await house("put_writes", config, [("a", letter * 5_000)], "task")
        (before,) = await house.threads()
        await house("prune", ["t"])
        (after,) = await house.threads()
        assert (before.checkpoints, after.checkpoints) == (3, 1)
        assert 0 < after.size < before.size

    async def test_deleted_threads_are_not_listed(self, house: Verbs) -> None:
        for thread in ("a", "b"):
            await house.put_chain(thread, 1, extra={"run_id": thread})
        await house("delete_thread", "a")
        assert [each.thread_id for each in await house.threads()] == ["b"]
        await house("delete_for_runs", ["b"])
        assert await house.threads() == []
